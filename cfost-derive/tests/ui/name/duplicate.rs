//! SQLite takes `title` and `Title` for the same column.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[synced(column = "Title")]
    heading: String,
    #[synced(column = "ID")]
    number: i64,
}

fn main() {
    let _ = models![Todo];
}
