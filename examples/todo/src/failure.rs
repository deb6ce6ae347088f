//! What went wrong, and what the user can do about it.

use std::fmt;
use std::io;

use cfost::net::NetError;

/// An error as the user sees it: a sentence, and often a second one that helps.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    help: Option<String>,
    /// The reader of our output has gone away, as `head` does: not worth a word.
    pub(crate) silent: bool,
}

impl Failure {
    /// What failed and what to do.
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: Some(help.into()), silent: false }
    }

    /// What failed, where nothing helps or the sentence already says what does.
    pub(crate) fn plain(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, silent: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.help {
            Some(help) => write!(f, "\n help: {help}"),
            None => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { silent: error.kind() == io::ErrorKind::BrokenPipe, ..Self::plain(error.to_string()) }
    }
}

impl From<cfost::Error> for Failure {
    fn from(error: cfost::Error) -> Self {
        match error {
            // What the library tells a programmer, in the words of this program.
            cfost::Error::LoggedOut => Self::new("this device is locked", "'todo login' unlocks it"),
            other => Self::plain(other.to_string()),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        Self::plain(error.to_string())
    }
}
