//! The members log of a space.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::super::authority::FactSet;
use super::super::entry::EntryId;
use super::super::epoch::{EpochGrant, new_epoch};
use super::super::error::{IdentityError, Result};
use super::super::graph::Graph;
use super::super::keys::{DeviceKeys, DevicePublic};
use super::super::limits::{EPOCH_KEYS_MAX, SPACE_BYTES_MAX, SPACE_ENTRIES_MAX, SPACE_USER_ENTRIES_MAX};
use super::super::log::{IdentityLog, Inserted};
use super::super::users::Users;
use super::entry::{Role, SpaceBody, SpaceEntry};
use super::members::{Members, head_of};
use super::say::{Act, Fact};
use crate::clock::Timestamp;
use crate::host::Host;
use crate::oplog::{DeviceId, EpochKey, Head, SpaceId, UserId};

const DIGEST_CONTEXT: &str = "cfost members log digest v1";

/// The identity logs that the members were told by: each user's, by its digest, if it was held.
type Basis = Vec<(UserId, Option<[u8; 32]>)>;

/// All that was said about the members of a space.
///
/// Entries are signed and name the entries that their author knew, so they form a graph of which every member can hold
/// a copy. An entry is taken in if it holds by itself; whether it counts is a function of the whole set, and of the
/// identity logs: see [`SpaceLog::members`].
pub struct SpaceLog {
    space: SpaceId,
    /// Of each entry, the number of its fact.
    graph: Graph<SpaceEntry, usize>,
    facts: Vec<Fact>,
    /// How many entries devices of each user have made.
    by_user: HashMap<UserId, usize>,
    founder: Option<UserId>,
    digest: OnceLock<[u8; 32]>,
    members: Mutex<Option<(Basis, Arc<Members>)>>,
}

impl Clone for SpaceLog {
    fn clone(&self) -> Self {
        Self {
            space: self.space,
            graph: self.graph.clone(),
            facts: self.facts.clone(),
            by_user: self.by_user.clone(),
            founder: self.founder,
            digest: self.digest.clone(),
            members: Mutex::new(self.told().clone()),
        }
    }
}

impl SpaceLog {
    /// The log of a space of which nothing is known yet.
    pub fn new(space: SpaceId) -> Self {
        Self {
            space,
            graph: Graph::default(),
            facts: Vec::new(),
            by_user: HashMap::new(),
            founder: None,
            digest: OnceLock::new(),
            members: Mutex::new(None),
        }
    }

    /// The log of a new space, owned by `founder`, and its first key, which is sealed to all of the founder's devices.
    /// `keys` are those of one of them.
    ///
    /// # Errors
    /// [`IdentityError::NotAuthorised`] if `keys` are no device's of the founder.
    pub fn found(host: &Host, founder: &IdentityLog, keys: &DeviceKeys, at: Timestamp) -> Result<(Self, EpochKey)> {
        if !founder.is_device(keys.id()) {
            return Err(IdentityError::NotAuthorised { device: keys.id() });
        }
        let (user, nonce) = (founder.user_id(), host.random());
        let space = SpaceId::founded_by(user, &nonce);
        let mut log = Self::new(space);
        let mut say = |body| {
            let parents = log.graph.parents_for(&[]);
            let at = log.graph.later_than_heads(at);
            let entry = SpaceEntry::sign(keys.signing(), (space, user), at, parents, body)?;
            log.accept(entry).map(drop)
        };
        say(SpaceBody::Found { root: founder.root(), nonce })?;
        let key = new_epoch(host);
        let devices: Vec<DevicePublic> = founder.devices().map(|device| device.keys).collect();
        for (n, devices) in devices.chunks(EPOCH_KEYS_MAX).enumerate() {
            let grant = EpochGrant::seal(host, user, space, &key, devices)?;
            say(if n == 0 { SpaceBody::Epoch(grant) } else { SpaceBody::Keys(grant) })?;
        }
        Ok((log, key))
    }

    /// The log made of stored entries, in any order.
    ///
    /// # Errors
    /// What [`Self::insert`] gives, and [`IdentityError::MissingEntry`] if an ancestor is not there.
    pub fn from_entries<B: AsRef<[u8]>>(space: SpaceId, entries: impl IntoIterator<Item = B>) -> Result<Self> {
        let mut log = Self::new(space);
        for entry in entries {
            log.insert(entry.as_ref())?;
        }
        log.whole()
    }

    /// The log made of entries that were taken in before and kept by their ids, in any order. Their signatures were
    /// checked then, and are not again.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] for an entry that is not the one of its id; [`IdentityError::MissingEntry`].
    pub fn from_stored<B: AsRef<[u8]>>(
        space: SpaceId,
        entries: impl IntoIterator<Item = (EntryId, B)>,
    ) -> Result<Self> {
        let mut log = Self::new(space);
        for (id, bytes) in entries {
            let entry = SpaceEntry::parse(bytes.as_ref())?;
            if entry.id() != id || entry.space() != space {
                let problem = "it is not the entry that was kept under its id";
                return Err(IdentityError::Malformed { what: "members entry", problem });
            }
            log.take_in(entry)?;
        }
        log.whole()
    }

    fn whole(self) -> Result<Self> {
        match self.graph.missing() {
            Some(missing) => Err(IdentityError::MissingEntry { missing }),
            None => Ok(self),
        }
    }

    /// The space whose members this is about.
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// Signs an entry as the device that holds `keys`, for the own user of `users`. The log stays as it is: store the
    /// entry, then [insert](Self::insert) it.
    ///
    /// # Errors
    /// [`IdentityError::NotAuthorised`] and [`IdentityError::Revoked`] for who is no device of the own user;
    /// [`IdentityError::NotMember`], [`IdentityError::NotOwner`], [`IdentityError::IsOwner`] and
    /// [`IdentityError::RoleTooLow`] for what the user may not say; [`IdentityError::TooManyLogs`].
    pub fn author(&self, users: &Users, keys: &DeviceKeys, body: SpaceBody, at: Timestamp) -> Result<SpaceEntry> {
        let (own, device) = (users.own(), keys.id());
        if !own.is_device(device) {
            return Err(match own.known_device(device) {
                Some(_) => IdentityError::Revoked { device },
                None => IdentityError::NotAuthorised { device },
            });
        }
        self.check_may_say(&self.members(users), own.user_id(), &body)?;
        let needed = self.gives_say(own.user_id(), device);
        let at = self.graph.later_than_heads(at);
        SpaceEntry::sign(keys.signing(), (self.space, own.user_id()), at, self.graph.parents_for(&needed), body)
    }

    fn check_may_say(&self, members: &Members, user: UserId, body: &SpaceBody) -> Result<()> {
        let space = self.space;
        let role = members.role(user).ok_or(IdentityError::NotMember { space, user })?;
        let is_member = |user| members.role(user).map(drop).ok_or(IdentityError::NotMember { space, user });
        let owner_only = |of: UserId| match role {
            Role::Owner if of == user => Err(IdentityError::IsOwner { space, user }),
            Role::Owner => Ok(()),
            _ => Err(IdentityError::NotOwner { space, user }),
        };
        match body {
            SpaceBody::Member { root, .. } => owner_only(root.user_id()),
            SpaceBody::EndMember { user: of, .. } if *of == user && role != Role::Owner => Ok(()),
            SpaceBody::EndMember { user: of, .. } | SpaceBody::HandOver { user: of } => {
                owner_only(*of)?;
                is_member(*of)
            }
            SpaceBody::Epoch(_) if role < Role::Writer => {
                Err(IdentityError::RoleTooLow { space, user, role, needed: Role::Writer })
            }
            _ => Ok(()),
        }
    }

    /// What must be among the ancestors of an entry so that it counts, if there are too many heads to name them all.
    fn gives_say(&self, user: UserId, device: DeviceId) -> Vec<EntryId> {
        let mut ranked: Vec<&Fact> = self.facts.iter().collect();
        ranked.sort_by_key(|fact| std::cmp::Reverse(fact.rank()));
        let own = ranked.iter().find(|fact| fact.device == device);
        let about = ranked.iter().filter(|fact| match fact.act {
            Act::Found(of) | Act::Set(of, _) | Act::HandOver(of) | Act::End(of) => of == user,
            Act::Epoch(_) | Act::Other => false,
        });
        own.into_iter().chain(about.take(16)).map(|fact| fact.id).collect()
    }

    /// Adds an entry that came from outside, after checking what it can show by itself. It may count or not.
    ///
    /// # Errors
    /// What [`SpaceEntry::decode`] gives; [`IdentityError::WrongSpace`]; [`IdentityError::WaitingFull`] and
    /// [`IdentityError::SpaceLogFull`] at the limits. The log is then as it was.
    pub fn insert(&mut self, bytes: &[u8]) -> Result<Inserted> {
        let entry = SpaceEntry::parse(bytes)?;
        if entry.space() != self.space {
            return Err(IdentityError::WrongSpace { found: entry.space(), expected: self.space });
        }
        if self.graph.knows(&entry.id()) {
            return Ok(Inserted::Known);
        }
        entry.verify()?;
        self.take_in(entry)
    }

    fn take_in(&mut self, entry: SpaceEntry) -> Result<Inserted> {
        let Some(entry) = self.graph.wait_for_parents(entry)? else { return Ok(Inserted::Waiting) };
        let mut accepted = vec![self.accept(entry)?];
        let mut next = 0;
        while let Some(arrived) = accepted.get(next) {
            next += 1;
            for entry in self.graph.released_by(arrived)? {
                accepted.extend(self.accept(entry));
            }
        }
        Ok(Inserted::Accepted(accepted))
    }

    /// Adds an entry all of whose parents are here.
    fn accept(&mut self, entry: SpaceEntry) -> Result<EntryId> {
        let (id, user) = (entry.id(), entry.user());
        if let SpaceBody::Found { root, .. } = entry.body() {
            self.founder = Some(root.user_id());
        }
        // Neither may a member fill the log up so that the founder can't say any more that it has to go.
        let times = if self.founder == Some(user) { 2 } else { 1 };
        let of_user = self.by_user.get(&user).copied().unwrap_or(0);
        if self.graph.len() >= times * SPACE_ENTRIES_MAX
            || self.graph.bytes() + entry.as_bytes().len() > times * SPACE_BYTES_MAX
            || (times == 1 && of_user >= SPACE_USER_ENTRIES_MAX)
        {
            return Err(IdentityError::SpaceLogFull { space: self.space });
        }
        let mut knows = FactSet::default();
        for parent in entry.parents() {
            if let Some(node) = self.graph.get(parent) {
                knows.merge(&self.facts[node.extra].knows);
                knows.insert(node.extra);
            }
        }
        let act = match entry.body() {
            SpaceBody::Found { root, .. } => Act::Found(root.user_id()),
            SpaceBody::Member { root, role, .. } => Act::Set(root.user_id(), *role),
            SpaceBody::EndMember { user, .. } => Act::End(*user),
            SpaceBody::HandOver { user } => Act::HandOver(*user),
            SpaceBody::Epoch(grant) => Act::Epoch(grant.epoch),
            SpaceBody::Keys(_) | SpaceBody::Unknown { .. } => Act::Other,
        };
        let depth = self.graph.depth_upon(entry.parents());
        self.by_user.insert(user, of_user + 1);
        self.facts.push(Fact { id, depth, user, device: entry.device(), act, knows });
        self.graph.add(entry, self.facts.len() - 1);
        self.digest = OnceLock::new();
        *self.told() = None;
        Ok(id)
    }

    /// Who the members are, by the entries held and the identity logs of the users that they name.
    pub fn members(&self, users: &Users) -> Arc<Members> {
        let basis: Basis = {
            let mut named: Vec<UserId> = self.by_user.keys().copied().collect();
            named.extend(self.facts.iter().filter_map(|fact| match fact.act {
                Act::Found(user) | Act::Set(user, _) => Some(user),
                _ => None,
            }));
            named.sort();
            named.dedup();
            named.into_iter().map(|user| (user, users.get(user).map(|log| log.digest()))).collect()
        };
        let mut told = self.told();
        match &*told {
            Some((by, members)) if *by == basis => Arc::clone(members),
            _ => {
                let members = Arc::new(Members::of(self, users));
                *told = Some((basis, Arc::clone(&members)));
                members
            }
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Option<(Basis, Arc<Members>)>> {
        // What is remembered is whole, or not there.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a user may be told of the log: `None` for a member, who is told all of it. Somebody who was one is told the
    /// entries that ended that and what they know, with all their ancestors, in causal order; everybody else nothing.
    pub fn told_to(&self, users: &Users, user: UserId) -> Option<Vec<EntryId>> {
        let members = self.members(users);
        if members.role(user).is_some() {
            return None;
        }
        let told = self.graph.with_ancestors(members.ends(user).iter().copied());
        Some(self.entries().map(SpaceEntry::id).filter(|id| told.contains(id)).collect())
    }

    /// All entries that were taken in, every one after its ancestors. Store and send these bytes.
    pub fn entries(&self) -> impl Iterator<Item = &SpaceEntry> + '_ {
        self.graph.nodes().map(|node| &node.entry)
    }

    /// How many entries were taken in.
    pub fn entry_count(&self) -> usize {
        self.graph.len()
    }

    /// The entry with this id, if it was taken in.
    pub fn entry(&self, id: &EntryId) -> Option<&SpaceEntry> {
        self.graph.get(id).map(|node| &node.entry)
    }

    /// The entries that no other builds on: they stand for the whole log.
    pub fn heads(&self) -> impl Iterator<Item = EntryId> + '_ {
        self.graph.heads()
    }

    /// A hash of the set of entries: equal on two devices exactly if neither lacks an entry.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| self.graph.digest(DIGEST_CONTEXT, self.space.as_bytes()))
    }

    /// What someone lacks who holds `have` and everything those build on: entries in causal order.
    /// Ids that this log does not know are ignored.
    pub fn missing_from(&self, have: &[EntryId]) -> Vec<&SpaceEntry> {
        self.graph.missing_from(have)
    }

    /// These entries, and all that they build on.
    pub fn with_ancestors(&self, entries: impl IntoIterator<Item = EntryId>) -> std::collections::HashSet<EntryId> {
        self.graph.with_ancestors(entries)
    }

    /// The newest entry that a device has made, as it is named where it is said how far its logs count;
    /// [`Head::NONE`] if it made none.
    pub fn head_of(&self, device: DeviceId) -> Head {
        let made = self.facts.iter().filter(|fact| fact.device == device);
        made.max_by_key(|fact| fact.rank()).map_or(Head::NONE, |fact| head_of(fact.depth, &fact.id))
    }

    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(super) fn number_of(&self, id: &EntryId) -> Option<usize> {
        self.graph.get(id).map(|node| node.extra)
    }

    pub(super) fn depth_of(&self, id: &EntryId) -> Option<u32> {
        self.graph.get(id).map(|node| node.depth)
    }
}

impl fmt::Debug for SpaceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpaceLog")
            .field("space", &self.space)
            .field("entries", &self.graph.len())
            .field("waiting", &self.graph.waiting_len())
            .finish()
    }
}
