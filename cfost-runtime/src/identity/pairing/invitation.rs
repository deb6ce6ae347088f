//! What the authorised device shows: the invitation, as QR code and as text.
//!
//! `docs/security.md` has the format as a table.

use std::fmt;

use zeroize::Zeroizing;

use super::shown::{self, Code, INVITATION};
use crate::host::Host;
use crate::identity::error::Result;
use crate::identity::keys::DevicePublic;
use crate::identity::limits::INVITATION_MS;
use crate::identity::wire::Reader;
use crate::oplog::UserId;

const VERSION: u8 = 1;
/// All before the hints.
const HEAD_BYTES: usize = 1 + 16 + 32 + 16 + 16 + 8;

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
            hints: shown::choose_hints(hints),
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

    /// The text to paste: `CFOST:` and letters and digits. Its content is that of the QR code.
    pub fn to_text(&self) -> String {
        INVITATION.to_text(self)
    }

    /// Reads what was scanned, pasted or typed. Case, white space, line breaks and hyphens do not
    /// matter.
    ///
    /// # Errors
    /// [`IdentityError::InvitationText`] for something else than an invitation and for a typing
    /// mistake, [`IdentityError::Version`] for one made by a newer app, [`IdentityError::Malformed`].
    ///
    /// [`IdentityError::InvitationText`]: crate::identity::IdentityError::InvitationText
    /// [`IdentityError::Version`]: crate::identity::IdentityError::Version
    /// [`IdentityError::Malformed`]: crate::identity::IdentityError::Malformed
    pub fn from_text(text: &str) -> Result<Self> {
        Self::from_bytes(&INVITATION.read(text)?)
    }

    /// The QR code for a terminal with a dark background: two modules a character, with the quiet zone.
    pub fn qr_terminal(&self) -> String {
        INVITATION.qr_terminal(self)
    }

    /// The QR code as an SVG image, with the quiet zone.
    pub fn qr_svg(&self) -> String {
        INVITATION.qr_svg(self)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("invitation", bytes);
        reader.version(VERSION)?;
        let user = UserId::from_bytes(reader.array()?);
        let inviter_transport = reader.array()?;
        let pairing = PairingId(reader.array()?);
        let secret = Zeroizing::new(reader.array()?);
        let expires_at_ms = reader.u64()?;
        let hints = shown::read_hints(&mut reader)?;
        reader.end()?;
        Ok(Self { user, inviter_transport, pairing, secret, expires_at_ms, hints })
    }
}

impl Code for Invitation {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = shown::buffer(HEAD_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(&self.inviter_transport);
        bytes.extend_from_slice(&self.pairing.0);
        bytes.extend_from_slice(self.secret.as_ref());
        bytes.extend_from_slice(&self.expires_at_ms.to_le_bytes());
        shown::put_hints(&mut bytes, &self.hints);
        bytes
    }

    fn secret(&self) -> &[u8; 16] {
        &self.secret
    }
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
