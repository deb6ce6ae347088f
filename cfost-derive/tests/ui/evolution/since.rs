//! Fields that come with a version, and don't fit it.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 2)]
struct Todo {
    #[synced(id, since = 2)]
    id: Uuid,
    title: String,
    #[synced(since = 3)]
    rank: Option<i64>,
    #[synced(since = 1)]
    done: bool,
    #[synced(since = 0)]
    zero: Option<i64>,
    #[synced(since = "two")]
    text: Option<i64>,
    #[synced(since = 2, skip)]
    open: bool,
}

#[derive(Synced)]
#[synced(version = 2)]
struct User {
    #[synced(id(from(email)))]
    id: Uuid,
    #[synced(since = 2, backfill = "")]
    email: String,
}

fn main() {
    let _ = models![Todo, User];
}
