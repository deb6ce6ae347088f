//! A new key for a space, sealed to each device that may read on.
//!
//! Whoever had an earlier key keeps it: what was written under it stays readable to a device that was ended. What
//! is written under the new one is not.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::error::{IdentityError, Result};
use super::hpke;
use super::keys::{DeviceKeys, DevicePublic};
use super::limits::EPOCH_KEYS_MAX;
use super::wire::Reader;
use crate::host::Host;
use crate::oplog::{DeviceId, EpochKey, SpaceId, UserId};

const INFO_CONTEXT: &str = "cfost epoch key v1";

/// The numbers of epochs that are begun by an entry. Those below are counted: every space begins with epoch 1.
const NUMBER_MIN: u32 = 1 << 21;
/// Four bytes in a change, as its header writes it.
const NUMBER_END: u32 = 1 << 28;

/// The bytes of a key that is sealed: the encapsulated key of HPKE, and the epoch's with its tag.
const SEALED_BYTES: usize = 32 + 32 + hpke::TAG_BYTES;

/// The key of an epoch of a space, sealed to devices. There may be several for one epoch: each for other devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochGrant {
    /// The space.
    pub space: SpaceId,
    /// The number of the epoch.
    pub epoch: u32,
    /// The commitment to the key, from which the number is derived.
    pub commitment: [u8; 32],
    pub(super) keys: BTreeMap<DeviceId, [u8; SEALED_BYTES]>,
}

/// A key for a new epoch. Its number says which key it is: two devices that begin an epoch at the same time don't
/// give two keys one number, but once in 2^28.
pub fn new_epoch(host: &Host) -> EpochKey {
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(host.random());
    let counted = EpochKey::new(1, secret.clone());
    EpochKey::new(number_of(counted.commitment()), secret)
}

/// Whether an epoch was begun by an entry, and not with its space.
pub(super) const fn is_begun_later(epoch: u32) -> bool {
    epoch >= NUMBER_MIN
}

fn number_of(commitment: &[u8; 32]) -> u32 {
    let [a, b, c, d, ..] = *commitment;
    NUMBER_MIN + u32::from_le_bytes([a, b, c, d]) % (NUMBER_END - NUMBER_MIN)
}

impl EpochGrant {
    /// Seals `key` to devices; at most [`EPOCH_KEYS_MAX`] of them.
    ///
    /// # Errors
    /// [`IdentityError::TooManyDevices`]; [`IdentityError::SmallOrderKey`] for a device that could not keep it secret.
    pub fn seal<'d>(
        host: &Host,
        user: UserId,
        space: SpaceId,
        key: &EpochKey,
        devices: impl IntoIterator<Item = &'d DevicePublic>,
    ) -> Result<Self> {
        let mut grant = Self { space, epoch: key.epoch(), commitment: *key.commitment(), keys: BTreeMap::new() };
        for device in devices {
            let info = grant.info(user, device.id());
            let sealed = hpke::seal_once(host, &device.sealing, &info, key.secret())
                .map_err(|_| IdentityError::SmallOrderKey { what: "the device's sealing key" })?;
            let sealed = <[u8; SEALED_BYTES]>::try_from(sealed.as_slice())
                .map_err(|_| IdentityError::Malformed { what: "sealed epoch key", problem: "it has another length" })?;
            grant.keys.insert(device.id(), sealed);
        }
        let devices = grant.keys.len();
        if devices > EPOCH_KEYS_MAX {
            return Err(IdentityError::TooManyDevices { devices, devices_max: EPOCH_KEYS_MAX });
        }
        Ok(grant)
    }

    /// The devices that the key is sealed to.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.keys.keys().copied()
    }

    /// The key, if it is sealed to the device that holds `keys`.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] if what was sealed is not the key that the entry commits to.
    pub fn open(&self, user: UserId, keys: &DeviceKeys) -> Result<Option<EpochKey>> {
        let Some(sealed) = self.keys.get(&keys.id()) else { return Ok(None) };
        let wrong = || IdentityError::Malformed { what: "sealed epoch key", problem: "it does not open to its key" };
        let info = self.info(user, keys.id());
        let opened = hpke::open_once(keys.sealing_secret(), &info, sealed).map_err(|_| wrong())?;
        let mut secret = Zeroizing::new([0; 32]);
        if opened.len() != secret.len() {
            return Err(wrong());
        }
        secret.copy_from_slice(&opened);
        let key = EpochKey::new(self.epoch, secret);
        if *key.commitment() == self.commitment || planted!("take-a-key-unseen") { Ok(Some(key)) } else { Err(wrong()) }
    }

    /// What a sealed key is bound to: it opens in no other place.
    pub(super) fn info(&self, user: UserId, device: DeviceId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(INFO_CONTEXT);
        hasher.update(user.as_bytes()).update(self.space.as_bytes()).update(&self.epoch.to_le_bytes());
        hasher.update(&self.commitment).update(device.as_bytes()).finalize().into()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.space.as_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(&(self.keys.len() as u16).to_le_bytes());
        for (device, sealed) in &self.keys {
            out.extend_from_slice(device.as_bytes());
            out.extend_from_slice(sealed);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let space = SpaceId::from_bytes(reader.array()?);
        let (epoch, commitment) = (reader.u32()?, reader.array()?);
        let count = usize::from(reader.u16()?);
        // The first epochs have small numbers, which say nothing of their keys.
        if epoch == 0 || (is_begun_later(epoch) && epoch != number_of(&commitment)) {
            return Err(reader.malformed("its epoch is not that of its key"));
        }
        if count == 0 || count > EPOCH_KEYS_MAX {
            return Err(reader.malformed("it has no keys, or more than 600"));
        }
        let mut keys = BTreeMap::new();
        for _ in 0..count {
            let device = DeviceId::from_bytes(reader.array()?);
            if keys.last_key_value().is_some_and(|(last, _)| *last >= device) {
                return Err(reader.malformed("its devices are not sorted, or doubled"));
            }
            keys.insert(device, reader.array()?);
        }
        Ok(Self { space, epoch, commitment, keys })
    }
}
