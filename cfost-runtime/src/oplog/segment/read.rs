//! Handing out the ops of a segment.

use std::collections::HashSet;

use uuid::Uuid;

use super::super::OplogError;
use super::super::bytes::ByteReader;
use super::super::limits::{CHANGE_OPS_MAX, COLUMNS_MAX, PAYLOAD_BYTES_MAX};
use super::super::newest::newest;
use super::value::next_value;
use super::write::op_timestamp;
use super::{OpKind, OpValue, RuleTag, SEGMENT_FORMAT, has_duplicate, too_large};
use crate::clock::Timestamp;

/// The fewest bytes of a column in a shape: its rule, the length of its name, one letter.
const COLUMN_BYTES_MIN: usize = 3;

/// A column that ops of a shape carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeColumn<'a> {
    /// How the column merges.
    pub rule: RuleTag,
    /// The column's name, as it was called first.
    pub name: &'a str,
}

/// One op: `'a` is the life of the segment's bytes, `'r` the time until the next op is read.
#[derive(Clone, Copy, Debug)]
pub struct Op<'r, 'a> {
    /// What the op does.
    pub kind: OpKind,
    /// The row it does it to.
    pub row: Uuid,
    /// When: names the op within its log and table.
    pub at: Timestamp,
    /// The op's place in the segment, from 0.
    pub index: u32,
    /// The shape's place in the segment, from 0: equal for ops of the same kind on the same columns.
    pub shape: u32,
    /// The columns it touches.
    pub columns: &'r [ShapeColumn<'a>],
    /// A value for each column.
    pub values: &'r [OpValue<'a>],
}

/// Reads a segment, op by op, and checks it as it goes.
///
/// The reader keeps its buffers from op to op, and borrows names, text and bytes from the segment.
#[derive(Debug)]
pub struct SegmentReader<'a> {
    reader: ByteReader<'a>,
    table: &'a str,
    schema_version: u32,
    base: Timestamp,
    ops: u32,
    shapes: Vec<ShapeEntry>,
    known: HashSet<&'a [u8]>,
    columns: Vec<ShapeColumn<'a>>,
    values: Vec<OpValue<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct ShapeEntry {
    kind: OpKind,
    /// Where the shape's columns are among those of all shapes.
    first_column: usize,
    columns: usize,
}

impl<'a> SegmentReader<'a> {
    /// Reads what the segment says of all its ops. `payload` is what
    /// [`Opener::open`](crate::oplog::Opener::open) returned.
    ///
    /// # Errors
    /// When the bytes are no segment, or one of a newer format.
    pub fn new(payload: &'a [u8]) -> Result<Self, OplogError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large("bytes of one segment", payload.len(), PAYLOAD_BYTES_MAX));
        }
        let mut reader = ByteReader::new("segment", payload);
        let format = reader.u8()?;
        let known = newest().segment;
        if format > known {
            return Err(OplogError::Newer { what: "segment", version: format, known });
        }
        if format < SEGMENT_FORMAT {
            return Err(reader.malformed("a format that never was"));
        }
        let table = reader.text()?;
        let schema_version = reader.varint_u32()?;
        let base = Timestamp::from_u64(reader.u64()?);
        if reader.left() == 0 {
            return Err(reader.malformed("no op"));
        }
        Ok(Self {
            reader,
            table,
            schema_version,
            base,
            ops: 0,
            shapes: Vec::new(),
            known: HashSet::new(),
            columns: Vec::new(),
            values: Vec::new(),
        })
    }

    /// The table that the ops are on.
    pub const fn table(&self) -> &'a str {
        self.table
    }

    /// The writer's version of the table's model.
    pub const fn schema_version(&self) -> u32 {
        self.schema_version
    }

    /// The timestamp of the first op.
    pub const fn base(&self) -> Timestamp {
        self.base
    }

    /// How many ops have been read.
    pub const fn ops(&self) -> u32 {
        self.ops
    }

    /// The next op, or `None` after the last.
    ///
    /// # Errors
    /// When the bytes that follow are no op. The reader is of no use after that.
    pub fn next_op(&mut self) -> Result<Option<Op<'_, 'a>>, OplogError> {
        if self.reader.left() == 0 {
            return Ok(None);
        }
        if self.ops >= CHANGE_OPS_MAX {
            return Err(too_large("ops of one change", self.ops as usize + 1, CHANGE_OPS_MAX as usize));
        }
        let index = self.ops;
        let at =
            op_timestamp(self.base, index).ok_or_else(|| self.reader.malformed("a timestamp after the end of time"))?;
        let shape = self.reader.varint()?;
        if shape == self.shapes.len() as u64 {
            self.read_shape()?;
        }
        let Some(&ShapeEntry { kind, first_column, columns }) = self.shapes.get(shape as usize) else {
            return Err(self.reader.malformed("a shape that was not introduced"));
        };
        let row = Uuid::from_bytes(self.reader.array()?);
        let columns = &self.columns[first_column..first_column + columns];
        self.values.clear();
        for column in columns {
            let value = next_value(&mut self.reader)?;
            if column.rule.objection(&value).is_some() {
                return Err(self.reader.malformed("a value that its column's merge rule can't take"));
            }
            self.values.push(value);
        }
        self.ops += 1;
        Ok(Some(Op { kind, row, at, index, shape: shape as u32, columns, values: &self.values }))
    }

    fn read_shape(&mut self) -> Result<(), OplogError> {
        let start = self.reader.position();
        let kind = OpKind::from_u8(self.reader.u8()?).ok_or_else(|| self.reader.malformed("an unknown kind of op"))?;
        let count = self.reader.count("columns of one op", COLUMN_BYTES_MIN, COLUMNS_MAX)?;
        if kind == OpKind::Delete && count > 0 {
            return Err(self.reader.malformed("a delete with columns"));
        }
        let first_column = self.columns.len();
        for _ in 0..count {
            let rule = RuleTag::from_u8(self.reader.u8()?);
            let name = self.reader.text()?;
            if name.is_empty() {
                return Err(self.reader.malformed("a column without a name"));
            }
            self.columns.push(ShapeColumn { rule, name });
        }
        if has_duplicate(self.columns[first_column..].iter().map(|column| (column.rule, column.name))) {
            return Err(self.reader.malformed("the same column twice by one rule in a shape"));
        }
        if !self.known.insert(self.reader.read_since(start)) {
            return Err(self.reader.malformed("a shape that was introduced before"));
        }
        self.shapes.push(ShapeEntry { kind, first_column, columns: count });
        Ok(())
    }
}
