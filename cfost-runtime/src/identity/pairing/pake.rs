//! SPAKE2: two who know a few digits agree on a key that nobody else learns, and who does not know them tries one
//! guess an exchange.
//!
//! By the crate `spake2`: Ed25519's group, with M, N and the hash of python-spake2 and magic-wormhole. It was never
//! audited, which is one reason why a pairing by voice ends in the typed digits like any other, and why the digits of
//! a pairing by card are worth nothing without the card's secret.

use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::hpke::HostRng;
use crate::identity::pairing::invitation::{Invitation, PairingId};
use crate::oplog::UserId;

/// What an exchange is for: none means anything in the place of another.
#[derive(Clone, Copy)]
pub(super) struct Purpose {
    inviter: &'static [u8],
    joiner: &'static [u8],
    secret: &'static str,
}

/// The eight digits of a pairing by voice.
pub(super) const SPOKEN: Purpose = Purpose {
    inviter: b"cfost spoken inviter v1\0",
    joiner: b"cfost spoken joiner v1\0",
    secret: "cfost spoken pairing v1",
};

/// The six digits of a pairing by card.
pub(super) const CARD: Purpose =
    Purpose { inviter: b"cfost card reader v1\0", joiner: b"cfost card bearer v1\0", secret: "cfost card pairing v1" };

/// How long what one side sends is: which side it is, and a point of the group.
pub(super) const ELEMENT_BYTES: usize = 33;

/// Between whom, and for what, a key is agreed on.
#[derive(Clone)]
pub(super) struct Parties {
    pub(super) purpose: Purpose,
    pub(super) user: UserId,
    pub(super) pairing: PairingId,
    pub(super) expires_at_ms: u64,
    /// Both transport keys as the connection has authenticated them.
    pub(super) inviter: [u8; 32],
    pub(super) joiner: [u8; 32],
    /// The hash of what both have said before; nothing was, in a pairing by voice.
    pub(super) said: Option<[u8; 32]>,
}

/// Which of the two.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Inviter,
    Joiner,
}

/// One side's half of an exchange; good for one answer.
pub(super) struct Exchange {
    parties: Parties,
    spake: Spake2<Ed25519Group>,
}

impl Exchange {
    /// Begins one; also returns what the other side has to be sent.
    pub(super) fn begin(host: &Host, digits: &[u8], parties: Parties, side: Side) -> (Self, [u8; ELEMENT_BYTES]) {
        let expiry = parties.expires_at_ms.to_le_bytes();
        let names = [parties.inviter.as_slice(), parties.user.as_bytes(), parties.pairing.as_bytes(), &expiry];
        let said = parties.said.as_ref().map_or(&[][..], |said| said);
        let inviter = Identity::new(&[parties.purpose.inviter, &names.concat(), said].concat());
        let joiner = Identity::new(&[parties.purpose.joiner, parties.joiner.as_slice()].concat());
        let password = Password::new(digits);
        let begin = match side {
            Side::Inviter => Spake2::start_a_with_rng,
            Side::Joiner => Spake2::start_b_with_rng,
        };
        let (spake, sent) = begin(&password, &inviter, &joiner, &mut HostRng(host));
        let element = sent.try_into().expect("a side and a compressed point");
        (Self { parties, spake }, element)
    }

    /// Ends it with what the other side sent. Both now hold the same invitation if both had the same digits; which
    /// shows only in what is made with it.
    pub(super) fn finish(self, element: &[u8; ELEMENT_BYTES]) -> Result<Invitation> {
        let malformed = |_| IdentityError::Malformed {
            what: "pairing message",
            problem: "its element is no point of the group, or this side's own",
        };
        let key = Zeroizing::new(self.spake.finish(element).map_err(malformed)?);
        let derived = Zeroizing::new(blake3::derive_key(self.parties.purpose.secret, &key));
        let mut secret = Zeroizing::new([0; 16]);
        secret.copy_from_slice(&derived[..16]);
        let Parties { user, pairing, expires_at_ms, inviter, .. } = self.parties;
        Ok(Invitation::agreed(user, inviter, pairing, secret, expires_at_ms))
    }
}
