//! An option that is there twice.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(table = "a", table = "b")]
#[synced(index(title, title))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(index)]
    #[synced(index)]
    title: String,
}

fn main() {
    let _ = models![Todo];
}
