//! An option that exists elsewhere: the error says where it goes.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(id)]
#[crdt(lww)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(counter)]
    votes: i64,
    #[crdt(index)]
    title: String,
    #[synced(table = "x")]
    notes: String,
    #[synced(countr)]
    likes: i64,
}

fn main() {
    let _ = models![Todo];
}
