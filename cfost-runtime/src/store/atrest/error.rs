//! What can go wrong with an encrypted database file.

use std::path::PathBuf;

/// An encrypted database can't be opened, or a database can't be encrypted. Neither the file nor its vault was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AtRestError {
    /// This build has no SQLCipher.
    #[error("{} is encrypted, and this app can't read that: build it with the feature `sqlcipher`", path.display())]
    NotBuiltIn {
        /// The database.
        path: PathBuf,
    },
    /// The file was opened without its key, by a tool say.
    #[error("{} is encrypted: only its app can look into it", path.display())]
    NoKey {
        /// The database.
        path: PathBuf,
    },
    /// The device is logged out, and so its database can't be read.
    #[error(
        "{} is encrypted, and this device is logged out: open it with `Db::options().login(email, password)`",
        path.display()
    )]
    LoggedOut {
        /// The database.
        path: PathBuf,
    },
    /// The device is logged out, and so it has no key to encrypt its database with.
    #[error(
        "{} can't be encrypted while this device is logged out: open it with `Db::options().login(email, password)`",
        path.display()
    )]
    PlainLoggedOut {
        /// The database.
        path: PathBuf,
    },
    /// The vault that has the key isn't there.
    #[error(
        "{} can't be opened without its vault {}, which isn't there: put it back, or restore a backup",
        path.display(), vault.display()
    )]
    VaultMissing {
        /// The database.
        path: PathBuf,
        /// Where its vault has to be.
        vault: PathBuf,
    },
    /// The vault isn't what was written.
    #[error("the vault {} is damaged: put an older copy of it back, or restore a backup", path.display())]
    VaultDamaged {
        /// The vault.
        path: PathBuf,
    },
    /// The vault was written by a newer build.
    #[error("the vault {} has version {found}, this app reads up to {known}: update the app", path.display())]
    VaultNewer {
        /// The vault.
        path: PathBuf,
        /// Its version.
        found: u8,
        /// The newest that this build knows.
        known: u8,
    },
    /// There is a vault with a password, but not the database that it opens.
    #[error(
        "the vault {} belongs to a database that isn't there: put the database back, or move the vault away to begin \
         a new one",
        path.display()
    )]
    VaultAlone {
        /// The vault.
        path: PathBuf,
    },
    /// The file isn't one that the key in its vault opens.
    #[error(
        "{} doesn't open with the key in its vault: they don't belong together, or the file's first page is damaged; \
         put the two back that lay beside each other, or restore a backup",
        path.display()
    )]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// Another process has put an encrypted file in the place of this one, while it was being opened.
    #[error("{} was encrypted by another process at this moment: open it again", path.display())]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// Another process has the file open, which would go on writing to the one that isn't encrypted.
    #[error("{} can't be encrypted while it is open elsewhere: close it there and open it again", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
}
