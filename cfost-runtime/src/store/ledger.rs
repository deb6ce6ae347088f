//! The logs that this device writes to: one in each space that it has written to, the home space's first.
//!
//! A space's log is begun with the first write there. Which they are lies in `cfost_meta` for the home space and in
//! `cfost_own_logs` for the others.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;

use super::atrest::Safe;
use super::changes::{self, StoredChange};
use super::layout::{meta, position, seq_of};
use super::registry::LogRow;
use super::secrets::Secrets;
use super::{Registry, StoreError, incarnation};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::host::Host;
use crate::oplog::{Chain, ChangeId, Head, LogId, Opener, SegmentReader, SpaceId};

/// A log that this device writes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) number: u32,
    pub(super) chain: Chain,
    /// Changes up to here are signed, on the disk, and may have left the device.
    pub(super) exposed: Head,
}

/// Where a log is in a [`Ledger`].
pub(super) type Slot = usize;

/// The slot of the home space's log: it needs no look-up.
pub(super) const HOME: Slot = 0;

/// All logs that this device writes to.
pub(super) struct Ledger {
    /// The home space's log is the first.
    logs: Vec<Own>,
    slots: HashMap<SpaceId, Slot>,
}

impl Ledger {
    /// Begins the first log of a new database.
    pub(super) fn found(conn: &Connection, host: &Host, safe: &Arc<Safe>) -> Result<()> {
        let secrets = Secrets::read(conn, safe, None)?;
        let author = secrets.opened()?.keys.public().signing;
        incarnation::start_log(conn, &mut Registry::read(conn)?, &secrets, secrets.home(), host, author)?;
        Ok(())
    }

    /// Reads each log: its checkpoint in the registry, and the changes made since.
    pub(super) fn read(conn: &Connection, registry: &mut Registry, secrets: &Secrets) -> Result<Self> {
        let missing = || StoreError::Corrupt { what: "this device's own log is missing".into() };
        let home = LogId::from_bytes(meta(conn, "own_log")?.ok_or_else(missing)?);
        let mut ledger = Self { logs: Vec::new(), slots: HashMap::new() };
        ledger.put(Own::read(conn, registry, secrets, home)?);
        let mut select = conn.prepare_cached("SELECT log FROM cfost_own_logs ORDER BY space")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            ledger.put(Own::read(conn, registry, secrets, LogId::from_bytes(row.get(0)?))?);
        }
        Ok(ledger)
    }

    /// The log of the home space.
    pub(super) fn home(&self) -> &Own {
        &self.logs[HOME]
    }

    /// The log in a slot.
    pub(super) fn at(&self, slot: Slot) -> &Own {
        &self.logs[slot]
    }

    /// The log in a slot, to go on in it.
    pub(super) fn at_mut(&mut self, slot: Slot) -> &mut Own {
        &mut self.logs[slot]
    }

    /// Where the log of a space is, if it has one already.
    pub(super) fn slot(&self, space: SpaceId) -> Option<Slot> {
        self.slots.get(&space).copied()
    }

    /// The log of a space, if it has one already.
    pub(super) fn of(&self, space: SpaceId) -> Option<&Own> {
        self.logs.get(self.slot(space)?)
    }

    /// The log of a space, to go on in it.
    pub(super) fn of_mut(&mut self, space: SpaceId) -> Option<&mut Own> {
        self.logs.get_mut(*self.slots.get(&space)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Own> {
        self.logs.iter()
    }

    /// Whether this device writes to the log.
    pub(super) fn writes_to(&self, log: &LogRow) -> bool {
        self.of(log.space).is_some_and(|own| own.number == log.number)
    }

    /// Has `own` as its space's log, in the place of the one that the space had.
    pub(super) fn put(&mut self, own: Own) -> Slot {
        let slot = *self.slots.entry(own.chain.space).or_insert(self.logs.len());
        match self.logs.get_mut(slot) {
            Some(former) => *former = own,
            None => self.logs.push(own),
        }
        slot
    }

    /// Forgets the log that was put last, in a space that had none.
    pub(super) fn remove_last(&mut self) {
        if let Some(own) = self.logs.pop() {
            self.slots.remove(&own.chain.space);
        }
    }

    /// Has no log but `home`: in each other space a new one is begun with the next write.
    pub(super) fn renew(&mut self, home: Own) {
        self.slots.clear();
        self.logs.clear();
        self.put(home);
    }

    /// Whether any log has changes that may not leave the device yet.
    pub(super) fn is_pending(&self) -> bool {
        self.logs.iter().any(|own| own.exposed.seq < own.chain.head.seq)
    }
}

impl Own {
    /// A log that was just begun.
    pub(super) const fn new(number: u32, chain: Chain) -> Self {
        Self { number, chain, exposed: Head::NONE }
    }

    fn read(conn: &Connection, registry: &mut Registry, secrets: &Secrets, id: LogId) -> Result<Self> {
        let missing = || StoreError::Corrupt { what: "this device's own log is missing".into() };
        let number = registry.number(id).ok_or_else(missing)?;
        let log = registry.get_mut(number).ok_or_else(missing)?;
        let mut newest = log.last_at;
        let mut opener = Opener::new();
        let last_seq = last_seq(conn, number)?;
        let head = changes::walk(conn, log, secrets, log.head, last_seq, |stored| {
            if stored.header.seq() == last_seq {
                newest = newest.max(newest_op(&stored, &mut opener, secrets)?);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // All of it is visible, unless some of it counts no more: then it was noted how far.
        if log.applied_seq == log.head.seq {
            log.applied_seq = head.seq;
        }
        (log.head, log.last_at) = (head, newest);
        let chain = Chain { space: log.space, author: log.author, log: log.id, head };
        Ok(Self { number, chain, exposed: exposed(conn, log)? })
    }
}

/// The number of the newest change that is kept of a log.
pub(super) fn last_seq(conn: &Connection, number: u32) -> Result<u64, StoreError> {
    let mut select = conn.prepare_cached("SELECT max(position) FROM cfost_changes WHERE position BETWEEN ?1 AND ?2")?;
    let last: Option<i64> = select.query_row((position(number, 1), position(number + 1, 0) - 1), |row| row.get(0))?;
    Ok(last.map_or(0, seq_of))
}

/// The last change of a log that is signed.
pub(super) fn exposed(conn: &Connection, log: &LogRow) -> Result<Head, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT position, id FROM cfost_signatures WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC LIMIT 1",
    )?;
    let mut rows = select.query((position(log.number, 1), position(log.number + 1, 0) - 1))?;
    match rows.next()? {
        None => Ok(log.base()),
        Some(row) => Ok(Head { seq: seq_of(row.get(0)?), id: ChangeId::from_bytes(row.get(1)?) }),
    }
}

/// The newest timestamp in a change of this device.
fn newest_op(stored: &StoredChange<'_>, opener: &mut Opener, secrets: &Secrets) -> Result<Timestamp, StoreError> {
    let header = stored.header;
    let mut newest = Timestamp::ZERO;
    // While logged out nothing is written, and the state is read again at login.
    let Some(epoch) = secrets.epoch(header.space(), header.epoch()) else { return Ok(newest) };
    for (index, sealed) in stored.change.segments.iter().enumerate() {
        let unreadable = |error| changes::unreadable(header, &error);
        let mut segment = opener.open(epoch, header, index, sealed).and_then(SegmentReader::new).map_err(unreadable)?;
        while let Some(op) = segment.next_op().map_err(unreadable)? {
            newest = newest.max(op.at);
        }
    }
    Ok(newest)
}
