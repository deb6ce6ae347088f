//! A newer app may send a variant that this build doesn't know.

use cfost::prelude::*;

#[derive(SyncedValue)]
enum Priority {
    Low,
    High,
}

#[derive(SyncedValue)]
enum State {
    Open,
    Other,
}

#[derive(SyncedValue)]
enum Empty {}

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    priority: Priority,
    state: Option<State>,
}

fn main() {
    let _ = (models![Todo], Priority::Low, Priority::High, State::Open, State::Other);
}
