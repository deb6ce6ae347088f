//! Words that other libraries use.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(table_name = "todos")]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(rename = "name")]
    title: String,
    #[synced(ignore)]
    notes: String,
    #[synced(elephant)]
    size: i64,
}

fn main() {
    let _ = models![Todo];
}
