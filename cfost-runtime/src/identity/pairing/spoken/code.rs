//! The code itself.

use std::fmt;

use zeroize::Zeroizing;

use crate::host::Host;
use crate::identity::error::{IdentityError, Result};

const DIGITS: usize = 8;

/// Eight digits that the authorised device shows, and the user types into the new one.
///
/// `Display` writes them as a person says them: `4829 1375`. There is no `Debug`, so that they don't come up in a
/// log.
#[derive(Clone, PartialEq, Eq)]
pub struct SpokenCode(Zeroizing<[u8; DIGITS]>);

impl SpokenCode {
    /// A new code, for one pairing.
    pub(super) fn generate(host: &Host) -> Self {
        let random = Zeroizing::new(host.random::<16>());
        // 2^128 is so much more than 10^8 that no remainder is favoured.
        let mut number = u128::from_le_bytes(*random);
        let mut digits = Zeroizing::new([0; DIGITS]);
        for digit in digits.iter_mut() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    /// Reads what was typed; spaces and hyphens do not matter.
    ///
    /// # Errors
    /// [`IdentityError::SpokenCodeForm`] for anything but eight digits.
    pub fn parse(typed: &str) -> Result<Self> {
        let mut digits = Zeroizing::new([0; DIGITS]);
        let mut typed = typed.chars().filter(|c| !c.is_whitespace() && *c != '-');
        for digit in digits.iter_mut() {
            let c = typed.next().filter(char::is_ascii_digit).ok_or(IdentityError::SpokenCodeForm)?;
            *digit = c as u8;
        }
        if typed.next().is_some() {
            return Err(IdentityError::SpokenCodeForm);
        }
        Ok(Self(digits))
    }

    pub(super) fn as_bytes(&self) -> &[u8; DIGITS] {
        &self.0
    }
}

impl fmt::Display for SpokenCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, digit) in self.0.iter().enumerate() {
            let space = if place == DIGITS / 2 { " " } else { "" };
            write!(f, "{space}{}", char::from(*digit))?;
        }
        Ok(())
    }
}
