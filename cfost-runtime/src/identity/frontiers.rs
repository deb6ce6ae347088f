//! How far a device's changes count, as it stands in an entry.

use std::collections::BTreeMap;

use super::error::Result;
use super::limits::{FRONTIER_LOGS_MAX, FRONTIER_LOGS_SPLIT};
use super::wire::Reader;
use crate::oplog::{ChangeId, Frontier, Head, LogId, SpaceId};

/// For each space, the newest change that counts of each log. Of a log that isn't named nothing counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontiers(BTreeMap<SpaceId, Frontier>);

impl Frontiers {
    /// Nothing counts.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Lets a log count up to `head`.
    pub fn advance(&mut self, space: SpaceId, log: LogId, head: Head) {
        if head.seq > 0 {
            self.0.entry(space).or_default().advance(log, head);
        }
    }

    /// The newest change of a log that counts; [`Head::NONE`] if none does.
    pub fn head(&self, space: SpaceId, log: LogId) -> Head {
        self.0.get(&space).map_or(Head::NONE, |frontier| frontier.head(log))
    }

    /// How many logs are named.
    pub fn logs(&self) -> usize {
        self.0.values().map(Frontier::len).sum()
    }

    /// The same in parts, each of which one entry can name; at least one.
    pub fn split(self) -> Vec<Self> {
        let mut parts = vec![Self::new()];
        for (space, frontier) in &self.0 {
            for (log, head) in frontier.iter() {
                if parts.last().is_some_and(|part| part.logs() >= FRONTIER_LOGS_SPLIT) {
                    parts.push(Self::new());
                }
                if let Some(part) = parts.last_mut() {
                    part.advance(*space, log, head);
                }
            }
        }
        parts
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // Both are within FRONTIER_LOGS_MAX, which was checked before.
        out.extend_from_slice(&(self.0.len() as u16).to_le_bytes());
        for (space, frontier) in &self.0 {
            out.extend_from_slice(space.as_bytes());
            out.extend_from_slice(&(frontier.len() as u16).to_le_bytes());
            for (log, head) in frontier.iter() {
                out.extend_from_slice(log.as_bytes());
                out.extend_from_slice(&head.seq.to_le_bytes());
                out.extend_from_slice(head.id.as_bytes());
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (mut spaces, mut logs) = (BTreeMap::new(), 0);
        for _ in 0..reader.u16()? {
            let space = SpaceId::from_bytes(reader.array()?);
            if spaces.last_key_value().is_some_and(|(last, _)| *last >= space) {
                return Err(reader.malformed("its spaces are not sorted, or doubled"));
            }
            let count = usize::from(reader.u16()?);
            logs += count;
            if count == 0 || logs > FRONTIER_LOGS_MAX {
                return Err(reader.malformed("it names a space without logs, or more than 1000 logs"));
            }
            let (mut frontier, mut last) = (Frontier::new(), None);
            for _ in 0..count {
                let log = LogId::from_bytes(reader.array()?);
                let head = Head { seq: reader.u64()?, id: ChangeId::from_bytes(reader.array()?) };
                if head.seq == 0 || last.is_some_and(|last| last >= log) {
                    return Err(reader.malformed("its logs are not sorted, or doubled, or empty"));
                }
                last = Some(log);
                frontier.advance(log, head);
            }
            spaces.insert(space, frontier);
        }
        Ok(Self(spaces))
    }
}
