//! Text that several devices edit at once.
//!
//! [`Text`] is what an app holds: it records edits. A [`Document`] is the merged state: a Loro document,
//! in which every character has an identity. Editing a document makes deltas, the form in
//! which edits travel and are kept; merging the same deltas in any order gives the same document. What a
//! database keeps of a document is [`Stored`].
//!
//! Loro's own bytes are never sent: a delta names what Loro's operations say in an encoding of ours, with
//! one form for each meaning, and is checked before Loro sees it.

mod buffer;
mod cursor;
mod delta;
mod diff;
mod document;
mod edit;
mod generation;
mod generations;
mod mark;
mod reader;
mod stored;
#[cfg(test)]
mod tests;
mod value;

pub use cursor::Cursor;
pub use delta::{DELTA_BYTES_MAX, DeltaEdit, check_delta, edits_of, first_step, first_text};
pub use document::{Document, Fate};
pub use generation::Generation;
pub use generations::{Generations, Held};
pub use mark::{Mark, MarkValue};
pub use stored::Stored;
pub use value::Text;

/// What is wrong with an edit, a delta or a stored document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A position after the end of the text.
    #[error("position {position} is beyond the end of the text, which has {len} bytes; the edit was not made")]
    BeyondEnd {
        /// The position, in bytes.
        position: usize,
        /// The text's length, in bytes.
        len: usize,
    },
    /// A position between the bytes of one character.
    #[error("position {position} is inside a character; the edit was not made: use positions of `char_indices`")]
    InsideCharacter {
        /// The position, in bytes.
        position: usize,
    },
    /// A range that ends before it begins.
    #[error("the range {start}..{end} ends before it begins; the edit was not made")]
    Reversed {
        /// Where it begins.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// A mark's key that is empty or too long.
    #[error("a mark's key has {bytes} bytes, it must have 1 to {bytes_max}; the mark was not made")]
    MarkKey {
        /// The key's length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A mark's value that is too long.
    #[error("a mark's value has {bytes} bytes, the limit is {bytes_max}: keep it elsewhere and mark its id")]
    MarkValue {
        /// The value's length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A text, with all that was ever deleted from it, that is beyond what a document can hold.
    #[error("the text and its history have more than {characters_max} characters: begin a new text")]
    Full {
        /// The limit.
        characters_max: u32,
    },
    /// Bytes that are no delta, or one that no document can have made.
    #[error("not a text delta: {0}")]
    Delta(&'static str),
    /// Bytes or text that are no cursor.
    #[error("not a cursor: use what `Text::cursor` gave, as bytes or as text")]
    Cursor,
    /// What was stored can't be read, or an edit can't be made of it.
    #[error("the document of a text is damaged: {0}")]
    Damaged(String),
}

/// The number under which a log edits texts: from the hash of its id, so that all replicas agree on it.
pub fn peer_of(log: &[u8; 16]) -> u64 {
    let hash = blake3::derive_key("cfost text peer v1", log);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    // Loro keeps the greatest numbers for itself.
    u64::from_le_bytes(bytes) & (u64::MAX >> 1)
}
