//! Mistakes that the derive sees and mistakes that only rustc sees come in one compile.

use cfost::prelude::*;

struct Address;

#[derive(Synced)]
#[synced(tabel = "todos")]
struct Todo {
    key: Uuid,
    #[crdt(counter)]
    votes: String,
    home: Address,
    #[crdt(conter)]
    likes: String,
    #[synced(default = "x")]
    rank: i64,
    #[synced(skip)]
    work: Address,
    #[crdt(lww, counter)]
    views: Address,
}

fn main() {
    let _ = models![Todo];
}
