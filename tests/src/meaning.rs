//! What ops mean, looked at all at once: the model that databases are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cfost::oplog::{OpKind, OpValue, Value, write_value};
use cfost::schema::{
    Change, ColumnSchema, DeletePolicy, Element, MergeRule, Model, ModelSchema, OnDelete, RowEncoder, RowId, Synced,
    ValueRef,
};
use cfost::store::{ElementData, OpData, OplogEntry};
use cfost::{Db, Result, Uuid};

/// The rows of a table.
pub type Rows = BTreeMap<Uuid, Row>;

/// What a row holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The values of its columns, in the order of the model.
    pub values: Vec<Value>,
    /// The keys and values of its elements: a list's in their order, others by their keys' bytes.
    pub collections: Vec<Vec<(Value, Option<Value>)>>,
}

/// The rows that a database shows.
///
/// # Errors
/// When the database can't be read.
pub fn shown<M: Synced>(db: &Db) -> Result<Rows> {
    let values = |row: &M| -> Result<Row> {
        let mut encoder = RowEncoder::new(M::SCHEMA);
        (M::MAPPING.encode)(row, &mut encoder);
        let values = encoder.finish().map_err(|(field, error)| cfost::Error::abort(format!("{field}: {error}")))?;
        let mut collections = Vec::new();
        for (schema, elements) in M::SCHEMA.collections.iter().zip(values.collections) {
            let own = |element: Element<'_>| (element.key.into_owned(), element.value.map(ValueRef::into_owned));
            let mut elements: Vec<_> = elements.into_iter().map(own).collect();
            if schema.rule != MergeRule::List {
                elements.sort_by_cached_key(|(key, _)| bytes(key));
            }
            collections.push(elements);
        }
        Ok(Row { values: values.columns.into_iter().map(ValueRef::into_owned).collect(), collections })
    };
    db.all::<M>()?.iter().map(|row| Ok(((M::MAPPING.id)(row).to_uuid(), values(row)?))).collect()
}

/// The rows that a database should show of each of the models, by the ops in its oplog.
///
/// # Errors
/// When the oplog can't be read.
pub fn meant(db: &Db, models: &[Model]) -> Result<BTreeMap<&'static str, Rows>> {
    let mut all: BTreeMap<(&'static str, Uuid), Meaning> = BTreeMap::new();
    // The oldest first: the later write replaces the earlier one, but where the first one stays.
    let mut entries: Vec<OplogEntry> = db.oplog()?.collect::<Result<_>>()?;
    entries.sort_by_key(|entry| (entry.timestamp, entry.device_id, entry.log));
    for entry in entries {
        let Some(schema) = models.iter().map(|model| model.schema).find(|schema| schema.table == entry.table) else {
            continue;
        };
        let row = all.entry((schema.table, entry.row_id)).or_insert_with(|| Meaning::new(schema));
        row.alive = entry.op_type != OpKind::Delete;
        row.gone |= !row.alive && schema.delete == DeletePolicy::Wins;
        for (name, data) in &entry.data {
            if let Some(n) = schema.collections.iter().position(|collection| collection.op_name == name) {
                row.edit(n, data);
            }
        }
        for (n, column) in schema.columns.iter().enumerate() {
            if let Some(OpData::Write(base)) = base_of(column, &entry) {
                row.values[n] = base;
            }
            if let Some(data) = said_of(column, &entry) {
                row.write(n, schema.keeps(column), entry.op_type, &data);
            }
        }
    }
    let mut tables: BTreeMap<&str, Rows> = models.iter().map(|model| (model.schema.table, Rows::new())).collect();
    for ((table, id), row) in &all {
        if is_shown(&all, (table, *id)) {
            tables.entry(table).or_default().insert(*id, row.row());
        }
    }
    Ok(tables)
}

/// What an op says of a column: it says it of the column as it was in the writer's version, and all versions since
/// have passed it on to the next.
fn said_of(column: &ColumnSchema, entry: &OplogEntry) -> Option<OpData> {
    let mut said = said_under(entry, column.op_name, column.rule);
    // From the newest version that changed the column to the oldest one that the writer didn't have.
    let missed: Vec<_> = column.past.iter().take_while(|past| entry.schema_version < past.until).collect();
    if let Some(form) = missed.last() {
        said = said_under(entry, form.op_name, form.rule);
    }
    for past in missed.into_iter().rev() {
        if let (Change::Upgraded { with, .. }, Some(OpData::Write(value))) = (past.change, &said) {
            let converted = catch_unwind(AssertUnwindSafe(|| with(value.as_ref())));
            said = converted.ok().and_then(Result::ok).map(OpData::Write);
        }
    }
    said
}

/// What an insert says that a counter begins with which is one value to older versions: not that something is added.
fn base_of(column: &ColumnSchema, entry: &OplogEntry) -> Option<OpData> {
    let form = column.past.iter().find(|past| matches!(past.change, Change::Rule { .. }))?;
    let inserts = entry.op_type == OpKind::Create && entry.schema_version >= form.until;
    inserts.then(|| said_under(entry, form.op_name, form.rule))?
}

fn said_under(entry: &OplogEntry, op_name: &str, rule: MergeRule) -> Option<OpData> {
    let merges = |data: &OpData| {
        matches!(
            (rule, data),
            (MergeRule::Lww, OpData::Write(_))
                | (MergeRule::Counter, OpData::Add(_))
                | (MergeRule::Text, OpData::Text(_))
        )
    };
    entry.data.iter().find(|(name, data)| name == op_name && merges(data)).map(|(_, data)| data.clone())
}

struct Meaning {
    schema: &'static ModelSchema,
    alive: bool,
    gone: bool,
    values: Vec<Value>,
    /// What has been added to counters.
    added: Vec<i64>,
    written: Vec<bool>,
    /// By the bytes of its key.
    collections: Vec<BTreeMap<Vec<u8>, ElementData>>,
}

impl Meaning {
    fn new(schema: &'static ModelSchema) -> Self {
        let values = schema.columns.iter().map(initial).collect();
        let (written, added) = (vec![false; schema.columns.len()], vec![0; schema.columns.len()]);
        let collections = vec![BTreeMap::new(); schema.collections.len()];
        Self { schema, alive: false, gone: false, values, added, written, collections }
    }

    fn edit(&mut self, collection: usize, data: &OpData) {
        let OpData::Elements(edits) = data else { return };
        for edit in edits {
            let element = self.collections[collection].entry(bytes(&edit.key)).or_insert_with(|| edit.clone());
            element.put = edit.put;
            element.position = edit.position.clone().or(element.position.take());
            element.value = edit.value.clone().or(element.value.take());
        }
    }

    fn row(&self) -> Row {
        let mut collections = Vec::new();
        for (schema, elements) in self.schema.collections.iter().zip(&self.collections) {
            let is_list = schema.rule == MergeRule::List;
            let there = |element: &&ElementData| {
                element.put
                    && element.position.is_some() == is_list
                    && element.value.is_some() == schema.value.is_some()
            };
            let mut there: Vec<_> = elements.values().filter(there).collect();
            // Stable: of equal positions, the smaller id is first.
            there.sort_by_key(|element| element.position.clone());
            collections.push(there.into_iter().map(|element| (element.key.clone(), element.value.clone())).collect());
        }
        let values = self.values.iter().zip(&self.added).map(|(value, added)| match value {
            Value::Integer(value) => Value::Integer(value.wrapping_add(*added)),
            value => value.clone(),
        });
        Row { values: values.collect(), collections }
    }

    fn write(&mut self, column: usize, keeps: bool, kind: OpKind, data: &OpData) {
        match data {
            OpData::Write(_) if keeps && (self.written[column] || kind == OpKind::Update) => return,
            OpData::Write(value) => self.values[column] = value.clone(),
            OpData::Add(delta) => self.added[column] = self.added[column].wrapping_add(*delta),
            _ => return,
        }
        self.written[column] = true;
    }

    /// Whether the row itself is there, whatever it refers to.
    fn is_there(&self) -> bool {
        let missing = |(column, written): (&ColumnSchema, &bool)| {
            !written && !column.nullable && column.default.is_none() && column.rule != MergeRule::Counter
        };
        self.alive && !self.gone && !self.schema.columns.iter().zip(&self.written).any(missing)
    }
}

/// A value as ops carry it: something to sort by.
fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_value(&mut bytes, &OpValue::Plain(value.as_ref())).expect("a value that was read can be written");
    bytes
}

fn initial(column: &ColumnSchema) -> Value {
    match column.default {
        Some(constant) => ValueRef::from(constant).into_owned(),
        None if column.rule == MergeRule::Counter => Value::Integer(0),
        None => Value::Null,
    }
}

/// Whether the row and all that it leads to, along references that hide it, are there.
fn is_shown(all: &BTreeMap<(&'static str, Uuid), Meaning>, row: (&'static str, Uuid)) -> bool {
    let (mut reached, mut next) = (BTreeSet::new(), vec![row]);
    while let Some(row) = next.pop() {
        let Some(meaning) = all.get(&row).filter(|meaning| meaning.is_there()) else {
            return false;
        };
        if !reached.insert(row) {
            continue;
        }
        for (column, value) in meaning.schema.columns.iter().zip(&meaning.values) {
            match (column.reference, value) {
                (Some(reference), Value::Blob(id)) if reference.on_delete != OnDelete::Keep => {
                    let id = Uuid::from_slice(id).unwrap_or(Uuid::nil());
                    next.push((reference.table, id));
                }
                _ => {}
            }
        }
    }
    true
}
