//! The identity logs that a database holds: its own user's, and those of users whose spaces it shares.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::devices::{Device, Standing};
use super::log::IdentityLog;
use crate::oplog::{DeviceId, UserId};

/// Identity logs by their users.
#[derive(Clone)]
pub struct Users {
    own: Arc<IdentityLog>,
    others: BTreeMap<UserId, Arc<IdentityLog>>,
}

impl Users {
    /// The own user, and nobody else yet.
    pub fn new(own: Arc<IdentityLog>) -> Self {
        Self { own, others: BTreeMap::new() }
    }

    /// The identity log of the user whose database this is.
    pub fn own(&self) -> &Arc<IdentityLog> {
        &self.own
    }

    /// The identity log of a user, if it is held.
    pub fn get(&self, user: UserId) -> Option<&Arc<IdentityLog>> {
        if user == self.own.user_id() { Some(&self.own) } else { self.others.get(&user) }
    }

    /// Holds an identity log, in the place of the one that was held of that user.
    pub fn put(&mut self, log: Arc<IdentityLog>) {
        if log.user_id() == self.own.user_id() {
            self.own = log;
        } else {
            self.others.insert(log.user_id(), log);
        }
    }

    /// All of them, the own user's first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<IdentityLog>> {
        std::iter::once(&self.own).chain(self.others.values())
    }

    /// The users of whom this is, or was, a device, and what their logs say of it.
    pub fn of_device(&self, device: DeviceId) -> impl Iterator<Item = (UserId, &Device)> {
        self.iter().filter_map(move |log| Some((log.user_id(), log.known_device(device)?)))
    }

    /// The device behind connections that this key authenticates: one that still is a device if there is one, the own
    /// user's first.
    pub fn by_transport_key(&self, key: &[u8; 32]) -> Option<(UserId, &Device)> {
        let known = self.iter().filter_map(|log| Some((log.user_id(), log.known_device_by_transport_key(key)?)));
        // Of several that are equally good, the first.
        known.min_by_key(|(_, device)| device.standing != Standing::Active)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
