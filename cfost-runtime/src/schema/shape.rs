//! Shapes: what one version of a model is to databases and to other devices, as a value and as text.
//!
//! The text has a line for each fact, in this order:
//!
//! | line | says |
//! | --- | --- |
//! | `id id` | the column with the row's id |
//! | `column rank INTEGER NOT NULL lww` | a column: its name, its type in SQL, how it merges |
//! | `.. called heading` | what ops call it, if that isn't its name |
//! | `.. encrypted for patient TEXT NOT NULL` | the space whose key it is sealed with, unless that is home, and what is inside |
//! | `.. immutable`, `.. default 7`, `.. references lists hide` | what else the field's attributes say |
//! | `elements scores map TEXT INTEGER NOT NULL indexed` | a field with elements: their keys' type, and their values' |
//! | `id from name owner` | the columns that the id is made from |
//! | `space`, `space in list_id` | that each row is a space, or which column names the one that it lives in |
//! | `delete wins` | that deletes are final |
//! | `index rank title` | an index |
//!
//! A model's attributes tell what its earlier versions were, but not all of it: the type of a column that was removed
//! without one, say. What they don't say is a `?`, and equals everything.

mod diff;
mod of;
pub(in crate::schema) mod text;

#[cfg(test)]
mod tests;

pub use diff::{Difference, diff};
pub use text::ShapeError;

use std::fmt;

use super::{DeletePolicy, MergeRule, OnDelete, SqlType, Value};

/// What one version of a model is to databases and to other devices.
///
/// [`Shape::of`] reads it from the attributes; `Display` and `FromStr` are its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The column that holds the row's id.
    pub id: String,
    /// The columns, in the order of the rows' clocks; those whose place the attributes don't tell are last.
    pub columns: Vec<ColumnShape>,
    /// The fields with elements.
    pub collections: Vec<CollectionShape>,
    /// The columns that the row's id is made from; none if it is minted.
    pub id_from: Vec<String>,
    /// Which space the rows live in.
    pub space: SpaceShape,
    /// Which of a delete and a concurrent edit wins.
    pub delete: DeletePolicy,
    /// The columns of each index; `None` if not known. Indexes come and go with any version.
    pub indexes: Option<Vec<Vec<String>>>,
}

/// Which space the rows of a [`Shape`] live in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpaceShape {
    /// The user's home space.
    #[default]
    Home,
    /// Each row is a space, and lives in it.
    Row,
    /// The space that this column names.
    Column(String),
}

/// A column of a [`Shape`].
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnShape {
    /// The column's name in the table.
    pub name: String,
    /// What ops call it.
    pub op_name: String,
    /// Its type; `None` if not known.
    pub kind: Option<ColumnType>,
    /// How concurrent writes to it merge.
    pub rule: MergeRule,
    /// What else its attributes say; `None` if not known.
    pub details: Option<ColumnDetails>,
}

/// The type of a column in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// The type of its values.
    pub sql_type: SqlType,
    /// Whether it can be NULL.
    pub nullable: bool,
}

/// What the attributes of a column say beside its type and its merge rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnDetails {
    /// Whether it keeps the value that the row was inserted with.
    pub immutable: bool,
    /// What it holds in rows whose ops don't carry it.
    pub default: Option<Value>,
    /// The table whose row it names, and what becomes of the row without that one.
    pub reference: Option<(String, OnDelete)>,
    /// How it is encrypted.
    pub encrypted: Option<EncryptedShape>,
}

/// How a column is encrypted.
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptedShape {
    /// The column that names the space whose key it is sealed with; none for the home space.
    pub space: Option<String>,
    /// The type of what is inside.
    pub kind: ColumnType,
}

/// A field with elements, of a [`Shape`].
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionShape {
    /// After the model's table and `_` the name of the elements' table.
    pub name: String,
    /// What ops call it.
    pub op_name: String,
    /// How the elements merge.
    pub rule: MergeRule,
    /// The elements' types; `None` if not known.
    pub elements: Option<ElementsShape>,
    /// Whether the elements are indexed; `None` if not known.
    pub indexed: Option<bool>,
}

/// The types of a field's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementsShape {
    /// The type of their keys.
    pub key: SqlType,
    /// The type of their values, if they have any.
    pub value: Option<ColumnType>,
}

impl Shape {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ColumnShape> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The field with elements of this name.
    pub fn collection(&self, name: &str) -> Option<&CollectionShape> {
        self.collections.iter().find(|collection| collection.name == name)
    }

    /// The same shape, with nothing said of indexes.
    #[must_use]
    pub fn without_indexes(mut self) -> Self {
        self.indexes = None;
        self.collections.iter_mut().for_each(|collection| collection.indexed = None);
        self
    }

    /// The tables whose rows its columns name, each with what becomes of a row without the other.
    pub fn references(&self) -> impl Iterator<Item = (&str, OnDelete)> {
        let details = self.columns.iter().filter_map(|column| column.details.as_ref());
        details.filter_map(|details| details.reference.as_ref()).map(|(table, on_delete)| (table.as_str(), *on_delete))
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.sql_type.name(), if self.nullable { "" } else { " NOT NULL" })
    }
}

impl fmt::Display for ElementsShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key.name())?;
        self.value.iter().try_for_each(|value| write!(f, " {value}"))
    }
}

impl fmt::Display for ColumnShape {
    /// The line of the column, without what kind of line it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_column(f, self)
    }
}

impl fmt::Display for CollectionShape {
    /// The line of the field, without what kind of line it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_collection(f, self)
    }
}
