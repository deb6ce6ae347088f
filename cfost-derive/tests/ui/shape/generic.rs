//! A table has one shape.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo<T> {
    #[synced(id)]
    id: Uuid,
    title: T,
}

#[derive(Synced)]
struct Page<'a> {
    #[synced(id)]
    id: Uuid,
    title: &'a str,
}

#[derive(SyncedValue)]
struct Wrapped<T>(T);

fn main() {
    let _ = (models![Todo<i64>], models![Page<'static>], Wrapped(1_i64));
}
