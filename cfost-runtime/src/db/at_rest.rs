//! How a database lies on the disk, by choice of the app: encrypted or not, and where its open key is.

use zeroize::Zeroizing;

use super::DbOptions;
use crate::identity::{Keyring, PasswordCost, SharedKeyring};
use crate::store::Credentials;
#[cfg(feature = "sqlcipher")]
use crate::store::{Encrypting, OnEncryption};

impl DbOptions {
    /// Logs in on opening, as [`Db::login`](super::Db::login) does: the only way to open an encrypted database while the
    /// device is logged out. The password is tried also if the device is logged in.
    ///
    /// # Errors
    /// Opening then also gives what [`Db::login`](super::Db::login) does;
    /// [`IdentityError::NotPaired`](crate::identity::IdentityError::NotPaired) if there is no database yet.
    #[must_use]
    pub fn login(self, email: impl Into<String>, password: impl Into<String>) -> Self {
        self.login_with(email, password, PasswordCost::default())
    }

    /// [`DbOptions::login`] with another cost, to which a weaker vault is raised, than the usual one.
    #[must_use]
    pub fn login_with(mut self, email: impl Into<String>, password: impl Into<String>, cost: PasswordCost) -> Self {
        let (email, password) = (email.into(), Zeroizing::new(password.into()));
        self.at_rest.login = Some(Credentials { email, password, cost });
        self
    }

    /// Keeps the master key of a logged-in device in a keyring, the system's (`SystemKeyring`, with the feature
    /// `keyring`) say, and not in a file: whoever copies the files has nothing without the password.
    ///
    /// A device without a password has its key in its files all the same, and one that was logged in without a
    /// keyring moves its key when it is opened with one. If the keyring can't be used at a login, the device is logged
    /// in until the app ends.
    ///
    /// # Errors
    /// If a keyring doesn't give the key of a logged-in device, it is as if that were logged out, except that
    /// [`KeyringError`](crate::identity::KeyringError) says why. Opening a plain database succeeds then.
    #[must_use]
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.at_rest.keyring = Some(SharedKeyring::new(keyring));
        self
    }

    /// Encrypts the file with SQLCipher: a new one from the beginning, and a plain one when it is opened, in its place.
    /// It stays encrypted whatever is chosen later. Feature `sqlcipher`.
    ///
    /// The key comes from the device's master key, which lies in a vault beside the file, `<path>-vault`: keep the two
    /// together. Converting takes as long as copying the file, and as much free space. It may be killed at any moment:
    /// the database is then as before, or encrypted.
    ///
    /// # Errors
    /// Opening then also gives [`AtRestError`](crate::store::AtRestError): the device is logged out, the vault is missing
    /// or doesn't belong to the file, or a plain file is open elsewhere.
    #[cfg(feature = "sqlcipher")]
    #[must_use]
    pub fn encrypted(mut self, encrypted: bool) -> Self {
        self.at_rest.encrypted = encrypted;
        self
    }

    /// Tells how far the encryption of a plain file is: when it begins, every few milliseconds, and when it ends. If
    /// `told` panics, the file stays as it was. Feature `sqlcipher`.
    #[cfg(feature = "sqlcipher")]
    #[must_use]
    pub fn on_encryption(mut self, told: impl Fn(Encrypting) + Send + Sync + 'static) -> Self {
        self.at_rest.on_encryption = OnEncryption(Some(std::sync::Arc::new(told)));
        self
    }
}
