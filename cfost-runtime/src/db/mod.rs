//! The handle that an app holds, and what it can do with it.

mod account;
mod at_rest;
#[cfg(feature = "backup")]
mod backup;
mod commits;
mod devices;
mod explain;
mod follow;
mod live;
mod model_rows;
#[cfg(feature = "net")]
mod node;
mod options;
mod pairing;
mod queries;
mod replica;
mod row_changes;
mod schema;
#[cfg(feature = "net")]
mod sharing;
mod spaces;
#[cfg(test)]
mod tests;
mod tx;

pub use account::{Registration, User};
pub use commits::Commits;
pub use devices::DeviceInfo;
pub use explain::Past;
pub use live::Watch;
#[cfg(feature = "net")]
pub use node::{Admitting, CardOffer, Joining, Node, SyncOptions};
pub use options::DbOptions;
pub use pairing::Admitted;
pub use queries::Source;
pub use row_changes::{Changes, RowChange};
pub use schema::{Schema, TableSchema};
#[cfg(feature = "net")]
pub use sharing::Accepting;
pub use spaces::{Member, Space};
pub use tx::Tx;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::query::Sql;
use crate::schema::{Model, ModelSchema, Synced};
use crate::store::{Fork, OplogEntry, ReadConnection, Repaired, Store, Table, Verification, Waiting};
use crate::sync::Replica;
use replica::StoreReplica;

/// A database of an app's models: local, always writable, and in sync with the user's other devices
/// while a node runs. Clones are the same database.
#[derive(Clone)]
pub struct Db {
    store: Arc<Store>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the database at `path`, or creates it, with the tables of `models![..]`.
    ///
    /// Several processes may open the same file.
    ///
    /// # Errors
    /// [`StoreError`](crate::store::StoreError) for a file that is corrupt, read-only, locked, written
    /// by a newer app or by another one; the file is unchanged then.
    pub fn open(path: impl AsRef<Path>, models: impl AsRef<[Model]>) -> Result<Self> {
        Self::options().open(path, models)
    }

    /// Opens a database in memory, for tests. It is gone when its last handle is.
    ///
    /// # Errors
    /// [`StoreError::SharedTable`](crate::store::StoreError::SharedTable) when two models claim a table.
    pub fn open_in_memory(models: impl AsRef<[Model]>) -> Result<Self> {
        Self::options().open_in_memory(models)
    }

    /// Opening with choices: the device's name, where time and randomness come from.
    pub fn options() -> DbOptions {
        DbOptions::default()
    }

    /// Whether the file was migrated by a newer version of the app, and is only read; see [`DbOptions::read_newer`].
    pub fn is_read_only(&self) -> bool {
        self.store.reads_newer()
    }

    /// Runs one transaction: what `work` writes is committed as a whole, and replicates as a whole, if it
    /// returns `Ok`. If it returns an error or panics, nothing happens.
    ///
    /// # Errors
    /// Those of `work`; [`Error::abort`](crate::Error::abort) makes one of the app's own.
    /// [`Error::InsideWrite`](crate::Error::InsideWrite) when called inside a transaction of the same
    /// database, [`Error::LoggedOut`](crate::Error::LoggedOut) after a logout.
    /// [`Error::BrokenTransaction`](crate::Error::BrokenTransaction) if `work` went on after a write that
    /// failed half-way, on a full disk say.
    pub fn write<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let (mut work, mut value) = (Some(work), None);
        self.store.write(&mut |inner| {
            let mut tx = Tx::new(inner);
            let work = work.take().expect("a transaction runs its work once");
            value = Some(work(&mut tx)?);
            Ok(tx.into_inner())
        })?;
        Ok(value.expect("a transaction that succeeded has run its work"))
    }

    /// [`Tx::insert`] in a transaction of its own.
    ///
    /// # Errors
    /// As [`Tx::insert`].
    pub fn insert<M: Synced>(&self, row: M) -> Result<M> {
        self.write(|tx| tx.insert(row))
    }

    /// [`Tx::insert_all`] in a transaction of its own.
    ///
    /// # Errors
    /// As [`Tx::insert`].
    pub fn insert_all<M: Synced>(&self, rows: impl IntoIterator<Item = M>) -> Result<Vec<M::Id>> {
        self.write(|tx| tx.insert_all(rows))
    }

    /// [`Tx::update`] in a transaction of its own.
    ///
    /// # Errors
    /// As [`Tx::update`].
    pub fn update<M: Synced>(&self, id: M::Id, edit: impl FnOnce(&mut M)) -> Result<M> {
        self.write(|tx| tx.update(id, edit))
    }

    /// [`Tx::delete`] in a transaction of its own.
    ///
    /// # Errors
    /// As [`Tx::delete`].
    pub fn delete<M: Synced>(&self, id: M::Id) -> Result<()> {
        self.write(|tx| tx.delete::<M>(id))
    }

    /// The row with this id.
    ///
    /// # Errors
    /// [`Error::Unreadable`](crate::Error::Unreadable) for a stored value that isn't one of its field's
    /// type.
    pub fn get<M: Synced>(&self, id: M::Id) -> Result<Option<M>> {
        let (conn, table) = self.reading(M::SCHEMA)?;
        model_rows::get(&conn, table, id)
    }

    /// All rows, by ascending id, which for minted ids is the order of their inserts.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn all<M: Synced>(&self) -> Result<Vec<M>> {
        let (conn, table) = self.reading(M::SCHEMA)?;
        model_rows::all(&conn, table)
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn count<M: Synced>(&self) -> Result<u64> {
        let (conn, table) = self.reading(M::SCHEMA)?;
        model_rows::count(&conn, table)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A connection to read a model's table with.
    fn reading(&self, schema: &'static ModelSchema) -> Result<(ReadConnection<'_>, &Table)> {
        let tables = self.store.tables();
        let table = &tables[model_rows::table_number(tables, schema)?];
        Ok((self.store.reader()?, table))
    }

    /// An SQL query; see [`Sql`]. It reads only, and besides the models' tables it can read the
    /// oplog, as the table `cfost_oplog`.
    pub fn sql<'q>(&'q self, text: &'q str) -> Sql<'q> {
        Sql::on_store(&self.store, text)
    }

    /// The oplog: who did what to which row, and when, oldest first. It is read as it is iterated.
    ///
    /// # Errors
    /// When the database can't be read; so may each entry.
    pub fn oplog(&self) -> Result<impl Iterator<Item = Result<OplogEntry>> + '_> {
        self.store.entries()
    }

    /// The database as a sync session sees it: to drive [`Session`](crate::sync::Session)s over a
    /// transport of the app's own.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn replica(&self) -> Result<Arc<dyn Replica>> {
        Ok(Arc::new(StoreReplica::new(Arc::clone(&self.store))?))
    }

    /// The changes that are held and not shown yet, a log each, and what they wait for: an update of this app, a key,
    /// its clock, or the rest of their transaction. All of them are kept and passed on.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>> {
        self.store.waiting()
    }

    /// Checks that nothing is damaged: every change against its hash chain and signatures, and every
    /// row against what the oplog gives.
    ///
    /// # Errors
    /// When the database can't be read, or the device is logged out. What is damaged is no error
    /// but a part of the answer.
    pub fn verify(&self) -> Result<Verification> {
        self.store.verify()
    }

    /// The logs that took two ways: a device's key has signed two changes with one number, since the device was copied
    /// with all its files, or lies. Both ways are kept on all devices, and both count. Empty, for most users for good.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn forks(&self) -> Result<Vec<Fork>> {
        self.store.forks()
    }

    /// Cuts out of the oplog what [`Db::verify`] finds to be damaged, and makes all rows anew from the rest. What was
    /// cut out comes back from the next of the user's devices that has it: a node that runs asks for it at once.
    /// Until then [`Db::verify`] names it as [`Difference::Awaited`](crate::store::Difference::Awaited).
    ///
    /// Of this device's own changes, those that had not left it yet are on no other device: what can still be read of
    /// them is written anew, and [`Cut::lost`](crate::store::Cut::lost) says how many can't.
    ///
    /// # Errors
    /// [`Error::LoggedOut`](crate::Error::LoggedOut); when the file can't be written, or is damaged beyond the oplog and
    /// the rows.
    pub fn repair(&self) -> Result<Repaired> {
        self.store.repair()
    }
}
