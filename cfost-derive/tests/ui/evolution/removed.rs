//! What was removed, told wrongly.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 2, removed, removed(), removed(in = 2), removed(a = 0, in = 2))]
#[synced(removed(#[crdt(counter)] b: i64 = 0, in = 2), removed(#[crdt(set)] c: std::collections::BTreeSet<String> = "", in = 2))]
#[synced(removed(#[crdt(cuonter)] d, in = 2), removed(#[crdt(set, map)] e, in = 2))]
#[synced(removed(f: String = String::new(), in = 2), removed(cfost_x, in = 2), removed("a@2", in = 2))]
#[synced(removed(#[crdt(set)] g, in = 2, upgrade(g, in = 2, with = f)), removed(h, since = 1, since = 1, in = 2))]
struct Todo {
    #[synced(id)]
    id: Uuid,
}

/// What the types say.
#[derive(Synced)]
#[synced(version = 2, removed(a: i64, in = 2), removed(b: Option<i64>, in = 2), removed(c: bool = 1, in = 2))]
#[synced(removed(d: std::thread::Thread, in = 2), removed(#[crdt(set)] e: Vec<u8>, in = 2))]
struct Typed {
    #[synced(id)]
    id: Uuid,
}

fn main() {
    let _ = models![Todo, Typed];
}
