//! No id, with and without a field that looks like one.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    title: String,
}

#[derive(Synced)]
struct Page {
    id: Uuid,
}

fn main() {
    let _ = models![Todo, Page];
}
