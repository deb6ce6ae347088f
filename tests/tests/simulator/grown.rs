//! An app whose models have changed in every way, in four versions.

use std::collections::BTreeSet;

use cfost::prelude::*;
use cfost::schema::Model;

#[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Level {
    #[default]
    Low,
    High,
    #[synced(other)]
    Other,
}

pub(super) mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(in super::super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        pub minutes: i64,
        pub urgent: bool,
        pub rank: i64,
        pub done: bool,
        #[crdt(counter)]
        pub votes: i64,
        #[crdt(set)]
        pub tags: BTreeSet<String>,
    }

    /// A model that version 3 gives up.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "labels", version = 1)]
    pub(in super::super) struct Label {
        #[synced(id(from(name)))]
        pub id: Uuid,
        pub name: String,
        pub colour: Option<i64>,
    }
}

pub(super) mod v2 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2, removed(done: bool = false, in = 2))]
    pub(in super::super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(renamed_from("title", in = 2))]
        pub name: String,
        pub minutes: i64,
        pub urgent: bool,
        pub rank: i64,
        #[crdt(counter)]
        pub votes: i64,
        #[crdt(set)]
        pub tags: BTreeSet<String>,
        #[synced(since = 2)]
        pub note: Option<String>,
    }
}

pub(super) fn seconds(minutes: i64) -> i64 {
    minutes.wrapping_mul(60)
}

pub(super) fn minutes(seconds: i64) -> i64 {
    seconds / 60
}

fn level(urgent: bool) -> Level {
    if urgent { Level::High } else { Level::Low }
}

pub(super) mod v3 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3, removed(done: bool = false, in = 2))]
    pub(in super::super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(renamed_from("title", in = 2), index)]
        pub name: String,
        #[synced(since = 3, upgrade(minutes, with = seconds, back = minutes))]
        pub seconds: i64,
        #[synced(since = 3, upgrade(urgent, with = level, back = |level| level == Level::High))]
        pub level: Level,
        #[synced(upgrade(rank, in = 3, with = Some, back = |rank| rank.unwrap_or(0)))]
        pub rank: Option<i64>,
        #[crdt(counter)]
        pub votes: i64,
        #[crdt(set)]
        #[synced(renamed_from("tags", in = 3))]
        pub words: BTreeSet<String>,
        #[synced(since = 2)]
        pub note: Option<String>,
    }
}

/// The newest version.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 4)]
#[synced(removed(done: bool = false, in = 2), removed(note, in = 4, since = 2))]
pub(super) struct Todo {
    #[synced(id)]
    pub id: Uuid,
    #[synced(renamed_from("title", in = 2), renamed_from("name", in = 4))]
    pub title: String,
    #[synced(since = 3, upgrade(minutes, with = seconds, back = minutes))]
    #[synced(upgrade(seconds, in = 4, with = |seconds: i64| seconds.to_string(), back = |time| time.parse().unwrap_or(0)))]
    pub time: String,
    #[synced(since = 3, upgrade(urgent, with = level, back = |level| level == Level::High))]
    pub level: Level,
    #[synced(upgrade(rank, in = 3, with = Some, back = |rank| rank.unwrap_or(0)))]
    pub rank: Option<i64>,
    #[crdt(counter)]
    pub votes: i64,
    #[crdt(set)]
    #[synced(renamed_from("tags", in = 3))]
    pub words: BTreeSet<String>,
    #[synced(since = 4, references = Todo)]
    pub parent: Option<Uuid>,
}

/// What each version listed.
pub(super) fn versions() -> [Vec<Model>; 4] {
    [
        models![v1::Todo, v1::Label].to_vec(),
        models![v2::Todo, v1::Label].to_vec(),
        models![v3::Todo].to_vec(),
        models![v1::Label, Todo].to_vec(),
    ]
}
