//! The runtime of CFOST: everything that `#[derive(Synced)]` stands on.
//!
//! Apps use it through the `cfost` crate. Data goes one way in (`db.write` → merge → store and
//! oplog → watchers and sync) and one way in from outside (net → sync → oplog checks → merge →
//! store → watchers); `ARCHITECTURE.md` says what each room may know of the others.

#[macro_use]
mod planted;

#[cfg(feature = "backup")]
pub mod backup;
pub mod clock;
pub mod crdt;
pub mod db;
mod error;
pub mod host;
pub mod identity;
#[cfg(feature = "net")]
pub mod net;
pub mod oplog;
pub mod query;
pub mod schema;
pub mod store;
pub mod sync;
pub mod testing;

pub use error::{Error, Result};
