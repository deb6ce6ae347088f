//! A database file as it lies there, for tools that have no models: what it holds of each, and how large that is.
//! Nothing of it is written, nor of the files beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::atrest::{self, Safe};
use super::evolve::{self, Stale};
use super::pool::Writing;
use super::rebuild::{self, Verification};
use super::table::quoted;
use super::{Store, StoreError, layout};
use crate::error::Result;
use crate::schema::Shape;

/// What a database has of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FileModel {
    /// The model's table.
    pub table: String,
    /// The version of the model.
    pub version: u32,
    /// What that version is.
    pub shape: Shape,
    /// Whether ops on the table, or something of them, were passed over by apps that didn't know it.
    pub passed_over: bool,
    /// Whether only a newer version of the model may know what was passed over.
    pub awaits_newer: bool,
}

impl FileModel {
    /// Whether an app with this version of the model makes the rows anew, for what was passed over.
    pub fn is_made_anew_by(&self, version: u32) -> bool {
        self.passed_over && (version > self.version || !self.awaits_newer)
    }
}

/// How large a model's table is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSize {
    /// The rows that are shown.
    pub rows: u64,
    /// The rows that are kept and not shown: deleted ones, and such as wait for others.
    pub hidden_rows: u64,
    /// What the rows take, with those that are not shown.
    pub row_bytes: u64,
    /// What the elements of each field take, with the index over these.
    pub elements: BTreeMap<String, u64>,
    /// What each index over the rows takes, by name.
    pub indexes: BTreeMap<String, u64>,
}

impl FileSize {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.row_bytes + self.elements.values().chain(self.indexes.values()).sum::<u64>()
    }
}

/// A database file that is only looked at.
#[derive(Debug)]
pub struct DbFile {
    conn: Connection,
}

impl DbFile {
    /// Opens a file to look at it.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] if it isn't there, [`StoreError::Foreign`] and [`StoreError::Corrupt`] if it is no
    /// database of CFOST, [`StoreError::NewerFormat`] if it is one of a newer build,
    /// [`AtRestError::NoKey`](super::AtRestError::NoKey) if it is encrypted.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let conn = connect(path)?;
        conn.busy_timeout(layout::BUSY_TIMEOUT)?;
        match layout::check(&conn, Some(path)).map_err(|error| atrest::without_key(path, error))? {
            true => Ok(Self { conn }),
            false => Err(StoreError::Foreign { path: path.to_owned() }),
        }
    }

    /// What it has of each model, by table.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn models(&self) -> Result<Vec<FileModel>, StoreError> {
        models(&self.conn)
    }

    /// How large a model's table is. This reads all of it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn size(&self, model: &FileModel) -> Result<FileSize, StoreError> {
        let table = &model.table;
        let rows: u64 = self.count(&format!("SELECT count(*) FROM {}", quoted(table)), [])?;
        let hidden = "SELECT count(*) FROM cfost_hidden WHERE table_name = ?1";
        let hidden_bytes = "SELECT coalesce(sum(length(state) + 32), 0) FROM cfost_hidden WHERE table_name = ?1";
        let mut size = FileSize {
            rows,
            hidden_rows: self.count(hidden, [table])?,
            row_bytes: self.bytes_of(table)? + self.count(hidden_bytes, [table])?,
            ..FileSize::default()
        };
        for name in self.indexes_of(table)? {
            let bytes = self.bytes_of(&name)?;
            size.indexes.insert(name, bytes);
        }
        for collection in &model.shape.collections {
            let child = format!("{table}_{}", collection.name);
            let indexes = self.indexes_of(&child)?;
            let bytes = std::iter::once(&child).chain(&indexes).map(|name| self.bytes_of(name));
            size.elements.insert(collection.name.clone(), bytes.sum::<Result<_, _>>()?);
        }
        Ok(size)
    }

    /// What the values of a column take in the rows that are shown.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn column_bytes(&self, table: &str, column: &str) -> Result<u64, StoreError> {
        let name = quoted(column);
        let bytes = format!(
            "SELECT coalesce(sum(1 + CASE typeof({name}) WHEN 'null' THEN 0 WHEN 'real' THEN 8 WHEN 'integer' THEN \
             CASE WHEN {name} BETWEEN -128 AND 127 THEN 1 WHEN {name} BETWEEN -32768 AND 32767 THEN 2 \
             WHEN {name} BETWEEN -2147483648 AND 2147483647 THEN 4 ELSE 8 END \
             ELSE octet_length({name}) END), 0) FROM {}",
            quoted(table)
        );
        self.count(&bytes, [])
    }

    /// Checks every change of the oplog: that it opens, what it is chained to, and what was signed. Rows are compared
    /// with it by an app, which has the models: [`Db::verify`](crate::db::Db::verify). What is damaged,
    /// [`Db::repair`](crate::db::Db::repair) cuts out, and peers send it again.
    ///
    /// # Errors
    /// [`Error::LoggedOut`](crate::Error::LoggedOut) if the keys are locked, or in a keyring; when the file can't be read.
    pub fn verify_oplog(&self) -> Result<Verification> {
        let _snapshot = self.conn.unchecked_transaction().map_err(StoreError::from)?;
        layout::stand_in(&self.conn)?;
        rebuild::verify(&self.conn, &[], &Arc::new(Safe::default()))
    }

    fn count(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<u64, StoreError> {
        let count: i64 = self.conn.query_row(sql, parameters, |row| row.get(0))?;
        // Neither a number of rows nor of bytes is negative.
        Ok(count.unsigned_abs())
    }

    /// What a table or an index takes in the file.
    fn bytes_of(&self, name: &str) -> Result<u64, StoreError> {
        self.count("SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?1", [name])
    }

    fn indexes_of(&self, table: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL";
        let mut select = self.conn.prepare(sql)?;
        let names = select.query_map([table], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }
}

impl Store {
    /// What the file has of each model, by table: also where this app can't read the rows.
    pub(crate) fn models(&self) -> Result<Vec<FileModel>> {
        Writing::refuse(self)?;
        Ok(match self.readers.take()? {
            Some(reader) => models(&reader)?,
            None => models(&self.lock().conn)?,
        })
    }
}

/// What a database has of each model, by table.
fn models(conn: &Connection) -> Result<Vec<FileModel>, StoreError> {
    let mut select = conn.prepare("SELECT table_name, version, shape, stale FROM cfost_models ORDER BY table_name")?;
    let mut rows = select.query([])?;
    let mut models = Vec::new();
    while let Some(row) = rows.next()? {
        let (shape, stale): (String, Stale) = (row.get(2)?, row.get(3)?);
        models.push(FileModel {
            table: row.get(0)?,
            version: row.get(1)?,
            shape: evolve::parse(&shape)?,
            passed_over: stale.any(),
            awaits_newer: stale.any() && !stale.without_columns().any(),
        });
    }
    Ok(models)
}

/// Connects so that nothing is written. While no process has the file open there is nothing beside it, and SQLite is
/// told that nobody writes to it, since else it would make files of its own beside it.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        let reason = "there is no such file".to_owned();
        return Err(StoreError::CannotOpen { path: path.to_owned(), reason });
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = std::fs::metadata(PathBuf::from(log)).is_ok_and(|log| log.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match path.to_str().filter(|_| !has_log) {
        Some(text) => Connection::open_with_flags(still(text), flags | OpenFlags::SQLITE_OPEN_URI),
        None => Connection::open_with_flags(path, flags),
    };
    opened.map_err(|error| StoreError::CannotOpen { path: path.to_owned(), reason: error.to_string() })
}

/// The address of a file that nobody writes to.
fn still(path: &str) -> String {
    let mut address = "file:".to_owned();
    for c in path.chars() {
        match c {
            '%' | '?' | '#' => address += &format!("%{:02x}", u32::from(c)),
            '\\' if cfg!(windows) => address.push('/'),
            c => address.push(c),
        }
    }
    address + "?immutable=1"
}
