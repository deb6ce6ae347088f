//! What an op does to the elements of a set, a map or a list, as the bytes of a composite value.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | varint | number of elements, at least 1 |
//! | per element: 1 | flags: bit 0 *put* (else it is removed), bit 1 a position follows, bit 2 a value follows |
//! | value | the key, as ops carry values |
//! | varint length and bytes | the position, with bit 1 |
//! | value | the value, with bit 2 |
//!
//! Elements ascend by the bytes of their keys, each key once, so that the same edits are the same bytes.

use std::borrow::Cow;
use std::ops::Range;

use super::bytes::{ByteReader, put_slice, put_varint, varint_bytes};
use super::limits::{ELEMENT_KEY_BYTES_MAX, ELEMENT_POSITION_BYTES_MAX, ELEMENTS_MAX};
use super::segment::{next_value, put_value};
use super::{OpValue, OplogError, ValueRef};

const PUT: u8 = 1;
const POSITION: u8 = 2;
const VALUE: u8 = 4;

/// The fewest bytes of an element: its flags and the shortest key.
const ELEMENT_BYTES_MIN: usize = 2;

/// What an op does to one element.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementEdit<'a> {
    /// Which element: a set's element itself, a map's key, the id of a list's element. Never NULL.
    pub key: ValueRef<'a>,
    /// Whether the element is put, or removed: then there is neither a position nor a value.
    pub put: bool,
    /// Where a list's element is put.
    pub position: Option<Cow<'a, [u8]>>,
    /// What a map's or a list's element is given as its value.
    pub value: Option<ValueRef<'a>>,
}

impl<'a> ElementEdit<'a> {
    /// Puts an element without more: a set's.
    pub const fn add(key: ValueRef<'a>) -> Self {
        Self { key, put: true, position: None, value: None }
    }

    /// Removes an element.
    pub const fn remove(key: ValueRef<'a>) -> Self {
        Self { key, put: false, position: None, value: None }
    }

    fn flags(&self) -> u8 {
        u8::from(self.put) * PUT + u8::from(self.position.is_some()) * POSITION + u8::from(self.value.is_some()) * VALUE
    }
}

/// The edits of one collection in the order in which ops carry them, with their bytes.
#[derive(Debug, Default)]
pub struct EncodedElements {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    edit: usize,
    start: usize,
    key_end: usize,
    end: usize,
}

impl Part {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

impl EncodedElements {
    /// Encodes edits, whose order doesn't matter, of distinct elements.
    ///
    /// # Errors
    /// [`OplogError::TooLarge`] for a key or a position over its limit, [`OplogError::Value`] for a value
    /// that no op may carry, for an element that is named twice, and for one that is removed with a value.
    pub fn new(edits: &[ElementEdit<'_>]) -> Result<Self, OplogError> {
        let mut encoded = Self { bytes: Vec::new(), parts: Vec::with_capacity(edits.len()) };
        for (edit, element) in edits.iter().enumerate() {
            encoded.push(edit, element)?;
        }
        let Self { bytes, parts } = &mut encoded;
        let key = |part: &Part| &bytes[part.start + 1..part.key_end];
        parts.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        if parts.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
            return Err(OplogError::Value { column: 0, reason: "the same element twice" });
        }
        Ok(encoded)
    }

    fn push(&mut self, edit: usize, element: &ElementEdit<'_>) -> Result<(), OplogError> {
        let refused = |reason| OplogError::Value { column: 0, reason };
        if element.key == ValueRef::Null {
            return Err(refused("an element without a key"));
        }
        if !element.put && (element.position.is_some() || element.value.is_some()) {
            return Err(refused("a position or a value of an element that is removed"));
        }
        let start = self.bytes.len();
        self.bytes.push(element.flags());
        put_value(&mut self.bytes, &OpValue::Plain(element.key.clone())).map_err(refused)?;
        let key_end = self.bytes.len();
        too_large("bytes of an element's key", key_end - start - 1, ELEMENT_KEY_BYTES_MAX)?;
        if let Some(position) = &element.position {
            too_large("bytes of a list position", position.len(), ELEMENT_POSITION_BYTES_MAX)?;
            put_slice(&mut self.bytes, position);
        }
        if let Some(value) = &element.value {
            put_value(&mut self.bytes, &OpValue::Plain(value.clone())).map_err(refused)?;
        }
        self.parts.push(Part { edit, start, key_end, end: self.bytes.len() });
        Ok(())
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is none, which no op can say.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many bytes the elements `range` take as one payload, at most.
    pub fn payload_bytes(&self, range: Range<usize>) -> usize {
        varint_bytes(range.len() as u64).1 + self.parts[range].iter().map(Part::len).sum::<usize>()
    }

    /// The largest range from `start` whose payload is within `bytes_max`, but at least one element.
    pub fn chunk(&self, start: usize, bytes_max: usize) -> Range<usize> {
        let mut bytes = varint_bytes(ELEMENTS_MAX as u64).1;
        let mut end = start;
        for part in self.parts[start..].iter().take(ELEMENTS_MAX) {
            bytes += part.len();
            if bytes > bytes_max && end > start {
                break;
            }
            end += 1;
        }
        start..end
    }

    /// The payload of an op on the elements `range`.
    pub fn payload(&self, range: Range<usize>) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.payload_bytes(range.clone()));
        put_varint(&mut payload, range.len() as u64);
        for part in &self.parts[range] {
            payload.extend_from_slice(&self.bytes[part.start..part.end]);
        }
        payload
    }

    /// The elements `range`, each with its place among the edits that were given and its key as bytes.
    pub fn elements(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &[u8])> {
        self.parts[range].iter().map(|part| (part.edit, &self.bytes[part.start + 1..part.key_end]))
    }
}

/// Reads the edits of a payload.
#[derive(Debug)]
pub struct ElementsReader<'a> {
    reader: ByteReader<'a>,
    left: usize,
    last_key: &'a [u8],
}

impl<'a> ElementsReader<'a> {
    /// Reads how many edits there are.
    ///
    /// # Errors
    /// When there are none, or more than the bytes can hold.
    pub fn new(payload: &'a [u8]) -> Result<Self, OplogError> {
        let mut reader = ByteReader::new("elements", payload);
        let left = reader.count("elements of one op", ELEMENT_BYTES_MIN, ELEMENTS_MAX)?;
        if left == 0 {
            return Err(reader.malformed("no element"));
        }
        Ok(Self { reader, left, last_key: &[] })
    }

    /// Whether `payload` is one from beginning to end.
    ///
    /// # Errors
    /// When it isn't what [`EncodedElements::payload`] writes.
    pub fn check(payload: &'a [u8]) -> Result<(), OplogError> {
        let mut elements = Self::new(payload)?;
        while elements.next_edit()?.is_some() {}
        Ok(())
    }

    /// The next edit with its key as bytes, or `None` after the last.
    ///
    /// # Errors
    /// When the bytes aren't what [`EncodedElements::payload`] writes.
    pub fn next_edit(&mut self) -> Result<Option<(ElementEdit<'a>, &'a [u8])>, OplogError> {
        let reader = &mut self.reader;
        if self.left == 0 {
            reader.end()?;
            return Ok(None);
        }
        self.left -= 1;
        let flags = reader.u8()?;
        let put = flags & PUT != 0;
        if flags & !(PUT | POSITION | VALUE) != 0 {
            return Err(reader.malformed("unknown flags of an element"));
        }
        if !put && flags != 0 {
            return Err(reader.malformed("a position or a value of an element that is removed"));
        }
        let start = reader.position();
        let key = plain(reader)?;
        let key_bytes = reader.read_since(start);
        too_large("bytes of an element's key", key_bytes.len(), ELEMENT_KEY_BYTES_MAX)?;
        if key == ValueRef::Null {
            return Err(reader.malformed("an element without a key"));
        }
        if key_bytes <= self.last_key {
            return Err(reader.malformed("elements out of order"));
        }
        self.last_key = key_bytes;
        let mut position = None;
        if flags & POSITION != 0 {
            let bytes = reader.slice()?;
            too_large("bytes of a list position", bytes.len(), ELEMENT_POSITION_BYTES_MAX)?;
            position = Some(Cow::Borrowed(bytes));
        }
        let value = if flags & VALUE != 0 { Some(plain(reader)?) } else { None };
        Ok(Some((ElementEdit { key, put, position, value }, key_bytes)))
    }
}

fn plain<'a>(reader: &mut ByteReader<'a>) -> Result<ValueRef<'a>, OplogError> {
    match next_value(reader)? {
        OpValue::Plain(value) => Ok(value),
        OpValue::Composite(_) => Err(reader.malformed("a composite in an element")),
    }
}

fn too_large(what: &'static str, found: usize, max: usize) -> Result<(), OplogError> {
    if found > max { Err(OplogError::TooLarge { what, found: found as u64, max: max as u64 }) } else { Ok(()) }
}
