//! Rows from the oplog: after an app has gained a model, and to check that nothing is damaged.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::apply::{Applier, Context};
use super::atrest::Safe;
use super::bases;
use super::changes::{self, StoredChange};
use super::elements;
use super::evolve::OnMigration;
#[cfg(feature = "text")]
use super::generations;
use super::hidden::Hidden;
use super::references;
use super::registry::LogRow;
use super::state::State;
use super::table::{Table, quoted};
#[cfg(feature = "text")]
use super::texts;
use super::{Registry, StoreError};
use super::{counted, history, layout, repair};
use crate::error::{Error, Result};
use crate::oplog::{ChangeId, LogId, Opener, OplogError, verify_change};

/// What [`Db::verify`](crate::db::Db::verify) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Changes whose place in their log's chain was checked.
    pub changes: u64,
    /// Ops that were applied anew.
    pub ops: u64,
    /// Rows that were compared, and elements of theirs.
    pub rows: u64,
    /// What isn't as it should be; empty for a sound database.
    pub differences: Vec<Difference>,
}

impl Verification {
    /// Whether the database is sound.
    pub fn is_sound(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Something that isn't as the oplog says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// A change of the oplog is damaged; nothing after it in its log can be trusted.
    Change {
        /// The log.
        log: LogId,
        /// The change's position in it.
        seq: u64,
        /// What doesn't hold.
        reason: String,
    },
    /// Changes that were damaged and cut out by [`Db::repair`](crate::db::Db::repair) are not back yet: no device that
    /// this one has synced with since has them.
    Awaited {
        /// The log.
        log: LogId,
        /// The first change that is missing.
        first_seq: u64,
        /// The last one.
        last_seq: u64,
    },
    /// The database has a row that the oplog doesn't give.
    Extra {
        /// The table.
        table: String,
        /// The row.
        id: Uuid,
    },
    /// The oplog gives a row that the database doesn't have.
    Missing {
        /// The table.
        table: String,
        /// The row.
        id: Uuid,
    },
    /// A row has other values than the oplog gives.
    Row {
        /// The table.
        table: String,
        /// The row.
        id: Uuid,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Change { log, seq, reason } => write!(f, "change {seq} of log {log} is damaged: {reason}"),
            Self::Awaited { log, first_seq, last_seq } => write!(
                f,
                "changes {first_seq} to {last_seq} of log {log} were damaged and cut out, and are not back yet: sync with \
                 a device that has them"
            ),
            Self::Extra { table, id } => write!(f, "row {id} of '{table}' is not in the oplog"),
            Self::Missing { table, id } => write!(f, "row {id} of '{table}' is missing"),
            Self::Row { table, id } => write!(f, "row {id} of '{table}' has other values than the oplog gives"),
        }
    }
}

/// Makes the chosen tables, and those that refer to them, anew from what is applied of the oplog. Tells of each
/// change that is applied.
pub(super) fn replay(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    chosen: &[bool],
    on_change: &dyn Fn(),
) -> Result<()> {
    let chosen = &references::with_dependents(tables, chosen);
    let mut cleared = tables.iter().zip(chosen).filter_map(|(table, chosen)| chosen.then_some(table));
    cleared.try_for_each(|table| clear(conn, table))?;
    #[cfg(feature = "text")]
    state.texts.undone();
    state.hidden = Hidden::read(conn, tables)?;
    let mut registry = state.registry.clone();
    let mut applier = Applier::new(conn, conn, tables, ANY_TIME).choose(chosen).telling(on_change);
    apply_all(conn, &mut applier, &mut registry, state)?;
    applier.note_unknown_columns()?;
    state.touched.any((0..tables.len()).filter(|&table| chosen[table]));
    Ok(())
}

/// Removes all rows of a table, and what is kept beside it of them.
pub(super) fn clear(conn: &Connection, table: &Table) -> Result<(), StoreError> {
    let name = table.schema.table;
    conn.execute(&format!("DELETE FROM {}", quoted(name)), [])?;
    conn.prepare_cached("DELETE FROM cfost_hidden WHERE table_name = ?1")?.execute([name])?;
    history::forget(conn, name)?;
    elements::clear(conn, table)?;
    conn.prepare_cached("DELETE FROM cfost_waiting WHERE table_name = ?1")?.execute([name])?;
    bases::clear(conn, name)?;
    #[cfg(feature = "text")]
    texts::clear(conn, name)?;
    Ok(())
}

/// What was applied once is applied again, whatever the clock shows by now.
pub(super) const ANY_TIME: u64 = u64::MAX;

/// Applies all logs anew, from their beginnings to where they are applied.
pub(super) fn apply_all(
    conn: &Connection,
    applier: &mut Applier<'_>,
    registry: &mut Registry,
    state: &mut State,
) -> Result<(), StoreError> {
    let numbers: Vec<u32> = registry.iter().map(|log| log.number).collect();
    for number in numbers {
        if let Some(log) = registry.get_mut(number) {
            log.head = changes::head_at(conn, log, &state.secrets, log.applied_seq)?;
            log.applied_seq = log.base().seq;
        }
        applier.apply_log(&mut context(registry, state), number)?;
    }
    applier.settle(&mut context(registry, state))
}

fn context<'s>(registry: &'s mut Registry, state: &'s mut State) -> Context<'s> {
    Context {
        registry,
        hidden: &mut state.hidden,
        #[cfg(feature = "text")]
        texts: &mut state.texts,
        secrets: &state.secrets,
    }
}

/// An empty database of these tables, beside the one that is open.
pub(super) fn scratch(tables: &[Table]) -> Result<Connection, StoreError> {
    // A private file that SQLite removes: as large as the database, it may not fit in memory.
    let scratch = Connection::open("")?;
    layout::set_up(&scratch)?;
    scratch.pragma_update(None, "synchronous", "OFF")?;
    layout::create(&scratch)?;
    for table in tables {
        table.create_or_check(&scratch, &OnMigration::default())?;
    }
    Ok(scratch)
}

/// Checks every change, makes all rows anew beside the database, and compares.
///
/// `conn` must be in a transaction, so that it sees one state of the file throughout.
pub(super) fn verify(conn: &Connection, tables: &[Table], safe: &Arc<Safe>) -> Result<Verification> {
    let mut found = Verification::default();
    let mut state = match State::read(conn, tables, safe) {
        Err(Error::Store(StoreError::DamagedChange { log, seq, reason })) => {
            found.differences.push(Difference::Change { log, seq, reason });
            return Ok(found);
        }
        state => state?,
    };
    state.secrets.opened()?;
    for log in state.registry.iter() {
        if let Err(damage) = check_log(conn, log, &state, &mut found.changes) {
            match damage {
                StoreError::DamagedChange { log, seq, reason } => {
                    found.differences.push(Difference::Change { log, seq, reason });
                }
                other => return Err(other.into()),
            }
        }
    }
    if !found.is_sound() {
        return Ok(found);
    }
    for log in state.registry.iter() {
        if let Some(last_seq) = repair::cut_seq(conn, log.id)?.filter(|seq| *seq > log.head.seq) {
            found.differences.push(Difference::Awaited { log: log.id, first_seq: log.head.seq + 1, last_seq });
        }
    }
    // Also of what is shown it is asked anew whether it counts.
    counted::renew_limits(conn, &mut state.registry, &state.secrets)?;
    let scratch = scratch(tables)?;
    state.hidden = Hidden::read(&scratch, tables)?;
    let transaction = scratch.unchecked_transaction()?;
    let mut registry = state.registry.clone();
    let mut applier = Applier::new(conn, &scratch, tables, ANY_TIME);
    apply_all(conn, &mut applier, &mut registry, &mut state)?;
    found.ops = applier.ops();
    drop(applier);
    transaction.commit()?;
    for table in tables {
        let name = table.schema.table;
        compare(conn, &scratch, &table.select_whole(), name, &mut found)?;
        let sql = format!("SELECT id, state FROM cfost_hidden WHERE table_name = '{name}' ORDER BY 1");
        compare(conn, &scratch, &sql, name, &mut found)?;
        compare(conn, &scratch, &history::dump_sql(table.schema), name, &mut found)?;
        compare(conn, &scratch, &bases::dump_sql(table.schema), name, &mut found)?;
        #[cfg(feature = "text")]
        compare(conn, &scratch, &generations::dump_sql(table.schema), name, &mut found)?;
        #[cfg(feature = "text")]
        for id in texts::differing(conn, &scratch, table.schema)? {
            found.differences.push(Difference::Row { table: name.to_owned(), id });
        }
        for child in &table.children {
            let name = &child.name;
            let sql = format!("SELECT * FROM {} ORDER BY 1, 2", quoted(name));
            compare(conn, &scratch, &sql, name, &mut found)?;
            let hidden = "SELECT row, key, state FROM cfost_hidden_elements WHERE table_name";
            let sql = format!("{hidden} = '{name}' ORDER BY 1, 2");
            compare(conn, &scratch, &sql, name, &mut found)?;
        }
        let sql = format!(
            "SELECT id, group_concat(parent_table || hex(parent), ' ' ORDER BY parent_table, parent) \
             FROM cfost_waiting WHERE table_name = '{name}' GROUP BY id ORDER BY id"
        );
        compare(conn, &scratch, &sql, name, &mut found)?;
    }
    Ok(found)
}

/// Walks a log from its beginning: every change opens, every signature holds, and the end is the head.
pub(super) fn check_log(
    conn: &Connection,
    log: &LogRow,
    state: &State,
    changes_checked: &mut u64,
) -> Result<(), StoreError> {
    let mut signatures = conn.prepare_cached("SELECT id, signature FROM cfost_signatures WHERE position = ?1")?;
    let mut opener = Opener::new();
    // The first of the changes that only what follows can vouch for, and why it doesn't open: a newer app wrote them,
    // they were altered, or their author sealed them wrongly.
    let mut on_trust: Option<(u64, Option<String>)> = None;
    let head = changes::walk(conn, log, &state.secrets, log.base(), log.head.seq, |stored| {
        let seq = stored.header.seq();
        let tried = try_open(&mut opener, &stored, state);
        match &tried {
            Tried::Newer => _ = on_trust.get_or_insert((seq, None)),
            Tried::Fails(why) => _ = on_trust.get_or_insert((seq, Some(why.clone()))),
            Tried::Opens | Tried::HasNoKey => {}
        }
        let damaged = |reason: String| damage(log, on_trust.as_ref(), seq, reason);
        let mut rows = signatures.query([layout::position(log.number, seq)])?;
        let signed = rows.next()?;
        if let Some(row) = signed {
            let (id, signature): ([u8; 32], [u8; 64]) = (row.get(0)?, row.get(1)?);
            if ChangeId::from_bytes(id) != stored.id {
                return Err(damaged("it is not the change that was signed".to_owned()));
            }
            verify_change(&log.author, log.written_to(), seq, &stored.id, &signature)
                .map_err(|error| damaged(error.to_string()))?;
        }
        // A seal covers the id of the change before it, as a signature does.
        if signed.is_some() || matches!(tried, Tried::Opens) {
            on_trust = None;
        }
        *changes_checked += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    if head != log.head || on_trust.as_ref().is_some_and(|(_, why)| why.is_some()) {
        return Err(damage(log, on_trust.as_ref(), head.seq + 1, "the log doesn't end where it should".to_owned()));
    }
    Ok(())
}

/// What trying to open a change shows.
enum Tried {
    Opens,
    Newer,
    Fails(String),
    HasNoKey,
}

fn try_open(opener: &mut Opener, stored: &StoredChange<'_>, state: &State) -> Tried {
    let header = stored.header;
    let Some(epoch) = state.secrets.epoch(header.space(), header.epoch()) else { return Tried::HasNoKey };
    let mut tried = Tried::HasNoKey;
    for (index, sealed) in stored.change.segments.iter().enumerate() {
        match opener.open(epoch, header, index, sealed) {
            Ok(_) => tried = Tried::Opens,
            Err(OplogError::Newer { .. }) => return Tried::Newer,
            Err(error) => return Tried::Fails(error.to_string()),
        }
    }
    tried
}

/// What is wrong with a log: the first change that nothing vouches for, if there is one, else change `seq`.
fn damage(log: &LogRow, on_trust: Option<&(u64, Option<String>)>, seq: u64, reason: String) -> StoreError {
    let (seq, why) = on_trust.map_or((seq, None), |(seq, why)| (*seq, why.clone()));
    StoreError::DamagedChange { log: log.id, seq, reason: why.unwrap_or(reason) }
}

/// Merges two queries that are sorted by their first column, an id.
fn compare(conn: &Connection, scratch: &Connection, sql: &str, table: &str, found: &mut Verification) -> Result<()> {
    let (mut left, mut right) = (conn.prepare(sql)?, scratch.prepare(sql)?);
    let columns = left.column_count();
    let (mut left, mut right) = (left.query([])?, right.query([])?);
    let (mut ours, mut theirs) = (read_row(left.next()?, columns)?, read_row(right.next()?, columns)?);
    let name = || table.to_owned();
    loop {
        match (&ours, &theirs) {
            (None, None) => return Ok(()),
            (Some((id, _)), Some((other, _))) if id == other => {
                found.rows += 1;
                if ours != theirs {
                    found.differences.push(Difference::Row { table: name(), id: *id });
                }
                ours = read_row(left.next()?, columns)?;
                theirs = read_row(right.next()?, columns)?;
            }
            (Some((id, _)), other) if other.as_ref().is_none_or(|(other, _)| id < other) => {
                found.differences.push(Difference::Extra { table: name(), id: *id });
                ours = read_row(left.next()?, columns)?;
            }
            (_, Some((id, _))) => {
                found.differences.push(Difference::Missing { table: name(), id: *id });
                theirs = read_row(right.next()?, columns)?;
            }
            (Some(_), None) => return Ok(()),
        }
    }
}

type IdAndValues = (Uuid, Vec<SqlValue>);

fn read_row(row: Option<&Row<'_>>, columns: usize) -> Result<Option<IdAndValues>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let id: [u8; 16] = row.get(0)?;
    let values = (1..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?;
    Ok(Some((Uuid::from_bytes(id), values)))
}
