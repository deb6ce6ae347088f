//! Options that contradict each other, each with its why.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id, index)]
    #[crdt(lww)]
    id: Uuid,
    #[synced(skip, index, column = "drafts")]
    draft: bool,
    #[synced(default = 5)]
    #[crdt(counter)]
    votes: i64,
    #[synced(skip)]
    #[crdt(counter)]
    views: i64,
}

fn main() {
    let _ = models![Todo];
}
