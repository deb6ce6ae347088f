//! A type that doesn't exist is rustc's error, once.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: Sting,
}

fn main() {
    let _ = models![Todo];
}
