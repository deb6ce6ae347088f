//! Changes out: what the peer asked for, as many at a time as it acknowledges.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use super::super::limits::{
    BRANCHES_VERSION, FRAME_BYTES_MAX, HEADS_MAX, LOGS_SKIPPED_MAX, OPS_FRAME_BYTES_TARGET, ROUNDS_FUTILE_MAX,
    TURN_BYTES_MAX, WINDOW_BYTES_MAX, WINDOW_FRAMES_MAX,
};
use super::super::message::{Heads, ITEM_HEAD_BYTES, Message, SEND_OPS_HEAD_BYTES, digest_of};
use super::super::{Refusal, Replica, Served, SyncError};
use super::{Event, OrFail, Session, Tally};
use crate::oplog::{Frontier, Head, LogId, SpaceId};

/// What the peer has asked for and been sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The number of the peer's last whole request.
    round: u32,
    /// The parts so far of a request that comes in several frames.
    parts: Heads,
    parts_size: usize,
    /// Requests in a row that told nothing new.
    rounds_futile: u32,
    /// The space served last: the next one is served next.
    served_last: Option<SpaceId>,
    pub(super) window: Window,
    /// Sent since both sides were level.
    pub(super) tally: Tally,
}

impl Outgoing {
    /// Whether the peer has said what it holds.
    pub(super) fn was_asked(&self) -> bool {
        self.round > 0
    }

    /// Whether everything sent is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.window.frames.is_empty()
    }
}

/// Frames with changes that are sent and not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Window {
    frames: VecDeque<usize>,
    bytes: usize,
    acknowledged: u64,
}

impl Window {
    /// The bytes of these frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more frame of any size may be sent.
    fn has_room(&self) -> bool {
        self.frames.len() < WINDOW_FRAMES_MAX && self.bytes + FRAME_BYTES_MAX <= WINDOW_BYTES_MAX
    }

    fn sent(&mut self, bytes: usize) {
        self.frames.push_back(bytes);
        self.bytes += bytes;
        debug_assert!(self.bytes <= WINDOW_BYTES_MAX && self.frames.len() <= WINDOW_FRAMES_MAX);
    }

    /// The peer has dealt with `frames` frames since the session began.
    fn acknowledged(&mut self, frames: u64) -> Result<(), SyncError> {
        let more = frames.saturating_sub(self.acknowledged);
        if more == 0 || more > self.frames.len() as u64 {
            return Err(SyncError::Unexpected {
                message: "Ack",
                why: "it was not sent so many frames, or said so before",
            });
        }
        self.bytes -= self.frames.drain(..more as usize).sum::<usize>();
        self.acknowledged = frames;
        Ok(())
    }
}

impl Session {
    /// The peer tells what it holds, perhaps over several frames, and asks for the rest.
    pub(super) fn ops_asked(
        &mut self,
        replica: &dyn Replica,
        round: u32,
        more: bool,
        spaces: Heads,
    ) -> Result<(), SyncError> {
        let unexpected = |why| SyncError::Unexpected { message: "RequestOps", why };
        if round.checked_sub(1) != Some(self.outgoing.round) {
            return Err(unexpected("its number does not follow the last one"));
        }
        if more && spaces.is_empty() {
            return Err(unexpected("it is a part without content"));
        }
        self.outgoing.parts_size += spaces.values().map(|frontier| 1 + frontier.len()).sum::<usize>();
        if self.outgoing.parts_size > HEADS_MAX {
            return Err(unexpected("it names too many logs"));
        }
        for (space, frontier) in spaces {
            self.outgoing.parts.entry(space).or_default().merge(&frontier);
        }
        if more {
            return Ok(());
        }
        self.outgoing.round = round;
        self.outgoing.parts_size = 0;
        let request = std::mem::take(&mut self.outgoing.parts);
        self.count_futile_request(&request)?;
        for (space, frontier) in request {
            if self.spaces.contains_key(&space) {
                self.space_asked(replica, space, &frontier)?;
            } else {
                // Nothing is said about a space that the peer does not share; it may come to.
                self.unshared.insert(space, frontier);
            }
        }
        let unshared: usize = self.unshared.values().map(|frontier| 1 + frontier.len()).sum();
        if unshared > HEADS_MAX { Err(unexpected("it names too many logs of other spaces")) } else { Ok(()) }
    }

    fn count_futile_request(&mut self, request: &Heads) -> Result<(), SyncError> {
        let mut futile = false;
        for (space, frontier) in request {
            let digest = digest_of(&Heads::from([(*space, frontier.clone())]));
            if let Some(shared) = self.spaces.get_mut(space) {
                futile |= shared.peer_asked.replace(digest) == Some(digest);
            }
        }
        self.outgoing.rounds_futile = if futile { self.outgoing.rounds_futile + 1 } else { 0 };
        if self.outgoing.rounds_futile > ROUNDS_FUTILE_MAX {
            return Err(SyncError::NoProgress { rounds: self.outgoing.rounds_futile });
        }
        Ok(())
    }

    /// The peer tells what it holds of a space that it shares: it is compared with what is held here.
    pub(super) fn space_asked(
        &mut self,
        replica: &dyn Replica,
        space: SpaceId,
        theirs: &Frontier,
    ) -> Result<(), SyncError> {
        let ours = replica.frontier(space).or_fail("read a frontier")?;
        let own = replica.own_log(space).or_fail("look up this device's log")?;
        for (log, theirs) in theirs.iter() {
            if self.spaces.get(&space).is_some_and(|shared| shared.skipped.contains(&log)) {
                continue;
            }
            let held = ours.head(log);
            let other = other_change(replica, space, log, held, theirs)?;
            if own == Some(log) && (theirs.seq > held.seq || other.is_some()) {
                self.own_log_is_behind(replica, space, log, theirs)?;
            }
            let is_split = || replica.is_split(space, log).or_fail("look up a log");
            if let Some(other) = other {
                self.part(replica, space, log, other)?;
            } else if theirs.seq > held.seq && is_split()? {
                // It isn't known which of the ways it took there.
                self.part(replica, space, log, held)?;
            } else if let Some(shared) = self.spaces.get_mut(&space) {
                shared.compare(log, held.seq, theirs.seq);
            }
        }
        if let Some(shared) = self.spaces.get_mut(&space) {
            shared.peer_told(theirs);
        }
        Ok(())
    }

    /// A log took two ways, one of which is here and one there. Both sides tell what they hold at its end, one before
    /// that, three, seven and so on: so each finds a change that is the same, and sends what follows it. Its replica
    /// makes branches of that.
    fn part(&mut self, replica: &dyn Replica, space: SpaceId, log: LogId, from: Head) -> Result<(), SyncError> {
        let parted: usize = self.spaces.values().map(|shared| shared.parted.len()).sum();
        if self.version < BRANCHES_VERSION || parted >= LOGS_SKIPPED_MAX {
            self.send(&Message::Fork { space, log, head: from });
            return self.skip_log(space, log, Refusal::Forked);
        }
        let Some(shared) = self.spaces.get_mut(&space) else { return Ok(()) };
        if shared.parted.contains_key(&log) {
            return Ok(());
        }
        shared.parted.insert(log, None);
        let (mut seq, mut back) = (from.seq, 1);
        while seq > 0 {
            if let Some(id) = replica.change_id(space, log, seq).or_fail("look up a change")? {
                self.send(&Message::Fork { space, log, head: Head { seq, id } });
            }
            // The first one ends it, whatever it is.
            seq = if seq == 1 { 0 } else { seq.saturating_sub(back).max(1) };
            back *= 2;
        }
        if from.seq == 0
            && let Some(shared) = self.spaces.get_mut(&space)
        {
            shared.part_after(log, 0);
        }
        Ok(())
    }

    /// The peer has another change in a log than it was told of.
    pub(super) fn fork_told(
        &mut self,
        replica: &dyn Replica,
        space: SpaceId,
        log: LogId,
        theirs: Head,
    ) -> Result<(), SyncError> {
        let shared = self.spaces.get(&space).is_some_and(|shared| !shared.skipped.contains(&log));
        if !shared {
            return Ok(());
        }
        let held = replica.frontier(space).or_fail("read a frontier")?.head(log);
        if theirs.seq > held.seq {
            // What they differ in was given up meanwhile, or is in branches already: what comes before it tells.
            return self.part(replica, space, log, held);
        }
        let other = other_change(replica, space, log, held, theirs)?;
        if other.is_some() && replica.own_log(space).or_fail("look up this device's log")? == Some(log) {
            self.own_log_is_behind(replica, space, log, theirs)?;
        }
        self.part(replica, space, log, Head { seq: theirs.seq, ..held })?;
        if let Some(shared) = self.spaces.get_mut(&space) {
            match other {
                None => shared.part_after(log, theirs.seq),
                Some(_) if theirs.seq == 1 => shared.part_after(log, 0),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// A peer that knows more of this device's own log than this device does, or other changes in it,
    /// has met this database before it was restored from an old copy, or has met its copy.
    fn own_log_is_behind(
        &mut self,
        replica: &dyn Replica,
        space: SpaceId,
        log: LogId,
        theirs: Head,
    ) -> Result<(), SyncError> {
        replica.own_log_is_behind(space, log, theirs).or_fail("start a new log")?;
        self.output.events.push(Event::OwnLogBehind { space, log });
        Ok(())
    }

    /// There may be changes that were not there before.
    pub(super) fn look_for_changes(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let wanted = self.spaces.iter().filter(|(_, shared)| shared.wanted && !shared.dirty);
        let wanted: BTreeSet<SpaceId> = wanted.map(|(space, _)| *space).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        for (space, ours) in replica.frontiers(&wanted).or_fail("read frontiers")? {
            if let Some(shared) = self.spaces.get_mut(&space) {
                shared.dirty = shared.lacks(&ours);
            }
        }
        Ok(())
    }

    /// Whether there is anything to send that the window has room for.
    pub(super) fn can_send(&self) -> bool {
        self.entries.are_told()
            && self.outgoing.window.has_room()
            && self.spaces.values().any(|shared| shared.dirty && !shared.is_parting())
    }

    /// Sends changes: a turn's worth, as far as the window goes.
    pub(super) fn send_ops(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let mut bytes = 0;
        while self.can_send() && bytes < TURN_BYTES_MAX {
            let Some(space) = self.next_space() else { break };
            let Some(shared) = self.spaces.get_mut(&space) else { break };
            let served =
                replica.runs_after(space, &shared.held, OPS_FRAME_BYTES_TARGET).or_fail("read changes for the peer")?;
            if served.is_empty() {
                shared.dirty = false;
            } else {
                // Looked at after the changes were read: who wrote them was learned before they were.
                self.entries_changed(replica)?;
                // Who is in no space any more gets none of its changes, from that moment on.
                if self.spaces.contains_key(&space) {
                    bytes += self.send_runs(space, &served)?;
                }
            }
            self.outgoing.served_last = Some(space);
        }
        Ok(())
    }

    /// The next space in which there may be something to send, each in turn.
    fn next_space(&self) -> Option<SpaceId> {
        let dirty = || self.spaces.iter().filter(|(_, shared)| shared.dirty && !shared.is_parting());
        let dirty = || dirty().map(|(space, _)| *space);
        dirty().find(|space| self.outgoing.served_last.is_none_or(|last| *space > last)).or_else(|| dirty().next())
    }

    /// Sends runs of a space in one frame; what has no room in it is read anew for the next.
    fn send_runs(&mut self, space: SpaceId, served: &[Served]) -> Result<usize, SyncError> {
        const ROOM: usize = FRAME_BYTES_MAX - 1 - SEND_OPS_HEAD_BYTES;
        let mut encoded = Vec::with_capacity(served.len());
        let mut bytes = 0;
        for Served { run, head } in served {
            let mut run_bytes = run.encode();
            if run.origin.is_some() && self.version < BRANCHES_VERSION {
                // The peer leaves the log out, and says that its app has to be updated.
                run_bytes.truncate(RUN_NAMES_BYTES);
            }
            bytes += ITEM_HEAD_BYTES + run_bytes.len();
            if bytes > ROOM {
                break;
            }
            encoded.push(run_bytes);
            self.outgoing.tally.changes += run.changes.len() as u64;
            if let Some(shared) = self.spaces.get_mut(&space) {
                shared.peer_holds(run.log, head.seq);
            }
        }
        if encoded.is_empty() {
            return Err(SyncError::TooLargeToSend { what: "run of changes", bytes, max: ROOM });
        }
        let runs = encoded.iter().map(Vec::as_slice).collect();
        let sent = self.send(&Message::SendOps { round: self.outgoing.round, runs });
        self.outgoing.window.sent(sent);
        self.outgoing.tally.bytes += sent as u64;
        Ok(sent)
    }

    /// The peer says that changes are durable there.
    pub(super) fn acknowledged(&mut self, frames: u64, heads: Heads) -> Result<(), SyncError> {
        self.outgoing.window.acknowledged(frames)?;
        if heads.keys().any(|space| !self.spaces.contains_key(space) && !self.ended.contains_key(space)) {
            return Err(SyncError::Unexpected { message: "Ack", why: "it names a space that was not sent" });
        }
        if let Some(device) = self.peer {
            self.output.events.push(Event::Acknowledged { device, heads });
        }
        Ok(())
    }
}

/// The bytes that a run of any version begins with: version, space and log.
const RUN_NAMES_BYTES: usize = 1 + 16 + 16;

/// The change that is held here in the place of `theirs`, if it is another one; `ours` is the log's head.
fn other_change(
    replica: &dyn Replica,
    space: SpaceId,
    log: LogId,
    ours: Head,
    theirs: Head,
) -> Result<Option<Head>, SyncError> {
    let held = match theirs.seq.cmp(&ours.seq) {
        Ordering::Equal => Some(ours.id),
        Ordering::Less => replica.change_id(space, log, theirs.seq).or_fail("look up a change")?,
        Ordering::Greater => None,
    };
    Ok(held.filter(|id| *id != theirs.id).map(|id| Head { seq: theirs.seq, id }))
}
