//! A user's identity log: who the user's devices are.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::OnceLock;

use super::entry::{AddDevice, Body, Entry, EntryId, Profile};
use super::error::{IdentityError, Result};
use super::keys::{DeviceKeys, DevicePublic, RootKey, RootPublic};
use super::limits::{ENTRY_PARENTS_MAX, LOG_BYTES_MAX, LOG_ENTRIES_MAX, WAITING_BYTES_MAX};
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, UserId};

const DIGEST_CONTEXT: &str = "cfost identity log digest v1";

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
}

/// What became of an entry that was offered to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// These entries now count, in causal order: it, and what had waited for it.
    Accepted(Vec<EntryId>),
    /// It was there before, accepted or waiting.
    Known,
    /// It waits for an ancestor that has not arrived. It is in memory only.
    Waiting,
}

/// All that is known about a user's devices.
///
/// Entries are signed and name the entries that their author knew, so they form a graph of which
/// every device can hold a copy. What the log says is a pure function of the **set** of entries held:
/// the order in which they arrived, and how often, does not matter. To that end
///
/// - an entry counts if its author is the root key, or a device that one of the entry's *ancestors*
///   added: a matter of the graph, never of what happened to arrive first;
/// - of two entries that set the same name, the one with the greater (timestamp, id) wins;
/// - a device added twice is described by the entry with the smaller (depth in the graph, id).
///
/// An entry that arrives before one of its ancestors waits, without effect, until that one arrives.
#[derive(Clone)]
pub struct IdentityLog {
    root: RootPublic,
    user: UserId,
    accepted: HashMap<EntryId, Accepted>,
    /// Of all accepted entries together.
    bytes: usize,
    /// Causal order, and the same on every device.
    order: BTreeSet<(u32, EntryId)>,
    heads: BTreeSet<EntryId>,
    waiting: Waiting,
    added: BTreeMap<DeviceId, Added>,
    names: BTreeMap<DeviceId, Latest<String>>,
    transports: BTreeMap<[u8; 32], BTreeSet<Rank>>,
    profile: Option<Latest<Profile>>,
    digest: OnceLock<[u8; 32]>,
}

#[derive(Clone)]
struct Accepted {
    entry: Entry,
    /// 1 for an entry without parents, else one more than its deepest parent.
    depth: u32,
}

/// Orders the entries that add the same device, or the same transport key.
type Rank = (u32, EntryId, DeviceId);

#[derive(Clone)]
struct Added {
    rank: Rank,
    keys: DevicePublic,
    at: Timestamp,
    by: Option<DeviceId>,
}

/// A value, and the write that set it.
#[derive(Clone)]
struct Latest<T> {
    at: Timestamp,
    entry: EntryId,
    value: T,
}

impl<T: Clone> Latest<T> {
    fn loses_to(&self, entry: &Entry) -> bool {
        (self.at, self.entry) < (entry.at(), entry.id())
    }

    fn of(entry: &Entry, value: &T) -> Self {
        Self { at: entry.at(), entry: entry.id(), value: value.clone() }
    }
}

/// Entries whose ancestors have not all arrived, each filed under one that is missing.
#[derive(Clone, Default)]
struct Waiting {
    entries: HashMap<EntryId, Entry>,
    by_missing: HashMap<EntryId, Vec<EntryId>>,
    bytes: usize,
}

impl Waiting {
    fn add(&mut self, entry: Entry, missing: EntryId) -> Result<()> {
        let bytes = self.bytes + entry.as_bytes().len();
        if bytes > WAITING_BYTES_MAX {
            return Err(IdentityError::WaitingFull);
        }
        self.bytes = bytes;
        self.by_missing.entry(missing).or_default().push(entry.id());
        self.entries.insert(entry.id(), entry);
        Ok(())
    }

    fn take_those_missing(&mut self, arrived: &EntryId) -> Vec<Entry> {
        let ids = self.by_missing.remove(arrived).unwrap_or_default();
        let entries: Vec<_> = ids.iter().filter_map(|id| self.entries.remove(id)).collect();
        self.bytes -= entries.iter().map(|entry| entry.as_bytes().len()).sum::<usize>();
        entries
    }
}

impl IdentityLog {
    /// The empty log of the user with this root key.
    pub fn new(root: RootPublic) -> Self {
        Self {
            root,
            user: root.user_id(),
            accepted: HashMap::new(),
            bytes: 0,
            order: BTreeSet::new(),
            heads: BTreeSet::new(),
            waiting: Waiting::default(),
            added: BTreeMap::new(),
            names: BTreeMap::new(),
            transports: BTreeMap::new(),
            profile: None,
            digest: OnceLock::new(),
        }
    }

    /// The log of a new user, whose first device holds `keys`.
    ///
    /// # Errors
    /// [`IdentityError::Text`] for a device name that cannot be accepted.
    pub fn found(root: &RootKey, keys: &DeviceKeys, device_name: &str, at: Timestamp) -> Result<Self> {
        let mut log = Self::new(root.public());
        let add = AddDevice::new(root.user_id(), keys, device_name)?;
        let entry = log.author_as_root(root, Body::AddDevice(add), at)?;
        log.insert(entry.as_bytes())?;
        Ok(log)
    }

    /// The log made of stored entries, in any order.
    ///
    /// # Errors
    /// What [`Self::insert`] gives, and [`IdentityError::MissingEntry`] if an ancestor is not there.
    pub fn from_entries<B: AsRef<[u8]>>(root: RootPublic, entries: impl IntoIterator<Item = B>) -> Result<Self> {
        let mut log = Self::new(root);
        for entry in entries {
            log.insert(entry.as_ref())?;
        }
        match log.missing() {
            Some(missing) => Err(IdentityError::MissingEntry { missing }),
            None => Ok(log),
        }
    }

    /// The user's root key.
    pub fn root(&self) -> RootPublic {
        self.root
    }

    /// The user whose log this is.
    pub fn user_id(&self) -> UserId {
        self.user
    }

    /// Signs an entry as the device that holds `keys`. The log stays as it is: store the entry, then
    /// [insert](Self::insert) it.
    ///
    /// # Errors
    /// [`IdentityError::NotAuthorised`] if the device is not one of the user's,
    /// [`IdentityError::Text`] for a name that cannot be accepted.
    pub fn author(&self, keys: &DeviceKeys, body: Body, at: Timestamp) -> Result<Entry> {
        let device = keys.id();
        let added = self.added.get(&device).ok_or(IdentityError::NotAuthorised { device })?;
        self.sign(keys.signing(), body, at, Some(added.rank.1))
    }

    /// Signs an entry with the root key: the first device, and recovery by phrase.
    ///
    /// # Errors
    /// [`IdentityError::WrongUser`] for another user's root key, [`IdentityError::Text`].
    pub fn author_as_root(&self, root: &RootKey, body: Body, at: Timestamp) -> Result<Entry> {
        if root.public() != self.root {
            return Err(IdentityError::WrongUser { found: root.user_id(), expected: self.user });
        }
        self.sign(root.signing(), body, at, None)
    }

    fn sign(
        &self,
        key: &ed25519_dalek::SigningKey,
        body: Body,
        at: Timestamp,
        authority: Option<EntryId>,
    ) -> Result<Entry> {
        // Later than all it builds on, so that what replaces a name always wins over that name.
        let newest = self.heads.iter().filter_map(|id| self.accepted.get(id)).map(|head| head.entry.at()).max();
        let at = newest.map_or(at, |newest| at.max(newest.plus(1)));
        Entry::sign(key, self.user, at, self.parents_for(authority), body)
    }

    /// The heads; if there are too many, the deepest of them and the entry that gives the author its say.
    fn parents_for(&self, authority: Option<EntryId>) -> Vec<EntryId> {
        let mut parents: Vec<_> = self.heads.iter().copied().collect();
        if parents.len() > ENTRY_PARENTS_MAX {
            parents.sort_by_key(|id| std::cmp::Reverse((self.accepted.get(id).map(|head| head.depth), *id)));
            parents.truncate(ENTRY_PARENTS_MAX - 1);
            parents.extend(authority.filter(|id| !parents.contains(id)));
            parents.sort();
        }
        parents
    }

    /// Adds an entry that came from outside, after checking it.
    ///
    /// # Errors
    /// What [`Entry::decode`] gives; [`IdentityError::WrongUser`]; [`IdentityError::NotAuthorised`] if
    /// its author was no device of the user as far as the entry's ancestors say;
    /// [`IdentityError::WaitingFull`] and [`IdentityError::LogFull`] at the limits. The log is then as
    /// it was.
    pub fn insert(&mut self, bytes: &[u8]) -> Result<Inserted> {
        let entry = Entry::parse(bytes)?;
        if entry.user() != self.user {
            return Err(IdentityError::WrongUser { found: entry.user(), expected: self.user });
        }
        if self.accepted.contains_key(&entry.id()) || self.waiting.entries.contains_key(&entry.id()) {
            return Ok(Inserted::Known);
        }
        entry.verify()?;
        if let Some(missing) = self.first_missing_parent(&entry) {
            self.waiting.add(entry, missing)?;
            return Ok(Inserted::Waiting);
        }
        let mut accepted = vec![self.accept(entry)?];
        let mut next = 0;
        while let Some(arrived) = accepted.get(next) {
            next += 1;
            for entry in self.waiting.take_those_missing(arrived) {
                match self.first_missing_parent(&entry) {
                    Some(missing) => self.waiting.add(entry, missing)?,
                    // Nobody is left to be told that an entry which had waited is not authorised: it
                    // is forgotten, and refused with its reason when it is offered again.
                    None => accepted.extend(self.accept(entry)),
                }
            }
        }
        Ok(Inserted::Accepted(accepted))
    }

    fn first_missing_parent(&self, entry: &Entry) -> Option<EntryId> {
        entry.parents().iter().find(|parent| !self.accepted.contains_key(parent)).copied()
    }

    /// Adds an entry all of whose parents are accepted, if its author had a say.
    fn accept(&mut self, entry: Entry) -> Result<EntryId> {
        let author = self.author_device(&entry);
        if let Some(device) = author
            && !self.is_authorised_before(&entry, device)
        {
            return Err(IdentityError::NotAuthorised { device });
        }
        let bytes = self.bytes + entry.as_bytes().len();
        if self.accepted.len() >= LOG_ENTRIES_MAX || bytes > LOG_BYTES_MAX {
            return Err(IdentityError::LogFull);
        }
        self.bytes = bytes;
        let id = entry.id();
        let depth = 1 + entry.parents().iter().map(|parent| self.accepted[parent].depth).max().unwrap_or(0);
        self.apply(&entry, author, depth);
        for parent in entry.parents() {
            self.heads.remove(parent);
        }
        self.heads.insert(id);
        self.order.insert((depth, id));
        self.accepted.insert(id, Accepted { entry, depth });
        self.digest = OnceLock::new();
        Ok(id)
    }

    /// The device that made `entry`, or `None` for the root key.
    fn author_device(&self, entry: &Entry) -> Option<DeviceId> {
        (entry.author() != self.root.as_bytes()).then(|| DeviceId::of_key(entry.author()))
    }

    /// Whether an ancestor of `entry` added `device`. An ancestor that the device made itself settles
    /// it as well, since that one was accepted; so the search is short on every usual graph.
    fn is_authorised_before(&self, entry: &Entry, device: DeviceId) -> bool {
        let mut seen: HashSet<EntryId> = entry.parents().iter().copied().collect();
        let mut to_visit: Vec<EntryId> = entry.parents().to_vec();
        while let Some(id) = to_visit.pop() {
            let ancestor = &self.accepted[&id].entry;
            let adds_it = matches!(ancestor.body(), Body::AddDevice(add) if add.keys().id() == device);
            if adds_it || ancestor.author() == entry.author() {
                return true;
            }
            to_visit.extend(ancestor.parents().iter().filter(|parent| seen.insert(**parent)));
        }
        false
    }

    /// Lets an accepted entry change what the log says. Each arm commutes with all others.
    fn apply(&mut self, entry: &Entry, author: Option<DeviceId>, depth: u32) {
        match entry.body() {
            Body::AddDevice(add) => {
                let device = add.keys().id();
                self.add(Added { rank: (depth, entry.id(), device), keys: *add.keys(), at: entry.at(), by: author });
                self.name(device, entry, add.name());
            }
            Body::RenameDevice { device, name } => self.name(*device, entry, name),
            Body::Profile(profile) => {
                if self.profile.as_ref().is_none_or(|held| held.loses_to(entry)) {
                    self.profile = Some(Latest::of(entry, profile));
                }
            }
            Body::Unknown { .. } => {}
        }
    }

    fn add(&mut self, added: Added) {
        let device = added.rank.2;
        if let Some(held) = self.added.get(&device) {
            if held.rank < added.rank {
                return;
            }
            if let Some(ranks) = self.transports.get_mut(&held.keys.transport) {
                ranks.remove(&held.rank);
            }
        }
        self.transports.entry(added.keys.transport).or_default().insert(added.rank);
        self.added.insert(device, added);
    }

    fn name(&mut self, device: DeviceId, entry: &Entry, name: &str) {
        if self.names.get(&device).is_none_or(|held| held.loses_to(entry)) {
            self.names.insert(device, Latest::of(entry, &name.to_owned()));
        }
    }

    /// The user's name and address, if the user has registered.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref().map(|latest| &latest.value)
    }

    /// The user's devices, by id.
    pub fn devices(&self) -> impl Iterator<Item = Device> + '_ {
        self.added.keys().filter_map(|id| self.device(*id))
    }

    /// How many devices the user has.
    pub fn device_count(&self) -> usize {
        self.added.len()
    }

    /// The device with this id, if it is one of the user's.
    pub fn device(&self, id: DeviceId) -> Option<Device> {
        let added = self.added.get(&id)?;
        let name = self.names.get(&id).map(|latest| latest.value.clone()).unwrap_or_default();
        Some(Device { id, name, keys: added.keys, added_at: added.at, added_by: added.by })
    }

    /// The device that signs with this key, if it is one of the user's.
    pub fn device_by_signing_key(&self, key: &[u8; 32]) -> Option<Device> {
        self.device(DeviceId::of_key(key))
    }

    /// The device behind connections that this key authenticates, if it is one of the user's.
    pub fn device_by_transport_key(&self, key: &[u8; 32]) -> Option<Device> {
        let (_, _, device) = self.transports.get(key)?.first()?;
        self.device(*device)
    }

    /// The entry that describes `device`.
    pub(super) fn entry_adding(&self, device: DeviceId) -> Option<&Entry> {
        let (_, entry, _) = self.added.get(&device)?.rank;
        self.accepted.get(&entry).map(|accepted| &accepted.entry)
    }

    /// All entries that count, every one after its ancestors. Store and send these bytes.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.order.iter().map(|(_, id)| &self.accepted[id].entry)
    }

    /// How many entries count.
    pub fn entry_count(&self) -> usize {
        self.accepted.len()
    }

    /// The entry with this id, if it counts.
    pub fn entry(&self, id: &EntryId) -> Option<&Entry> {
        self.accepted.get(id).map(|accepted| &accepted.entry)
    }

    /// The entries that no other builds on: they stand for the whole log.
    pub fn heads(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.heads.iter().copied()
    }

    /// A hash of the set of entries: equal on two devices exactly if neither lacks an entry.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| {
            let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
            hasher.update(self.user.as_bytes());
            for head in &self.heads {
                hasher.update(head.as_bytes());
            }
            hasher.finalize().into()
        })
    }

    /// What someone lacks who holds `have` and everything those build on: entries in causal order.
    /// Ids that this log does not know are ignored.
    pub fn missing_from(&self, have: &[EntryId]) -> Vec<&Entry> {
        let mut held = HashSet::new();
        let mut to_visit: Vec<EntryId> = have.to_vec();
        while let Some(id) = to_visit.pop() {
            if let Some(accepted) = self.accepted.get(&id)
                && held.insert(id)
            {
                to_visit.extend_from_slice(accepted.entry.parents());
            }
        }
        self.entries().filter(|entry| !held.contains(&entry.id())).collect()
    }

    /// One of the entries that waiting ones need, if any wait.
    pub fn missing(&self) -> Option<EntryId> {
        self.waiting.by_missing.keys().filter(|id| !self.waiting.entries.contains_key(id)).min().copied()
    }
}

impl fmt::Debug for IdentityLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityLog")
            .field("user", &self.user)
            .field("entries", &self.accepted.len())
            .field("waiting", &self.waiting.entries.len())
            .field("devices", &self.added.keys().collect::<Vec<_>>())
            .finish()
    }
}
