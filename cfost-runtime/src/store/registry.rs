//! The logs this database holds, by their numbers here.

use std::cmp::Ordering;
use std::collections::HashMap;

use rusqlite::Connection;

use super::counted::ALL;
use super::{StoreError, branches};
use crate::clock::Timestamp;
use crate::crdt::{Writer, Writers};
use crate::oplog::{Chain, ChangeId, DeviceId, Head, LogId, SpaceId};

/// A log, as `cfost_logs` has it.
#[derive(Clone, Debug)]
pub(super) struct LogRow {
    pub(super) number: u32,
    pub(super) id: LogId,
    pub(super) space: SpaceId,
    pub(super) author: [u8; 32],
    pub(super) device: DeviceId,
    /// The newest change held.
    pub(super) head: Head,
    /// Changes up to here are visible; later ones wait (see `apply`).
    pub(super) applied_seq: u64,
    /// Later changes are never visible: the device was one no more (see `standing`). Not in the file: the identity
    /// log says it.
    pub(super) counted_seq: u64,
    /// Changes up to here are named in the deps of this device's own log.
    pub(super) cited_seq: u64,
    /// The newest timestamp among the applied ops.
    pub(super) last_at: Timestamp,
    /// For a branch of a log that took two ways.
    pub(super) branch: Option<Branch>,
    /// The log whose edits of texts these are: the one that they were written to, but for one branch of two.
    pub(super) edits_as: LogId,
}

/// Where a branch of a log begins that took two ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// The log, to which the changes were written.
    pub(super) origin: LogId,
    /// The log or branch that it goes on from, by its number.
    pub(super) parent: u32,
    /// The change that it goes on from: the parent's head.
    pub(super) base: Head,
}

/// All logs.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    /// The log with number `n` is at `n - 1`.
    logs: Vec<LogRow>,
    numbers: HashMap<LogId, u32>,
}

impl LogRow {
    /// The change after which the log begins: none, but for a branch.
    pub(super) fn base(&self) -> Head {
        self.branch.map_or(Head::NONE, |branch| branch.base)
    }

    /// The log that the headers of its changes name.
    pub(super) fn written_to(&self) -> LogId {
        self.branch.map_or(self.id, |branch| branch.origin)
    }

    /// The log as it is known up to a change.
    pub(super) fn chain(&self, head: Head) -> Chain {
        Chain { space: self.space, author: self.author, log: self.written_to(), head }
    }

    /// What is held of the log and may be visible.
    pub(super) fn countable_seq(&self) -> u64 {
        self.head.seq.min(self.counted_seq)
    }
}

impl Registry {
    pub(super) fn read(conn: &Connection) -> Result<Self, StoreError> {
        let mut select = conn.prepare_cached(
            "SELECT number, log, space, author, head_seq, head, applied_seq, cited_seq, last_at \
             FROM cfost_logs ORDER BY number",
        )?;
        let mut rows = select.query([])?;
        let mut registry = Self::default();
        while let Some(row) = rows.next()? {
            let author = row.get(3)?;
            let id = LogId::from_bytes(row.get(1)?);
            let log = LogRow {
                number: row.get(0)?,
                id,
                branch: None,
                edits_as: id,
                space: SpaceId::from_bytes(row.get(2)?),
                author,
                device: DeviceId::of_key(&author),
                head: Head { seq: row.get::<_, i64>(4)? as u64, id: ChangeId::from_bytes(row.get(5)?) },
                applied_seq: row.get::<_, i64>(6)? as u64,
                counted_seq: ALL,
                cited_seq: row.get::<_, i64>(7)? as u64,
                last_at: Timestamp::from_u64(row.get::<_, i64>(8)? as u64),
            };
            if log.number as usize != registry.logs.len() + 1 {
                return Err(StoreError::Corrupt { what: "the logs are not numbered in a row".into() });
            }
            registry.numbers.insert(log.id, log.number);
            registry.logs.push(log);
        }
        branches::read(conn, &mut registry)?;
        Ok(registry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LogRow> {
        self.logs.iter()
    }

    pub(super) fn number(&self, id: LogId) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&LogRow> {
        self.logs.get((number as usize).checked_sub(1)?)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut LogRow> {
        self.logs.get_mut((number as usize).checked_sub(1)?)
    }

    /// Starts a log that nothing is held of yet.
    pub(super) fn start(
        &mut self,
        conn: &Connection,
        id: LogId,
        space: SpaceId,
        author: [u8; 32],
    ) -> Result<u32, StoreError> {
        let number = u32::try_from(self.logs.len() + 1)
            .ok()
            .filter(|number| *number < 1 << 23)
            .ok_or_else(|| StoreError::Corrupt { what: "there are more logs than a database can hold".into() })?;
        let head = Head { seq: 0, id: ChangeId::NONE };
        let log = LogRow {
            number,
            id,
            space,
            author,
            device: DeviceId::of_key(&author),
            head,
            applied_seq: 0,
            counted_seq: ALL,
            cited_seq: 0,
            last_at: Timestamp::ZERO,
            branch: None,
            edits_as: id,
        };
        conn.prepare_cached(
            "INSERT INTO cfost_logs (number, log, space, author, head_seq, head, applied_seq, cited_seq, last_at) \
             VALUES (?1, ?2, ?3, ?4, 0, ?5, 0, 0, 0)",
        )?
        .execute((number, id.as_bytes(), space.as_bytes(), author, head.id.as_bytes()))?;
        self.numbers.insert(id, number);
        self.logs.push(log);
        Ok(number)
    }

    /// Forgets a log that was started last, and that the file doesn't have any more.
    pub(super) fn remove_last(&mut self, number: u32) {
        if let Some(log) = self.logs.pop_if(|log| log.number == number) {
            self.numbers.remove(&log.id);
        }
    }

    /// Writes how far the own log has come, which its changes say too: so that opening need not read
    /// them all.
    pub(super) fn checkpoint(
        &self,
        conn: &Connection,
        number: u32,
        head: Head,
        newest: Timestamp,
    ) -> Result<(), StoreError> {
        conn.prepare_cached(
            "UPDATE cfost_logs SET head_seq = ?2, head = ?3, applied_seq = ?2, last_at = ?4 WHERE number = ?1",
        )?
        .execute((number, head.seq as i64, head.id.as_bytes(), newest.as_u64() as i64))?;
        Ok(())
    }

    /// Writes what has moved of a log.
    pub(super) fn save(&self, conn: &Connection, number: u32) -> Result<(), StoreError> {
        let Some(log) = self.get(number) else { return Ok(()) };
        conn.prepare_cached(
            "UPDATE cfost_logs SET head_seq = ?2, head = ?3, applied_seq = ?4, cited_seq = ?5, last_at = ?6 \
             WHERE number = ?1",
        )?
        .execute((
            number,
            log.head.seq as i64,
            log.head.id.as_bytes(),
            log.applied_seq as i64,
            log.cited_seq as i64,
            log.last_at.as_u64() as i64,
        ))?;
        Ok(())
    }
}

impl Writers for Registry {
    fn order(&self, a: Writer, b: Writer) -> Ordering {
        let key = |writer: Writer| self.get(writer.0).map(|log| (log.device, log.id));
        key(a).cmp(&key(b))
    }
}
