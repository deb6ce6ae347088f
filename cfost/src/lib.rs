//! Local-first apps in Rust: SQLite tables that merge without conflicts across a user's devices.
//!
//! An app marks its structs with [`#[derive(Synced)]`](derive@Synced); each becomes a table that works offline
//! and merges with the same table on the user's other devices.
//!
//! ```
//! use cfost::prelude::*;
//! use std::collections::BTreeSet;
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
//!     #[crdt(set)]
//!     pub tags: BTreeSet<String>,
//! }
//!
//! # fn main() -> cfost::Result<()> {
//! let db = Db::open_in_memory(models![Todo])?;
//!
//! // One transaction is one change: it is committed as a whole, and replicates as a whole.
//! let milk = db.write(|tx| {
//!     let milk = tx.insert(Todo { title: "Buy milk".into(), ..Todo::default() })?;
//!     tx.update(milk.id, |todo: &mut Todo| todo.votes += 1)
//! })?;
//! assert_eq!(db.get::<Todo>(milk.id)?, Some(milk.clone()));
//!
//! // An error rolls all of it back.
//! let full = db.write(|tx| {
//!     tx.delete::<Todo>(milk.id)?;
//!     Err::<(), _>(cfost::Error::abort("changed my mind"))
//! });
//! assert!(full.is_err() && db.count::<Todo>()? == 1);
//!
//! // Queries are checked by the compiler; `watch` in place of `all` makes one live.
//! let open = Todo::query().filter(|t| t.completed.eq(false) & t.votes.gt(0)).order_by(|t| t.title.asc());
//! assert_eq!(open.all(&db)?, [milk]);
//!
//! // Tables are ordinary SQLite tables.
//! let titles: Vec<(String,)> = db.sql("SELECT title FROM todos WHERE votes > ?").bind(0).rows()?;
//! assert_eq!(titles, [("Buy milk".to_owned(),)]);
//!
//! // The oplog tells who did what, and when.
//! let ops: Vec<_> = db.oplog()?.collect::<Result<_, _>>()?;
//! assert_eq!(ops[1].data_json(), r#"{"votes":{"add":1}}"#);
//!
//! // Every row can be made again from it.
//! assert!(db.verify()?.is_sound());
//! # Ok(())
//! # }
//! ```
//!
//! Where to go from here: [`Db`] opens, reads and writes; [`Tx`] is what a transaction can do;
//! `Db::sync` puts the database on the network, and [`Db::register_user`] names its user. The guide in
//! the repository begins with two devices in ten minutes.

pub use cfost_derive::{Synced, SyncedValue};
#[cfg(feature = "backup")]
pub use cfost_runtime::backup;
#[cfg(feature = "text")]
pub use cfost_runtime::crdt::text::{self, Text};
#[cfg(feature = "net")]
pub use cfost_runtime::db::{Accepting, Admitting, CardOffer, Joining, Node, SyncOptions};
pub use cfost_runtime::db::{
    Admitted, Changes, Commits, Db, DbOptions, DeviceInfo, Member, Past, Registration, RowChange, Schema, Source,
    Space, TableSchema, Tx, User, Watch,
};
pub use cfost_runtime::identity::Role;
#[cfg(feature = "net")]
pub use cfost_runtime::net;
pub use cfost_runtime::schema::{Counter, Encrypted, List, Lww, Model, Synced, SyncedValue, rule};
pub use cfost_runtime::store::{Migration, Origin};
pub use cfost_runtime::{Error, Result, clock, host, identity, oplog, schema, store, sync};
pub use uuid::Uuid;

/// ```
/// use cfost::prelude::*;
/// use cfost::testing;
///
/// #[derive(Synced, Debug, Clone, Default, PartialEq)]
/// #[synced(table = "todos", version = 1)]
/// struct Todo {
///     #[synced(id)]
///     id: Uuid,
///     title: String,
///     #[crdt(counter)]
///     votes: i64,
/// }
///
/// # fn main() -> cfost::Result<()> {
/// // In an app this is the one line of a `#[test]`.
/// testing::merge_laws::<Todo>();
///
/// // And what the app makes of it is told as a story.
/// let devices = testing::devices(2, &models![Todo], 1)?;
/// let (phone, laptop) = (&devices[0].db, &devices[1].db);
/// let milk = phone.insert(Todo { title: "Buy milk".into(), ..Todo::default() })?;
/// testing::sync(phone, laptop)?;
/// phone.update(milk.id, |todo: &mut Todo| todo.votes += 1)?;
/// laptop.update(milk.id, |todo: &mut Todo| todo.votes += 2)?;
/// testing::sync(phone, laptop)?;
/// assert_eq!(phone.all::<Todo>()?, laptop.all::<Todo>()?);
/// # Ok(())
/// # }
/// ```
///
/// When the app has released more than one version, the structs of those before stay in modules of its tests, and
/// [`fleet`](testing::fleet()) has devices on all versions share what they write:
///
/// ```
/// use cfost::prelude::*;
/// use cfost::testing::{self, Fleet};
///
/// /// As it was released: never to be changed.
/// mod v1 {
///     use cfost::prelude::*;
///
///     #[derive(Synced, Debug, Clone, Default, PartialEq)]
///     #[synced(table = "todos", version = 1)]
///     pub struct Todo {
///         #[synced(id)]
///         pub id: Uuid,
///         pub title: String,
///         pub minutes: i64,
///     }
/// }
///
/// #[derive(Synced, Debug, Clone, Default, PartialEq)]
/// #[synced(table = "todos", version = 2)]
/// struct Todo {
///     #[synced(id)]
///     id: Uuid,
///     #[synced(renamed_from("title", in = 2))]
///     name: String,
///     #[synced(since = 2, upgrade(minutes, with = |minutes: i64| minutes.saturating_mul(60), back = |s| s / 60))]
///     seconds: i64,
/// }
///
/// # fn main() -> cfost::Result<()> {
/// // In an app this is the one line of a `#[test]`.
/// testing::fleet(&[&models![v1::Todo], &models![Todo]]);
///
/// // And a story of the app's own: the phone is on version 1, the laptop on version 2.
/// let mut fleet = Fleet::of(&[&models![v1::Todo], &models![Todo]]).installed([0, 1]).start()?;
/// let milk = fleet.device(0).insert(v1::Todo { title: "Buy milk".into(), minutes: 10, ..v1::Todo::default() })?;
/// fleet.sync(0, 1)?;
/// let shown = fleet.device(1).update(milk.id, |todo: &mut Todo| todo.seconds += 60)?;
/// assert_eq!((shown.name.as_str(), shown.seconds), ("Buy milk", 660));
/// fleet.sync(1, 0)?;
/// assert_eq!(fleet.device(0).get::<v1::Todo>(milk.id)?.map(|todo| todo.minutes), Some(11));
/// fleet.upgrade(0, 1)?;
/// assert_eq!(fleet.device(0).get::<Todo>(milk.id)?, Some(shown));
/// fleet.check()?;
/// # Ok(())
/// # }
/// ```
pub use cfost_runtime::testing;

pub mod query;

/// What most apps use: `use cfost::prelude::*;`.
///
/// Of `SyncedValue` only the derive is here: the trait's methods would be in the way of the app's own
/// `encode` and `decode`.
pub mod prelude {
    #[doc(no_inline)]
    pub use cfost_derive::SyncedValue;

    #[cfg(feature = "text")]
    #[doc(no_inline)]
    pub use crate::Text;
    #[doc(no_inline)]
    pub use crate::query::Queryable;
    #[doc(no_inline)]
    pub use crate::{Db, Encrypted, List, Synced, Tx, Uuid, models};
}

/// The models of a database: `models![Todo, Project]`, an array of [`Model`].
#[macro_export]
macro_rules! models {
    ($($model:ty),* $(,)?) => {
        [$($crate::Model::of::<$model>()),*]
    };
}

/// A test that an app's models are what its `schema.lock` records, beside its `Cargo.toml`:
/// `cfost::schema_lock!(Todo, Project);` at the level of a module, once per package, with all its models.
///
/// `CFOST_BLESS=1 cargo test` writes the file, and records what is new from then on; commit it. The test fails, with
/// the line to write, when something changed that devices with a released version rely on: a field that is there no
/// more, or has another type, without the attribute that says so; another `backfill`; a name that was taken before; an
/// upgrade of another signature. What is recorded is overwritten only if it is of a newest version, and only by
/// `CFOST_BLESS=unreleased cargo test`: for a version that no device has yet but the developer's own.
///
/// A type of Rust is recorded as what it is stored as, so `bool` and `i64` are the same to it.
///
/// ```
/// use cfost::prelude::*;
///
/// #[derive(Synced)]
/// #[synced(table = "todos", version = 1)]
/// struct Todo {
///     #[synced(id)]
///     id: Uuid,
///     title: String,
/// }
///
/// cfost::schema_lock!(Todo);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! schema_lock {
    ($($model:ty),+ $(,)?) => {
        #[cfg(test)]
        #[test]
        fn schema_lock() {
            $crate::testing::schema_lock(::core::env!("CARGO_MANIFEST_DIR"), &$crate::models![$($model),+]);
        }
    };
}

#[doc(hidden)]
pub mod __private;
