//! The simulator that an app tests its own versions with finds nothing in ours, and finds what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cfost::prelude::*;
use cfost::testing::{Fleet, fleet};

mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
    }
}

mod v2 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[crdt(counter)]
        pub votes: i64,
    }

    /// A model that came with version 2.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "lists", version = 1)]
    pub(super) struct List {
        #[synced(id(from(name)))]
        pub id: Uuid,
        pub name: String,
        #[synced(immutable)]
        pub colour: Option<i64>,
        pub note: Option<String>,
    }
}

mod v3 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[crdt(counter)]
        pub votes: i64,
        #[synced(since = 3)]
        #[crdt(map)]
        pub scores: BTreeMap<String, i64>,
        #[synced(since = 3)]
        #[crdt(list)]
        pub lines: List<String>,
        #[synced(since = 3, references = List_, on_delete = keep)]
        pub list: Option<Uuid>,
    }

    pub(super) use super::v2::List as List_;
}

#[test]
fn three_versions_of_an_app_agree_after_every_story() {
    fleet(&[&models![v1::Todo], &models![v2::Todo, v2::List], &models![v3::Todo, v2::List]]);
}

#[test]
fn a_story_of_two_hundred_steps_and_five_devices_is_soon_played() {
    let began = Instant::now();
    let report = Fleet::of(&[&models![v1::Todo], &models![v2::Todo], &models![v3::Todo, v2::List]])
        .devices(5)
        .steps(200)
        .seed(7)
        .run();
    let took = began.elapsed();
    assert!(report.steps > 100, "{report:?}");
    // A tenth of that on a machine that does nothing else.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
