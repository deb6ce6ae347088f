//! Functions that don't fit.

use cfost::prelude::*;

fn level(rank: i64) -> String {
    rank.to_string()
}

fn rank(level: String) -> i64 {
    level.len() as i64
}

#[derive(Synced)]
#[synced(version = 4)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(since = 2, upgrade(a, with = level, back = rank))]
    wrong_new: i64,
    #[synced(since = 2, upgrade(b, with = level, back = level))]
    wrong_back: String,
    #[synced(since = 2, upgrade(c, with = lavel, back = rank))]
    unknown: String,
    #[synced(since = 2, upgrade(d, with = |d: &str| d.to_owned(), back = |_| ""))]
    borrowed: String,
    #[synced(since = 2, upgrade(e, with = |e| e, back = |e: i64| e))]
    inferred: i64,
    #[synced(since = 2, upgrade(f, with = 5, back = rank))]
    no_function: String,
    #[synced(since = 2, upgrade(g, with = |g: i64, h: i64| g + h, back = |g| g))]
    two: i64,
    #[synced(since = 2, upgrade(h, with = { let one = 1; move |h: i64| h + one }, back = |h| h))]
    captures: i64,
}

#[derive(Synced)]
#[synced(version = 4)]
struct Chain {
    #[synced(id)]
    id: Uuid,
    #[synced(upgrade(a, in = 2, with = level, back = rank), upgrade(a, in = 3, with = |a: i64| a, back = |a| a))]
    broken: i64,
    #[synced(upgrade(b, in = 2, with = level, back = rank), upgrade(b, in = 3, with = rank, back = level))]
    whole: i64,
    #[synced(upgrade(c, in = 2, with = Some, back = Option::<i64>::unwrap_or_default))]
    #[synced(upgrade(c, in = 3, with = |c: i64| c, back = |c| c))]
    null: i64,
}

fn main() {
    let _ = models![Todo, Chain];
}
