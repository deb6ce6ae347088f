//! What both ends of a pairing have seen, and what they derive from it.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::shown::Code;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};

const TRANSCRIPT_CONTEXT: &str = "cfost pairing transcript v1";
const KEY_CONTEXT: &str = "cfost pairing key v1";

pub(super) const MAC_BYTES: usize = 32;
/// How many numbers of six digits there are.
const DIGITS_END: u32 = 1_000_000;

/// Who proves what with a MAC.
#[derive(Clone, Copy)]
pub(super) enum Proof {
    Start,
    Challenge,
    Done,
    Call,
    Ready,
}

impl Proof {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Start => b"start",
            Self::Challenge => b"challenge",
            Self::Done => b"done",
            Self::Call => b"call",
            Self::Ready => b"ready",
        }
    }
}

/// The running hash over all that was said, and the key that the code's secret gives.
pub(super) struct Transcript {
    hasher: blake3::Hasher,
    key: Zeroizing<[u8; 32]>,
}

impl Transcript {
    /// Begins with the whole code, the transport key of the device that shows it being in it, and with the key by
    /// which the connection authenticated the device that has read it.
    pub(super) fn new(code: &impl Code, reader_transport: &[u8; 32]) -> Self {
        let key = blake3::derive_key(KEY_CONTEXT, code.secret());
        let mut transcript =
            Self { hasher: blake3::Hasher::new_derive_key(TRANSCRIPT_CONTEXT), key: Zeroizing::new(key) };
        transcript.absorb(&code.to_bytes());
        transcript.absorb(reader_transport);
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
        Digits((u64::from_le_bytes([a, b, c, d, e, f, g, h]) % u64::from(DIGITS_END)) as u32)
    }

    fn derive(&self, label: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let derived = hasher.update(&self.hash()).update(label).finalize().into();
        hasher.zeroize();
        derived
    }
}

impl Drop for Transcript {
    /// The last bytes of what was said lie in the hasher, and the code's secret may be among them.
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
    /// Digits that nobody can foresee.
    pub(super) fn random(host: &Host) -> Self {
        let number = u128::from_le_bytes(host.random());
        // 2^128 is so much more than 10^6 that no remainder is favoured.
        Self((number % u128::from(DIGITS_END)) as u32)
    }

    /// Reads what was typed; spaces and hyphens do not matter.
    ///
    /// # Errors
    /// [`IdentityError::DigitsForm`] for anything but six digits.
    pub(super) fn parse(typed: &str) -> Result<Self> {
        let typed: Vec<char> = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if typed.len() != 6 || !typed.iter().all(char::is_ascii_digit) {
            return Err(IdentityError::DigitsForm);
        }
        Ok(Self(typed.iter().fold(0, |number, digit| number * 10 + (u32::from(*digit) - u32::from('0')))))
    }

    /// Whether `typed` are these digits.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(super) fn matches(self, typed: &str) -> Result<bool> {
        Ok(Self::parse(typed)?.0.ct_eq(&self.0).into())
    }

    /// The six digits in ASCII.
    pub(super) fn to_ascii(self) -> Zeroizing<[u8; 6]> {
        let mut ascii = Zeroizing::new([b'0'; 6]);
        let mut number = self.0;
        for digit in ascii.iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
        ascii
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1000, self.0 % 1000)
    }
}
