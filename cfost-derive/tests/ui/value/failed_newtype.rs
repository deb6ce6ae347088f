//! A newtype with a mistake is still an id and a counter: the mistake is the only error.

use cfost::prelude::*;

#[derive(SyncedValue, Clone, Copy)]
#[synced(crat = x)]
struct TodoId(Uuid);

#[derive(SyncedValue)]
#[synced(crat = x)]
struct Votes(i64);

#[derive(SyncedValue)]
enum Kind {
    Note,
}

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: TodoId,
    #[crdt(counter)]
    votes: Votes,
    #[synced(default = "Note")]
    kind: Kind,
}

fn main() {
    let _ = (models![Todo], Kind::Note);
}
