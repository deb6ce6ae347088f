//! What a database knows of itself in memory: kept while this process is the file's only writer, read
//! anew after another one has written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rusqlite::Connection;

use super::changes::{self, StoredChange};
use super::hidden::Hidden;
use super::layout::{meta, position, pragma, seq_of};
use super::newer::{self, Newer};
use super::registry::LogRow;
use super::secrets::Secrets;
use super::table::Table;
#[cfg(feature = "text")]
use super::texts::Texts;
use super::touched::Touched;
use super::write::Finished;
use super::{Registry, StoreError, incarnation, standing};
use crate::clock::{Hlc, Timestamp};
use crate::error::Result;
use crate::host::Host;
use crate::oplog::{Chain, ChangeId, Frontier, Head, LogId, Opener, SegmentReader, SpaceId};

/// The state of one open database.
pub(super) struct State {
    /// SQLite's counter of other connections' commits; `None` when the state must be read anew.
    data_version: Option<i64>,
    pub(super) registry: Registry,
    pub(super) own: Own,
    pub(super) hlc: Hlc,
    pub(super) hidden: Hidden,
    #[cfg(feature = "text")]
    pub(super) texts: Texts,
    /// Whether other logs have moved since this device's last change.
    pub(super) uncited: bool,
    /// Former logs of this device with changes that it never signed, each with the last one signed.
    unsettled: BTreeMap<u32, Head>,
    pub(super) secrets: Secrets,
    /// The table of a newer version than the app's model, if another process has made one: then nothing is written.
    pub(super) newer: Option<Newer>,
    /// What the transaction has touched that is about to be committed.
    pub(super) touched: Touched,
}

/// This device's own log.
pub(super) struct Own {
    pub(super) number: u32,
    pub(super) chain: Chain,
    /// Changes up to here are signed, on the disk, and may have left the device.
    pub(super) exposed: Head,
}

impl State {
    /// Reads the state of a database.
    pub(super) fn read(conn: &Connection, tables: &[Table]) -> Result<Self> {
        Self::read_with(conn, tables, None)
    }

    fn read_with(conn: &Connection, tables: &[Table], known: Option<&Secrets>) -> Result<Self> {
        let data_version = pragma(conn, "data_version")?;
        let secrets = Secrets::read(conn, known)?;
        let mut registry = Registry::read(conn)?;
        let own = Own::read(conn, &mut registry, &secrets)?;
        standing::note_limits(conn, &mut registry, &secrets)?;
        let newest = registry.iter().map(|log| log.last_at).max().unwrap_or(Timestamp::ZERO);
        let uncited = registry.iter().any(|log| log.number != own.number && log.cited_seq < log.applied_seq);
        let hidden = Hidden::read(conn, tables)?;
        let mut unsettled = BTreeMap::new();
        for log in registry.iter().filter(|log| log.device == secrets.device && log.number != own.number) {
            let signed = exposed(conn, log)?;
            if signed.seq < log.head.seq {
                unsettled.insert(log.number, signed);
            }
        }
        Ok(Self {
            unsettled,
            data_version: Some(data_version),
            own,
            hlc: Hlc::new(newest),
            hidden,
            #[cfg(feature = "text")]
            texts: Texts::default(),
            uncited,
            secrets,
            registry,
            newer: newer::find(conn, tables)?,
            touched: Touched::default(),
        })
    }

    /// Reads the state anew if another connection has committed since, or a transaction failed.
    pub(super) fn refresh(&mut self, conn: &Connection, tables: &[Table]) -> Result<()> {
        let version: i64 = conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version != Some(version) {
            // Outside of a transaction each statement would see another state of the file.
            let _snapshot = if conn.is_autocommit() { Some(conn.unchecked_transaction()?) } else { None };
            let before = self.hlc.last();
            *self = Self::read_with(conn, tables, Some(&self.secrets))?;
            self.hlc.advance_to(before);
        }
        #[cfg(feature = "text")]
        self.texts.begin();
        Ok(())
    }

    /// Makes the next [`State::refresh`] read everything: what is in memory may not be in the file.
    pub(super) fn invalidate(&mut self) {
        self.data_version = None;
        self.touched = Touched::default();
    }

    /// How far this device claims to hold a log: what it may still have to give up doesn't count.
    pub(super) fn claimed(&self, log: &LogRow) -> Head {
        self.unsettled.get(&log.number).copied().unwrap_or(log.head)
    }

    /// What this device claims to hold of a space.
    pub(super) fn frontier(&self, space: SpaceId) -> Frontier {
        let logs = self.registry.iter().filter(|log| log.space == space).map(|log| (log.id, self.claimed(log)));
        logs.filter(|(_, head)| head.seq > 0).collect()
    }

    /// The last signed change of a log that is unsettled.
    pub(super) fn unsettled(&self, number: u32) -> Option<Head> {
        self.unsettled.get(&number).copied()
    }

    /// Whether any log is unsettled.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// The own log, which is about to be a former one, has changes that were never signed.
    pub(super) fn unsettle(&mut self) {
        if self.own.exposed.seq < self.own.chain.head.seq {
            self.unsettled.insert(self.own.number, self.own.exposed);
        }
    }

    /// A log is known to be as its peers have it, up to `head`.
    pub(super) fn settle(&mut self, number: u32, head: Head) {
        if self.registry.get(number).is_some_and(|log| log.head.seq > head.seq) {
            self.unsettled.insert(number, head);
        } else {
            self.unsettled.remove(&number);
        }
    }

    /// Takes over what a local transaction has committed.
    pub(super) fn committed(&mut self, finished: Finished) {
        #[cfg(feature = "text")]
        self.texts.committed();
        self.own.chain = finished.chain;
        self.touched = finished.touched;
        self.hlc.advance_to(finished.newest);
        if let Some(log) = self.registry.get_mut(self.own.number) {
            log.head = finished.chain.head;
            log.applied_seq = finished.chain.head.seq;
            log.last_at = finished.newest;
        }
    }
}

impl Own {
    /// Begins the first log of a new database.
    pub(super) fn found(conn: &Connection, host: &Host) -> Result<()> {
        let secrets = Secrets::read(conn, None)?;
        let author = secrets.opened()?.keys.public().signing;
        incarnation::start_log(conn, &mut Registry::read(conn)?, &secrets, host, author)?;
        Ok(())
    }

    /// The own log: its checkpoint in the registry, and the changes made since.
    fn read(conn: &Connection, registry: &mut Registry, secrets: &Secrets) -> Result<Self> {
        let missing = || StoreError::Corrupt { what: "this device's own log is missing".into() };
        let id: [u8; 16] = meta(conn, "own_log")?.ok_or_else(missing)?;
        let number = registry.number(LogId::from_bytes(id)).ok_or_else(missing)?;
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
        (log.head, log.last_at) = (head, newest);
        // All of it is visible, unless this device is one no more: then it was noted how far.
        if secrets.identity.counted(log.device, log.space, log.id).is_none() {
            log.applied_seq = head.seq;
        }
        let chain = Chain { space: log.space, author: log.author, log: log.id, head };
        Ok(Self { number, chain, exposed: exposed(conn, log)? })
    }
}

fn last_seq(conn: &Connection, number: u32) -> Result<u64, StoreError> {
    let mut select = conn.prepare_cached("SELECT max(position) FROM cfost_changes WHERE position BETWEEN ?1 AND ?2")?;
    let last: Option<i64> = select.query_row((position(number, 1), position(number + 1, 0) - 1), |row| row.get(0))?;
    Ok(last.map_or(0, seq_of))
}

fn exposed(conn: &Connection, log: &LogRow) -> Result<Head, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT position, id FROM cfost_signatures WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC LIMIT 1",
    )?;
    let mut rows = select.query((position(log.number, 1), position(log.number + 1, 0) - 1))?;
    match rows.next()? {
        None => Ok(Head::NONE),
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
