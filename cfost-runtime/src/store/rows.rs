//! Rows in their tables: the one place where ops, local or remote, become visible.
//!
//! A row is in its model's table while it is alive and every required column has a value. Else its
//! cells are in `cfost_hidden`, where they go on merging: a dead row that a later write brings back
//! has all its columns again, and an update that arrives before its row's create waits there.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef as SqlValue};
use rusqlite::{CachedStatement, Connection, OptionalExtension};
use uuid::Uuid;

use super::elements::ElementStatements;
use super::hidden::{Hidden, decode_hidden, encode_hidden};
use super::table::Table;
use super::touched::Touched;
use super::{Registry, StoreError};
use crate::crdt::{Counter, Life, Row, RowClock, RowOp, Stamp};
use crate::schema::{SqlType, Value, ValueRef};

impl Counter for Value {
    fn add(&mut self, delta: i64) {
        let sum = if let Self::Integer(value) = self { value.wrapping_add(delta) } else { delta };
        *self = Self::Integer(sum);
    }
}

impl ToSql for ValueRef<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => SqlValue::Null,
            Self::Integer(value) => SqlValue::Integer(*value),
            Self::Real(value) => SqlValue::Real(*value),
            Self::Text(value) => SqlValue::Text(value.as_bytes()),
            Self::Blob(value) => SqlValue::Blob(value),
        }))
    }
}

/// A value as SQLite lent it.
pub(crate) fn borrowed(value: SqlValue<'_>) -> Result<ValueRef<'_>, StoreError> {
    Ok(match value {
        SqlValue::Null => ValueRef::Null,
        SqlValue::Integer(value) => ValueRef::Integer(value),
        SqlValue::Real(value) => ValueRef::Real(value),
        SqlValue::Text(bytes) => ValueRef::Text(Cow::Borrowed(
            std::str::from_utf8(bytes).map_err(|_| StoreError::Corrupt { what: "text that is not UTF-8".into() })?,
        )),
        SqlValue::Blob(bytes) => ValueRef::Blob(Cow::Borrowed(bytes)),
    })
}

/// Whether a column of this type can hold the value.
pub(crate) fn fits(value: &ValueRef<'_>, sql_type: SqlType, nullable: bool) -> bool {
    match value {
        ValueRef::Null => nullable,
        ValueRef::Integer(_) => sql_type == SqlType::Integer,
        ValueRef::Real(_) => sql_type == SqlType::Real,
        ValueRef::Text(_) => sql_type == SqlType::Text,
        ValueRef::Blob(_) => sql_type == SqlType::Blob,
    }
}

/// Where a row's cells are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Visible,
    Hidden,
}

/// Writes rows within one SQL transaction, with its statements at hand.
pub(super) struct Rows<'c> {
    pub(super) conn: &'c Connection,
    pub(super) tables: &'c [Table],
    pub(super) statements: Vec<Statements<'c>>,
    /// A clock's bytes, kept for the memory.
    pub(super) clock: Vec<u8>,
    /// The rows that were written.
    pub(super) touched: Touched,
}

/// A table's statements, each prepared when it is first needed: a small transaction needs one.
#[derive(Default)]
pub(super) struct Statements<'c> {
    insert: Option<CachedStatement<'c>>,
    select: Option<CachedStatement<'c>>,
    delete: Option<CachedStatement<'c>>,
    updates: HashMap<Vec<usize>, CachedStatement<'c>>,
    /// Those of the elements' tables, from the first use of one on.
    pub(super) elements: Vec<ElementStatements<'c>>,
}

const SELECT_HIDDEN: &str = "SELECT state FROM cfost_hidden WHERE table_name = ?1 AND id = ?2";
const DELETE_HIDDEN: &str = "DELETE FROM cfost_hidden WHERE table_name = ?1 AND id = ?2";
const INSERT_HIDDEN: &str = "INSERT OR REPLACE INTO cfost_hidden (table_name, id, state) VALUES (?1, ?2, ?3)";

impl<'c> Rows<'c> {
    pub(super) fn new(conn: &'c Connection, tables: &'c [Table]) -> Self {
        let statements = tables.iter().map(|_| Statements::default()).collect();
        Self { conn, tables, statements, clock: Vec::new(), touched: Touched::default() }
    }

    /// Writes a row that no op has touched before, so many of its first columns at `stamp`.
    ///
    /// Returns `false`, and does nothing, if the row is known: then it takes a merge.
    pub(super) fn create<'v>(
        &mut self,
        table: usize,
        (id, written): (&Uuid, usize),
        values: impl Iterator<Item = &'v ValueRef<'v>> + Clone,
        stamp: Stamp,
        hidden: &mut Hidden,
    ) -> Result<bool, StoreError> {
        if !self.parents_are_shown(table, values.clone())? {
            return Ok(false);
        }
        if hidden.any(table) && self.hidden_state(table, id)?.is_some() {
            return Ok(false);
        }
        let mut clock = std::mem::take(&mut self.clock);
        clock.clear();
        let columns = self.tables[table].schema.columns.len();
        RowClock::encode_fresh(written, stamp, &mut clock);
        let insert = prepared(&mut self.statements[table].insert, self.conn, &self.tables[table].insert)?;
        insert.raw_bind_parameter(1, id.as_bytes().as_slice())?;
        for (n, value) in values.enumerate() {
            insert.raw_bind_parameter(n + 2, value)?;
        }
        insert.raw_bind_parameter(columns + 2, clock.as_slice())?;
        let inserted = insert.raw_execute()? == 1;
        self.clock = clock;
        if inserted {
            self.touched.set_writer(stamp.writer);
            self.touched.row(table, id);
            self.show_dependents((table, *id), hidden)?;
        }
        Ok(inserted)
    }

    /// The row if it is visible.
    pub(super) fn visible(&mut self, table: usize, id: &Uuid) -> Result<Option<Row<Value>>, StoreError> {
        let columns = self.tables[table].schema.columns.len();
        let select = prepared(&mut self.statements[table].select, self.conn, &self.tables[table].select)?;
        select.raw_bind_parameter(1, id.as_bytes().as_slice())?;
        let mut rows = select.raw_query();
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(borrowed(row.get_ref(column)?)?.into_owned());
        }
        let clock = row.get_ref(columns)?.as_blob().map_err(rusqlite::Error::from)?;
        Ok(Some(Row { values, clock: RowClock::decode(clock, columns)?, life: Life::Alive }))
    }

    /// The clock of a row, if it is visible.
    pub(super) fn visible_clock(&mut self, table: usize, id: &Uuid) -> Result<Option<RowClock>, StoreError> {
        let columns = self.tables[table].schema.columns.len();
        let select = prepared(&mut self.statements[table].select, self.conn, &self.tables[table].select)?;
        select.raw_bind_parameter(1, id.as_bytes().as_slice())?;
        let mut rows = select.raw_query();
        let Some(row) = rows.next()? else { return Ok(None) };
        let clock = row.get_ref(columns)?.as_blob().map_err(rusqlite::Error::from)?;
        Ok(Some(RowClock::decode(clock, columns)?))
    }

    /// The row as far as any op touched it.
    pub(super) fn load(&mut self, table: usize, id: &Uuid, hidden: &Hidden) -> Result<(Place, Row<Value>), StoreError> {
        if let Some(row) = self.visible(table, id)? {
            return Ok((Place::Visible, row));
        }
        let sql = &self.tables[table];
        if hidden.any(table)
            && let Some(state) = self.hidden_state(table, id)?
        {
            return Ok((Place::Hidden, decode_hidden(&state, &sql.defaults)?));
        }
        Ok((Place::Nowhere, Row::new(sql.defaults.clone())))
    }

    /// Merges an op into a row, wherever its cells are, and puts the row where it belongs. Returns whether
    /// the row is shown.
    pub(super) fn merge(
        &mut self,
        table: usize,
        id: &Uuid,
        op: RowOp<Value>,
        registry: &Registry,
        hidden: &mut Hidden,
    ) -> Result<bool, StoreError> {
        let (place, row) = self.load(table, id, hidden)?;
        self.merge_into(table, id, (place, row), op, registry, hidden)
    }

    /// Merges an op into a row that has been loaded; returns whether the row is shown.
    pub(super) fn merge_into(
        &mut self,
        table: usize,
        id: &Uuid,
        (place, mut row): (Place, Row<Value>),
        op: RowOp<Value>,
        registry: &Registry,
        hidden: &mut Hidden,
    ) -> Result<bool, StoreError> {
        self.touched.set_writer(op.stamp.writer);
        let was_there = place != Place::Nowhere && self.is_there(table, &row);
        let awaited = self.awaited(table, place, &row);
        let merged = row.merge(op, registry);
        if !merged.life && merged.columns.is_empty() {
            return Ok(place == Place::Visible);
        }
        let visible = self.is_there(table, &row)
            && if was_there && !self.tables[table].links.any_parent(&merged.columns) {
                // It leads to what it led to before.
                place == Place::Visible
            } else {
                self.is_upheld((table, *id), &row.values, hidden)?
            };
        match (place, visible) {
            (Place::Visible, true) => self.update(table, id, &row, &merged.columns)?,
            (_, true) => {
                self.set_awaited((table, *id), &awaited, &[])?;
                self.show(table, id, &row, place, hidden)?;
                self.show_dependents((table, *id), hidden)?;
            }
            (_, false) => {
                self.hide(table, id, &row, place, hidden)?;
                let awaits = self.awaited(table, Place::Hidden, &row);
                self.set_awaited((table, *id), &awaited, &awaits)?;
                if place == Place::Visible {
                    self.hide_dependents((table, *id), hidden)?;
                }
            }
        }
        Ok(visible)
    }

    /// Whether a row is there by itself: alive, and every required column has been written.
    pub(super) fn is_there(&self, table: usize, row: &Row<Value>) -> bool {
        row.life == Life::Alive && self.tables[table].is_complete(row)
    }

    /// Puts a row that wasn't shown into its table, with its elements.
    pub(super) fn show(
        &mut self,
        table: usize,
        id: &Uuid,
        row: &Row<Value>,
        place: Place,
        hidden: &Hidden,
    ) -> Result<(), StoreError> {
        if place == Place::Hidden {
            self.conn.prepare_cached(DELETE_HIDDEN)?.execute((self.tables[table].schema.table, id.as_bytes()))?;
        }
        self.insert(table, id, row)?;
        self.show_elements(table, id, hidden)
    }

    /// Keeps a row where hidden ones are, and takes it and its elements out of their tables if they were there.
    pub(super) fn hide(
        &mut self,
        table: usize,
        id: &Uuid,
        row: &Row<Value>,
        place: Place,
        hidden: &mut Hidden,
    ) -> Result<(), StoreError> {
        hidden.set(table);
        let (name, state) = (self.tables[table].schema.table, encode_hidden(row)?);
        self.conn.prepare_cached(INSERT_HIDDEN)?.execute((name, id.as_bytes(), state))?;
        if place == Place::Visible {
            self.remove(table, id)?;
            self.hide_elements(table, id, hidden)?;
        }
        Ok(())
    }

    fn insert(&mut self, table: usize, id: &Uuid, row: &Row<Value>) -> Result<(), StoreError> {
        self.touched.row(table, id);
        let clock = self.encode_clock(&row.clock);
        let insert = prepared(&mut self.statements[table].insert, self.conn, &self.tables[table].insert)?;
        insert.raw_bind_parameter(1, id.as_bytes().as_slice())?;
        for (n, value) in row.values.iter().enumerate() {
            insert.raw_bind_parameter(n + 2, value.as_ref())?;
        }
        insert.raw_bind_parameter(row.values.len() + 2, clock.as_slice())?;
        insert.raw_execute()?;
        self.clock = clock;
        Ok(())
    }

    /// Writes these columns of a shown row, and its clock.
    pub(super) fn update(
        &mut self,
        table: usize,
        id: &Uuid,
        row: &Row<Value>,
        columns: &[usize],
    ) -> Result<(), StoreError> {
        self.touched.row(table, id);
        let clock = self.encode_clock(&row.clock);
        let (conn, sql) = (self.conn, &self.tables[table]);
        let updates = &mut self.statements[table].updates;
        if !updates.contains_key(columns) {
            updates.insert(columns.to_vec(), conn.prepare_cached(&sql.update(columns))?);
        }
        if let Some(update) = updates.get_mut(columns) {
            for (n, &column) in columns.iter().enumerate() {
                update.raw_bind_parameter(n + 1, row.values[column].as_ref())?;
            }
            update.raw_bind_parameter(columns.len() + 1, clock.as_slice())?;
            update.raw_bind_parameter(columns.len() + 2, id.as_bytes().as_slice())?;
            update.raw_execute()?;
        }
        self.clock = clock;
        Ok(())
    }

    fn remove(&mut self, table: usize, id: &Uuid) -> Result<(), StoreError> {
        self.touched.row(table, id);
        let delete = prepared(&mut self.statements[table].delete, self.conn, &self.tables[table].delete)?;
        delete.raw_bind_parameter(1, id.as_bytes().as_slice())?;
        delete.raw_execute()?;
        Ok(())
    }

    pub(super) fn encode_clock(&mut self, clock: &RowClock) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.clock);
        bytes.clear();
        clock.encode(&mut bytes);
        bytes
    }

    pub(super) fn hidden_state(&self, table: usize, id: &Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let name = self.tables[table].schema.table;
        let mut select = self.conn.prepare_cached(SELECT_HIDDEN)?;
        Ok(select.query_row((name, id.as_bytes()), |row| row.get(0)).optional()?)
    }
}

pub(super) fn prepared<'s, 'c>(
    statement: &'s mut Option<CachedStatement<'c>>,
    conn: &'c Connection,
    sql: &str,
) -> Result<&'s mut CachedStatement<'c>, StoreError> {
    match statement {
        Some(statement) => Ok(statement),
        none => Ok(none.insert(conn.prepare_cached(sql)?)),
    }
}
