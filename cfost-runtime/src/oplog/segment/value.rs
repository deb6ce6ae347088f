//! Values as ops carry them.

use std::borrow::Cow;

use super::super::bytes::{ByteReader, put_slice, put_varint};
use super::super::{OplogError, ValueRef};

/// What a value's first byte says of the rest.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const INTEGER: u8 = 1;
    pub(super) const REAL: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const BLOB: u8 = 4;
    pub(super) const COMPOSITE: u8 = 5;
}

/// A value of an op.
#[derive(Clone, Debug, PartialEq)]
pub enum OpValue<'a> {
    /// A value that a column can hold.
    Plain(ValueRef<'a>),
    /// What an op says that isn't one value: the elements that a set gains, say, or what a merge rule
    /// beyond this build's needs, which is kept as it is until the app is upgraded.
    Composite(&'a [u8]),
}

/// What is wrong with a float that no column can hold, if anything.
fn real_objection(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN, which equals nothing")
    } else if value == 0.0 && value.is_sign_negative() {
        Some("negative zero, which SQLite can't store")
    } else {
        None
    }
}

/// Appends `value` as ops carry it: the encoding in which a store keeps the values of columns that it
/// doesn't know.
///
/// # Errors
/// When the value is NaN or negative zero. Nothing is appended then.
pub fn write_value(out: &mut Vec<u8>, value: &OpValue<'_>) -> Result<(), OplogError> {
    put_value(out, value).map_err(|reason| OplogError::Value { column: 0, reason })
}

/// Appends `value`, or says what is wrong with it.
#[inline]
pub(in crate::oplog) fn put_value(out: &mut Vec<u8>, value: &OpValue<'_>) -> Result<(), &'static str> {
    match value {
        OpValue::Plain(ValueRef::Null) => out.push(tag::NULL),
        OpValue::Plain(ValueRef::Integer(value)) => {
            out.push(tag::INTEGER);
            put_varint(out, zigzag(*value));
        }
        OpValue::Plain(ValueRef::Real(value)) => {
            if let Some(objection) = real_objection(*value) {
                return Err(objection);
            }
            out.push(tag::REAL);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        OpValue::Plain(ValueRef::Text(text)) => {
            out.push(tag::TEXT);
            put_slice(out, text.as_bytes());
        }
        OpValue::Plain(ValueRef::Blob(bytes)) => {
            out.push(tag::BLOB);
            put_slice(out, bytes);
        }
        OpValue::Composite(bytes) => {
            out.push(tag::COMPOSITE);
            put_slice(out, bytes);
        }
    }
    Ok(())
}

/// Reads one value that [`write_value`] wrote, and nothing after it.
///
/// # Errors
/// When the bytes aren't exactly one value.
pub fn read_value(bytes: &[u8]) -> Result<OpValue<'_>, OplogError> {
    let mut reader = ByteReader::new("value", bytes);
    let value = next_value(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads the next value.
#[inline]
pub(in crate::oplog) fn next_value<'a>(reader: &mut ByteReader<'a>) -> Result<OpValue<'a>, OplogError> {
    Ok(OpValue::Plain(match reader.u8()? {
        tag::NULL => ValueRef::Null,
        tag::INTEGER => ValueRef::Integer(unzigzag(reader.varint()?)),
        tag::REAL => {
            let value = f64::from_bits(reader.u64()?);
            if real_objection(value).is_some() {
                return Err(reader.malformed("a float that is NaN or negative zero"));
            }
            ValueRef::Real(value)
        }
        tag::TEXT => ValueRef::Text(Cow::Borrowed(reader.text()?)),
        tag::BLOB => ValueRef::Blob(Cow::Borrowed(reader.slice()?)),
        tag::COMPOSITE => return Ok(OpValue::Composite(reader.slice()?)),
        _ => return Err(reader.malformed("an unknown type of value")),
    }))
}

/// Maps integers near zero, of either sign, to small numbers: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The integer that [`zigzag`] maps to `value`.
const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
