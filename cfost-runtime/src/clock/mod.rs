//! The hybrid logical clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A hybrid logical timestamp: 48 bits of Unix milliseconds, then a 16-bit counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Before every timestamp that a clock gives.
    pub const ZERO: Self = Self(0);

    /// The timestamp with this 64-bit representation.
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64-bit representation; its order is the order of timestamps.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The first timestamp of a Unix millisecond.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms << 16)
    }

    /// Unix milliseconds.
    pub const fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The counter within the millisecond.
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The timestamp `ticks` later; a full counter carries into the milliseconds.
    pub const fn plus(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04x}", self.ms(), self.counter())
    }
}
