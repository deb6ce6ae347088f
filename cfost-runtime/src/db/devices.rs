//! The user's devices: those that are, those that were, and how one goes.

use super::Db;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::identity::{Body, Device, IdentityError, RecoveryPhrase, Standing};
use crate::oplog::DeviceId;

/// A device of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The device's id.
    pub id: DeviceId,
    /// What its user calls it.
    pub name: String,
    /// Whether it is the one that this code runs on.
    pub is_this: bool,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it was last in a session with this device, in Unix milliseconds; `None` if never.
    pub last_seen_ms: Option<u64>,
    /// Whether it still is one of the user's devices, and if not, why.
    pub standing: Standing,
}

impl Db {
    /// The user's devices, in the order in which they were added.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>> {
        self.devices_that(|device| device.standing == Standing::Active)
    }

    /// The devices that are none of the user's any more, in the order in which they were added.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn former_devices(&self) -> Result<Vec<DeviceInfo>> {
        self.devices_that(|device| device.standing != Standing::Active)
    }

    fn devices_that(&self, are: impl Fn(&Device) -> bool) -> Result<Vec<DeviceInfo>> {
        let this = self.store.device()?;
        let peers = self.store.peers()?;
        let identity = self.store.identity()?;
        let seen = |id: DeviceId| peers.iter().find(|peer| peer.device == id).map(|peer| peer.seen_ms);
        let mut devices: Vec<DeviceInfo> = identity
            .known_devices()
            .filter(|device| are(device))
            .map(|device| DeviceInfo {
                is_this: device.id == this,
                last_seen_ms: seen(device.id).filter(|seen_ms| *seen_ms > 0),
                id: device.id,
                name: device.name.clone(),
                added_at: device.added_at,
                standing: device.standing,
            })
            .collect();
        devices.sort_by_key(|device| (device.added_at, device.id));
        Ok(devices)
    }

    /// Gives a device of the user another name, on all devices.
    ///
    /// # Errors
    /// [`IdentityError::UnknownDevice`], [`IdentityError::Text`] for a name that can't be one.
    pub fn rename_device(&self, device: DeviceId, name: &str) -> Result<()> {
        if !self.store.identity()?.is_device(device) {
            return Err(IdentityError::UnknownDevice { device }.into());
        }
        self.store.author(Body::RenameDevice { device, name: name.to_owned() })
    }

    /// Revokes a device of the user that was lost or stolen.
    ///
    /// What this device holds of its changes stays. Whatever else it wrote, or still writes, is never shown, on any of
    /// the user's devices, whoever learns of the revocation when: they take such changes out of their rows again. No
    /// device exchanges anything with it any more, and what is written from now on by those that know of the
    /// revocation is sealed with a new key, which it does not get. It keeps what it has.
    ///
    /// A thief of the device may in turn revoke the others, and pretend to have done so before: of two devices that
    /// revoke each other the one that was added first stays. If that is the thief's, [`Db::keep_devices`] helps.
    ///
    /// # Errors
    /// [`IdentityError::UnknownDevice`]; [`IdentityError::Revoked`] if this device is none of the user's itself;
    /// [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn revoke_device(&self, device: DeviceId) -> Result<()> {
        if self.store.device()? == device {
            return self.retire();
        }
        if !self.store.identity()?.is_device(device) {
            return Err(IdentityError::UnknownDevice { device }.into());
        }
        self.store.end_device(device)
    }

    /// Revokes a device that has been in other hands since a time, in Unix milliseconds: as [`Db::revoke_device`], but of
    /// its changes that are held here only those made before count. Also one that was revoked already, of which it came to
    /// light later since when; a revocation can't be made to let more count than another does.
    ///
    /// The time is what the device itself has said of its changes. A thief who sets its clock back can make his changes
    /// look older than they are, but not older than the device's last change before he had it.
    ///
    /// # Errors
    /// As [`Db::revoke_device`].
    pub fn revoke_device_since(&self, device: DeviceId, since_ms: u64) -> Result<()> {
        if self.store.identity()?.known_device(device).is_none() {
            return Err(IdentityError::UnknownDevice { device }.into());
        }
        self.store.end_device_since(device, since_ms)
    }

    /// Says that this device is one of the user's no more: it is about to be sold, or given away. Its rows can still
    /// be read here and not be written; the other devices keep all that they have of it, and exchange nothing more.
    ///
    /// The other devices learn of it in a session that is open now, or in the next one with a device that has not yet
    /// heard of it; what this device has not sent by then stays here.
    ///
    /// # Errors
    /// [`IdentityError::LastDevice`] if nobody would stay; [`IdentityError::Revoked`] if it is none of the user's
    /// already; [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn retire(&self) -> Result<()> {
        self.store.end_device(self.store.device()?)
    }

    /// Says by the recovery phrase which devices of the user stay; all others that are known here are gone. Whatever
    /// devices have said of each other before is void: a device that was revoked by a thief stays if it is named.
    ///
    /// What this device holds, and shows, of the changes of those that are gone stays.
    ///
    /// # Errors
    /// [`IdentityError::WrongUser`] for another user's phrase, [`IdentityError::UnknownDevice`] for keeping one that
    /// never was, [`IdentityError::Malformed`] for keeping none.
    pub fn keep_devices(&self, phrase: &RecoveryPhrase, kept: &[DeviceId]) -> Result<()> {
        self.store.keep_devices(phrase, kept)
    }
}
