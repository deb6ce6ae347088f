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

/// The time of day in UTC, to the millisecond, as RFC 3339 writes it; the counter is left out.
///
/// ```
/// use cfost_runtime::clock::Timestamp;
///
/// assert_eq!(Timestamp::from_ms(1_790_000_000_007).to_string(), "2026-09-21T14:13:20.007Z");
/// ```
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.ms() / 86_400_000, self.ms() % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let (date, millis) = (format_args!("{year:04}-{month:02}-{day:02}"), ms % 1000);
        write!(f, "{date}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day after 1970-01-01 (Howard Hinnant, *chrono-Compatible Low-Level Date
/// Algorithms*, `civil_from_days`).
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04x}", self.ms(), self.counter())
    }
}
