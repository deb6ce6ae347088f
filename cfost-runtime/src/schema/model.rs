//! Models: what `#[derive(Synced)]` says of a struct.

use std::fmt;

use super::{RowDecoder, RowEncoder, RowId, SqlType, ValueError};

/// A struct with `#[derive(Synced)]`: one table, whose rows merge across devices.
///
/// Implement it by the derive only; its methods are called by the runtime.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a model", note = "add `#[derive(Synced)]` to `{Self}`")]
pub trait Synced: Sized + Send + 'static {
    /// What the struct's attributes say.
    const SCHEMA: &'static ModelSchema;

    /// The type of the field marked `#[synced(id)]`.
    type Id: RowId;

    /// The row's id.
    fn id(&self) -> Self::Id;

    /// Gives the row an id.
    fn set_id(&mut self, id: Self::Id);

    /// Writes the stored fields, in the order of [`ModelSchema::columns`].
    fn encode<'a>(&'a self, row: &mut RowEncoder<'a>);

    /// Reads the stored fields, in the order of [`ModelSchema::columns`].
    ///
    /// # Errors
    /// When a stored value isn't one of its field's type.
    fn decode(id: Self::Id, row: &mut RowDecoder<'_>) -> Result<Self, ValueError>;
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
