//! Explaining a row: the stored row says which write each of its cells holds, the row's entries say what
//! the others were, and causality says which of them lost without knowing.

use std::collections::BTreeMap;

use rusqlite::Connection;
use uuid::Uuid;

use super::causality::Causality;
use super::entries::{OpData, OplogEntry};
use super::explanation::{Added, ExplainedColumn, ExplainedLife, Explanation, LostValue, Shown, Written};
use super::history::{Entry, HistoryError, RowKey, entries_of};
use super::rows::{Place, Rows, fits};
use super::state::State;
use super::table::Table;
use super::{Registry, Store, StoreError};
use crate::crdt::{Life, Row, Stamp};
use crate::error::Result;
use crate::oplog::OpKind;
use crate::schema::{ColumnSchema, MergeRule, Value, ValueRef};

impl Store {
    /// Why a row is as it is.
    pub(crate) fn explain(&self, table: usize, id: Uuid) -> Result<Explanation> {
        self.in_snapshot(|conn, state| {
            let mut entries = entries_of(conn, &self.tables, state, (table, id))?;
            if entries.is_empty() {
                return Err(HistoryError::NeverExisted { table: self.tables[table].schema.table, id }.into());
            }
            for Entry { entry, .. } in &mut entries {
                entry.data = self.tables[table].forms.translated(
                    std::mem::take(&mut entry.data),
                    entry.op_type,
                    entry.schema_version,
                );
            }
            let mut rows = Rows::new(conn, &self.tables);
            let (place, row) = rows.load(table, &id, &state.hidden)?;
            let shown = self.shown(&rows, (table, id), place, &row)?;
            Ok(Explainer::new(conn, state, &entries).explain(&self.tables[table], id, &row, shown)?)
        })
    }

    /// Whether a row is shown, and if not why.
    fn shown(&self, rows: &Rows<'_>, row: RowKey, place: Place, found: &Row<Value>) -> Result<Shown, StoreError> {
        let table = &self.tables[row.0];
        match found.life {
            Life::Dead => return Ok(Shown::Deleted),
            Life::Gone => return Ok(Shown::Gone),
            Life::Alive if !table.is_complete(found) => return Ok(Shown::Incomplete),
            Life::Alive if place == Place::Visible => return Ok(Shown::Yes),
            Life::Alive => {}
        }
        let values: Vec<ValueRef<'_>> = found.values.iter().map(Value::as_ref).collect();
        let (column, id) = rows.missing_parent(row, values.iter().enumerate())?.unwrap_or((0, row.1));
        let reference = table.schema.columns.get(column).and_then(|column| column.reference);
        let parent = reference.map_or(table.schema.table, |reference| reference.table);
        Ok(Shown::Waiting { table: parent.to_owned(), id })
    }
}

/// Puts an explanation together.
pub(super) struct Explainer<'a> {
    state: &'a State,
    /// The row's entries, oldest first, in the model's own terms.
    pub(super) entries: &'a [Entry],
    causality: Causality<'a>,
}

impl<'a> Explainer<'a> {
    fn new(conn: &'a Connection, state: &'a State, entries: &'a [Entry]) -> Self {
        Self { state, entries, causality: Causality::new(conn, &state.registry) }
    }

    fn explain(&mut self, table: &Table, id: Uuid, row: &Row<Value>, shown: Shown) -> Result<Explanation, StoreError> {
        let schema = table.schema;
        let life = self.life(row, shown)?;
        let columns = (0..schema.columns.len()).map(|n| self.column(n, table, row)).collect::<Result<_, _>>()?;
        let collections = table.children.iter().map(|child| self.collection(child)).collect::<Result<_, _>>()?;
        Ok(Explanation { table: schema.table.to_owned(), id, life, columns, collections })
    }

    fn life(&mut self, row: &Row<Value>, shown: Shown) -> Result<ExplainedLife, StoreError> {
        let winner = self.holder(row.clock.life());
        let otherwise = |entry: &&Entry| (entry.entry.op_type == OpKind::Delete) == (row.life == Life::Alive);
        let others: Vec<&Entry> = self.entries.iter().filter(otherwise).collect();
        let lost = match winner {
            Some(winner) => self.concurrent(winner, others)?,
            None => Vec::new(),
        };
        let lost = lost.iter().map(|entry| (entry.entry.op_type, self.written(&entry.entry))).collect();
        Ok(ExplainedLife { shown, written: winner.map(|entry| self.written(&entry.entry)), lost })
    }

    fn column(&mut self, n: usize, table: &Table, row: &Row<Value>) -> Result<ExplainedColumn, StoreError> {
        let column = &table.schema.columns[n];
        // What never changes is written by inserts alone.
        let write_of = |entry: &'a Entry| {
            let writes = !table.kept[n] || entry.entry.op_type == OpKind::Create;
            writes.then(|| write_of(&entry.entry, column)).flatten()
        };
        let winner = self.holder(row.clock.column(n));
        let mut lost = Vec::new();
        if let (Some(winner), MergeRule::Lww) = (winner, column.rule) {
            let writes = self.entries.iter().filter(|entry| write_of(entry).is_some()).collect();
            for entry in self.concurrent(winner, writes)? {
                if let Some(value) = write_of(entry) {
                    lost.push(LostValue { value: value.clone(), written: self.written(&entry.entry) });
                }
            }
        }
        Ok(ExplainedColumn {
            name: column.name.to_owned(),
            rule: column.rule,
            value: row.values[n].clone(),
            written: winner.map(|entry| self.written(&entry.entry)),
            lost,
            added: if column.rule == MergeRule::Counter { self.added(column) } else { Vec::new() },
        })
    }

    /// What each device has added to a counter. Of a counter that was a value in earlier versions, the value that was
    /// written last counts as added by its device.
    fn added(&self, column: &ColumnSchema) -> Vec<Added> {
        let mut by_device: BTreeMap<_, (usize, i64, &OplogEntry)> = BTreeMap::new();
        let of_column = |entry: &'a OplogEntry| entry.data.iter().filter(|(name, _)| name == column.name);
        let is_base = |entry: &'a Entry| of_column(&entry.entry).any(|(_, data)| matches!(data, OpData::Write(_)));
        let base = self.entries.iter().rposition(is_base);
        for (n, Entry { entry, .. }) in self.entries.iter().enumerate() {
            for (_, data) in of_column(entry) {
                let delta = match data {
                    OpData::Add(delta) => *delta,
                    OpData::Write(Value::Integer(value)) if base == Some(n) => *value,
                    _ => continue,
                };
                let added = by_device.entry(entry.device_id).or_insert((n, 0, entry));
                (added.1, added.2) = (added.1.wrapping_add(delta), entry);
            }
        }
        let mut added: Vec<_> = by_device.into_values().filter(|(_, sum, _)| *sum != 0).collect();
        added.sort_by_key(|(first, ..)| *first);
        added.into_iter().map(|(_, sum, last)| Added { sum, last: self.written(last) }).collect()
    }

    /// How concurrent writes are ordered.
    pub(super) fn writers(&self) -> &'a Registry {
        &self.state.registry
    }

    /// The entry that a cell holds the write of.
    pub(super) fn holder(&self, stamp: Stamp) -> Option<&'a Entry> {
        let holds = |entry: &&Entry| entry.entry.timestamp == stamp.at && entry.log == stamp.writer.0;
        stamp.is_some().then(|| self.entries.iter().find(holds)).flatten()
    }

    /// Of `others`, those that didn't know of `winner`, nor `winner` of them, and that no other of them
    /// had replaced.
    pub(super) fn concurrent(
        &mut self,
        winner: &'a Entry,
        others: Vec<&'a Entry>,
    ) -> Result<Vec<&'a Entry>, StoreError> {
        let mut lost = Vec::new();
        for other in others {
            if !self.knew(winner, other)? && !self.knew(other, winner)? {
                lost.push(other);
            }
        }
        let mut last = Vec::new();
        for (n, entry) in lost.iter().enumerate() {
            let mut replaced = false;
            // They are in the order of their timestamps: none knows of a later one.
            for later in &lost[n + 1..] {
                replaced |= self.knew(later, entry)?;
            }
            if !replaced {
                last.push(*entry);
            }
        }
        Ok(last)
    }

    fn knew(&mut self, entry: &Entry, other: &Entry) -> Result<bool, StoreError> {
        if entry.log == other.log {
            return Ok(other.entry.timestamp <= entry.entry.timestamp);
        }
        self.causality.knew((entry.log, entry.entry.seq), (other.log, other.entry.seq))
    }

    pub(super) fn written(&self, entry: &OplogEntry) -> Written {
        let known = self.state.secrets.users.of_device(entry.device_id).next();
        Written {
            device: entry.device_id,
            device_name: known.map_or_else(|| entry.device_id.to_string(), |(_, device)| device.name.clone()),
            user: known.map(|(user, _)| user),
            timestamp: entry.timestamp,
            op: entry.id,
        }
    }
}

/// The value that an entry writes to a column that can hold it.
fn write_of<'e>(entry: &'e OplogEntry, column: &ColumnSchema) -> Option<&'e Value> {
    entry.data.iter().find_map(|(name, data)| match data {
        OpData::Write(value) if name == column.name && fits(&value.as_ref(), column.sql_type, column.nullable) => {
            Some(value)
        }
        _ => None,
    })
}
