//! A text that a version of an app wrote as one value, before its column merged character by character.

use super::delta::Delta;
use super::edit::Edit;
use super::reader::{Reader, put_varint};
use super::{Document, TextError};
use crate::clock::Timestamp;

/// Which text of a column edits are made in: each write of the whole text by a version for which it was one value
/// begins another.
///
/// It is named by that write. What the write says is not part of the name, and is not sent again: every device
/// makes the same characters of it, inserted by the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    /// The peer of the log with the write: see [`peer_of`](super::peer_of).
    pub writer: u64,
    /// The write's timestamp.
    pub at: Timestamp,
}

impl Generation {
    /// The bytes of a generation's name.
    pub const BYTES: usize = 16;

    /// The name as bytes: writer and timestamp, 8 bytes each, little endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (writer, at) = bytes.split_at_mut(8);
        writer.copy_from_slice(&self.writer.to_le_bytes());
        at.copy_from_slice(&self.at.as_u64().to_le_bytes());
        bytes
    }

    /// The generation that [`Generation::to_bytes`] gave the bytes of.
    ///
    /// # Errors
    /// When no write can be named so.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, TextError> {
        Self::read(&mut Reader(bytes))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, TextError> {
        let (writer, at) = (reader.u64()?, Timestamp::from_u64(reader.u64()?));
        if writer > u64::MAX >> 1 || at == Timestamp::ZERO {
            return Err(TextError::Delta("a generation that no write has begun"));
        }
        Ok(Self { writer, at })
    }

    /// The peer that has inserted what the generation begins with.
    pub fn peer(self) -> u64 {
        let hash = blake3::derive_key("cfost text generation v1", &self.to_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        u64::from_le_bytes(bytes) & (u64::MAX >> 1)
    }

    /// What the generation begins with, as deltas of its peer; none for an empty text.
    ///
    /// # Errors
    /// When the text is longer than a document can hold.
    pub fn beginning(self, text: &str) -> Result<Vec<Vec<u8>>, TextError> {
        Document::new().make(self.peer(), &[Edit::Insert(0, text.to_owned())])
    }

    /// A delta that was made in the generation's document, as it travels.
    ///
    /// # Errors
    /// When the bytes are no delta.
    pub fn name(self, delta: &[u8]) -> Result<Vec<u8>, TextError> {
        let mut rest = Reader(delta);
        let word = rest.varint()?;
        let mut named = Vec::with_capacity(delta.len() + Self::BYTES);
        put_varint(&mut named, word | 1);
        named.extend_from_slice(&self.to_bytes());
        named.extend_from_slice(rest.0);
        debug_assert!(Delta::decode(&named).is_ok_and(|delta| delta.generation == Some(self)));
        Ok(named)
    }
}
