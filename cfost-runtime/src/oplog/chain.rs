//! Logs: the changes of a device one after the other, each carrying the hash of the one before.

use std::collections::BTreeMap;

use super::header::Header;
use super::{ChangeId, LogId, OplogError, PackedChange, SpaceId};

/// The newest change of a log: its number and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The change's number, from 1; 0 for a log without changes.
    pub seq: u64,
    /// The change's id.
    pub id: ChangeId,
}

impl Head {
    /// The head of a log without changes.
    pub const NONE: Self = Self { seq: 0, id: ChangeId::NONE };
}

/// A log, and how far it is known: what the next change must continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The space that the log belongs to.
    pub space: SpaceId,
    /// The signing key of the device that writes the log.
    pub author: [u8; 32],
    /// The log.
    pub log: LogId,
    /// The newest change known.
    pub head: Head,
}

impl Chain {
    /// A log that has no change yet.
    pub const fn new(space: SpaceId, author: [u8; 32], log: LogId) -> Self {
        Self { space, author, log, head: Head::NONE }
    }

    /// Moves on to the change that follows, and returns its header and id. `commitment` is the one to
    /// the key of the change's epoch.
    ///
    /// # Errors
    /// When the change can't follow here: it depends on its own log. The chain stays as it was then.
    pub fn next(&mut self, change: &PackedChange<'_>, commitment: &[u8; 32]) -> Result<(Header, ChangeId), OplogError> {
        let mut header = Header::begin(self, &change.parts(commitment))?;
        for sealed in &change.segments {
            header.push_segment(sealed);
        }
        let id = self.advance(&header);
        Ok((header, id))
    }

    /// Makes the change with this header, which was begun on this chain, the head.
    pub(super) fn advance(&mut self, header: &Header) -> ChangeId {
        let id = header.id();
        self.head = Head { seq: header.seq(), id };
        id
    }

    /// The number of the change to come.
    pub(super) fn next_seq(&self) -> Result<u64, OplogError> {
        self.head.seq.checked_add(1).ok_or(OplogError::TooLarge {
            what: "changes of one log",
            found: u64::MAX,
            max: u64::MAX - 1,
        })
    }
}

/// For a space: the newest change held of each log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier(BTreeMap<LogId, Head>);

impl Frontier {
    /// The frontier of a space of which nothing is held.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The newest change held of `log`; [`Head::NONE`] when none is.
    pub fn head(&self, log: LogId) -> Head {
        self.0.get(&log).copied().unwrap_or(Head::NONE)
    }

    /// Takes note that `log` is held up to `head`. Returns whether that is news: a head that is not
    /// newer than the one held changes nothing.
    pub fn advance(&mut self, log: LogId, head: Head) -> bool {
        let news = head.seq > self.head(log).seq;
        if news {
            self.0.insert(log, head);
        }
        news
    }

    /// Takes note of all heads of `other` that are newer.
    pub fn merge(&mut self, other: &Self) {
        for (log, head) in other.iter() {
            self.advance(log, head);
        }
    }

    /// The logs of which this frontier holds more than `other`, each with the head that `other` has:
    /// what to send to bring `other` up to here.
    pub fn beyond<'f>(&'f self, other: &'f Self) -> impl Iterator<Item = (LogId, Head)> + 'f {
        self.iter().filter_map(|(log, head)| {
            let theirs = other.head(log);
            (head.seq > theirs.seq).then_some((log, theirs))
        })
    }

    /// Whether everything that `other` holds is held here too, as far as numbers tell.
    pub fn covers(&self, other: &Self) -> bool {
        other.beyond(self).next().is_none()
    }

    /// The first log of which both hold the same number and different changes: it was forked.
    pub fn fork(&self, other: &Self) -> Option<LogId> {
        self.iter().find_map(|(log, head)| {
            let theirs = other.head(log);
            (theirs.seq == head.seq && theirs.id != head.id).then_some(log)
        })
    }

    /// All logs with their heads, in the order of the logs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (LogId, Head)> + '_ {
        self.0.iter().map(|(log, head)| (*log, *head))
    }

    /// How many logs are held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(LogId, Head)> for Frontier {
    fn from_iter<I: IntoIterator<Item = (LogId, Head)>>(heads: I) -> Self {
        let mut frontier = Self::new();
        for (log, head) in heads {
            frontier.advance(log, head);
        }
        frontier
    }
}
