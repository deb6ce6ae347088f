//! Options that have a name and a meaning, in a later version.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(space, removed(notes: String = String::new(), in = 2))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted)]
    secret: String,
    #[synced(renamed_from("heading", in = 2))]
    name: String,
    #[synced(upgrade(done, with = to_state))]
    state: i64,
}

fn main() {
    let _ = models![Todo];
}
