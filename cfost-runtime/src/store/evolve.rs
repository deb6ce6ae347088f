//! A model's table from one version to the next: what it gains, and what was passed over before it had it.
//!
//! A version adds columns, elements and indexes, and takes nothing away but indexes. Columns are added after
//! those that there are, and rows don't change: a row's clock doesn't know a column that no op has written, and
//! SQLite reads its constant default where the row ends. So what the step costs hardly grows with the rows.

use rusqlite::Connection;
use rusqlite::types::{FromSql, FromSqlResult, ValueRef};

use super::StoreError;
use super::table::{Table, column_definition, index_name, quoted};
use crate::schema::ModelSchema;
use crate::schema::shape::{self, Shape};

/// What apps have passed over of the ops on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale(i64);

impl Stale {
    /// Whole ops: the app had no such model.
    pub(super) const OPS: Self = Self(1);
    /// Columns or elements of ops: the app had an older version of the model.
    pub(super) const COLUMNS: Self = Self(2);

    /// What can be made up for without a newer version of the model.
    pub(super) fn without_columns(self) -> Self {
        Self(self.0 & Self::OPS.0)
    }

    /// Forgets it, since the table's rows are about to be made anew; returns whether there was any.
    pub(super) fn clear(self, conn: &Connection, table: &str) -> Result<bool, StoreError> {
        if self.0 != 0 {
            conn.prepare_cached("UPDATE cfost_models SET stale = stale & ~?2 WHERE table_name = ?1")?
                .execute((table, self.0))?;
        }
        Ok(self.0 != 0)
    }
}

impl FromSql for Stale {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

/// Takes note that something of the ops on a table was passed over, which a later app may know.
pub(super) fn passed_over(conn: &Connection, table: &str, what: Stale) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE cfost_models SET stale = stale | ?2 WHERE table_name = ?1 AND stale & ?2 = 0")?
        .execute((table, what.0))?;
    Ok(())
}

/// Makes the table of version `found` of the model, which has the shape `stored`, one of the model's version, within
/// the caller's transaction.
///
/// # Errors
/// [`StoreError::SchemaChanged`], before anything is written, if the model says something else of version `found`.
pub(super) fn migrate(conn: &Connection, table: &Table, found: u32, stored: &Shape) -> Result<(), StoreError> {
    let schema = table.schema;
    refuse_changed(schema, stored, &Shape::of(schema, found))?;
    let mut sql = String::new();
    let shape = Shape::of(schema, schema.version);
    let wanted = shape.indexes.iter().flatten();
    for columns in stored.indexes.iter().flatten().filter(|columns| wanted.clone().all(|other| other != *columns)) {
        let name = index_name(schema, &columns.iter().map(String::as_str).collect::<Vec<_>>());
        sql += &format!("DROP INDEX IF EXISTS {};\n", quoted(&name));
    }
    for column in schema.columns.iter().filter(|column| column.since > found) {
        sql += &format!("ALTER TABLE {} ADD COLUMN {};\n", quoted(schema.table), column_definition(column));
    }
    for child in &table.children {
        sql += &if child.schema.since > found { child.create() } else { child.reindex() };
    }
    conn.execute_batch(&(sql + &table.create_indexes()))?;
    conn.prepare_cached("UPDATE cfost_models SET version = ?2, shape = ?3 WHERE table_name = ?1")?.execute((
        schema.table,
        schema.version,
        shape.to_string(),
    ))?;
    Ok(())
}

/// A shape as the file has it.
pub(super) fn parse(stored: &str) -> Result<Shape, StoreError> {
    stored.parse().map_err(|error| StoreError::Corrupt { what: format!("the shape of a model: {error}") })
}

/// Refuses a model that says something else of a version than what is in the file.
pub(super) fn refuse_changed(schema: &ModelSchema, stored: &Shape, says: &Shape) -> Result<(), StoreError> {
    let differences: Vec<String> = shape::diff(stored, says).iter().map(ToString::to_string).collect();
    if differences.is_empty() {
        return Ok(());
    }
    let (model, table) = (schema.model, schema.table);
    Err(StoreError::SchemaChanged { model, table, what: differences.join("; ") })
}

/// Refuses to write to a file that another process, with a newer version of the app, has migrated meanwhile.
///
/// # Errors
/// [`StoreError::NewerModel`].
pub(super) fn refuse_newer(conn: &Connection, tables: &[Table]) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached("SELECT table_name, version FROM cfost_models")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (name, found): (String, u32) = (row.get(0)?, row.get(1)?);
        let model = tables.iter().find(|table| table.schema.table == name);
        if let Some(known) = model.map(|table| table.schema.version).filter(|&known| known < found) {
            return Err(StoreError::NewerModel { table: name, found, known });
        }
    }
    Ok(())
}
