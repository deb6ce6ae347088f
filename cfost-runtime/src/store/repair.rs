//! What is damaged in the file, cut out of it, so that peers send it again.
//!
//! A change is vouched for by its own seal and by the signatures after it, and is read by what the change before it
//! is. So of a log that is damaged anywhere, all is cut from the last signed change before the damage on. A peer that
//! holds the log sends what follows, as it does to any device that is behind; and the rows are made anew from what is
//! left, here and as it comes back.
//!
//! Of this device's own log, the changes that it never signed are with nobody else: those of them that can be read are
//! sealed anew into a new log, op for op, as when a log took two ways (see [`fork`]).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::atrest::{self, Safe};
use super::changes::newest_signed;
use super::layout::{SEQ_MAX, meta, position, remove_meta, set_meta};
use super::ledger::{exposed, last_seq};
use super::pool::{SqlTransaction, Writing};
use super::registry::LogRow;
use super::secrets::Secrets;
use super::state::State;
use super::table::{self, Table};
use super::{Opening, Place, Registry, Store, StoreError, Writer, fork, incarnation, layout, rebuild};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::oplog::{DeviceId, Head, LogId};
use crate::schema::Model;

/// What [`Db::repair`](crate::db::Db::repair) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// What was cut out of the oplog, a log each; empty if every change was sound.
    pub cut: Vec<Cut>,
}

/// The damaged part of a log, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The device that wrote the log.
    pub device: DeviceId,
    /// The log.
    pub log: LogId,
    /// The first change that was cut out.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
    /// What did not hold, of the first change that was damaged.
    pub reason: String,
    /// How many of them any device may have that this one has synced with: [`Db::verify`](crate::db::Db::verify)
    /// names them as missing until they are back.
    pub awaited: u64,
    /// How many, of this device's own, had never left it and could be read: they were written anew.
    pub rewritten: u64,
    /// How many, of this device's own, had never left it and can't be read any more. No device has them.
    pub lost: u64,
}

impl Store {
    /// Cuts out what is damaged, and makes all rows anew.
    pub(crate) fn repair(&self) -> Result<Repaired> {
        let mut cut = self.make_own_logs_readable()?;
        self.durably(|conn, state| {
            state.secrets.opened()?;
            cut.extend(cut_all(conn, state, &self.host)?);
            rebuild::replay(conn, &self.tables, state, &vec![true; self.tables.len()], &|| ())
        })?;
        self.mark()?;
        // They may have read, as a part of the oplog, what is there no more.
        self.readers.clear();
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.announce();
        Ok(Repaired { cut })
    }

    /// How often something was cut out of the oplog since the database was opened.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Cuts what keeps a file from being opened.
    pub(crate) fn make_readable(path: &Path, models: &[Model], opening: &Opening) -> Result<Vec<Cut>> {
        let (tables, safe) = (table::tables(models)?, atrest::enter(Place::File(path), opening, false)?.safe);
        let conn = layout::connect(Place::File(path), opening.busy_timeout, safe.key())?;
        match layout::check(&conn, Some(path)).map_err(|error| atrest::with_key(&safe, Some(path), error))? {
            true => Ok(readable(&conn, &tables, &opening.host, &safe)?.1),
            false => Ok(Vec::new()),
        }
    }

    fn make_own_logs_readable(&self) -> Result<Vec<Cut>> {
        Writing::refuse(self)?;
        let mut writer = self.lock();
        let Writer { conn, state, .. } = &mut *writer;
        let (read, cut) = readable(conn, &self.tables, &self.host, &self.safe)?;
        if !cut.is_empty() {
            *state = read;
        }
        Ok(cut)
    }
}

/// Takes the logs back that this device writes to and of which the newest changes can't be read, which keeps a file
/// from being opened.
fn readable(conn: &Connection, tables: &[Table], host: &Host, safe: &Arc<Safe>) -> Result<(State, Vec<Cut>)> {
    layout::set_durable(conn, true)?;
    let transaction = SqlTransaction::begin(conn)?;
    let mut all = Vec::new();
    let state = loop {
        match State::read(conn, tables, safe) {
            Err(Error::Store(StoreError::DamagedChange { log, seq, reason })) => {
                all.push(cut_unread(conn, tables, (host, safe), log, seq, reason)?);
            }
            read => break read?,
        }
    };
    transaction.commit()?;
    layout::set_durable(conn, false)?;
    Ok((state, all))
}

fn cut_unread(
    conn: &Connection,
    tables: &[Table],
    (host, safe): (&Host, &Arc<Safe>),
    log: LogId,
    seq: u64,
    reason: String,
) -> Result<Cut> {
    let secrets = Secrets::read(conn, safe, None)?;
    let author = secrets.opened()?.keys.public().signing;
    let mut registry = Registry::read(conn)?;
    let corrupt = || StoreError::Corrupt { what: format!("log {log} is damaged, and is none of this file's") };
    let mut log = registry.number(log).and_then(|number| registry.get(number)).cloned().ok_or_else(corrupt)?;
    log.head.seq = last_seq(conn, log.number)?.max(log.head.seq);
    let signed = exposed(conn, &log)?;
    let unsigned = fork::open_sound(conn, &log, &secrets, signed)?;
    let sound = newest_signed(conn, &log, seq - 1)?;
    cut_off(conn, &mut registry, &log, sound)?;
    incarnation::start_log(conn, &mut registry, &secrets, log.space, host, author)?;
    if !unsigned.is_empty() {
        fork::seal_anew(conn, &mut State::read(conn, tables, safe)?, host, &log, &unsigned)?;
    }
    Ok(Cut::of(conn, &log, (sound, signed), unsigned.len(), reason)?)
}

fn cut_all(conn: &Connection, state: &mut State, host: &Host) -> Result<Vec<Cut>> {
    let mut all = Vec::new();
    let logs: Vec<LogRow> = state.registry.iter().cloned().collect();
    for log in logs {
        if let Some((seq, reason)) = damage_of(conn, &log, state)? {
            all.push(cut(conn, state, host, &log, seq, reason)?);
        } else if cut_seq(conn, log.id)?.is_some_and(|seq| seq <= log.head.seq) {
            remove_meta(conn, &cut_key(log.id))?;
        }
    }
    Ok(all)
}

/// The first change of a log that is damaged, and what doesn't hold of it.
fn damage_of(conn: &Connection, log: &LogRow, state: &State) -> Result<Option<(u64, String)>, StoreError> {
    match rebuild::check_log(conn, log, state, &mut 0) {
        Ok(()) => Ok(None),
        Err(StoreError::DamagedChange { seq, reason, .. }) => Ok(Some((seq, reason))),
        Err(other) => Err(other),
    }
}

/// Cuts a log that is damaged at `seq`.
fn cut(conn: &Connection, state: &mut State, host: &Host, log: &LogRow, seq: u64, reason: String) -> Result<Cut> {
    let sound = newest_signed(conn, log, seq - 1)?;
    // Beyond this nobody else has any of it: of other devices' logs, all that is held is signed.
    let signed = if log.device == state.secrets.device { exposed(conn, log)? } else { log.head };
    let unsigned = fork::open_sound(conn, log, &state.secrets, signed)?;
    if state.own.writes_to(log) {
        // Its numbers may be taken, by changes that peers hold and this device can't read any more.
        incarnation::go_on_in_new_log(conn, state, host, log.space)?;
    }
    cut_off(conn, &mut state.registry, log, sound)?;
    state.settle(log.number, sound);
    fork::seal_anew(conn, state, host, log, &unsigned)?;
    Ok(Cut::of(conn, log, (sound, signed), unsigned.len(), reason)?)
}

impl Cut {
    /// What was cut of a log beyond `sound`, of which others may have what is up to `signed`. Takes note of that.
    fn of(
        conn: &Connection,
        log: &LogRow,
        (sound, signed): (Head, Head),
        rewritten: usize,
        reason: String,
    ) -> Result<Self, StoreError> {
        if signed.seq > sound.seq {
            set_meta(conn, &cut_key(log.id), signed.seq as i64)?;
        }
        tracing::warn!(log = %log.id, after = sound.seq, reason, "a damaged part of the oplog was cut out");
        let (unsigned, rewritten) = (log.head.seq - signed.seq, rewritten as u64);
        Ok(Self {
            device: log.device,
            log: log.id,
            first_seq: sound.seq + 1,
            last_seq: log.head.seq,
            reason,
            awaited: signed.seq - sound.seq,
            rewritten,
            lost: unsigned.saturating_sub(rewritten),
        })
    }
}

/// Takes a log back to a change, with the signatures of those that go.
fn cut_off(conn: &Connection, registry: &mut Registry, log: &LogRow, to: Head) -> Result<(), StoreError> {
    let beyond = (position(log.number, to.seq + 1), position(log.number, SEQ_MAX));
    conn.prepare_cached("DELETE FROM cfost_changes WHERE position BETWEEN ?1 AND ?2")?.execute(beyond)?;
    conn.prepare_cached("DELETE FROM cfost_signatures WHERE position BETWEEN ?1 AND ?2")?.execute(beyond)?;
    if let Some(log) = registry.get_mut(log.number) {
        log.head = to;
        log.applied_seq = log.applied_seq.min(to.seq);
        log.cited_seq = log.cited_seq.min(to.seq);
    }
    registry.save(conn, log.number)
}

/// Up to where a log was held before it was cut, if it was.
pub(super) fn cut_seq(conn: &Connection, log: LogId) -> Result<Option<u64>, StoreError> {
    Ok(meta::<i64>(conn, &cut_key(log))?.map(i64::unsigned_abs))
}

fn cut_key(log: LogId) -> String {
    format!("cut {log}")
}
