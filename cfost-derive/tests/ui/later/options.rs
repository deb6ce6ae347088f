//! Options that have a name and a meaning, in a later version.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted)]
    secret: String,
}

fn main() {
    let _ = models![Todo];
}
