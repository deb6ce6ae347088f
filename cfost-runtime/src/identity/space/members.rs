//! What a members log says: who the members are, under which keys they write, and what of it counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::devices::Standing;
use super::super::entry::EntryId;
use super::super::epochs::Current;
use super::super::frontiers::Frontiers;
use super::super::keys::{DevicePublic, RootPublic};
use super::super::log::IdentityLog;
use super::super::users::Users;
use super::entry::{Role, SpaceBody};
use super::epochs::{Collector, SpaceEpoch};
use super::log::SpaceLog;
use super::say::{Fact, Say};
use crate::oplog::{ChangeId, DeviceId, Head, LogId, SpaceId, UserId};

/// How somebody came to be a member no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By an own decision.
    Left,
    /// The owner removed the user.
    Removed {
        /// Who was the owner.
        by: UserId,
    },
}

/// How far a log counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// All of it does.
    All,
    /// Nothing after this change does; [`Head::NONE`]: nothing at all.
    UpTo(Head),
}

impl Limit {
    /// Nothing counts.
    pub const NOTHING: Self = Self::UpTo(Head::NONE);

    /// What counts by both. Where they name two changes in one place nobody can say which of them counts.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, limit) | (limit, Self::All) => limit,
            (Self::UpTo(a), Self::UpTo(b)) if a.seq == b.seq && a.id != b.id => Self::NOTHING,
            (Self::UpTo(a), Self::UpTo(b)) => Self::UpTo(if a.seq <= b.seq { a } else { b }),
        }
    }

    /// What counts by either. Of two changes in one place, the lesser id's.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::UpTo(a), Self::UpTo(b)) => {
                Self::UpTo(if (b.seq, std::cmp::Reverse(b.id)) > (a.seq, std::cmp::Reverse(a.id)) { b } else { a })
            }
        }
    }
}

/// Who belongs to a space, by a set of entries and the identity logs of the users that they name.
#[derive(Debug)]
pub struct Members {
    space: SpaceId,
    roles: BTreeMap<UserId, Role>,
    ended: BTreeMap<UserId, (Ended, Vec<EntryId>)>,
    named: BTreeMap<UserId, RootPublic>,
    epochs: BTreeMap<u32, SpaceEpoch>,
    /// How far a user's changes count by each entry that narrowed what the user may do, by the entry's number.
    counted: HashMap<usize, Frontiers>,
    /// The identity logs of the users that are named, as far as they are held.
    users: BTreeMap<UserId, Arc<IdentityLog>>,
}

impl Members {
    pub(super) fn of(log: &SpaceLog, users: &Users) -> Self {
        let facts = log.facts();
        let soundness = Soundness::of(log, users);
        let say = Say::of(facts, &|fact| soundness.is_sound(fact));
        let mut this = Self {
            space: log.space(),
            roles: BTreeMap::new(),
            ended: BTreeMap::new(),
            named: BTreeMap::new(),
            epochs: BTreeMap::new(),
            counted: HashMap::new(),
            users: BTreeMap::new(),
        };
        let mut narrowings: BTreeMap<UserId, Vec<usize>> = BTreeMap::new();
        for user in say.users() {
            match say.role(facts, user, None) {
                Some(role) => drop(this.roles.insert(user, role)),
                None => drop(this.ended.insert(user, ended(facts, &say, user))),
            }
            this.users.extend(users.get(user).map(|log| (user, Arc::clone(log))));
            narrowings.insert(user, say.narrowings(user).collect());
        }
        for fact in narrowings.values().flatten().copied() {
            if let Some(SpaceBody::Member { counted, .. } | SpaceBody::EndMember { counted, .. }) =
                log.entry(&facts[fact].id).map(|entry| entry.body())
            {
                this.counted.insert(fact, counted.clone());
            }
        }
        for entry in log.entries() {
            if let SpaceBody::Found { root, .. } | SpaceBody::Member { root, .. } = entry.body()
                && say.is_about(root.user_id())
            {
                this.named.insert(root.user_id(), *root);
            }
        }
        let collector = Collector {
            log,
            facts,
            say: &say,
            is_device: &|fact| soundness.is_device(fact),
            is_sound: &|fact| soundness.is_sound(fact),
        };
        this.epochs = collector.epochs(&narrowings);
        this
    }

    /// The space.
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// What a user may do in the space; `None` for who is no member.
    pub fn role(&self, user: UserId) -> Option<Role> {
        self.roles.get(&user).copied()
    }

    /// The members and their roles, by user.
    pub fn iter(&self) -> impl Iterator<Item = (UserId, Role)> {
        self.roles.iter().map(|(user, role)| (*user, *role))
    }

    /// The owner. There is one as soon as the entry is held that founded the space.
    pub fn owner(&self) -> Option<UserId> {
        self.iter().find(|(_, role)| *role == Role::Owner).map(|(user, _)| user)
    }

    /// Everybody who is or was a member, with the root key: whose identity logs are needed.
    pub fn named(&self) -> impl Iterator<Item = (UserId, RootPublic)> {
        self.named.iter().map(|(user, root)| (*user, *root))
    }

    /// How a user came to be a member no more; `None` for a member, and for who never was one.
    pub fn ended(&self, user: UserId) -> Option<Ended> {
        self.ended.get(&user).map(|(ended, _)| *ended)
    }

    /// The entries that ended a user's membership.
    pub(super) fn ends(&self, user: UserId) -> &[EntryId] {
        self.ended.get(&user).map(|(_, ends)| ends.as_slice()).unwrap_or_default()
    }

    /// The epochs of the space, by number.
    pub fn epochs(&self) -> &BTreeMap<u32, SpaceEpoch> {
        &self.epochs
    }

    /// The commitment to the key of an epoch; `None` for one that no entry has begun who may.
    pub fn commitment(&self, epoch: u32) -> Option<[u8; 32]> {
        self.epochs.get(&epoch).map(|epoch| epoch.commitment)
    }

    /// The epoch to write under: the newest that nobody can read who must not, and under which every writer may
    /// write.
    pub fn current_epoch(&self) -> Current {
        let devices: BTreeSet<DeviceId> = self.devices().iter().map(DevicePublic::id).collect();
        let writers = || self.iter().filter(|(_, role)| *role >= Role::Writer).map(|(user, _)| user);
        let may_write = |epoch: &SpaceEpoch, user: UserId| {
            epoch.begins.iter().any(|begin| begin.writers.get(&user).is_some_and(Vec::is_empty))
        };
        let good = self.epochs.iter().filter(|(_, epoch)| {
            let reads = |device| devices.contains(device) || planted!("let-former-members-read-on");
            epoch.holders.iter().all(reads) && writers().all(|user| may_write(epoch, user))
        });
        let newest = good.filter_map(|(number, epoch)| {
            let effective = epoch.begins.iter().filter(|begin| begin.is_effective);
            Some((effective.map(|begin| begin.rank).min()?, *number))
        });
        newest.max().map_or(Current::Due, |(_, number)| Current::Epoch(number))
    }

    /// The members' devices that lack the key of an epoch: whoever has it owes it to them.
    pub fn without_key(&self, epoch: u32) -> Vec<DevicePublic> {
        let Some(epoch) = self.epochs.get(&epoch) else { return Vec::new() };
        self.devices().into_iter().filter(|device| !epoch.holders.contains(&device.id())).collect()
    }

    /// The devices of the members, by their users' ids and their own: those that still are devices.
    pub fn devices(&self) -> Vec<DevicePublic> {
        let logs = self.roles.keys().filter_map(|user| self.users.get(user));
        logs.flat_map(|log| log.known_devices())
            .filter(|device| device.standing == Standing::Active)
            .map(|device| device.keys)
            .collect()
    }

    /// How far a log of a device counts, of changes under an epoch.
    pub fn limit(&self, device: DeviceId, log: LogId, epoch: u32) -> Limit {
        let begins = || self.epochs.get(&epoch).into_iter().flat_map(|epoch| &epoch.begins);
        let of_users = self.users.iter().filter_map(|(user, identity)| {
            identity.known_device(device).filter(|device| device.standing != Standing::Void)?;
            let by_identity = match identity.counted(device, self.space, log) {
                None => Limit::All,
                Some(head) => Limit::UpTo(head),
            };
            let by_roles = begins().filter_map(|begin| begin.writers.get(user)).map(|narrowed| {
                let limits = narrowed.iter().filter_map(|fact| self.counted.get(fact));
                limits.fold(Limit::All, |limit, counted| limit.and(Limit::UpTo(counted.head(self.space, log))))
            });
            Some(by_roles.fold(Limit::NOTHING, Limit::or).and(by_identity))
        });
        of_users.fold(Limit::NOTHING, Limit::or)
    }
}

fn ended(facts: &[Fact], say: &Say, user: UserId) -> (Ended, Vec<EntryId>) {
    let ends: Vec<&Fact> =
        say.latest(facts, user, None).filter(|(_, role)| role.is_none()).map(|(fact, _)| &facts[fact]).collect();
    let removed = ends.iter().filter(|end| end.user != user).min_by_key(|end| end.rank());
    let how = removed.map_or(Ended::Left, |end| Ended::Removed { by: end.user });
    (how, ends.iter().map(|end| end.id).collect())
}

/// Whose entries count by the identity logs: an author is a device of the user, and was not cut off before.
struct Soundness<'l> {
    log: &'l SpaceLog,
    users: &'l Users,
    of_author: HashMap<(UserId, DeviceId), Spoken>,
}

/// What counts of what a device has said.
enum Spoken {
    /// It never was a device of that user.
    Nothing,
    All,
    /// The entry with this number, and what it knows; `None` if it is not held.
    UpTo(Option<usize>),
}

impl<'l> Soundness<'l> {
    fn of(log: &'l SpaceLog, users: &'l Users) -> Self {
        let mut this = Self { log, users, of_author: HashMap::new() };
        for fact in log.facts() {
            let spoken = this.spoken(fact.user, fact.device);
            this.of_author.entry((fact.user, fact.device)).or_insert(spoken);
        }
        this
    }

    fn spoken(&self, user: UserId, device: DeviceId) -> Spoken {
        let known = self.users.get(user).and_then(|identity| Some((identity, identity.known_device(device)?)));
        match known {
            Some((identity, known)) if known.standing != Standing::Void => {
                match identity.counted(device, self.log.space(), LogId::MEMBERS) {
                    None => Spoken::All,
                    Some(head) => Spoken::UpTo(self.log.number_of(&EntryId::from_bytes(*head.id.as_bytes()))),
                }
            }
            _ => Spoken::Nothing,
        }
    }

    fn is_device(&self, fact: usize) -> bool {
        let fact = &self.log.facts()[fact];
        !matches!(self.of_author.get(&(fact.user, fact.device)), None | Some(Spoken::Nothing))
    }

    fn is_sound(&self, fact: usize) -> bool {
        let facts = self.log.facts();
        match self.of_author.get(&(facts[fact].user, facts[fact].device)) {
            None | Some(Spoken::Nothing) => false,
            Some(Spoken::All) => true,
            Some(Spoken::UpTo(last)) => last.is_some_and(|last| last == fact || facts[last].knows.contains(fact)),
        }
    }
}

/// The head under which an entry is named where it is said how far a device's entries count.
pub(super) fn head_of(depth: u32, entry: &EntryId) -> Head {
    Head { seq: depth.into(), id: ChangeId::from_bytes(*entry.as_bytes()) }
}
