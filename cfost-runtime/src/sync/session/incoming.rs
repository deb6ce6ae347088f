//! Changes in: asking for them, applying them, telling that they are durable.

use std::collections::BTreeSet;

use super::super::limits::{
    APPLY_BYTES_MAX, APPLY_RUNS_MAX, LOGS_SKIPPED_MAX, ROUNDS_FUTILE_MAX, WINDOW_BYTES_MAX, WINDOW_FRAMES_MAX,
};
use super::super::message::{Heads, Message, digest_of, put_request};
use super::super::{Applied, Refusal, Refused, Replica, SyncError};
use super::{Event, OrFail, Session, Tally};
use crate::oplog::{LogId, OplogError, Run, SpaceId};

/// What this side has asked for and received.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// How often this side has asked. Frames of changes carry the round that they answer: what was
    /// already on its way when this side asked anew is told apart so.
    round: u32,
    /// The peer's `Hello` made asking needless.
    equal: bool,
    /// Rounds in a row that brought nothing.
    rounds_futile: u32,
    /// Frames dealt with since the session began.
    frames: u64,
    /// Runs that arrived and are not applied yet, with what is known of each.
    runs: Vec<Run>,
    arrived: Vec<Arrived>,
    bytes: usize,
    frames_arrived: u64,
    /// Bytes and frames in a row that brought nothing new.
    bytes_futile: usize,
    frames_futile: usize,
    /// Received since both sides were level.
    pub(super) tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    space: SpaceId,
    log: LogId,
    last_seq: u64,
    round: u32,
    /// Whether it is of a branch.
    branch: bool,
}

impl Incoming {
    /// Whether there has been a request.
    pub(super) fn has_asked(&self) -> bool {
        self.round > 0
    }

    /// Whether both sides held the same when they greeted.
    pub(super) fn is_equal(&self) -> bool {
        self.equal
    }

    /// The peer knows what is held here without being told.
    pub(super) fn needs_no_asking(&mut self) {
        self.equal = true;
    }
}

impl Session {
    /// Asks for everything in `spaces` beyond what is held.
    pub(super) fn request(&mut self, replica: &dyn Replica, spaces: &BTreeSet<SpaceId>) -> Result<(), SyncError> {
        let mut heads = Heads::new();
        let mut futile = false;
        let round = self.incoming.round.saturating_add(1);
        for space in spaces {
            let Some(shared) = self.spaces.get_mut(space) else { continue };
            let held = Heads::from([(*space, replica.frontier(*space).or_fail("read a frontier")?)]);
            let digest = digest_of(&held);
            futile |= shared.asked.replace((round, digest)).is_some_and(|(_, before)| before == digest);
            heads.extend(held);
        }
        self.incoming.rounds_futile = if futile { self.incoming.rounds_futile + 1 } else { 0 };
        if self.incoming.rounds_futile >= ROUNDS_FUTILE_MAX {
            return Err(SyncError::NoProgress { rounds: self.incoming.rounds_futile });
        }
        self.incoming.round = round;
        self.incoming.bytes_futile = 0;
        self.incoming.frames_futile = 0;
        self.liveness.progressed();
        put_request(&mut self.output.bytes, round, &heads);
        Ok(())
    }

    /// The peer sends runs: they are collected, and applied together.
    pub(super) fn ops_told(
        &mut self,
        replica: &dyn Replica,
        bytes: usize,
        round: u32,
        runs: &[&[u8]],
    ) -> Result<(), SyncError> {
        if round > self.incoming.round || (round == 0 && !self.incoming.equal) {
            return Err(SyncError::Unexpected { message: "SendOps", why: "it answers a request never made" });
        }
        self.incoming.frames_arrived += 1;
        self.incoming.bytes += bytes;
        self.incoming.tally.bytes += bytes as u64;
        for bytes in runs {
            let run = match Run::decode(bytes) {
                Err(newer @ OplogError::Newer { .. }) => {
                    self.newer_run(bytes, newer)?;
                    continue;
                }
                run => run.map_err(|source| SyncError::Malformed { source })?,
            };
            let Some(shared) = self.spaces.get(&run.space) else {
                self.check_ended(run.space)?;
                continue;
            };
            if !shared.skipped.contains(&run.log) {
                self.incoming.arrived.push(Arrived {
                    space: run.space,
                    log: run.log,
                    last_seq: run.last_seq(),
                    round,
                    branch: run.origin.is_some(),
                });
                self.incoming.runs.push(run);
            }
        }
        if self.incoming.bytes >= APPLY_BYTES_MAX || self.incoming.runs.len() >= APPLY_RUNS_MAX {
            return self.apply(replica);
        }
        Ok(())
    }

    /// A run that only a newer build can verify: its log is left out.
    fn newer_run(&mut self, bytes: &[u8], newer: OplogError) -> Result<(), SyncError> {
        let (space, log) = Run::names(bytes).map_err(|source| SyncError::Malformed { source })?;
        if !self.spaces.contains_key(&space) {
            return self.check_ended(space);
        }
        self.skip_log(space, log, Refusal::Newer(newer))
    }

    /// Changes of a space that was shared until just now may be on their way still: they are dropped.
    fn check_ended(&self, space: SpaceId) -> Result<(), SyncError> {
        if self.ended.contains_key(&space) { Ok(()) } else { Err(SyncError::ForeignSpace { space }) }
    }

    /// Applies what has arrived, and acknowledges it.
    pub(super) fn apply(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        if self.incoming.frames_arrived == 0 {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.incoming.runs);
        let arrived = std::mem::take(&mut self.incoming.arrived);
        let bytes = std::mem::take(&mut self.incoming.bytes);
        let frames = std::mem::take(&mut self.incoming.frames_arrived);
        let applied = match runs.is_empty() {
            true => Applied::default(),
            false => replica.apply(runs).or_fail("apply changes from the peer")?,
        };
        self.incoming.frames += frames;
        self.note_arrived(&applied, &arrived);
        if arrived.iter().any(|run| run.branch) {
            // With it came changes that go by other names.
            self.catch_up_elsewhere(replica)?;
        }
        self.output.events.extend(applied.copied.map(Event::Copied));
        for (space, log, why) in applied.too_new {
            self.note_too_new(space, log, why);
        }
        let mut again = self.note_refused(applied.refused, &arrived)?;
        if applied.changes > 0 {
            self.note_progress(applied.changes, applied.ops);
        } else if arrived.iter().all(|run| self.is_current(run)) {
            again.extend(self.note_futile(bytes, frames, &arrived));
        }
        self.send(&Message::Ack { frames: self.incoming.frames, heads: applied.heads });
        if again.is_empty() { Ok(()) } else { self.request(replica, &again) }
    }

    fn note_arrived(&mut self, applied: &Applied, arrived: &[Arrived]) {
        for run in arrived {
            let Some(shared) = self.spaces.get_mut(&run.space) else { continue };
            let ours = applied.heads.get(&run.space).map_or(0, |heads| heads.head(run.log).seq);
            // Of a log that took two ways it holds its own.
            if !shared.parted.contains_key(&run.log) {
                shared.peer_holds(run.log, run.last_seq);
            }
            shared.compare(run.log, ours, run.last_seq);
        }
    }

    /// Tells, once a session, that changes of a log are kept and can't be shown before an update.
    fn note_too_new(&mut self, space: SpaceId, log: LogId, why: OplogError) {
        if self.spaces.get_mut(&space).is_some_and(|shared| shared.too_new.insert(log)) {
            self.output.events.push(Event::LogWaits { space, log, why });
        }
    }

    /// Sorts out what could not be applied, and returns the spaces to ask for anew.
    fn note_refused(&mut self, refused: Vec<Refused>, arrived: &[Arrived]) -> Result<BTreeSet<SpaceId>, SyncError> {
        let mut again = BTreeSet::new();
        for Refused { space, log, why } in refused {
            match why {
                Refusal::Invalid(source) => return Err(SyncError::BadChanges { log, source }),
                Refusal::Gap => {
                    // A gap in what was on its way before the last request is what that request was for.
                    let mut runs = arrived.iter().filter(|run| (run.space, run.log) == (space, log));
                    if runs.any(|run| self.is_current(run)) {
                        again.insert(space);
                    }
                }
                Refusal::Author | Refusal::Forked | Refusal::Bounded | Refusal::Newer(_) => {
                    self.skip_log(space, log, why)?;
                }
            }
        }
        Ok(again)
    }

    /// Goes on without `log`.
    pub(super) fn skip_log(&mut self, space: SpaceId, log: LogId, why: Refusal) -> Result<(), SyncError> {
        let skipped: usize = self.spaces.values().map(|shared| shared.skipped.len()).sum();
        if skipped >= LOGS_SKIPPED_MAX {
            return Err(SyncError::Unexpected {
                message: "SendOps",
                why: "too many of its logs can't be applied here",
            });
        }
        if let Some(shared) = self.spaces.get_mut(&space)
            && !shared.skipped.contains(&log)
        {
            shared.skip(log);
            self.output.events.push(Event::LogSkipped { space, log, why });
        }
        Ok(())
    }

    fn note_progress(&mut self, changes: u64, ops: u64) {
        self.liveness.progressed();
        self.incoming.tally.changes += changes;
        self.incoming.tally.ops += ops;
        self.incoming.bytes_futile = 0;
        self.incoming.frames_futile = 0;
        self.settled = false;
        if let Some(device) = self.peer {
            self.output.events.push(Event::Applied { device, changes, ops });
        }
    }

    /// Counts frames that brought nothing new. After a window of them, which another session may well
    /// have made needless, the peer is told anew what is held here, so that it skips the rest.
    fn note_futile(&mut self, bytes: usize, frames: u64, arrived: &[Arrived]) -> BTreeSet<SpaceId> {
        self.incoming.bytes_futile += bytes;
        self.incoming.frames_futile += frames as usize;
        if self.incoming.bytes_futile < WINDOW_BYTES_MAX && self.incoming.frames_futile < WINDOW_FRAMES_MAX {
            return BTreeSet::new();
        }
        let spaces = arrived.iter().map(|run| run.space).collect::<BTreeSet<_>>();
        if spaces.is_empty() { self.spaces.keys().copied().collect() } else { spaces }
    }

    /// Whether a run answers what was asked last.
    fn is_current(&self, run: &Arrived) -> bool {
        self.spaces.get(&run.space).and_then(|shared| shared.asked).is_none_or(|(asked, _)| run.round >= asked)
    }

    /// Whether the peer has told of changes that are not here yet.
    pub(super) fn is_behind(&self) -> bool {
        self.spaces.values().any(|shared| !shared.behind.is_empty())
    }

    /// Asks anew for changes that were told of and do not come.
    pub(super) fn ask_again(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        if !self.liveness.is_stalled() || !self.is_behind() {
            return Ok(());
        }
        self.catch_up_elsewhere(replica)?;
        let behind = self.spaces.iter().filter(|(_, shared)| !shared.behind.is_empty());
        let spaces: BTreeSet<_> = behind.map(|(space, _)| *space).collect();
        if spaces.is_empty() { Ok(()) } else { self.request(replica, &spaces) }
    }

    /// Strikes off what has arrived through other sessions.
    pub(super) fn catch_up_elsewhere(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        for (space, shared) in self.spaces.iter_mut().filter(|(_, shared)| !shared.behind.is_empty()) {
            let ours = replica.frontier(*space).or_fail("read a frontier")?;
            shared.behind.retain(|log, behind| ours.head(*log).seq < *behind);
        }
        Ok(())
    }
}
