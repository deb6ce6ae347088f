//! Values for old rows that can't be had.

use std::collections::BTreeSet;

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 2)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(backfill = 0)]
    rank: i64,
    #[synced(since = 2, default = "none")]
    state: String,
    #[synced(since = 2, backfill = String::new())]
    note: String,
    #[synced(since = 2, backfill = 0)]
    #[crdt(counter)]
    votes: i64,
    #[synced(since = 2, backfill = "")]
    #[crdt(set)]
    tags: BTreeSet<String>,
}

fn main() {
    let _ = models![Todo];
}
