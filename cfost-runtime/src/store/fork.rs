//! A log of this device that took two ways, brought back to one.
//!
//! A machine that goes back to a snapshot takes the marker beside the database back with it: nothing
//! tells the device that peers hold more of its log than it does, and it writes other changes under
//! numbers that are taken. The first peer that it meets tells. From then on the device writes to a new
//! log; and of the old one it claims to hold only what it had signed, so that the peer sends what
//! follows. When that arrives, what is the same on both ways stays where it is, and what this device
//! wrote by itself, which nobody else can have seen, is sealed anew into the new log, op for op.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::apply::Applier;
use super::changes;
use super::exchange::{self, keep};
use super::layout::position;
use super::registry::LogRow;
use super::secrets::Secrets;
use super::state::State;
use super::table::Table;
use super::{StoreError, branches, incarnation, rebuild};
use crate::error::Result;
use crate::host::Host;
use crate::oplog::{ChangeFlags, Dep, Head, Opener, Run, Sealer, VerifiedChange};
use crate::sync::{Applied, Refusal};

/// A change of the way that is given up, opened.
pub(super) struct Opened {
    flags: ChangeFlags,
    epoch: u32,
    deps: Vec<Dep>,
    payloads: Vec<Vec<u8>>,
}

/// Takes in a run of a log that is unsettled: of which this device holds changes after `signed` that it
/// never signed, while a peer holds others.
pub(super) fn take_in_run(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    applier: &mut Applier<'_>,
    (run, log, signed): (&Run, &LogRow, Head),
    applied: &mut Applied,
) -> Result<Result<(), Refusal>> {
    let known = usize::try_from((signed.seq + 1).saturating_sub(run.first_seq)).unwrap_or(usize::MAX);
    let heads = applied.heads.entry(run.space).or_default();
    if known >= run.changes.len() {
        if run.origin.is_none() && !branches::holds_last(conn, log, run)? {
            return branches::take_in_run(conn, tables, state, host, applier, run, applied);
        }
        heads.advance(run.log, signed);
        return Ok(Ok(()));
    }
    let rest = exchange::without_known(run, known);
    let mut chain = log.chain(signed);
    let verified = match rest.verify(&mut chain) {
        Ok(verified) => verified,
        Err(error) => match exchange::refusal(error, &rest, signed) {
            Refusal::Forked => return branches::take_in_run(conn, tables, state, host, applier, run, applied),
            why => return Ok(Err(why)),
        },
    };
    if let Err(why) = exchange::learn_commitments(conn, state, &rest)? {
        return Ok(Err(why));
    }
    let common = common_head(conn, log, &state.secrets, signed, &verified)?;
    heads.advance(run.log, chain.head);
    if common == chain.head {
        // The peer has what this device has, and no more: its signature vouches for both.
        exchange::keep_signatures(conn, &rest, &verified, log.number)?;
        state.settle(log.number, common);
        return Ok(Ok(()));
    }
    let own_way = open_after(conn, log, &state.secrets, common)?;
    give_up(conn, state, log, common)?;
    seal_anew(conn, state, host, log, &own_way)?;
    let beyond = usize::try_from(common.seq + 1 - rest.first_seq).unwrap_or(usize::MAX);
    exchange::keep_signatures(conn, &rest, &verified[..beyond], log.number)?;
    keep(conn, state, applier, &rest, &verified[beyond..], log.number)?;
    applied.changes += (verified.len() - beyond) as u64;
    applier.settle(&mut exchange::context(state))?;
    rebuild::replay(conn, tables, state, &vec![true; tables.len()], &|| ())?;
    let (log, seq, changes) = (log.id, common.seq, own_way.len());
    tracing::warn!(%log, seq, changes, "a log of this device took two ways; what it wrote by itself is in its new log");
    Ok(Ok(()))
}

/// The last change that is the same on both ways.
fn common_head(
    conn: &Connection,
    log: &LogRow,
    secrets: &Secrets,
    signed: Head,
    theirs: &[VerifiedChange<'_>],
) -> Result<Head, StoreError> {
    let (mut common, mut theirs) = (signed, theirs.iter());
    changes::walk(conn, log, secrets, signed, log.head.seq, |ours| {
        if theirs.next().is_none_or(|theirs| theirs.id != ours.id) {
            return Ok(ControlFlow::Break(()));
        }
        common = Head { seq: ours.header.seq(), id: ours.id };
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(common)
}

/// Opens what this device has of a log after a change.
fn open_after(conn: &Connection, log: &LogRow, secrets: &Secrets, after: Head) -> Result<Vec<Opened>, StoreError> {
    let mut all = Vec::new();
    open_each(conn, log, secrets, after, &mut all)?;
    Ok(all)
}

/// The same, up to the first change that is damaged.
pub(super) fn open_sound(
    conn: &Connection,
    log: &LogRow,
    secrets: &Secrets,
    after: Head,
) -> Result<Vec<Opened>, StoreError> {
    let mut all = Vec::new();
    match open_each(conn, log, secrets, after, &mut all) {
        Ok(()) | Err(StoreError::DamagedChange { .. }) => Ok(all),
        Err(other) => Err(other),
    }
}

fn open_each(
    conn: &Connection,
    log: &LogRow,
    secrets: &Secrets,
    after: Head,
    all: &mut Vec<Opened>,
) -> Result<(), StoreError> {
    let mut opener = Opener::new();
    changes::walk(conn, log, secrets, after, log.head.seq, |stored| {
        let header = stored.header;
        let epoch = secrets.epoch(header.space(), header.epoch()).ok_or_else(|| StoreError::DamagedChange {
            log: log.id,
            seq: header.seq(),
            reason: "its key is missing".to_owned(),
        })?;
        let mut payloads = Vec::with_capacity(stored.change.segments.len());
        for (index, sealed) in stored.change.segments.iter().enumerate() {
            let payload = opener.open(epoch, header, index, sealed);
            payloads.push(payload.map_err(|error| changes::unreadable(header, &error))?.to_vec());
        }
        all.push(Opened { flags: header.flags(), epoch: header.epoch(), deps: stored.change.deps.clone(), payloads });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}

/// Takes a log back to a change.
fn give_up(conn: &Connection, state: &mut State, log: &LogRow, to: Head) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_changes WHERE position BETWEEN ?1 AND ?2")?
        .execute((position(log.number, to.seq + 1), position(log.number, log.head.seq)))?;
    if let Some(log) = state.registry.get_mut(log.number) {
        (log.head, log.applied_seq, log.cited_seq) = (to, to.seq, log.cited_seq.min(to.seq));
    }
    state.settle(log.number, to);
    Ok(())
}

/// Appends changes of a former log to the log that this device writes to in its place. Their ops keep their timestamps,
/// and so their place among all others. Of a space that the user has left meanwhile they stay under the key that they
/// had: they are kept, and count as little there as they would have.
pub(super) fn seal_anew(
    conn: &Connection,
    state: &mut State,
    host: &Host,
    former: &LogRow,
    changes: &[Opened],
) -> Result<()> {
    if state.own.of(former.space).is_none() {
        incarnation::go_on_in_new_log(conn, state, host, former.space)?;
    }
    let Some(own) = state.own.of_mut(former.space) else { return Ok(()) };
    let mut sealer = Sealer::new();
    for change in changes {
        let deps: Vec<Dep> = change.deps.iter().filter(|dep| dep.log != own.chain.log).copied().collect();
        let payloads: Vec<&[u8]> = change.payloads.iter().map(Vec::as_slice).collect();
        let held = || state.secrets.epoch(former.space, change.epoch);
        let epoch = match (state.secrets.current_epoch_of(former.space), held()) {
            (Ok(epoch), _) | (Err(_), Some(epoch)) => epoch,
            (Err(error), None) => return Err(error),
        };
        let (packed, _) = sealer.seal(&mut own.chain, change.flags, epoch, &host.random(), &deps, &payloads)?;
        changes::insert(conn, own.number, own.chain.head.seq, &packed)?;
    }
    let (number, head, newest) = (own.number, own.chain.head, state.hlc.last());
    if let Some(log) = state.registry.get_mut(number) {
        (log.head, log.applied_seq, log.last_at) = (head, head.seq, log.last_at.max(newest));
    }
    state.registry.save(conn, number)?;
    Ok(())
}
