//! A model with a mistake still has its columns, so that only the mistake shows.

use cfost::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(indx)]
    title: String,
    #[crdt(conter)]
    votes: i64,
    #[crdt(sett)]
    tags: BTreeSet<String>,
    #[synced(referencs = Project)]
    project: Uuid,
}

fn main() {
    let columns = Todo::MAPPING.columns;
    let _ = (columns.title.name(), columns.votes.name(), columns.tags.name(), columns.project.name());
}
