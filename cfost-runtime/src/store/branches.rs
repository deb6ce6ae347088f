//! A log that took two ways, both of them signed: each way is a log of its own.
//!
//! A copied device, or one that lies, signs two changes with one number. Both histories are kept and shown, on every
//! device, whichever came first. What both have in common stays the log; from where they part on each is a *branch*, named by
//! its first change. So which branches there are, and what they are called, is a function of the set of changes held,
//! and the rows are the same everywhere. A branch may part again.
//!
//! The signatures of both ways are the proof of the fork. They travel with the branches, so whoever holds these can
//! show it.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::apply::Applier;
use super::changes::{self, head_at};
use super::exchange::{self, keep};
use super::layout::{SEQ_MAX, position, set_meta};
use super::registry::{Branch, LogRow};
use super::secrets::Secrets;
use super::state::State;
use super::table::Table;
use super::{Registry, Store, StoreError, counted, fork, incarnation, rebuild};
use crate::error::Result;
use crate::host::Host;
use crate::identity::Limit;
use crate::oplog::{Chain, ChangeId, DeviceId, Head, LogId, Run, SpaceId, VerifiedChange};
use crate::schema::MergeRule;
use crate::sync::{Applied, Refusal};

/// The most parts of one log, with the branches of branches: a device that lies can't fill the disk with them.
pub(super) const PARTS_MAX: usize = 32;

/// A log that took two ways, as [`Db::forks`](crate::db::Db::forks) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fork {
    /// The device whose key has signed both ways: it was copied, or it lies.
    pub device: DeviceId,
    /// The space of the log.
    pub space: SpaceId,
    /// The log.
    pub log: LogId,
    /// The number that two changes have.
    pub seq: u64,
    /// The branches, each signed at its head or later, by their names.
    pub branches: Vec<ForkBranch>,
}

/// One of the ways that a log took.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForkBranch {
    /// The name that its changes go by: derived from the first of them.
    pub log: LogId,
    /// The first change that is not on the other branches.
    pub first: ChangeId,
    /// The last change before it parts again, or the newest held.
    pub head: Head,
}

/// Reads which logs are branches.
pub(super) fn read(conn: &Connection, registry: &mut Registry) -> Result<(), StoreError> {
    let mut select =
        conn.prepare_cached("SELECT key, value FROM cfost_meta WHERE key BETWEEN 'branch 0' AND 'branch :'")?;
    let mut rows = select.query([])?;
    let corrupt = || StoreError::Corrupt { what: "what is noted of a branch can't be read".into() };
    while let Some(row) = rows.next()? {
        let (key, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let number: u32 = key.trim_start_matches("branch ").parse().map_err(|_| corrupt())?;
        let branch = decode(&value).ok_or_else(corrupt)?;
        registry.get_mut(number).ok_or_else(corrupt)?.branch = Some(branch);
    }
    drop(rows);
    name_edits(registry);
    Ok(())
}

/// What is noted of a branch: the log it is of 16, the parent's number 4, and the change that it goes on from, as its
/// number 8 and its id 32.
fn save(conn: &Connection, number: u32, branch: &Branch) -> Result<(), StoreError> {
    let mut bytes = branch.origin.as_bytes().to_vec();
    bytes.extend_from_slice(&branch.parent.to_le_bytes());
    bytes.extend_from_slice(&branch.base.seq.to_le_bytes());
    bytes.extend_from_slice(branch.base.id.as_bytes());
    set_meta(conn, &format!("branch {number}"), bytes)
}

fn decode(bytes: &[u8]) -> Option<Branch> {
    let (origin, rest) = bytes.split_first_chunk()?;
    let (parent, rest) = rest.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let base = Head { seq: u64::from_le_bytes(*seq), id: ChangeId::from_bytes(rest.try_into().ok()?) };
    Some(Branch { origin: LogId::from_bytes(*origin), parent: u32::from_le_bytes(*parent), base })
}

/// Says whose edits of texts each branch has. Edits name others by the log that they were written to: of two branches
/// only one can be meant, and that is the one with the lesser name.
fn name_edits(registry: &mut Registry) {
    let mut named: Vec<(u32, LogId)> = registry.iter().filter(|log| log.branch.is_none()).map(name_of).collect();
    while let Some((parent, edits_as)) = named.pop() {
        let mut children: Vec<(u32, LogId)> = registry.children(parent).map(name_of).collect();
        children.sort_by_key(|(_, id)| *id);
        if let Some(first) = children.first_mut() {
            first.1 = edits_as;
        }
        for (number, edits_as) in children {
            if let Some(log) = registry.get_mut(number) {
                log.edits_as = edits_as;
            }
            named.push((number, edits_as));
        }
    }
}

fn name_of(log: &LogRow) -> (u32, LogId) {
    (log.number, log.id)
}

impl Registry {
    /// Whether a log took two ways from its head on.
    pub(super) fn is_split(&self, number: u32) -> bool {
        self.children(number).next().is_some()
    }

    fn children(&self, number: u32) -> impl Iterator<Item = &LogRow> {
        self.iter().filter(move |log| log.branch.is_some_and(|branch| branch.parent == number))
    }

    /// All parts of a log, itself among them.
    fn parts(&self, written_to: LogId) -> impl Iterator<Item = &LogRow> {
        self.iter().filter(move |log| log.written_to() == written_to)
    }

    /// Whether the first is the second, or goes on from it.
    fn goes_on_from(&self, mut number: u32, from: u32) -> bool {
        while number != from {
            let Some(branch) = self.get(number).and_then(|log| log.branch) else { return false };
            number = branch.parent;
        }
        true
    }

    fn start_branch(
        &mut self,
        conn: &Connection,
        parent: &LogRow,
        first: ChangeId,
        base: Head,
    ) -> Result<u32, StoreError> {
        let number = self.start(conn, LogId::of_branch(first), parent.space, parent.author)?;
        let branch = Branch { origin: parent.written_to(), parent: parent.number, base };
        save(conn, number, &branch)?;
        if let Some(log) = self.get_mut(number) {
            (log.branch, log.head) = (Some(branch), base);
            (log.applied_seq, log.cited_seq) = (base.seq, base.seq);
        }
        Ok(number)
    }
}

impl Store {
    /// The logs that took two ways.
    pub(crate) fn forks(&self) -> Result<Vec<Fork>> {
        self.with_state(|conn, state| {
            let registry = &state.registry;
            let split = registry.iter().filter(|log| registry.is_split(log.number));
            let forks = split.map(|log| {
                let mut branches = Vec::new();
                for branch in registry.children(log.number) {
                    let first = head_at(conn, branch, &state.secrets, log.head.seq + 1)?.id;
                    branches.push(ForkBranch { log: branch.id, first, head: branch.head });
                }
                branches.sort_by_key(|branch| branch.log);
                let (seq, written_to) = (log.head.seq + 1, log.written_to());
                Ok(Fork { device: log.device, space: log.space, log: written_to, seq, branches })
            });
            forks.collect()
        })
    }

    /// Whether a log of a space took two ways.
    pub(crate) fn is_split(&self, space: SpaceId, log: LogId) -> Result<bool> {
        self.with_state(|_, state| {
            let number = state.registry.number(log).filter(|number| state.registry.is_split(*number));
            Ok(number.and_then(|number| state.registry.get(number)).is_some_and(|log| log.space == space))
        })
    }
}

/// Whether a run may be of a log that took two ways, by what is known before it is verified.
pub(super) fn concerns(registry: &Registry, run: &Run, held: Option<&LogRow>) -> bool {
    run.origin.is_some() || held.is_some_and(|log| log.branch.is_some() || registry.is_split(log.number))
}

/// Whether the last change of a run is the one that is held in its place.
pub(super) fn holds_last(conn: &Connection, log: &LogRow, run: &Run) -> Result<bool, StoreError> {
    let mut select = conn.prepare_cached("SELECT change FROM cfost_changes WHERE position = ?1")?;
    let mut rows = select.query([position(log.number, run.last_seq())])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let held = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(run.changes.last().is_some_and(|last| last == held))
}

/// Where the changes of a run go that are new.
enum Place {
    /// All of them are held.
    Known,
    /// From this one on they go on after what is held of a log, by its number.
    After { new: usize, log: u32 },
    /// From this one on they part from a log after a change that it holds.
    Parts { new: usize, log: u32, base: Head },
    /// The log, by its number, has changes that were never signed, after which it isn't known how it goes on.
    Unsettled { log: u32 },
}

/// Takes in a run of a log that took two ways, or that does by this run.
pub(super) fn take_in_run(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    applier: &mut Applier<'_>,
    run: &Run,
    applied: &mut Applied,
) -> Result<Result<(), Refusal>> {
    let Some((verified, attached)) = attach(conn, state, run)? else {
        return Ok(Err(unattached(state, run)));
    };
    let parts = state.registry.parts(run.written_to()).count();
    let mut placed = place(conn, state, attached, &verified)?;
    if !matches!(placed, Place::Known) && give_up_own(conn, state, host, run.written_to())? {
        placed = place(conn, state, attached, &verified)?;
    }
    let (new, number, parted) = match placed {
        Place::Known => (verified.len(), 0, false),
        Place::Unsettled { log } => {
            let Some(log) = state.registry.get(log).cloned() else { return Ok(Err(Refusal::Gap)) };
            let signed = state.claimed(&log);
            return fork::take_in_run(conn, tables, state, host, applier, (run, &log, signed), applied);
        }
        Place::After { new, log } => (new, log, false),
        // Two more parts at the most.
        Place::Parts { .. } if parts + 2 > PARTS_MAX => return Ok(Err(Refusal::Bounded)),
        Place::Parts { new, log, base } => {
            if !has_names_free(conn, state, log, base, &verified[new])? {
                return Ok(Err(Refusal::Bounded));
            }
            applier.settle(&mut exchange::context(state))?;
            (new, part(conn, state, log, base, &verified[new])?, true)
        }
    };
    let head = verified.last().map_or(Head::NONE, |last| Head { seq: last.header.seq(), id: last.id });
    if new < verified.len() {
        let rest = exchange::without_known(run, new);
        if let Err(why) = exchange::learn_commitments(conn, state, &rest)? {
            return Ok(Err(why));
        }
        let applied_seq = state.registry.get(number).map_or(0, |log| log.applied_seq);
        counted::note_limit(conn, &mut state.registry, &state.secrets, number, applied_seq)?;
        keep(conn, state, applier, &rest, &verified[new..], number)?;
        applied.changes += (verified.len() - new) as u64;
    }
    if parted {
        applier.settle(&mut exchange::context(state))?;
        counted::renew_limits(conn, &mut state.registry, &state.secrets)?;
        rebuild::replay(conn, tables, state, &vec![true; tables.len()], &|| ())?;
        leave_steps(conn, tables, state, host, run.space)?;
    }
    applied.heads.entry(run.space).or_default().advance(run.log, head);
    Ok(Ok(()))
}

/// Verifies a run as the continuation of some part of its log; returns that part's number too. A log of which nothing
/// is held yet is begun.
fn attach<'r>(
    conn: &Connection,
    state: &mut State,
    run: &'r Run,
) -> Result<Option<(Vec<VerifiedChange<'r>>, u32)>, StoreError> {
    let written_to = run.written_to();
    let before = run.first_seq - 1;
    for log in state.registry.parts(written_to).filter(|log| log.space == run.space && log.author == run.author) {
        // A branch begins after a change of its parent, from which others begin too.
        let begins = if log.branch.is_some() { log.base().seq + 1 } else { 0 };
        if before < begins || before > state.claimed(log).seq {
            continue;
        }
        let mut chain = log.chain(head_at(conn, log, &state.secrets, before)?);
        if let Ok(verified) = run.verify(&mut chain) {
            return Ok(Some((verified, log.number)));
        }
    }
    if before > 0 || state.registry.number(written_to).is_some() {
        return Ok(None);
    }
    // Of its two ways none is held: this one is the log so far.
    let mut chain = Chain::new(run.space, run.author, written_to);
    let Ok(verified) = run.verify(&mut chain) else { return Ok(None) };
    Ok(Some((verified, state.registry.start(conn, written_to, run.space, run.author)?)))
}

/// Why a run doesn't go on from anything that is held: what is before it is missing, or is another change.
fn unattached(state: &State, run: &Run) -> Refusal {
    let reaches = |log: &LogRow| state.claimed(log).seq + 1 >= run.first_seq;
    if state.registry.parts(run.written_to()).any(reaches) { Refusal::Forked } else { Refusal::Gap }
}

/// Follows the changes of a run through what is held, from a part of the log on that holds the change before it.
fn place(
    conn: &Connection,
    state: &State,
    mut number: u32,
    verified: &[VerifiedChange<'_>],
) -> Result<Place, StoreError> {
    let mut new = 0;
    loop {
        let Some(log) = state.registry.get(number) else { return Ok(Place::Known) };
        let (held, rest) = (state.claimed(log), &verified[new..]);
        let Some(first) = rest.first() else { return Ok(Place::Known) };
        let before = Head { seq: first.header.seq() - 1, id: first.header.previous() };
        let mut theirs = rest.iter();
        changes::walk(conn, log, &state.secrets, before, held.seq, |ours| {
            if theirs.next().is_none_or(|theirs| theirs.id != ours.id) {
                return Ok(ControlFlow::Break(()));
            }
            new += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(next) = verified.get(new) else { return Ok(Place::Known) };
        let base = Head { seq: next.header.seq() - 1, id: next.header.previous() };
        if base.seq < held.seq {
            return Ok(Place::Parts { new, log: number, base });
        }
        if state.unsettled(number).is_some() {
            return Ok(Place::Unsettled { log: number });
        }
        let name = LogId::of_branch(next.id);
        match state.registry.children(number).find(|branch| branch.id == name) {
            Some(branch) => number = branch.number,
            None if state.registry.is_split(number) => return Ok(Place::Parts { new, log: number, base }),
            None => return Ok(Place::After { new, log: number }),
        }
    }
}

/// Whether the names of the branches to come are no logs yet: a device that lies may have begun some by these names.
fn has_names_free(
    conn: &Connection,
    state: &State,
    number: u32,
    base: Head,
    first: &VerifiedChange<'_>,
) -> Result<bool, StoreError> {
    let mut names = vec![LogId::of_branch(first.id)];
    if let Some(log) = state.registry.get(number).filter(|log| base.seq < log.head.seq) {
        names.push(LogId::of_branch(head_at(conn, log, &state.secrets, base.seq + 1)?.id));
    }
    Ok(names.into_iter().all(|name| state.registry.number(name).is_none()))
}

/// Goes on in a new log if one that this device writes to is a part of a log that somebody else goes on with.
fn give_up_own(conn: &Connection, state: &mut State, host: &Host, written_to: LogId) -> Result<bool> {
    let Some(own) = state.own.iter().find(|own| own.chain.log == written_to).copied() else { return Ok(false) };
    state.registry.save(conn, own.number)?;
    state.unsettle(&own);
    incarnation::go_on_in_new_log(conn, state, host, own.chain.space)?;
    Ok(true)
}

/// Goes on in a new log of a space with texts. What this device has typed upon a way that doesn't go on in them may wait
/// now: an edit that it makes next must not take the same steps. The former log ends here, and is signed for that.
fn leave_steps(conn: &Connection, tables: &[Table], state: &mut State, host: &Host, space: SpaceId) -> Result<()> {
    let has_texts = |table: &Table| table.schema.columns.iter().any(|column| column.rule == MergeRule::Text);
    let Some(own) = state.own.of(space).copied() else { return Ok(()) };
    if own.chain.head.seq > 0 && state.secrets.opened().is_ok() && tables.iter().any(has_texts) {
        exchange::expose(conn, state)?;
        state.registry.save(conn, own.number)?;
        incarnation::go_on_in_new_log(conn, state, host, space)?;
    }
    Ok(())
}

/// Lets a branch part from a log after `base`; returns its number.
fn part(conn: &Connection, state: &mut State, number: u32, base: Head, first: &VerifiedChange<'_>) -> Result<u32> {
    let corrupt = || StoreError::Corrupt { what: format!("log {number} is missing") };
    let log = state.registry.get(number).cloned().ok_or_else(corrupt)?;
    if base.seq < log.head.seq {
        split(conn, state, &log, base)?;
    }
    let branch = state.registry.start_branch(conn, &log, first.id, base)?;
    name_edits(&mut state.registry);
    let (log, seq, device) = (log.written_to(), base.seq + 1, log.device);
    tracing::warn!(%log, seq, %device, "a device has signed two changes with one number: both ways of its log are kept");
    Ok(branch)
}

/// Makes what a log holds after `base` a branch of it.
fn split(conn: &Connection, state: &mut State, log: &LogRow, base: Head) -> Result<(), StoreError> {
    let first = head_at(conn, log, &state.secrets, base.seq + 1)?.id;
    let children: Vec<u32> = state.registry.children(log.number).map(|branch| branch.number).collect();
    let tail = state.registry.start_branch(conn, log, first, base)?;
    let by = position(tail, 0) - position(log.number, 0);
    let moved = (by, position(log.number, base.seq + 1), position(log.number, SEQ_MAX));
    for table in ["cfost_changes", "cfost_signatures"] {
        let sql = format!("UPDATE {table} SET position = position + ?1 WHERE position BETWEEN ?2 AND ?3");
        conn.prepare_cached(&sql)?.execute(moved)?;
    }
    for child in children {
        if let Some(branch) = state.registry.get_mut(child).and_then(|child| child.branch.as_mut()) {
            branch.parent = tail;
            save(conn, child, branch)?;
        }
    }
    if let Some(moved) = state.registry.get_mut(tail) {
        moved.head = log.head;
        moved.applied_seq = log.applied_seq.max(base.seq);
        moved.cited_seq = log.cited_seq.max(base.seq);
        (moved.last_at, moved.counted_seq) = (log.last_at, log.counted_seq);
    }
    if let Some(rest) = state.registry.get_mut(log.number) {
        rest.head = base;
        rest.applied_seq = rest.applied_seq.min(base.seq);
        rest.cited_seq = rest.cited_seq.min(base.seq);
    }
    if let Some(signed) = state.unsettled(log.number) {
        state.settle(log.number, base);
        state.settle(tail, signed);
    }
    state.registry.save(conn, tail)?;
    state.registry.save(conn, log.number)
}

/// How far a part of a log counts that took two ways. Who ended the device may have known one way alone, and so have
/// named a change of it by the log, or by a branch that has parted since.
pub(super) fn reach(
    conn: &Connection,
    registry: &Registry,
    secrets: &Secrets,
    log: &LogRow,
    epoch: u32,
) -> Result<u64, StoreError> {
    let base = log.base().seq;
    let mut named = log;
    let limit = loop {
        match secrets.limit(&LogRow { id: named.id, ..log.clone() }, epoch) {
            Limit::All => return Ok(counted::ALL),
            Limit::UpTo(Head { seq: 0, .. }) => {}
            Limit::UpTo(limit) => break limit,
        }
        match named.branch.and_then(|branch| registry.get(branch.parent)) {
            Some(parent) => named = parent,
            None => return Ok(base),
        }
    };
    for part in registry.parts(log.written_to()).filter(|part| registry.goes_on_from(part.number, named.number)) {
        if part.base().seq < limit.seq
            && limit.seq <= part.head.seq
            && head_at(conn, part, secrets, limit.seq)?.id == limit.id
        {
            return Ok(match () {
                () if part.number == log.number => limit.seq,
                () if registry.goes_on_from(part.number, log.number) => log.head.seq,
                () => base,
            });
        }
    }
    // It is to come, and then the end of this way may lead there.
    let may_come = named.number == log.number && !registry.is_split(log.number) && limit.seq > log.head.seq;
    Ok(if may_come { limit.seq } else { base })
}
