//! What both ends of a pairing have seen, and what they derive from it.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::invitation::Invitation;
use crate::identity::error::{IdentityError, Result};

const TRANSCRIPT_CONTEXT: &str = "cfost pairing transcript v1";
const KEY_CONTEXT: &str = "cfost pairing key v1";

pub(super) const MAC_BYTES: usize = 32;

/// Who proves what with a MAC.
#[derive(Clone, Copy)]
pub(super) enum Proof {
    Start,
    Challenge,
    Done,
}

impl Proof {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Start => b"start",
            Self::Challenge => b"challenge",
            Self::Done => b"done",
        }
    }
}

/// The running hash over all that was said, and the key that the invitation's secret gives.
pub(super) struct Transcript {
    hasher: blake3::Hasher,
    key: Zeroizing<[u8; 32]>,
}

impl Transcript {
    /// Begins with the whole invitation, the inviter's transport key being in it, and with the key by
    /// which the connection authenticated the joiner.
    pub(super) fn new(invitation: &Invitation, joiner_transport: &[u8; 32]) -> Self {
        let key = blake3::derive_key(KEY_CONTEXT, invitation.secret());
        let mut transcript =
            Self { hasher: blake3::Hasher::new_derive_key(TRANSCRIPT_CONTEXT), key: Zeroizing::new(key) };
        transcript.absorb(&invitation.to_bytes());
        transcript.absorb(joiner_transport);
        transcript
    }

    /// Adds a message, or part of one. The length in front keeps what follows from being moved over.
    pub(super) fn absorb(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }

    /// The hash of all that was said so far.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.hasher.finalize().into()
    }

    /// The key that only those have who have seen the invitation.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub(super) fn mac(&self, proof: Proof) -> [u8; MAC_BYTES] {
        self.derive(proof.label())
    }

    /// Checks that whoever made `mac` knows the secret and has seen the same as this side.
    pub(super) fn check(&self, proof: Proof, mac: &[u8; MAC_BYTES]) -> Result<()> {
        if self.mac(proof).ct_eq(mac).into() { Ok(()) } else { Err(IdentityError::WrongSecret) }
    }

    /// What the user compares.
    pub(super) fn digits(&self) -> Digits {
        let [a, b, c, d, e, f, g, h, ..] = self.derive(b"digits");
        Digits((u64::from_le_bytes([a, b, c, d, e, f, g, h]) % 1_000_000) as u32)
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let derived = hasher.update(&self.hash()).update(label).finalize().into();
        hasher.zeroize();
        derived
    }
}

impl Drop for Transcript {
    /// The last bytes of what was said lie in the hasher, and the invitation's secret may be among them.
    fn drop(&mut self) {
        self.hasher.zeroize();
    }
}

/// Six digits that the new device shows and the user types into the authorised one.
///
/// `Display` writes them as a person reads them: `482 913`.
#[derive(Clone, Copy)]
pub struct Digits(u32);

impl Digits {
    /// Whether `typed` are these digits; spaces and hyphens do not matter.
    ///
    /// # Errors
    /// [`IdentityError::DigitsForm`] for anything but six digits.
    pub(super) fn matches(self, typed: &str) -> Result<bool> {
        let typed: Vec<char> = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if typed.len() != 6 || !typed.iter().all(char::is_ascii_digit) {
            return Err(IdentityError::DigitsForm);
        }
        let number = typed.iter().fold(0, |number, digit| number * 10 + (u32::from(*digit) - u32::from('0')));
        Ok(number.ct_eq(&self.0).into())
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1000, self.0 % 1000)
    }
}
