//! A filter that compares what can't be compared.

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
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[synced(references = Project)]
    project: Uuid,
}

fn main() {
    let _ = Todo::query().filter(|t| t.completed.eq("yes"));
    let _ = Todo::query().filter(|t| t.titel.eq("Milk"));
    let _ = Todo::query().filter(|t| t.votes.starts_with("1"));
    let _ = Todo::query().filter(|t| t.tags.contains(5));
    let _ = Todo::query().filter(|t| t.project.matches(|p| p.name.gt(3)));
    let _ = Todo::query().order_by(|t| t.title);
    let _ = Todo::query().order_by(|t| t.tags.asc());
}
