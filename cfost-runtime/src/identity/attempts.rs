//! How often a password may be tried at the app's own prompt.
//!
//! This slows down a person at the keyboard. Whoever has copied the file is slowed down by the
//! vault's cost only.

use super::error::{IdentityError, Result};
use super::limits::{LOGIN_FREE_ATTEMPTS, LOGIN_WAIT_MS_MAX};
use super::wire::Reader;

const VERSION: u8 = 1;
const WAIT_MS_FIRST: u64 = 1000;

/// Failed logins in a row, and when the next may be tried: to be stored beside the vault.
///
/// Three are free; then each doubles the wait, from 1 second to 15 minutes. An attempt counts as
/// failed from its beginning, so killing the app in the middle of one gains nothing:
/// [`begin`](Self::begin), store, unlock the vault, [`succeed`](Self::succeed), store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoginAttempts {
    failures: u32,
    not_before_ms: u64,
}

impl LoginAttempts {
    /// How many bytes the stored form takes.
    pub const BYTES: usize = 13;

    /// Begins an attempt at `now_ms`, in Unix milliseconds. Store the result before unlocking.
    ///
    /// # Errors
    /// [`IdentityError::TooManyAttempts`] while the wait after the last failure lasts; that does not
    /// count as an attempt.
    pub fn begin(&mut self, now_ms: u64) -> Result<()> {
        // A clock that was set back does not make the wait any longer than it was.
        let wait_ms = self.not_before_ms.saturating_sub(now_ms).min(wait_ms_after(self.failures));
        if wait_ms > 0 {
            self.not_before_ms = now_ms.saturating_add(wait_ms);
            return Err(IdentityError::TooManyAttempts { wait_ms });
        }
        if planted!("forget-failed-logins") {
            return Ok(());
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before_ms = now_ms.saturating_add(wait_ms_after(self.failures));
        Ok(())
    }

    /// The attempt that began last had the right password: all is forgiven.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Failed attempts since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The bytes to store: version, failures, not before.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [VERSION; Self::BYTES];
        bytes[1..5].copy_from_slice(&self.failures.to_le_bytes());
        bytes[5..].copy_from_slice(&self.not_before_ms.to_le_bytes());
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`], [`IdentityError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("login attempts", bytes);
        reader.version(VERSION)?;
        let attempts = Self { failures: reader.u32()?, not_before_ms: reader.u64()? };
        reader.end()?;
        Ok(attempts)
    }
}

fn wait_ms_after(failures: u32) -> u64 {
    match failures.checked_sub(LOGIN_FREE_ATTEMPTS) {
        None | Some(0) => 0,
        Some(over) => WAIT_MS_FIRST.checked_shl(over - 1).unwrap_or(LOGIN_WAIT_MS_MAX).min(LOGIN_WAIT_MS_MAX),
    }
}
