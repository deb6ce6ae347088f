//! What one side knows of one space that both share.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Seqs;
use crate::oplog::{Frontier, LogId};

/// A space that both devices belong to.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// How far the peer holds each log: as it told, and as was sent to it or came from it since.
    /// [`u64::MAX`] for a log that is left out.
    pub(super) held: Seqs,
    /// How far the peer holds logs that are not held as far here.
    pub(super) behind: Seqs,
    /// The peer wants this space's changes.
    pub(super) wanted: bool,
    /// There may be changes that the peer lacks.
    pub(super) dirty: bool,
    /// Logs that are left out.
    pub(super) skipped: BTreeSet<LogId>,
    /// Logs that took two ways, of which one is here and one there, each with the last change that is the same, once
    /// that is known.
    pub(super) parted: BTreeMap<LogId, Option<u64>>,
    /// Logs that hold what this build can't show, as was told.
    pub(super) too_new: BTreeSet<LogId>,
    /// The round in which this side asked last, and the digest of what it then held.
    pub(super) asked: Option<(u32, [u8; 32])>,
    /// The digest of what the peer said to hold when it asked last.
    pub(super) peer_asked: Option<[u8; 32]>,
}

impl Shared {
    /// Nothing is left to be asked, sent or received.
    pub(super) fn is_done(&self) -> bool {
        !self.dirty && self.behind.is_empty() && !self.is_parting()
    }

    /// Whether it isn't known yet where a log takes two ways: until then nothing is sent, since it may go on from there.
    pub(super) fn is_parting(&self) -> bool {
        self.parted.values().any(Option::is_none)
    }

    /// Up to here a log that took two ways is the same on both sides.
    pub(super) fn part_after(&mut self, log: LogId, seq: u64) {
        if self.parted.get(&log) == Some(&None) {
            self.parted.insert(log, Some(seq));
            self.held.insert(log, seq);
            self.dirty = true;
        }
    }

    /// The space is shared again, after it was not for a while. What was sent to and fro meanwhile was dropped, so both
    /// sides ask anew.
    pub(super) fn resumed(self) -> Self {
        let dirty = self.wanted;
        Self { asked: None, peer_asked: None, dirty, ..self }
    }

    /// Whether the peer lacks anything of `ours`, as far as is known.
    pub(super) fn lacks(&self, ours: &Frontier) -> bool {
        ours.iter().any(|(log, head)| self.held.get(&log).is_none_or(|held| *held < head.seq))
    }

    /// The peer holds `log` up to `seq`.
    pub(super) fn peer_holds(&mut self, log: LogId, seq: u64) {
        let held = self.held.entry(log).or_default();
        *held = seq.max(*held);
    }

    /// The peer tells all that it holds, and wants the rest.
    pub(super) fn peer_told(&mut self, frontier: &Frontier) {
        self.held = frontier.iter().map(|(log, head)| (log, head.seq)).collect();
        for (log, same) in self.parted.iter().filter_map(|(log, same)| Some((log, (*same)?))) {
            // Beyond that it holds something else.
            self.held.entry(*log).and_modify(|held| *held = same.min(*held));
        }
        let skipped = self.skipped.iter().filter(|log| !self.parted.contains_key(log));
        self.held.extend(skipped.map(|log| (*log, u64::MAX)));
        self.wanted = true;
        self.dirty = true;
    }

    /// The peer holds `log` up to `theirs`, this side up to `ours`.
    pub(super) fn compare(&mut self, log: LogId, ours: u64, theirs: u64) {
        if ours < theirs && !self.skipped.contains(&log) {
            let behind = self.behind.entry(log).or_default();
            *behind = theirs.max(*behind);
        } else if self.behind.get(&log).is_some_and(|behind| *behind <= ours) {
            self.behind.remove(&log);
        }
    }

    /// Leaves `log` out from now on, in both directions. Of one that took two ways the peer still gets what it lacks of
    /// this one: it waits for it.
    pub(super) fn skip(&mut self, log: LogId) {
        self.skipped.insert(log);
        self.behind.remove(&log);
        if !self.parted.contains_key(&log) {
            self.held.insert(log, u64::MAX);
        }
    }
}
