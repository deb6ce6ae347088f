//! Taking back the last change of this device, as a new change.
//!
//! What the rows would be without the change is not computed backwards: the other ops on them are applied
//! again, to an empty database beside this one, and where a row differs there, it is written to be as
//! it is there. So a cell goes back only if it still holds the write of the change, a counter loses what
//! the change added to it, and what another device wrote meanwhile stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::apply::{Applier, Context};
use super::changes;
use super::elements::read_elements;
use super::entries::read_change;
use super::hidden::Hidden;
use super::history::{HistoryError, RowKey, visit_changes};
use super::layout::{log_of, meta, position, seq_of, set_meta};
use super::rebuild::{self, ANY_TIME};
use super::registry::LogRow;
use super::rows::Rows;
use super::state::State;
use super::table::Table;
use super::write::WriteTx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::crdt::{Life, Row};
use crate::error::Result;
use crate::oplog::{OpKind, Opener, PackedChange};
use crate::schema::{Element, MergeRule, RowValues, Value, ValueRef};

/// What an undo did; made by [`Db::undo`](crate::db::Db::undo).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// When the change that was taken back was made.
    pub timestamp: Timestamp,
    /// The rows that the change had touched.
    pub rows: Vec<UndoneRow>,
}

/// What an undo did to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoneRow {
    /// The row's table.
    pub table: String,
    /// The row.
    pub id: Uuid,
    /// What became of the row.
    pub outcome: UndoOutcome,
    /// The columns that have their earlier values again.
    pub columns: Vec<String>,
    /// The columns that were left alone: another device has written them since.
    pub kept: Vec<String>,
}

/// What became of a row in an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UndoOutcome {
    /// The change had inserted the row: it is deleted.
    Deleted,
    /// The change had deleted the row: it is back.
    Restored,
    /// Columns of the row have their earlier values.
    Reverted,
    /// Nothing: another device has edited or deleted the row since, or its deletion is final.
    Kept,
}

/// What a transaction did to a row.
#[derive(Default)]
struct Touch {
    inserted: bool,
    columns: BTreeSet<String>,
}

/// The changes of one transaction.
struct Group {
    log: LogRow,
    seqs: RangeInclusive<u64>,
}

impl Store {
    /// Takes back the last transaction of this device.
    pub(crate) fn undo(&self) -> Result<Undone> {
        let mut undone = None;
        self.write(&mut |mut tx| {
            undone = Some(undo(&mut tx, &self.tables)?);
            Ok(tx)
        })?;
        Ok(undone.expect("a transaction that succeeded has run its work"))
    }
}

/// Makes what this device has written so far final: it wrote the rows for another reason than to change
/// them.
pub(super) fn forbid(conn: &Connection, state: &State) -> Result<(), StoreError> {
    set_meta(conn, UNDO_AFTER, position(state.own.number, state.own.chain.head.seq))
}

/// In `cfost_meta`: the position up to which the own log can't be undone.
const UNDO_AFTER: &str = "undo_after";

fn undo(tx: &mut WriteTx<'_>, tables: &[Table]) -> Result<Undone> {
    let conn = tx.connection();
    let group = last_group(conn, tx.state())?.ok_or(HistoryError::NothingToUndo)?;
    let (timestamp, touched) = touched_rows(conn, tables, tx.state(), &group)?;
    let rows: BTreeSet<RowKey> = touched.keys().copied().collect();
    let (without, hidden) = rows_without(conn, tables, tx.state(), &group, &rows)?;
    let mut earlier = Rows::new(&without, tables);
    let mut undone = Vec::with_capacity(touched.len());
    for ((table, id), touch) in touched {
        let (_, row) = earlier.load(table, &id, &hidden)?;
        let earlier = Earlier { row, collections: read_elements(&without, &tables[table], &id)? };
        undone.push(undo_row(tx, &tables[table], (table, id), &touch, &earlier)?);
    }
    Ok(Undone { timestamp, rows: undone })
}

/// The last transaction of this device that can be undone.
fn last_group(conn: &Connection, state: &State) -> Result<Option<Group>> {
    let own = state.registry.get(state.own.number).filter(|log| log.head.seq > 0);
    // A log is new after a restore: the device's last change is in the one before it then.
    let former = || {
        let of_device = |log: &&LogRow| log.device == state.secrets.device && log.applied_seq > 0;
        state.registry.iter().filter(of_device).max_by_key(|log| log.last_at)
    };
    let Some(log) = own.or_else(former) else { return Ok(None) };
    let last = log.applied_seq;
    if let Some(forbidden) = meta::<i64>(conn, UNDO_AFTER)?
        && log_of(forbidden) == log.number
        && seq_of(forbidden) >= last
    {
        return Ok(None);
    }
    let mut select = conn.prepare_cached("SELECT change FROM cfost_changes WHERE position = ?1")?;
    let mut first = last;
    while first > 1 {
        let packed: Option<Vec<u8>> =
            select.query_row([position(log.number, first - 1)], |row| row.get(0)).optional()?;
        let continues = match packed {
            Some(packed) => PackedChange::decode(&packed)?.flags.continues(),
            None => false,
        };
        if !continues {
            break;
        }
        first -= 1;
    }
    Ok(Some(Group { log: log.clone(), seqs: first..=last }))
}

/// The rows that a transaction touched, and when it began.
fn touched_rows(
    conn: &Connection,
    tables: &[Table],
    state: &State,
    group: &Group,
) -> Result<(Timestamp, BTreeMap<RowKey, Touch>), StoreError> {
    let (mut began, mut touched) = (Timestamp::MAX, BTreeMap::<RowKey, Touch>::new());
    let mut opener = Opener::new();
    let after = changes::head_at(conn, &group.log, &state.secrets, group.seqs.start() - 1)?;
    changes::walk(conn, &group.log, &state.secrets, after, *group.seqs.end(), |stored| {
        read_change(&group.log, &stored, &state.secrets, &mut opener, &|_, _| true, &mut |entry| {
            began = began.min(entry.timestamp);
            if let Some(table) = tables.iter().position(|table| table.schema.table == entry.table) {
                let touch = touched.entry((table, entry.row_id)).or_default();
                touch.inserted |= entry.op_type == OpKind::Create;
                touch.columns.extend(entry.data.into_iter().map(|(name, _)| name));
            }
            Ok(())
        })?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((began, touched))
}

/// The rows as all ops but those of the transaction make them, in a database of their own.
fn rows_without(
    conn: &Connection,
    tables: &[Table],
    state: &State,
    group: &Group,
    rows: &BTreeSet<RowKey>,
) -> Result<(Connection, Hidden)> {
    let scratch = rebuild::scratch(tables)?;
    let mut hidden = Hidden::read(&scratch, tables)?;
    let mut registry = state.registry.clone();
    let transaction = scratch.unchecked_transaction()?;
    let mut applier = Applier::new(conn, &scratch, tables, ANY_TIME).choose_rows(rows);
    visit_changes(conn, tables, state, rows, &mut |log, stored| {
        if log.number == group.log.number && group.seqs.contains(&stored.header.seq()) {
            return Ok(());
        }
        let mut context = Context { registry: &mut registry, hidden: &mut hidden, secrets: &state.secrets };
        applier.apply_alone(stored, &mut context, log.number)
    })?;
    drop(applier);
    transaction.commit()?;
    Ok((scratch, hidden))
}

/// A row as it was without the transaction; its elements are those that it shows.
struct Earlier {
    row: Row<Value>,
    collections: Vec<Vec<Element<'static>>>,
}

fn undo_row(
    tx: &mut WriteTx<'_>,
    table: &Table,
    (number, id): RowKey,
    touch: &Touch,
    without: &Earlier,
) -> Result<UndoneRow> {
    let (schema, earlier) = (table.schema, &without.row);
    let (_, now) = tx.load_anywhere(number, &id)?;
    // A row that another device has edited since it was inserted stays, also if nothing is missing without
    // the insert.
    let complete = table.is_complete(earlier) && (!touch.inserted || table.required.contains(&true));
    let names = |chosen: &dyn Fn(usize) -> bool| -> Vec<String> {
        let columns = schema.columns.iter().enumerate().filter(|(n, _)| chosen(*n));
        columns
            .filter(|(_, column)| touch.columns.contains(column.name))
            .map(|(_, column)| column.name.to_owned())
            .collect()
    };
    let outcome = match (now.life, earlier.life) {
        (Life::Alive, Life::Dead) => UndoOutcome::Deleted,
        (Life::Dead, Life::Alive) if complete => UndoOutcome::Restored,
        (Life::Alive, Life::Alive) if complete => UndoOutcome::Reverted,
        _ => UndoOutcome::Kept,
    };
    let row = |outcome, columns, kept| UndoneRow { table: schema.table.to_owned(), id, outcome, columns, kept };
    if outcome == UndoOutcome::Kept {
        return Ok(row(outcome, Vec::new(), names(&|_| true)));
    }
    if outcome == UndoOutcome::Restored {
        tx.touch(number, &id)?;
    }
    let mut columns = Vec::new();
    if let Some(current) = tx.load(number, &id)? {
        let before = (current.row.values.clone(), current.collections);
        // What is deleted takes its elements with it.
        let collections = if outcome == UndoOutcome::Deleted { &before.1 } else { &without.collections };
        let borrowed = collections.iter().map(|elements| elements.iter().map(Element::borrowed).collect());
        let columns_after = earlier_values(table, &before.0, earlier);
        let after = RowValues::new(columns_after, borrowed.collect());
        columns = names(&|n| before.0[n].as_ref() != after.columns[n]);
        let elements = schema.collections.iter().zip(before.1.iter().zip(collections));
        columns.extend(elements.filter(|(_, (now, then))| now != then).map(|(of, _)| of.name.to_owned()));
        tx.update(number, &id, current.row, &before, &after)?;
    }
    if outcome == UndoOutcome::Deleted {
        tx.delete(number, &id)?;
    }
    let others =
        |n: usize| schema.columns[n].rule != MergeRule::Counter && now.clock.column(n) == earlier.clock.column(n);
    Ok(row(outcome, columns, names(&others)))
}

/// What the columns go back to: those that nothing else has written and that must have a value, and those
/// that never change, stay.
fn earlier_values<'v>(table: &Table, now: &'v [Value], earlier: &'v Row<Value>) -> Vec<ValueRef<'v>> {
    let value = |n: usize| {
        let stays = table.kept[n] || (table.required[n] && !earlier.clock.column(n).is_some());
        if stays { now[n].as_ref() } else { earlier.values[n].as_ref() }
    };
    (0..now.len()).map(value).collect()
}
