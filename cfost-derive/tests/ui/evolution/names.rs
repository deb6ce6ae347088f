//! Names that older devices know as something else.

use std::collections::BTreeSet;

use cfost::prelude::*;

/// A new field takes the name of one that was renamed, of one that was removed, and of one that was upgraded.
#[derive(Synced)]
#[synced(version = 4, removed(done: bool = false, in = 2), removed(rank: i64 = 0, in = 3))]
struct Reused {
    #[synced(id)]
    id: Uuid,
    #[synced(renamed_from("title", in = 2))]
    heading: String,
    #[synced(since = 3)]
    title: Option<String>,
    #[synced(since = 4, backfill = false)]
    done: bool,
    #[synced(since = 3, backfill = "")]
    rank: String,
    #[synced(upgrade(level, in = 3, with = |level: i64| level + 1, back = |level| level - 1))]
    step: i64,
    #[synced(since = 4)]
    #[crdt(set)]
    level: BTreeSet<String>,
}

/// One version with two columns of one name, and what was removed and is there.
#[derive(Synced)]
#[synced(version = 3, removed(done: bool = false, in = 3), removed(note, in = 2), removed(note, in = 3))]
struct Twice {
    #[synced(id)]
    id: Uuid,
    done: bool,
    #[synced(renamed_from("name", in = 3))]
    title: String,
    name: String,
    #[synced(renamed_from("id", in = 2))]
    other: i64,
}

/// What was removed for good may not be what another field was.
#[derive(Synced)]
#[synced(version = 3, removed(old: i64 = 0, in = 3))]
struct Both {
    #[synced(id)]
    id: Uuid,
    #[synced(renamed_from("old", in = 2))]
    new: i64,
}

/// Only ops call a column so.
#[derive(Synced)]
#[synced(version = 3)]
struct Odd {
    #[synced(id)]
    id: Uuid,
    #[synced(renamed_from("a@2", in = 3))]
    at: i64,
    #[synced(column = "b@2")]
    b: i64,
    #[synced(upgrade("c@2", in = 3, with = |c: i64| c, back = |c| c))]
    c: i64,
}

fn main() {
    let _ = models![Reused, Twice, Both, Odd];
}
