//! Stories of spaces that several users share.

mod bytes;
mod model;
mod property;
mod roles;

use std::sync::Arc;

use super::{add, at, host, root_key};
use crate::identity::{
    Current, DeviceKeys, EpochGrant, Frontiers, IdentityError, IdentityLog, Inserted, Members, Role, RootPublic,
    SpaceBody, SpaceEntry, SpaceLog, Users, new_epoch,
};
use crate::oplog::{EpochKey, UserId};

/// Somebody with some devices, who knows the others' identity logs.
pub(super) struct Person {
    pub(super) devices: Vec<DeviceKeys>,
    pub(super) users: Users,
}

impl Person {
    fn new(seed: u8, devices: u8) -> Self {
        let root = root_key(seed);
        let phone = DeviceKeys::generate(&host(u64::from(seed) * 100));
        let mut log = IdentityLog::found(&root, &phone, "phone", at(0)).expect("a new user");
        let mut keys = vec![phone];
        for n in 1..devices {
            let more = add(&mut log, &keys[0].clone(), u64::from(seed) * 100 + u64::from(n), &format!("device {n}"));
            keys.push(more);
        }
        Self { devices: keys, users: Users::new(Arc::new(log)) }
    }

    pub(super) fn id(&self) -> UserId {
        self.users.own().user_id()
    }

    pub(super) fn root(&self) -> RootPublic {
        self.users.own().root()
    }

    /// Says something with the device of this number.
    fn say(&self, device: usize, log: &mut SpaceLog, body: SpaceBody) -> Result<SpaceEntry, IdentityError> {
        let entry = log.author(&self.users, &self.devices[device], body, at(10))?;
        assert!(matches!(log.insert(entry.as_bytes()), Ok(Inserted::Accepted(_))));
        Ok(entry)
    }

    /// Adds a user, or gives one another role, of whose changes none count so far.
    fn set(&self, log: &mut SpaceLog, other: &Self, role: Role) -> SpaceEntry {
        let body = SpaceBody::Member { root: other.root(), role, counted: Frontiers::new() };
        self.say(0, log, body).expect("the owner")
    }

    fn members(&self, log: &SpaceLog) -> Arc<Members> {
        log.members(&self.users)
    }

    /// Begins an epoch for all devices of all members.
    fn begin(&self, log: &mut SpaceLog, seed: u64) -> EpochKey {
        let key = new_epoch(&host(seed));
        let devices = self.members(log).devices();
        let grant = EpochGrant::seal(&host(seed), self.id(), log.space(), &key, &devices).expect("few devices");
        self.say(0, log, SpaceBody::Epoch(grant)).expect("a writer");
        key
    }

    /// Hands a key to the devices that lack it.
    fn give(&self, log: &mut SpaceLog, key: &EpochKey) {
        let owed = self.members(log).without_key(key.epoch());
        let grant = EpochGrant::seal(&host(5), self.id(), log.space(), key, &owed).expect("few devices");
        self.say(0, log, SpaceBody::Keys(grant)).expect("a member");
    }
}

/// People with two devices each, who know each other's identity logs.
pub(super) fn people<const N: usize>() -> [Person; N] {
    let mut people: [Person; N] = std::array::from_fn(|n| Person::new(n as u8 + 1, 2));
    for n in 0..N {
        for other in 0..N {
            let log = Arc::clone(people[other].users.own());
            people[n].users.put(log);
        }
    }
    people
}

pub(super) fn found(founder: &Person) -> (SpaceLog, EpochKey) {
    SpaceLog::found(&host(7), founder.users.own(), &founder.devices[0], at(1)).expect("one of the founder's devices")
}
