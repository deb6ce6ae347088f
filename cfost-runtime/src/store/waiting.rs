//! Changes that are held and not shown yet, and what they wait for.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::changes::{self, StoredChange};
use super::registry::LogRow;
use super::secrets::Secrets;
use super::state::State;
use super::{Store, StoreError, exchange};
use crate::clock::{DRIFT_MS_MAX, Timestamp};
use crate::error::Result;
use crate::oplog::{DeviceId, LogId, Opener, OplogError, Run, SegmentReader, SpaceId};

/// Changes of a log that are verified, kept and relayed, and not shown yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The device that wrote them.
    pub device: DeviceId,
    /// Their log.
    pub log: LogId,
    /// The number of the first one in its log.
    pub first_seq: u64,
    /// How many they are: the one that waits, and those behind it.
    pub changes: u64,
    /// What the first one waits for.
    pub until: WaitsFor,
}

/// What a change waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// An app that knows its format: this one has to be updated.
    Update(OplogError),
    /// The key of its epoch.
    Key {
        /// The epoch.
        epoch: u32,
    },
    /// This device's clock to come near the time that it was written at, which is ahead of it.
    Clock {
        /// That time.
        at: Timestamp,
    },
    /// The rest of its transaction.
    Rest,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, first_seq, changes, until, .. } = self;
        let ones = if *changes == 1 { "change" } else { "changes" };
        write!(f, "{changes} {ones} of device {device}, from number {first_seq}: ")?;
        match until {
            WaitsFor::Update(why) => write!(f, "{why}"),
            WaitsFor::Key { epoch } => write!(f, "the key of epoch {epoch} is not here yet"),
            WaitsFor::Clock { .. } => f.write_str("written by a clock that is ahead of this device's; check both"),
            WaitsFor::Rest => f.write_str("the rest of their transaction is not here yet"),
        }
    }
}

/// How long changes that have to wait are left alone.
pub(super) const RETRY_MS: u64 = 1000;

impl Store {
    /// Shows what had to wait and need not any more.
    pub(crate) fn apply_waiting(&self) -> Result<()> {
        if self.reads_newer() {
            return Ok(());
        }
        let now_ms = self.host.now_ms();
        if !self.with_state(|_, state| Ok(self.note_waiting(state, now_ms)))? {
            return Ok(());
        }
        let applied = self.durably(|conn, state| {
            let applied = exchange::apply_waiting(conn, &self.tables, state, now_ms)?;
            self.note_waiting(state, now_ms);
            Ok(applied)
        })?;
        if applied {
            self.announce();
        }
        Ok(())
    }

    /// Takes note of whether changes have to wait, and says so.
    pub(super) fn note_waiting(&self, state: &State, now_ms: u64) -> bool {
        let waits = state.registry.iter().any(|log| log.applied_seq < log.countable_seq());
        let retry_at_ms = if waits { now_ms.saturating_add(RETRY_MS) } else { u64::MAX };
        self.retry_at_ms.store(retry_at_ms, Ordering::Relaxed);
        waits
    }

    /// What is held and not shown yet, a log each.
    pub(crate) fn waiting(&self) -> Result<Vec<Waiting>> {
        let now_ms = self.host.now_ms();
        self.with_state(|conn, state| {
            let logs = state.registry.iter().filter(|log| log.applied_seq < log.countable_seq());
            logs.map(|log| Ok(waiting(conn, log, &state.secrets, now_ms)?)).collect()
        })
    }
}

/// Of the logs of these runs, those that wait for an update of this app, and why.
pub(super) fn too_new(
    conn: &Connection,
    state: &State,
    runs: &[Run],
    now_ms: u64,
) -> Result<Vec<(SpaceId, LogId, OplogError)>, StoreError> {
    let logs: BTreeSet<LogId> = runs.iter().map(|run| run.log).collect();
    let logs = logs.into_iter().filter_map(|log| state.registry.get(state.registry.number(log)?));
    let mut too_new = Vec::new();
    for log in logs.filter(|log| log.applied_seq < log.countable_seq()) {
        if let WaitsFor::Update(why) = waiting(conn, log, &state.secrets, now_ms)?.until {
            too_new.push((log.space, log.id, why));
        }
    }
    Ok(too_new)
}

/// What the changes of a log wait for that are not applied yet.
fn waiting(conn: &Connection, log: &LogRow, secrets: &Secrets, now_ms: u64) -> Result<Waiting, StoreError> {
    let (mut until, mut opener) = (WaitsFor::Rest, Opener::new());
    let applied = changes::head_at(conn, log, secrets, log.applied_seq)?;
    changes::walk(conn, log, secrets, applied, log.countable_seq(), |stored| {
        let found = waits_for(&stored, secrets, &mut opener, now_ms);
        let ends = found.is_some() || !stored.header.flags().continues();
        until = found.unwrap_or(WaitsFor::Rest);
        Ok(if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let (first_seq, changes) = (log.applied_seq + 1, log.countable_seq() - log.applied_seq);
    Ok(Waiting { device: log.device, log: log.id, first_seq, changes, until })
}

/// What a change waits for by itself.
fn waits_for(stored: &StoredChange<'_>, secrets: &Secrets, opener: &mut Opener, now_ms: u64) -> Option<WaitsFor> {
    let header = stored.header;
    if let Err(newer) = header.check_known() {
        return Some(WaitsFor::Update(newer));
    }
    let Some(key) = secrets.epoch(header.space(), header.epoch()) else {
        return Some(WaitsFor::Key { epoch: header.epoch() });
    };
    stored.change.segments.iter().enumerate().find_map(|(index, sealed)| {
        match opener.open(key, header, index, sealed).and_then(SegmentReader::new) {
            Ok(segment) if segment.base().ms() > now_ms.saturating_add(DRIFT_MS_MAX) => {
                Some(WaitsFor::Clock { at: segment.base() })
            }
            Err(newer @ OplogError::Newer { .. }) => Some(WaitsFor::Update(newer)),
            _ => None,
        }
    })
}
