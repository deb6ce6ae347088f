//! Reading and writing of the primitives that all formats here share.
//!
//! A varint is LEB128 of a `u64`, in as few bytes as possible; a text is its length as a varint and its
//! UTF-8 bytes. Everything else is little endian.

use super::OplogError;

/// The most bytes of a varint.
const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as a varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        let (bytes, len) = varint_bytes(value);
        out.extend_from_slice(&bytes[..len]);
    }
}

/// `value` as a varint, and how many of the bytes it takes.
pub(crate) const fn varint_bytes(mut value: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

/// Appends `bytes` after their length.
#[inline]
pub(crate) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads bytes from the front, and knows what it reads and where it is, for errors.
#[derive(Clone, Debug)]
pub(crate) struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> ByteReader<'a> {
    /// A reader of `bytes`, which are `what`.
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, what }
    }

    /// How many bytes have been read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes between two positions that have been read.
    pub(crate) fn read_since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The error that the bytes before the current position are wrong.
    #[cold]
    pub(crate) fn malformed(&self, reason: &'static str) -> OplogError {
        OplogError::Malformed { what: self.what, at: self.at, reason }
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], OplogError> {
        let taken = self.bytes[self.at..].get(..len).ok_or_else(|| self.malformed("the bytes end too early"))?;
        self.at += len;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], OplogError> {
        let taken = self.bytes[self.at..].first_chunk().ok_or_else(|| self.malformed("the bytes end too early"))?;
        self.at += N;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, OplogError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, OplogError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, OplogError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, OplogError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A varint; one with needless bytes is refused, so that every number has one encoding.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, OplogError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.long_varint(first)
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, OplogError> {
        let mut value = u64::from(first & 0x7f);
        for index in 1..VARINT_BYTES_MAX {
            let byte = self.u8()?;
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                return Err(self.malformed("a number beyond 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return if byte == 0 { Err(self.malformed("a number in more bytes than it needs")) } else { Ok(value) };
            }
        }
        Err(self.malformed("a number beyond 64 bits"))
    }

    /// A varint of at most 32 bits.
    pub(crate) fn varint_u32(&mut self) -> Result<u32, OplogError> {
        u32::try_from(self.varint()?).map_err(|_| self.malformed("a number beyond 32 bits"))
    }

    /// A count of things that take at least `bytes_each`: refused when the bytes left can't hold them
    /// (so before anything is allocated for them), or when it is over `max`.
    pub(crate) fn count(&mut self, what: &'static str, bytes_each: usize, max: usize) -> Result<usize, OplogError> {
        let found = self.varint()?;
        self.check_count(what, found, bytes_each, max)
    }

    /// Like [`ByteReader::count`], for a count that has been read.
    pub(crate) fn check_count(
        &self,
        what: &'static str,
        found: u64,
        bytes_each: usize,
        max: usize,
    ) -> Result<usize, OplogError> {
        if found > max as u64 {
            return Err(OplogError::TooLarge { what, found, max: max as u64 });
        }
        if found > (self.left() / bytes_each) as u64 {
            return Err(self.malformed("a count of more things than the bytes hold"));
        }
        Ok(found as usize)
    }

    /// Bytes after their length.
    #[inline]
    pub(crate) fn slice(&mut self) -> Result<&'a [u8], OplogError> {
        let len = self.varint()?;
        if len > self.left() as u64 {
            return Err(self.malformed("a length beyond the end of the bytes"));
        }
        self.take(len as usize)
    }

    /// Text.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, OplogError> {
        let bytes = self.slice()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text that isn't UTF-8"))
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), OplogError> {
        if self.left() == 0 { Ok(()) } else { Err(self.malformed("bytes after the end")) }
    }
}
