//! What does not go with `text`, each with its why.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(index(title, body))]
struct Note {
    #[synced(id(from(body)))]
    id: Uuid,
    title: String,
    #[crdt(text)]
    #[synced(default = "", index, immutable, references = Note)]
    body: Text,
}

fn main() {
    let _ = models![Note];
}
