//! Changes as they are kept: reading them back along their chain.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use super::layout::{position, seq_of};
use super::registry::LogRow;
use super::secrets::Secrets;
use crate::oplog::{ChangeId, Head, Header, OplogError, PackedChange};

/// A stored change with what its place in the chain says.
pub(super) struct StoredChange<'a> {
    pub(super) header: &'a Header,
    pub(super) id: ChangeId,
    pub(super) change: &'a PackedChange<'a>,
}

/// Keeps a change.
pub(super) fn insert(conn: &Connection, log_number: u32, seq: u64, packed: &[u8]) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO cfost_changes (position, change) VALUES (?1, ?2)")?
        .execute((position(log_number, seq), packed))?;
    Ok(())
}

/// Keeps a signature, with the id it is over.
pub(super) fn insert_signature(
    conn: &Connection,
    log_number: u32,
    head: Head,
    signature: &[u8; 64],
) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO cfost_signatures (position, id, signature) VALUES (?1, ?2, ?3)")?
        .execute((position(log_number, head.seq), head.id.as_bytes(), signature))?;
    Ok(())
}

/// Visits the changes of a log after `after`, of which the id is known, up to and with `last_seq`.
///
/// Ids are recomputed on the way; that the last one is the expected one is for the caller to check.
pub(super) fn walk(
    conn: &Connection,
    log: &LogRow,
    secrets: &Secrets,
    after: Head,
    last_seq: u64,
    mut visit: impl FnMut(StoredChange<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<Head, StoreError> {
    let mut chain = log.chain(after);
    let mut select = conn.prepare_cached(
        "SELECT position, change FROM cfost_changes WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
    )?;
    let mut rows = select.query((position(log.number, after.seq) + 1, position(log.number, last_seq)))?;
    while let Some(row) = rows.next()? {
        let seq = seq_of(row.get(0)?);
        let damaged = |reason: String| StoreError::DamagedChange { log: log.id, seq, reason };
        let packed = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let change = PackedChange::decode(packed).map_err(|error| damaged(error.to_string()))?;
        let commitment = (secrets.commitment(log.space, change.epoch))
            .ok_or_else(|| damaged(format!("the commitment of epoch {} is missing", change.epoch)))?;
        let (header, id) = chain.next(&change, &commitment).map_err(|error| damaged(error.to_string()))?;
        if header.seq() != seq {
            return Err(damaged("a change before it is missing".to_owned()));
        }
        if visit(StoredChange { header: &header, id, change: &change })?.is_break() {
            break;
        }
    }
    Ok(chain.head)
}

/// The head that a log had when its newest change was `seq`.
pub(super) fn head_at(conn: &Connection, log: &LogRow, secrets: &Secrets, seq: u64) -> Result<Head, StoreError> {
    if seq == log.head.seq {
        return Ok(log.head);
    }
    walk(conn, log, secrets, newest_signed(conn, log, seq)?, seq, |_| Ok(ControlFlow::Continue(())))
}

/// The newest signed change up to `seq`.
pub(super) fn newest_signed(conn: &Connection, log: &LogRow, seq: u64) -> Result<Head, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT position, id FROM cfost_signatures WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC LIMIT 1",
    )?;
    let range = (position(log.number, 1), position(log.number, seq));
    let known =
        select.query_row(range, |row| Ok(Head { seq: seq_of(row.get(0)?), id: ChangeId::from_bytes(row.get(1)?) }));
    Ok(known.optional()?.unwrap_or(log.base()))
}

/// What a stored change that can't be opened means: damage, or a newer app's work.
pub(super) fn unreadable(header: &Header, error: &OplogError) -> StoreError {
    StoreError::DamagedChange { log: header.log(), seq: header.seq(), reason: error.to_string() }
}
