//! The elements of sets, maps and lists in their tables: the one place where edits of elements, local or
//! remote, become visible.
//!
//! An element is a row of its own to the merge: 'put' says alive, 'removed' says dead, the later wins, and
//! the cells (a value, a list's position) merge whether it is there or not. It is in its collection's
//! table while it is alive, all its cells are written, and the row it belongs to is shown. Else it is in
//! `cfost_hidden_elements`: the removed, so that an earlier 'put' that arrives later doesn't bring them
//! back, and those of rows that aren't shown, which come back with their row.

use rusqlite::{CachedStatement, Connection, OptionalExtension};
use uuid::Uuid;

use super::child::ChildTable;
use super::hidden::{Hidden, decode_hidden, encode_hidden};
use super::rows::{Place, Rows, borrowed, fits, prepared};
use super::table::Table;
use super::{Registry, StoreError};
use crate::crdt::{Effect, Life, Row, RowClock, RowOp, Stamp, position};
use crate::oplog::{ElementEdit, ElementsReader, OpValue, OplogError, limits, read_value, write_value};
use crate::schema::{CollectionSchema, Element, MergeRule, Value, ValueRef};

const _: () = assert!(position::POSITION_BYTES_MAX == limits::ELEMENT_POSITION_BYTES_MAX);

const SELECT_HIDDEN: &str = "SELECT state FROM cfost_hidden_elements WHERE table_name = ?1 AND row = ?2 AND key = ?3";
const SELECT_ALL_HIDDEN: &str = "SELECT key, state FROM cfost_hidden_elements WHERE table_name = ?1 AND row = ?2";
const DELETE_HIDDEN: &str = "DELETE FROM cfost_hidden_elements WHERE table_name = ?1 AND row = ?2 AND key = ?3";
const INSERT_HIDDEN: &str =
    "INSERT OR REPLACE INTO cfost_hidden_elements (table_name, row, key, state) VALUES (?1, ?2, ?3, ?4)";

/// A table's statements, each prepared when it is first needed.
#[derive(Default)]
pub(super) struct ElementStatements<'c> {
    insert: Option<CachedStatement<'c>>,
    select: Option<CachedStatement<'c>>,
    update: Option<CachedStatement<'c>>,
    delete: Option<CachedStatement<'c>>,
}

/// Whose elements an op edits, and when.
#[derive(Clone, Copy)]
pub(super) struct Edited<'r> {
    pub(super) table: usize,
    pub(super) collection: usize,
    pub(super) row: &'r Uuid,
    /// Whether the row is shown.
    pub(super) shown: bool,
    pub(super) stamp: Stamp,
}

impl<'c> Rows<'c> {
    /// Merges what an op's payload says of a collection. A malformed payload has no effect, nor has an edit
    /// that doesn't fit the collection: on every replica the same.
    pub(super) fn merge_payload(
        &mut self,
        edited: Edited<'_>,
        payload: &[u8],
        registry: &Registry,
        hidden: &mut Hidden,
    ) -> Result<Result<(), OplogError>, StoreError> {
        // All of it before any of it is written.
        if let Err(malformed) = ElementsReader::check(payload) {
            return Ok(Err(malformed));
        }
        let schema = self.tables[edited.table].children[edited.collection].schema;
        let Ok(mut elements) = ElementsReader::new(payload) else { return Ok(Ok(())) };
        while let Ok(Some((edit, key))) = elements.next_edit() {
            if edit_fits(schema, &edit) {
                self.merge_element(edited, &edit, key, registry, hidden)?;
            }
        }
        Ok(Ok(()))
    }

    /// Merges an edit of one element, which fits the collection; `key` is the element's key as ops carry it.
    pub(super) fn merge_element(
        &mut self,
        edited: Edited<'_>,
        edit: &ElementEdit<'_>,
        key: &[u8],
        registry: &Registry,
        hidden: &mut Hidden,
    ) -> Result<(), StoreError> {
        let Edited { table, collection, .. } = edited;
        self.touched.set_writer(edited.stamp.writer);
        self.touched.row(table, edited.row);
        let child = &self.tables[table].children[collection];
        let known = hidden.any_element(table, collection);
        if edited.shown && !known && is_whole(child.schema, edit) && self.create_element(edited, edit)? {
            return Ok(());
        }
        let mut place = Place::Visible;
        let mut found = if edited.shown { self.visible_element(edited, &edit.key)? } else { None };
        if found.is_none() && known {
            place = Place::Hidden;
            let mut select = self.conn.prepare_cached(SELECT_HIDDEN)?;
            let state: Option<Vec<u8>> =
                select.query_row((&child.name, edited.row.as_bytes(), key), |row| row.get(0)).optional()?;
            found = state.map(|state| decode_hidden(&state, &child.defaults)).transpose()?;
        }
        let mut element = found.unwrap_or_else(|| {
            place = Place::Nowhere;
            Row::new(child.defaults.clone())
        });
        let merged = element.merge(op_of(child, edit, edited.stamp), registry);
        if !merged.life && merged.columns.is_empty() {
            return Ok(());
        }
        let shown = edited.shown && is_present(&element);
        match (place, shown) {
            (Place::Visible, true) => return self.update_element(edited, &edit.key, &element),
            (Place::Visible, false) => self.delete_element(edited, &edit.key)?,
            (Place::Hidden, true) => {
                let mut delete = self.conn.prepare_cached(DELETE_HIDDEN)?;
                delete.execute((&child.name, edited.row.as_bytes(), key))?;
            }
            (Place::Hidden, false) | (Place::Nowhere, _) => {}
        }
        if shown {
            let values: Vec<ValueRef<'_>> = element.values.iter().map(Value::as_ref).collect();
            return self.insert_element(edited, &edit.key, &values, &element.clock).map(|_| ());
        }
        hidden.set_elements(table, collection);
        let mut insert = self.conn.prepare_cached(INSERT_HIDDEN)?;
        insert.execute((&child.name, edited.row.as_bytes(), key, encode_hidden(&element)?))?;
        Ok(())
    }

    /// Inserts an element that no op has touched before; returns `false` if the table has it.
    fn create_element(&mut self, edited: Edited<'_>, edit: &ElementEdit<'_>) -> Result<bool, StoreError> {
        let mut clock = std::mem::take(&mut self.clock);
        clock.clear();
        let columns = self.tables[edited.table].children[edited.collection].defaults.len();
        RowClock::encode_fresh(columns, edited.stamp, &mut clock);
        let position = edit.position.as_deref().map(|position| ValueRef::Blob(position.into()));
        let values = position.iter().chain(&edit.value);
        let inserted = self.insert_values(edited, &edit.key, values, &clock)?;
        self.clock = clock;
        Ok(inserted)
    }

    fn insert_element(
        &mut self,
        edited: Edited<'_>,
        key: &ValueRef<'_>,
        values: &[ValueRef<'_>],
        clock: &RowClock,
    ) -> Result<bool, StoreError> {
        let clock = self.encode_clock(clock);
        let inserted = self.insert_values(edited, key, values, &clock)?;
        self.clock = clock;
        Ok(inserted)
    }

    fn insert_values<'v>(
        &mut self,
        edited: Edited<'_>,
        key: &ValueRef<'_>,
        values: impl IntoIterator<Item = &'v ValueRef<'v>>,
        clock: &[u8],
    ) -> Result<bool, StoreError> {
        let conn = self.conn;
        let (child, statements) = self.child(edited);
        let insert = prepared(&mut statements.insert, conn, &child.insert)?;
        insert.raw_bind_parameter(1, edited.row.as_bytes().as_slice())?;
        insert.raw_bind_parameter(2, key)?;
        for (n, value) in values.into_iter().enumerate() {
            insert.raw_bind_parameter(n + 3, value)?;
        }
        insert.raw_bind_parameter(child.defaults.len() + 3, clock)?;
        Ok(insert.raw_execute()? == 1)
    }

    fn visible_element(&mut self, edited: Edited<'_>, key: &ValueRef<'_>) -> Result<Option<Row<Value>>, StoreError> {
        let conn = self.conn;
        let (child, statements) = self.child(edited);
        let select = prepared(&mut statements.select, conn, &child.select)?;
        select.raw_bind_parameter(1, edited.row.as_bytes().as_slice())?;
        select.raw_bind_parameter(2, key)?;
        let mut rows = select.raw_query();
        rows.next()?.map(|row| alive(row, child)).transpose()
    }

    fn update_element(
        &mut self,
        edited: Edited<'_>,
        key: &ValueRef<'_>,
        element: &Row<Value>,
    ) -> Result<(), StoreError> {
        let clock = self.encode_clock(&element.clock);
        let conn = self.conn;
        let (child, statements) = self.child(edited);
        let update = prepared(&mut statements.update, conn, &child.update)?;
        update.raw_bind_parameter(1, edited.row.as_bytes().as_slice())?;
        update.raw_bind_parameter(2, key)?;
        for (n, value) in element.values.iter().enumerate() {
            update.raw_bind_parameter(n + 3, value.as_ref())?;
        }
        update.raw_bind_parameter(element.values.len() + 3, clock.as_slice())?;
        update.raw_execute()?;
        self.clock = clock;
        Ok(())
    }

    fn delete_element(&mut self, edited: Edited<'_>, key: &ValueRef<'_>) -> Result<(), StoreError> {
        let conn = self.conn;
        let (child, statements) = self.child(edited);
        let delete = prepared(&mut statements.delete, conn, &child.delete)?;
        delete.raw_bind_parameter(1, edited.row.as_bytes().as_slice())?;
        delete.raw_bind_parameter(2, key)?;
        delete.raw_execute()?;
        Ok(())
    }

    fn child(&mut self, edited: Edited<'_>) -> (&'c ChildTable, &mut ElementStatements<'c>) {
        let children = &self.tables[edited.table].children;
        let statements = &mut self.statements[edited.table].elements;
        statements.resize_with(children.len(), ElementStatements::default);
        (&children[edited.collection], &mut statements[edited.collection])
    }

    /// A row is not shown any more: its elements are kept where hidden ones are.
    pub(super) fn hide_elements(&mut self, table: usize, row: &Uuid, hidden: &mut Hidden) -> Result<(), StoreError> {
        for (collection, child) in self.tables[table].children.iter().enumerate() {
            let mut insert = self.conn.prepare_cached(INSERT_HIDDEN)?;
            let mut select = self.conn.prepare_cached(&child.read_clocks)?;
            let mut elements = select.query([row.as_bytes()])?;
            let mut key = Vec::new();
            while let Some(element) = elements.next()? {
                encode_key(&borrowed(element.get_ref(child.defaults.len() + 1)?)?, &mut key)?;
                let state = encode_hidden(&alive(element, child)?)?;
                insert.execute((&child.name, row.as_bytes(), &key, state))?;
                hidden.set_elements(table, collection);
            }
            drop(elements);
            self.conn.prepare_cached(&child.clear)?.execute([row.as_bytes()])?;
        }
        Ok(())
    }

    /// A row is shown from now on: with its elements that are there.
    pub(super) fn show_elements(&mut self, table: usize, row: &Uuid, hidden: &Hidden) -> Result<(), StoreError> {
        let children = &self.tables[table].children;
        for (collection, child) in children.iter().enumerate().filter(|(n, _)| hidden.any_element(table, *n)) {
            let edited = Edited { table, collection, row, shown: true, stamp: Stamp::NONE };
            let mut shown: Vec<Vec<u8>> = Vec::new();
            let mut select = self.conn.prepare_cached(SELECT_ALL_HIDDEN)?;
            let mut elements = select.query((&child.name, row.as_bytes()))?;
            while let Some(found) = elements.next()? {
                let element =
                    decode_hidden(found.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?, &child.defaults)?;
                if !is_present(&element) {
                    continue;
                }
                let key: Vec<u8> = found.get(0)?;
                let values: Vec<ValueRef<'_>> = element.values.iter().map(Value::as_ref).collect();
                self.insert_element(edited, &decode_key(&key)?, &values, &element.clock)?;
                shown.push(key);
            }
            drop(elements);
            let mut delete = self.conn.prepare_cached(DELETE_HIDDEN)?;
            for key in shown {
                delete.execute((&child.name, row.as_bytes(), key))?;
            }
        }
        Ok(())
    }
}

/// The elements of a row that is shown, one list per collection of its model.
///
/// Read it in the same transaction as the row: else the two may be of different states of the database.
pub(crate) fn read_elements(
    conn: &Connection,
    table: &Table,
    row: &Uuid,
) -> Result<Vec<Vec<Element<'static>>>, StoreError> {
    table.children.iter().map(|child| read_collection(conn, child, row)).collect()
}

fn read_collection(conn: &Connection, child: &ChildTable, row: &Uuid) -> Result<Vec<Element<'static>>, StoreError> {
    let mut select = conn.prepare_cached(&child.read)?;
    let mut rows = select.query([row.as_bytes()])?;
    let mut elements = Vec::new();
    let (columns, is_list) = (child.defaults.len(), child.schema.rule == MergeRule::List);
    while let Some(row) = rows.next()? {
        let read = |column: usize| -> Result<ValueRef<'static>, StoreError> {
            Ok(borrowed(row.get_ref(column)?)?.into_owned().into())
        };
        let position = if is_list { Some(row.get::<_, Vec<u8>>(0)?.into()) } else { None };
        let value = if columns > usize::from(is_list) { Some(read(columns - 1)?) } else { None };
        elements.push(Element { key: read(columns)?, position, value });
    }
    Ok(elements)
}

/// Empties the tables of elements, and what is hidden of them.
pub(super) fn clear(conn: &Connection, table: &Table) -> Result<(), StoreError> {
    for child in &table.children {
        conn.execute(&format!("DELETE FROM {}", super::table::quoted(&child.name)), [])?;
        conn.prepare_cached("DELETE FROM cfost_hidden_elements WHERE table_name = ?1")?.execute([&child.name])?;
    }
    Ok(())
}

/// Whether an edit is one of this collection.
pub(super) fn edit_fits(schema: &CollectionSchema, edit: &ElementEdit<'_>) -> bool {
    let is_list = schema.rule == MergeRule::List;
    let position = edit.position.as_deref().is_none_or(|position| is_list && position::is_position(position));
    let value = match (&edit.value, schema.value) {
        (None, _) => true,
        (Some(value), Some((sql_type, nullable))) => fits(value, sql_type, nullable),
        (Some(_), None) => false,
    };
    fits(&edit.key, schema.key, false) && position && value
}

/// Whether an edit puts an element with all its cells.
fn is_whole(schema: &CollectionSchema, edit: &ElementEdit<'_>) -> bool {
    edit.put
        && edit.position.is_some() == (schema.rule == MergeRule::List)
        && edit.value.is_some() == schema.value.is_some()
}

/// Whether an element is there, as far as it goes by itself.
pub(super) fn is_present(element: &Row<Value>) -> bool {
    element.life == Life::Alive && (0..element.values.len()).all(|column| element.clock.column(column).is_some())
}

pub(super) fn op_of(child: &ChildTable, edit: &ElementEdit<'_>, stamp: Stamp) -> RowOp<Value> {
    let life = if edit.put { Life::Alive } else { Life::Dead };
    let mut effects = Vec::new();
    if let Some(position) = &edit.position {
        effects.push((0, Effect::Write(Value::Blob(position.to_vec()))));
    }
    if let Some(value) = &edit.value {
        effects.push((child.defaults.len() - 1, Effect::Write(value.clone().into_owned())));
    }
    RowOp { stamp, life, effects }
}

/// An element of a table, from its columns and its clock.
fn alive(row: &rusqlite::Row<'_>, child: &ChildTable) -> Result<Row<Value>, StoreError> {
    let columns = child.defaults.len();
    let values = (0..columns).map(|column| Ok(borrowed(row.get_ref(column)?)?.into_owned()));
    let values = values.collect::<Result<_, StoreError>>()?;
    let clock = row.get_ref(columns)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(Row { values, clock: RowClock::decode(clock, columns)?, life: Life::Alive })
}

pub(super) fn encode_key(key: &ValueRef<'_>, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
    bytes.clear();
    let written = write_value(bytes, &OpValue::Plain(key.borrowed()));
    written.map_err(|error| StoreError::Corrupt { what: error.to_string() })
}

fn decode_key(bytes: &[u8]) -> Result<ValueRef<'_>, StoreError> {
    match read_value(bytes) {
        Ok(OpValue::Plain(key)) => Ok(key),
        _ => Err(StoreError::Corrupt { what: "the key of a hidden element is damaged".into() }),
    }
}

#[cfg(test)]
mod tests;
