//! An app whose values have become counters and texts.

use cfost::prelude::*;
use cfost::schema::Model;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "tasks", version = 1)]
pub(super) struct Task {
    #[synced(id)]
    pub id: Uuid,
    pub title: String,
    pub points: i64,
    pub likes: i64,
    pub body: String,
    pub remark: String,
}

mod v2 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "tasks", version = 2)]
    pub(in super::super) struct Task {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter, changed_from(lww, in = 2))]
        pub points: i64,
        #[crdt(counter, changed_from(lww, in = 2))]
        pub likes: i64,
        #[cfg(feature = "text")]
        #[crdt(text, changed_from(lww, in = 2))]
        pub body: Text,
        #[cfg(not(feature = "text"))]
        pub body: String,
        #[cfg(feature = "text")]
        #[crdt(text, changed_from(lww, in = 2, back))]
        pub remark: Text,
        #[cfg(not(feature = "text"))]
        pub remark: String,
    }
}

mod v3 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "tasks", version = 3)]
    pub(in super::super) struct Task {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter, changed_from(lww, in = 2))]
        #[synced(renamed_from("points", in = 3))]
        pub score: i64,
        #[crdt(counter, changed_from(lww, in = 2))]
        pub likes: i64,
        #[synced(since = 3)]
        pub rank: Option<i64>,
        #[cfg(feature = "text")]
        #[crdt(text, changed_from(lww, in = 2))]
        #[synced(renamed_from("body", in = 3))]
        pub content: Text,
        #[cfg(not(feature = "text"))]
        #[synced(renamed_from("body", in = 3))]
        pub content: String,
        #[cfg(feature = "text")]
        #[crdt(text, changed_from(lww, in = 2, back))]
        pub remark: Text,
        #[cfg(not(feature = "text"))]
        pub remark: String,
    }
}

/// What each version listed.
pub(super) fn versions() -> [Vec<Model>; 3] {
    [models![Task].to_vec(), models![v2::Task].to_vec(), models![v3::Task].to_vec()]
}
