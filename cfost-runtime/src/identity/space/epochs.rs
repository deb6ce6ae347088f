//! Which keys a space has, who has them, and which one it goes on under.

use std::collections::{BTreeMap, BTreeSet};

use super::super::authority::FactSet;
use super::super::entry::EntryId;
use super::entry::{Role, SpaceBody, SpaceEntry};
use super::log::SpaceLog;
use super::say::{Act, Fact, Say};
use crate::oplog::{DeviceId, EpochKey, UserId};

/// An epoch of a space.
#[derive(Debug)]
pub struct SpaceEpoch {
    pub(super) commitment: [u8; 32],
    /// The entries that give its key to devices, in causal order.
    pub(super) grants: Vec<SpaceEntry>,
    /// Whoever has the key: those it was sealed to, and those who gave it.
    pub(super) holders: BTreeSet<DeviceId>,
    /// The entries that begin it, each by who wrote to the space as far as its author knew.
    pub(super) begins: Vec<Begin>,
}

/// An entry that begins an epoch.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) rank: (u32, EntryId),
    /// Whether it may be gone on under: its author was not cut off, and writes still.
    pub(super) is_effective: bool,
    /// Who may write under it: for each user, the entries that narrowed what that user may do and that its author did
    /// not know, by their place in `Members`.
    pub(super) writers: BTreeMap<UserId, Vec<usize>>,
}

impl SpaceEpoch {
    /// The commitment to its key.
    pub fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// The entries that give its key to devices, in causal order: take it from one that is sealed to this device.
    pub fn grants(&self) -> impl Iterator<Item = &SpaceEntry> {
        self.grants.iter()
    }

    /// The devices that have its key, as far as the log says.
    pub fn holders(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.holders.iter().copied()
    }
}

impl SpaceEntry {
    /// The key that the entry gives to the device that holds `keys`, if it does.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`](super::super::IdentityError::Malformed) if what was sealed is not the key that the
    /// entry commits to.
    pub fn open_key(&self, keys: &super::super::DeviceKeys) -> super::super::Result<Option<EpochKey>> {
        self.grant().map_or(Ok(None), |grant| grant.open(self.user(), keys))
    }
}

/// Collects the epochs of a log.
pub(super) struct Collector<'l> {
    pub(super) log: &'l SpaceLog,
    pub(super) facts: &'l [Fact],
    pub(super) say: &'l Say,
    /// Whether an author is a device of its user, or was one.
    pub(super) is_device: &'l dyn Fn(usize) -> bool,
    pub(super) is_sound: &'l dyn Fn(usize) -> bool,
}

impl Collector<'_> {
    /// The epochs by their numbers. `narrowings` has each user's.
    pub(super) fn epochs(&self, narrowings: &BTreeMap<UserId, Vec<usize>>) -> BTreeMap<u32, SpaceEpoch> {
        let mut epochs: BTreeMap<u32, SpaceEpoch> = BTreeMap::new();
        let mut ranked: Vec<usize> = (0..self.facts.len()).collect();
        ranked.sort_by_key(|&fact| self.facts[fact].rank());
        // What hands a key on may come before the entry that begins its epoch, but knows it only if it comes after.
        for fact in ranked.iter().copied().filter(|&fact| matches!(self.facts[fact].act, Act::Epoch(_))) {
            self.begin(fact, narrowings, &mut epochs);
        }
        for fact in ranked {
            let Some(entry) = self.log.entry(&self.facts[fact].id) else { continue };
            let SpaceBody::Keys(grant) = entry.body() else { continue };
            let Some(epoch) = epochs.get_mut(&grant.epoch) else { continue };
            let is_member = self.say.role(self.facts, entry.user(), Some(&self.facts[fact].knows)).is_some();
            if is_member && (self.is_device)(fact) && epoch.commitment == grant.commitment {
                epoch.holders.extend(grant.devices().chain([entry.device()]));
                epoch.grants.push(entry.clone());
            }
        }
        for epoch in epochs.values_mut() {
            epoch.grants.sort_by_key(|entry| self.log.depth_of(&entry.id()).map(|depth| (depth, entry.id())));
        }
        epochs
    }

    fn begin(&self, fact: usize, narrowings: &BTreeMap<UserId, Vec<usize>>, epochs: &mut BTreeMap<u32, SpaceEpoch>) {
        let begun = &self.facts[fact];
        let Some(entry) = self.log.entry(&begun.id) else { return };
        let Some(grant) = entry.grant() else { return };
        let least = if planted!("count-what-readers-write") { Role::Reader } else { Role::Writer };
        let writes = |user, within: Option<&FactSet>| self.say.role(self.facts, user, within) >= Some(least);
        if !(self.is_device)(fact) || !writes(begun.user, Some(&begun.knows)) {
            return;
        }
        let new = || SpaceEpoch {
            commitment: grant.commitment,
            grants: Vec::new(),
            holders: BTreeSet::new(),
            begins: Vec::new(),
        };
        let epoch = epochs.entry(grant.epoch).or_insert_with(new);
        // Of two keys under one number, the first in causal order.
        if epoch.commitment != grant.commitment {
            return;
        }
        epoch.holders.extend(grant.devices().chain([entry.device()]));
        epoch.grants.push(entry.clone());
        let writers = self.say.users().filter(|user| writes(*user, Some(&begun.knows)));
        let unknown = |user: &UserId| {
            let narrowings = narrowings.get(user).into_iter().flatten();
            narrowings.copied().filter(|narrowing| !begun.knows.contains(*narrowing)).collect()
        };
        epoch.begins.push(Begin {
            rank: begun.rank(),
            is_effective: (self.is_sound)(fact) && writes(begun.user, None),
            writers: writers.map(|user| (user, unknown(&user))).collect(),
        });
    }
}
