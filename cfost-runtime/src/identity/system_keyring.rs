//! The keyring of the operating system.

use keyring::{Entry, Error};

use super::keyring::{Keyring, KeyringError};

/// The keyring of the operating system: the Keychain of macOS and iOS, the Credential Manager of Windows, and on Linux
/// the keyring of the kernel.
///
/// The kernel's keyring forgets its keys when the machine is started anew, or after three days in which nobody asked
/// for them: then [`KeyringError::Cleared`] says so, and the app asks for the password once. An app that wants the
/// desktop's secret service there implements [`Keyring`] with it.
#[derive(Clone, Debug)]
pub struct SystemKeyring {
    service: String,
}

impl SystemKeyring {
    /// A part of the system's keyring of its own: `service` is what the user sees there, such as the app's name.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into() }
    }

    fn entry(&self, name: &str) -> Result<Entry, KeyringError> {
        Entry::new(&self.service, name).map_err(|error| failed(&error))
    }
}

impl Keyring for SystemKeyring {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KeyringError> {
        match self.entry(name)?.get_secret() {
            Ok(secret) => Ok(Some(secret)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    fn set(&self, name: &str, secret: &[u8]) -> Result<(), KeyringError> {
        self.entry(name)?.set_secret(secret).map_err(|error| failed(&error))
    }

    fn delete(&self, name: &str) -> Result<(), KeyringError> {
        match self.entry(name)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// What the system says; it never carries the secret.
fn failed(error: &Error) -> KeyringError {
    match error {
        Error::NoStorageAccess(reason) => KeyringError::Locked { reason: reason.to_string() },
        Error::BadEncoding(_) => KeyringError::Unavailable { reason: "what it holds is no text".into() },
        error => KeyringError::Unavailable { reason: error.to_string() },
    }
}
