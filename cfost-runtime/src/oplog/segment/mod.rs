//! Segments: the ops of one change on one table, as bytes.
//!
//! A [`SegmentWriter`] collects ops as a transaction makes them; a [`SegmentReader`] hands them out
//! again without copying. What an op touches (its kind and its columns) is its *shape*: a shape is
//! written where it is first used and is a small number from then on, so that a thousand equal ops name
//! their columns once. Op `i` of a segment has the segment's base timestamp plus `i`.
//!
//! Columns carry their merge rule and values their type, so that a build that knows neither the column
//! nor the rule can keep and relay both.

mod read;
mod value;
mod write;

pub use read::{Op, SegmentReader, ShapeColumn};
pub use value::{OpValue, read_value, write_value};
pub(super) use value::{next_value, put_value};
pub use write::{Mark, SegmentWriter, Shape};

use super::OplogError;

/// The version of the payload's format, its first byte.
pub const SEGMENT_FORMAT: u8 = 1;

/// What an op does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// The row comes to be, with all its columns.
    Create,
    /// Some columns of the row change.
    Update,
    /// The row goes; the op has no columns.
    Delete,
}

impl OpKind {
    /// The kind's byte in a shape.
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Update => 2,
            Self::Delete => 3,
        }
    }

    /// The kind with this byte.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Create),
            2 => Some(Self::Update),
            3 => Some(Self::Delete),
            _ => None,
        }
    }

    /// The kind's name, as the readable oplog shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// How an op's column merges, as the byte it is written as. A newer app may write rules that this build
/// doesn't know: they are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleTag(u8);

impl RuleTag {
    /// The last writer wins.
    pub const LWW: Self = Self(1);
    /// Increments add up: the op's value is the signed increment.
    pub const COUNTER: Self = Self(2);
    /// Elements of a set are added and removed.
    pub const SET: Self = Self(3);
    /// Keys of a map are given values and removed.
    pub const MAP: Self = Self(4);
    /// Elements of a list are placed, given values and removed.
    pub const LIST: Self = Self(5);
    /// Characters of a text are inserted, deleted and marked.
    pub const TEXT: Self = Self(6);

    /// The rule with this byte.
    pub const fn from_u8(byte: u8) -> Self {
        Self(byte)
    }

    /// The rule's byte.
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Whether this build knows how columns with this rule merge.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::LWW | Self::COUNTER | Self::SET | Self::MAP | Self::LIST | Self::TEXT)
    }

    /// What is wrong with `value` in a column of this rule, if anything.
    fn objection(self, value: &OpValue<'_>) -> Option<&'static str> {
        match (self, value) {
            (Self::COUNTER, OpValue::Plain(super::ValueRef::Integer(_))) => None,
            (Self::COUNTER, _) => Some("anything but an integer in a counter"),
            (Self::LWW, OpValue::Composite(_)) => Some("a composite in a last-writer-wins column"),
            (Self::SET | Self::MAP | Self::LIST, OpValue::Plain(_)) => Some("anything but elements in a collection"),
            (Self::TEXT, OpValue::Plain(_)) => Some("anything but edits in a text"),
            _ => None,
        }
    }
}

/// Whether two of the columns are the same one, merging by the same rule. One that merges by another rule since a
/// version is there once by each.
fn has_duplicate<'n>(columns: impl ExactSizeIterator<Item = (RuleTag, &'n str)> + Clone) -> bool {
    const FEW: usize = 16;
    if columns.len() <= FEW {
        let mut rest = columns;
        while let Some(column) = rest.next() {
            if rest.clone().any(|other| other == column) {
                return true;
            }
        }
        return false;
    }
    let mut sorted: Vec<_> = columns.collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// The error for a count of ops or columns over its limit.
#[cold]
fn too_large(what: &'static str, found: usize, max: usize) -> OplogError {
    OplogError::TooLarge { what, found: found as u64, max: max as u64 }
}

#[cfg(test)]
mod tests;
