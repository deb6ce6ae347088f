//! What can be wrong with a database file.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::atrest::AtRestError;

/// A database that can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is damaged, or isn't an SQLite database.
    #[error("the database is corrupt: {what}; keep the file, and restore a backup or pair this device anew")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// The document of a text can't be read, or can't take an edit.
    #[cfg(feature = "text")]
    #[error("'{column}' of row {id} of '{table}': {source}")]
    Text {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: uuid::Uuid,
        /// What is wrong.
        source: crate::crdt::text::TextError,
    },
    /// The database is encrypted and can't be opened, or it can't be encrypted.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
    /// The file is an SQLite database of another application.
    #[error("{} is an SQLite database that CFOST did not make; choose another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder can't be written.
    #[error("the database is read-only: check the permissions of the file and of its folder")]
    ReadOnly,
    /// The file can't be opened or created.
    #[error("can't open {}: {reason}", path.display())]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// SQLite's or the system's words.
        reason: String,
    },
    /// Another process or thread has kept the database locked for longer than the time-out.
    #[error("the database is locked by another process; try again when its transaction has ended")]
    Busy,
    /// The disk is full. The transaction was rolled back; nothing that was committed is lost.
    #[error("the disk is full: free some space and try again; nothing committed is lost")]
    DiskFull,
    /// The system failed to read or write the file. The transaction was rolled back.
    #[error("the database file can't be read or written: {reason}; check the disk, then try again")]
    DiskFailed {
        /// SQLite's words.
        reason: String,
    },
    /// The file was written by a newer build, which may know things that this one would damage.
    #[error("the database has format {found}, this build reads up to {known}: update the app")]
    NewerFormat {
        /// The file's format version.
        found: i64,
        /// The newest format this build knows.
        known: i64,
    },
    /// The file's table was written by a newer version of the model.
    #[error(
        "table '{table}' was written by version {found} of the model, this app has version {known}: update the app"
    )]
    NewerModel {
        /// The table.
        table: String,
        /// The version in the file.
        found: u32,
        /// The version of the app's model.
        known: u32,
    },
    /// The file's table was written by a newer version of the model, in which a column is another.
    #[error(
        "'{table}.{column}' can't be read by version {known} of the model, the file has version {found}: {what}; update \
         the app"
    )]
    NotReadable {
        /// The table.
        table: &'static str,
        /// The column, or the field with elements, as the app's model calls it.
        column: String,
        /// The version in the file; 0 if it has no such table.
        found: u32,
        /// The version of the app's model.
        known: u32,
        /// What is there in its place.
        what: String,
    },
    /// This database can't become another device while it is not known which of its former one's changes peers hold.
    #[error(
        "this device wrote changes by itself under numbers that may be taken: sync with another of the user's devices, \
         then pair again"
    )]
    Unsettled,
    /// The model isn't what the table was made from.
    #[error(
        "model '{model}' no longer fits its table '{table}': {what}; raise the model's version and mark what is new \
         with `#[synced(since = ..)]`, or undo the change"
    )]
    SchemaChanged {
        /// The model.
        model: &'static str,
        /// Its table.
        table: &'static str,
        /// What differs.
        what: String,
    },
    /// Two models claim the same table.
    #[error("models '{first}' and '{second}' both use the table '{table}': give one `#[synced(table = \"..\")]`")]
    SharedTable {
        /// The table.
        table: &'static str,
        /// A model.
        first: &'static str,
        /// Another model.
        second: &'static str,
    },
    /// What a model needs for its elements or its indexes has the name of something else.
    #[error(
        "model '{second}' needs a table or an index '{name}', a name that is taken by '{first}': give the field \
         another with `#[synced(column = \"..\")]`, or the model with `#[synced(table = \"..\")]`"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The model that has it.
        first: &'static str,
        /// The model that needs it.
        second: &'static str,
    },
    /// An element's key is too long to be looked up.
    #[error(
        "an element of '{table}.{field}' has a key of {bytes} bytes, the limit is {bytes_max}: use a short key, and \
         keep long content in a value"
    )]
    KeyTooLong {
        /// The row's table.
        table: &'static str,
        /// The field.
        field: &'static str,
        /// The key's size, as ops carry it.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A field refers to a model that the app didn't list, and the field's rows are shown only with that one's.
    #[error(
        "'{model}.{field}' refers to the table '{table}': add its model to `models![..]` in `Db::open`, or use \
         `on_delete = keep`"
    )]
    UnknownReference {
        /// The model.
        model: &'static str,
        /// The field.
        field: &'static str,
        /// The table of the other model.
        table: &'static str,
    },
    /// A change in the oplog isn't the one that was written.
    #[error("change {seq} of log {log} is damaged: {reason}")]
    DamagedChange {
        /// The log.
        log: crate::oplog::LogId,
        /// The change's position in it.
        seq: u64,
        /// What doesn't hold.
        reason: String,
    },
    /// The transaction has outgrown what is kept in memory until it commits.
    #[error("the transaction is larger than {bytes_max} bytes: write in several transactions")]
    TransactionTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// One op is too large for a change.
    #[error("a row of '{table}' has {bytes} bytes, a change holds {bytes_max}: store large content in files")]
    RowTooLarge {
        /// The row's table.
        table: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The system failed to read or write a file.
    #[error("{action} failed: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// SQLite failed in a way that has no name here.
    #[error("SQLite: {0}")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) = error {
            // A column of CFOST's own tables holds what nobody wrote there.
            return Self::Corrupt { what: error.to_string() };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { what: error.to_string() },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::SystemIoFailure) => Self::DiskFailed { reason: error.to_string() },
            _ => Self::Sqlite(error),
        }
    }
}

impl From<crate::crdt::ClockError> for StoreError {
    fn from(error: crate::crdt::ClockError) -> Self {
        Self::Corrupt { what: error.to_string() }
    }
}
