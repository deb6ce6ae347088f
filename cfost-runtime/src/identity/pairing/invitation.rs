//! What the authorised device shows: the invitation, as QR code and as text.
//!
//! `docs/security.md` has the format as a table.

use std::fmt;

use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

use super::code;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DevicePublic;
use crate::identity::limits::{
    INVITATION_HINT_BYTES_MAX, INVITATION_HINTS_MAX, INVITATION_MS, INVITATION_TEXT_BYTES_MAX,
};
use crate::identity::wire::{Reader, put_str};
use crate::oplog::UserId;

const VERSION: u8 = 1;
const PREFIX: &str = "CFOST:";
const CHECKSUM_CONTEXT: &str = "cfost invitation checksum v1";
const CHECKSUM_BYTES: usize = 4;
/// All before the hints.
const HEAD_BYTES: usize = 1 + 16 + 32 + 16 + 16 + 8 + 1;

/// The name of one pairing. It is used up by the first device that proves to know the invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairingId([u8; 16]);

impl PairingId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a new device has to know in order to ask for admission: whom to dial, how to be sure that it
/// is them, and a secret that shows it has seen the authorised device's screen.
///
/// It is good for 300 seconds and for one device. It can be printed by `Debug`, without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    user: UserId,
    inviter_transport: [u8; 32],
    pairing: PairingId,
    secret: Zeroizing<[u8; 16]>,
    expires_at_ms: u64,
    hints: Vec<String>,
}

impl Invitation {
    /// A new invitation by the device with the keys `inviter`. The first four `hints` that are
    /// printable ASCII and no longer than 128 bytes go into it: addresses at which to dial.
    pub fn create(host: &Host, user: UserId, inviter: &DevicePublic, hints: impl IntoIterator<Item = String>) -> Self {
        let mut secret = Zeroizing::new([0; 16]);
        host.fill(secret.as_mut());
        Self {
            user,
            inviter_transport: inviter.transport,
            pairing: PairingId(host.random()),
            secret,
            expires_at_ms: host.now_ms().saturating_add(INVITATION_MS),
            hints: hints.into_iter().filter(|hint| is_hint(hint)).take(INVITATION_HINTS_MAX).collect(),
        }
    }

    /// What both sides of a pairing by voice hold in its place, once they have agreed on a secret.
    pub(super) fn agreed(
        user: UserId,
        inviter_transport: [u8; 32],
        pairing: PairingId,
        secret: Zeroizing<[u8; 16]>,
        expires_at_ms: u64,
    ) -> Self {
        Self { user, inviter_transport, pairing, secret, expires_at_ms, hints: Vec::new() }
    }

    /// The user whose device the reader would become.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The transport key of the device to dial: whoever answers with another key is not it.
    pub fn inviter_transport(&self) -> &[u8; 32] {
        &self.inviter_transport
    }

    /// The name of this pairing.
    pub fn pairing(&self) -> PairingId {
        self.pairing
    }

    /// When the invitation ends, in Unix milliseconds by the inviter's clock.
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Addresses at which the inviter may be reached.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    pub(super) fn secret(&self) -> &[u8; 16] {
        &self.secret
    }

    /// The text to paste: `CFOST:` and letters and digits. Its content is that of the QR code.
    pub fn to_text(&self) -> String {
        let mut bytes = self.to_bytes();
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        format!("{PREFIX}{}", code::encode(&bytes))
    }

    /// Reads what was scanned, pasted or typed. Case, white space, line breaks and hyphens do not
    /// matter.
    ///
    /// # Errors
    /// [`IdentityError::InvitationText`] for something else than an invitation and for a typing
    /// mistake, [`IdentityError::Version`] for one made by a newer app, [`IdentityError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self> {
        let refuse = |problem| Err(IdentityError::InvitationText { problem });
        let text = text.trim();
        if text.len() > INVITATION_TEXT_BYTES_MAX {
            return refuse("is far too long");
        }
        let Some((prefix, coded)) = text.split_at_checked(PREFIX.len()) else {
            return refuse("is too short: copy all of it");
        };
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return refuse("does not begin with CFOST: copy all of it");
        }
        let decoded = code::decode(coded);
        let Some((bytes, sum)) = decoded.as_deref().and_then(|bytes| bytes.split_last_chunk::<CHECKSUM_BYTES>()) else {
            return refuse("is incomplete, or has a character that does not belong in it");
        };
        if checksum(bytes) != *sum {
            return refuse("has a typing mistake, or a part of it is missing");
        }
        Self::from_bytes(bytes)
    }

    /// The QR code for a terminal with a dark background: two modules a character, with the quiet zone.
    pub fn qr_terminal(&self) -> String {
        // A dark module is a blank, a light one is lit: on dark terminals that is dark on light.
        self.qr()
            .render::<unicode::Dense1x2>()
            .dark_color(unicode::Dense1x2::Light)
            .light_color(unicode::Dense1x2::Dark)
            .build()
    }

    /// The QR code as an SVG image, with the quiet zone.
    pub fn qr_svg(&self) -> String {
        self.qr().render::<svg::Color<'_>>().build()
    }

    pub(super) fn qr(&self) -> QrCode {
        QrCode::with_error_correction_level(self.to_text(), EcLevel::L)
            .expect("the largest invitation has 1000 characters, the largest QR code holds 4296")
    }

    /// The canonical bytes, without checksum: what the transcript begins with.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // As large as it gets, so that no reallocation leaves the secret behind in freed memory.
        let capacity = HEAD_BYTES + INVITATION_HINTS_MAX * (1 + INVITATION_HINT_BYTES_MAX) + CHECKSUM_BYTES;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        bytes.push(VERSION);
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(&self.inviter_transport);
        bytes.extend_from_slice(&self.pairing.0);
        bytes.extend_from_slice(self.secret.as_ref());
        bytes.extend_from_slice(&self.expires_at_ms.to_le_bytes());
        bytes.push(u8::try_from(self.hints.len()).expect("at most four hints"));
        self.hints.iter().for_each(|hint| put_str(&mut bytes, hint));
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("invitation", bytes);
        reader.version(VERSION)?;
        let user = UserId::from_bytes(reader.array()?);
        let inviter_transport = reader.array()?;
        let pairing = PairingId(reader.array()?);
        let secret = Zeroizing::new(reader.array()?);
        let expires_at_ms = reader.u64()?;
        let hints_count = usize::from(reader.u8()?);
        if hints_count > INVITATION_HINTS_MAX {
            return Err(reader.malformed("it has more than four address hints"));
        }
        let hints = (0..hints_count).map(|_| Ok(reader.str()?.to_owned())).collect::<Result<Vec<_>>>()?;
        if !hints.iter().all(|hint| is_hint(hint)) {
            return Err(reader.malformed("an address hint is too long, or not printable"));
        }
        reader.end()?;
        Ok(Self { user, inviter_transport, pairing, secret, expires_at_ms, hints })
    }
}

fn is_hint(hint: &str) -> bool {
    !hint.is_empty() && hint.len() <= INVITATION_HINT_BYTES_MAX && hint.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = blake3::derive_key(CHECKSUM_CONTEXT, bytes);
    [a, b, c, d]
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("user", &self.user)
            .field("pairing", &self.pairing)
            .field("expires_at_ms", &self.expires_at_ms)
            .field("hints", &self.hints)
            .finish_non_exhaustive()
    }
}
