//! How far each log counts.
//!
//! Which changes count is decided by identity logs and members logs alone ([`Secrets::limit`]), so it is the same on
//! every replica, whoever learns of what when. In a space that several users are in it depends on the epoch that a
//! change is sealed under: a role counts from the epoch that begins with it. A change that doesn't count ends its log:
//! nothing after it does either.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::changes::head_at;
use super::layout::{position, seq_of};
use super::registry::LogRow;
use super::secrets::Secrets;
use super::{Registry, StoreError, branches};
use crate::identity::Limit;
use crate::oplog::{Head, PackedChange, Run};

/// A log of which there is no limit to what counts.
pub(super) const ALL: u64 = u64::MAX;

/// Notes how far each log counts. What is shown of it was found to count before: it is not looked at again.
pub(super) fn note_limits(conn: &Connection, registry: &mut Registry, secrets: &Secrets) -> Result<(), StoreError> {
    let logs: Vec<(u32, u64)> = registry.iter().map(|log| (log.number, log.applied_seq)).collect();
    logs.into_iter().try_for_each(|(number, applied)| note_limit(conn, registry, secrets, number, applied))
}

/// The same once entries have come, by which what is shown may count no more.
pub(super) fn renew_limits(conn: &Connection, registry: &mut Registry, secrets: &Secrets) -> Result<(), StoreError> {
    let numbers: Vec<u32> = registry.iter().map(|log| log.number).collect();
    numbers.into_iter().try_for_each(|number| note_limit(conn, registry, secrets, number, 0))
}

/// Notes how far a log counts, of which the changes up to `known_seq` do.
pub(super) fn note_limit(
    conn: &Connection,
    registry: &mut Registry,
    secrets: &Secrets,
    number: u32,
    known_seq: u64,
) -> Result<(), StoreError> {
    let Some(log) = registry.get(number) else { return Ok(()) };
    let counted_seq = if log.space == secrets.home() {
        // Of a device of the own user the epoch doesn't matter.
        reach(conn, registry, secrets, log, 0)?
    } else {
        counted_of_epochs(conn, registry, log, secrets, known_seq)?
    };
    if let Some(log) = registry.get_mut(number) {
        log.counted_seq = counted_seq;
    }
    Ok(())
}

/// Whether changes of this run may not count, or make others not count that come before them.
pub(super) fn is_limited(secrets: &Secrets, log: &LogRow, run: &Run) -> bool {
    let is_limit = |(epoch, _): &(u32, [u8; 32])| secrets.limit(log, *epoch) != Limit::All;
    log.counted_seq != ALL || (log.space != secrets.home() && run.epochs.iter().any(is_limit))
}

/// How far a log counts by the epochs of its changes.
fn counted_of_epochs(
    conn: &Connection,
    registry: &Registry,
    log: &LogRow,
    secrets: &Secrets,
    known_seq: u64,
) -> Result<u64, StoreError> {
    if known_seq == log.head.seq {
        return Ok(ALL);
    }
    let mut by_epoch: BTreeMap<u32, u64> = BTreeMap::new();
    let mut select = conn.prepare_cached(
        "SELECT position, change FROM cfost_changes WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
    )?;
    let mut rows = select.query((position(log.number, known_seq + 1), position(log.number, log.head.seq)))?;
    while let Some(row) = rows.next()? {
        let seq = seq_of(row.get(0)?);
        let packed = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let epoch = PackedChange::decode(packed)
            .map_err(|error| StoreError::DamagedChange { log: log.id, seq, reason: error.to_string() })?
            .epoch;
        let reach = match by_epoch.get(&epoch) {
            Some(reach) => *reach,
            None => {
                let reach = reach(conn, registry, secrets, log, epoch)?;
                by_epoch.insert(epoch, reach);
                reach
            }
        };
        if seq > reach {
            return Ok(seq - 1);
        }
    }
    Ok(ALL)
}

/// The last change of a log within the limit of an epoch. The change that it names must be the one that is held in its place.
fn reach(
    conn: &Connection,
    registry: &Registry,
    secrets: &Secrets,
    log: &LogRow,
    epoch: u32,
) -> Result<u64, StoreError> {
    if log.branch.is_some() || registry.is_split(log.number) {
        return branches::reach(conn, registry, secrets, log, epoch);
    }
    Ok(match secrets.limit(log, epoch) {
        Limit::All => ALL,
        Limit::UpTo(Head { seq: 0, .. }) => 0,
        Limit::UpTo(head) if head.seq > log.head.seq => head.seq,
        Limit::UpTo(head) if head_at(conn, log, secrets, head.seq)?.id == head.id => head.seq,
        Limit::UpTo(_) => 0,
    })
}

impl Secrets {
    /// How far a log counts, of its changes under an epoch.
    pub(super) fn limit(&self, log: &LogRow, epoch: u32) -> Limit {
        if log.space == self.home() {
            return self.identity().counted(log.device, log.space, log.id).map_or(Limit::All, Limit::UpTo);
        }
        // Of a space that the own user has left, or was removed from, nothing is shown.
        match self.members(log.space) {
            Some(members) if members.role(self.user()).is_some() => members.limit(log.device, log.id, epoch),
            _ => Limit::NOTHING,
        }
    }
}
