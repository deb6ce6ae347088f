//! The todo app that the chapter on changing models grows, in each of its versions: what an app keeps in a module of
//! its tests, and the chapter shows one after the other.

/// As the app was released first.
pub mod v1 {
    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    #[expect(missing_docs, reason = "the chapter says what the fields are")]
    pub struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        pub done: bool,
        pub hours: i64,
        pub color: String,
    }
}

/// A field has another name, and others are new.
pub mod v2 {
    use std::collections::BTreeSet;

    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    #[expect(missing_docs, reason = "the chapter says what the fields are")]
    pub struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(renamed_from("title", in = 2))]
        pub task: String,
        pub done: bool,
        pub hours: i64,
        pub color: String,
        #[synced(since = 2, backfill = false)]
        pub urgent: bool,
        #[synced(since = 2)]
        pub due: Option<String>,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<String>,
    }
}

/// A field is gone, and another one is more precise.
pub mod v3 {
    use std::collections::BTreeSet;

    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3, removed(color: String = "grey", in = 3))]
    #[expect(missing_docs, reason = "the chapter says what the fields are")]
    pub struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(renamed_from("title", in = 2))]
        pub task: String,
        pub done: bool,
        #[synced(since = 3, upgrade(hours, with = to_minutes, back = to_hours))]
        pub minutes: i64,
        #[synced(since = 2, backfill = false)]
        pub urgent: bool,
        #[synced(since = 2)]
        pub due: Option<String>,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<String>,
    }

    fn to_minutes(hours: i64) -> i64 {
        hours.saturating_mul(60)
    }

    /// Rounded up: a quarter of an hour is some work, which older versions should not show as none.
    fn to_hours(minutes: i64) -> i64 {
        minutes.div_euclid(60) + i64::from(minutes.rem_euclid(60) > 0)
    }
}
