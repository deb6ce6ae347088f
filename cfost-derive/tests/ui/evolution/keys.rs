//! Words of others for what versions change.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 2, drop(a), dropped(b), removed(c: i64 = 0, in = 2, default = 0), removed(d, on = 2), remvoed(e))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(rename_from("x", in = 2))]
    a: i64,
    #[synced(renamed = "x")]
    b: i64,
    #[synced(migrate(x, with = f))]
    c: i64,
    #[synced(from = x)]
    d: i64,
    #[synced(drop)]
    e: i64,
    #[synced(removed(x))]
    f: i64,
    #[synced(renamed_from("x", since = 2))]
    g: i64,
    #[synced(renamed_from(in = 2))]
    h: i64,
    #[synced(renamed_from = "x")]
    i: i64,
    #[synced(upgrade(x, using = f, bcak = g, into = 3))]
    j: i64,
    #[synced(upgrade, since = 2)]
    k: Option<i64>,
    #[synced(since = 2, upgrade(x, in = 2))]
    l: Option<i64>,
    #[synced(changed_from(lww, in = 2))]
    #[crdt(counter)]
    m: i64,
    #[crdt(counter, changed_form(lww, in = 2))]
    n: i64,
    #[crdt(counter, changed_from(lww, in = 2, back = g))]
    o: i64,
    #[crdt(counter, changed_from(in = 2), from(lww))]
    p: i64,
    #[synced(since = 2, upgrade(x, with = f, with = g))]
    q: Option<i64>,
    #[crdt(counter, changed_from)]
    r: i64,
    #[synced(renamed_from("x" in = 2))]
    s: i64,
}

fn main() {
    let _ = models![Todo];
}
