//! Which Rust types a column can have, and which merge rule each can carry.

mod bytes;
mod float;
mod integer;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "text")]
mod text;
#[cfg(any(feature = "chrono", feature = "jiff", feature = "time"))]
mod time;

#[cfg(feature = "text")]
pub use text::{MergeText, TextValue};

use uuid::Uuid;

use super::rule::Lww;
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

    /// What a literal in `#[synced(default = ..)]` has to be: the type itself, `&'static str` for
    /// text, [`NoLiteral`] when there is none.
    type Literal: Copy;

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
            timestamps and JSON behind their features, and types with `#[derive(SyncedValue)]`; a field with elements or a `Text` \
            needs its merge rule: `#[crdt(set)]`, `#[crdt(map)]`, `#[crdt(list)]` or `#[crdt(text)]`, and an `Encrypted` \
            needs `#[synced(encrypted)]`"
)]
pub trait Column: Sized {
    /// The column's type in the database file.
    const TYPE: SqlType;
    /// Whether the column may be NULL.
    const NULLABLE: bool;

    /// What a literal in `#[synced(default = ..)]` has to be.
    type Literal: Copy;

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

    type Literal = T::Literal;

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

    type Literal = T::Literal;

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

/// The [`SyncedValue::Literal`] of types that no literal writes, such as timestamps.
#[derive(Clone, Copy, Debug)]
pub enum NoLiteral {}

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

/// A field's type that can name a row whose id is an `I`: that type, or an `Option` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't name a row whose id is a `{I}`",
    label = "not a `{I}`",
    note = "a reference has the type of the other model's id, or an `Option` of it"
)]
pub trait Refer<I>: Column {}

impl<I: RowId + SyncedValue> Refer<I> for I {}

impl<I: RowId + SyncedValue> Refer<I> for Option<I> {}

/// A field's type that can name the space of its row: that of a row's id, or an `Option` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't name a space",
    label = "not the id of a space",
    note = "the id of a space is that of a row: a `Uuid` or a newtype around it with `#[derive(SyncedValue)]`; in an \
            `Option` of it, `None` is the home space"
)]
pub trait NamesSpace: Column {}

impl<I: RowId + SyncedValue> NamesSpace for I {}

impl<I: RowId + SyncedValue> NamesSpace for Option<I> {}

/// A field's type that is text, so that it can be searched.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a text",
    label = "not a text",
    note = "text is a `String`, a `Text`, an `Option<String>`, or a newtype around a `String`; nothing else has words, \
            beginnings and ends to look for"
)]
pub trait Search {}

impl Search for String {}

impl<T: Search + SyncedValue> Search for Option<T> {}

/// A field's type that can carry the merge rule `R`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be merged as `{R}`",
    label = "this type has no `{R}` merge",
    note = "`lww` fits every column type; `counter` fits i64, i32, i16, i8, and newtypes around them, not floats, \
            whose sum depends on the order"
)]
pub trait MergeAs<R>: Column {
    /// The rule, for the schema.
    const RULE: MergeRule;

    /// The field's value for what the writes of all devices merged to.
    ///
    /// # Errors
    /// When the value isn't one of this type. A counter's sum beyond the type's range is none: two
    /// devices that each stay within it can leave it together, so the nearest value is read.
    fn from_merged(value: ValueRef<'_>) -> Result<Self, ValueError>;
}

impl<T: Column> MergeAs<Lww> for T {
    const RULE: MergeRule = MergeRule::Lww;

    fn from_merged(value: ValueRef<'_>) -> Result<Self, ValueError> {
        Column::decode(value)
    }
}
