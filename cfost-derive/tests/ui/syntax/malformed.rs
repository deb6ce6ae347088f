//! Attributes that don't parse: the fields beside them are still checked.

use cfost::prelude::*;

#[derive(Synced)]
#[synced]
#[synced = "todos"]
#[synced(table = todos, version = "1", version = 0)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced()]
    a: i64,
    #[crdt]
    b: i64,
    #[synced(column =)]
    c: i64,
    #[synced(index skip)]
    d: i64,
    #[crdt(conter)]
    e: i64,
    #[synced("index")]
    f: i64,
}

#[derive(Synced)]
#[synced(version = 4294967296, crate = 5)]
struct Page {
    #[synced(id)]
    id: Uuid,
}

#[derive(Synced)]
#[synced(version = 0)]
struct Book {
    #[synced(id)]
    id: Uuid,
}

fn main() {
    let _ = models![Todo, Page, Book];
}
