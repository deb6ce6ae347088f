//! Options without the value they need, and with one they don't take.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(table, version, index)]
struct Todo {
    #[synced(id = 1)]
    id: Uuid,
    #[synced(column)]
    title: String,
    #[synced(default)]
    rank: i64,
    #[synced(skip = true)]
    draft: bool,
    #[synced(index(title))]
    notes: String,
    #[crdt(counter = 1)]
    votes: i64,
}

fn main() {
    let _ = models![Todo];
}
