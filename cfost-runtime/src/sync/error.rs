//! Why a session ends, and what of that a peer is told.

use std::error::Error;
use std::fmt;

use super::limits::{PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST};
use super::{Build, Outdated};
use crate::identity::IdentityError;
use crate::oplog::{DeviceId, LogId, OplogError, SpaceId, UserId};

/// Why a session can't go on. What was received and applied before stays; a new session resumes there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The connection's peer is no device of this user, nor of one that shares a space, so it was not even greeted.
    #[error("the peer's key {key} belongs to no device of this user, or of one that shares a space: pair it first")]
    NotAuthorised {
        /// The transport key that the connection has authenticated, as hex.
        key: String,
    },
    /// The peer's certificate doesn't lead from this user's root key to a device.
    #[error("the peer's certificate does not hold: {source}; pair the device with this user")]
    Stranger {
        /// What is wrong with it.
        #[source]
        source: IdentityError,
    },
    /// The peer's certificate is sound but names other keys than the connection or the greeting do.
    #[error("the peer claims to be device {claimed}, but its {what} belongs to another one: refused")]
    Impostor {
        /// The device that the peer claims to be.
        claimed: DeviceId,
        /// What belongs to another device.
        what: &'static str,
    },
    /// The peer is a device of the user no more: it was revoked, it retired, or the recovery phrase left it out.
    #[error("device {device} was removed from this user's devices: nothing is exchanged with it")]
    Revoked {
        /// The peer.
        device: DeviceId,
    },
    /// The peer is a device of another user, and the two users are in no space together, or no more.
    #[error("device {device} is one of user {user}, with whom nothing is shared: invite the user to a space")]
    NothingShared {
        /// The peer's user.
        user: UserId,
        /// The peer.
        device: DeviceId,
    },
    /// The peer has this device's own identity: one of the two databases is a copy of the other.
    #[error("the peer is device {device} too: this database was copied; pair the copy as a device of its own")]
    OwnDevice {
        /// This device.
        device: DeviceId,
    },
    /// The two builds have no version of the protocol in common.
    #[error("{}", mismatch(*device, theirs))]
    Version {
        /// The peer.
        device: DeviceId,
        /// What runs there.
        theirs: Box<Build>,
    },
    /// A frame announces more bytes than are allowed where it comes.
    #[error("the peer announces a frame of {bytes} bytes, {max} are allowed: disconnected")]
    FrameTooLarge {
        /// The length announced.
        bytes: usize,
        /// The limit at that point of the session.
        max: usize,
    },
    /// A frame is not the one way in which its message is written.
    #[error("the peer sent a malformed frame: {source}; disconnected")]
    Malformed {
        /// What is wrong, and where in it.
        #[source]
        source: OplogError,
    },
    /// A well-formed message that makes no sense at this point.
    #[error("the peer sent {message}, but {why}: disconnected")]
    Unexpected {
        /// The message.
        message: &'static str,
        /// Why it may not come here.
        why: &'static str,
    },
    /// A run of changes is of a space that isn't shared with this peer.
    #[error("the peer sent changes of space {space}, which was not asked for: disconnected")]
    ForeignSpace {
        /// The space.
        space: SpaceId,
    },
    /// A run of changes doesn't verify: altered, forged, or not its author's.
    #[error("the peer sent changes of log {log} that do not verify: {source}; none of them was kept")]
    BadChanges {
        /// The log.
        log: LogId,
        /// What is wrong with them.
        #[source]
        source: OplogError,
    },
    /// The peer sends or asks for the same again and again.
    #[error("{rounds} rounds with the peer brought nothing new: disconnected")]
    NoProgress {
        /// The rounds.
        rounds: u32,
    },
    /// The peer sent nothing for too long.
    #[error("the peer was silent for {silence_ms} ms: disconnected")]
    Silent {
        /// How long, in milliseconds.
        silence_ms: u64,
    },
    /// A step that must be over by a deadline was not.
    #[error("the peer did not finish {what} within {limit_ms} ms: disconnected")]
    TooSlow {
        /// The step.
        what: &'static str,
        /// The deadline, in milliseconds.
        limit_ms: u64,
    },
    /// The peer lets what is sent to it pile up.
    #[error("the peer leaves {bytes} bytes unread: disconnected")]
    NotReading {
        /// Bytes waiting to be written.
        bytes: usize,
    },
    /// This device has something to send that no frame takes.
    #[error("this device's {what} takes {bytes} bytes, a frame has room for {max}: it can't be sent")]
    TooLargeToSend {
        /// What it is.
        what: &'static str,
        /// Its size, in bytes.
        bytes: usize,
        /// The most that fits.
        max: usize,
    },
    /// This device's database could not do its part.
    #[error("could not {doing}: {source}")]
    Replica {
        /// What it was asked to do.
        doing: &'static str,
        /// Its error.
        #[source]
        source: ReplicaError,
    },
}

fn mismatch(device: DeviceId, theirs: &Build) -> String {
    let Build { oldest, newest, .. } = *theirs;
    match theirs.outdated() {
        Some(Outdated::ThisDevice) => format!(
            "this app speaks sync versions up to {PROTOCOL_VERSION}, device {device} ({theirs}) needs {oldest}: update \
             this app"
        ),
        _ => format!(
            "device {device} ({theirs}) speaks sync versions up to {newest}, this app needs {PROTOCOL_VERSION_OLDEST}: \
             update the app there"
        ),
    }
}

impl SyncError {
    /// What the peer is told: the kind of failure, and nothing about this device.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotAuthorised { .. } | Self::Stranger { .. } | Self::Impostor { .. } | Self::OwnDevice { .. } => {
                ErrorCode::REFUSED
            }
            Self::Revoked { .. } => ErrorCode::REVOKED,
            Self::NothingShared { .. } => ErrorCode::NOTHING_SHARED,
            Self::Version { .. } => ErrorCode::VERSION,
            Self::FrameTooLarge { .. }
            | Self::Malformed { .. }
            | Self::Unexpected { .. }
            | Self::ForeignSpace { .. } => ErrorCode::PROTOCOL,
            Self::BadChanges { .. } => ErrorCode::CHANGES,
            Self::NoProgress { .. } => ErrorCode::NO_PROGRESS,
            Self::Silent { .. } | Self::TooSlow { .. } | Self::NotReading { .. } => ErrorCode::TOO_SLOW,
            Self::TooLargeToSend { .. } | Self::Replica { .. } => ErrorCode::INTERNAL,
        }
    }
}

/// What one peer tells the other before it closes, beside what it runs. Codes of newer builds are kept as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// The peer is not, or no longer, a device of the user.
    pub const REFUSED: Self = Self(1);
    /// No version of the protocol in common.
    pub const VERSION: Self = Self(2);
    /// A frame that the protocol doesn't allow there.
    pub const PROTOCOL: Self = Self(3);
    /// Changes that don't verify.
    pub const CHANGES: Self = Self(4);
    /// Rounds that bring nothing.
    pub const NO_PROGRESS: Self = Self(5);
    /// Silence, a deadline, or a peer that does not read.
    pub const TOO_SLOW: Self = Self(6);
    /// The other side's database failed.
    pub const INTERNAL: Self = Self(7);
    /// The peer was a device of the user, and is one no more. Said to that device alone.
    pub const REVOKED: Self = Self(8);
    /// The peer's user is in no space with the other side's, or no more.
    pub const NOTHING_SHARED: Self = Self(9);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match *self {
            Self::REFUSED => "not a device of this user",
            Self::VERSION => "no common protocol version",
            Self::PROTOCOL => "protocol violated",
            Self::CHANGES => "changes that do not verify",
            Self::NO_PROGRESS => "no progress",
            Self::TOO_SLOW => "too slow",
            Self::INTERNAL => "its database failed",
            Self::REVOKED => "this device was removed from the user's devices",
            Self::NOTHING_SHARED => "no space is shared with this user",
            Self(code) => return write!(f, "code {code}, unknown to this version"),
        };
        write!(f, "{meaning} (code {})", self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error of a [`Replica`](super::Replica), whatever it is made of.
pub struct ReplicaError(Box<dyn Error + Send + Sync>);

impl ReplicaError {
    /// Wraps `error`.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    /// The error itself, to be downcast.
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0
    }
}

impl fmt::Debug for ReplicaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ReplicaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ReplicaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
