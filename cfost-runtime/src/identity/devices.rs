//! What an identity log says of the user and the user's devices.

use std::collections::{BTreeMap, HashSet};

use super::authority::{Act, Authority};
use super::entry::{Body, Entry, EntryId, Profile};
use super::keys::DevicePublic;
use super::log::IdentityLog;
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, Head, LogId, SpaceId};

/// A device of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The hash of its signing key.
    pub id: DeviceId,
    /// What its user calls it.
    pub name: String,
    /// Its public keys.
    pub keys: DevicePublic,
    /// When it was added, by the clock of the device that added it.
    pub added_at: Timestamp,
    /// The device that added it; `None` for one that the root key certified.
    pub added_by: Option<DeviceId>,
    /// Whether it still is one.
    pub standing: Standing,
}

/// Whether a device still is one of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Active,
    /// It said itself that it is one no more.
    Retired,
    /// Another device revoked it.
    Revoked {
        /// Which one.
        by: DeviceId,
    },
    /// The recovery phrase said which devices stay, and this is not among them.
    LeftOut,
    /// It never was one: whoever added it had no say by then.
    Void,
}

/// What the entries say, but for what is asked seldom.
#[derive(Debug, Default)]
pub(super) struct Said {
    devices: BTreeMap<DeviceId, Device>,
    active: usize,
    transports: BTreeMap<[u8; 32], DeviceId>,
    profile: Option<Profile>,
}

/// A value, and the entry that set it.
struct Latest<T> {
    at: (Timestamp, EntryId),
    value: T,
}

impl<T> Latest<T> {
    fn offer(held: &mut Option<Self>, entry: &Entry, value: T) {
        let at = (entry.at(), entry.id());
        if held.as_ref().is_none_or(|held| held.at < at) {
            *held = Some(Self { at, value });
        }
    }
}

impl Said {
    pub(super) fn of(log: &IdentityLog) -> Self {
        let effect = Effect::of(log);
        let mut names: BTreeMap<DeviceId, Option<Latest<&str>>> = BTreeMap::new();
        let mut profile = None;
        for entry in log.entries().filter(|entry| effect.has(log.author_device(entry), entry.id())) {
            match entry.body() {
                Body::AddDevice(add) => Latest::offer(names.entry(add.keys().id()).or_default(), entry, add.name()),
                Body::RenameDevice { device, name } => Latest::offer(names.entry(*device).or_default(), entry, name),
                Body::Profile(said) => Latest::offer(&mut profile, entry, said),
                _ => {}
            }
        }
        let authority = log.authority();
        // The first entry that rightly added a device describes it; the first of all, if none did.
        let mut ranked: Vec<_> = log.facts().iter().enumerate().collect();
        ranked.sort_by_key(|(_, fact)| (fact.depth, fact.id));
        let mut devices: BTreeMap<DeviceId, Device> = BTreeMap::new();
        let mut by_rank = Vec::new();
        for (number, fact) in ranked {
            let Act::Add(id) = fact.act else { continue };
            let rightly = authority.members.get(&id).map(|member| member.added_by);
            if devices.contains_key(&id) || rightly.is_some_and(|rightly| rightly != number) {
                continue;
            }
            let Some((at, Body::AddDevice(add))) = log.entry(&fact.id).map(|entry| (entry.at(), entry.body())) else {
                continue;
            };
            let latest = names.get(&id).and_then(Option::as_ref).map(|latest| latest.value);
            devices.insert(
                id,
                Device {
                    id,
                    name: latest.unwrap_or(add.name()).to_owned(),
                    keys: *add.keys(),
                    added_at: at,
                    added_by: fact.author,
                    standing: log.standing_of(id),
                },
            );
            by_rank.push(id);
        }
        // A transport key is that of an active device, if it is one's.
        by_rank.sort_by_key(|id| devices[id].standing != Standing::Active);
        let mut transports = BTreeMap::new();
        for id in by_rank {
            transports.entry(devices[&id].keys.transport).or_insert(id);
        }
        let active = devices.values().filter(|device| device.standing == Standing::Active).count();
        Self { devices, active, transports, profile: profile.map(|latest| latest.value.clone()) }
    }
}

/// Which entries have an effect.
pub(super) struct Effect<'l> {
    authority: &'l Authority,
    /// What the re-rooting that counts was said upon.
    settled: HashSet<EntryId>,
    /// For each device that was ended, what every end of it knew.
    cut: BTreeMap<DeviceId, Vec<HashSet<EntryId>>>,
}

impl<'l> Effect<'l> {
    pub(super) fn of(log: &'l IdentityLog) -> Self {
        let (authority, facts) = (log.authority(), log.facts());
        let settled = authority.re_rooted.map(|fact| log.with_ancestors([facts[fact].id])).unwrap_or_default();
        let ended = authority.members.iter().filter(|(_, member)| !member.ended_by.is_empty());
        let cut = ended.map(|(device, member)| {
            (*device, member.ended_by.iter().map(|&end| log.with_ancestors([facts[end].id])).collect())
        });
        Self { authority, settled, cut: cut.collect() }
    }

    /// Whether what `author` said in this entry has an effect.
    pub(super) fn has(&self, author: Option<DeviceId>, entry: EntryId) -> bool {
        let Some(author) = author else { return true };
        match self.authority.members.get(&author) {
            _ if self.settled.contains(&entry) => true,
            None => false,
            Some(_) => self.cut.get(&author).is_none_or(|ends| ends.iter().all(|knew| knew.contains(&entry))),
        }
    }
}

impl IdentityLog {
    /// The user's name and address, if the user has registered.
    pub fn profile(&self) -> Option<&Profile> {
        self.said().profile.as_ref()
    }

    /// The user's devices, by id: those that still are.
    pub fn devices(&self) -> impl Iterator<Item = Device> + '_ {
        self.known_devices().filter(|device| device.standing == Standing::Active).cloned()
    }

    /// All devices that any entry added, by id, also those that are none of the user's any more.
    pub fn known_devices(&self) -> impl Iterator<Item = &Device> + '_ {
        self.said().devices.values()
    }

    /// Whether this is a device of the user.
    pub fn is_device(&self, id: DeviceId) -> bool {
        self.authority().has(id)
    }

    /// How many devices the user has.
    pub fn device_count(&self) -> usize {
        self.said().active
    }

    /// The device with this id, if it is one of the user's.
    pub fn device(&self, id: DeviceId) -> Option<Device> {
        self.known_device(id).filter(|device| device.standing == Standing::Active).cloned()
    }

    /// The device with this id, if any entry added it, also if it is none of the user's any more.
    pub fn known_device(&self, id: DeviceId) -> Option<&Device> {
        self.said().devices.get(&id)
    }

    /// The device that signs with this key, if it is one of the user's.
    pub fn device_by_signing_key(&self, key: &[u8; 32]) -> Option<Device> {
        self.device(DeviceId::of_key(key))
    }

    /// The device behind connections that this key authenticates, if it is one of the user's.
    pub fn device_by_transport_key(&self, key: &[u8; 32]) -> Option<Device> {
        self.device(*self.said().transports.get(key)?)
    }

    /// The device behind connections that this key authenticates, also if it is none of the user's any more.
    pub fn known_device_by_transport_key(&self, key: &[u8; 32]) -> Option<&Device> {
        self.known_device(*self.said().transports.get(key)?)
    }

    /// The entry that describes `device`.
    pub(super) fn entry_adding(&self, device: DeviceId) -> Option<&Entry> {
        let adds = self.facts().iter().enumerate().filter(|(_, fact)| fact.act == Act::Add(device));
        let first = match self.authority().members.get(&device) {
            Some(member) => self.facts().get(member.added_by),
            None => adds.map(|(_, fact)| fact).min_by_key(|fact| (fact.depth, fact.id)),
        };
        self.entry(&first?.id)
    }

    fn standing_of(&self, device: DeviceId) -> Standing {
        let (authority, facts) = (self.authority(), self.facts());
        if let Some(member) = authority.members.get(&device) {
            let ends = || member.ended_by.iter().map(|&end| facts[end].author);
            return match ends().flatten().find(|by| *by != device) {
                Some(by) => Standing::Revoked { by },
                None if ends().next().is_some() => Standing::Retired,
                None => Standing::Active,
            };
        }
        let is_settled = |fact: usize| authority.re_rooted.is_some_and(|root| facts[root].knows.contains(fact));
        let was_there = facts.iter().enumerate().any(|(n, fact)| fact.act == Act::Add(device) && is_settled(n));
        if was_there { Standing::LeftOut } else { Standing::Void }
    }

    /// How far a log of a device counts: its changes up to this one have their effect, later ones never. `None` if
    /// there is no limit.
    ///
    /// The least of what those said who ended it: so a device can be cut off earlier, once it is known since when it
    /// was in other hands.
    pub fn counted(&self, device: DeviceId, space: SpaceId, log: LogId) -> Option<Head> {
        let ended_by = match self.authority().members.get(&device) {
            _ if planted!("drop-the-frontier") => return None,
            Some(member) if member.ended_by.is_empty() => return None,
            Some(member) => member.ended_by.clone(),
            None if self.standing_of(device) == Standing::LeftOut => self.authority().re_rooted.into_iter().collect(),
            None => Vec::new(),
        };
        let heads = ended_by.iter().map(|&end| self.counted_by(end, space, log));
        let least = heads.reduce(|a, b| match a.seq.cmp(&b.seq) {
            std::cmp::Ordering::Less => a,
            std::cmp::Ordering::Greater => b,
            // Two changes in one place: nobody can say which of them counts.
            std::cmp::Ordering::Equal => {
                if a == b {
                    a
                } else {
                    Head::NONE
                }
            }
        });
        Some(least.unwrap_or(Head::NONE))
    }

    /// How far a log counts by an end, and by what its author said right before it of logs that are more than it could
    /// name.
    fn counted_by(&self, end: usize, space: SpaceId, log: LogId) -> Head {
        let more = |entry: &&Entry| {
            let parents = entry.parents().iter().filter_map(|parent| self.entry(parent));
            let mut own = parents.filter(|parent| parent.author() == entry.author());
            own.find(|parent| matches!(parent.body(), Body::Counted(_)))
        };
        let parts = std::iter::successors(self.entry(&self.facts()[end].id), more);
        let heads = parts.filter_map(|part| match part.body() {
            Body::EndDevice { counted, .. } | Body::ReRoot { counted, .. } | Body::Counted(counted) => {
                Some(counted.head(space, log))
            }
            _ => None,
        });
        heads.into_iter().find(|head| *head != Head::NONE).unwrap_or(Head::NONE)
    }
}
