//! The types of columns in the database file, and what a value can be refused for.

/// The type of a column in the database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// A signed integer of up to 64 bits; booleans are 0 and 1.
    Integer,
    /// A 64-bit float, never NaN.
    Real,
    /// UTF-8 text.
    Text,
    /// Bytes; a UUID is 16 of them.
    Blob,
}

impl SqlType {
    /// The type's name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Text => "TEXT",
            Self::Blob => "BLOB",
        }
    }
}

/// A value that a column can't hold, or that isn't what its field's type expects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A float is NaN, which equals nothing, itself included, so that replicas couldn't agree on it.
    #[error("NaN can't be stored: use `Option<f64>` and `None` for 'no number'")]
    Nan,
    /// An integer is outside the range of the type it goes to.
    #[error("{value} is out of range for {target}")]
    OutOfRange {
        /// The integer.
        value: String,
        /// The type that can't hold it.
        target: &'static str,
    },
    /// The database holds another kind of value than the field's type.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What the field's type reads.
        expected: &'static str,
        /// What the database holds.
        found: &'static str,
    },
    /// The value has the right kind, but isn't a value of the field's type.
    #[error("not a {target}: {reason}")]
    Invalid {
        /// The field's type.
        target: &'static str,
        /// Why the value isn't one.
        reason: String,
    },
    /// A list was edited where it has no element.
    #[error("`{edit}` at index {index} of a list of {len}: check the index against the list's length")]
    ListIndex {
        /// The edit.
        edit: &'static str,
        /// The index.
        index: usize,
        /// How many elements the list had.
        len: usize,
    },
    /// A text was edited where it couldn't be.
    #[cfg(feature = "text")]
    #[error(transparent)]
    Text(#[from] crate::crdt::text::TextError),
}
