//! A table whose columns have changed, written anew row by row.
//!
//! What a row becomes is what the oplog would make of it: a value that an op wrote passes through the functions of
//! later versions and keeps its stamp, the columns that go take their stamps with them, and a column that no op wrote
//! holds the model's default. Where that can't be told from the row alone, the oplog has to tell: when a function
//! fails, the column holds an earlier write that isn't in the row any more.

use std::collections::HashSet;

use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;
use uuid::Uuid;

use super::plan::{Found, Plan, Source, Step};
use super::progress::Progress;
use crate::crdt::{Life, Row, RowClock};
use crate::schema::{Value, ValueRef};
use crate::store::StoreError;
use crate::store::forms::convert;
use crate::store::hidden::{decode_hidden, encode_hidden};
use crate::store::rows::borrowed;
use crate::store::table::{CLOCK_COLUMN, Table, quoted};

/// Hidden rows that are read at a time.
const HIDDEN_BATCH: u32 = 1000;

/// What a rewrite came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// The rows are what the oplog gives.
    Whole,
    /// Only the oplog can tell what the rows are.
    NeedsOplog,
}

/// Counts the rows of a table, shown and hidden.
pub(super) fn count(conn: &Connection, table: &Table) -> Result<u64, StoreError> {
    let shown: i64 = conn.query_row(&table.count, [], |row| row.get(0))?;
    let mut select = conn.prepare_cached("SELECT count(*) FROM cfost_hidden WHERE table_name = ?1")?;
    let hidden: i64 = select.query_row([table.schema.table], |row| row.get(0))?;
    Ok((shown + hidden) as u64)
}

/// Writes a table anew, shown rows and hidden ones, by `plan`.
pub(super) fn rewrite(
    conn: &Connection,
    table: &Table,
    plan: &Plan,
    found: &Found,
    progress: &Progress<'_>,
) -> Result<Rewritten, StoreError> {
    if changes_references(table, plan, found) {
        return Ok(Rewritten::NeedsOplog);
    }
    let (name, former) = (quoted(table.schema.table), quoted(&format!("cfost_former_{}", table.schema.table)));
    conn.execute_batch(&format!("ALTER TABLE {name} RENAME TO {former};\n{}", table.create_alone()))?;
    let rewriting = Rewriting { conn, table, plan, found, progress };
    let whole = rewriting.shown(&former)? && rewriting.hidden()?;
    conn.execute_batch(&format!("DROP TABLE {former}"))?;
    Ok(if whole { Rewritten::Whole } else { Rewritten::NeedsOplog })
}

/// Whether rows may name other rows than before, so that others have to be shown.
fn changes_references(table: &Table, plan: &Plan, found: &Found) -> bool {
    let names = |column: &usize| found.references.contains(&found.columns[*column]);
    let converted = (0..found.columns.len()).filter(|column| plan.converts(*column)).any(|column| names(&column));
    let mut columns = table.schema.columns.iter().zip(&plan.columns);
    let new = |source: &Source| match source {
        Source::New => true,
        Source::Found { with, .. } => !with.is_empty(),
    };
    converted || columns.any(|(column, source)| column.reference.is_some() && column.default.is_some() && new(source))
}

struct Rewriting<'a> {
    conn: &'a Connection,
    table: &'a Table,
    plan: &'a Plan,
    found: &'a Found,
    progress: &'a Progress<'a>,
}

impl Rewriting<'_> {
    /// Writes the rows that are shown; `false` if one of them can't be told, or isn't shown any more.
    fn shown(&self, former: &str) -> Result<bool, StoreError> {
        let columns = self.found.columns.len();
        let list: String = self.found.columns.iter().map(|name| format!("{}, ", quoted(name))).collect();
        let id = quoted(self.table.schema.id_column);
        let mut select = self.conn.prepare(&format!("SELECT {id}, {list}{CLOCK_COLUMN} FROM {former} ORDER BY 1"))?;
        let mut insert = self.conn.prepare(&self.table.insert)?;
        let (mut rows, mut blob) = (select.query([])?, Vec::new());
        while let Some(row) = rows.next()? {
            let clock = row.get_ref(columns + 1)?.as_blob().map_err(rusqlite::Error::from)?;
            let clock = RowClock::decode(clock, columns)?;
            insert.raw_bind_parameter(1, ToSqlOutput::Borrowed(row.get_ref(0)?))?;
            for (n, source) in self.plan.columns.iter().enumerate() {
                match source {
                    Source::Found { column, with } if clock.column(*column).is_some() => {
                        let value = row.get_ref(column + 1)?;
                        if with.is_empty() {
                            insert.raw_bind_parameter(n + 2, ToSqlOutput::Borrowed(value))?;
                            continue;
                        }
                        let Some(value) = converted(with, &borrowed(value)?) else { return Ok(false) };
                        insert.raw_bind_parameter(n + 2, value.as_ref())?;
                    }
                    _ if self.table.required[n] => return Ok(false),
                    _ => insert.raw_bind_parameter(n + 2, self.table.defaults[n].as_ref())?,
                }
            }
            blob.clear();
            clock.relaid(self.plan.columns.iter().map(Source::column)).encode(&mut blob);
            insert.raw_bind_parameter(self.plan.columns.len() + 2, blob.as_slice())?;
            insert.raw_execute()?;
            self.progress.step();
        }
        Ok(true)
    }

    /// Writes the states of rows that aren't shown; `false` if one of them can't be told, or is shown now.
    fn hidden(&self) -> Result<bool, StoreError> {
        let name = self.table.schema.table;
        let waiting = self.waiting()?;
        let defaults = vec![Value::Null; self.found.columns.len()];
        let mut select = self
            .conn
            .prepare("SELECT id, state FROM cfost_hidden WHERE table_name = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
        let mut update = self.conn.prepare("UPDATE cfost_hidden SET state = ?3 WHERE table_name = ?1 AND id = ?2")?;
        let mut last = Vec::new();
        loop {
            let batch = select.query_map((name, &last, HIDDEN_BATCH), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let batch: Vec<([u8; 16], Vec<u8>)> = batch.collect::<rusqlite::Result<_>>()?;
            for (id, state) in &batch {
                let Some(row) = self.relaid(&decode_hidden(state, &defaults)?) else { return Ok(false) };
                let is_there = row.life == Life::Alive && self.table.is_complete(&row);
                if is_there != waiting.contains(&Uuid::from_bytes(*id)) {
                    return Ok(false);
                }
                update.execute((name, id, encode_hidden(&row)?))?;
                self.progress.step();
            }
            match batch.last() {
                Some((id, _)) if batch.len() == HIDDEN_BATCH as usize => last = id.to_vec(),
                _ => return Ok(true),
            }
        }
    }

    /// The rows of the table that wait for a row which they name: those that are hidden only for that.
    fn waiting(&self) -> Result<HashSet<Uuid>, StoreError> {
        let removed =
            self.plan.removed.iter().any(|&column| self.found.references.contains(&self.found.columns[column]));
        if removed {
            // One that waited by a column which goes may wait no more.
            return Ok(HashSet::new());
        }
        let mut select = self.conn.prepare("SELECT id FROM cfost_waiting WHERE table_name = ?1")?;
        let ids = select.query_map([self.table.schema.table], |row| row.get(0).map(Uuid::from_bytes))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// The row in the model's columns; `None` if only the oplog can tell.
    fn relaid(&self, row: &Row<Value>) -> Option<Row<Value>> {
        let value = |(n, source): (usize, &Source)| match source {
            Source::Found { column, with } if row.clock.column(*column).is_some() => {
                let value = &row.values[*column];
                if with.is_empty() { Some(value.clone()) } else { converted(with, &value.as_ref()) }
            }
            _ => Some(self.table.defaults[n].clone()),
        };
        let values = self.plan.columns.iter().enumerate().map(value).collect::<Option<_>>()?;
        Some(Row { values, clock: row.clock.relaid(self.plan.columns.iter().map(Source::column)), life: row.life })
    }
}

/// Passes a value through functions of the app; `None` if one fails, or makes what its column can't hold.
fn converted(with: &[Step], value: &ValueRef<'_>) -> Option<Value> {
    convert(with, value).ok().flatten()
}
