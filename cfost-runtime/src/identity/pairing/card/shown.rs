//! The card itself.

use std::fmt;

use zeroize::Zeroizing;

use crate::host::Host;
use crate::identity::error::Result;
use crate::identity::keys::DevicePublic;
use crate::identity::limits::INVITATION_MS;
use crate::identity::pairing::invitation::PairingId;
use crate::identity::pairing::shown::{self, CARD, Code};
use crate::identity::wire::Reader;

const VERSION: u8 = 1;
/// All before the hints.
const HEAD_BYTES: usize = 1 + 32 + 16 + 16 + 8;

/// What a new device shows that wants to be let in: whom to dial, how to be sure that it is it, and a secret that shows
/// who dials it that he has seen its screen.
///
/// It is good for 300 seconds and for one user. It can be printed by `Debug`, without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    bearer_transport: [u8; 32],
    pairing: PairingId,
    secret: Zeroizing<[u8; 16]>,
    expires_at_ms: u64,
    hints: Vec<String>,
}

impl Card {
    /// A new card of the device with the keys `bearer`. The first four `hints` that are printable ASCII and no longer
    /// than 128 bytes go into it: addresses at which to dial.
    pub fn create(host: &Host, bearer: &DevicePublic, hints: impl IntoIterator<Item = String>) -> Self {
        let mut secret = Zeroizing::new([0; 16]);
        host.fill(secret.as_mut());
        Self {
            bearer_transport: bearer.transport,
            pairing: PairingId::from_bytes(host.random()),
            secret,
            expires_at_ms: host.now_ms().saturating_add(INVITATION_MS),
            hints: shown::choose_hints(hints),
        }
    }

    /// The transport key of the device to dial: whoever answers with another key is not it.
    pub fn bearer_transport(&self) -> &[u8; 32] {
        &self.bearer_transport
    }

    /// The name of this pairing.
    pub fn pairing(&self) -> PairingId {
        self.pairing
    }

    /// When the card ends, in Unix milliseconds by the new device's clock.
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Addresses at which the new device may be reached.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The text to paste: `CFOST-NEW:` and letters and digits. Its content is that of the QR code.
    pub fn to_text(&self) -> String {
        CARD.to_text(self)
    }

    /// Reads what was scanned, pasted or typed. Case, white space, line breaks and hyphens do not matter.
    ///
    /// # Errors
    /// [`IdentityError::InvitationText`] for something else than a card and for a typing mistake,
    /// [`IdentityError::Version`] for one made by a newer app, [`IdentityError::Malformed`].
    ///
    /// [`IdentityError::InvitationText`]: crate::identity::IdentityError::InvitationText
    /// [`IdentityError::Version`]: crate::identity::IdentityError::Version
    /// [`IdentityError::Malformed`]: crate::identity::IdentityError::Malformed
    pub fn from_text(text: &str) -> Result<Self> {
        Self::from_bytes(&CARD.read(text)?)
    }

    /// The QR code for a terminal with a dark background: two modules a character, with the quiet zone.
    pub fn qr_terminal(&self) -> String {
        CARD.qr_terminal(self)
    }

    /// The QR code as an SVG image, with the quiet zone.
    pub fn qr_svg(&self) -> String {
        CARD.qr_svg(self)
    }

    pub(in crate::identity::pairing) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("pairing card", bytes);
        reader.version(VERSION)?;
        let card = Self {
            bearer_transport: reader.array()?,
            pairing: PairingId::from_bytes(reader.array()?),
            secret: Zeroizing::new(reader.array()?),
            expires_at_ms: reader.u64()?,
            hints: shown::read_hints(&mut reader)?,
        };
        reader.end()?;
        Ok(card)
    }
}

impl Code for Card {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = shown::buffer(HEAD_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.bearer_transport);
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

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card")
            .field("pairing", &self.pairing)
            .field("expires_at_ms", &self.expires_at_ms)
            .field("hints", &self.hints)
            .finish_non_exhaustive()
    }
}
