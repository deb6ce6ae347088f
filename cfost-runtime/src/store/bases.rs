//! What a column began with that merges by another rule than in earlier versions.
//!
//! A counter that was a value shows its *base*, the value that was written last, and all that was ever added to it.
//! A base is written by apps for which the column is a value, and by every insert, which older apps read as one. So
//! inserting a 5 is not adding 5 to what an older app makes of it.
//!
//! Texts that were values are in [`generations`](super::generations).

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::apply::{Applier, Context, ShapeFit, plain};
use super::forms::{Arrives, Target};
use super::table::Table;
use super::write::WriteTx;
use super::{Registry, StoreError};
use crate::clock::Timestamp;
use crate::crdt::{Effect, Stamp, Writer};
use crate::error::Result;
use crate::oplog::Op;
use crate::schema::{MergeRule, ModelSchema, Value, ValueRef};

/// The base of a counter.
#[derive(Clone, Copy, Debug)]
struct Base<'a> {
    schema: &'static ModelSchema,
    /// The column's number.
    column: usize,
    row: &'a Uuid,
}

impl Base<'_> {
    /// What the counter began with.
    fn value(self, table: &Table, conn: &Connection) -> Result<(i64, Stamp), StoreError> {
        let begins = if let Value::Integer(value) = table.defaults[self.column] { value } else { 0 };
        let mut select = conn.prepare_cached(
            "SELECT value, at, writer FROM cfost_bases WHERE table_name = ?1 AND row = ?2 AND column_name = ?3",
        )?;
        let stored = select.query_row((self.schema.table, self.row.as_bytes(), self.op_name()), |row| {
            let stamp = Stamp { at: Timestamp::from_u64(row.get::<_, i64>(1)? as u64), writer: Writer(row.get(2)?) };
            Ok((row.get(0)?, stamp))
        });
        Ok(stored.optional()?.unwrap_or((begins, Stamp::NONE)))
    }

    /// Writes the base; returns what that adds to the counter, `None` if another base wins.
    fn write(
        self,
        (table, conn): (&Table, &Connection),
        value: i64,
        stamp: Stamp,
        writers: &Registry,
    ) -> Result<Option<i64>, StoreError> {
        let (before, held) = self.value(table, conn)?;
        if !stamp.beats(held, writers) {
            return Ok(None);
        }
        let mut insert = conn.prepare_cached(
            "INSERT OR REPLACE INTO cfost_bases (table_name, row, column_name, value, at, writer) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let (at, writer) = (stamp.at.as_u64() as i64, stamp.writer.0);
        insert.execute((self.schema.table, self.row.as_bytes(), self.op_name(), value, at, writer))?;
        Ok(Some(value.wrapping_sub(before)))
    }

    fn op_name(self) -> &'static str {
        self.schema.columns[self.column].op_name
    }
}

/// Forgets the bases of a table.
pub(super) fn clear(conn: &Connection, table: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_bases WHERE table_name = ?1")?.execute([table])?;
    Ok(())
}

/// Forgets the bases of a row.
pub(super) fn forget(conn: &Connection, table: &str, row: &Uuid) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_bases WHERE table_name = ?1 AND row = ?2")?
        .execute((table, row.as_bytes()))?;
    Ok(())
}

/// The bases of a table, a row for each of its rows: to compare two databases.
pub(super) fn dump_sql(schema: &ModelSchema) -> String {
    format!(
        "SELECT row, group_concat(column_name || ' ' || value || ' ' || at || ' ' || writer, ',' ORDER BY column_name) \
         FROM cfost_bases WHERE table_name = '{}' GROUP BY row ORDER BY row",
        schema.table.replace('\'', "''")
    )
}

impl Applier<'_> {
    /// Writes what an op says of the values that columns began with, and adds what that makes of them to its effects.
    pub(super) fn write_bases(
        &mut self,
        table: usize,
        op: &Op<'_, '_>,
        fit: &ShapeFit,
        stamp: Stamp,
        context: &mut Context<'_>,
        effects: &mut Vec<(usize, Effect<Value>)>,
    ) -> Result<(), StoreError> {
        let of = &self.rows.tables[table];
        for (target, value) in fit.columns.iter().zip(op.values) {
            let (Some(Target::Older(older)), Some(value)) = (*target, plain(value)) else { continue };
            let Some(Arrives::Base(column)) = of.forms.arrives(older) else { continue };
            let converted = of.forms.convert(older, value).map_err(|error| {
                let (table, row) = (of.schema.table, op.row);
                tracing::warn!(table, %row, %error, "a value of an older version can't be converted");
            });
            let Ok(Some((_, value))) = converted else { continue };
            match (of.schema.columns[column].rule, value) {
                (MergeRule::Counter, Value::Integer(value)) => {
                    let base = Base { schema: of.schema, column, row: &op.row };
                    let added = base.write((of, self.rows.conn), value, stamp, context.registry)?;
                    add(effects, column, added);
                }
                #[cfg(feature = "text")]
                (MergeRule::Text, Value::Text(text)) => {
                    let shown = self.begin_generation((table, column), op, &text, stamp, context)?;
                    effects.extend(shown.map(|effect| (column, effect)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds to a counter that an op may have added to already.
pub(super) fn add(effects: &mut Vec<(usize, Effect<Value>)>, column: usize, added: Option<i64>) {
    let Some(added) = added else { return };
    match effects.iter_mut().find(|(other, _)| *other == column) {
        Some((_, Effect::Add(delta))) => *delta = delta.wrapping_add(added),
        _ => effects.push((column, Effect::Add(added))),
    }
}

impl WriteTx<'_> {
    /// Writes the bases of the counters of a row that is inserted, which are these values. Returns what the row's op
    /// carries for its columns: nothing is added to what begins so.
    pub(super) fn insert_bases<'v>(
        &self,
        table: usize,
        row: &Uuid,
        values: &[ValueRef<'v>],
        stamp: Stamp,
    ) -> Result<Option<Vec<ValueRef<'v>>>> {
        let of = &self.tables[table];
        let mut carried = None;
        for (column, value) in of.forms.counters_with_base().map(|column| (column, &values[column])) {
            let ValueRef::Integer(value) = *value else { continue };
            let base = Base { schema: of.schema, column, row };
            base.write((of, self.conn), value, stamp, &self.state.registry)?;
            carried.get_or_insert_with(|| values.to_vec())[column] = ValueRef::Integer(0);
        }
        Ok(carried)
    }

    /// The same for a row that is inserted over a deleted one, whose counters were at `before`; `written` is what its
    /// op carries, and takes back what was added before. Returns what the bases add.
    pub(super) fn insert_bases_again(
        &self,
        table: usize,
        row: &Uuid,
        (before, given): (&[Value], &[ValueRef<'_>]),
        written: &mut [ValueRef<'_>],
        stamp: Stamp,
    ) -> Result<Vec<(usize, i64)>> {
        let of = &self.tables[table];
        let mut added = Vec::new();
        for column in of.forms.counters_with_base() {
            let (Value::Integer(before), ValueRef::Integer(value)) = (&before[column], &given[column]) else {
                continue;
            };
            let base = Base { schema: of.schema, column, row };
            let (began, _) = base.value(of, self.conn)?;
            written[column] = ValueRef::Integer(began.wrapping_sub(*before));
            let more = base.write((of, self.conn), *value, stamp, &self.state.registry)?;
            added.extend(more.map(|more| (column, more)));
        }
        Ok(added)
    }
}
