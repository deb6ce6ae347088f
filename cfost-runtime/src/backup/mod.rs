//! Backups: what a new device of the user would be sent, in a file that only the user can read.
//!
//! A backup is no copy of the database file. It has the user's identity log, the keys of the spaces, and the
//! signed changes as a peer would get them: whoever restores it is a new device, checks every change, and makes the
//! rows anew. So no device's secret keys are in it, damage is found, and restoring it twice gives two devices.
//!
//! It is encrypted with [age](https://age-encryption.org/v1), version 1, to a key that the 24 words give: see
//! `docs/backup.md`.

mod error;
mod format;
mod key;

pub use error::BackupError;
pub use key::Recipient;

pub(crate) use format::{Part, Reader, Writer};
pub(crate) use key::unlock;

/// What a backup has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupSummary {
    /// Transactions, of all devices.
    pub changes: u64,
    /// Bytes before encryption, which adds 0.03 percent and some 200 bytes.
    pub bytes: u64,
}
