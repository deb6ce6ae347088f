//! The clock of a row: a stamp per slot, in one small blob beside the row.
//!
//! Most rows are written once, whole, so the blob is one stamp plus the slots that differ from it:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | varint | slots up to the last with a stamp, life included, at least 1; later slots have none |
//! | stamp | the base: what every slot holds that is not listed |
//! | per exception: varint | slot × 2, plus 1 if its stamp is the one of the exception before |
//! | stamp | unless it is repeated |
//!
//! A stamp is its timestamp in 8 bytes, little endian, then the writer's number as a varint. The
//! base is the most frequent stamp (of equals the greatest), and exceptions ascend by slot, so that
//! equal clocks are equal bytes. So they are too when one was written before its model gained columns, which no op
//! on the row has written: nothing has to be rewritten then.

use super::{Stamp, Writer};
use crate::clock::Timestamp;

/// The stamps of a row: slot 0 is the row's life, slot `n + 1` its `n`th column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowClock {
    stamps: Vec<Stamp>,
}

/// A clock blob that isn't one: the database was written by something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock of a row is damaged: {0}")]
pub struct ClockError(&'static str);

impl RowClock {
    /// The most slots a clock can have.
    pub const SLOTS_MAX: usize = 2001;

    /// A clock without any write, for a row of `columns` columns.
    pub fn empty(columns: usize) -> Self {
        Self { stamps: vec![Stamp::NONE; columns + 1] }
    }

    /// The stamp of the row's life.
    pub fn life(&self) -> Stamp {
        self.stamps[0]
    }

    /// The stamp of a column.
    pub fn column(&self, column: usize) -> Stamp {
        self.stamps.get(column + 1).copied().unwrap_or(Stamp::NONE)
    }

    pub(super) fn set_life(&mut self, stamp: Stamp) {
        self.stamps[0] = stamp;
    }

    pub(super) fn set_column(&mut self, column: usize, stamp: Stamp) {
        self.stamps[column + 1] = stamp;
    }

    /// The clock of the same row when its columns are others: each has the stamp of this clock's column with that
    /// number, or none.
    pub fn relaid(&self, columns: impl Iterator<Item = Option<usize>>) -> Self {
        let stamps = columns.map(|column| column.map_or(Stamp::NONE, |column| self.column(column)));
        Self { stamps: std::iter::once(self.life()).chain(stamps).collect() }
    }

    /// Appends the blob of a row whose columns were all written at once: what [`RowClock::encode`]
    /// gives for it, without building the clock.
    pub fn encode_fresh(columns: usize, stamp: Stamp, blob: &mut Vec<u8>) {
        push_varint(blob, columns as u64 + 1);
        push_stamp(blob, stamp);
    }

    /// Appends the clock's blob.
    pub fn encode(&self, blob: &mut Vec<u8>) {
        let stamps = self.written();
        let base = base(stamps);
        push_varint(blob, stamps.len() as u64);
        push_stamp(blob, base);
        let mut previous = base;
        for (slot, &stamp) in stamps.iter().enumerate().filter(|(_, stamp)| **stamp != base) {
            let repeated = stamp == previous;
            push_varint(blob, (slot as u64) << 1 | u64::from(repeated));
            if !repeated {
                push_stamp(blob, stamp);
            }
            previous = stamp;
        }
    }

    /// Reads a blob, for a row that has `columns` columns now.
    ///
    /// # Errors
    /// When the bytes aren't what [`RowClock::encode`] writes.
    pub fn decode(blob: &[u8], columns: usize) -> Result<Self, ClockError> {
        let mut reader = Reader(blob);
        let known = usize::try_from(reader.varint()?).map_err(|_| ClockError("it is too long"))?;
        if known == 0 || known > Self::SLOTS_MAX {
            return Err(ClockError("its number of slots is out of range"));
        }
        let base = reader.stamp()?;
        let mut stamps = vec![base; known];
        stamps.resize(known.max(columns + 1), Stamp::NONE);
        let (mut previous, mut next) = (base, 0);
        while !reader.0.is_empty() {
            let word = reader.varint()?;
            let slot = usize::try_from(word >> 1).unwrap_or(usize::MAX);
            let stamp = if word & 1 == 1 { previous } else { reader.stamp()? };
            if slot < next || slot >= known || stamp == base {
                return Err(ClockError("its exceptions are out of order"));
            }
            stamps[slot] = stamp;
            (previous, next) = (stamp, slot + 1);
        }
        let mut clock = Self { stamps };
        // Slots beyond the row's that no op wrote say nothing.
        clock.stamps.truncate(clock.written().len().max(columns + 1));
        Ok(clock)
    }

    /// How many of the first columns there are up to the last one with a stamp.
    pub fn written_columns(&self) -> usize {
        self.written().len() - 1
    }

    /// The slots up to the last one with a stamp; the row's life is always among them.
    fn written(&self) -> &[Stamp] {
        let last = self.stamps.iter().rposition(|stamp| stamp.is_some()).unwrap_or(0);
        &self.stamps[..=last]
    }
}

/// The most frequent stamp, of equally frequent ones the greatest.
fn base(stamps: &[Stamp]) -> Stamp {
    let count = |stamp: Stamp| stamps.iter().filter(|&&other| other == stamp).count();
    let first = stamps[0];
    if stamps.iter().all(|&stamp| stamp == first) {
        return first;
    }
    let rank = |&stamp: &Stamp| (count(stamp), stamp.at, stamp.writer);
    stamps.iter().copied().max_by_key(rank).unwrap_or(first)
}

fn push_stamp(blob: &mut Vec<u8>, stamp: Stamp) {
    blob.extend_from_slice(&stamp.at.as_u64().to_le_bytes());
    push_varint(blob, u64::from(stamp.writer.0));
}

fn push_varint(blob: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        blob.push(value as u8 | 0x80);
        value >>= 7;
    }
    blob.push(value as u8);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ClockError> {
        let (&byte, rest) = self.0.split_first().ok_or(ClockError("it is cut short"))?;
        self.0 = rest;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, ClockError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(ClockError("a number is too long")) } else { Ok(value) };
            }
        }
        Err(ClockError("a number is too long"))
    }

    fn stamp(&mut self) -> Result<Stamp, ClockError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(ClockError("it is cut short"))?;
        self.0 = rest;
        let at = Timestamp::from_u64(u64::from_le_bytes(*bytes));
        let writer = u32::try_from(self.varint()?).map_err(|_| ClockError("a writer is out of range"))?;
        if at == Timestamp::ZERO && writer != 0 {
            return Err(ClockError("a writer has no write"));
        }
        Ok(Stamp { at, writer: Writer(writer) })
    }
}
