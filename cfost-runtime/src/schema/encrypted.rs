//! Fields that are sealed under a key of their own, inside rows that others can read.
//!
//! The app's struct has an [`Encrypted<T>`]; the table and every op have sealed bytes. The store seals what is written
//! and opens what is read, so between the struct and the store a value has a form of its own: a byte that says what it
//! is, then the value as ops carry it, or, locked, the bytes as they are stored. That form is never stored.

use std::borrow::Cow;
use std::fmt;

use super::{Column, Constant, NamesSpace, SqlType, ValueError, ValueRef};
use crate::oplog::{OpValue, OplogError, SpaceId, field_epoch, read_value, write_value};

/// What the form of an open value begins with.
const OPEN: u8 = 0;

/// What the form of a value begins with whose key isn't here.
const NO_KEY: u8 = 1;

/// What the form of a value begins with that was sealed for another place, or altered.
const DAMAGED: u8 = 2;

/// What the form of a value begins with that a newer app sealed.
const NEWER: u8 = 3;

/// A field's value that only those with a key can read: the type of a field with `#[synced(encrypted)]`.
///
/// With `encrypted` the key is that of the user's home space: the user's own devices read it, in a row that others
/// share. With `encrypted = patient_id` it is that of the space which this field names.
///
/// ```
/// # use cfost_runtime::schema::Encrypted;
/// let note: Encrypted<String> = "call back".to_owned().into();
/// assert_eq!(note.open().map(String::as_str), Some("call back"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Encrypted<T> {
    /// The value.
    Open(T),
    /// There is a value, which can't be read here. Left as it is it is no edit; an open value may take its place.
    Locked(Locked),
}

/// A value that can't be read here: kept, and passed on to other devices, as it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Locked {
    why: WhyLocked,
    sealed: Vec<u8>,
}

/// Why a value can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyLocked {
    /// This device doesn't have the key: its user is not in the space, or the key has not come yet.
    NoKey {
        /// The space whose key opens it.
        space: SpaceId,
    },
    /// It was altered, or sealed for another row, another column or another space than it is in.
    Damaged,
    /// A newer version of the app sealed it, in a way that this one doesn't know: update the app.
    Newer,
}

impl<T> Encrypted<T> {
    /// The value, if it can be read here.
    pub const fn open(&self) -> Option<&T> {
        match self {
            Self::Open(value) => Some(value),
            Self::Locked(_) => None,
        }
    }

    /// The value to change, if it can be read here.
    pub const fn open_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Open(value) => Some(value),
            Self::Locked(_) => None,
        }
    }

    /// The value by itself, if it can be read here.
    pub fn into_open(self) -> Option<T> {
        match self {
            Self::Open(value) => Some(value),
            Self::Locked(_) => None,
        }
    }

    /// Why the value can't be read here, if it can't.
    pub const fn why_locked(&self) -> Option<WhyLocked> {
        match self {
            Self::Open(_) => None,
            Self::Locked(locked) => Some(locked.why),
        }
    }
}

impl<T: Default> Default for Encrypted<T> {
    fn default() -> Self {
        Self::Open(T::default())
    }
}

impl<T> From<T> for Encrypted<T> {
    fn from(value: T) -> Self {
        Self::Open(value)
    }
}

impl Locked {
    /// Why the value can't be read.
    pub const fn why(&self) -> WhyLocked {
        self.why
    }

    /// The bytes as they are stored, without what says why they can't be read.
    pub fn as_bytes(&self) -> &[u8] {
        &self.sealed
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").field("why", &self.why).field("bytes", &self.sealed.len()).finish()
    }
}

impl fmt::Display for WhyLocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { space } => write!(f, "the key of space {space} is not on this device"),
            Self::Damaged => f.write_str("it was altered, or sealed for another place"),
            Self::Newer => f.write_str("a newer version of the app sealed it: update this one"),
        }
    }
}

/// The type of a field with `#[synced(encrypted)]`: an [`Encrypted`] around what a column can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not encrypted",
    label = "write `Encrypted<{Self}>`",
    note = "a field with `#[synced(encrypted)]` is an `Encrypted` around what a column can hold: another device may not \
            have the key, and then has `Encrypted::Locked`; an `Option` goes inside: `Encrypted<Option<String>>`"
)]
pub trait EncryptedField: Sized {
    /// What is inside.
    type Inner: Column;

    /// The value in the form that the store seals.
    ///
    /// # Errors
    /// When the value can't be stored.
    fn encode_form(&self) -> Result<ValueRef<'_>, ValueError>;

    /// The value of the form that the store opened.
    ///
    /// # Errors
    /// When it isn't one of the field's type.
    fn decode_form(form: ValueRef<'_>) -> Result<Self, ValueError>;
}

impl<T: Column> EncryptedField for Encrypted<T> {
    type Inner = T;

    fn encode_form(&self) -> Result<ValueRef<'_>, ValueError> {
        let form = match self {
            Self::Open(value) => open_form(value.encode()?)?,
            Self::Locked(Locked { why, sealed }) => locked_form(*why, sealed),
        };
        Ok(ValueRef::Blob(Cow::Owned(form)))
    }

    fn decode_form(form: ValueRef<'_>) -> Result<Self, ValueError> {
        match Form::of(&form) {
            Some(Form::Open(value)) => T::decode(value).map(Self::Open),
            Some(Form::Locked(locked)) => Ok(Self::Locked(locked)),
            None => Err(ValueError::Kind { expected: "an encrypted value", found: form.kind() }),
        }
    }
}

/// What a value in its form is.
pub(crate) enum Form<'a> {
    /// A value, to be sealed.
    Open(ValueRef<'a>),
    /// One that can't be read, as it is stored.
    Locked(Locked),
}

impl<'a> Form<'a> {
    /// Reads a form; `None` if the value is none.
    pub(crate) fn of(value: &'a ValueRef<'_>) -> Option<Self> {
        let ValueRef::Blob(form) = value else { return None };
        let (tag, rest) = form.split_first()?;
        let why = match *tag {
            OPEN => {
                let Ok(OpValue::Plain(value)) = read_value(rest) else { return None };
                return Some(Self::Open(value));
            }
            NO_KEY => WhyLocked::NoKey { space: field_epoch(rest).ok()?.space },
            DAMAGED => WhyLocked::Damaged,
            NEWER => WhyLocked::Newer,
            _ => return None,
        };
        Some(Self::Locked(Locked { why, sealed: rest.to_vec() }))
    }
}

/// The form of a value that is to be sealed.
///
/// # Errors
/// When no op may carry it.
pub(crate) fn open_form(value: ValueRef<'_>) -> Result<Vec<u8>, ValueError> {
    let mut form = vec![OPEN];
    write_value(&mut form, &OpValue::Plain(value)).map_err(unstorable)?;
    Ok(form)
}

/// The form of a sealed value that was opened; `None` if what was in it is no value of this type.
pub(crate) fn opened_form(plain: &[u8], of: &EncryptedSchema) -> Option<Vec<u8>> {
    let Ok(OpValue::Plain(value)) = read_value(plain) else { return None };
    let fits = match value {
        ValueRef::Null => of.nullable,
        ValueRef::Integer(_) => of.sql_type == SqlType::Integer,
        ValueRef::Real(_) => of.sql_type == SqlType::Real,
        ValueRef::Text(_) => of.sql_type == SqlType::Text,
        ValueRef::Blob(_) => of.sql_type == SqlType::Blob,
    };
    fits.then(|| tagged(OPEN, plain))
}

/// The form of a sealed value that can't be read.
pub(crate) fn locked_form(why: WhyLocked, sealed: &[u8]) -> Vec<u8> {
    let tag = match why {
        WhyLocked::NoKey { .. } => NO_KEY,
        WhyLocked::Damaged => DAMAGED,
        WhyLocked::Newer => NEWER,
    };
    tagged(tag, sealed)
}

/// The bytes to seal of an open value's form.
pub(crate) fn plain_of(form: &[u8]) -> Option<&[u8]> {
    form.split_first().filter(|(tag, _)| **tag == OPEN).map(|(_, plain)| plain)
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(1 + bytes.len());
    form.push(tag);
    form.extend_from_slice(bytes);
    form
}

fn unstorable(error: OplogError) -> ValueError {
    ValueError::Invalid { target: "value that can be sealed", reason: error.to_string() }
}

/// How a column is encrypted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncryptedSchema {
    /// Whose key seals it.
    pub key: EncryptedFor,
    /// The type of what is inside.
    pub sql_type: SqlType,
    /// Whether what is inside may be NULL.
    pub nullable: bool,
    /// What is read in rows whose ops don't carry the column.
    pub default: Option<Constant>,
}

/// Whose key seals a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptedFor {
    /// The home space's: the devices of the user who writes it.
    Home,
    /// That of the space which this column of the row names; NULL is the home space.
    Column(&'static str),
}

impl EncryptedFor {
    /// The key of the space that this column names; its type `T` is that of a space's id.
    pub const fn column<T: NamesSpace>(column: &'static str) -> Self {
        Self::Column(column)
    }
}

impl EncryptedSchema {
    /// Whether rows may be without a value that an op wrote.
    pub const fn can_lack_value(&self) -> bool {
        self.nullable || self.default.is_some()
    }

    /// The form of what is read in a row whose ops don't carry the column.
    pub(crate) fn absent(&self) -> Vec<u8> {
        let value = self.default.map_or(ValueRef::Null, ValueRef::from);
        // A constant is no NaN: the derive refuses it.
        open_form(value).unwrap_or_else(|_| vec![OPEN])
    }
}

#[cfg(test)]
#[path = "encrypted/tests.rs"]
mod tests;
