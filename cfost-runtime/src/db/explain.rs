//! What became of a row, and what was.

use std::fmt;
use std::sync::Arc;

use rusqlite::Connection;

use super::{Db, model_rows};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::query::Sql;
use crate::schema::{RowId, Synced};
use crate::store::{Explanation, OplogEntry, Store, Table, Undone};

impl Db {
    /// Why a row is as it is: for each column the value, who wrote it when, by which rule it merges, and
    /// which concurrent values lost. Deleted rows can be explained too.
    ///
    /// Reads the whole oplog, unless the model has `#[synced(history)]`.
    ///
    /// # Errors
    /// [`HistoryError::NeverExisted`](crate::store::HistoryError::NeverExisted) for an id that no op held
    /// here is about; [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn explain<M: Synced>(&self, id: M::Id) -> Result<Explanation> {
        let table = model_rows::table_number(self.store.tables(), M::SCHEMA)?;
        self.store.explain(table, id.to_uuid())
    }

    /// All that was ever done to a row, oldest first, also after it was deleted.
    ///
    /// Of a model with `#[synced(history)]` only the changes that the row is in are read, else the whole
    /// oplog.
    ///
    /// # Errors
    /// [`HistoryError::NeverExisted`](crate::store::HistoryError::NeverExisted) for an id that no op held
    /// here is about; [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn history<M: Synced>(&self, id: M::Id) -> Result<Vec<OplogEntry>> {
        let table = model_rows::table_number(self.store.tables(), M::SCHEMA)?;
        self.store.history(table, id.to_uuid())
    }

    /// Takes the last transaction of this device back, by a new one that other devices get as any other.
    ///
    /// Only what the transaction's writes still show goes back: a column that another device has written
    /// since stays as it is, and so does a row that another device has edited after this one inserted it.
    /// A counter loses what the transaction added; a row that was inserted is deleted; one that was deleted
    /// is back with all its columns. What a column goes back to is what it would hold without the
    /// transaction.
    ///
    /// An undo is a transaction too: a second one takes the first back.
    ///
    /// Reads the whole oplog, unless all models concerned have `#[synced(history)]`.
    ///
    /// # Errors
    /// [`HistoryError::NothingToUndo`](crate::store::HistoryError::NothingToUndo) if this device has
    /// written nothing, or nothing since it joined its user; as [`Db::write`].
    pub fn undo(&self) -> Result<Undone> {
        self.store.undo()
    }

    /// The tables as they were at a time, with the timestamps of [`OplogEntry`]: what had been written
    /// then on all devices, as far as it is known here by now. A transaction is there as a whole as soon
    /// as its first op is.
    ///
    /// Applies the oplog up to that time to an empty database, which takes as long as
    /// [`Db::verify`]: keep the result for as long as it is looked at.
    ///
    /// # Errors
    /// [`HistoryError::BeforeFirst`](crate::store::HistoryError::BeforeFirst) for a time before the first
    /// change; [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn at(&self, timestamp: Timestamp) -> Result<Past> {
        Ok(Past { store: Arc::clone(&self.store), conn: self.store.at(timestamp)?, at: timestamp })
    }
}

/// A database as it was at a time, to read; made by [`Db::at`]. What is written later doesn't change it.
///
/// Queries run on it as on a database: `Todo::query().all(&past)`.
pub struct Past {
    store: Arc<Store>,
    conn: Connection,
    at: Timestamp,
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Past {
    pub(super) fn connection(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn tables(&self) -> &[Table] {
        self.store.tables()
    }

    /// The time that is shown.
    pub fn timestamp(&self) -> Timestamp {
        self.at
    }

    /// The row with this id, as [`Db::get`].
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn get<M: Synced>(&self, id: M::Id) -> Result<Option<M>> {
        let tables = self.tables();
        model_rows::get(&self.conn, &tables[model_rows::table_of::<M>(tables)?], id)
    }

    /// All rows, by ascending id, as [`Db::all`].
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn all<M: Synced>(&self) -> Result<Vec<M>> {
        let tables = self.tables();
        model_rows::all(&self.conn, &tables[model_rows::table_of::<M>(tables)?])
    }

    /// How many rows there were.
    ///
    /// # Errors
    /// As [`Db::count`].
    pub fn count<M: Synced>(&self) -> Result<u64> {
        let tables = self.tables();
        model_rows::count(&self.conn, &tables[model_rows::table_of::<M>(tables)?])
    }

    /// An SQL query on the models' tables as they were.
    pub fn sql<'q>(&'q self, text: &'q str) -> Sql<'q> {
        Sql::on_transaction(&self.conn, text)
    }
}
