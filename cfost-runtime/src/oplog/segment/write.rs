//! Collecting the ops of a transaction.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::bytes::{put_slice, put_varint};
use super::super::limits::{CHANGE_OPS_MAX, COLUMNS_MAX};
use super::super::newest::newest;
use super::super::{OplogError, ValueRef};
use super::value::put_value;
use super::{OpKind, OpValue, RuleTag, has_duplicate, too_large};
use crate::clock::Timestamp;

/// What a segment's buffer begins with: room for an op or a few without growing.
const SEGMENT_BYTES_FIRST: usize = 512;

/// The ops of one table in one change, in the order they are made.
#[derive(Debug)]
pub struct SegmentWriter {
    bytes: Vec<u8>,
    base: Timestamp,
    ops: u32,
    shapes: Vec<ShapeEntry>,
    /// The shapes by their bytes, of which [`SegmentWriter::shape`] finds most without looking here.
    by_bytes: HashMap<Box<[u8]>, u32>,
    last_shape: Option<u32>,
    /// The shapes that the bytes introduce, in order: the place is the number that ops use.
    introduced: Vec<u32>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct ShapeEntry {
    bytes: Box<[u8]>,
    rules: Box<[RuleTag]>,
    number: Option<u32>,
}

/// A shape of a [`SegmentWriter`], good for that writer alone, until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(u32);

/// A point in a [`SegmentWriter`] to go back to. Void once the writer went back beyond it, or was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    bytes: usize,
    ops: u32,
    introduced: usize,
}

impl SegmentWriter {
    /// A segment without ops. `base` is the timestamp of the first op to come.
    pub fn new(table: &str, schema_version: u32, base: Timestamp) -> Self {
        let mut writer = Self {
            bytes: Vec::with_capacity(SEGMENT_BYTES_FIRST),
            base,
            ops: 0,
            shapes: Vec::new(),
            by_bytes: HashMap::new(),
            last_shape: None,
            introduced: Vec::new(),
            scratch: Vec::new(),
        };
        writer.reset(table, schema_version, base);
        writer
    }

    /// Starts over with another segment, and keeps the memory. All shapes and marks are void.
    pub fn reset(&mut self, table: &str, schema_version: u32, base: Timestamp) {
        self.bytes.clear();
        self.bytes.push(newest().segment);
        put_slice(&mut self.bytes, table.as_bytes());
        put_varint(&mut self.bytes, u64::from(schema_version));
        self.bytes.extend_from_slice(&base.as_u64().to_le_bytes());
        self.base = base;
        self.ops = 0;
        self.shapes.clear();
        self.by_bytes.clear();
        self.last_shape = None;
        self.introduced.clear();
    }

    /// The shape of ops of this kind on these columns, in this order. Asking again for the same gives
    /// the same; it takes no bytes until an op uses it.
    ///
    /// # Errors
    /// When a column is named twice by one rule or without a name, a delete has columns, or there are more than
    /// [`COLUMNS_MAX`].
    pub fn shape(&mut self, kind: OpKind, columns: &[(RuleTag, &str)]) -> Result<Shape, OplogError> {
        self.scratch.clear();
        self.scratch.push(kind.as_u8());
        put_varint(&mut self.scratch, columns.len() as u64);
        for (rule, name) in columns {
            self.scratch.push(rule.as_u8());
            put_slice(&mut self.scratch, name.as_bytes());
        }
        if let Some(last) = self.last_shape
            && *self.shapes[last as usize].bytes == *self.scratch
        {
            return Ok(Shape(last));
        }
        let shape = match self.by_bytes.get(self.scratch.as_slice()) {
            Some(shape) => *shape,
            None => self.add_shape(kind, columns)?,
        };
        self.last_shape = Some(shape);
        Ok(Shape(shape))
    }

    fn add_shape(&mut self, kind: OpKind, columns: &[(RuleTag, &str)]) -> Result<u32, OplogError> {
        if columns.len() > COLUMNS_MAX {
            return Err(too_large("columns of one op", columns.len(), COLUMNS_MAX));
        }
        let objection = if kind == OpKind::Delete && !columns.is_empty() {
            Some("a value: a delete has no columns")
        } else if columns.iter().any(|(_, name)| name.is_empty()) {
            Some("a column without a name")
        } else if has_duplicate(columns.iter().copied()) {
            Some("the same column twice by one rule")
        } else {
            None
        };
        if let Some(reason) = objection {
            return Err(OplogError::Value { column: 0, reason });
        }
        let shape = self.shapes.len() as u32;
        let bytes: Box<[u8]> = self.scratch.as_slice().into();
        self.by_bytes.insert(bytes.clone(), shape);
        let rules = columns.iter().map(|(rule, _)| *rule).collect();
        self.shapes.push(ShapeEntry { bytes, rules, number: None });
        Ok(shape)
    }

    /// Adds an op, with a value for each column of its shape; its timestamp is returned.
    ///
    /// # Errors
    /// When the values don't fit the shape, a value is one that no column can hold, the change has
    /// [`CHANGE_OPS_MAX`] ops already, or time has come to its end. Nothing is added then.
    ///
    /// # Panics
    /// When `shape` is of another writer.
    pub fn push<'v>(
        &mut self,
        shape: Shape,
        row: &Uuid,
        values: impl IntoIterator<Item = ValueRef<'v>>,
    ) -> Result<Timestamp, OplogError> {
        self.push_values(shape, row, values.into_iter().map(OpValue::Plain))
    }

    /// Like [`SegmentWriter::push`], for an op whose values aren't all plain.
    ///
    /// # Errors
    /// As [`SegmentWriter::push`].
    ///
    /// # Panics
    /// When `shape` is of another writer.
    pub fn push_values<'v>(
        &mut self,
        shape: Shape,
        row: &Uuid,
        values: impl IntoIterator<Item = OpValue<'v>>,
    ) -> Result<Timestamp, OplogError> {
        let mark = self.mark();
        let pushed = self.try_push(shape, row, values);
        if pushed.is_err() {
            self.truncate(mark);
        }
        pushed
    }

    fn try_push<'v>(
        &mut self,
        shape: Shape,
        row: &Uuid,
        values: impl IntoIterator<Item = OpValue<'v>>,
    ) -> Result<Timestamp, OplogError> {
        if self.ops >= CHANGE_OPS_MAX {
            return Err(too_large("ops of one change", self.ops as usize + 1, CHANGE_OPS_MAX as usize));
        }
        let at = op_timestamp(self.base, self.ops).ok_or(OplogError::Value {
            column: 0,
            reason: "a timestamp after the end of time: set the device's clock right",
        })?;
        let entry = &mut self.shapes[shape.0 as usize];
        match entry.number {
            Some(number) => put_varint(&mut self.bytes, u64::from(number)),
            None => {
                entry.number = Some(self.introduced.len() as u32);
                put_varint(&mut self.bytes, self.introduced.len() as u64);
                self.bytes.extend_from_slice(&entry.bytes);
                self.introduced.push(shape.0);
            }
        }
        self.bytes.extend_from_slice(row.as_bytes());
        let mut count = 0;
        for value in values {
            let Some(rule) = entry.rules.get(count) else {
                return Err(OplogError::Columns { found: count + 1, columns: entry.rules.len() });
            };
            if let Some(reason) = rule.objection(&value) {
                return Err(OplogError::Value { column: count, reason });
            }
            put_value(&mut self.bytes, &value).map_err(|reason| OplogError::Value { column: count, reason })?;
            count += 1;
        }
        if count < entry.rules.len() {
            return Err(OplogError::Columns { found: count, columns: entry.rules.len() });
        }
        self.ops += 1;
        Ok(at)
    }

    /// How many ops there are.
    pub const fn ops(&self) -> u32 {
        self.ops
    }

    /// How many bytes the segment has, before compression.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The timestamp of the first op.
    pub const fn base(&self) -> Timestamp {
        self.base
    }

    /// The segment as it is now, to be sealed. A segment without ops can't be read back: leave it out.
    pub fn payload(&self) -> &[u8] {
        &self.bytes
    }

    /// The point to which [`SegmentWriter::truncate`] takes the segment back.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), ops: self.ops, introduced: self.introduced.len() }
    }

    /// Forgets all ops after `mark`. Their shapes stay good: the next op that uses one introduces it.
    ///
    /// Marks nest, like the savepoints they are for: going back to one voids those taken after it.
    pub fn truncate(&mut self, mark: Mark) {
        if mark.bytes >= self.bytes.len() {
            return;
        }
        self.bytes.truncate(mark.bytes);
        self.ops = mark.ops;
        for shape in self.introduced.drain(mark.introduced.min(self.introduced.len())..) {
            self.shapes[shape as usize].number = None;
        }
    }
}

/// The timestamp of op `index` of a segment, unless that is after the end of time.
pub(super) fn op_timestamp(base: Timestamp, index: u32) -> Option<Timestamp> {
    base.as_u64().checked_add(u64::from(index)).map(Timestamp::from_u64)
}
