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
use crate::sync::Copied;

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
        self.become_device_with(joined, &self.store.device_keys()?)
    }

    /// [`Db::become_device`] with other keys than this device's, which were admitted in their place: a database that is
    /// a copy of another ([`Db::must_pair_again`]) becomes a device of its own. It keeps all that it holds, and what it
    /// has written stays what it is; end its [`Node`](crate::db::Node) first, which is the former device's.
    ///
    /// # Errors
    /// As [`Db::become_device`]; [`StoreError::Unsettled`](crate::store::StoreError::Unsettled) before what the copy
    /// wrote by itself has found its place.
    pub fn become_device_with(&self, joined: &Joined, keys: &DeviceKeys) -> Result<()> {
        let user = joined.log.user_id();
        self.check_can_join(user)?;
        if user != self.store.identity()?.user_id() {
            return self.store.join(&joined.log, keys, &joined.space_keys);
        }
        if keys.id() != self.store.device()? {
            return self.store.renew_device(&joined.log, keys, &joined.space_keys);
        }
        let entries: Vec<_> = joined.log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
        self.store.learn_identity(&entries)?;
        self.store.learn_space_keys(&joined.space_keys)
    }

    /// Whether this database is a copy of another that is in use, with the same device's keys: of a folder that was
    /// copied, or of a machine that was cloned. Found as soon as changes of the other one come, through whichever
    /// device. What both have written counts on all of the user's devices, also what they go on to write; but two
    /// databases must not be one device for long, since revoking it would end both, and neither is told of the other's
    /// failures.
    ///
    /// Of the two, the one that has to pair again is the one that began to write by itself later: ask the user to pair
    /// this device with another one, as if it were new. [`SyncOptions::join`](crate::db::SyncOptions::join) then asks
    /// with new keys.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn must_pair_again(&self) -> Result<Option<Copied>> {
        Ok(self.store.copied()?.filter(|copied| copied.pairs_again))
    }

    /// The keys with which this device asks for admission, and what it calls itself.
    #[cfg(feature = "net")]
    pub(super) fn who_joins(&self) -> Result<(DeviceKeys, String)> {
        let this = self.devices()?.into_iter().find(|device| device.is_this);
        let keys = match self.must_pair_again()? {
            Some(_) => DeviceKeys::generate(self.store.host()),
            None => self.device_keys()?,
        };
        Ok((keys, this.map_or_else(|| "device".to_owned(), |this| this.name)))
    }

    /// A database joins a user while its own has no name, and its own user at any time.
    pub(super) fn check_can_join(&self, user: UserId) -> Result<()> {
        let own = self.user()?;
        match own.name {
            Some(name) if user != own.id => Err(IdentityError::Registered { name }.into()),
            _ => Ok(()),
        }
    }

    /// The only user whose device this one can become, if it has a name already.
    #[cfg(feature = "net")]
    pub(super) fn joins_only(&self) -> Result<Option<UserId>> {
        let own = self.user()?;
        Ok(own.name.map(|_| own.id))
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
    Ok(Admitted { log: store.identity()?, space_keys: store.home_keys()? })
}
