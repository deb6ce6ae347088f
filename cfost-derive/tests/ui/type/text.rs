//! What can't merge as a text, and a text without its rule.

use cfost::prelude::*;

#[derive(Synced)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[crdt(text)]
    title: String,
    #[crdt(text)]
    maybe: Option<Text>,
    body: Text,
    #[crdt(counter)]
    count: Text,
}

fn main() {
    let _ = models![Note];
}
