//! Rows from before a field have no value for it.

use cfost::prelude::*;

type Rank = i64;
type MaybeRank = Option<Rank>;

#[derive(Synced)]
#[synced(version = 3)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(since = 2)]
    rank: i64,
    #[synced(since = 2)]
    maybe: MaybeRank,
    #[synced(since = 3)]
    name: String,
    #[synced(since = 3)]
    place: Rank,
}

fn main() {
    let _ = models![Todo];
}
