//! Changes whose versions can't be.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 3, removed(a: i64 = 0, in = 4), removed(b: i64 = 0, since = 3, in = 3), removed(c: i64 = 0))]
#[synced(removed(d, since = 2, in = 3, renamed_from("e", in = 2)), removed(f, in = 2, renamed_from("g", in = 2)))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(renamed_from("name", in = 4))]
    title: String,
    #[synced(since = 3, renamed_from("note", in = 2))]
    remark: Option<String>,
    #[synced(renamed_from("no_version"))]
    rank: i64,
    #[synced(upgrade(old, with = |old: i64| old, back = |new| new))]
    no_version: i64,
    #[crdt(counter, changed_from(lww))]
    votes: i64,
    #[synced(renamed_from("x", in = 2), upgrade(x, in = 2, with = |old: i64| old, back = |new| new))]
    twice: i64,
    #[synced(renamed_from("y", in = 3), renamed_from("z", in = 3))]
    again: i64,
    #[synced(renamed_from("same", in = 2))]
    same: i64,
    #[synced(since = 3, upgrade(old, since = 3, with = |old: i64| old, back = |new| new))]
    late: i64,
    #[synced(upgrade(p, in = 2, with = f, back = g), upgrade(q, in = 3, since = 2, with = f, back = g))]
    chain: i64,
    #[synced(renamed_from("zero", in = 0))]
    zero: i64,
    #[synced(renamed_from("one", in = 1))]
    one: i64,
}

fn main() {
    let _ = models![Todo];
}
