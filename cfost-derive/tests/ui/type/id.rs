//! An id that is no UUID.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: String,
}

fn main() {
    let _ = models![Todo];
}
