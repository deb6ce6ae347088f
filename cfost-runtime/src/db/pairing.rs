//! What a pairing does to the databases on both sides.
//!
//! The node does all of this by itself; a transport of the app's own drives an
//! [`Inviter`](crate::identity::pairing::Inviter) and a [`Joiner`](crate::identity::pairing::Joiner)
//! with these.

use std::sync::Arc;

use super::Db;
use crate::error::Result;
use crate::identity::pairing::{Joined, PairingId};
use crate::identity::{AddDevice, Body, DeviceKeys, IdentityError, IdentityLog};
use crate::oplog::{EpochKey, SpaceId, UserId};
use crate::store::Store;

/// What a new device is told once it is let in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Admitted {
    /// The user's identity log; the new device is in it.
    pub log: Arc<IdentityLog>,
    /// The keys of the epochs of the user's spaces.
    pub space_keys: Vec<(SpaceId, EpochKey)>,
}

impl Db {
    /// Records that a pairing is used up, before the device that used it gets an answer. It is on the
    /// disk when this returns.
    ///
    /// # Errors
    /// [`IdentityError::InvitationUsed`] if it had been used up before: nobody gets in by it.
    pub fn consume_pairing(&self, pairing: PairingId) -> Result<()> {
        consume(&self.store, pairing)
    }

    /// Makes a device, whose digits the user has confirmed, one of the user's, and gives what it has to
    /// know. It is on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn admit(&self, request: AddDevice) -> Result<Admitted> {
        admit(&self.store, request)
    }

    /// This device's secret keys, with which it asks another one for admission.
    ///
    /// # Errors
    /// [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn device_keys(&self) -> Result<DeviceKeys> {
        self.store.device_keys()
    }

    /// Makes this database a device of the user that has admitted it. Rows that are in it become that
    /// user's: they are written anew, and go to the user's other devices.
    ///
    /// A device of the same user, which had never heard of the other one, only gets to know it: so two devices
    /// meet that were restored from one backup.
    ///
    /// # Errors
    /// [`IdentityError::Registered`] if it belongs to another registered user already.
    pub fn become_device(&self, joined: &Joined) -> Result<()> {
        let user = joined.log.user_id();
        self.check_can_join(Some(user))?;
        if user == self.store.identity()?.user_id() {
            let entries: Vec<_> = joined.log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
            self.store.learn_identity(&entries)?;
            return self.store.learn_space_keys(&joined.space_keys);
        }
        let keys = self.store.device_keys()?;
        self.store.join(&joined.log, &keys, &joined.space_keys)
    }

    /// The keys with which this device asks for admission, and what it calls itself. `user` is whose it would
    /// be, if that is known.
    #[cfg(feature = "net")]
    pub(super) fn who_joins(&self, user: Option<UserId>) -> Result<(DeviceKeys, String)> {
        self.check_can_join(user)?;
        let this = self.devices()?.into_iter().find(|device| device.is_this);
        Ok((self.device_keys()?, this.map_or_else(|| "device".to_owned(), |this| this.name)))
    }

    /// A database joins a user while its own has no name, and its own user at any time.
    fn check_can_join(&self, user: Option<UserId>) -> Result<()> {
        let own = self.user()?;
        match own.name {
            Some(name) if user != Some(own.id) => Err(IdentityError::Registered { name }.into()),
            _ => Ok(()),
        }
    }
}

pub(super) fn consume(store: &Store, pairing: PairingId) -> Result<()> {
    if store.consume_pairing(pairing.as_bytes())? || planted!("use-a-code-twice") {
        Ok(())
    } else {
        Err(IdentityError::InvitationUsed.into())
    }
}

pub(super) fn admit(store: &Store, request: AddDevice) -> Result<Admitted> {
    store.author(Body::AddDevice(request))?;
    Ok(Admitted { log: store.identity()?, space_keys: store.space_keys()? })
}
