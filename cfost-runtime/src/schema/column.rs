//! Which Rust types a column can have, and which merge rule each can carry.

use std::borrow::Cow;

use uuid::Uuid;

use super::{MergeRule, SqlType, ValueError, ValueRef};

/// A type that one column holds, never NULL. Derive it for newtypes and fieldless enums with
/// `#[derive(SyncedValue)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored in a column",
    label = "not a column type",
    note = "columns hold bool, integers up to 64 bits, f32, f64, String, Vec<u8>, Uuid, `Option` of these, \
            timestamps and JSON behind their features, and types with `#[derive(SyncedValue)]`"
)]
pub trait SyncedValue: Sized {
    /// The column's type in the database file.
    const TYPE: SqlType;

    /// The value to store.
    ///
    /// # Errors
    /// When the value can't be stored: NaN, an unsigned integer beyond `i64::MAX`, a time out of range.
    fn encode(&self) -> Result<ValueRef<'_>, ValueError>;

    /// The value that was stored.
    ///
    /// # Errors
    /// When the stored value isn't one of this type.
    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError>;
}

/// A field's type: a [`SyncedValue`] or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored in a column",
    label = "not a column type",
    note = "columns hold bool, integers up to 64 bits, f32, f64, String, Vec<u8>, Uuid, `Option` of these, \
            timestamps and JSON behind their features, and types with `#[derive(SyncedValue)]`"
)]
pub trait Column: Sized {
    /// The column's type in the database file.
    const TYPE: SqlType;
    /// Whether the column may be NULL.
    const NULLABLE: bool;

    /// The value to store.
    ///
    /// # Errors
    /// When the value can't be stored.
    fn encode(&self) -> Result<ValueRef<'_>, ValueError>;

    /// The value that was stored.
    ///
    /// # Errors
    /// When the stored value isn't one of this type.
    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError>;
}

impl<T: SyncedValue> Column for T {
    const TYPE: SqlType = T::TYPE;
    const NULLABLE: bool = false;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        SyncedValue::encode(self)
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        SyncedValue::decode(value)
    }
}

impl<T: SyncedValue> Column for Option<T> {
    const TYPE: SqlType = T::TYPE;
    const NULLABLE: bool = true;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        self.as_ref().map_or(Ok(ValueRef::Null), SyncedValue::encode)
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Null => Ok(None),
            value => SyncedValue::decode(value).map(Some),
        }
    }
}

/// The type of a row's id: [`Uuid`] or a newtype around it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a row's id",
    label = "not an id type",
    note = "use `Uuid`, or a newtype around it with `#[derive(SyncedValue)]`"
)]
pub trait RowId: Copy + Send + 'static {
    /// The id's UUID.
    fn to_uuid(self) -> Uuid;
    /// The id with this UUID.
    fn from_uuid(id: Uuid) -> Self;
}

impl RowId for Uuid {
    fn to_uuid(self) -> Uuid {
        self
    }

    fn from_uuid(id: Uuid) -> Self {
        id
    }
}

/// The merge rule `lww`: the last writer wins.
#[derive(Debug)]
pub enum Lww {}

/// The merge rule `counter`: increments add up.
#[derive(Debug)]
pub enum Counter {}

/// A field's type that can carry the merge rule `R`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be merged as `{R}`",
    label = "this type has no `{R}` merge",
    note = "`lww` fits every column type; `counter` fits i64, i32, i16 and i8"
)]
pub trait MergeAs<R> {
    /// The rule, for the schema.
    const RULE: MergeRule;
}

impl<T: Column> MergeAs<Lww> for T {
    const RULE: MergeRule = MergeRule::Lww;
}

impl SyncedValue for Uuid {
    const TYPE: SqlType = SqlType::Blob;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Blob(Cow::Borrowed(self.as_bytes())))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Blob(bytes) => Uuid::from_slice(&bytes)
                .map_err(|error| ValueError::Invalid { target: "Uuid", reason: error.to_string() }),
            other => Err(ValueError::Kind { expected: "bytes", found: other.kind() }),
        }
    }
}

impl SyncedValue for String {
    const TYPE: SqlType = SqlType::Text;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Text(Cow::Borrowed(self)))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Text(text) => Ok(text.into_owned()),
            other => Err(ValueError::Kind { expected: "text", found: other.kind() }),
        }
    }
}
