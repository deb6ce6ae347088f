//! A user's identity log: who the user's devices are.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::authority::{Act, Authority, Fact, View};
use super::devices::Said;
use super::entry::{AddDevice, Body, Entry, EntryId};
use super::error::{IdentityError, Result};
use super::graph::Graph;
use super::keys::{DeviceKeys, RootKey, RootPublic};
use super::limits::{ENTRY_BYTES_MAX, LOG_BYTES_MAX, LOG_ENTRIES_MAX, LOG_FACTS_MAX, LOG_ROOT_RESERVE};
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, UserId};

const DIGEST_CONTEXT: &str = "cfost identity log digest v1";

/// What became of an entry that was offered to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// These entries are now part of the log, in causal order: it, and what had waited for it.
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
/// - an entry is taken in if its author is the root key, or a device that had a say as far as the entry's
///   *ancestors* go: a matter of the graph, never of what happened to arrive first;
/// - who has a say by a set of entries, [ended](Body::EndDevice) devices and [re-rootings](Body::ReRoot) included,
///   and which entries have an effect, `docs/security.md` defines;
/// - of two entries that set the same name, the one with the greater (timestamp, id) wins;
/// - a device added twice is described by the entry with the smaller (depth in the graph, id).
///
/// An entry that arrives before one of its ancestors waits, without effect, until that one arrives.
#[derive(Clone)]
pub struct IdentityLog {
    root: RootPublic,
    user: UserId,
    /// Of each entry, the facts among it and its ancestors.
    graph: Graph<Entry, Arc<View>>,
    facts: Vec<Fact>,
    /// All facts.
    view: Arc<View>,
    said: OnceLock<Arc<Said>>,
    digest: OnceLock<[u8; 32]>,
}

impl IdentityLog {
    /// The empty log of the user with this root key.
    pub fn new(root: RootPublic) -> Self {
        Self {
            root,
            user: root.user_id(),
            graph: Graph::default(),
            facts: Vec::new(),
            view: Arc::default(),
            said: OnceLock::new(),
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
    /// [`IdentityError::NotAuthorised`] if the device is not one of the user's, [`IdentityError::Revoked`] if it is
    /// one no more, [`IdentityError::Text`] for a name that cannot be accepted, [`IdentityError::UnknownDevice`] for
    /// ending one that never was, [`IdentityError::LastDevice`] for retiring when nobody would stay.
    pub fn author(&self, keys: &DeviceKeys, body: Body, at: Timestamp) -> Result<Entry> {
        let device = keys.id();
        let authority = self.authority();
        if !authority.has(device) {
            return Err(self.unauthorised(device, &self.view));
        }
        match &body {
            Body::ReRoot { .. } => return Err(IdentityError::RootOnly { device }),
            Body::EndDevice { device: ended, .. } if self.known_device(*ended).is_none() => {
                return Err(IdentityError::UnknownDevice { device: *ended });
            }
            Body::EndDevice { device: ended, .. } if *ended == device && self.device_count() == 1 => {
                return Err(IdentityError::LastDevice { device });
            }
            _ => {}
        }
        let added_by = authority.members.get(&device).map(|member| member.added_by);
        let needed = added_by.into_iter().chain(authority.re_rooted).map(|fact| self.facts[fact].id);
        self.sign(keys.signing(), body, at, needed.collect())
    }

    /// Signs an entry with the root key: the first device, and recovery by phrase.
    ///
    /// # Errors
    /// [`IdentityError::WrongUser`] for another user's root key, [`IdentityError::UnknownDevice`] for keeping one that
    /// never was, [`IdentityError::Text`].
    pub fn author_as_root(&self, root: &RootKey, body: Body, at: Timestamp) -> Result<Entry> {
        if root.public() != self.root {
            return Err(IdentityError::WrongUser { found: root.user_id(), expected: self.user });
        }
        if let Body::ReRoot { kept, .. } = &body {
            let nobody = || IdentityError::Malformed { what: "identity entry body", problem: "it keeps no device" };
            kept.first().ok_or_else(nobody)?;
            if let Some(&device) = kept.iter().find(|device| self.known_device(**device).is_none()) {
                return Err(IdentityError::UnknownDevice { device });
            }
        }
        // All of what it settles must be among its ancestors.
        self.sign(root.signing(), body, at, Vec::new())
    }

    fn sign(&self, key: &ed25519_dalek::SigningKey, body: Body, at: Timestamp, needed: Vec<EntryId>) -> Result<Entry> {
        let at = self.graph.later_than_heads(at);
        Entry::sign(key, self.user, at, self.graph.parents_for(&needed), body)
    }

    /// Adds an entry that came from outside, after checking it.
    ///
    /// # Errors
    /// What [`Entry::decode`] gives; [`IdentityError::WrongUser`]; [`IdentityError::NotAuthorised`] if
    /// its author was no device of the user as far as the entry's ancestors say, [`IdentityError::Revoked`] if it was
    /// one no more, [`IdentityError::RootOnly`] for what a device may not say;
    /// [`IdentityError::WaitingFull`] and [`IdentityError::LogFull`] at the limits. The log is then as
    /// it was.
    pub fn insert(&mut self, bytes: &[u8]) -> Result<Inserted> {
        let entry = Entry::parse(bytes)?;
        if entry.user() != self.user {
            return Err(IdentityError::WrongUser { found: entry.user(), expected: self.user });
        }
        if self.graph.knows(&entry.id()) {
            return Ok(Inserted::Known);
        }
        entry.verify()?;
        let Some(entry) = self.graph.wait_for_parents(entry)? else { return Ok(Inserted::Waiting) };
        let mut accepted = vec![self.accept(entry)?];
        let mut next = 0;
        while let Some(arrived) = accepted.get(next) {
            next += 1;
            for entry in self.graph.released_by(arrived)? {
                // Nobody is left to be told that an entry which had waited is not authorised: it
                // is forgotten, and refused with its reason when it is offered again.
                accepted.extend(self.accept(entry));
            }
        }
        Ok(Inserted::Accepted(accepted))
    }

    /// Adds an entry all of whose parents are accepted, if its author had a say.
    fn accept(&mut self, entry: Entry) -> Result<EntryId> {
        let before = View::union(entry.parents().iter().filter_map(|parent| Some(&self.graph.get(parent)?.extra)));
        let depth = self.graph.depth_upon(entry.parents());
        let author = self.author_device(&entry);
        let act = self.check_say(&entry, author, &before)?;
        let bytes = self.graph.bytes() + entry.as_bytes().len();
        let reserve = if author.is_none() { LOG_ROOT_RESERVE } else { 0 };
        if self.graph.len() >= LOG_ENTRIES_MAX + reserve
            || bytes > LOG_BYTES_MAX + reserve * ENTRY_BYTES_MAX
            || (act.is_some() && self.facts.len() >= LOG_FACTS_MAX + reserve)
        {
            return Err(IdentityError::LogFull);
        }
        let id = entry.id();
        let view = match act {
            None => before,
            Some(act) => {
                let fact = self.facts.len();
                self.facts.push(Fact { id, depth, author, act, knows: before.facts.clone() });
                self.view = self.view.with(fact);
                before.with(fact)
            }
        };
        self.graph.add(entry, view);
        (self.digest, self.said) = (OnceLock::new(), OnceLock::new());
        Ok(id)
    }

    /// Whether the author of `entry` had a say by the facts before it; what the entry does to the devices, if
    /// anything.
    fn check_say(&self, entry: &Entry, author: Option<DeviceId>, before: &View) -> Result<Option<Act>> {
        if let Some(device) = author
            && !before.authority(&self.facts).has(device)
        {
            return Err(self.unauthorised(device, before));
        }
        Ok(match (entry.body(), author) {
            (Body::AddDevice(add), _) => Some(Act::Add(add.keys().id())),
            (Body::EndDevice { device, .. }, _) => Some(Act::End(*device)),
            (Body::ReRoot { .. }, Some(device)) => return Err(IdentityError::RootOnly { device }),
            (Body::ReRoot { kept, .. }, None) => match kept.iter().find(|device| !self.has_added(before, **device)) {
                Some(&device) => return Err(IdentityError::UnknownDevice { device }),
                None => Some(Act::ReRoot(kept.clone())),
            },
            (Body::Epoch(_), _) => Some(Act::Other),
            (Body::RenameDevice { .. } | Body::Profile(_) | Body::Counted(_) | Body::Unknown { .. }, _) => None,
        })
    }

    fn unauthorised(&self, device: DeviceId, by: &View) -> IdentityError {
        match self.has_added(by, device) {
            true => IdentityError::Revoked { device },
            false => IdentityError::NotAuthorised { device },
        }
    }

    fn has_added(&self, by: &View, device: DeviceId) -> bool {
        by.facts.iter().any(|fact| self.facts[fact].act == Act::Add(device))
    }

    /// The device that made `entry`, or `None` for the root key.
    pub(super) fn author_device(&self, entry: &Entry) -> Option<DeviceId> {
        (entry.author() != self.root.as_bytes()).then(|| DeviceId::of_key(entry.author()))
    }

    /// Who has a say by all that is known.
    pub(super) fn authority(&self) -> &Authority {
        self.view.authority(&self.facts)
    }

    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// What the entries say of names and devices.
    pub(super) fn said(&self) -> &Said {
        self.said.get_or_init(|| Arc::new(Said::of(self)))
    }

    /// The entry, and all that it builds on.
    pub(super) fn with_ancestors(&self, entries: impl IntoIterator<Item = EntryId>) -> HashSet<EntryId> {
        self.graph.with_ancestors(entries)
    }

    /// All entries that were taken in, every one after its ancestors. Store and send these bytes.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.graph.nodes().map(|node| &node.entry)
    }

    /// How many entries were taken in.
    pub fn entry_count(&self) -> usize {
        self.graph.len()
    }

    /// The entry with this id, if it was taken in.
    pub fn entry(&self, id: &EntryId) -> Option<&Entry> {
        self.graph.get(id).map(|node| &node.entry)
    }

    /// The entries that no other builds on: they stand for the whole log.
    pub fn heads(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.graph.heads()
    }

    /// A hash of the set of entries: equal on two devices exactly if neither lacks an entry.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| self.graph.digest(DIGEST_CONTEXT, self.user.as_bytes()))
    }

    /// What someone lacks who holds `have` and everything those build on: entries in causal order.
    /// Ids that this log does not know are ignored.
    pub fn missing_from(&self, have: &[EntryId]) -> Vec<&Entry> {
        self.graph.missing_from(have)
    }

    /// One of the entries that waiting ones need, if any wait.
    pub fn missing(&self) -> Option<EntryId> {
        self.graph.missing()
    }
}

impl fmt::Debug for IdentityLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityLog")
            .field("user", &self.user)
            .field("entries", &self.graph.len())
            .field("waiting", &self.graph.waiting_len())
            .field("devices", &self.authority().members)
            .finish()
    }
}
