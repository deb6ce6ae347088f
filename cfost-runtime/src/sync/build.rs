//! Which build a device runs, and whether two builds can sync at all.

use std::fmt;

use super::limits::{NAME_BYTES_MAX, PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST};

/// What runs on a device, as it says in its greeting and where it closes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// The newest version of the protocol that it speaks.
    pub newest: u16,
    /// The oldest version of the protocol that it still speaks.
    pub oldest: u16,
    /// The version of CFOST in it.
    pub cfost: String,
    /// What the app calls its own version; empty if it didn't say.
    pub app: String,
}

/// Whose app is too old for the two to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// This device's: the peer doesn't speak its versions of the protocol any more.
    ThisDevice,
    /// The peer's: this device doesn't speak its versions any more.
    Peer,
}

impl Build {
    /// This build, in an app that calls its version `app`: the first 64 bytes of it, without control characters.
    pub fn here(app: &str) -> Self {
        let mut app: String = app.chars().filter(|char| !char.is_control()).collect();
        while app.len() > NAME_BYTES_MAX {
            app.pop();
        }
        let (newest, oldest) = (PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST);
        Self { newest, oldest, cfost: env!("CARGO_PKG_VERSION").to_owned(), app }
    }

    /// Whose app is too old, if the peer with this build and this build have no version in common.
    pub fn outdated(&self) -> Option<Outdated> {
        if self.oldest > PROTOCOL_VERSION {
            Some(Outdated::ThisDevice)
        } else if self.newest < PROTOCOL_VERSION_OLDEST {
            Some(Outdated::Peer)
        } else {
            None
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CFOST {}", self.cfost)?;
        if self.app.is_empty() { Ok(()) } else { write!(f, ", app {}", self.app) }
    }
}
