//! Reading and writing the numbers that deltas are made of.

use super::TextError;

/// Appends a number: LEB128, in as few bytes as possible.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes after their length.
pub(super) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front; every number has one encoding only.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, TextError> {
        let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, TextError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(super) fn varint(&mut self) -> Result<u64, TextError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let needless = byte == 0 && shift > 0;
                return if needless {
                    Err(TextError::Delta("a number in more bytes than it needs"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(TextError::Delta("a number beyond 64 bits"))
    }

    /// A number of at most `max`.
    pub(super) fn up_to(&mut self, max: u32) -> Result<u32, TextError> {
        let value = self.varint()?;
        u32::try_from(value).ok().filter(|value| *value <= max).ok_or(TextError::Delta("a number out of range"))
    }

    pub(super) fn slice(&mut self) -> Result<&'a [u8], TextError> {
        let len = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, TextError> {
        std::str::from_utf8(self.slice()?).map_err(|_| TextError::Delta("text that isn't UTF-8"))
    }
}

const SHORT: TextError = TextError::Delta("it is cut short");

/// Maps integers near zero, of either sign, to small numbers.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The integer that [`zigzag`] maps to `value`.
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
