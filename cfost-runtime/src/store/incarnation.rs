//! Which log this device writes to, and when it must be a new one.
//!
//! What a restored or copied database holds of its own log is a part of that log's one history. Only
//! a change that it would add could contradict the one that the original has in the same place: so it
//! adds none, and goes on in a new log.

use std::path::Path;

use rusqlite::Connection;

use super::changes::head_at;
use super::layout::{meta, set_meta};
use super::ledger::Own;
use super::marker::{Marker, Sent, inode};
use super::secrets::Secrets;
use super::state::State;
use super::{Registry, StoreError};
use crate::error::Result;
use crate::host::Host;
use crate::oplog::{Chain, LogId, SpaceId};

/// Begins this device's log in a space: its first there, or one after a restore or a copy.
pub(super) fn start_log(
    conn: &Connection,
    registry: &mut Registry,
    secrets: &Secrets,
    space: SpaceId,
    host: &Host,
    author: [u8; 32],
) -> Result<Own, StoreError> {
    let log = LogId::from_bytes(uuid::Builder::from_random_bytes(host.random()).into_uuid().into_bytes());
    let number = registry.start(conn, log, space, author)?;
    if space == secrets.home() {
        set_meta(conn, "own_log", log.as_bytes())?;
    } else {
        conn.prepare_cached("INSERT OR REPLACE INTO cfost_own_logs (space, log) VALUES (?1, ?2)")?
            .execute((space.as_bytes(), log.as_bytes()))?;
    }
    Ok(Own::new(number, Chain::new(space, author, log)))
}

/// Begins a new log in a space; what was written to goes on as a log of the past.
pub(super) fn go_on_in_new_log(conn: &Connection, state: &mut State, host: &Host, space: SpaceId) -> Result<LogId> {
    let author = state.secrets.opened()?.keys.public().signing;
    let own = start_log(conn, &mut state.registry, &state.secrets, space, host, author)?;
    state.own.put(own);
    Ok(own.chain.log)
}

/// Begins a new log in the home space, and lets a new one begin in each other with the next write there.
pub(super) fn renew(conn: &Connection, state: &mut State, host: &Host) -> Result<LogId> {
    conn.prepare_cached("DELETE FROM cfost_own_logs")?.execute([])?;
    let home = state.secrets.home();
    let log = go_on_in_new_log(conn, state, host, home)?;
    state.own.renew(*state.own.home());
    Ok(log)
}

/// Whether the file is another than the one that last wrote the own logs, or older than what it sent.
pub(super) fn is_restored(conn: &Connection, state: &State, path: &Path) -> Result<bool> {
    let Some(marker) = Marker::read(path)? else { return Ok(state.own.iter().any(|own| own.chain.head.seq > 0)) };
    if marker.home != state.own.home().chain.log || marker.inode != inode(path) {
        return Ok(true);
    }
    let Sent { log, head } = marker.sent;
    let held = state.registry.number(log).and_then(|number| state.registry.get(number));
    let Some(held) = held.filter(|held| head.seq <= held.head.seq) else { return Ok(true) };
    Ok(head_at(conn, held, &state.secrets, head.seq)?.id != head.id)
}

/// Whether the database has no marker yet.
pub(super) fn is_unmarked(path: &Path) -> Result<bool, StoreError> {
    Ok(Marker::read(path)?.is_none())
}

/// Writes what may have left the device beside the database.
pub(super) fn mark(conn: &Connection, state: &State, path: &Path) -> Result<(), StoreError> {
    let home = state.own.home();
    let sent: Option<Vec<u8>> = meta(conn, LAST_SENT)?;
    let sent = sent.and_then(|bytes| Sent::decode(&bytes)).filter(|sent| state.registry.number(sent.log).is_some());
    // Before there were other spaces than home it was not kept in the file.
    let sent = sent.unwrap_or(Sent { log: home.chain.log, head: home.exposed });
    Marker { home: home.chain.log, sent, inode: inode(path) }.write(path)
}

/// Takes note in the file that the changes of an own log may leave the device from now on.
pub(super) fn note_sent(conn: &Connection, own: &Own) -> Result<(), StoreError> {
    let mut bytes = Vec::new();
    Sent { log: own.chain.log, head: own.exposed }.encode(&mut bytes);
    set_meta(conn, LAST_SENT, bytes)
}

/// In `cfost_meta`: the [`Sent`] of the newest changes that may have left the device.
const LAST_SENT: &str = "last_sent";
