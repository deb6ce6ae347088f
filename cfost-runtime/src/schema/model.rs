//! Models: what `#[derive(Synced)]` says of a struct.

use std::borrow::Cow;
use std::fmt;

#[cfg(feature = "text")]
use super::MergeText;
use super::{
    CollectionSchema, Column, EncryptedField, EncryptedFor, EncryptedSchema, MergeAs, Past, Refer, RemovedCollection,
    RowDecoder, RowEncoder, RowId, SqlType, ValueError, ValueRef,
};

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

    /// The table's name. Beside the schema, so that two models can refer to each other.
    const TABLE: &'static str;

    /// The struct of typed columns that filters and orders are written with.
    type Columns: Copy + 'static;

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
    /// The typed columns.
    pub columns: M::Columns,
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
    /// The stored fields of one value each, by the version that they are there since, then in the order of the
    /// struct; the id is not among them.
    pub columns: &'static [ColumnSchema],
    /// The stored fields with elements, by the version that they are there since, then in the order of the struct.
    pub collections: &'static [CollectionSchema],
    /// The indexes, in the order they are written.
    pub indexes: &'static [IndexSchema],
    /// Which of a delete and a concurrent edit wins.
    pub delete: DeletePolicy,
    /// The columns that the row's id is made from, in this order; none if it is minted.
    pub id_from: &'static [&'static str],
    /// The columns whose words are indexed.
    pub search: &'static [&'static str],
    /// Whether the entries of a row are indexed, so that its history is found without reading the oplog.
    pub history: bool,
    /// The spaces that the rows live in.
    pub space: Placement,
    /// The columns that a version removed, each with what it was before, newest first.
    pub removed: &'static [&'static [Past]],
    /// The fields with elements that a version removed.
    pub removed_collections: &'static [RemovedCollection],
}

impl ModelSchema {
    /// What ops call the column of this name, which no rename changes.
    pub fn op_name(&self, column: &'static str) -> &'static str {
        self.columns.iter().find(|known| known.name == column).map_or(column, |known| known.op_name)
    }

    /// Whether a row keeps the value of this column that it was inserted with: the field is marked, or the
    /// row's id is made from it, or it names the row's space.
    pub fn keeps(&self, column: &ColumnSchema) -> bool {
        column.immutable || self.id_from.contains(&column.name) || self.space == Placement::Column(column.name)
    }
}

/// Which space a model's rows live in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The user's home space.
    #[default]
    Home,
    /// Each row is a space, and lives in it: the row's id is the space's.
    Row,
    /// The space that this column of the row names, by its id; NULL is the home space.
    Column(&'static str),
}

/// Which of a delete and an edit on another device wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletePolicy {
    /// The later of the two: an edit after the delete brings the row back.
    #[default]
    Latest,
    /// The delete, for good.
    Wins,
}

/// What becomes of a row when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// It is not shown until the other row is back.
    #[default]
    Hide,
    /// It is deleted too.
    Cascade,
    /// Nothing: it names a row that is gone.
    Keep,
}

impl OnDelete {
    /// As attributes write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hide => "hide",
            Self::Cascade => "cascade",
            Self::Keep => "keep",
        }
    }
}

/// A column that names a row of another model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The other model's table.
    pub table: &'static str,
    /// What becomes of a row when the other one is deleted.
    pub on_delete: OnDelete,
}

/// One stored field of a model.
#[derive(Debug)]
pub struct ColumnSchema {
    /// The field's name.
    pub field: &'static str,
    /// The column's name in the table.
    pub name: &'static str,
    /// What ops call the column: the name it had first. A column that was upgraded is another one in ops, so that
    /// older versions don't take its values for their own.
    pub op_name: &'static str,
    /// What the column was before, newest first.
    pub past: &'static [Past],
    /// The column's type in the table.
    pub sql_type: SqlType,
    /// Whether the field is an `Option`.
    pub nullable: bool,
    /// How concurrent writes to the field merge.
    pub rule: MergeRule,
    /// The model's version that the column is there since, whatever its form was then.
    pub since: u32,
    /// The value of a row whose ops don't carry this column: the field's `default`, or its `backfill`.
    pub default: Option<Constant>,
    /// Whether the column keeps the value that the row was inserted with.
    pub immutable: bool,
    /// The row of another model that the column names.
    pub reference: Option<Reference>,
    /// How its values are encrypted.
    pub encrypted: Option<EncryptedSchema>,
}

impl ColumnSchema {
    /// A field of type `T` whose last writer wins.
    pub const fn lww<T: Column>(field: &'static str, name: &'static str) -> Self {
        Self::new::<T>(field, name, MergeRule::Lww)
    }

    /// A field of type `T` that merges by the rule `R`.
    pub const fn merged<T: MergeAs<R>, R>(field: &'static str, name: &'static str) -> Self {
        Self::new::<T>(field, name, T::RULE)
    }

    /// A field of type `T` whose text merges character by character.
    #[cfg(feature = "text")]
    pub const fn text<T: MergeText>(field: &'static str, name: &'static str) -> Self {
        Self::new::<String>(field, name, MergeRule::Text)
    }

    const fn new<T: Column>(field: &'static str, name: &'static str, rule: MergeRule) -> Self {
        let (sql_type, nullable) = (T::TYPE, T::NULLABLE);
        let (since, default, immutable, reference, encrypted) = (1, None, false, None, None);
        let (op_name, past) = (name, &[]);
        Self { field, name, op_name, past, sql_type, nullable, rule, since, default, immutable, reference, encrypted }
    }

    /// A field of type `T` that is encrypted. The column holds sealed bytes, and NULL in rows whose ops don't carry it.
    pub const fn encrypted<T: EncryptedField>(field: &'static str, name: &'static str, key: EncryptedFor) -> Self {
        let (sql_type, nullable, default) = (T::Inner::TYPE, T::Inner::NULLABLE, None);
        let encrypted = Some(EncryptedSchema { key, sql_type, nullable, default });
        Self { encrypted, ..Self::new::<Option<Vec<u8>>>(field, name, MergeRule::Lww) }
    }

    /// Was something else in earlier versions: `past` newest first, and `op_name` is what ops call it now.
    #[must_use]
    pub const fn was(self, op_name: &'static str, past: &'static [Past]) -> Self {
        Self { op_name, past, ..self }
    }

    /// There since a later version of the model than the first.
    #[must_use]
    pub const fn since(self, version: u32) -> Self {
        Self { since: version, ..self }
    }

    /// The first version in which the column is what it is now.
    pub fn form_since(&self) -> u32 {
        self.past.first().map_or(self.since, |past| past.until)
    }

    /// Whether a row has a value for the column that was written before the model had it.
    pub const fn has_value_in_old_rows(&self) -> bool {
        if let Some(encrypted) = self.encrypted {
            return self.since == 1 || encrypted.can_lack_value();
        }
        let begins = matches!(self.rule, MergeRule::Counter | MergeRule::Text);
        self.since == 1 || self.nullable || self.default.is_some() || begins
    }

    /// Keeps the value that the row was inserted with.
    #[must_use]
    pub const fn immutable(self) -> Self {
        Self { immutable: true, ..self }
    }

    /// Names a row of the model `P`; the field's type `T` is that of its id.
    #[must_use]
    pub const fn references<T: Refer<P::Id>, P: Synced>(self, on_delete: OnDelete) -> Self {
        Self { reference: Some(Reference { table: P::TABLE, on_delete }), ..self }
    }

    /// Whether an op may make the column NULL: an encrypted one is NULL only as long as no op has written it.
    pub const fn takes_null(&self) -> bool {
        self.nullable && self.encrypted.is_none()
    }

    /// With a default, of an encrypted field of type `T`. It is in no op and in no row, so it needs no key.
    #[must_use]
    pub const fn absent_is<T: EncryptedField>(
        mut self,
        _literal: <T::Inner as Column>::Literal,
        default: Constant,
    ) -> Self {
        if let Some(encrypted) = &mut self.encrypted {
            encrypted.default = Some(default);
        }
        self
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
    /// Each element is added or removed by itself.
    Set,
    /// Each key has a cell of its own.
    Map,
    /// Each element has an identity, a position and a value.
    List,
    /// Edits are merged character by character.
    Text,
}

impl fmt::Display for MergeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lww => "lww",
            Self::Counter => "counter",
            Self::Set => "set",
            Self::Map => "map",
            Self::List => "list",
            Self::Text => "text",
        })
    }
}

/// A literal in `#[synced(default = ..)]` or `#[synced(backfill = ..)]`.
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
