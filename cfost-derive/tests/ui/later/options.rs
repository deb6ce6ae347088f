//! Options that have a name and a meaning, in a later version.

use cfost::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced)]
#[synced(space, removed(notes: String = String::new(), in = 2))]
struct Todo {
    #[synced(id(from(title)))]
    id: Uuid,
    #[crdt(text)]
    title: String,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[crdt(map)]
    scores: i64,
    #[crdt(list)]
    steps: i64,
    #[synced(references = Project, immutable)]
    project: Uuid,
    #[synced(encrypted)]
    secret: String,
    #[synced(since = 2, backfill = 0)]
    rank: i64,
    #[synced(renamed_from("heading", in = 2))]
    name: String,
    #[synced(upgrade(done, with = to_state))]
    state: i64,
}

fn main() {
    let _ = models![Todo];
}
