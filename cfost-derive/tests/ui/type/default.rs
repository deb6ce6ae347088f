//! A default that isn't a value of its field.

use cfost::prelude::*;

#[derive(SyncedValue)]
enum Priority {
    High,
    #[synced(other)]
    Other,
}

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(default = "none")]
    rank: i64,
    #[synced(default = 300)]
    small: i8,
    #[synced(default = 5)]
    title: Option<String>,
    #[synced(default = 1)]
    ratio: f64,
    #[synced(default = "0")]
    parent: Uuid,
    #[synced(default = 1)]
    priority: Priority,
}

fn main() {
    let _ = (models![Todo], Priority::High, Priority::Other);
}
