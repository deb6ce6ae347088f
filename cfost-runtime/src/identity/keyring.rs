//! Where a logged-in device's master key can lie, so that it isn't in a file: the system's keyring, or what an app
//! has in its place.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use super::MasterKey;

/// A keyring that holds secrets by name: the system's, or one that an app or a test brings.
///
/// While a device with a password is logged in, its master key lies there, under a random name that the database
/// remembers; a logout deletes it. A keyring may forget what it holds at any time: the password still opens the
/// database. A device without a password has no other way in, so it keeps its key in its own files.
///
/// The calls may block, for a question to the user say. They come from the thread that opens the database, logs in or
/// out, or writes after another process has.
pub trait Keyring: Send + Sync {
    /// The secret of this name; `None` if there is none.
    ///
    /// # Errors
    /// [`KeyringError::Locked`], [`KeyringError::Unavailable`].
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KeyringError>;

    /// Keeps a secret under this name, in the place of the one that had it.
    ///
    /// # Errors
    /// [`KeyringError::Locked`], [`KeyringError::Unavailable`].
    fn set(&self, name: &str, secret: &[u8]) -> Result<(), KeyringError>;

    /// Deletes the secret of this name; it's no error if there is none.
    ///
    /// # Errors
    /// [`KeyringError::Locked`], [`KeyringError::Unavailable`].
    fn delete(&self, name: &str) -> Result<(), KeyringError>;
}

/// The key of a logged-in device can't be had from its keyring. The password opens the database all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The user has to unlock the keyring.
    #[error("the keyring is locked ({reason}): unlock it and open the database again, or log in with the password")]
    Locked {
        /// The keyring's words.
        reason: String,
    },
    /// There is no keyring, or it failed.
    #[error("the keyring can't be used ({reason}): try again when it can, or log in with the password")]
    Unavailable {
        /// The keyring's words.
        reason: String,
    },
    /// The keyring was emptied, or the device was started anew and its keyring doesn't outlast that.
    #[error("the keyring has this device's key no more: log in with the password")]
    Cleared,
    /// The database was logged in with a keyring, and opened without one.
    #[error(
        "this device's key is in a keyring that the app didn't name: open the database with \
         `Db::options().keyring(..)`, or log in with the password"
    )]
    NotGiven,
    /// A logout could not delete the key.
    #[error(
        "this device is logged out, but its key is still in the keyring, as '{name}': {reason}; delete it there by hand"
    )]
    NotDeleted {
        /// What the keyring calls it.
        name: String,
        /// The keyring's words.
        reason: String,
    },
}

/// A keyring that several parts of a database share.
#[derive(Clone)]
pub(crate) struct SharedKeyring(Arc<dyn Keyring>);

impl SharedKeyring {
    pub(crate) fn new(keyring: impl Keyring + 'static) -> Self {
        Self(Arc::new(keyring))
    }

    /// The master key that was kept under this name.
    pub(crate) fn master(&self, name: &str) -> Result<MasterKey, KeyringError> {
        let secret = Zeroizing::new(self.0.get(name)?.ok_or(KeyringError::Cleared)?);
        let damaged = || KeyringError::Unavailable { reason: format!("'{name}' has {} bytes, not 32", secret.len()) };
        MasterKey::from_bytes(&secret).ok_or_else(damaged)
    }

    /// Keeps the master key under this name.
    pub(crate) fn keep(&self, name: &str, master: &MasterKey) -> Result<(), KeyringError> {
        self.0.set(name, master.as_bytes())
    }

    /// Deletes the master key of this name.
    pub(crate) fn delete(&self, name: &str) -> Result<(), KeyringError> {
        self.0.delete(name)
    }
}

impl fmt::Debug for SharedKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}
