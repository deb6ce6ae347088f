//! What the models of a database look like, in the file and in the app.

use std::collections::BTreeMap;
use std::fmt;

use super::Db;
use crate::error::Result;
use crate::schema::Shape;
use crate::schema::shape::{Difference, ElementsShape, diff};

/// The models in a database file and in the app that has it open; made by [`Db::schema`].
///
/// `Display` shows each with its version and its columns, for people.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Schema {
    /// The tables, by name.
    pub tables: Vec<TableSchema>,
}

/// A model in a database file and in the app.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TableSchema {
    /// The table.
    pub table: String,
    /// The struct; `None` if the app lists none with this table.
    pub model: Option<&'static str>,
    /// The version in the file, and what it is.
    pub file: Option<(u32, Shape)>,
    /// The version of the app's struct, and what it is.
    pub app: Option<(u32, Shape)>,
    /// Whether ops on the table, or something of them, were passed over: they are kept, and applied by an app which
    /// knows them.
    pub passed_over: bool,
}

impl Db {
    /// The models in the file and in the app: their versions and shapes. Tables of models that the app doesn't list
    /// are among them.
    ///
    /// ```
    /// # use cfost_runtime::db::Db;
    /// let db = Db::open_in_memory([])?;
    /// assert_eq!(db.schema()?.to_string(), "no models");
    /// # Ok::<(), cfost_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn schema(&self) -> Result<Schema> {
        let mut tables: BTreeMap<String, TableSchema> = BTreeMap::new();
        for found in self.store.models()? {
            let table = found.table.clone();
            let file = Some((found.version, found.shape));
            let passed_over = found.passed_over;
            tables.insert(found.table, TableSchema { table, model: None, file, app: None, passed_over });
        }
        for schema in self.store.tables().iter().map(|table| table.schema) {
            let table = schema.table.to_owned();
            let empty = TableSchema { table, model: None, file: None, app: None, passed_over: false };
            let entry = tables.entry(schema.table.to_owned()).or_insert(empty);
            entry.model = Some(schema.model);
            entry.app = Some((schema.version, Shape::of(schema, schema.version)));
        }
        Ok(Schema { tables: tables.into_values().collect() })
    }
}

impl Schema {
    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.iter().find(|table| table.table == name)
    }
}

impl TableSchema {
    /// What the file has otherwise than the app's struct says: nothing, but where a newer app has opened it.
    pub fn differences(&self) -> Vec<Difference> {
        match (&self.app, &self.file) {
            (Some((_, app)), Some((_, file))) => diff(app, file),
            _ => Vec::new(),
        }
    }

    fn title(&self) -> String {
        let versions = match (&self.file, &self.app) {
            (Some((file, _)), Some((app, _))) if file != app => format!("version {file} in the file, {app} in the app"),
            (Some((version, _)), _) | (None, Some((version, _))) => format!("version {version}"),
            (None, None) => String::new(),
        };
        let model = match self.model {
            Some(model) => format!("model {model}"),
            None => "no model of this app".to_owned(),
        };
        let passed_over = if self.passed_over { ", ops passed over" } else { "" };
        format!("{} ({versions}, {model}{passed_over})", self.table)
    }

    /// The lines of its shape, each in columns.
    fn lines(&self) -> Vec<[String; 4]> {
        let Some((_, shape)) = self.file.as_ref().or(self.app.as_ref()) else { return Vec::new() };
        let unknown = || "?".to_owned();
        let called = |name: &str, op_name: &str| match op_name == name {
            true => String::new(),
            false => format!("called {op_name} in ops"),
        };
        let mut lines = vec![[shape.id.clone(), "BLOB NOT NULL".into(), "id".into(), String::new()]];
        for column in &shape.columns {
            let kind = column.kind.map_or_else(unknown, |kind| kind.to_string());
            let notes = called(&column.name, &column.op_name);
            lines.push([column.name.clone(), kind, column.rule.to_string(), notes]);
        }
        for collection in &shape.collections {
            let notes = called(&collection.name, &collection.op_name);
            let types = |types: &ElementsShape| match types.value {
                Some(value) => format!("{}, {value}", types.key.name()),
                None => types.key.name().to_owned(),
            };
            let kind = collection.elements.as_ref().map_or_else(unknown, types);
            lines.push([collection.name.clone(), kind, collection.rule.to_string(), notes]);
        }
        lines
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables.is_empty() {
            return f.write_str("no models");
        }
        let tables: Vec<Vec<[String; 4]>> = self.tables.iter().map(TableSchema::lines).collect();
        let width = |part: usize| tables.iter().flatten().map(|line| line[part].chars().count()).max().unwrap_or(0);
        let (names, kinds, rules) = (width(0), width(1), width(2));
        let mut text = String::new();
        for (table, lines) in self.tables.iter().zip(&tables) {
            text += &format!("{}\n", table.title());
            for [name, kind, rule, notes] in lines {
                let line = format!("  {name:names$}  {kind:kinds$}  {rule:rules$}  {notes}");
                text += &format!("{}\n", line.trim_end());
            }
        }
        f.write_str(text.trim_end())
    }
}
