//! References: a row is shown only with the rows that it refers to.
//!
//! A row *is there* while it is alive and every required column has been written. It *leads to* the rows
//! that its references name, but for `on_delete = keep`, and to all that these lead to. It is shown if it
//! is there and all that it leads to is there: a function of the set of ops, whatever their order. Rows that
//! lead to each other in a circle are shown while all of them are there.
//!
//! It is kept up as ops come in. When an op shows or hides a row, those that lead to it are looked at again:
//! the shown ones are found by the index on their reference, those that wait by `cfost_waiting`. When it
//! doesn't, nothing changes for any other row, since what leads to this one also leads to all that this one
//! leads to.

use std::collections::HashSet;

use rusqlite::Connection;
use uuid::Uuid;

use super::StoreError;
use super::evolve::{self, Stale};
use super::hidden::{Hidden, decode_hidden};
use super::rows::{Place, Rows};
use super::table::{Table, quoted};
use crate::crdt::Row;
use crate::schema::{ColumnSchema, ModelSchema, OnDelete, Value, ValueRef};

/// A row, by its table's number and its id.
pub(super) type Node = (usize, Uuid);

/// How a table's rows are linked to others by references that hide a row: `hide` and `cascade`.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// The columns that name a row which has to be shown.
    pub(super) parents: Vec<Parent>,
    /// The columns, also of other tables, that name a row of this one.
    pub(super) dependents: Vec<Dependent>,
    /// Selects something if the table has the row with the id.
    exists: String,
}

/// A column that names a row which has to be shown.
#[derive(Debug)]
pub(super) struct Parent {
    column: usize,
    table: usize,
}

/// A column that names a row of this table.
#[derive(Debug)]
pub(super) struct Dependent {
    table: usize,
    column: usize,
    cascades: bool,
    /// Selects the ids of the shown rows that name the row with the id.
    select: String,
}

const INSERT_WAITING: &str =
    "INSERT OR IGNORE INTO cfost_waiting (parent_table, parent, table_name, id) VALUES (?1, ?2, ?3, ?4)";
const DELETE_WAITING: &str =
    "DELETE FROM cfost_waiting WHERE parent_table = ?1 AND parent = ?2 AND table_name = ?3 AND id = ?4";
const SELECT_WAITING: &str = "SELECT table_name, id FROM cfost_waiting WHERE parent_table = ?1 AND parent = ?2";

/// Links the tables of an app.
pub(super) fn link(tables: &mut [Table]) -> Result<(), StoreError> {
    for table in 0..tables.len() {
        let schema = tables[table].schema;
        tables[table].links.exists =
            format!("SELECT 1 FROM {} WHERE {} = ?1", quoted(schema.table), quoted(schema.id_column));
        for (column, field) in schema.columns.iter().enumerate() {
            let Some(reference) = field.reference.filter(|reference| reference.on_delete != OnDelete::Keep) else {
                continue;
            };
            let Some(parent) = tables.iter().position(|parent| parent.schema.table == reference.table) else {
                let (model, field, table) = (schema.model, field.field, reference.table);
                return Err(StoreError::UnknownReference { model, field, table });
            };
            let select = format!(
                "SELECT {} FROM {} WHERE {} = ?1",
                quoted(schema.id_column),
                quoted(schema.table),
                quoted(field.name)
            );
            let cascades = reference.on_delete == OnDelete::Cascade;
            tables[table].links.parents.push(Parent { column, table: parent });
            tables[parent].links.dependents.push(Dependent { table, column, cascades, select });
        }
    }
    Ok(())
}

/// The references of a model that need an index of their own: no index of the model begins with them.
pub(super) fn to_index(schema: &'static ModelSchema) -> impl Iterator<Item = &'static ColumnSchema> {
    let indexed =
        |column: &&ColumnSchema| schema.indexes.iter().any(|index| index.columns.first() == Some(&column.name));
    schema.columns.iter().filter(move |column| column.reference.is_some() && !indexed(column))
}

/// The name of a reference's index.
pub(super) fn index_name(schema: &ModelSchema, column: &ColumnSchema) -> String {
    format!("{}_by_{}", schema.table, column.op_name)
}

/// The chosen tables, and those whose rows lead to theirs.
pub(super) fn with_dependents(tables: &[Table], chosen: &[bool]) -> Vec<bool> {
    let mut all = chosen.to_vec();
    let mut next: Vec<usize> = (0..tables.len()).filter(|table| chosen[*table]).collect();
    while let Some(table) = next.pop() {
        for dependent in &tables[table].links.dependents {
            if !std::mem::replace(&mut all[dependent.table], true) {
                next.push(dependent.table);
            }
        }
    }
    all
}

/// Takes note of the tables in the file that refer to one of these and are not among them: this app
/// doesn't keep up which of their rows are shown, so one that has them makes them anew.
pub(super) fn pass_over(conn: &Connection, tables: &[Table]) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached("SELECT table_name, shape FROM cfost_models WHERE stale & 1 = 0")?;
    let mut rows = select.query([])?;
    let mut stale: Vec<String> = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, shape): (String, String) = (row.get(0)?, row.get(1)?);
        let ours = |name: &str| tables.iter().any(|table| table.schema.table == name);
        if !ours(&name) && evolve::parse(&shape)?.references().any(|(table, _)| ours(table)) {
            stale.push(name);
        }
    }
    stale.iter().try_for_each(|name| evolve::passed_over(conn, name, Stale::OPS))
}

impl Links {
    /// Whether rows of other tables, or of this one, are shown with its rows.
    #[cfg(feature = "text")]
    pub(super) fn has_dependents(&self) -> bool {
        !self.dependents.is_empty()
    }

    /// Whether one of these columns names a row which has to be shown.
    pub(super) fn any_parent(&self, columns: &[usize]) -> bool {
        self.parents.iter().any(|parent| columns.contains(&parent.column))
    }

    /// The rows that a row with these values names, each once; and whether every value names one.
    fn named(&self, values: &[Value]) -> (Vec<Node>, bool) {
        let (mut nodes, mut all) = (Vec::with_capacity(self.parents.len()), true);
        for parent in &self.parents {
            match naming(&values[parent.column].as_ref()) {
                Naming::Nothing => {}
                Naming::Row(id) if nodes.contains(&(parent.table, id)) => {}
                Naming::Row(id) => nodes.push((parent.table, id)),
                Naming::NoRow => all = false,
            }
        }
        (nodes, all)
    }
}

/// What a reference's value says.
enum Naming {
    Nothing,
    Row(Uuid),
    /// Bytes that no row has as its id: another device wrote them so.
    NoRow,
}

fn naming(value: &ValueRef<'_>) -> Naming {
    match value {
        ValueRef::Null => Naming::Nothing,
        ValueRef::Blob(id) => Uuid::from_slice(id).map_or(Naming::NoRow, Naming::Row),
        _ => Naming::NoRow,
    }
}

impl<'c> Rows<'c> {
    /// Whether a row is shown.
    fn is_shown(&self, (table, id): Node) -> Result<bool, StoreError> {
        Ok(self.conn.prepare_cached(&self.tables[table].links.exists)?.exists([id.as_bytes()])?)
    }

    /// A row that is there and not shown.
    fn waiting(&self, (table, id): Node, hidden: &Hidden) -> Result<Option<Row<Value>>, StoreError> {
        if !hidden.any(table) {
            return Ok(None);
        }
        let Some(state) = self.hidden_state(table, &id)? else { return Ok(None) };
        let row = decode_hidden(&state, &self.tables[table].defaults)?;
        Ok(self.is_there(table, &row).then_some(row))
    }

    /// Whether a new row with these values refers to rows that are all shown.
    pub(super) fn parents_are_shown<'v>(
        &self,
        table: usize,
        values: impl Iterator<Item = &'v ValueRef<'v>> + Clone,
    ) -> Result<bool, StoreError> {
        for parent in &self.tables[table].links.parents {
            let shown = match values.clone().nth(parent.column).map_or(Naming::Nothing, naming) {
                Naming::Nothing => true,
                Naming::Row(id) => self.is_shown((parent.table, id))?,
                Naming::NoRow => false,
            };
            if !shown {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first of these columns of a row that names a row which isn't shown, nor the row itself.
    pub(super) fn missing_parent<'v>(
        &self,
        row: Node,
        values: impl Iterator<Item = (usize, &'v ValueRef<'v>)> + Clone,
    ) -> Result<Option<(usize, Uuid)>, StoreError> {
        for parent in &self.tables[row.0].links.parents {
            let value = values.clone().find(|(column, _)| *column == parent.column);
            if let Some(Naming::Row(id)) = value.map(|(_, value)| naming(value))
                && (parent.table, id) != row
                && !self.is_shown((parent.table, id))?
            {
                return Ok(Some((parent.column, id)));
            }
        }
        Ok(None)
    }

    /// Whether all that a row leads to is there.
    pub(super) fn is_upheld(&self, row: Node, values: &[Value], hidden: &Hidden) -> Result<bool, StoreError> {
        let (parents, all) = self.tables[row.0].links.named(values);
        let mut waiting = Vec::new();
        for parent in parents.into_iter().filter(|parent| *parent != row) {
            if !self.is_shown(parent)? {
                waiting.push(parent);
            }
        }
        if !all || waiting.is_empty() {
            return Ok(all);
        }
        // What isn't shown now can be shown only together with this row. Then it leads to this row, and a
        // row that waits for this one is known: else there is no need to walk on, however long the way is.
        if self.waiting_for(row)?.is_empty() {
            return Ok(false);
        }
        let mut reached = HashSet::from([row]);
        while let Some(node) = waiting.pop() {
            if !reached.insert(node) || self.is_shown(node)? {
                continue;
            }
            let Some(found) = self.waiting(node, hidden)? else { return Ok(false) };
            let (parents, all) = self.tables[node.0].links.named(&found.values);
            if !all {
                return Ok(false);
            }
            waiting.extend(parents);
        }
        Ok(true)
    }

    /// The rows that a row waits for: those it names, if it is there and not shown.
    pub(super) fn awaited(&self, table: usize, place: Place, row: &Row<Value>) -> Vec<Node> {
        let links = &self.tables[table].links;
        if links.parents.is_empty() || place != Place::Hidden || !self.is_there(table, row) {
            return Vec::new();
        }
        links.named(&row.values).0
    }

    /// Keeps which rows a row waits for.
    pub(super) fn set_awaited(&self, row: Node, before: &[Node], after: &[Node]) -> Result<(), StoreError> {
        let name = |table: usize| self.tables[table].schema.table;
        for (nodes, others, sql) in [(before, after, DELETE_WAITING), (after, before, INSERT_WAITING)] {
            for node in nodes.iter().filter(|node| !others.contains(node)) {
                let mut statement = self.conn.prepare_cached(sql)?;
                statement.execute((name(node.0), node.1.as_bytes(), name(row.0), row.1.as_bytes()))?;
            }
        }
        Ok(())
    }

    /// The rows that wait for a row.
    fn waiting_for(&self, (table, id): Node) -> Result<Vec<Node>, StoreError> {
        let mut select = self.conn.prepare_cached(SELECT_WAITING)?;
        let mut rows = select.query((self.tables[table].schema.table, id.as_bytes()))?;
        let mut waiting = Vec::new();
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            // Those of a model that this app doesn't have are made anew when it has it.
            if let Some(table) = self.tables.iter().position(|table| table.schema.table == name) {
                waiting.push((table, Uuid::from_bytes(row.get(1)?)));
            }
        }
        Ok(waiting)
    }

    /// The shown rows that name a row by a column.
    fn naming(&self, dependent: &Dependent, id: Uuid) -> Result<Vec<Node>, StoreError> {
        let mut select = self.conn.prepare_cached(&dependent.select)?;
        let ids = select.query_map([id.as_bytes()], |row| row.get(0))?;
        ids.map(|id| Ok((dependent.table, Uuid::from_bytes(id?)))).collect()
    }

    /// A row is shown from now on: so are those that waited for nothing else.
    pub(super) fn show_dependents(&mut self, row: Node, hidden: &mut Hidden) -> Result<(), StoreError> {
        if self.tables[row.0].links.dependents.is_empty() {
            return Ok(());
        }
        let mut next = vec![row];
        while let Some(row) = next.pop() {
            if !self.tables[row.0].links.dependents.iter().any(|dependent| hidden.any(dependent.table)) {
                continue;
            }
            for node in self.waiting_for(row)? {
                let Some(found) = self.waiting(node, hidden)? else { continue };
                if self.is_upheld(node, &found.values, hidden)? {
                    let awaited = self.awaited(node.0, Place::Hidden, &found);
                    self.set_awaited(node, &awaited, &[])?;
                    self.show(node.0, &node.1, &found, Place::Hidden, hidden)?;
                    next.push(node);
                }
            }
        }
        Ok(())
    }

    /// A row is not shown any more: nor are those that lead to it.
    pub(super) fn hide_dependents(&mut self, row: Node, hidden: &mut Hidden) -> Result<(), StoreError> {
        let (tables, mut next) = (self.tables, vec![row]);
        while let Some((table, id)) = next.pop() {
            for dependent in &tables[table].links.dependents {
                for node in self.naming(dependent, id)? {
                    let Some(found) = self.visible(node.0, &node.1)? else { continue };
                    self.hide(node.0, &node.1, &found, Place::Visible, hidden)?;
                    let awaited = self.awaited(node.0, Place::Hidden, &found);
                    self.set_awaited(node, &[], &awaited)?;
                    next.push(node);
                }
            }
        }
        Ok(())
    }

    /// The rows that are deleted together with a row, the farthest first: those that name it by a reference
    /// that cascades, those that name these, and so on.
    pub(super) fn cascade(&mut self, row: Node, hidden: &Hidden) -> Result<Vec<Node>, StoreError> {
        let tables = self.tables;
        let (mut reached, mut all, mut looked_at) = (HashSet::from([row]), vec![row], 0);
        while let Some(&(table, id)) = all.get(looked_at) {
            looked_at += 1;
            for dependent in tables[table].links.dependents.iter().filter(|dependent| dependent.cascades) {
                let mut nodes = self.naming(dependent, id)?;
                if hidden.any(dependent.table) {
                    for node in self.waiting_for((table, id))?.into_iter().filter(|node| node.0 == dependent.table) {
                        let found = self.waiting(node, hidden)?;
                        let names =
                            |row: &Row<Value>| row.values[dependent.column] == Value::Blob(id.as_bytes().to_vec());
                        nodes.extend(found.is_some_and(|row| names(&row)).then_some(node));
                    }
                }
                all.extend(nodes.into_iter().filter(|node| reached.insert(*node)));
            }
        }
        all.remove(0);
        all.reverse();
        Ok(all)
    }
}
