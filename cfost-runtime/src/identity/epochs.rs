//! Which key a space is written under, and who has it.

use std::collections::{BTreeMap, BTreeSet};

use super::authority::Act;
use super::devices::{Device, Effect};
use super::entry::Body;
use super::epoch::{EpochGrant, is_begun_later};
use super::log::IdentityLog;
use crate::oplog::{DeviceId, SpaceId};

/// The epoch under which to write to a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// The one that the space began with: nobody who had its key has lost it since.
    First,
    /// One that an entry began.
    Epoch(u32),
    /// None: somebody has every key who must not read on. A new one has to be begun.
    Due,
}

/// An epoch of a space that an entry has begun.
#[derive(Debug)]
pub struct Grants<'l> {
    /// The entries that give its key to devices, in causal order.
    pub grants: Vec<&'l EpochGrant>,
    /// Whoever may have the key: those it was sealed to, and those that were added by somebody who knew of it.
    pub holders: BTreeSet<DeviceId>,
    /// Whether somebody gave it who had a say.
    effective: bool,
}

impl IdentityLog {
    /// The epochs of a space that entries have begun, by number.
    pub fn epochs(&self, space: SpaceId) -> BTreeMap<u32, Grants<'_>> {
        let effect = Effect::of(self);
        let mut epochs: BTreeMap<u32, Grants<'_>> = BTreeMap::new();
        let mut begun: Vec<(usize, u32)> = Vec::new();
        let mut ranked: Vec<_> = self.facts().iter().enumerate().collect();
        ranked.sort_by_key(|(_, fact)| (fact.depth, fact.id));
        for (number, fact) in ranked {
            match self.entry(&fact.id).map(|entry| entry.body()) {
                Some(Body::Epoch(grant)) if grant.space == space => {
                    let new = || Grants { grants: Vec::new(), holders: BTreeSet::new(), effective: false };
                    let epoch = epochs.entry(grant.epoch).or_insert_with(new);
                    // Of two keys under one number, the first in causal order.
                    if epoch.grants.first().is_none_or(|first| first.commitment == grant.commitment) {
                        epoch.grants.push(grant);
                        epoch.holders.extend(grant.devices().chain(fact.author));
                        epoch.effective |= effect.has(fact.author, fact.id);
                        begun.push((number, grant.epoch));
                    }
                }
                // A device gets all keys that the one has which adds it.
                Some(Body::AddDevice(add)) => {
                    let known = begun.iter().filter(|(begun, _)| fact.knows.contains(*begun));
                    for (_, epoch) in known {
                        if let Some(epoch) = epochs.get_mut(epoch) {
                            epoch.holders.insert(add.keys().id());
                        }
                    }
                }
                _ => {}
            }
        }
        epochs
    }

    /// The epoch under which to write to a space, so that only the user's devices can read it.
    pub fn current_epoch(&self, space: SpaceId) -> Current {
        let authority = self.authority();
        let added = || {
            self.facts().iter().filter_map(|fact| match fact.act {
                Act::Add(device) => Some(device),
                _ => None,
            })
        };
        if added().all(|device| authority.has(device)) || planted!("keep-the-key-after-a-revocation") {
            return Current::First;
        }
        let epochs = self.epochs(space);
        let clean = epochs.iter().filter(|(number, epoch)| {
            is_begun_later(**number) && epoch.effective && epoch.holders.iter().all(|device| authority.has(*device))
        });
        // The newest one: the one whose first entry is the deepest.
        let newest = clean.max_by_key(|(_, epoch)| epoch.grants.first().map(|grant| self.depth_of(grant)));
        newest.map_or(Current::Due, |(epoch, _)| Current::Epoch(*epoch))
    }

    fn depth_of(&self, grant: &EpochGrant) -> usize {
        self.entries().position(|entry| matches!(entry.body(), Body::Epoch(other) if other == grant)).unwrap_or(0)
    }

    /// The user's devices that can't have the key of an epoch of a space: they were added by somebody who did not
    /// know of it. Whoever has the key owes it to them.
    pub fn without_key(&self, space: SpaceId, epoch: u32) -> Vec<Device> {
        let epochs = self.epochs(space);
        let Some(epoch) = epochs.get(&epoch) else { return Vec::new() };
        self.devices().filter(|device| !epoch.holders.contains(&device.id)).collect()
    }
}
