//! A backfill that isn't a value of its field, and a type that no column can hold.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 2)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(since = 2, backfill = "none")]
    rank: i64,
    #[synced(since = 2)]
    thread: std::thread::Thread,
}

fn main() {
    let _ = models![Todo];
}
