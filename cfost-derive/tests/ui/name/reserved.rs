//! Names that belong to CFOST or SQLite, or that are none.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(table = "sqlite_todos")]
struct Todo {
    #[synced(id)]
    id: Uuid,
    _cfost: i64,
    cfost_x: i64,
    #[synced(column = "")]
    empty: i64,
    #[synced(column = "a b")]
    space: i64,
    #[synced(column = "1st")]
    digit: i64,
}

#[derive(Synced)]
struct CfostOplog {
    #[synced(id)]
    id: Uuid,
}

fn main() {
    let _ = models![Todo, CfostOplog];
}
