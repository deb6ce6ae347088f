//! What a database knows of itself in memory: kept while this process is the file's only writer, read
//! anew after another one has written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::atrest::Safe;
use super::hidden::Hidden;
use super::layout::pragma;
use super::ledger::{self, Ledger, Own};
use super::newer::{self, Newer};
use super::pages::Finished;
use super::registry::LogRow;
use super::secrets::Secrets;
use super::table::Table;
#[cfg(feature = "text")]
use super::texts::Texts;
use super::touched::Touched;
use super::{Registry, counted};
use crate::clock::{Hlc, Timestamp};
use crate::error::Result;
use crate::oplog::{Frontier, Head, SpaceId};

/// The state of one open database.
pub(super) struct State {
    /// SQLite's counter of other connections' commits; `None` when the state must be read anew.
    data_version: Option<i64>,
    pub(super) registry: Registry,
    /// The logs that this device writes to.
    pub(super) own: Ledger,
    pub(super) hlc: Hlc,
    pub(super) hidden: Hidden,
    #[cfg(feature = "text")]
    pub(super) texts: Texts,
    /// The spaces in which other logs have moved since this device's last change there.
    pub(super) uncited: BTreeSet<SpaceId>,
    /// Former logs of this device with changes that it never signed, each with the last one signed.
    unsettled: BTreeMap<u32, Head>,
    pub(super) secrets: Secrets,
    /// The table of a newer version than the app's model, if another process has made one: then nothing is written.
    pub(super) newer: Option<Newer>,
    /// What the transaction has touched that is about to be committed.
    pub(super) touched: Touched,
}

impl State {
    /// Reads the state of a database.
    pub(super) fn read(conn: &Connection, tables: &[Table], safe: &Arc<Safe>) -> Result<Self> {
        Self::read_with(conn, tables, safe, None)
    }

    fn read_with(conn: &Connection, tables: &[Table], safe: &Arc<Safe>, known: Option<&Secrets>) -> Result<Self> {
        let data_version = pragma(conn, "data_version")?;
        let secrets = Secrets::read(conn, safe, known)?;
        let mut registry = Registry::read(conn)?;
        let own = Ledger::read(conn, &mut registry, &secrets)?;
        counted::note_limits(conn, &mut registry, &secrets)?;
        let newest = registry.iter().map(|log| log.last_at).max().unwrap_or(Timestamp::ZERO);
        let uncited = uncited(&registry, &own);
        let hidden = Hidden::read(conn, tables)?;
        let mut unsettled = BTreeMap::new();
        for log in registry
            .iter()
            .filter(|log| log.device == secrets.device && !own.writes_to(log) && !registry.is_split(log.number))
        {
            let signed = ledger::exposed(conn, log)?;
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
            *self = Self::read_with(conn, tables, &self.secrets.safe, Some(&self.secrets))?;
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
        let logs = self.registry.iter().filter(|log| log.space == space && self.claimed(log).seq > log.base().seq);
        logs.map(|log| (log.id, self.claimed(log))).collect()
    }

    /// The last signed change of a log that is unsettled.
    pub(super) fn unsettled(&self, number: u32) -> Option<Head> {
        self.unsettled.get(&number).copied()
    }

    /// Whether any log is unsettled.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// An own log, which is about to be a former one, may have changes that were never signed.
    pub(super) fn unsettle(&mut self, own: &Own) {
        if own.exposed.seq < own.chain.head.seq {
            self.unsettled.insert(own.number, own.exposed);
        }
    }

    /// Other logs have moved: this device's next changes say so.
    pub(super) fn note_uncited(&mut self) {
        self.uncited = uncited(&self.registry, &self.own);
    }

    /// A log is known to be as its peers have it, up to `head`.
    pub(super) fn settle(&mut self, number: u32, head: Head) {
        if self.registry.get(number).is_some_and(|log| log.head.seq > head.seq) {
            self.unsettled.insert(number, head);
        } else {
            self.unsettled.remove(&number);
        }
    }

    /// Makes the next [`State::refresh`] read everything, unless what is begun here is committed: then hand what this
    /// returns to [`State::committed`].
    pub(super) fn suspend(&mut self) -> Option<i64> {
        self.data_version.take()
    }

    /// Takes over what a local transaction has committed.
    pub(super) fn committed(&mut self, finished: Finished) {
        #[cfg(feature = "text")]
        self.texts.committed();
        self.touched = finished.touched;
        self.data_version = self.data_version.or(finished.read_at);
        self.hlc.advance_to(finished.newest);
    }
}

/// The spaces in which there are changes that no change of this device names.
fn uncited(registry: &Registry, own: &Ledger) -> BTreeSet<SpaceId> {
    let moved = registry.iter().filter(|log| log.cited_seq < log.applied_seq && !own.writes_to(log));
    moved.map(|log| log.space).collect()
}
