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
    let _ = Todo::query()
        .filter(|t| t.title.eq("Milk") & t.votes.gt(0) & t.tags.contains("dairy") & t.project.eq(Uuid::nil()))
        .order_by(|t| t.title.asc());
}
