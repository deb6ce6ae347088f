//! What goes to peers and comes from them: the exposure barrier, runs out, runs in.
//!
//! With WAL and `synchronous=NORMAL` a power loss can roll back what was committed. That must not
//! happen to a change that a peer has: so before changes leave, their head is signed in a transaction
//! that is on the disk when it ends, and so is what came in before it is acknowledged.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use rusqlite::Connection;

use super::apply::{Applier, Context, Readiness};
use super::changes::{self, StoredChange, head_at};
use super::layout::{SEQ_MAX, position, seq_of};
use super::ledger::Own;
use super::registry::{Branch, LogRow};
use super::secrets::Secrets;
use super::state::State;
use super::table::Table;
use super::{Registry, Store, StoreError, branches, copies, counted, fork, incarnation, standing, waiting};
use crate::error::Result;
use crate::host::Host;
use crate::identity::IdentityLog;
use crate::oplog::limits::{RUN_BYTES_MAX, RUN_CHANGES_MAX, SIGNATURE_BYTES_MAX, SIGNATURE_CHANGES_MAX};
use crate::oplog::{
    Chain, ChangeId, DeviceId, Frontier, Head, LogId, OplogError, PackedChange, Run, SpaceId, VerifiedChange,
    sign_change,
};
use crate::sync::{Applied, Refusal, Refused, Seqs, Served};

/// What a run takes beside its changes: its head, its last signature, the lengths of the changes.
const RUN_OVERHEAD_BYTES: usize = 1024;

impl Store {
    /// What is held of a space.
    pub(crate) fn frontier(&self, space: SpaceId) -> Result<Frontier> {
        self.with_state(|_, state| Ok(state.frontier(space)))
    }

    /// What is held of each of these spaces.
    pub(crate) fn frontiers(&self, spaces: &BTreeSet<SpaceId>) -> Result<BTreeMap<SpaceId, Frontier>> {
        self.with_state(|_, state| {
            let mut held: BTreeMap<_, Frontier> = spaces.iter().map(|space| (*space, Frontier::new())).collect();
            for log in state.registry.iter() {
                let head = state.claimed(log);
                if let Some(held) = held.get_mut(&log.space).filter(|_| head.seq > log.base().seq) {
                    held.advance(log.id, head);
                }
            }
            Ok(held)
        })
    }

    /// The id of a change of a space, if it is held. A peer that names a log of another space is told nothing of it.
    pub(crate) fn change_id(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Option<ChangeId>> {
        self.with_state(|conn, state| {
            let log = state.registry.number(log).and_then(|number| state.registry.get(number));
            let log = log.filter(|log| log.space == space && seq > log.base().seq && seq <= state.claimed(log).seq);
            let Some(log) = log else { return Ok(None) };
            Ok(Some(changes::head_at(conn, log, &state.secrets, seq)?.id))
        })
    }

    /// The log that this device writes to in a space, if it has begun one.
    pub(crate) fn own_log(&self, space: SpaceId) -> Result<Option<LogId>> {
        self.with_state(|_, state| Ok(state.own.of(space).map(|own| own.chain.log)))
    }
}

/// Signs the changes of the own logs that have not been exposed: all of them may leave now.
///
/// Runs in a transaction that is durable when it commits.
pub(super) fn expose(conn: &Connection, state: &mut State) -> Result<()> {
    let pending = state.own.iter().filter(|own| own.exposed.seq < own.chain.head.seq);
    for own in pending.copied().collect::<Vec<_>>() {
        let exposed = Own { exposed: sign(conn, state, &own)?, ..own };
        incarnation::note_sent(conn, &exposed)?;
        state.own.put(exposed);
    }
    Ok(())
}

/// Signs what has not been exposed of a log; returns its head.
fn sign(conn: &Connection, state: &State, own: &Own) -> Result<Head> {
    let Some(log) = state.registry.get(own.number) else { return Ok(own.exposed) };
    let keys = &state.secrets.opened()?.keys;
    let after = head_at(conn, log, &state.secrets, own.exposed.seq)?;
    let (mut slot, mut bytes) = (after.seq, 0);
    let head = changes::walk(conn, log, &state.secrets, after, log.head.seq, |stored| {
        let seq = stored.header.seq();
        bytes += stored.change.segments.iter().map(|sealed| sealed.len()).sum::<usize>();
        if seq == log.head.seq || seq - slot >= SIGNATURE_CHANGES_MAX || bytes >= SIGNATURE_BYTES_MAX {
            let signature = sign_change(keys.signing(), &stored.id);
            changes::insert_signature(conn, log.number, Head { seq, id: stored.id }, &signature)?;
            (slot, bytes) = (seq, 0);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if head != log.head {
        let reason = "the log doesn't end where it should".to_owned();
        return Err(StoreError::DamagedChange { log: log.id, seq: head.seq, reason }.into());
    }
    state.registry.save(conn, log.number)?;
    Ok(head)
}

/// Reads runs for a peer that holds `theirs`: about `bytes_max` of changes, at least one run if it
/// lacks anything, and what a change depends on before it.
pub(super) fn runs_after(
    conn: &Connection,
    registry: &Registry,
    secrets: &Secrets,
    space: SpaceId,
    held: &Seqs,
    bytes_max: usize,
) -> Result<Vec<Served>> {
    let (sent, entered) = (held.clone(), BTreeSet::new());
    let mut reader = RunReader { conn, registry, secrets, space, sent, entered, runs: Vec::new(), left: bytes_max };
    for log in registry.iter().filter(|log| log.space == space) {
        reader.entered.clear();
        reader.read_log(log.id, log.head.seq)?;
    }
    Ok(reader.runs)
}

struct RunReader<'a> {
    conn: &'a Connection,
    registry: &'a Registry,
    secrets: &'a Secrets,
    space: SpaceId,
    /// What the peer holds or is being sent, per log.
    sent: Seqs,
    /// The logs on the way down to a dependency: deps within one run of two logs may be mutual.
    entered: BTreeSet<LogId>,
    runs: Vec<Served>,
    left: usize,
}

/// A run, and the changes of other logs that it builds on.
struct ReadRun {
    served: Served,
    deps: Vec<(LogId, u64)>,
}

impl RunReader<'_> {
    /// Reads what is missing of a log up to `last_seq`.
    fn read_log(&mut self, id: LogId, last_seq: u64) -> Result<()> {
        let log = self.registry.number(id).and_then(|number| self.registry.get(number));
        // Whoever wrote a change may have named the log of another space in it: the peer need not be in that one.
        let Some(log) = log.filter(|log| log.space == self.space) else { return Ok(()) };
        if !self.entered.insert(id) {
            return Ok(());
        }
        if let Some((branch, parent)) = self.parent(log) {
            self.read_log(parent.id, branch.base.seq)?;
        }
        while self.left > 0 && self.sent.get(&id).copied().unwrap_or(0) < last_seq.min(log.head.seq) {
            let first_seq = self.held_before(log) + 1;
            let Some(ReadRun { served, deps }) = self.read_run(log, first_seq)? else { break };
            for (dep, seq) in deps {
                self.read_log(dep, seq)?;
            }
            let bytes: usize = served.run.changes.iter().map(|change| change.len() + 3).sum();
            self.left = self.left.saturating_sub(bytes + RUN_OVERHEAD_BYTES);
            self.sent.insert(id, served.head.seq);
            self.runs.push(served);
        }
        self.entered.remove(&id);
        Ok(())
    }

    /// Of a branch, where it begins and what it goes on from.
    fn parent(&self, log: &LogRow) -> Option<(Branch, &LogRow)> {
        let branch = log.branch?;
        Some((branch, self.registry.get(branch.parent)?))
    }

    /// The last change that the peer holds on the way to what it lacks of a log. Where that took two ways, what is
    /// before them may have been signed on either only: then it goes along.
    fn held_before(&self, log: &LogRow) -> u64 {
        let held = self.sent.get(&log.id).copied().unwrap_or(0);
        match self.parent(log) {
            Some((branch, parent)) if held <= branch.base.seq => self.held_before(parent).min(branch.base.seq),
            _ => held,
        }
    }

    /// The changes of a log from one on, with those before a branch.
    fn packed_from(&self, log: &LogRow, first_seq: u64, packed: &mut Vec<Vec<u8>>) -> Result<(), StoreError> {
        let Some((branch, parent)) = self.parent(log).filter(|(branch, _)| first_seq <= branch.base.seq) else {
            return Ok(());
        };
        self.packed_from(parent, first_seq, packed)?;
        let mut select = self
            .conn
            .prepare_cached("SELECT change FROM cfost_changes WHERE position BETWEEN ?1 AND ?2 ORDER BY position")?;
        let range = (position(parent.number, first_seq), position(parent.number, branch.base.seq));
        let mut rows = select.query(range)?;
        while let Some(row) = rows.next()? {
            packed.push(row.get(0)?);
        }
        Ok(())
    }

    /// The next run of a log; `None` if no signed change follows.
    fn read_run(&self, log: &LogRow, first_seq: u64) -> Result<Option<ReadRun>> {
        let budget = self.left.min(RUN_BYTES_MAX - RUN_OVERHEAD_BYTES);
        let mut signed = self.conn.prepare_cached(
            "SELECT position, id, signature FROM cfost_signatures WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
        )?;
        let range = (position(log.number, first_seq), position(log.number, SEQ_MAX));
        let mut signatures = signed.query(range)?;
        let mut select = self
            .conn
            .prepare_cached("SELECT change FROM cfost_changes WHERE position BETWEEN ?1 AND ?2 ORDER BY position")?;
        let mut rows = select.query(range)?;
        let mut changes: Vec<Vec<u8>> = Vec::new();
        self.packed_from(log, first_seq, &mut changes)?;
        let mut bytes = changes.iter().map(|change| change.len() + 3).sum::<usize>();
        let mut last = None;
        // From signature to signature, while the changes up to the next one fit.
        while let Some(row) = signatures.next()? {
            let seq = seq_of(row.get(0)?);
            while first_seq + (changes.len() as u64) <= seq {
                let Some(row) = rows.next()? else { break };
                let change: Vec<u8> = row.get(0)?;
                bytes += change.len() + 3;
                changes.push(change);
            }
            let fits = bytes <= budget && changes.len() <= RUN_CHANGES_MAX;
            if fits || last.is_none() {
                last = Some((Head { seq, id: ChangeId::from_bytes(row.get(1)?) }, row.get(2)?, changes.len()));
            }
            if !fits {
                break;
            }
        }
        let Some((head, signature, count)) = last else { return Ok(None) };
        changes.truncate(count);
        let (mut epochs, mut deps) = (BTreeSet::new(), Vec::new());
        for change in &changes {
            let change = PackedChange::decode(change)?;
            epochs.insert(change.epoch);
            deps.extend(change.deps.iter().map(|dep| (dep.log, dep.head.seq)));
        }
        let epochs = epochs.into_iter().filter_map(|epoch| Some((epoch, self.secrets.commitment(log.space, epoch)?)));
        let run = Run {
            space: log.space,
            log: log.id,
            origin: log.branch.map(|branch| branch.origin),
            author: log.author,
            first_seq,
            epochs: epochs.collect(),
            changes,
            signatures: vec![(head.seq, signature)],
        };
        Ok(Some(ReadRun { served: Served { run, head }, deps }))
    }
}

/// Takes runs in: checks them, keeps them, and shows what can be shown. A run that is refused leaves
/// nothing behind.
pub(super) fn take_in(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    runs: &[Run],
) -> Result<Applied> {
    let now_ms = host.now_ms();
    let mut applier = Applier::new(conn, conn, tables, now_ms);
    let mut applied = Applied::default();
    for run in runs {
        if let Err(why) = take_in_run(conn, tables, state, host, &mut applier, run, &mut applied)? {
            applied.refused.push(Refused { space: run.space, log: run.log, why });
        }
    }
    applier.settle(&mut context(state))?;
    state.touched.merge(applier.take_touched());
    applied.ops = applier.finish()?;
    standing::cut(conn, tables, state)?;
    if runs.iter().any(|run| DeviceId::of_key(&run.author) == state.secrets.device) {
        applied.copied = copies::find(conn, state)?;
    }
    applied.too_new = waiting::too_new(conn, state, runs, now_ms)?;
    for log in state.registry.iter() {
        state.hlc.observe(log.last_at, now_ms);
    }
    Ok(applied)
}

fn take_in_run(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    applier: &mut Applier<'_>,
    run: &Run,
    applied: &mut Applied,
) -> Result<Result<(), Refusal>> {
    if !is_author(&state.secrets, run) {
        return Ok(Err(Refusal::Author));
    }
    if run.last_seq() > SEQ_MAX {
        return Ok(Err(Refusal::Bounded));
    }
    let held = state.registry.number(run.log).and_then(|number| state.registry.get(number)).cloned();
    if branches::concerns(&state.registry, run, held.as_ref()) {
        return branches::take_in_run(conn, tables, state, host, applier, run, applied);
    }
    if let Some(log) = &held
        && let Some(signed) = state.unsettled(log.number)
    {
        return fork::take_in_run(conn, tables, state, host, applier, (run, log, signed), applied);
    }
    let head = held.as_ref().map_or(Head::NONE, |log| log.head);
    let mut chain = match &held {
        Some(log) => log.chain(head),
        None => Chain::new(run.space, run.author, run.log),
    };
    let known = usize::try_from((head.seq + 1).saturating_sub(run.first_seq)).unwrap_or(usize::MAX);
    if let Some(log) = held.as_ref().filter(|_| known >= run.changes.len()) {
        if !branches::holds_last(conn, log, run)? {
            return branches::take_in_run(conn, tables, state, host, applier, run, applied);
        }
        applied.heads.entry(run.space).or_default().advance(run.log, head);
        return Ok(Ok(()));
    }
    let rest = &*without_known(run, known);
    let verified = match rest.verify(&mut chain) {
        Ok(verified) => verified,
        Err(error) => match refusal(error, rest, head) {
            Refusal::Forked => return branches::take_in_run(conn, tables, state, host, applier, run, applied),
            why => return Ok(Err(why)),
        },
    };
    if let Err(why) = learn_commitments(conn, state, rest)? {
        return Ok(Err(why));
    }
    let number = match held {
        Some(log) => log.number,
        None => state.registry.start(conn, run.log, run.space, run.author)?,
    };
    let applied_seq = state.registry.get(number).map_or(0, |log| log.applied_seq);
    counted::note_limit(conn, &mut state.registry, &state.secrets, number, applied_seq)?;
    keep(conn, state, applier, rest, &verified, number)?;
    applied.changes += verified.len() as u64;
    applied.heads.entry(run.space).or_default().advance(run.log, chain.head);
    Ok(Ok(()))
}

/// Whether a run is by a device of somebody who is in its space, or was. Also of one that is a device no more: what
/// doesn't count is kept and relayed all the same.
fn is_author(secrets: &Secrets, run: &Run) -> bool {
    let device = DeviceId::of_key(&run.author);
    let is_of = |identity: &IdentityLog| identity.known_device(device).is_some();
    if run.space == secrets.home() {
        return is_of(secrets.identity());
    }
    let members = secrets.members(run.space);
    members
        .is_some_and(|members| members.named().any(|(user, _)| secrets.users.get(user).is_some_and(|log| is_of(log))))
}

/// Keeps the commitments to the keys of a verified run; none may contradict one that is known. In a space that several
/// users are in they are those that its members log says: nobody's word on another's epoch is taken.
pub(super) fn learn_commitments(conn: &Connection, state: &mut State, run: &Run) -> Result<Result<(), Refusal>> {
    if run.space != state.secrets.home() {
        let members = state.secrets.members(run.space);
        let begun = |epoch| members.as_ref().and_then(|members| members.commitment(epoch));
        if run.epochs.iter().any(|(epoch, commitment)| begun(*epoch) != Some(*commitment)) {
            return Ok(Err(Refusal::Author));
        }
    }
    for (epoch, commitment) in &run.epochs {
        if state.secrets.commitment(run.space, *epoch).is_some_and(|known| known != *commitment) {
            let wrong = OplogError::WrongKey { log: run.log, seq: run.first_seq, epoch: *epoch };
            return Ok(Err(Refusal::Invalid(wrong)));
        }
    }
    for (epoch, commitment) in &run.epochs {
        state.secrets.learn_commitment(conn, run.space, *epoch, *commitment)?;
    }
    Ok(Ok(()))
}

/// Applies what waited in any log; says whether any of it need not wait any more.
pub(super) fn apply_waiting(conn: &Connection, tables: &[Table], state: &mut State, now_ms: u64) -> Result<bool> {
    let waiting = state.registry.iter().filter(|log| log.applied_seq < log.countable_seq());
    let numbers: Vec<u32> = waiting.map(|log| log.number).collect();
    let mut applier = Applier::new(conn, conn, tables, now_ms);
    let mut moved = false;
    for number in numbers {
        let before = state.registry.get(number).map(|log| log.applied_seq);
        applier.apply_log(&mut context(state), number)?;
        if before != state.registry.get(number).map(|log| log.applied_seq) {
            state.registry.save(conn, number)?;
            moved = true;
        }
    }
    applier.settle(&mut context(state))?;
    state.touched.merge(applier.take_touched());
    applier.finish()?;
    for log in state.registry.iter() {
        state.hlc.observe(log.last_at, now_ms);
    }
    if moved {
        state.note_uncited();
    }
    Ok(moved)
}

/// What a failed check says of a run: one that doesn't continue what is held, though it begins right
/// after it and was signed, was written on another branch.
pub(super) fn refusal(error: OplogError, run: &Run, held: Head) -> Refusal {
    match error {
        OplogError::Gap { .. } => Refusal::Gap,
        OplogError::BadSignature { .. } if held.seq > 0 && run.first_seq == held.seq + 1 => Refusal::Forked,
        error => Refusal::Invalid(error),
    }
}

/// Keeps verified changes, and shows what can be shown of them.
pub(super) fn keep(
    conn: &Connection,
    state: &mut State,
    applier: &mut Applier<'_>,
    run: &Run,
    verified: &[VerifiedChange<'_>],
    number: u32,
) -> Result<()> {
    // Whether what an end names is the change that is held in its place is only known once that is held.
    let limited = state.registry.get(number).is_some_and(|log| counted::is_limited(&state.secrets, log, run));
    let in_step = |log: &LogRow| log.applied_seq == log.head.seq;
    let mut ready = !limited && state.registry.get(number).is_some_and(in_step);
    for change in verified {
        changes::insert(conn, number, change.header.seq(), change.packed)?;
        if ready {
            let stored = StoredChange { header: &change.header, id: change.id, change: &change.change };
            ready = applier.apply_next(&stored, &mut context(state), number)? == Readiness::Ready;
        }
        #[cfg(feature = "text")]
        if limited {
            let stored = StoredChange { header: &change.header, id: change.id, change: &change.change };
            applier.note_passed_over(&stored, &mut context(state));
        }
    }
    keep_signatures(conn, run, verified, number)?;
    if let (Some(log), Some(last)) = (state.registry.get_mut(number), verified.last()) {
        log.head = Head { seq: last.header.seq(), id: last.id };
    }
    if limited {
        counted::note_limit(conn, &mut state.registry, &state.secrets, number, 0)?;
    }
    // Parts of a group whose end is still to come need no look: a large one comes in many runs.
    if !ready && verified.iter().any(|change| !change.header.flags().continues()) {
        applier.apply_log(&mut context(state), number)?;
    }
    state.uncited.insert(run.space);
    state.registry.save(conn, number)?;
    Ok(())
}

/// Keeps the signatures of a run that are over `verified` changes.
pub(super) fn keep_signatures(
    conn: &Connection,
    run: &Run,
    verified: &[VerifiedChange<'_>],
    number: u32,
) -> Result<(), StoreError> {
    for (seq, signature) in &run.signatures {
        if let Some(change) = verified.iter().find(|change| change.header.seq() == *seq) {
            changes::insert_signature(conn, number, Head { seq: *seq, id: change.id }, signature)?;
        }
    }
    Ok(())
}

/// A run without its first changes, which are held already: the rest must continue them, and its signature
/// covers both.
pub(super) fn without_known(run: &Run, known: usize) -> Cow<'_, Run> {
    if known == 0 {
        return Cow::Borrowed(run);
    }
    let (first_seq, changes) = (run.first_seq + known as u64, run.changes[known..].to_vec());
    let signatures = run.signatures.iter().filter(|(seq, _)| *seq >= first_seq).copied().collect();
    Cow::Owned(Run { first_seq, changes, signatures, epochs: run.epochs.clone(), ..*run })
}

pub(super) fn context(state: &mut State) -> Context<'_> {
    Context {
        registry: &mut state.registry,
        hidden: &mut state.hidden,
        #[cfg(feature = "text")]
        texts: &mut state.texts,
        secrets: &state.secrets,
    }
}
