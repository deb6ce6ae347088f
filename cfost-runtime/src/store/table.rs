//! The table of a model: its SQL, and whether a file's table is still the model's.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use super::child::ChildTable;
use super::evolve::{self, OnMigration, Stale};
use super::fields::{self, Encryption};
use super::forms::Forms;
use super::placement::Placed;
use super::references::{self, Links};
use crate::crdt::{Effect, Life, Row};
use crate::oplog::OpKind;
use crate::schema::{ColumnSchema, Constant, DeletePolicy, MergeRule, Model, ModelSchema, Shape, Value, ValueRef};

/// The column with a row's clock.
pub(crate) const CLOCK_COLUMN: &str = "_cfost";

/// A model's table with the SQL that reads and writes it.
///
/// Tables are `STRICT` and `WITHOUT ROWID`: ids are UUIDv7, so rows append, and one b-tree does.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) schema: &'static ModelSchema,
    /// `INSERT`, which does nothing when the row is there. Parameters: id, columns, clock.
    pub(crate) insert: String,
    /// Selects columns, then the clock, of the row with the id.
    pub(crate) select: String,
    /// Deletes the row with the id.
    pub(crate) delete: String,
    /// Selects id, then columns, of all rows by ascending id.
    pub(crate) select_all: String,
    /// Counts the rows.
    pub(crate) count: String,
    /// What the columns' names take at most in a change, once per kind of op.
    pub(super) names_bytes: usize,
    /// What a column holds that no op wrote.
    pub(crate) defaults: Vec<Value>,
    /// Whether a row is shown only once an op wrote the column.
    pub(crate) required: Vec<bool>,
    /// Whether the column keeps the value that was written first.
    pub(super) kept: Vec<bool>,
    /// The tables of the elements, in the order of the schema's collections.
    pub(crate) children: Vec<ChildTable>,
    /// Where its rows live.
    pub(super) placed: Placed,
    /// How its rows are linked to others.
    pub(super) links: Links,
    /// How ops of all versions fit the model.
    pub(super) forms: Forms,
    /// Its encrypted columns, and the keys to read them with.
    pub(super) encryption: Encryption,
}

impl Table {
    pub(crate) fn new(schema: &'static ModelSchema) -> Self {
        let name = quoted(schema.table);
        let id = quoted(schema.id_column);
        let columns: Vec<String> = schema.columns.iter().map(|column| quoted(column.name)).collect();
        let list = columns.iter().fold(String::new(), |list, column| list + column + ", ");
        let marks: String = (0..columns.len()).map(|n| format!("?{}, ", n + 2)).collect();
        let clock_mark = columns.len() + 2;
        let (forms, encryption) = (Forms::new(schema), Encryption::new(schema));
        let placed = Placed::of(schema);
        Self {
            insert: format!(
                "INSERT INTO {name} ({id}, {list}{CLOCK_COLUMN}) VALUES (?1, {marks}?{clock_mark}) \
                 ON CONFLICT DO NOTHING"
            ),
            select: format!("SELECT {list}{CLOCK_COLUMN} FROM {name} WHERE {id} = ?1"),
            delete: format!("DELETE FROM {name} WHERE {id} = ?1"),
            select_all: format!("SELECT {list}{id} FROM {name} ORDER BY {id}"),
            count: format!("SELECT count(*) FROM {name}"),
            names_bytes: (schema.columns.iter().map(|column| column.op_name))
                .chain(schema.collections.iter().map(|collection| collection.op_name))
                .map(|name| name.len() + 4)
                .sum::<usize>()
                + forms.names_bytes()
                + encryption.overhead_bytes(),
            forms,
            encryption,
            children: schema.collections.iter().map(|of| ChildTable::new(schema, of)).collect(),
            defaults: schema.columns.iter().map(default_value).collect(),
            // Without its space a row is of none, also where the column may be NULL.
            required: (schema.columns.iter().enumerate())
                .map(|(n, column)| is_required(column) || placed == Placed::Column(n))
                .collect(),
            placed,
            links: Links::default(),
            kept: schema.columns.iter().map(|column| schema.keeps(column)).collect(),
            schema,
        }
    }

    /// `UPDATE` of the given columns and the clock. Parameters: columns, clock, id.
    pub(crate) fn update(&self, columns: &[usize]) -> String {
        let mut sql = format!("UPDATE {} SET ", quoted(self.schema.table));
        for (n, &column) in columns.iter().enumerate() {
            sql += &format!("{} = ?{}, ", quoted(self.schema.columns[column].name), n + 1);
        }
        let clock = columns.len() + 1;
        sql + &format!("{CLOCK_COLUMN} = ?{clock} WHERE {} = ?{}", quoted(self.schema.id_column), clock + 1)
    }

    /// What a delete makes of a row.
    pub(super) fn death(&self) -> Life {
        match self.schema.delete {
            DeletePolicy::Latest => Life::Dead,
            DeletePolicy::Wins => Life::Gone,
        }
    }

    /// What an op does to a column, which carries this value for it; `None` for nothing.
    pub(super) fn effect(&self, kind: OpKind, column: usize, value: ValueRef<'_>) -> Option<Effect<Value>> {
        match (self.schema.columns[column].rule, value) {
            (MergeRule::Counter, ValueRef::Integer(delta)) => Some(Effect::Add(delta)),
            // Its document says what it shows.
            (MergeRule::Text, _) => None,
            (_, value) if !self.kept[column] => Some(Effect::Write(value.into_owned())),
            (_, value) => (kind == OpKind::Create).then(|| Effect::Keep(value.into_owned())),
        }
    }

    /// Whether every column has been written that a row is only shown with.
    pub(super) fn is_complete(&self, row: &Row<Value>) -> bool {
        self.required.iter().enumerate().all(|(column, required)| !required || row.clock.column(column).is_some())
    }

    /// The statements that make the table, those of its elements, and its indexes.
    pub(super) fn create(&self) -> String {
        let mut sql = self.create_alone();
        self.children.iter().for_each(|child| sql += &child.create());
        self.indexes().for_each(|(_, index)| sql += &format!("{index};\n"));
        sql
    }

    /// The statement that makes the table.
    pub(super) fn create_alone(&self) -> String {
        let schema = self.schema;
        let mut sql = format!(
            "CREATE TABLE {} (\n  {} BLOB NOT NULL PRIMARY KEY",
            quoted(schema.table),
            quoted(schema.id_column)
        );
        for column in schema.columns {
            sql += &format!(",\n  {}", column_definition(column));
        }
        sql + &format!(",\n  {CLOCK_COLUMN} BLOB NOT NULL\n) STRICT, WITHOUT ROWID;\n")
    }

    /// The indexes of the table: the name of each, and the statement that makes it, as SQLite keeps it.
    pub(super) fn indexes(&self) -> impl Iterator<Item = (String, String)> {
        let schema = self.schema;
        let create = |name: String, columns: &str| {
            let sql = format!("CREATE INDEX {} ON {} ({columns})", quoted(&name), quoted(schema.table));
            (name, sql)
        };
        let indexes = schema.indexes.iter().map(move |index| {
            let columns: Vec<String> = index.columns.iter().map(|column| quoted(column)).collect();
            create(index_name(schema, index.columns), &columns.join(", "))
        });
        let references = references::to_index(schema);
        indexes.chain(references.map(move |it| create(references::index_name(schema, it), &quoted(it.name))))
    }

    /// Selects the rows with their clocks by ascending id, the columns in the model's order: a table that has
    /// gained columns has them in another one.
    pub(super) fn select_whole(&self) -> String {
        let (id, name) = (quoted(self.schema.id_column), quoted(self.schema.table));
        let list: String = self.schema.columns.iter().map(|column| format!("{}, ", quoted(column.name))).collect();
        format!("SELECT {id}, {list}{CLOCK_COLUMN} FROM {name} ORDER BY 1")
    }

    /// Makes the table, or checks that the file's is the model's.
    ///
    /// A table of an older version of the model becomes one of this version. Returns whether the rows must be made
    /// from the oplog: the table is new, or an app without the model or with an older one has passed over ops on it.
    pub(super) fn create_or_check(&self, conn: &Connection, told: &OnMigration) -> Result<bool, StoreError> {
        let schema = self.schema;
        let stored: Option<(u32, String, Stale)> = conn
            .prepare_cached("SELECT version, shape, stale FROM cfost_models WHERE table_name = ?1")?
            .query_row([schema.table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let shape = Shape::of(schema, schema.version);
        match stored {
            None => {
                conn.execute_batch(&self.create())?;
                conn.prepare_cached("INSERT INTO cfost_models (table_name, version, shape) VALUES (?1, ?2, ?3)")?
                    .execute((schema.table, schema.version, shape.to_string()))?;
                Ok(true)
            }
            Some((found, ..)) if found > schema.version => {
                Err(StoreError::NewerModel { table: schema.table.to_owned(), found, known: schema.version })
            }
            Some((found, stored, stale)) if found < schema.version => {
                evolve::migrate(conn, self, found, &evolve::parse(&stored)?, stale, told)
            }
            Some((_, stored, stale)) => {
                evolve::refuse_changed(schema, &evolve::parse(&stored)?, &shape)?;
                stale.without_columns().clear(conn, schema.table)
            }
        }
    }
}

/// The tables of an app, with the rule that no two models share one, nor one has a name that another needs
/// for its elements or its indexes.
pub(crate) fn tables(models: &[Model]) -> Result<Vec<Table>, StoreError> {
    let mut owners = BTreeMap::new();
    for model in models {
        let schema = model.schema;
        if let Some(first) = owners.insert(schema.table.to_lowercase(), schema.model) {
            return Err(StoreError::SharedTable { table: schema.table, first, second: schema.model });
        }
    }
    let mut tables: Vec<Table> = models.iter().map(|model| Table::new(model.schema)).collect();
    for table in &tables {
        let schema = table.schema;
        for name in table.indexes().map(|(name, _)| name).chain(table.children.iter().flat_map(ChildTable::names)) {
            let lowercase = name.to_lowercase();
            let taken = if lowercase.starts_with("cfost_") { Some("CFOST") } else { None };
            if let Some(first) = taken.or_else(|| owners.insert(lowercase, schema.model)) {
                return Err(StoreError::NameTaken { name, first, second: schema.model });
            }
        }
    }
    references::link(&mut tables)?;
    fields::share_keys(&mut tables);
    Ok(tables)
}

/// The name of an index: by what ops call its columns, so that it outlives their names.
fn index_name(schema: &ModelSchema, columns: &[&'static str]) -> String {
    let columns: Vec<&str> = columns.iter().map(|column| schema.op_name(column)).collect();
    format!("{}_by_{}", schema.table, columns.join("_"))
}

/// A name as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn column_definition(column: &ColumnSchema) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    let default = match column.default {
        None if column.rule == MergeRule::Counter => " DEFAULT 0".to_owned(),
        None if column.rule == MergeRule::Text => " DEFAULT ''".to_owned(),
        None => String::new(),
        Some(Constant::Integer(value)) => format!(" DEFAULT {value}"),
        Some(Constant::Real(value)) => format!(" DEFAULT {value:?}"),
        Some(Constant::Text(value)) => format!(" DEFAULT '{}'", value.replace('\'', "''")),
        Some(Constant::Blob(value)) => format!(" DEFAULT {}", ValueRef::Blob(value.into())),
    };
    format!("{} {}{null}{default}", quoted(column.name), column.sql_type.name())
}

fn default_value(column: &ColumnSchema) -> Value {
    match column.default {
        None if column.rule == MergeRule::Counter => Value::Integer(0),
        None if column.rule == MergeRule::Text => Value::Text(String::new()),
        None => Value::Null,
        Some(constant) => ValueRef::from(constant).into_owned(),
    }
}

fn is_required(column: &ColumnSchema) -> bool {
    if let Some(encrypted) = column.encrypted {
        return !encrypted.can_lack_value();
    }
    let begins = matches!(column.rule, MergeRule::Counter | MergeRule::Text);
    !column.nullable && column.default.is_none() && !begins
}
