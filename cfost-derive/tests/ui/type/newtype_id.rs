//! A newtype is an id when it is around a UUID and `Copy`.

use cfost::prelude::*;

#[derive(SyncedValue, Clone)]
struct NotCopy(Uuid);

#[derive(SyncedValue, Clone, Copy)]
struct NoUuid(i64);

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: NotCopy,
}

#[derive(Synced)]
struct Page {
    #[synced(id)]
    id: NoUuid,
}

fn main() {
    let _ = (models![Todo], models![Page]);
}
