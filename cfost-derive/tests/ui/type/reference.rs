//! A reference has the type of the other model's id.

use cfost::prelude::*;

#[derive(SyncedValue, Clone, Copy)]
struct ProjectId(Uuid);

#[derive(Synced)]
struct Project {
    #[synced(id)]
    id: ProjectId,
}

struct User;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Project)]
    project: Uuid,
    #[synced(references = Project)]
    name: String,
    #[synced(references = User)]
    author: Uuid,
    #[synced(references = Proejct)]
    other: Uuid,
}

fn main() {
    let _ = models![Todo, Project];
}
