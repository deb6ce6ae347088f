//! The new device's side, up to its proof.

use super::SpokenCode;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DeviceKeys;
use crate::identity::limits::SPOKEN_PROOFS_MAX;
use crate::identity::pairing::joiner::Joiner;
use crate::identity::pairing::message::{self, Message};
use crate::identity::pairing::pake::{Exchange, Parties, SPOKEN, Side};
use crate::identity::text::check_device_name;
use crate::oplog::UserId;

/// Proves to whoever shows the code that its user was told it.
///
/// It need not know whom to dial: it greets anybody. But each peer that it answers learns whether one code that it
/// had guessed before is the right one, so there are three answers in all.
pub struct SpokenJoiner {
    host: Host,
    code: SpokenCode,
    keys: DeviceKeys,
    name: String,
    only: Option<UserId>,
    proofs: u32,
}

impl SpokenJoiner {
    /// Prepares the device that holds `keys`, and calls itself `name`, for joining whoever shows `code`.
    ///
    /// # Errors
    /// [`IdentityError::Text`] for a name that can't be accepted.
    pub fn new(host: Host, code: SpokenCode, keys: DeviceKeys, name: &str) -> Result<Self> {
        check_device_name(name)?;
        Ok(Self { host, code, keys, name: name.to_owned(), only: None, proofs: 0 })
    }

    /// Answers nobody but a device of `user`: this one belongs to that user already.
    #[must_use]
    pub fn only(mut self, user: UserId) -> Self {
        self.only = Some(user);
        self
    }

    /// The first message on any connection.
    pub fn greet(&self) -> Vec<u8> {
        message::greet()
    }

    /// Answers an offer that came over a connection authenticated by the transport key `peer`: the proof to send, and
    /// the machine that goes on with what comes back, once for each peer.
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`] if the peer has no offer, [`IdentityError::SpokenCodeRefused`] after three
    /// proofs, [`IdentityError::WrongPeer`] for this device itself, [`IdentityError::OtherUser`] if it belongs to
    /// another user than the peer, [`IdentityError::InvitationExpired`] for an
    /// offer that is too old by any clock, [`IdentityError::UnexpectedMessage`], [`IdentityError::Malformed`].
    pub fn prove(&mut self, peer: &[u8; 32], offer: &[u8]) -> Result<(Joiner, Vec<u8>)> {
        let offer = match Message::decode(offer)? {
            Message::Offer(offer) => offer,
            other => return Err(other.unexpected()),
        };
        let own = self.keys.public().transport;
        if *peer == own {
            return Err(IdentityError::WrongPeer);
        }
        if self.only.is_some_and(|user| user != offer.user) {
            return Err(IdentityError::OtherUser);
        }
        if self.proofs >= SPOKEN_PROOFS_MAX {
            return Err(IdentityError::SpokenCodeRefused);
        }
        let parties = Parties {
            purpose: SPOKEN,
            user: offer.user,
            pairing: offer.pairing,
            expires_at_ms: offer.expires_at_ms,
            inviter: *peer,
            joiner: own,
            said: None,
        };
        let (exchange, element) = Exchange::begin(&self.host, self.code.as_bytes(), parties, Side::Joiner);
        let invitation = exchange.finish(&offer.element)?;
        let mut joiner = Joiner::new(self.host.clone(), invitation, self.keys.clone(), &self.name)?;
        let start = joiner.start(peer)?;
        self.proofs += 1;
        Ok((joiner, message::prove(&element, &start)))
    }
}
