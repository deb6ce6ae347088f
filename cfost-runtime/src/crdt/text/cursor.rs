//! Places in a text that stay where they are while it is edited.

use std::fmt;
use std::str::FromStr;

use super::TextError;
use super::delta::STEPS_MAX;
use super::reader::{Reader, put_varint};

/// A place in a text: before a certain character, at the beginning or at the end.
///
/// It can be kept and sent, as bytes or as text, and means the same on every device that has the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub(super) Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Start,
    End,
    /// Before the character that this step of this peer inserted, or where it was.
    Before(u64, u32),
}

const START: u8 = 0;
const END: u8 = 1;
const BEFORE: u8 = 2;

impl Cursor {
    /// The edge of a text of `len` bytes that is nearer to `at`, for a text that has no history.
    pub(super) fn edge(at: usize, len: usize) -> Self {
        Self(if at < len.div_ceil(2) { Place::Start } else { Place::End })
    }

    /// Whether the cursor is at an edge: at the end, else the beginning.
    pub(super) fn at_edge(&self) -> Option<bool> {
        match self.0 {
            Place::Start => Some(false),
            Place::End => Some(true),
            Place::Before(..) => None,
        }
    }

    /// The cursor as bytes, at most 14.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.0 {
            Place::Start => vec![START],
            Place::End => vec![END],
            Place::Before(peer, step) => {
                let mut bytes = vec![BEFORE];
                bytes.extend_from_slice(&peer.to_le_bytes());
                put_varint(&mut bytes, u64::from(step));
                bytes
            }
        }
    }

    /// The cursor that [`Cursor::to_bytes`] gave the bytes of.
    ///
    /// # Errors
    /// When the bytes are no cursor.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let mut reader = Reader(bytes);
        let place = match reader.byte().map_err(|_| TextError::Cursor)? {
            START => Place::Start,
            END => Place::End,
            BEFORE => {
                let (peer, step) = (reader.u64(), reader.up_to(STEPS_MAX));
                Place::Before(peer.map_err(|_| TextError::Cursor)?, step.map_err(|_| TextError::Cursor)?)
            }
            _ => return Err(TextError::Cursor),
        };
        if reader.is_empty() { Ok(Self(place)) } else { Err(TextError::Cursor) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Start => f.write_str("start"),
            Place::End => f.write_str("end"),
            Place::Before(peer, step) => write!(f, "{peer:016x}.{step}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let place = match text {
            "start" => Some(Place::Start),
            "end" => Some(Place::End),
            text => text.split_once('.').and_then(|(peer, step)| {
                let step = step.parse().ok().filter(|step| *step <= STEPS_MAX)?;
                Some(Place::Before(u64::from_str_radix(peer, 16).ok()?, step))
            }),
        };
        place.map(Self).ok_or(TextError::Cursor)
    }
}
