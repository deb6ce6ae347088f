//! What does not go with a merge rule, each with its why.

use cfost::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Synced)]
#[synced(index(tags, title))]
struct Todo {
    #[synced(id, immutable, search)]
    id: Uuid,
    #[synced(skip, immutable, search)]
    draft: String,
    #[crdt(counter)]
    #[synced(immutable, search)]
    votes: i64,
    #[crdt(set)]
    #[synced(default = 0, immutable, search)]
    tags: BTreeSet<String>,
    #[crdt(map)]
    #[synced(immutable)]
    scores: BTreeMap<String, i64>,
    #[crdt(set)]
    #[crdt(list)]
    both: BTreeSet<String>,
    title: String,
}

fn main() {
    let _ = models![Todo];
}
