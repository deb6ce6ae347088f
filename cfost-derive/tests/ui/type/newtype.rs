//! A newtype around what no column holds.

use cfost::prelude::*;

#[derive(SyncedValue)]
struct Names(Vec<String>);

struct Address;

#[derive(SyncedValue)]
struct Home(Address);

#[derive(SyncedValue)]
struct Label(String);

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[crdt(counter)]
    label: Label,
}

fn main() {
    let _ = models![Todo];
}
