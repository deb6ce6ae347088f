//! What can be wrong with changes.

use super::LogId;

/// A change, a segment or a run that can't be read, verified or written.
///
/// None of these is a fault of the reader: bytes with such an error are not shown to anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OplogError {
    /// The bytes aren't what the format says, or aren't the one way it says them.
    #[error("malformed {what} at byte {at}: {reason}; ask its sender for it again")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// The position in it, in bytes.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The bytes are of a format that a newer version of the app writes.
    #[error("the {what} has version {version}, this app reads up to {known}: update the app")]
    Newer {
        /// What was being read.
        what: &'static str,
        /// The version that the bytes state.
        version: u8,
        /// The newest version that this build reads.
        known: u8,
    },
    /// Something is larger than any change may be.
    #[error("{what}: {found} is over the limit of {max}; split it into smaller ones")]
    TooLarge {
        /// What is too large, and its unit.
        what: &'static str,
        /// How large it is.
        found: u64,
        /// The limit, from [`limits`](super::limits).
        max: u64,
    },
    /// A value that no op may carry.
    #[error("column {column} of the op can't carry {reason}")]
    Value {
        /// The column's place in the op, from 0.
        column: usize,
        /// What is wrong with its value.
        reason: &'static str,
    },
    /// An op has more or fewer values than its shape has columns.
    #[error("the op has {found} values, its shape {columns} columns: give one for each")]
    Columns {
        /// How many values were given.
        found: usize,
        /// How many columns the shape has.
        columns: usize,
    },
    /// A run doesn't begin where the chain ends.
    #[error("log {log} is held up to change {held}, but the run starts at {found}: ask for the missing changes")]
    Gap {
        /// The log.
        log: LogId,
        /// The newest change held, 0 for none.
        held: u64,
        /// The first change of the run.
        found: u64,
    },
    /// A run is of another space, log or author than the chain it should continue.
    #[error("the run is not of log {log} as it is known here: its {field} differs")]
    OtherLog {
        /// The log of the chain.
        log: LogId,
        /// What differs.
        field: &'static str,
    },
    /// A change names an epoch whose key commitment nobody told.
    #[error("change {seq} of log {log} is sealed in epoch {epoch}, of which the run has no commitment")]
    UnknownEpoch {
        /// The log.
        log: LogId,
        /// The change.
        seq: u64,
        /// The epoch.
        epoch: u32,
    },
    /// A run's last change is unsigned, so that nothing vouches for it.
    #[error("the run of log {log} ends at change {seq}, which is not signed: end runs at a signature")]
    Unsigned {
        /// The log.
        log: LogId,
        /// The last change.
        seq: u64,
    },
    /// A signature is not the author's over this change.
    #[error("change {seq} of log {log} is not signed by its author: it was altered, or forged")]
    BadSignature {
        /// The log.
        log: LogId,
        /// The signed change.
        seq: u64,
    },
    /// A key is not the one that the change was sealed with.
    #[error("change {seq} of log {log} was sealed with another key of epoch {epoch} than the one held")]
    WrongKey {
        /// The log.
        log: LogId,
        /// The change.
        seq: u64,
        /// The epoch of the change.
        epoch: u32,
    },
    /// A segment doesn't open: its bytes aren't those that were sealed.
    #[error("segment {index} of change {seq} of log {log} doesn't open: its bytes were altered")]
    Sealed {
        /// The log.
        log: LogId,
        /// The change.
        seq: u64,
        /// The segment's place in the change, from 0.
        index: usize,
    },
}
