//! The error that everything converges in.

use uuid::Uuid;

#[cfg(feature = "backup")]
use crate::backup::BackupError;
use crate::identity::IdentityError;
#[cfg(feature = "net")]
use crate::net::NetError;
use crate::oplog::{OplogError, SpaceId};
use crate::schema::ValueError;
use crate::store::{HistoryError, StoreError};
use crate::sync::SyncError;

/// The result of everything an app calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on what, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database file can't be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Users, devices, passwords and pairing.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A change can't be read or made.
    #[error(transparent)]
    Oplog(#[from] OplogError),
    /// A sync session ended.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The network.
    #[cfg(feature = "net")]
    #[error(transparent)]
    Net(#[from] NetError),
    /// A backup can't be made or restored.
    #[cfg(feature = "backup")]
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The past that was asked for isn't there, or can't be brought back.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// No row has this id.
    #[error("'{table}' has no row {id}")]
    NotFound {
        /// The table.
        table: &'static str,
        /// The id that was looked for.
        id: Uuid,
    },
    /// A row has this id already.
    #[error("'{table}' already has a row {id}: use `tx.update`, or leave the id nil to have one minted")]
    Exists {
        /// The table.
        table: &'static str,
        /// The id.
        id: Uuid,
    },
    /// A row with this id was deleted, and deletes of its model are final.
    #[error("row {id} of '{table}' was deleted for good (`delete = wins`): insert the row with another id")]
    Deleted {
        /// The table.
        table: &'static str,
        /// The id.
        id: Uuid,
    },
    /// A write would give an immutable field another value.
    #[error(
        "'{model}.{field}' is immutable, row {id} keeps the value it was first inserted with: insert a row with \
         another id instead"
    )]
    Immutable {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// The row.
        id: Uuid,
    },
    /// A row was inserted with another id than its values give it.
    #[error("the id of a '{model}' is made from its values: leave it nil, or give it {derived} and not {given}")]
    NotDerived {
        /// The struct.
        model: &'static str,
        /// The id that the row was given.
        given: Uuid,
        /// The id that its values give it.
        derived: Uuid,
    },
    /// A row that is a space was inserted with an id of the app's.
    #[error("each '{model}' is a space, which mints its id: leave the id nil, and not {given}")]
    SpaceIdGiven {
        /// The struct.
        model: &'static str,
        /// The id that the row was given.
        given: Uuid,
    },
    /// A row was to be written into a space that isn't known here.
    #[error(
        "this '{model}' would be in space {space}, which isn't known here: give it the id of a row that is a space, \
         and that this user has inserted or was invited to"
    )]
    UnknownSpace {
        /// The struct.
        model: &'static str,
        /// The space.
        space: SpaceId,
    },
    /// A write refers to a row that isn't there.
    #[error(
        "'{model}.{field}' names row {id} of '{table}', which isn't there: insert it first, or use `on_delete = keep`"
    )]
    MissingParent {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// The table of the row that it names.
        table: &'static str,
        /// The row that it names.
        id: Uuid,
    },
    /// The model was not listed when the database was opened.
    #[error("'{model}' is not a model of this database: add it to `models![..]` in `Db::open`")]
    UnknownModel {
        /// The struct.
        model: &'static str,
    },
    /// A field's value can't be stored.
    #[error("can't store '{model}.{field}': {source}")]
    Unstorable {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// Why.
        source: ValueError,
    },
    /// A field is encrypted under a key that this device doesn't have.
    #[error(
        "can't encrypt '{model}.{field}': the key of space {space} is not on this device; be invited to that space first, \
         or sync with a device that has the key"
    )]
    NoFieldKey {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// The space whose key it is.
        space: SpaceId,
    },
    /// An encrypted value that can't be read here was put where it wasn't.
    #[error(
        "can't write a locked value to '{model}.{field}' of row {id}: it was encrypted for another place, and can't be \
         read here to be encrypted for this one; write an open value"
    )]
    LockedValue {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// The row.
        id: Uuid,
    },
    /// A stored value isn't one of its field's type.
    #[error("can't read '{model}.{field}': {source}")]
    Unreadable {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// Why.
        source: ValueError,
    },
    /// An update changed the row's id, which is the row's identity.
    #[error("an update changed the id of row {id} of '{table}': insert a new row instead")]
    IdChanged {
        /// The table.
        table: &'static str,
        /// The id before.
        id: Uuid,
    },
    /// The database handle was used inside a transaction, where it would wait for itself.
    #[error("`db` was used inside `db.write`: use the transaction, `tx`, that the closure is given")]
    InsideWrite,
    /// A write inside the transaction failed half-way, and the app went on all the same.
    #[error("an earlier write of this transaction failed, so none of it can be committed: return that error")]
    BrokenTransaction,
    /// A query looks for words in a field that has no index of them.
    #[error("'{model}.{field}' has no index of its words: add `#[synced(search)]` to the field")]
    NotSearchable {
        /// The struct.
        model: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A query compares with more values than SQLite takes.
    #[error("a query of '{model}' compares with {values} values, at most {values_max} are possible: ask in parts")]
    QueryTooLarge {
        /// The struct.
        model: &'static str,
        /// The values.
        values: usize,
        /// The limit.
        values_max: usize,
    },
    /// An SQL statement would write.
    #[error("`db.sql` only reads: change rows through `db.write`, so that other devices get the change")]
    SqlWrites,
    /// An SQL statement has another number of parameters than values were bound.
    #[error("the statement has {expected} parameters, {bound} values were bound")]
    SqlParameters {
        /// The parameters in the statement.
        expected: usize,
        /// The values bound.
        bound: usize,
    },
    /// A row of an SQL query has another number of columns than the type it is read as.
    #[error("the query returns {found} columns, the row type has {expected}")]
    SqlColumns {
        /// The columns of the type.
        expected: usize,
        /// The columns of the query.
        found: usize,
    },
    /// A column of an SQL query isn't of the type it is read as.
    #[error("column {column} ('{name}') of the query: {source}")]
    SqlValue {
        /// The column's position, from 0.
        column: usize,
        /// The column's name.
        name: String,
        /// Why.
        source: ValueError,
    },
    /// An SQL statement is wrong.
    #[error("in the SQL statement: {message}")]
    Sql {
        /// SQLite's words.
        message: String,
    },
    /// The device is logged out: its keys are locked by the password.
    #[error("this device is logged out: call `db.login(email, password)`")]
    LoggedOut,
    /// The app ended the transaction with an error of its own.
    #[error(transparent)]
    Aborted(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An app's own error, to roll a transaction back with.
    ///
    /// ```
    /// use cfost_runtime::Error;
    ///
    /// let error = Error::abort("the list is full");
    /// assert_eq!(error.to_string(), "the list is full");
    /// ```
    pub fn abort(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Aborted(error.into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
