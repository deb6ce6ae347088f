//! What older devices couldn't show.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 4, removed(done: bool, in = 2), removed(note: Option<String>, in = 2))]
#[synced(removed(late: bool, since = 2, in = 3))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(since = 2, upgrade(rank, with = |rank: i64| rank.to_string()))]
    level: String,
    #[synced(since = 2, upgrade(size, with = Option::unwrap_or_default))]
    size: i64,
    #[synced(upgrade(a, in = 3, since = 2, with = |a: i64| a, back = |a| a))]
    later: i64,
}

fn main() {
    let _ = models![Todo];
}
