//! An index over fields that are not there.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(index(done, titel), index(draft), index(heading), index(elephant))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(column = "heading")]
    title: String,
    done: bool,
    #[synced(skip)]
    draft: bool,
}

fn main() {
    let _ = models![Todo];
}
