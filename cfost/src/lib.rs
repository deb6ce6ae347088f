//! Local-first apps in Rust: SQLite tables that merge without conflicts across a user's devices.
//!
//! An app marks its structs with [`#[derive(Synced)]`](derive@Synced); each becomes a table that works offline
//! and merges with the same table on the user's other devices.
//!
//! ```
//! use cfost::prelude::*;
//!
//! #[derive(Synced, Debug, Clone, Default, PartialEq)]
//! #[synced(table = "todos", version = 1)]
//! pub struct Todo {
//!     #[synced(id)]
//!     pub id: Uuid,
//!     pub title: String,
//!     pub completed: bool,
//!     #[crdt(counter)]
//!     pub votes: i64,
//! }
//!
//! let models = models![Todo];
//! assert_eq!(models[0].schema.table, "todos");
//! ```

pub use cfost_derive::{Synced, SyncedValue};
pub use cfost_runtime::db::{Admitted, Commits, Db, DbOptions, DeviceInfo, Registration, Tx, User};
#[cfg(feature = "net")]
pub use cfost_runtime::db::{Joining, Node, SyncOptions};
#[cfg(feature = "net")]
pub use cfost_runtime::net;
pub use cfost_runtime::schema::{Counter, Lww, Model, Synced, SyncedValue};
pub use cfost_runtime::{Error, Result, clock, host, identity, oplog, query, schema, store, sync};
pub use uuid::Uuid;

/// What most apps use: `use cfost::prelude::*;`.
///
/// Of `SyncedValue` only the derive is here: the trait's methods would be in the way of the app's own
/// `encode` and `decode`.
pub mod prelude {
    #[doc(no_inline)]
    pub use cfost_derive::SyncedValue;

    #[doc(no_inline)]
    pub use crate::{Db, Synced, Tx, Uuid, models};
}

/// The models of a database: `models![Todo, Project]`, an array of [`Model`].
#[macro_export]
macro_rules! models {
    ($($model:ty),* $(,)?) => {
        [$($crate::Model::of::<$model>()),*]
    };
}

#[doc(hidden)]
pub mod __private;
