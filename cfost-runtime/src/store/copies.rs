//! Another database in use with this device's keys: of a folder that was copied, of a machine that was cloned.
//!
//! A copy that is noticed when it is opened, or that meets a peer which knows more of its log than it does, writes to new
//! logs; so far it may as well be the only one, restored from an old state. It is not if this device's key goes on
//! signing in logs that this database doesn't write to: changes that are newer than the log that it writes to in their
//! place. That is found as soon as such a change arrives, through whichever device. Both histories count on all
//! devices. Of the two databases, the one whose log in that space began later pairs again, as a device of its own.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::changes;
use super::ledger::{Ledger, Own};
use super::registry::LogRow;
use super::state::State;
use super::{Store, StoreError, exchange, secrets, standing};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::identity::{DeviceKeys, IdentityLog};
use crate::oplog::{EpochKey, Opener, SegmentReader, SpaceId};
use crate::sync::Copied;

impl Store {
    /// Whether another database is in use with this device's keys, as far as can be told from what is held.
    pub(crate) fn copied(&self) -> Result<Option<Copied>> {
        self.with_state(|conn, state| Ok(find(conn, state)?))
    }

    /// Makes this database another device of its user, which `keys` have been admitted to. What the former device wrote
    /// stays what it is, signed to its end; what is written from now on is the new one's.
    pub(crate) fn renew_device(
        &self,
        identity: &IdentityLog,
        keys: &DeviceKeys,
        space_keys: &[(SpaceId, EpochKey)],
    ) -> Result<()> {
        self.erase(|conn, state| {
            if state.is_unsettled() {
                return Err(StoreError::Unsettled.into());
            }
            // Nobody can sign it once the keys are gone.
            exchange::expose(conn, state)?;
            let master = state.secrets.opened()?.master.clone();
            secrets::adopt(conn, &self.host, &master, identity, keys)?;
            for (space, key) in space_keys {
                secrets::save_epoch(conn, &self.host, &master, *space, key)?;
            }
            conn.prepare_cached("DELETE FROM cfost_own_logs")?.execute([])?;
            Ledger::found(conn, &self.host, &self.safe)?;
            *state = State::read(conn, &self.tables, &self.safe)?;
            standing::follow(conn, &self.tables, state, &self.host)
        })?;
        self.mark()?;
        self.announce();
        Ok(())
    }
}

/// The other database with this device's keys, if one shows: by a log of the home space, if there is one.
pub(super) fn find(conn: &Connection, state: &State) -> Result<Option<Copied>, StoreError> {
    for own in state.own.iter() {
        if let Some(copied) = find_beside(conn, state, own)? {
            return Ok(Some(copied));
        }
    }
    Ok(None)
}

fn find_beside(conn: &Connection, state: &State, own: &Own) -> Result<Option<Copied>, StoreError> {
    let Some(row) = state.registry.get(own.number).filter(|_| own.chain.head.seq > 0) else { return Ok(None) };
    let beside = |log: &&LogRow| log.device == row.device && log.space == row.space && log.number != row.number;
    if !state.registry.iter().any(|log| beside(&log)) {
        return Ok(None);
    }
    let since = began(conn, state, row)?;
    let mut found = None;
    for log in state.registry.iter().filter(beside).filter(|log| log.last_at > since) {
        let pairs_again = (began(conn, state, log)?, log.id) < (since, row.id);
        if pairs_again || found.is_none() {
            found = Some(Copied { log: log.id, pairs_again });
        }
    }
    Ok(found)
}

/// When the first change of a log was made; the beginning of time if it can't be read here.
fn began(conn: &Connection, state: &State, log: &LogRow) -> Result<Timestamp, StoreError> {
    let (mut began, mut opener) = (None, Opener::new());
    changes::walk(conn, log, &state.secrets, log.base(), log.base().seq + 1, |stored| {
        let header = stored.header;
        if let Some(epoch) = state.secrets.epoch(header.space(), header.epoch()) {
            for (index, sealed) in stored.change.segments.iter().enumerate() {
                let base = opener.open(epoch, header, index, sealed).and_then(SegmentReader::new).map(|it| it.base());
                began = began.into_iter().chain(base.ok()).min();
            }
        }
        Ok(ControlFlow::Break(()))
    })?;
    Ok(began.unwrap_or(Timestamp::ZERO))
}
