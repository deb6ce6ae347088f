//! A type that can't carry its merge rule: one error, on the type.

use cfost::prelude::*;

type Count = String;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[crdt(counter)]
    votes: String,
    #[crdt(counter)]
    likes: Option<i64>,
    #[crdt(counter)]
    views: Count,
    #[crdt(counter)]
    size: f64,
}

fn main() {
    let _ = models![Todo];
}
