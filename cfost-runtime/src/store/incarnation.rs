//! Which log this device writes to, and when it must be a new one.
//!
//! What a restored or copied database holds of its own log is a part of that log's one history. Only
//! a change that it would add could contradict the one that the original has in the same place: so it
//! adds none, and goes on in a new log.

use std::path::Path;

use rusqlite::Connection;

use super::changes::head_at;
use super::layout::set_meta;
use super::marker::{Marker, inode};
use super::secrets::Secrets;
use super::state::State;
use super::{Registry, StoreError};
use crate::error::Result;
use crate::host::Host;
use crate::oplog::{Chain, LogId};

/// Begins this device's log in its home space: its first, or one after a restore or a copy.
pub(super) fn start_log(
    conn: &Connection,
    registry: &mut Registry,
    secrets: &Secrets,
    host: &Host,
    author: [u8; 32],
) -> Result<(u32, Chain), StoreError> {
    let log = LogId::from_bytes(uuid::Builder::from_random_bytes(host.random()).into_uuid().into_bytes());
    let number = registry.start(conn, log, secrets.home(), author)?;
    set_meta(conn, "own_log", log.as_bytes())?;
    Ok((number, Chain::new(secrets.home(), author, log)))
}

/// Whether the file is another than the one that last wrote the own log, or older than what it sent.
pub(super) fn is_restored(conn: &Connection, state: &State, path: &Path) -> Result<bool> {
    let own = state.own.chain;
    let Some(marker) = Marker::read(path)? else { return Ok(own.head.seq > 0) };
    if marker.log != own.log || marker.inode != inode(path) || marker.exposed.seq > own.head.seq {
        return Ok(true);
    }
    let Some(log) = state.registry.get(state.own.number) else { return Ok(true) };
    Ok(head_at(conn, log, &state.secrets, marker.exposed.seq)?.id != marker.exposed.id)
}

/// Whether the database has no marker yet.
pub(super) fn is_unmarked(path: &Path) -> Result<bool, StoreError> {
    Ok(Marker::read(path)?.is_none())
}

/// Writes what may have left the device beside the database.
pub(super) fn mark(state: &State, path: &Path) -> Result<(), StoreError> {
    Marker { log: state.own.chain.log, exposed: state.own.exposed, inode: inode(path) }.write(path)
}
