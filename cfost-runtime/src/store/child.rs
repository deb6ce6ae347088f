//! The tables of elements: one for each collection of a model, named after both.
//!
//! | collection | columns |
//! | --- | --- |
//! | set | row, element, clock |
//! | map | row, key, value, clock |
//! | list | row, element (its id), position, value, clock |
//!
//! They hold the elements that are there, of the rows that are shown, so that plain SQL joins them. All
//! others are in `cfost_hidden_elements`.

use super::table::{CLOCK_COLUMN, quoted};
use crate::schema::{CollectionSchema, MergeRule, ModelSchema, Value};

/// The table of a collection with the SQL that reads and writes it.
///
/// It is `STRICT` and `WITHOUT ROWID`, by row and key, so that a row's elements lie together.
#[derive(Debug)]
pub(crate) struct ChildTable {
    pub(crate) schema: &'static CollectionSchema,
    /// The table's name.
    pub(crate) name: String,
    /// `INSERT`, which does nothing when the element is there. Parameters: row, key, columns, clock.
    pub(super) insert: String,
    /// Selects columns, then the clock, of an element. Parameters: row, key.
    pub(super) select: String,
    /// `UPDATE` of all columns and the clock. Parameters: row, key, columns, clock.
    pub(super) update: String,
    /// Deletes an element. Parameters: row, key.
    pub(super) delete: String,
    /// Selects columns, then the key, of a row's elements in their order.
    pub(crate) read: String,
    /// Selects columns, then the clock, then the key, of a row's elements.
    pub(super) read_clocks: String,
    /// Deletes a row's elements.
    pub(super) clear: String,
    /// What an element's columns hold before they are written.
    pub(super) defaults: Vec<Value>,
    create: String,
    /// The name of the index over the elements, keys or values, and the statement that makes it, as SQLite keeps it.
    index: (String, String),
}

impl ChildTable {
    pub(super) fn new(model: &ModelSchema, schema: &'static CollectionSchema) -> Self {
        let plain_name = format!("{}_{}", model.table, schema.name);
        let name = quoted(&plain_name);
        let key = if schema.rule == MergeRule::Map { "key" } else { "element" };
        let columns = columns(schema);
        let names: String = columns.iter().map(|(name, _)| format!("{name}, ")).collect();
        let (clock, key_type) = (CLOCK_COLUMN, schema.key.name());
        let marks: String = (0..columns.len()).map(|n| format!("?{}, ", n + 3)).collect();
        let sets: String = columns.iter().enumerate().map(|(n, (name, _))| format!("{name} = ?{}, ", n + 3)).collect();
        let clock_mark = columns.len() + 3;
        let order = if schema.rule == MergeRule::List { "position, element" } else { key };
        let definitions: String = columns.iter().map(|(name, kind)| format!(",\n  {name} {kind}")).collect();
        let create = format!(
            "CREATE TABLE {name} (\n  row BLOB NOT NULL,\n  {key} {key_type} NOT NULL{definitions},\n  \
             {clock} BLOB NOT NULL,\n  PRIMARY KEY (row, {key})\n) STRICT, WITHOUT ROWID;\n"
        );
        // The rest of the primary key, with the row, is in each entry by itself.
        let index = format!("{}_{}_by_{}", model.table, schema.op_name, indexed(schema));
        let create_index = format!("CREATE INDEX {} ON {name} ({})", quoted(&index), indexed(schema));
        Self {
            insert: format!(
                "INSERT INTO {name} (row, {key}, {names}{clock}) VALUES (?1, ?2, {marks}?{clock_mark}) \
                 ON CONFLICT DO NOTHING"
            ),
            select: format!("SELECT {names}{clock} FROM {name} WHERE row = ?1 AND {key} = ?2"),
            update: format!("UPDATE {name} SET {sets}{clock} = ?{clock_mark} WHERE row = ?1 AND {key} = ?2"),
            delete: format!("DELETE FROM {name} WHERE row = ?1 AND {key} = ?2"),
            read: format!("SELECT {names}{key} FROM {name} WHERE row = ?1 ORDER BY {order}"),
            read_clocks: format!("SELECT {names}{clock}, {key} FROM {name} WHERE row = ?1"),
            clear: format!("DELETE FROM {name} WHERE row = ?1"),
            defaults: vec![Value::Null; columns.len()],
            create,
            index: (index, create_index),
            name: plain_name,
            schema,
        }
    }

    /// The statements that make the table and its index.
    pub(super) fn create(&self) -> String {
        let index = self.index().map_or_else(String::new, |(_, sql)| format!("{sql};\n"));
        format!("{}{index}", self.create)
    }

    /// The index that the model wants: its name, and the statement that makes it, as SQLite keeps it.
    pub(super) fn index(&self) -> Option<(String, String)> {
        self.schema.indexed.then(|| self.index.clone())
    }

    /// The names that the table and its index take in the file.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.name.clone()).chain(self.index().map(|(name, _)| name))
    }
}

/// The columns beside row, key and clock: name and definition.
fn columns(schema: &CollectionSchema) -> Vec<(&'static str, String)> {
    let mut columns = Vec::new();
    if schema.rule == MergeRule::List {
        columns.push(("position", "BLOB NOT NULL".to_owned()));
    }
    if let Some((kind, nullable)) = schema.value {
        columns.push(("value", format!("{}{}", kind.name(), if nullable { "" } else { " NOT NULL" })));
    }
    columns
}

/// The column that an index over the elements is on.
fn indexed(schema: &CollectionSchema) -> &'static str {
    match schema.rule {
        MergeRule::Map => "key",
        MergeRule::List => "value",
        _ => "element",
    }
}
