//! Reading and writing this room's byte formats: fixed fields, little endian, short strings by length.
//!
//! Each value has exactly one encoding, so a decoder that reads all of its input has also checked
//! that the input is canonical.

use super::error::{IdentityError, Result};

/// Walks over bytes that came from outside; every failure names what was being read.
pub(super) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(super) fn malformed(&self, problem: &'static str) -> IdentityError {
        IdentityError::Malformed { what: self.what, problem }
    }

    /// The version byte, which must be `supported`.
    pub(super) fn version(&mut self, supported: u8) -> Result<()> {
        match self.u8()? {
            found if found == supported => Ok(()),
            0 => Err(self.malformed("version 0 does not exist")),
            found => Err(IdentityError::Version { what: self.what, found, supported }),
        }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A string of at most 255 bytes, after its length.
    pub(super) fn str(&mut self) -> Result<&'a str> {
        let length = self.u8()?;
        std::str::from_utf8(self.bytes(length.into())?).map_err(|_| self.malformed("a string is not UTF-8"))
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Asserts that all has been read.
    pub(super) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("bytes follow its end")) }
    }
}

/// Appends `text` after its length in one byte; the callers' limits are all below 256.
pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("the limit of every short string is below 256 bytes");
    out.push(length);
    out.extend_from_slice(text.as_bytes());
}
