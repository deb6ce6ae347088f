//! A row has one id.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(id)]
    key: Uuid,
}

fn main() {
    let _ = models![Todo];
}
