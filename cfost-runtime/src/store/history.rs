//! The history of a row: which changes have ops on it, and what they say.
//!
//! Of a model with `#[synced(history)]` every row's changes are in `cfost_history`, which whatever writes
//! or applies an op keeps up to date, in the same transaction. The rows of other models are looked for
//! in the whole oplog. A change is opened by what its place in the chain says, so beside its position
//! the id of the change before it is kept: reading one change then needs no other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use rusqlite::{CachedStatement, Connection, OptionalExtension};
use uuid::Uuid;

use super::changes::{self, StoredChange};
use super::entries::{OplogEntry, read_change};
use super::layout::{log_of, position, seq_of};
use super::registry::LogRow;
use super::rows::Rows;
use super::state::State;
use super::table::Table;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::oplog::{ChangeId, DeviceId, Head, Header, LogId, Opener, SegmentReader};
use crate::schema::ModelSchema;

/// The past that was asked for isn't there, or can't be brought back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// No op that is held here was ever on the row.
    #[error("'{table}' never had a row {id}: check the id, or sync with the device that inserted it")]
    NeverExisted {
        /// The table.
        table: &'static str,
        /// The id that was looked for.
        id: Uuid,
    },
    /// The time is before the first change that is held here.
    #[error("nothing was written before {first}, so there is nothing to read as of {at}: choose a later time")]
    BeforeFirst {
        /// The time that was asked for.
        at: Timestamp,
        /// When the first change was made.
        first: Timestamp,
    },
    /// This device has made no change that can be undone.
    #[error("this device has nothing to undo: it has written nothing since it was set up or has joined its user")]
    NothingToUndo,
}

/// A row, by its table's number and its id.
pub(super) type RowKey = (usize, Uuid);

/// Keeps the index of the rows' changes, within one SQL transaction.
pub(super) struct Index<'c> {
    conn: &'c Connection,
    insert: Option<CachedStatement<'c>>,
    /// The last change that was noted.
    noted: Option<i64>,
}

impl<'c> Index<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn, insert: None, noted: None }
    }

    /// Takes note of an op on a row, in a change of the log `number`.
    pub(super) fn note(
        &mut self,
        schema: &ModelSchema,
        row: &Uuid,
        number: u32,
        header: &Header,
    ) -> Result<(), StoreError> {
        let previous = Head { seq: header.seq() - 1, id: header.previous() };
        self.note_after(schema, row, number, previous)
    }

    /// Takes note of all ops of a segment, in the change that follows `previous`.
    pub(super) fn note_segment(
        &mut self,
        schema: &ModelSchema,
        payload: &[u8],
        number: u32,
        previous: Head,
    ) -> Result<()> {
        if !schema.history {
            return Ok(());
        }
        let mut segment = SegmentReader::new(payload)?;
        while let Some(op) = segment.next_op()? {
            let row = op.row;
            self.note_after(schema, &row, number, previous)?;
        }
        Ok(())
    }

    fn note_after(&mut self, schema: &ModelSchema, row: &Uuid, number: u32, previous: Head) -> Result<(), StoreError> {
        let position = position(number, previous.seq + 1);
        if self.noted != Some(position) {
            // A log that took two ways has another change here than before.
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO cfost_history_changes (position, previous) VALUES (?1, ?2)")?
                .execute((position, previous.id.as_bytes()))?;
            self.noted = Some(position);
        }
        let insert = match &mut self.insert {
            Some(insert) => insert,
            none => none.insert(self.conn.prepare_cached(
                "INSERT OR IGNORE INTO cfost_history (table_name, row, position) VALUES (?1, ?2, ?3)",
            )?),
        };
        insert.execute((schema.table, row.as_bytes(), position))?;
        Ok(())
    }
}

/// Forgets the index of a table.
pub(super) fn forget(conn: &Connection, table: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_history WHERE table_name = ?1")?.execute([table])?;
    Ok(())
}

/// Begins or ends to keep the index of a model, as its schema says. Returns whether the index must be
/// made from the oplog: the model has gained it.
pub(super) fn prepare(conn: &Connection, schema: &ModelSchema) -> Result<bool, StoreError> {
    let kept = is_kept(conn, schema.table)?;
    if kept != schema.history {
        if !schema.history {
            forget(conn, schema.table)?;
        }
        conn.prepare_cached("UPDATE cfost_models SET history = ?2 WHERE table_name = ?1")?
            .execute((schema.table, schema.history))?;
    }
    Ok(schema.history && !kept)
}

/// Whether a table's rows are in the index: another build of the app may not keep it.
fn is_kept(conn: &Connection, table: &str) -> Result<bool, StoreError> {
    let mut select = conn.prepare_cached("SELECT history FROM cfost_models WHERE table_name = ?1")?;
    Ok(select.query_row([table], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// The index of a table, a row for each of its rows: to compare two databases.
pub(super) fn dump_sql(schema: &ModelSchema) -> String {
    format!(
        "SELECT row, group_concat(position) FROM cfost_history WHERE table_name = '{}' GROUP BY row ORDER BY row",
        schema.table.replace('\'', "''")
    )
}

/// Shows `visit` every applied change that has an op on one of the rows, and maybe others.
pub(super) fn visit_changes(
    conn: &Connection,
    tables: &[Table],
    state: &State,
    rows: &BTreeSet<RowKey>,
    visit: &mut dyn FnMut(&LogRow, &StoredChange<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Some(indexed) = indexed_changes(conn, tables, rows)? else {
        for log in state.registry.iter() {
            changes::walk(conn, log, &state.secrets, log.base(), log.applied_seq, |stored| {
                visit(log, &stored)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        return Ok(());
    };
    for (position, previous) in indexed {
        let (log, seq) = (state.registry.get(log_of(position)), seq_of(position));
        let Some(log) = log.filter(|log| seq > 0 && seq <= log.applied_seq) else { continue };
        let after = Head { seq: seq - 1, id: previous };
        changes::walk(conn, log, &state.secrets, after, seq, |stored| {
            visit(log, &stored)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

/// The changes of the rows by the index, each with the id of the one before it; `None` if a table of theirs
/// has no index.
fn indexed_changes(
    conn: &Connection,
    tables: &[Table],
    rows: &BTreeSet<RowKey>,
) -> Result<Option<BTreeMap<i64, ChangeId>>, StoreError> {
    let touched: BTreeSet<usize> = rows.iter().map(|(table, _)| *table).collect();
    for table in touched {
        if !is_kept(conn, tables[table].schema.table)? {
            return Ok(None);
        }
    }
    let mut select = conn.prepare_cached(
        "SELECT position, previous FROM cfost_history JOIN cfost_history_changes USING (position) \
         WHERE table_name = ?1 AND row = ?2",
    )?;
    let mut found = BTreeMap::new();
    for (table, id) in rows {
        let mut changes = select.query((tables[*table].schema.table, id.as_bytes()))?;
        while let Some(change) = changes.next()? {
            found.insert(change.get(0)?, ChangeId::from_bytes(change.get(1)?));
        }
    }
    Ok(Some(found))
}

/// An entry of the oplog with the number that its log has here.
pub(super) struct Entry {
    pub(super) log: u32,
    pub(super) entry: OplogEntry,
}

impl Entry {
    /// Ops in the order in which they win: of concurrent writes the greatest does.
    pub(super) fn rank(&self) -> (Timestamp, DeviceId, LogId) {
        (self.entry.timestamp, self.entry.device_id, self.entry.log)
    }
}

/// The entries of a row, oldest first: those of its space. What was written of it in another has no effect on it.
pub(super) fn entries_of(
    conn: &Connection,
    tables: &[Table],
    state: &State,
    (table, id): RowKey,
) -> Result<Vec<Entry>, StoreError> {
    let name = tables[table].schema.table;
    let (mut entries, mut opener) = (Vec::new(), Opener::new());
    let rows = BTreeSet::from([(table, id)]);
    let space = Rows::new(conn, tables).space_of((table, id), &state.registry, &state.hidden)?;
    visit_changes(conn, tables, state, &rows, &mut |log, stored| {
        let wanted = |table: &str, row: &Uuid| *row == id && table == name && space == Some(log.space);
        read_change(log, stored, &state.secrets, &mut opener, &wanted, &mut |entry| {
            entries.push(Entry { log: log.number, entry });
            Ok(())
        })
    })?;
    entries.sort_by_key(Entry::rank);
    Ok(entries)
}

impl Store {
    /// The entries of a row, oldest first.
    pub(crate) fn history(&self, table: usize, id: Uuid) -> Result<Vec<OplogEntry>> {
        self.in_snapshot(|conn, state| {
            let entries = entries_of(conn, &self.tables, state, (table, id))?;
            if entries.is_empty() {
                return Err(HistoryError::NeverExisted { table: self.tables[table].schema.table, id }.into());
            }
            Ok(entries.into_iter().map(|entry| entry.entry).collect())
        })
    }

    /// Reads the oplog as it is now, whatever is written meanwhile.
    pub(super) fn in_snapshot<T>(&self, work: impl FnOnce(&Connection, &mut State) -> Result<T>) -> Result<T> {
        let conn = self.reader()?;
        let _snapshot = conn.unchecked_transaction()?;
        let mut state = State::read(&conn, &self.tables, &self.safe)?;
        state.secrets.opened()?;
        work(&conn, &mut state)
    }
}
