//! The logs of signed entries that a database holds, and which of them, and of the spaces, a peer may know of.
//!
//! Two devices of one user share everything. A device of another user is told of the spaces that both users are in
//! now: their members logs, the identity logs of all users that these name, their changes. A user that was in a
//! space is told that, and what that builds on; anybody else is told nothing, not even that there is anything.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::limits::SPACES_MAX;
use crate::identity::{Entry, EntryId, IdentityLog, Inserted, RootPublic, SpaceEntry, SpaceLog, Users};
use crate::oplog::{SpaceId, UserId};

const DIGEST_CONTEXT: &str = "cfost entry logs v1";

/// Which log an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogKey {
    /// A user's identity log.
    User(UserId),
    /// A space's members log.
    Space(SpaceId),
}

/// The logs of entries that a database holds: identity logs of users, and members logs of spaces.
#[derive(Clone)]
pub struct EntryLogs {
    /// The identity logs, the own user's among them.
    pub users: Users,
    /// The members logs.
    pub spaces: BTreeMap<SpaceId, Arc<SpaceLog>>,
}

/// What a peer may know of.
#[derive(Clone, Debug, Default)]
pub struct Told {
    logs: BTreeMap<LogKey, EntryLog>,
    spaces: BTreeSet<SpaceId>,
}

/// One log, or as much of it as a peer may know.
#[derive(Clone, Debug)]
pub(super) enum EntryLog {
    User(Arc<IdentityLog>),
    Space(Arc<SpaceLog>),
}

impl fmt::Debug for EntryLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryLogs").field("users", &self.users).field("spaces", &self.spaces.keys()).finish()
    }
}

impl EntryLogs {
    /// Those of a database that knows of no user but its own, and of no space but the home space.
    pub fn of(identity: Arc<IdentityLog>) -> Self {
        Self { users: Users::new(identity), spaces: BTreeMap::new() }
    }

    /// Whether nothing was added to any log of `other`, and no log.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let mut users = self.users.iter().zip(other.users.iter());
        let mut spaces = self.spaces.values().zip(other.spaces.values());
        self.spaces.len() == other.spaces.len()
            && self.users.iter().count() == other.users.iter().count()
            && users.all(|(a, b)| Arc::ptr_eq(a, b))
            && spaces.all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// What the devices of `user` may know of.
    pub fn told_to(&self, user: UserId) -> Told {
        let own = self.users.own().user_id();
        let mut told = Told::default();
        if user == own {
            self.users.iter().for_each(|log| told.add_user(log));
            told.logs
                .extend(self.spaces.iter().map(|(space, log)| (LogKey::Space(*space), EntryLog::Space(log.clone()))));
            told.spaces.insert(SpaceId::home_of(own));
            told.spaces.extend(self.spaces.keys());
            return told;
        }
        for (space, log) in &self.spaces {
            self.tell_of(*space, log, user, &mut told);
        }
        told
    }

    /// Adds to `told` what another user may know of one space.
    fn tell_of(&self, space: SpaceId, log: &Arc<SpaceLog>, user: UserId, told: &mut Told) {
        let own = self.users.own().user_id();
        let members = log.members(&self.users);
        let (is_in, is_own_in) = (members.role(user).is_some(), members.role(own).is_some());
        let key = LogKey::Space(space);
        if is_in && is_own_in || planted!("tell-everybody-of-every-space") {
            told.spaces.insert(space);
            told.logs.insert(key, EntryLog::Space(log.clone()));
            for user in members.named().filter_map(|(user, _)| self.users.get(user)) {
                told.add_user(user);
            }
        } else if is_in && members.ended(own).is_some() {
            // What this user holds, those who are in the space may know: they learn so that it left.
            told.logs.insert(key, EntryLog::Space(log.clone()));
        } else if is_own_in && let Some(part) = self.part_told_to(log, user) {
            told.logs.insert(key, EntryLog::Space(Arc::new(part)));
        }
    }

    /// As much of a members log as somebody may know who was in the space.
    fn part_told_to(&self, log: &SpaceLog, user: UserId) -> Option<SpaceLog> {
        let ids = log.told_to(&self.users, user).filter(|ids| !ids.is_empty())?;
        let entries = ids.iter().filter_map(|id| Some((*id, log.entry(id)?.as_bytes())));
        // A set that holds all that its entries build on makes a log.
        SpaceLog::from_stored(log.space(), entries).ok()
    }

    /// The users, beside the own one, whose devices may know of anything.
    pub fn others(&self) -> impl Iterator<Item = &Arc<IdentityLog>> + '_ {
        let own = self.users.own().user_id();
        self.users.iter().filter(move |log| log.user_id() != own)
    }

    /// Adds entries that a peer tells, and says which were new.
    ///
    /// An entry that doesn't hold by itself is left out, and a members entry by a device that nobody knows; so is a
    /// log that this user has no business with: the identity log of a user that no space held here names, the members
    /// log of a space of which the own user neither is nor was a member. A device of the own user (`own_device`) is
    /// believed about spaces.
    pub fn learn(&mut self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Vec<(LogKey, EntryId)> {
        let mut told: BTreeMap<LogKey, Vec<&[u8]>> = BTreeMap::new();
        for (key, entry) in entries {
            told.entry(*key).or_default().push(entry);
        }
        loop {
            // Who is a member is said by the entries together, so they are tried together.
            let mut trial = self.clone();
            let new = trial.try_learn(&told);
            let refused = if own_device { Vec::new() } else { trial.no_business_since(self) };
            let strangers = trial.by_strangers(&new);
            let before = told.values().map(Vec::len).sum::<usize>();
            refused.into_iter().for_each(|space| drop(told.remove(&LogKey::Space(space))));
            for (space, entry) in strangers {
                tracing::warn!(%space, "a members entry by a device that nobody knows was left out");
                told.entry(LogKey::Space(space)).or_default().retain(|bytes| **bytes != *entry.as_bytes());
            }
            if before == told.values().map(Vec::len).sum::<usize>() {
                *self = trial;
                return new;
            }
        }
    }

    /// Those of the entries that were made by no device of the user for whom they speak, as far as is known: whoever
    /// tells of a space tells of its members' devices too. Else anybody in it could fill the log up under any name.
    fn by_strangers(&self, new: &[(LogKey, EntryId)]) -> Vec<(SpaceId, SpaceEntry)> {
        let entries = new.iter().filter_map(|(key, id)| match key {
            LogKey::Space(space) => Some((*space, self.spaces.get(space)?.entry(id)?)),
            LogKey::User(_) => None,
        });
        let is_known = |entry: &SpaceEntry| {
            self.users.get(entry.user()).is_some_and(|log| log.known_device(entry.device()).is_some())
        };
        entries.filter(|(_, entry)| !is_known(entry)).map(|(space, entry)| (space, entry.clone())).collect()
    }

    fn try_learn(&mut self, told: &BTreeMap<LogKey, Vec<&[u8]>>) -> Vec<(LogKey, EntryId)> {
        let mut new = Vec::new();
        let mut of_users: BTreeMap<UserId, &[&[u8]]> = BTreeMap::new();
        for (key, entries) in told {
            match key {
                LogKey::User(user) => drop(of_users.insert(*user, entries)),
                LogKey::Space(space) => new.extend(self.learn_of_space(*space, entries).map(|id| (*key, id))),
            }
        }
        // Which users matter is said by the spaces; by whom a space is said to name a user, by those who matter.
        while !of_users.is_empty() {
            let is_unknown = of_users.keys().any(|user| self.users.get(*user).is_none());
            let roots = if is_unknown { self.roots() } else { BTreeMap::new() };
            let before = of_users.len();
            of_users.retain(|user, entries| {
                let known = self.users.get(*user).map(|log| IdentityLog::clone(log));
                let Some(log) = known.or_else(|| roots.get(user).map(|root| IdentityLog::new(*root))) else {
                    return true;
                };
                new.extend(self.learn_of_user(log, entries).map(|id| (LogKey::User(*user), id)));
                false
            });
            if of_users.len() == before {
                break;
            }
        }
        new
    }

    /// The spaces that `before` did not know, and of which the own user neither is nor was a member.
    fn no_business_since(&self, before: &Self) -> Vec<SpaceId> {
        let own = self.users.own().user_id();
        let new = self.spaces.iter().filter(|(space, _)| !before.spaces.contains_key(space));
        let foreign = new.filter(|(_, log)| {
            let members = log.members(&self.users);
            members.role(own).is_none() && members.ended(own).is_none()
        });
        foreign.map(|(space, _)| *space).collect()
    }

    /// The root keys of all users that the members logs name.
    fn roots(&self) -> BTreeMap<UserId, RootPublic> {
        self.spaces.values().flat_map(|log| log.members(&self.users).named().collect::<Vec<_>>()).collect()
    }

    fn learn_of_space(&mut self, space: SpaceId, entries: &[&[u8]]) -> impl Iterator<Item = EntryId> + use<> {
        if self.spaces.len() >= SPACES_MAX && !self.spaces.contains_key(&space) {
            tracing::warn!(%space, "this database is in as many spaces as it can be: one more was left out");
            return Vec::new().into_iter();
        }
        let mut log = self.spaces.get(&space).map_or_else(|| SpaceLog::new(space), |log| SpaceLog::clone(log));
        let new = inserted(entries, |entry| log.insert(entry));
        if !new.is_empty() {
            self.spaces.insert(space, Arc::new(log));
        }
        new.into_iter()
    }

    fn learn_of_user(&mut self, mut log: IdentityLog, entries: &[&[u8]]) -> impl Iterator<Item = EntryId> + use<> {
        let new = inserted(entries, |entry| log.insert(entry));
        if !new.is_empty() {
            self.users.put(Arc::new(log));
        }
        new.into_iter()
    }
}

/// The entries that are new, and those that had waited for them.
fn inserted<E: fmt::Display>(entries: &[&[u8]], mut insert: impl FnMut(&[u8]) -> Result<Inserted, E>) -> Vec<EntryId> {
    let mut new = Vec::new();
    for entry in entries {
        match insert(entry) {
            Ok(Inserted::Accepted(ids)) => new.extend(ids),
            Ok(Inserted::Known | Inserted::Waiting) => {}
            Err(error) => tracing::warn!(%error, "an entry was left out"),
        }
    }
    new
}

impl Told {
    /// Adds an identity log, unless nothing is held of it yet.
    fn add_user(&mut self, log: &Arc<IdentityLog>) {
        if log.entry_count() > 0 {
            self.logs.insert(LogKey::User(log.user_id()), EntryLog::User(log.clone()));
        }
    }

    /// The spaces whose changes the two share.
    pub fn spaces(&self) -> &BTreeSet<SpaceId> {
        &self.spaces
    }

    /// The logs of entries that may be told, as far as they may be.
    pub fn logs(&self) -> impl Iterator<Item = LogKey> + '_ {
        self.logs.keys().copied()
    }

    /// Whether there is nothing to tell: the two have no business with each other.
    pub fn is_nothing(&self) -> bool {
        self.logs.is_empty()
    }

    /// As much of it as was known before [`ENTRY_LOGS_VERSION`](super::limits::ENTRY_LOGS_VERSION): the user's identity
    /// log, and the home space.
    pub(super) fn of_one_user(mut self, user: UserId) -> Self {
        self.logs.retain(|key, _| *key == LogKey::User(user));
        self.spaces.retain(|space| *space == SpaceId::home_of(user));
        self
    }

    pub(super) fn entry_logs(&self) -> impl Iterator<Item = (LogKey, &EntryLog)> + '_ {
        self.logs.iter().map(|(key, log)| (*key, log))
    }

    pub(super) fn log(&self, key: LogKey) -> Option<&EntryLog> {
        self.logs.get(&key)
    }

    /// A hash of all entries that may be told: equal on both sides if neither lacks one.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
        for (key, log) in &self.logs {
            let (kind, id) = match key {
                LogKey::User(user) => (1, user.as_bytes()),
                LogKey::Space(space) => (2, space.as_bytes()),
            };
            hasher.update(&[kind]).update(id).update(&log.digest());
        }
        hasher.finalize().into()
    }
}

impl EntryLog {
    pub(super) fn digest(&self) -> [u8; 32] {
        match self {
            Self::User(log) => log.digest(),
            Self::Space(log) => log.digest(),
        }
    }

    pub(super) fn heads(&self) -> Vec<EntryId> {
        match self {
            Self::User(log) => log.heads().collect(),
            Self::Space(log) => log.heads().collect(),
        }
    }

    pub(super) fn has(&self, id: &EntryId) -> bool {
        match self {
            Self::User(log) => log.entry(id).is_some(),
            Self::Space(log) => log.entry(id).is_some(),
        }
    }

    /// What someone lacks who holds `have` and everything those build on, in causal order.
    pub(super) fn missing_from(&self, have: &[EntryId]) -> Vec<&[u8]> {
        match self {
            Self::User(log) => log.missing_from(have).into_iter().map(Entry::as_bytes).collect(),
            Self::Space(log) => log.missing_from(have).into_iter().map(SpaceEntry::as_bytes).collect(),
        }
    }
}
