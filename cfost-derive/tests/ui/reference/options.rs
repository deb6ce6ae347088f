//! `references` and `on_delete`.

use cfost::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced)]
struct Project {
    #[synced(id)]
    id: Uuid,
}

#[derive(Synced)]
struct Todo {
    #[synced(id, references = Project)]
    id: Uuid,
    #[synced(on_delete = cascade)]
    project: Uuid,
    #[synced(references = Project, on_delete = cascad)]
    near: Uuid,
    #[synced(references = Project, on_delete = restrict)]
    strict: Uuid,
    #[synced(references = Project, on_delete = no_action)]
    other: Uuid,
    #[synced(references = Project, on_delete)]
    bare: Uuid,
    #[synced(references(Project))]
    list: Uuid,
    #[synced(references = "Project")]
    text: Uuid,
    #[synced(skip, references = Project)]
    skipped: Uuid,
    #[crdt(set)]
    #[synced(references = Project)]
    many: BTreeSet<Uuid>,
}

fn main() {
    let _ = models![Todo, Project];
}
