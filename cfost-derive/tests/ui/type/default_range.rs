//! A default beyond the range of its field's range is rustc's lint, on the literal.

use cfost::prelude::*;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(default = 300)]
    small: i8,
}

fn main() {
    let _ = models![Todo];
}
