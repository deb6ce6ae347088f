//! A skipped field needs a value when a row is read.

use cfost::prelude::*;

struct Cache;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(skip)]
    cache: Cache,
    #[synced(skip, default = "none")]
    draft: bool,
}

fn main() {
    let _ = models![Todo];
}
