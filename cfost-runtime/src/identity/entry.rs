//! One entry of an identity log, and what it can say.

use std::collections::BTreeSet;
use std::fmt;

use ed25519_dalek::SigningKey;

use super::envelope::{Envelope, Form};
use super::epoch::EpochGrant;
use super::error::{IdentityError, Result};
use super::frontiers::Frontiers;
use super::graph::Linked;
use super::keys::{self, DeviceKeys, DevicePublic};
use super::limits::{DEVICES_KEPT_MAX, FRONTIER_LOGS_MAX};
use super::text;
use super::wire::{Reader, put_str};
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, UserId};

const FORM: Form = Form {
    what: "identity entry",
    signed: "an identity entry",
    id_context: "cfost identity entry v1",
    signature_domain: b"cfost identity entry v1\0",
};
pub(super) const PROOF_DOMAIN: &[u8] = b"cfost device proof v1\0";

const KIND_ADD_DEVICE: u8 = 1;
const KIND_RENAME_DEVICE: u8 = 2;
const KIND_PROFILE: u8 = 3;
const KIND_END_DEVICE: u8 = 4;
const KIND_RE_ROOT: u8 = 5;
const KIND_EPOCH: u8 = 6;
const KIND_COUNTED: u8 = 7;

/// The name of an entry: the hash of what its author signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId([u8; 32]);

impl EntryId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({self})")
    }
}

/// A device asking to belong to a user: its keys, its name, and a proof that it holds the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddDevice {
    keys: DevicePublic,
    name: String,
    signing_proof: [u8; 64],
    transport_proof: [u8; 64],
}

impl AddDevice {
    /// The request of the device that holds `keys` to become one of `user`'s devices.
    ///
    /// # Errors
    /// [`IdentityError::Text`] for an empty or overlong name, or one with control characters.
    pub fn new(user: UserId, keys: &DeviceKeys, name: &str) -> Result<Self> {
        text::check_device_name(name)?;
        let public = keys.public();
        let statement = proof_statement(user, &public);
        Ok(Self {
            keys: public,
            name: name.to_owned(),
            signing_proof: keys::sign(keys.signing(), PROOF_DOMAIN, &statement),
            transport_proof: keys::sign(keys.transport(), PROOF_DOMAIN, &statement),
        })
    }

    /// The device's public keys.
    pub fn keys(&self) -> &DevicePublic {
        &self.keys
    }

    /// The name that the device gives itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that whoever made the request holds the signing and the transport key, and made it for
    /// `user`: no device can be enrolled against its will, nor under another's transport key. What is sealed
    /// to the sealing key must take its secret to open.
    pub(super) fn verify(&self, user: UserId) -> Result<()> {
        let statement = proof_statement(user, &self.keys);
        let what = "a device's proof of its keys";
        keys::verify(what, &self.keys.signing, PROOF_DOMAIN, &statement, &self.signing_proof)?;
        keys::verify(what, &self.keys.transport, PROOF_DOMAIN, &statement, &self.transport_proof)?;
        keys::check_sealing(&self.keys.sealing)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.keys.to_bytes());
        out.extend_from_slice(&self.signing_proof);
        out.extend_from_slice(&self.transport_proof);
        put_str(out, &self.name);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let keys = DevicePublic::from_bytes(&reader.array()?);
        let (signing_proof, transport_proof) = (reader.array()?, reader.array()?);
        let name = reader.str()?;
        text::check_device_name(name)?;
        Ok(Self { keys, name: name.to_owned(), signing_proof, transport_proof })
    }
}

pub(super) fn proof_statement(user: UserId, keys: &DevicePublic) -> Vec<u8> {
    [user.as_bytes().as_slice(), &keys.to_bytes()].concat()
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A device now belongs to the user.
    AddDevice(AddDevice),
    /// A device has another name.
    RenameDevice {
        /// Which device.
        device: DeviceId,
        /// Its name from now on.
        name: String,
    },
    /// The user's name and address have changed.
    Profile(Profile),
    /// A device has no say any more: it was lost or stolen, and is revoked by another one; or it retires, and says so
    /// itself.
    EndDevice {
        /// Which device.
        device: DeviceId,
        /// Its changes that still count, as far as the author holds them. Later ones stay invisible.
        counted: Frontiers,
    },
    /// The root key says which devices stay; all others that were known are gone, whatever was said before.
    ReRoot {
        /// The devices that stay.
        kept: BTreeSet<DeviceId>,
        /// The changes that still count of those that are gone.
        counted: Frontiers,
    },
    /// The key of an epoch of a space, for the devices that may read on.
    Epoch(EpochGrant),
    /// Logs that count by the end, or the re-rooting, which its author says next: more than one entry can name.
    Counted(Frontiers),
    /// Something that a newer app said. It is kept and passed on, and understood after an update.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// The body as it is.
        bytes: Vec<u8>,
    },
}

/// How a user wants to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The user's name.
    pub name: String,
    /// The user's e-mail address.
    pub email: String,
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::AddDevice(_) => KIND_ADD_DEVICE,
            Self::RenameDevice { .. } => KIND_RENAME_DEVICE,
            Self::Profile(_) => KIND_PROFILE,
            Self::EndDevice { .. } => KIND_END_DEVICE,
            Self::ReRoot { .. } => KIND_RE_ROOT,
            Self::Epoch(_) => KIND_EPOCH,
            Self::Counted(_) => KIND_COUNTED,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Checks what a person typed, so that nothing is signed that a reader would refuse.
    fn check(&self) -> Result<()> {
        match self {
            Self::AddDevice(_) | Self::Epoch(_) | Self::Unknown { .. } => Ok(()),
            Self::EndDevice { counted, .. } | Self::Counted(counted) => check_logs(counted),
            Self::ReRoot { kept, .. } if kept.len() > DEVICES_KEPT_MAX => {
                Err(IdentityError::TooManyDevices { devices: kept.len(), devices_max: DEVICES_KEPT_MAX })
            }
            Self::ReRoot { counted, .. } => check_logs(counted),
            Self::RenameDevice { name, .. } => text::check_device_name(name),
            Self::Profile(profile) => {
                text::check_user_name(&profile.name)?;
                text::check_email(&profile.email)
            }
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::AddDevice(add) => add.write(&mut out),
            Self::RenameDevice { device, name } => {
                out.extend_from_slice(device.as_bytes());
                put_str(&mut out, name);
            }
            Self::Profile(profile) => {
                put_str(&mut out, &profile.name);
                put_str(&mut out, &profile.email);
            }
            Self::EndDevice { device, counted } => {
                out.extend_from_slice(device.as_bytes());
                counted.write(&mut out);
            }
            Self::ReRoot { kept, counted } => {
                // Within DEVICES_KEPT_MAX, which was checked before.
                out.extend_from_slice(&(kept.len() as u16).to_le_bytes());
                kept.iter().for_each(|device| out.extend_from_slice(device.as_bytes()));
                counted.write(&mut out);
            }
            Self::Epoch(grant) => grant.write(&mut out),
            Self::Counted(counted) => counted.write(&mut out),
            Self::Unknown { bytes, .. } => out.extend_from_slice(bytes),
        }
        out
    }

    fn decode(kind: u8, bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("identity entry body", bytes);
        let body = match kind {
            0 => return Err(reader.malformed("kind 0 does not exist")),
            KIND_ADD_DEVICE => Self::AddDevice(AddDevice::read(&mut reader)?),
            KIND_RENAME_DEVICE => {
                Self::RenameDevice { device: DeviceId::from_bytes(reader.array()?), name: reader.str()?.to_owned() }
            }
            KIND_PROFILE => Self::Profile(Profile { name: reader.str()?.to_owned(), email: reader.str()?.to_owned() }),
            KIND_END_DEVICE => Self::EndDevice {
                device: DeviceId::from_bytes(reader.array()?),
                counted: Frontiers::read(&mut reader)?,
            },
            KIND_RE_ROOT => Self::ReRoot { kept: read_kept(&mut reader)?, counted: Frontiers::read(&mut reader)? },
            KIND_EPOCH => Self::Epoch(EpochGrant::read(&mut reader)?),
            KIND_COUNTED => Self::Counted(Frontiers::read(&mut reader)?),
            kind => return Ok(Self::Unknown { kind, bytes: bytes.to_vec() }),
        };
        body.check()?;
        reader.end()?;
        Ok(body)
    }
}

fn check_logs(counted: &Frontiers) -> Result<()> {
    match counted.logs() {
        logs if logs > FRONTIER_LOGS_MAX => Err(IdentityError::TooManyLogs { logs, logs_max: FRONTIER_LOGS_MAX }),
        _ => Ok(()),
    }
}

fn read_kept(reader: &mut Reader<'_>) -> Result<BTreeSet<DeviceId>> {
    let count = usize::from(reader.u16()?);
    if count == 0 || count > DEVICES_KEPT_MAX {
        return Err(reader.malformed("it keeps no device, or more than 256"));
    }
    let mut kept = BTreeSet::new();
    for _ in 0..count {
        let device = DeviceId::from_bytes(reader.array()?);
        if kept.last().is_some_and(|last| *last >= device) {
            return Err(reader.malformed("its devices are not sorted, or doubled"));
        }
        kept.insert(device);
    }
    Ok(kept)
}

/// A signed entry of an identity log.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    envelope: Envelope<16>,
    user: UserId,
    body: Body,
}

impl Entry {
    /// Signs an entry. `parents` must be sorted, without duplicates, and no more than the limit.
    pub(super) fn sign(
        key: &SigningKey,
        user: UserId,
        at: Timestamp,
        parents: Vec<EntryId>,
        body: Body,
    ) -> Result<Self> {
        body.check()?;
        let envelope = FORM.sign(key, *user.as_bytes(), at, parents, (body.kind(), &body.encode()))?;
        Ok(Self { envelope, user, body })
    }

    /// Reads an entry, strictly, and checks its signature. Whether its author was authorised is for
    /// the log to say.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`], [`IdentityError::Version`], [`IdentityError::Text`] for a name
    /// that must not be shown, [`IdentityError::Signature`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let entry = Self::parse(bytes)?;
        entry.verify()?;
        Ok(entry)
    }

    /// Reads an entry, strictly, without checking what it claims.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let (envelope, body) = FORM.parse(bytes)?;
        let body = Body::decode(envelope.kind, body)?;
        Ok(Self { user: UserId::from_bytes(envelope.scope), envelope, body })
    }

    /// Checks the author's signature, and a new device's proof of its keys.
    pub(super) fn verify(&self) -> Result<()> {
        FORM.verify(&self.envelope)?;
        match &self.body {
            Body::AddDevice(add) => add.verify(self.user),
            _ => Ok(()),
        }
    }

    /// The entry's name: the hash of what its author signed.
    pub fn id(&self) -> EntryId {
        self.envelope.id
    }

    /// Whose identity log it belongs to.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The public key of its author: the user's root key, or a device's signing key.
    pub fn author(&self) -> &[u8; 32] {
        &self.envelope.author
    }

    /// When it was made, by its author's clock.
    pub fn at(&self) -> Timestamp {
        self.envelope.at
    }

    /// The entries that its author knew and that no other known entry built on, sorted.
    pub fn parents(&self) -> &[EntryId] {
        &self.envelope.parents
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The bytes that are stored and sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.envelope.bytes
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("id", &self.id()).field("at", &self.at()).field("body", &self.body).finish()
    }
}

impl Linked for Entry {
    fn id(&self) -> EntryId {
        self.id()
    }

    fn parents(&self) -> &[EntryId] {
        self.parents()
    }

    fn at(&self) -> Timestamp {
        self.at()
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}
