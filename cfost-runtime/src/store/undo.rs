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
#[cfg(feature = "text")]
use super::generations;
use super::hidden::Hidden;
use super::history::{HistoryError, RowKey, visit_changes};
use super::layout::{log_of, meta, position, seq_of, set_meta};
use super::rebuild::{self, ANY_TIME};
use super::registry::LogRow;
use super::rows::Rows;
use super::state::State;
use super::table::Table;
#[cfg(feature = "text")]
use super::texts::{TextAt, Texts};
use super::write::WriteTx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
#[cfg(feature = "text")]
use crate::crdt::text::peer_of;
use crate::crdt::{Life, Row, RowClock};
use crate::error::{Error, Result};
#[cfg(feature = "text")]
use crate::oplog::LogId;
use crate::oplog::{OpKind, Opener, PackedChange, SpaceId};
#[cfg(feature = "text")]
use crate::schema::ModelSchema;
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
    /// The columns that were left alone: another device has written them since, or they named a row that is gone.
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
    /// Nothing: another device has edited or deleted the row since, or rows that the deletion would take along,
    /// or the row's deletion is final.
    Kept,
}

/// What a transaction did to a row.
#[derive(Default)]
struct Touch {
    /// How many ops came before the first on the row.
    order: usize,
    inserted: bool,
    columns: BTreeSet<String>,
}

/// The changes of one transaction in one space.
struct Part {
    log: LogRow,
    seqs: RangeInclusive<u64>,
}

/// The changes of one transaction: a part in each space that it wrote to.
struct Group(Vec<Part>);

impl Group {
    /// The log in which the transaction wrote to a space.
    #[cfg(feature = "text")]
    fn of(&self, space: Option<SpaceId>) -> Option<LogId> {
        self.0.iter().find(|part| Some(part.log.space) == space).map(|part| part.log.id)
    }

    /// Whether a change is of the transaction.
    fn has(&self, log: &LogRow, seq: u64) -> bool {
        self.0.iter().any(|part| part.log.number == log.number && part.seqs.contains(&seq))
    }
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
    set_meta(conn, UNDO_SINCE, state.hlc.last().as_u64() as i64)
}

/// In `cfost_meta`: transactions that began up to this time can't be undone.
const UNDO_SINCE: &str = "undo_since";

/// The same as builds of the first format wrote it: the position in the log of then up to which it can't be undone.
const UNDO_AFTER: &str = "undo_after";

fn undo(tx: &mut WriteTx<'_>, tables: &[Table]) -> Result<Undone> {
    let conn = tx.connection();
    let group = last_group(conn, tx.state())?.ok_or(HistoryError::NothingToUndo)?;
    let (timestamp, touched) = touched_rows(conn, tables, tx.state(), &group)?;
    let mut undoings = plan(tx, tables, &group, touched)?;
    // What was deleted is back before what refers to it is changed, and what refers to a row goes before it.
    for undoing in undoings.iter().filter(|undoing| undoing.outcome == UndoOutcome::Restored) {
        tx.touch(undoing.table, &undoing.id)?;
    }
    for undoing in undoings.iter_mut().filter(|undoing| undoing.outcome != UndoOutcome::Kept) {
        undoing.revert(tx, &tables[undoing.table])?;
    }
    for undoing in undoings.iter().rev().filter(|undoing| undoing.outcome == UndoOutcome::Deleted) {
        tx.delete_anywhere(undoing.table, &undoing.id)?;
    }
    let rows = undoings.into_iter().map(|undoing| undoing.done(tables)).collect();
    Ok(Undone { timestamp, rows })
}

/// The last transaction of this device that can be undone.
fn last_group(conn: &Connection, state: &State) -> Result<Option<Group>> {
    // A log is new after a restore: the device's last change in a space is in the one before it then.
    let mut newest = BTreeMap::<SpaceId, &LogRow>::new();
    for log in state.registry.iter().filter(|log| log.device == state.secrets.device && log.applied_seq > 0) {
        let known = newest.entry(log.space).or_insert(log);
        if known.last_at < log.last_at {
            *known = log;
        }
    }
    let since = meta::<i64>(conn, UNDO_SINCE)?.map_or(Timestamp::ZERO, |since| Timestamp::from_u64(since as u64));
    let mut parts = Vec::new();
    for log in newest.into_values() {
        let part = last_part(conn, log)?;
        let began = began_at(conn, state, &part)?;
        if began > since && !is_forbidden(conn, &part)? {
            parts.push((began, part));
        }
    }
    // What a transaction writes begins at one time in all spaces, which no other transaction of the device has.
    let Some(last) = parts.iter().map(|(began, _)| *began).max() else { return Ok(None) };
    let parts = parts.into_iter().filter(|(began, _)| *began == last).map(|(_, part)| part);
    Ok(Some(Group(parts.collect())))
}

/// The changes of the last transaction in a log.
fn last_part(conn: &Connection, log: &LogRow) -> Result<Part> {
    let mut select = conn.prepare_cached("SELECT change FROM cfost_changes WHERE position = ?1")?;
    let last = log.applied_seq;
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
    Ok(Part { log: log.clone(), seqs: first..=last })
}

/// When a transaction began, by its changes in one space.
fn began_at(conn: &Connection, state: &State, part: &Part) -> Result<Timestamp, StoreError> {
    let (mut began, mut opener, first) = (Timestamp::MAX, Opener::new(), *part.seqs.start());
    let after = changes::head_at(conn, &part.log, &state.secrets, first - 1)?;
    changes::walk(conn, &part.log, &state.secrets, after, first, |stored| {
        read_change(&part.log, &stored, &state.secrets, &mut opener, &|_, _| true, &mut |entry| {
            began = began.min(entry.timestamp);
            Ok(())
        })?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(began)
}

fn is_forbidden(conn: &Connection, part: &Part) -> Result<bool, StoreError> {
    let forbidden = meta::<i64>(conn, UNDO_AFTER)?;
    let is_within = |at: i64| log_of(at) == part.log.number && seq_of(at) >= *part.seqs.end();
    Ok(forbidden.is_some_and(is_within))
}

/// The rows that a transaction touched, and when it began.
fn touched_rows(
    conn: &Connection,
    tables: &[Table],
    state: &State,
    group: &Group,
) -> Result<(Timestamp, BTreeMap<RowKey, Touch>), StoreError> {
    let (mut began, mut touched) = (Timestamp::MAX, BTreeMap::<RowKey, Touch>::new());
    let (mut opener, mut ops) = (Opener::new(), 0);
    for Part { log, seqs } in &group.0 {
        let after = changes::head_at(conn, log, &state.secrets, seqs.start() - 1)?;
        changes::walk(conn, log, &state.secrets, after, *seqs.end(), |stored| {
            read_change(log, &stored, &state.secrets, &mut opener, &|_, _| true, &mut |entry| {
                (began, ops) = (began.min(entry.timestamp), ops + 1);
                if let Some(table) = tables.iter().position(|table| table.schema.table == entry.table) {
                    let new = || Touch { order: ops, ..Touch::default() };
                    let touch = touched.entry((table, entry.row_id)).or_insert_with(new);
                    touch.inserted |= entry.op_type == OpKind::Create;
                    let data = tables[table].forms.translated(entry.data, entry.op_type, entry.schema_version);
                    touch.columns.extend(data.into_iter().map(|(name, _)| name));
                }
                Ok(())
            })?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
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
    #[cfg(feature = "text")]
    let mut texts = super::texts::Texts::default();
    let transaction = scratch.unchecked_transaction()?;
    let mut applier = Applier::new(conn, &scratch, tables, ANY_TIME).choose_rows(rows);
    let mut context = Context {
        registry: &mut registry,
        hidden: &mut hidden,
        #[cfg(feature = "text")]
        texts: &mut texts,
        secrets: &state.secrets,
    };
    visit_changes(conn, tables, state, rows, &mut |log, stored| {
        if group.has(log, stored.header.seq()) {
            return Ok(());
        }
        applier.apply_alone(stored, &mut context, log.number)
    })?;
    applier.settle(&mut context)?;
    drop(applier);
    transaction.commit()?;
    Ok((scratch, hidden))
}

/// What becomes of the rows that a transaction touched, in the order in which it touched them.
fn plan(
    tx: &mut WriteTx<'_>,
    tables: &[Table],
    group: &Group,
    touched: BTreeMap<RowKey, Touch>,
) -> Result<Vec<Undoing>> {
    let rows: BTreeSet<RowKey> = touched.keys().copied().collect();
    // By themselves: whether a row is shown with those that it refers to is not asked here.
    let unlinked: Vec<Table> = tables.iter().map(|table| Table::new(table.schema)).collect();
    let (without, hidden) = rows_without(tx.connection(), &unlinked, tx.state(), group, &rows)?;
    let mut earlier = Rows::new(&without, &unlinked);
    let mut undoings = Vec::with_capacity(touched.len());
    for ((table, id), touch) in touched {
        let (_, row) = earlier.load(table, &id, &hidden)?;
        let collections = read_elements(&without, &unlinked[table], &id)?;
        let (_, now) = tx.load_anywhere(table, &id)?;
        let mut outcome = outcome(&tables[table], &now, &row, &touch);
        if outcome == UndoOutcome::Deleted && !tx.cascade(table, &id)?.iter().all(|row| rows.contains(row)) {
            outcome = UndoOutcome::Kept;
        }
        let earlier = Earlier { row, collections };
        #[cfg(feature = "text")]
        let texts = match group.of(tx.space_of_row((table, id))?) {
            Some(log) => texts_before(&without, tx.connection(), tables[table].schema, id, log)?,
            None => Vec::new(),
        };
        undoings.push(Undoing {
            table,
            id,
            touch,
            earlier,
            now: now.clock,
            outcome,
            columns: Vec::new(),
            held: Vec::new(),
            #[cfg(feature = "text")]
            texts,
        });
    }
    undoings.sort_by_key(|undoing| undoing.touch.order);
    Ok(undoings)
}

/// What the transaction did to each text that a row shows.
#[cfg(feature = "text")]
fn texts_before(
    without: &Connection,
    now: &Connection,
    schema: &'static ModelSchema,
    row: Uuid,
    log: LogId,
) -> Result<Vec<TextUndo>, StoreError> {
    let peer = peer_of(log.as_bytes());
    let texts = schema.columns.iter().enumerate().filter(|(_, column)| column.rule == MergeRule::Text);
    let of_column = |column| {
        let at = TextAt::new(schema, column, row);
        let (_, generation) = generations::shown(now, at)?;
        let there = generations::kept(without, at)?.into_iter().find(|(held, _)| held.generation == generation);
        let from = match there {
            Some((_, at)) => Some(Texts::next_step(without, at, peer)?),
            // Another device began it, and all that this log did to it was in the transaction.
            None if generation.is_none_or(|generation| generation.writer != peer) => Some(0),
            None => None,
        };
        Ok(TextUndo { column, log, from })
    };
    texts.map(|(column, _)| of_column(column)).collect()
}

fn outcome(table: &Table, now: &Row<Value>, earlier: &Row<Value>, touch: &Touch) -> UndoOutcome {
    // A row that another device has edited since it was inserted stays, also if nothing is missing without
    // the insert.
    let complete = table.is_complete(earlier) && (!touch.inserted || table.required.contains(&true));
    match (now.life, earlier.life) {
        (Life::Alive, Life::Dead) => UndoOutcome::Deleted,
        (Life::Dead, Life::Alive) if complete => UndoOutcome::Restored,
        (Life::Alive, Life::Alive) if complete => UndoOutcome::Reverted,
        _ => UndoOutcome::Kept,
    }
}

/// A row as it was without the transaction.
struct Earlier {
    row: Row<Value>,
    collections: Vec<Vec<Element<'static>>>,
}

/// What a transaction did to a text.
#[cfg(feature = "text")]
struct TextUndo {
    column: usize,
    /// The log that edited it.
    log: LogId,
    /// The first of the log's steps to take back; `None` if it wrote the text as a whole, which goes back as a whole.
    from: Option<u32>,
}

/// What becomes of a row.
struct Undoing {
    table: usize,
    id: Uuid,
    touch: Touch,
    earlier: Earlier,
    /// The writes that the row holds before the undo.
    now: RowClock,
    outcome: UndoOutcome,
    /// What has its earlier values again.
    columns: Vec<String>,
    /// What could not have them.
    held: Vec<String>,
    /// What to take back of the row's texts.
    #[cfg(feature = "text")]
    texts: Vec<TextUndo>,
}

impl Undoing {
    /// Gives the row's columns and elements the values that they had.
    fn revert(&mut self, tx: &mut WriteTx<'_>, table: &Table) -> Result<()> {
        let deleted = self.outcome == UndoOutcome::Deleted;
        if deleted && !self.earlier.row.clock.life().is_some() {
            // It was not there before: should another device bring it back, then as it was.
            return Ok(());
        }
        let Some(current) = tx.load(self.table, &self.id)? else {
            if self.outcome == UndoOutcome::Reverted {
                // It is not shown, since another device has deleted a row that it refers to.
                self.outcome = UndoOutcome::Kept;
            }
            return Ok(());
        };
        let schema = table.schema;
        let before = (current.row.values.clone(), current.collections);
        // What is deleted takes its elements with it.
        let collections = if deleted { &before.1 } else { &self.earlier.collections };
        let borrowed = collections.iter().map(|elements| elements.iter().map(Element::borrowed).collect());
        let columns: Vec<ValueRef<'_>> =
            (0..before.0.len()).map(|n| self.earlier_value(tx, table, n, &before.0[n])).collect::<Result<_>>()?;
        let after = RowValues::new(columns, borrowed.collect());
        let changed = schema.columns.iter().enumerate().filter(|(n, _)| before.0[*n].as_ref() != after.columns[*n]);
        let mut reverted: Vec<_> = changed.map(|(_, column)| column.name.to_owned()).collect();
        let elements = schema.collections.iter().zip(before.1.iter().zip(&after.collections));
        reverted.extend(elements.filter(|(_, (now, then))| now != then).map(|(of, _)| of.name.to_owned()));
        let held = schema.columns.iter().enumerate().filter(|(n, _)| {
            let earlier = self.earlier.row.values[*n].as_ref();
            after.columns[*n] != earlier && !table.kept[*n] && schema.columns[*n].rule != MergeRule::Text
        });
        let held = held.map(|(_, column)| column.name.to_owned()).collect();
        tx.update(self.table, &self.id, current.row, &before, &after)?;
        #[cfg(feature = "text")]
        for TextUndo { column, log, from } in &self.texts {
            let Some(from) = *from else { continue };
            if tx.take_back_text(self.table, &self.id, *column, (*log, from))? {
                reverted.push(schema.columns[*column].name.to_owned());
            }
        }
        self.held = held;
        self.columns = reverted;
        Ok(())
    }

    /// Whether the transaction wrote a text as a whole, since it was a value then.
    #[cfg(feature = "text")]
    fn wrote_whole(&self, column: usize) -> bool {
        self.texts.iter().any(|text| text.column == column && text.from.is_none())
    }

    #[cfg(not(feature = "text"))]
    fn wrote_whole(&self, _: usize) -> bool {
        false
    }

    /// What a column goes back to: one that must have a value and that nothing else has written stays, and so
    /// does one that never changes, or that named a row which is gone by now.
    fn earlier_value<'v>(
        &'v self,
        tx: &WriteTx<'_>,
        table: &Table,
        column: usize,
        now: &'v Value,
    ) -> Result<ValueRef<'v>> {
        let (row, value) = (&self.earlier.row, self.earlier.row.values[column].as_ref());
        let must_have = table.required[column] || table.schema.columns[column].encrypted.is_some();
        let unwritten = must_have && !row.clock.column(column).is_some();
        // The edits of a text are taken back one by one.
        let is_text = table.schema.columns[column].rule == MergeRule::Text && !self.wrote_whole(column);
        if table.kept[column] || unwritten || is_text || value == now.as_ref() {
            return Ok(now.as_ref());
        }
        match tx.check_parents(self.table, self.id, std::iter::once((column, &value))) {
            Ok(()) => Ok(row.values[column].as_ref()),
            Err(Error::MissingParent { .. }) => Ok(now.as_ref()),
            Err(error) => Err(error),
        }
    }

    fn done(self, tables: &[Table]) -> UndoneRow {
        let schema = tables[self.table].schema;
        let columns = schema.columns.iter().enumerate().filter(|(n, column)| {
            let others = self.now.column(*n) == self.earlier.row.clock.column(*n);
            let held = self.outcome == UndoOutcome::Kept || self.held.iter().any(|held| held == column.name);
            held || (column.rule != MergeRule::Counter && others)
        });
        let columns = columns.map(|(_, column)| column.name);
        let kept = columns.chain(schema.collections.iter().map(|of| of.name));
        let kept = kept.filter(|name| self.touch.columns.contains(*name)).map(str::to_owned);
        let kept = kept.filter(|name| !self.columns.contains(name)).collect();
        let kept = if self.outcome == UndoOutcome::Deleted { Vec::new() } else { kept };
        UndoneRow { table: schema.table.to_owned(), id: self.id, outcome: self.outcome, columns: self.columns, kept }
    }
}
