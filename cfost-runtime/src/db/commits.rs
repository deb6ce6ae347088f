//! Noticing that rows may have changed.

use std::fmt;

use tokio::sync::watch;

use super::Db;
use crate::error::Result;

/// Tells when something was committed to the database: by this process, another one, or a peer.
pub struct Commits(watch::Receiver<u64>);

impl Commits {
    /// Waits for a commit after the last one that was told of; several count as one. Works on any async
    /// runtime.
    ///
    /// Returns `None` once the database is closed.
    pub async fn next(&mut self) -> Option<()> {
        self.0.changed().await.ok()
    }

    /// Whether there was a commit since the last one that was told of.
    pub fn has_changed(&mut self) -> bool {
        let changed = self.0.has_changed().unwrap_or(false);
        self.0.mark_unchanged();
        changed
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commits")
    }
}

impl Db {
    /// Tells of commits from now on. Those of other processes are noticed within 100 ms.
    ///
    /// # Errors
    /// When the file can't be watched.
    pub fn commits(&self) -> Result<Commits> {
        Ok(Commits(self.store.commits()?))
    }
}
