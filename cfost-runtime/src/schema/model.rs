//! Models: what `#[derive(Synced)]` says of a struct.

use std::borrow::Cow;
use std::fmt;

use super::{Column, MergeAs, RowDecoder, RowEncoder, RowId, SqlType, ValueError, ValueRef};

/// A struct with `#[derive(Synced)]`: one table, whose rows merge across devices.
///
/// Implement it by the derive only. It has no methods, so that it adds none to the struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model",
    label = "not a model",
    note = "add `#[derive(Synced)]` to `{Self}`"
)]
pub trait Synced: Sized + Send + 'static {
    /// The type of the field marked `#[synced(id)]`.
    type Id: RowId;

    /// How the struct maps to the rows of its table.
    const MAPPING: Mapping<Self>;

    /// What the struct's attributes say.
    const SCHEMA: &'static ModelSchema = Self::MAPPING.schema;
}

/// How a struct maps to the rows of its table.
///
/// One value with closures, and not methods of [`Synced`], for two reasons: rustc checks closures
/// together with the value they are in, so a field of an impossible type is one error and not one for
/// each function that touches the field; and a trait in the prelude can't clash with the app's methods.
pub struct Mapping<M: Synced> {
    /// What the struct's attributes say.
    pub schema: &'static ModelSchema,
    /// The row's id.
    pub id: fn(&M) -> M::Id,
    /// Gives the row an id.
    pub set_id: fn(&mut M, M::Id),
    /// Writes the stored fields, in the order of [`ModelSchema::columns`].
    pub encode: for<'a> fn(&'a M, &mut RowEncoder<'a>),
    /// Reads the stored fields, in the order of [`ModelSchema::columns`].
    pub decode: fn(M::Id, &mut RowDecoder<'_>) -> Result<M, ValueError>,
}

impl<M: Synced> fmt::Debug for Mapping<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mapping").field(self.schema).finish()
    }
}

/// Everything the runtime knows about a model; the derive writes it as a constant.
#[derive(Debug)]
pub struct ModelSchema {
    /// The struct's name.
    pub model: &'static str,
    /// The table's name.
    pub table: &'static str,
    /// The schema version, from 1.
    pub version: u32,
    /// The column that holds the row's id.
    pub id_column: &'static str,
    /// The stored fields, in the order of the struct; the id is not among them.
    pub columns: &'static [ColumnSchema],
    /// The indexes, in the order they are written.
    pub indexes: &'static [IndexSchema],
}

/// One stored field of a model.
#[derive(Debug)]
pub struct ColumnSchema {
    /// The field's name.
    pub field: &'static str,
    /// The column's name in the table.
    pub name: &'static str,
    /// The column's type in the table.
    pub sql_type: SqlType,
    /// Whether the field is an `Option`.
    pub nullable: bool,
    /// How concurrent writes to the field merge.
    pub rule: MergeRule,
    /// The value of a row whose ops don't carry this column.
    pub default: Option<Constant>,
}

impl ColumnSchema {
    /// A field of type `T` whose last writer wins.
    pub const fn lww<T: Column>(field: &'static str, name: &'static str) -> Self {
        Self { field, name, sql_type: T::TYPE, nullable: T::NULLABLE, rule: MergeRule::Lww, default: None }
    }

    /// A field of type `T` that merges by the rule `R`.
    pub const fn merged<T: MergeAs<R>, R>(field: &'static str, name: &'static str) -> Self {
        Self { field, name, sql_type: T::TYPE, nullable: T::NULLABLE, rule: T::RULE, default: None }
    }

    /// With a default. The literal is there for rustc to compare with the field's type `T`.
    #[must_use]
    pub const fn default_to<T: Column>(self, _literal: T::Literal, default: Constant) -> Self {
        Self { default: Some(default), ..self }
    }
}

/// How a column merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// The write with the greater (timestamp, device) wins.
    Lww,
    /// Increments and decrements add up.
    Counter,
}

impl fmt::Display for MergeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lww => "lww",
            Self::Counter => "counter",
        })
    }
}

/// A literal in `#[synced(default = ..)]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constant {
    /// An integer, or a boolean as 0 or 1.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text.
    Text(&'static str),
    /// Bytes.
    Blob(&'static [u8]),
}

impl From<Constant> for ValueRef<'static> {
    fn from(constant: Constant) -> Self {
        match constant {
            Constant::Integer(value) => Self::Integer(value),
            Constant::Real(value) => Self::Real(value),
            Constant::Text(value) => Self::Text(Cow::Borrowed(value)),
            Constant::Blob(value) => Self::Blob(Cow::Borrowed(value)),
        }
    }
}

/// An index over columns of a model.
#[derive(Debug)]
pub struct IndexSchema {
    /// The names of the indexed columns, most significant first.
    pub columns: &'static [&'static str],
}

/// A model without its type: what `models![..]` lists and `Db::open` takes.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The model's schema.
    pub schema: &'static ModelSchema,
}

impl Model {
    /// The model `M`.
    pub const fn of<M: Synced>() -> Self {
        Self { schema: M::SCHEMA }
    }
}
