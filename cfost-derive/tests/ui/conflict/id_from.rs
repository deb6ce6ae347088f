//! What an id can't be made from.

use cfost::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced)]
struct Contact {
    #[synced(id(from(email, email, id, emial, votes, tags, draft, mail)))]
    id: Uuid,
    #[synced(column = "mail")]
    email: String,
    #[crdt(counter)]
    votes: i64,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[synced(skip)]
    draft: String,
}

#[derive(Synced)]
struct Empty {
    #[synced(id(from()))]
    id: Uuid,
}

#[derive(Synced)]
struct Misspelt {
    #[synced(id(form(email)))]
    id: Uuid,
    email: String,
}

#[derive(Synced)]
struct Bare {
    #[synced(id(email))]
    id: Uuid,
    email: String,
}

fn main() {
    let _ = models![Contact, Empty, Misspelt, Bare];
}
