//! What is sealed to the device that is let in: to a new device, the user's identity log and the keys of the spaces.

use zeroize::Zeroizing;

use super::invitation::{Invitation, PairingId};
use super::message::{self, PART_BYTES, PARTS_MAX};
use super::transcript::Transcript;
use crate::host::Host;
use crate::identity::devices::Device;
use crate::identity::error::{IdentityError, Result};
use crate::identity::hpke::{self, SharedSecret};
use crate::identity::keys::{DevicePublic, RootPublic};
use crate::identity::log::IdentityLog;
use crate::identity::wire::Reader;
use crate::oplog::{EpochKey, SpaceId};

const VERSION: u8 = 1;
const SPACE_KEY_BYTES: usize = 16 + 4 + 32;

/// What a new device knows once it belongs to the user. Store all of it before saying so.
#[derive(Debug)]
pub struct Joined {
    /// The user's identity log; the new device is in it.
    pub log: IdentityLog,
    /// The keys of the spaces' epochs.
    pub space_keys: Vec<(SpaceId, EpochKey)>,
    /// The device that did the inviting.
    pub inviter: Device,
}

/// Seals an admission to the device with the keys `to`; the messages to send, in order.
pub(super) fn seal(
    host: &Host,
    transcript: &Transcript,
    pairing: PairingId,
    to: &DevicePublic,
    plain: &[u8],
) -> Result<Vec<Vec<u8>>> {
    let chunks: Vec<&[u8]> = plain.chunks(PART_BYTES).collect();
    let parts = u16::try_from(chunks.len())
        .ok()
        .filter(|parts| usize::from(*parts) <= PARTS_MAX)
        .ok_or(IdentityError::AdmissionTooLarge { bytes: plain.len() })?;

    let shared = SharedSecret { key: transcript.key(), id: pairing.as_bytes() };
    let unsealable = |_| IdentityError::Admission { problem: "the new device's sealing key is not usable" };
    let (encapsulated, mut sealer) = hpke::sealer(host, &to.sealing, shared, &transcript.hash()).map_err(unsealable)?;
    let mut messages = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let sealed = sealer.seal(chunk, &parts.to_le_bytes()).map_err(unsealable)?;
        messages.push(match messages.is_empty() {
            true => message::admit(&encapsulated, parts, &sealed),
            false => message::admit_more(&sealed),
        });
    }
    Ok(messages)
}

pub(super) fn encode(log: &IdentityLog, space_keys: &[(SpaceId, &EpochKey)]) -> Zeroizing<Vec<u8>> {
    let entries_bytes: usize = log.entries().map(|entry| 4 + entry.as_bytes().len()).sum();
    // As large as it gets, so that no reallocation leaves keys behind in freed memory.
    let capacity = 1 + 32 + 4 + entries_bytes + 4 + space_keys.len() * SPACE_KEY_BYTES;
    let mut out = Zeroizing::new(Vec::with_capacity(capacity));
    out.push(VERSION);
    out.extend_from_slice(log.root().as_bytes());
    out.extend_from_slice(&(log.entry_count() as u32).to_le_bytes());
    for entry in log.entries() {
        out.extend_from_slice(&(entry.as_bytes().len() as u32).to_le_bytes());
        out.extend_from_slice(entry.as_bytes());
    }
    out.extend_from_slice(&(space_keys.len() as u32).to_le_bytes());
    for (space, key) in space_keys {
        out.extend_from_slice(space.as_bytes());
        out.extend_from_slice(&key.epoch().to_le_bytes());
        out.extend_from_slice(key.secret());
    }
    out
}

/// The messages of an admission as they arrive.
pub(super) struct Opening {
    opener: hpke::Opener,
    parts: u16,
    opened: Vec<Zeroizing<Vec<u8>>>,
}

impl Opening {
    pub(super) fn new(
        transcript: &Transcript,
        pairing: PairingId,
        sealing_secret: &[u8; 32],
        encapsulated: &[u8; 32],
        parts: u16,
    ) -> Result<Self> {
        let shared = SharedSecret { key: transcript.key(), id: pairing.as_bytes() };
        let opener = hpke::opener(sealing_secret, encapsulated, shared, &transcript.hash()).map_err(unopened)?;
        Ok(Self { opener, parts, opened: Vec::new() })
    }

    /// Opens the next part; the whole once it is complete.
    pub(super) fn add(&mut self, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let part = self.opener.open(sealed, &self.parts.to_le_bytes()).map_err(unopened)?;
        self.opened.push(Zeroizing::new(part));
        Ok((self.opened.len() == usize::from(self.parts)).then(|| {
            let bytes = self.opened.iter().map(|part| part.len()).sum();
            let mut whole = Zeroizing::new(Vec::with_capacity(bytes));
            self.opened.iter().for_each(|part| whole.extend_from_slice(part));
            whole
        }))
    }
}

fn unopened<E>(_: E) -> IdentityError {
    IdentityError::Admission { problem: "it was altered, or sealed to another device" }
}

/// Reads the admission, and believes none of it: the root key must be the one that the invitation
/// names by its hash, the log must hold from there, and both devices must be in it as they are known.
pub(super) fn decode(plain: &[u8], invitation: &Invitation, own: &DevicePublic) -> Result<Joined> {
    let refuse = |problem| Err(IdentityError::Admission { problem });
    let mut reader = Reader::new("admission", plain);
    reader.version(VERSION)?;
    let root = RootPublic::from_bytes(reader.array()?);
    if root.user_id() != invitation.user() {
        return refuse("its root key is not that of the inviting user");
    }
    let mut entries = Vec::new();
    for _ in 0..reader.u32()? {
        let length = reader.u32()? as usize;
        entries.push(reader.bytes(length)?);
    }
    let mut space_keys = Vec::new();
    for _ in 0..reader.u32()? {
        let space = SpaceId::from_bytes(reader.array()?);
        let epoch = reader.u32()?;
        space_keys.push((space, EpochKey::new(epoch, Zeroizing::new(reader.array()?))));
    }
    reader.end()?;

    let log = IdentityLog::from_entries(root, entries)?;
    if log.device(own.id()).is_none_or(|device| device.keys != *own) {
        return refuse("this device is not in the identity log");
    }
    let Some(inviter) = log.device_by_transport_key(invitation.inviter_transport()) else {
        return refuse("the inviting device is not one of the user's");
    };
    Ok(Joined { log, space_keys, inviter })
}
