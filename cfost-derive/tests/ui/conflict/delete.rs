//! `delete` and `history` on the struct.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(delete = never, history = true)]
struct Todo {
    #[synced(id)]
    id: Uuid,
}

#[derive(Synced)]
#[synced(delete)]
struct Bare {
    #[synced(id, history)]
    id: Uuid,
    #[synced(delete = wins)]
    title: String,
}

#[derive(Synced)]
#[synced(search)]
struct Searched {
    #[synced(id)]
    id: Uuid,
}

fn main() {
    let _ = models![Todo, Bare, Searched];
}
