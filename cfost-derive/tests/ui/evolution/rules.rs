//! Merge rules that can't become others, and upgrades of what has no values.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 3)]
struct Todo {
    #[synced(id(from(email)), renamed_from("key", in = 2), upgrade(key, in = 3, with = f))]
    id: Uuid,
    #[synced(upgrade(email, in = 2, with = str::to_owned, back = g))]
    email: String,
    #[synced(immutable, upgrade(state, in = 2, with = f, back = g))]
    state: i64,
    #[synced(skip, renamed_from("tmp", in = 2))]
    cache: i64,
    #[synced(since = 2, upgrade(votes, with = f, back = g))]
    #[crdt(counter)]
    votes: i64,
    #[synced(since = 2, upgrade(tags, with = f))]
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[synced(upgrade(text, in = 2, with = f))]
    #[crdt(text)]
    text: Text,
    #[crdt(lww, changed_from(counter, in = 2))]
    a: i64,
    #[crdt(counter, changed_from(counter, in = 2))]
    b: i64,
    #[crdt(set, changed_from(lww, in = 2))]
    c: BTreeSet<String>,
    #[crdt(list, changed_from(set, in = 2))]
    d: List<String>,
    #[crdt(changed_from(text, in = 2))]
    e: String,
    #[crdt(text, changed_from(counter, in = 2))]
    f: Text,
    #[crdt(counter, changed_from(map, in = 2))]
    g: i64,
    #[crdt(counter, changed_from(lwww, in = 2))]
    h: i64,
    #[crdt(counter, changed_from(lww, in = 2), changed_from(lww, in = 3))]
    i: i64,
    #[synced(upgrade(j, in = 3, with = f, back = g))]
    #[crdt(counter, changed_from(lww, in = 2))]
    j: i64,
    #[crdt(map, counter, changed_from(lww, in = 2))]
    k: BTreeMap<String, i64>,
    #[crdt(counter, changed_from(lww, in = 2, back))]
    l: i64,
}

fn main() {
    let _ = models![Todo];
}
