//! The hybrid logical clock: timestamps that follow the time of day, and never go back.
//!
//! A timestamp is 48 bits of Unix milliseconds and a 16-bit counter, so that comparing two of them as
//! integers compares first the times and then the counts. A device's clock gives timestamps greater
//! than all it has given or seen before, whatever its wall clock does. The algorithm is that of
//! Kulkarni, Demirbas et al., *Logical Physical Clocks* (2014), with the physical and the logical part
//! in one word, so that a full counter carries into the milliseconds.

mod hlc;

pub use hlc::{DRIFT_MS_MAX, Hlc, within_drift};

use std::fmt;

/// A hybrid logical timestamp: 48 bits of Unix milliseconds, then a 16-bit counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Before every timestamp that a clock gives.
    pub const ZERO: Self = Self(0);

    /// The last timestamp there is, in the year 10889: a clock that gets there stays there.
    pub const MAX: Self = Self(u64::MAX);

    /// The greatest Unix millisecond that a timestamp holds.
    pub const MS_MAX: u64 = (1 << 48) - 1;

    /// The timestamp with this 64-bit representation.
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64-bit representation; its order is the order of timestamps.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The first timestamp of a Unix millisecond; beyond [`Timestamp::MS_MAX`], the first of that.
    pub const fn from_ms(ms: u64) -> Self {
        let ms = if ms > Self::MS_MAX { Self::MS_MAX } else { ms };
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

    /// The timestamp `ticks` later; a full counter carries into the milliseconds. Never beyond
    /// [`Timestamp::MAX`].
    pub const fn plus(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04x}", self.ms(), self.counter())
    }
}
