//! Marks: values that ranges of a text carry.

use std::ops::Range;

use super::TextError;

/// A range that carries a value, as [`Text::marks`](super::Text::marks) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// What the app calls it: `bold`, `link`, `comment:17`.
    pub key: String,
    /// The value.
    pub value: MarkValue,
}

/// The value of a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkValue {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
}

impl From<bool> for MarkValue {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<i64> for MarkValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for MarkValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for MarkValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// The most bytes of a mark's key.
pub(super) const KEY_BYTES_MAX: usize = 255;

/// The most bytes of a mark's text.
pub(super) const VALUE_BYTES_MAX: usize = 4096;

/// Whether a mark can have this key and value.
pub(super) fn check(key: &str, value: Option<&MarkValue>) -> Result<(), TextError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(TextError::MarkKey { bytes: key.len(), bytes_max: KEY_BYTES_MAX });
    }
    match value {
        Some(MarkValue::Text(text)) if text.len() > VALUE_BYTES_MAX => {
            Err(TextError::MarkValue { bytes: text.len(), bytes_max: VALUE_BYTES_MAX })
        }
        _ => Ok(()),
    }
}
