//! Merging, as pure values: it knows neither SQLite's tables nor the network.
//!
//! A row is a vector of *slots*, one per column, and a [`RowClock`] that says which write each slot
//! holds. Every op becomes a [`RowOp`]; [`Row::merge`] takes them in any order and any number of
//! batches, each once, and always ends in the same row:
//!
//! - a *cell* holds the value of the write with the greatest [`Stamp`]; one that *keeps* its value, of the
//!   write with the smallest;
//! - a *counter* holds the sum of the deltas;
//! - a row's *life* is a cell too: create and update write 'alive', delete writes 'dead'. The cells
//!   of a dead row go on merging, so that a later write brings all of it back. A final delete writes
//!   'gone', which beats 'alive' and 'dead' whatever their stamps.

mod clock;
pub mod position;
mod row;
#[cfg(test)]
mod tests;
#[cfg(feature = "text")]
pub mod text;

pub use clock::{ClockError, RowClock};
pub use row::{Counter, Effect, Life, Merged, Row, RowOp};
#[cfg(feature = "text")]
pub use text::Text;

use std::cmp::Ordering;

use crate::clock::Timestamp;

/// The log that made a write, by its number in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Writer(pub u32);

/// When and where a write was made: what decides which of two concurrent writes wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// The op's timestamp.
    pub at: Timestamp,
    /// The log that holds the op.
    pub writer: Writer,
}

impl Stamp {
    /// No write at all: every write beats it.
    pub const NONE: Self = Self { at: Timestamp::ZERO, writer: Writer(0) };

    /// Whether there was a write.
    pub fn is_some(self) -> bool {
        self.at > Timestamp::ZERO
    }

    /// Whether a write with this stamp wins over one with `other`.
    pub fn beats(self, other: Self, writers: &impl Writers) -> bool {
        match self.at.cmp(&other.at) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal if planted!("let-the-last-to-arrive-win-a-tie") => true,
            Ordering::Equal => self.writer != other.writer && writers.order(self.writer, other.writer).is_gt(),
        }
    }
}

/// Orders writers the same way on every replica, whatever numbers they have here: by (device, log).
pub trait Writers {
    /// The order of `a` and `b`; equal only if they are the same.
    fn order(&self, a: Writer, b: Writer) -> Ordering;
}
