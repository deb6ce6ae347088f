//! A stored field's default is a literal, because the database has it too.

use cfost::prelude::*;

enum Priority {
    High,
}

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(default = Priority::High)]
    priority: String,
    #[synced(default = Uuid::nil())]
    parent: Uuid,
    #[synced(default = 9_223_372_036_854_775_808)]
    rank: u64,
    #[synced(default = 'x')]
    letter: String,
    #[synced(default = "a\0b")]
    nul: String,
}

fn main() {
    let _ = (models![Todo], Priority::High);
}
