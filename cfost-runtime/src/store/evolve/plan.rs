//! What becomes of a table's columns and elements from one version of its model to a later one.
//!
//! The file says which columns there are and in what order, the model what each was called in the file's version
//! and what later versions made of it.

use crate::schema::shape::{ColumnShape, Shape};
use crate::schema::{Change, CollectionSchema, ColumnSchema, Convert, ModelSchema, SqlType};
use crate::store::StoreError;

/// The columns and elements of a table as the file has them, by their names.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order of the slots of a row's clock.
    pub(super) columns: Vec<String>,
    /// What ops call them.
    pub(super) op_names: Vec<String>,
    /// After the table's name and `_` the names of the elements' tables.
    pub(super) collections: Vec<String>,
    /// The columns that name rows of other tables.
    pub(super) references: Vec<String>,
}

impl Found {
    /// What the file's shape says.
    pub(super) fn read(shape: &Shape) -> Self {
        let refers = |column: &&ColumnShape| column.details.as_ref().is_some_and(|details| details.reference.is_some());
        let name = |column: &ColumnShape| column.name.clone();
        Self {
            columns: shape.columns.iter().map(name).collect(),
            op_names: shape.columns.iter().map(|column| column.op_name.clone()).collect(),
            collections: shape.collections.iter().map(|collection| collection.name.clone()).collect(),
            references: shape.columns.iter().filter(refers).map(name).collect(),
        }
    }
}

/// What a column's values are made of.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    /// Nothing: the column came later.
    New,
    /// The values of the file's column with this number, passed through these steps.
    Found { column: usize, with: Vec<Step> },
}

/// A function that upgraded a column, and what the values that it makes must be to count: their type, and whether
/// they may be NULL.
pub(super) type Step = (Convert, (SqlType, bool));

/// How a table of an earlier version becomes one of the model's.
#[derive(Debug)]
pub(super) struct Plan {
    /// What each of the model's columns is made of.
    pub(super) columns: Vec<Source>,
    /// The columns that get another name: the one before, and the new one.
    pub(super) renamed: Vec<(String, String)>,
    /// The columns that go, by their numbers in the file.
    pub(super) removed: Vec<usize>,
    /// As [`Plan::renamed`], for elements.
    pub(super) renamed_collections: Vec<(String, String)>,
    /// The elements that go.
    pub(super) removed_collections: Vec<String>,
    /// Whether a column merges by another rule, which only the oplog can tell what to make of.
    pub(super) other_rule: bool,
}

impl Plan {
    pub(super) fn new(schema: &'static ModelSchema, version: u32, found: &Found) -> Result<Self, StoreError> {
        let mut plan = Self {
            columns: Vec::with_capacity(schema.columns.len()),
            renamed: Vec::new(),
            removed: Vec::new(),
            renamed_collections: Vec::new(),
            removed_collections: Vec::new(),
            other_rule: false,
        };
        for column in schema.columns {
            let source = match column_at(column, version) {
                None => Source::New,
                Some(was) => {
                    let at = found.columns.iter().position(|name| name == was.name);
                    let at = at.ok_or_else(|| missing(schema.table, was.name))?;
                    if was.name != column.name {
                        plan.renamed.push((was.name.to_owned(), column.name.to_owned()));
                    }
                    plan.other_rule |= was.other_rule;
                    Source::Found { column: at, with: was.with }
                }
            };
            plan.columns.push(source);
        }
        let kept = |column: &usize| plan.columns.iter().any(|source| source.column() == Some(*column));
        plan.removed = (0..found.columns.len()).filter(|column| !kept(column)).collect();
        let mut kept = Vec::new();
        for collection in schema.collections {
            let Some(was) = collection_at(collection, version) else { continue };
            if !found.collections.iter().any(|name| name == was) {
                return Err(missing(schema.table, was));
            }
            if was != collection.name {
                plan.renamed_collections.push((was.to_owned(), collection.name.to_owned()));
            }
            kept.push(was);
        }
        let gone = found.collections.iter().filter(|name| !kept.contains(&name.as_str()));
        plan.removed_collections = gone.cloned().collect();
        Ok(plan)
    }

    /// Whether the rows can stay as they are: each column that the file has is where the model's is, with the same
    /// values, and new ones come after them.
    pub(super) fn keeps_rows(&self) -> bool {
        let found = self.columns.iter().take_while(|source| **source != Source::New).count();
        let in_place = |(n, source): (usize, &Source)| match source {
            Source::New => n >= found,
            Source::Found { column, with } => *column == n && with.is_empty(),
        };
        self.removed.is_empty() && !self.other_rule && self.columns.iter().enumerate().all(in_place)
    }

    /// Whether the columns whose words are indexed have the values that they had.
    pub(super) fn keeps_words(&self, schema: &ModelSchema) -> bool {
        let mut columns = schema.columns.iter().zip(&self.columns);
        columns.all(|(column, source)| match source {
            Source::New => !schema.search.contains(&column.name),
            Source::Found { with, .. } => with.is_empty() || !schema.search.contains(&column.name),
        })
    }

    /// Whether a column of the file gets values that are computed from its own.
    pub(super) fn converts(&self, column: usize) -> bool {
        let converts =
            |source: &Source| matches!(source, Source::Found { column: of, with } if *of == column && !with.is_empty());
        self.columns.iter().any(converts)
    }
}

impl Source {
    /// The number of the file's column.
    pub(super) fn column(&self) -> Option<usize> {
        match self {
            Self::New => None,
            Self::Found { column, .. } => Some(*column),
        }
    }
}

/// A column in an earlier version, and what later ones made of its values.
struct Was {
    name: &'static str,
    with: Vec<Step>,
    other_rule: bool,
}

/// What a column was in a version; `None` if it came later.
fn column_at(column: &ColumnSchema, version: u32) -> Option<Was> {
    let later = column.past.iter().take_while(|past| past.until > version).count();
    let (name, since) = match column.past[..later].last() {
        Some(past) => (past.name, past.since),
        // What a later version made of another column is there since that version.
        None => (column.name, if column.past.is_empty() { column.since } else { 0 }),
    };
    let mut kind = (column.sql_type, column.nullable);
    let (mut with, mut other_rule) = (Vec::new(), false);
    for past in &column.past[..later] {
        match past.change {
            Change::Upgraded { with: function, .. } => with.insert(0, (function, kind)),
            Change::Rule { .. } => other_rule = true,
            Change::Renamed | Change::Removed { .. } => {}
        }
        kind = (past.sql_type, past.nullable);
    }
    (since <= version).then_some(Was { name, with, other_rule })
}

/// What a field with elements was called in a version; `None` if it came later.
fn collection_at(collection: &CollectionSchema, version: u32) -> Option<&'static str> {
    let later = collection.past.iter().take_while(|past| past.until > version).last();
    (collection.since <= version).then(|| later.map_or(collection.name, |past| past.name))
}

fn missing(table: &str, name: &str) -> StoreError {
    StoreError::Corrupt { what: format!("'{table}' lacks '{name}', which the file says it has") }
}

/// An order in which things can be renamed one by one, with names in between where one takes the name of another.
pub(super) fn one_by_one(renamed: &[(String, String)]) -> Vec<(String, String)> {
    // To SQLite a name in other letters is the same, so a table can't be given it at once.
    let is_taken = |name: &str| renamed.iter().any(|(before, _)| before.eq_ignore_ascii_case(name));
    if !renamed.iter().any(|(_, after)| is_taken(after)) {
        return renamed.to_vec();
    }
    let between = |n: usize| format!("cfost_renamed_{n}");
    let first = renamed.iter().enumerate().map(|(n, (before, _))| (before.clone(), between(n)));
    let second = renamed.iter().enumerate().map(|(n, (_, after))| (between(n), after.clone()));
    first.chain(second).collect()
}
