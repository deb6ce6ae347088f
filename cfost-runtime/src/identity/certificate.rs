//! How a device proves to another that it belongs to a user.
//!
//! A certificate is the chain of entries that leads from the user's root key to the device: the root
//! key added the first device, that one the next, and so on. A reader who knows nothing but the root
//! key can check it; one who holds the log need only compare the last entry.

use super::devices::{Device, Standing};
use super::entry::{Body, Entry};
use super::error::{IdentityError, Result};
use super::keys::RootPublic;
use super::limits::CERTIFICATE_ENTRIES_MAX;
use super::log::IdentityLog;
use crate::oplog::{DeviceId, UserId};

/// Checks a certificate against the user's root key; gives the device that it is about, under the
/// name with which it was added.
///
/// # Errors
/// [`IdentityError::Certificate`] for a chain that is empty, too long or broken; what
/// [`Entry::decode`] gives for an entry that does not hold; [`IdentityError::WrongUser`].
pub fn verify_certificate<B: AsRef<[u8]>>(root: RootPublic, certificate: &[B]) -> Result<Device> {
    if certificate.len() > CERTIFICATE_ENTRIES_MAX {
        return Err(IdentityError::Certificate { problem: "it has more than 256 entries" });
    }
    let user = root.user_id();
    let mut device: Option<Device> = None;
    for bytes in certificate {
        let entry = Entry::decode(bytes.as_ref())?;
        if entry.user() != user {
            return Err(IdentityError::WrongUser { found: entry.user(), expected: user });
        }
        let expected_author = device.as_ref().map_or(root.as_bytes(), |device| &device.keys.signing);
        if entry.author() != expected_author {
            return Err(IdentityError::Certificate { problem: "an entry was not made by the one before it" });
        }
        device = Some(certified(&entry, device.as_ref().map(|by| by.id))?);
    }
    device.ok_or(IdentityError::Certificate { problem: "it is empty" })
}

/// The user whose device a certificate says it is about; nothing of it is checked.
pub fn user_of_certificate<B: AsRef<[u8]>>(certificate: &[B]) -> Option<UserId> {
    Entry::parse(certificate.first()?.as_ref()).ok().map(|entry| entry.user())
}

fn certified(entry: &Entry, added_by: Option<DeviceId>) -> Result<Device> {
    let Body::AddDevice(add) = entry.body() else {
        return Err(IdentityError::Certificate { problem: "an entry adds no device" });
    };
    let keys = *add.keys();
    Ok(Device {
        id: keys.id(),
        name: add.name().to_owned(),
        keys,
        added_at: entry.at(),
        added_by,
        standing: Standing::Active,
    })
}

impl IdentityLog {
    /// The certificate of one of the user's devices: entries, from the root key's on.
    ///
    /// # Errors
    /// [`IdentityError::UnknownDevice`]; [`IdentityError::Certificate`] if more devices stand between
    /// the root key and the device than a certificate may have.
    pub fn certificate(&self, device: DeviceId) -> Result<Vec<Vec<u8>>> {
        let mut chain = Vec::new();
        let mut next = Some(device);
        while let Some(device) = next {
            if chain.len() == CERTIFICATE_ENTRIES_MAX {
                return Err(IdentityError::Certificate { problem: "it would have more than 256 entries" });
            }
            let entry = self.entry_adding(device).ok_or(IdentityError::UnknownDevice { device })?;
            chain.push(entry.as_bytes().to_vec());
            // Ends at the root key: whoever added a device is described by an entry less deep.
            next = self.known_device(device).and_then(|device| device.added_by);
        }
        chain.reverse();
        Ok(chain)
    }

    /// Checks who is at the other end of a connection: the certificate must hold, and the connection
    /// must be authenticated by the transport key that it names. A device that this log does not know
    /// yet is accepted as well, if the certificate leads to it.
    ///
    /// # Errors
    /// What [`verify_certificate`] gives, [`IdentityError::WrongPeer`] for another transport key, and
    /// [`IdentityError::Revoked`] for a device that is none of the user's any more, or that was added by one that had
    /// no say as far as is known here.
    pub fn authenticate<B: AsRef<[u8]>>(&self, certificate: &[B], transport_key: &[u8; 32]) -> Result<Device> {
        let device = match self.device_known_by(certificate) {
            Some(device) => device.clone(),
            None => {
                let device = verify_certificate(self.root(), certificate)?;
                self.check_adders(certificate)?;
                self.known_device(device.id).cloned().unwrap_or(device)
            }
        };
        if device.keys.transport != *transport_key && !planted!("take-a-copied-certificate") {
            return Err(IdentityError::WrongPeer);
        }
        if device.standing != Standing::Active && !planted!("let-a-revoked-device-in") {
            return Err(IdentityError::Revoked { device: device.id });
        }
        Ok(device)
    }

    /// The device whose last certificate entry is here already: nothing is left to verify, so the
    /// handshake of two devices that know each other costs no signature.
    fn device_known_by<B: AsRef<[u8]>>(&self, certificate: &[B]) -> Option<&Device> {
        let last = Entry::parse(certificate.last()?.as_ref()).ok()?;
        match self.entry(&last.id())?.body() {
            Body::AddDevice(add) => self.known_device(add.keys().id()),
            _ => None,
        }
    }

    /// Whoever added a device that is new here must be one of the user's devices: what an ended one said counts only
    /// if those knew it who ended it, and their entries come with all that they knew.
    fn check_adders<B: AsRef<[u8]>>(&self, certificate: &[B]) -> Result<()> {
        let mut adder: Option<DeviceId> = None;
        for bytes in certificate {
            let entry = Entry::parse(bytes.as_ref())?;
            let known = adder.and_then(|adder| self.known_device(adder));
            if let Some(known) = known.filter(|known| known.standing != Standing::Active)
                && self.entry(&entry.id()).is_none()
            {
                return Err(IdentityError::Revoked { device: known.id });
            }
            if let Body::AddDevice(add) = entry.body() {
                adder = Some(add.keys().id());
            }
        }
        Ok(())
    }
}
