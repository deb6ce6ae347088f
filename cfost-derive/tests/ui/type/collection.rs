//! A type that can't hold elements, or whose elements have another order on each device.

use cfost::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[crdt(set)]
    tags: HashSet<String>,
    #[crdt(map)]
    scores: HashMap<String, i64>,
    #[crdt(list)]
    steps: Vec<String>,
    #[crdt(set)]
    name: String,
    #[crdt(map)]
    words: BTreeSet<String>,
    #[crdt(set)]
    maybe: Option<BTreeSet<String>>,
}

#[derive(Synced)]
struct Elements {
    #[synced(id)]
    id: Uuid,
    #[crdt(set)]
    nested: BTreeSet<BTreeSet<String>>,
    #[crdt(map)]
    by_maybe: BTreeMap<Option<String>, i64>,
}

/// Without a rule the last writer wins, for which a set has no column.
#[derive(Synced)]
struct Unmarked {
    #[synced(id)]
    id: Uuid,
    tags: BTreeSet<String>,
}

fn main() {
    let _ = models![Todo, Elements, Unmarked];
}
