//! What has no words.

use cfost::prelude::*;

#[derive(SyncedValue)]
struct Cents(i64);

#[derive(SyncedValue)]
struct Title(String);

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(search)]
    rank: i64,
    #[synced(search)]
    price: Option<Cents>,
    #[synced(search)]
    title: Option<Title>,
}

fn main() {
    let _ = models![Todo];
}
