//! The newest of each format that this build reads, and writes: what is beyond is a newer app's, and waits for it.
//!
//! A new format of segments, a new kind of changes or a new flag raises its number here, and the format of the
//! database file with it, since an older build must not open a file whose rows it could not make again. What
//! an older device does with them is in `docs/oplog-format.md`.

use super::{ChangeFlags, HEADER_KIND_OPS, SEGMENT_FORMAT};

/// The newest of each format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    /// The kind of changes that hold ops.
    pub(super) kind: u8,
    /// All flags that have a meaning.
    pub(super) flags: ChangeFlags,
    /// The format of segments.
    pub(super) segment: u8,
}

impl Newest {
    /// What this build knows.
    const HERE: Self = Self { kind: HEADER_KIND_OPS, flags: ChangeFlags::CONTINUES, segment: SEGMENT_FORMAT };
}

/// The newest formats of this build.
#[cfg(not(test))]
#[inline]
pub(super) const fn newest() -> Newest {
    Newest::HERE
}

/// The newest formats of this build, or of the one that a test takes it for.
#[cfg(test)]
pub(super) fn newest() -> Newest {
    pretended::NEWEST.get()
}

/// A newer build for tests: its formats are this one's under the next numbers.
#[cfg(test)]
pub(crate) mod pretended {
    use std::cell::Cell;

    use super::Newest;

    thread_local! {
        pub(super) static NEWEST: Cell<Newest> = const { Cell::new(Newest::HERE) };
    }

    /// What `work` does on this thread, as a build does it whose segments have the next format.
    pub(crate) fn with_newer_segments<T>(work: impl FnOnce() -> T) -> T {
        with(Newest { segment: Newest::HERE.segment + 1, ..Newest::HERE }, work)
    }

    /// What `work` does on this thread, as a build does it whose changes are of the next kind.
    pub(crate) fn with_newer_changes<T>(work: impl FnOnce() -> T) -> T {
        with(Newest { kind: Newest::HERE.kind + 1, ..Newest::HERE }, work)
    }

    fn with<T>(newer: Newest, work: impl FnOnce() -> T) -> T {
        struct Restore(Newest);
        impl Drop for Restore {
            fn drop(&mut self) {
                NEWEST.set(self.0);
            }
        }
        let _restore = Restore(NEWEST.replace(newer));
        work()
    }
}
