//! A file that a newer version of the app has migrated: read as far as this app's columns are still there, and never
//! written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension};

use super::atrest::{self, Safe};
use super::pool::SqlTransaction;
use super::state::State;
use super::table::{self, Table};
use super::{Opening, Store, StoreError, evolve, layout};
use crate::error::Result;
use crate::schema::shape::{ColumnShape, ColumnType, ElementsShape};
use crate::schema::{CollectionSchema, ColumnSchema, MergeRule, Model, ModelSchema, Shape};

/// A table of a newer version than the app's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newer {
    table: String,
    found: u32,
    known: u32,
}

impl Newer {
    /// Why this app doesn't write to the file.
    pub(super) fn refusal(&self) -> StoreError {
        StoreError::NewerModel { table: self.table.clone(), found: self.found, known: self.known }
    }
}

/// The first table in the file that is of a newer version than the app's model.
pub(super) fn find(conn: &Connection, tables: &[Table]) -> Result<Option<Newer>, StoreError> {
    let mut select = conn.prepare_cached("SELECT table_name, version FROM cfost_models")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (table, found): (String, u32) = (row.get(0)?, row.get(1)?);
        let model = tables.iter().find(|model| model.schema.table == table);
        if let Some(known) = model.map(|model| model.schema.version).filter(|&known| known < found) {
            return Ok(Some(Newer { table, found, known }));
        }
    }
    Ok(None)
}

/// Refuses a file in which a column of the app isn't what it was.
///
/// # Errors
/// [`StoreError::NotReadable`].
pub(super) fn refuse_unreadable(conn: &Connection, tables: &[Table]) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached("SELECT version, shape FROM cfost_models WHERE table_name = ?1")?;
    for schema in tables.iter().map(|table| table.schema) {
        let stored = select.query_row([schema.table], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
        let refuse = |column: &str, found: u32, what: String| {
            let (table, column, known) = (schema.table, column.to_owned(), schema.version);
            Err(StoreError::NotReadable { table, column, found, known, what })
        };
        let Some((found, shape)) = stored else {
            return refuse(schema.id_column, 0, "the file has no such table".into());
        };
        if found == schema.version {
            continue;
        }
        if let Some((column, what)) = unreadable(schema, &evolve::parse(&shape)?) {
            return refuse(column, found, what);
        }
    }
    Ok(())
}

/// The first column of a model that can't be read from a table of this shape, and why.
fn unreadable(schema: &'static ModelSchema, shape: &Shape) -> Option<(&'static str, String)> {
    let columns = schema.columns.iter().find_map(|column| Some((column.name, column_unreadable(column, shape)?)));
    columns.or_else(|| {
        let mut collections = schema.collections.iter();
        collections.find_map(|one| Some((one.name, collection_unreadable(one, shape)?)))
    })
}

fn column_unreadable(column: &ColumnSchema, shape: &Shape) -> Option<String> {
    let renamed = || shape.columns.iter().find(|other| other.op_name == column.op_name && other.rule == column.rule);
    let Some(found) = shape.column(column.name) else { return Some(gone(renamed().map(|other| &other.name))) };
    // What ops call by another name has another meaning, even if its type is the same.
    if found.op_name != column.op_name || !holds(column, found) {
        return Some(format!("it is `{found}` now"));
    }
    None
}

/// Whether every value of a column in the file is one of the model's.
fn holds(column: &ColumnSchema, found: &ColumnShape) -> bool {
    let fits = |kind: ColumnType| kind.sql_type == column.sql_type && (column.nullable || !kind.nullable);
    let same_rule = column.rule == found.rule || column.rule == MergeRule::Lww;
    same_rule && found.kind.is_none_or(fits)
}

fn collection_unreadable(collection: &CollectionSchema, shape: &Shape) -> Option<String> {
    let renamed = || shape.collections.iter().find(|other| other.op_name == collection.op_name);
    let Some(found) = shape.collection(collection.name) else { return Some(gone(renamed().map(|other| &other.name))) };
    let value = collection.value.map(|(sql_type, nullable)| ColumnType { sql_type, nullable });
    let is = |elements: &ElementsShape| elements.key == collection.key && elements.value == value;
    let same_elements = found.rule == collection.rule && found.elements.as_ref().is_none_or(is);
    let same = found.op_name == collection.op_name && same_elements;
    (!same).then(|| format!("it is `{found}` now"))
}

fn gone(renamed: Option<&String>) -> String {
    renamed.map_or_else(|| "it isn't there any more".to_owned(), |name| format!("it is called '{name}' now"))
}

impl Store {
    /// Opens a file that a newer version of the app has migrated, to read; `None` if it isn't one.
    pub(super) fn open_newer(
        path: &Path,
        models: &[Model],
        opening: &Opening,
        safe: &Arc<Safe>,
    ) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let tables = table::tables(models)?;
        let conn = layout::connect_reader(path, opening.busy_timeout, safe.key())?;
        let snapshot = conn.unchecked_transaction().map_err(StoreError::from)?;
        let is_database =
            layout::check(&conn, Some(path)).map_err(|error| atrest::with_key(safe, Some(path), error))?;
        let newer = if is_database { find(&conn, &tables)? } else { None };
        let Some(newer) = newer else { return Ok(None) };
        refuse_unreadable(&conn, &tables)?;
        layout::stand_in(&conn)?;
        let state = State::read(&conn, &tables, safe)?;
        drop(snapshot);
        tracing::warn!(table = newer.table, found = newer.found, known = newer.known, "the database is only read");
        Ok(Some(Self::new(Some(path), tables, opening, conn, state, Some(newer))?))
    }

    /// Whether the database is only read, since a newer version of the app has migrated it.
    pub(crate) fn reads_newer(&self) -> bool {
        self.newer.is_some()
    }

    /// Refuses to read a file that another process, with a newer version of the app, has migrated so that this one
    /// can't read it any more.
    pub(super) fn check_schema(&self, conn: &Connection) -> Result<(), StoreError> {
        // Asking costs a fifth of reading a row: once a millisecond is enough.
        let now_ms = self.host.now_ms();
        if self.schema_checked_ms.load(Ordering::Relaxed) == now_ms {
            return Ok(());
        }
        let version: i64 = conn.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))?;
        if self.schema_version.load(Ordering::Relaxed) != version {
            if find(conn, &self.tables)?.is_some() {
                refuse_unreadable(conn, &self.tables)?;
            }
            self.schema_version.store(version, Ordering::Relaxed);
        }
        self.schema_checked_ms.store(now_ms, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// [`StoreError::NewerModel`] if the file was opened to be read, or was migrated since it was opened.
    pub(super) fn begin<'c>(&self, conn: &'c Connection, state: &mut State) -> Result<SqlTransaction<'c>> {
        if let Some(newer) = &self.newer {
            return Err(newer.refusal().into());
        }
        let transaction = SqlTransaction::begin(conn)?;
        state.refresh(conn, &self.tables)?;
        self.lend_keys(&state.secrets);
        match &state.newer {
            Some(newer) => Err(newer.refusal().into()),
            None => Ok(transaction),
        }
    }
}
