//! A field merges in one way.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[crdt(lww, counter)]
    votes: i64,
    #[crdt(counter)]
    #[crdt(lww)]
    likes: i64,
    #[crdt(counter, counter)]
    views: i64,
}

fn main() {
    let _ = models![Todo];
}
