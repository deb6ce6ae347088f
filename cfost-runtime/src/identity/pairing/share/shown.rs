//! The invitation itself.

use std::fmt;

use zeroize::Zeroizing;

use crate::host::Host;
use crate::identity::error::Result;
use crate::identity::keys::DevicePublic;
use crate::identity::limits::INVITATION_MS;
use crate::identity::pairing::invitation::PairingId;
use crate::identity::pairing::shown::{self, Code, SHARE};
use crate::identity::space::Role;
use crate::identity::wire::Reader;
use crate::oplog::{SpaceId, UserId};

const VERSION: u8 = 1;
/// All before the hints.
const HEAD_BYTES: usize = 1 + 16 + 1 + 16 + 32 + 16 + 16 + 8;

/// What another user has to know to be let into a space: which one, whom to dial, how to be sure that it is them, and
/// a secret that shows that it has seen the owner's screen.
///
/// It is good for 300 seconds and for one user. It can be printed by `Debug`, without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareInvitation {
    space: SpaceId,
    role: Role,
    user: UserId,
    sharer_transport: [u8; 32],
    pairing: PairingId,
    secret: Zeroizing<[u8; 16]>,
    expires_at_ms: u64,
    hints: Vec<String>,
}

impl ShareInvitation {
    /// A new invitation to a space, in which the guest will have this role, by the device of `user` with the keys
    /// `sharer`. The first four `hints` that are printable ASCII and no longer than 128 bytes go into it: addresses at
    /// which to dial.
    pub fn create(
        host: &Host,
        (space, role): (SpaceId, Role),
        user: UserId,
        sharer: &DevicePublic,
        hints: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut secret = Zeroizing::new([0; 16]);
        host.fill(secret.as_mut());
        Self {
            space,
            role,
            user,
            sharer_transport: sharer.transport,
            pairing: PairingId::from_bytes(host.random()),
            secret,
            expires_at_ms: host.now_ms().saturating_add(INVITATION_MS),
            hints: shown::choose_hints(hints),
        }
    }

    /// The space.
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// What the guest will be allowed to do there.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The user who invites.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The transport key of the device to dial: whoever answers with another key is not it.
    pub fn sharer_transport(&self) -> &[u8; 32] {
        &self.sharer_transport
    }

    /// The name of this pairing.
    pub fn pairing(&self) -> PairingId {
        self.pairing
    }

    /// When the invitation ends, in Unix milliseconds by the owner's clock.
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Addresses at which the owner's device may be reached.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The text to paste: `CFOST-SHARE:` and letters and digits. Its content is that of the QR code.
    pub fn to_text(&self) -> String {
        SHARE.to_text(self)
    }

    /// Reads what was scanned, pasted or typed. Case, white space, line breaks and hyphens do not matter.
    ///
    /// # Errors
    /// [`IdentityError::InvitationText`] for something else than an invitation to a space and for a typing mistake,
    /// [`IdentityError::Version`] for one made by a newer app, [`IdentityError::Malformed`].
    ///
    /// [`IdentityError::InvitationText`]: crate::identity::IdentityError::InvitationText
    /// [`IdentityError::Version`]: crate::identity::IdentityError::Version
    /// [`IdentityError::Malformed`]: crate::identity::IdentityError::Malformed
    pub fn from_text(text: &str) -> Result<Self> {
        Self::from_bytes(&SHARE.read(text)?)
    }

    /// The QR code for a terminal with a dark background: two modules a character, with the quiet zone.
    pub fn qr_terminal(&self) -> String {
        SHARE.qr_terminal(self)
    }

    /// The QR code as an SVG image, with the quiet zone.
    pub fn qr_svg(&self) -> String {
        SHARE.qr_svg(self)
    }

    pub(in crate::identity::pairing) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("invitation to a space", bytes);
        reader.version(VERSION)?;
        let space = SpaceId::from_bytes(reader.array()?);
        let role = match reader.u8()? {
            1 => Role::Reader,
            2 => Role::Writer,
            _ => return Err(reader.malformed("there is no such role to be invited to")),
        };
        let invitation = Self {
            space,
            role,
            user: UserId::from_bytes(reader.array()?),
            sharer_transport: reader.array()?,
            pairing: PairingId::from_bytes(reader.array()?),
            secret: Zeroizing::new(reader.array()?),
            expires_at_ms: reader.u64()?,
            hints: shown::read_hints(&mut reader)?,
        };
        reader.end()?;
        Ok(invitation)
    }
}

impl Code for ShareInvitation {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = shown::buffer(HEAD_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.space.as_bytes());
        // Nobody is invited to be the owner: that is handed over.
        bytes.push(if self.role == Role::Reader { 1 } else { 2 });
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(&self.sharer_transport);
        bytes.extend_from_slice(self.pairing.as_bytes());
        bytes.extend_from_slice(self.secret.as_ref());
        bytes.extend_from_slice(&self.expires_at_ms.to_le_bytes());
        shown::put_hints(&mut bytes, &self.hints);
        bytes
    }

    fn secret(&self) -> &[u8; 16] {
        &self.secret
    }
}

impl fmt::Debug for ShareInvitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareInvitation")
            .field("space", &self.space)
            .field("role", &self.role)
            .field("user", &self.user)
            .field("pairing", &self.pairing)
            .field("expires_at_ms", &self.expires_at_ms)
            .field("hints", &self.hints)
            .finish_non_exhaustive()
    }
}
