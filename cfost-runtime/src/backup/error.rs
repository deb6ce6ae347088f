//! What can go wrong with a backup.

use std::io;
use std::path::PathBuf;

use crate::oplog::UserId;

/// Why a backup can't be made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Where the backup goes doesn't take it.
    #[error("the backup can't be written: {0}; what was written of it restores nothing")]
    Write(#[source] io::Error),
    /// Where the backup comes from doesn't give it.
    #[error("the backup can't be read: {0}")]
    Read(#[source] io::Error),
    /// A recipient that is none.
    #[error("'{recipient}' is no key to back up to: an age key for that begins with `age1`")]
    Recipient {
        /// What was given.
        recipient: String,
    },
    /// A secret key that is none.
    #[error("this is no key to restore with: an age key for that begins with `AGE-SECRET-KEY-1`")]
    Key,
    /// The file is no age file.
    #[error("this is no backup: it isn't encrypted as backups are (age, version 1)")]
    NotEncrypted,
    /// The backup is sealed to another key.
    #[error(
        "this key doesn't open the backup: take the 24 words of the user whose backup it is, or, if it was made for \
         an age key, that key"
    )]
    WrongKey,
    /// The backup opens, and is another user's.
    #[error("the backup is of user {expected}, the recovery phrase is of user {found}: take the phrase of {expected}")]
    WrongUser {
        /// The user of the backup.
        expected: UserId,
        /// The user of the phrase.
        found: UserId,
    },
    /// A newer app made the backup.
    #[error("the backup has format {found}, this app reads up to {known}: restore it with a newer version of the app")]
    Newer {
        /// The format of the backup.
        found: u8,
        /// The newest format that this build knows.
        known: u8,
    },
    /// The backup was cut or altered.
    #[error("the backup is damaged: {what}; take another copy of it")]
    Damaged {
        /// What doesn't hold.
        what: &'static str,
    },
    /// There is something where the database would be restored to.
    #[error("there is a file at {} already: restore to a path without one", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The restored file can't be put where it belongs.
    #[error("the restored database can't be put at {}: {source}", path.display())]
    Place {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl BackupError {
    pub(crate) fn damaged(what: &'static str) -> Self {
        Self::Damaged { what }
    }
}
