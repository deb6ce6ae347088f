//! What can't be kept offline is said so, with what to use.

use cfost::prelude::*;

#[derive(Synced)]
struct User {
    #[synced(id)]
    id: Uuid,
    #[synced(unique)]
    email: String,
}

fn main() {
    let _ = models![User];
}
