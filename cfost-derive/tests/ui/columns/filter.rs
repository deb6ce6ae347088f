//! A filter that names a field that isn't there, or asks of a field what it doesn't have.

use cfost::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced)]
struct Project {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[synced(references = Project)]
    project: Uuid,
}

fn main() {
    let _ = Todo::query().filter(|t| t.titel.eq("Milk"));
    let _ = Todo::query().filter(|t| t.tags.contains(5));
    let _ = Todo::query().filter(|t| t.project.matches(|p| p.nam.eq("House")));
    let _ = Todo::query().order_by(|t| t.title);
    let _ = Todo::query().order_by(|t| t.tags.asc());
}
