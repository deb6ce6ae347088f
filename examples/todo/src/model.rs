//! The app's data: one model.

use cfost::prelude::*;

/// Something to do.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
pub(crate) struct Todo {
    /// Minted at insert, and ordered by time of creation.
    #[synced(id)]
    pub(crate) id: Uuid,
    /// What to do. Renamed on two devices at once, the later name wins.
    pub(crate) title: String,
    /// Whether it is done.
    pub(crate) completed: bool,
    /// How many votes it has. Votes given on several devices add up.
    #[crdt(counter)]
    pub(crate) votes: i64,
}

cfost::schema_lock!(Todo);
