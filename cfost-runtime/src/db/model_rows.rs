//! Models to rows and back: the thin typed layer over the store.
//!
//! What is generic here is compiled anew for each model of an app: it is kept to what the model's
//! type is needed for, and the rest is in functions of its own.

use rusqlite::{CachedStatement, Connection, Rows, Transaction};
use uuid::Uuid;

#[cfg(feature = "text")]
use crate::crdt::text::Text;
use crate::error::{Error, Result};
use crate::query::Statement;
#[cfg(feature = "text")]
use crate::schema::TextValue;
use crate::schema::{
    Element, ModelSchema, RowDecoder, RowEncoder, RowId, RowValues, Synced, Value, ValueError, ValueRef,
};
use crate::store::{Stored, Table, borrowed, read_elements};
#[cfg(feature = "text")]
use crate::store::{has_texts, read_texts};

/// The number of a model's table.
pub(super) fn table_of<M: Synced>(tables: &[Table]) -> Result<usize> {
    table_number(tables, M::SCHEMA)
}

/// The number of the table of the model with this schema.
pub(super) fn table_number(tables: &[Table], schema: &'static ModelSchema) -> Result<usize> {
    // By name: two constants of the same model may have two addresses.
    let same = |table: &Table| table.schema.table == schema.table && table.schema.model == schema.model;
    tables.iter().position(same).ok_or(Error::UnknownModel { model: schema.model })
}

/// The values of a row's stored fields.
pub(super) fn encode<M: Synced>(row: &M) -> Result<RowValues<'_>> {
    let mut encoder = RowEncoder::new(M::SCHEMA);
    (M::MAPPING.encode)(row, &mut encoder);
    finish(encoder, M::SCHEMA)
}

fn finish<'a>(encoder: RowEncoder<'a>, schema: &'static ModelSchema) -> Result<RowValues<'a>> {
    encoder.finish().map_err(|(field, source)| Error::Unstorable { model: schema.model, field, source })
}

/// The row that has these values.
pub(super) fn decode<M: Synced>(id: M::Id, values: RowValues<'_>) -> Result<M> {
    let mut decoder = RowDecoder::new(M::SCHEMA, values);
    match (M::MAPPING.decode)(id, &mut decoder) {
        Ok(row) => Ok(row),
        Err(source) => Err(unreadable(M::SCHEMA, decoder.field(), source)),
    }
}

fn unreadable(schema: &'static ModelSchema, field: &'static str, source: ValueError) -> Error {
    Error::Unreadable { model: schema.model, field, source }
}

/// The row with this id.
pub(super) fn get<M: Synced>(conn: &Connection, table: &Table, id: M::Id) -> Result<Option<M>> {
    let mut found = None;
    each(conn, table, Some(id.to_uuid()), &mut |_, values| {
        found = Some(decode(id, values)?);
        Ok(())
    })?;
    Ok(found)
}

/// All rows, by ascending id.
pub(super) fn all<M: Synced>(conn: &Connection, table: &Table) -> Result<Vec<M>> {
    let mut rows = Vec::new();
    each(conn, table, None, &mut |id, values| {
        rows.push(decode(M::Id::from_uuid(id), values)?);
        Ok(())
    })?;
    Ok(rows)
}

type Visit<'v> = dyn FnMut(Uuid, RowValues<'_>) -> Result<()> + 'v;

/// Shows `visit` the row with this id, or all rows by ascending id.
fn each(conn: &Connection, table: &Table, only: Option<Uuid>, visit: &mut Visit<'_>) -> Result<()> {
    let _snapshot = snapshot(conn, table)?;
    let mut select = conn.prepare_cached(if only.is_some() { &table.select } else { &table.select_all })?;
    if let Some(id) = only {
        select.raw_bind_parameter(1, id.as_bytes().as_slice())?;
    }
    visit_rows(conn, select.raw_query(), table, only, visit)
}

/// The rows that a query finds, in its order.
pub(super) fn found<M: Synced>(conn: &Connection, table: &Table, statement: &Statement) -> Result<Vec<M>> {
    let mut found = Vec::new();
    each_found(conn, table, statement, &mut |id, values| {
        found.push(decode(M::Id::from_uuid(id), values)?);
        Ok(())
    })?;
    Ok(found)
}

/// Shows `visit` the rows that a query finds; it selects the columns in the model's order, then the id.
fn each_found(conn: &Connection, table: &Table, statement: &Statement, visit: &mut Visit<'_>) -> Result<()> {
    let _snapshot = snapshot(conn, table)?;
    let mut select = prepared(conn, statement)?;
    visit_rows(conn, select.raw_query(), table, None, visit)
}

/// The statement of a query, with its values.
pub(super) fn prepared<'c>(conn: &'c Connection, statement: &Statement) -> Result<CachedStatement<'c>> {
    let mut select = conn.prepare_cached(&statement.sql)?;
    for (n, value) in statement.values.iter().enumerate() {
        select.raw_bind_parameter(n + 1, value.as_ref())?;
    }
    Ok(select)
}

/// A transaction for statements that must see one state of the database: rows of this table, and their elements.
fn snapshot<'c>(conn: &'c Connection, table: &Table) -> Result<Option<Transaction<'c>>> {
    let several = !table.children.is_empty();
    #[cfg(feature = "text")]
    let several = several || has_texts(table.schema);
    let needed = several && conn.is_autocommit();
    Ok(if needed { Some(conn.unchecked_transaction()?) } else { None })
}

fn visit_rows(
    conn: &Connection,
    mut rows: Rows<'_>,
    table: &Table,
    only: Option<Uuid>,
    visit: &mut Visit<'_>,
) -> Result<()> {
    while let Some(row) = rows.next()? {
        let id = match only {
            Some(id) => id,
            None => id_of(row, table)?,
        };
        let collections = read_elements(conn, table, &id)?;
        let mut columns = values(row, table)?;
        table.open_fields(&id, &mut columns);
        let values = RowValues::new(columns, collections);
        #[cfg(feature = "text")]
        let values = values.with_texts(read_texts(conn, table.schema, &id)?);
        visit(id, values)?;
    }
    Ok(())
}

/// What a stored row holds, lent; `opened` are its columns, if some of them had to be opened.
pub(super) fn lent<'s>(stored: &'s Stored, opened: Option<&'s [Value]>) -> RowValues<'s> {
    let values = lent_parts(opened.unwrap_or(&stored.row.values), &stored.collections);
    #[cfg(feature = "text")]
    let values = values.with_texts(stored.texts.clone());
    values
}

fn lent_parts<'a>(columns: &'a [Value], collections: &'a [Vec<Element<'static>>]) -> RowValues<'a> {
    let collections = collections.iter().map(|elements| elements.iter().map(Element::borrowed).collect());
    RowValues::new(columns.iter().map(Value::as_ref).collect(), collections.collect())
}

/// What a row held before it is edited: its values, and the elements of each collection.
pub(super) type Before = (Vec<Value>, Vec<Vec<Element<'static>>>);

/// What a row's own fields encode to before they are edited, kept. For a value that this build doesn't
/// know (an enum's newer variant) that differs from what is stored, and must not count as an edit.
pub(super) fn before<M: Synced>(row: &M, stored: Vec<Vec<Element<'static>>>) -> Result<Before> {
    Ok(kept(encode(row)?, stored))
}

fn kept(values: RowValues<'_>, stored: Vec<Vec<Element<'static>>>) -> Before {
    let columns = values.columns.into_iter().map(ValueRef::into_owned).collect();
    if values.collections == stored {
        return (columns, stored);
    }
    let own = |elements: Vec<Element<'_>>| elements.into_iter().map(Element::into_owned).collect();
    (columns, values.collections.into_iter().map(own).collect())
}

/// What a row's fields hold, to compare with later and to make the row of again.
#[derive(Debug)]
pub(super) struct Kept {
    held: Before,
    #[cfg(feature = "text")]
    texts: Vec<Text>,
}

impl Kept {
    pub(super) fn of<M: Synced>(row: &M) -> Result<Self> {
        let values = encode(row)?;
        #[cfg(feature = "text")]
        let texts = values.texts.iter().filter_map(TextValue::edited).cloned().collect();
        Ok(Self {
            #[cfg(feature = "text")]
            texts,
            held: kept(values, Vec::new()),
        })
    }

    /// What it holds, lent.
    pub(super) fn lent(&self) -> RowValues<'_> {
        let values = lent_parts(&self.held.0, &self.held.1);
        #[cfg(feature = "text")]
        let values = values.with_texts(self.texts.iter().map(TextValue::Edited).collect());
        values
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        if self.held != other.held {
            return false;
        }
        // Texts that read the same can differ in their marks.
        #[cfg(feature = "text")]
        let same_marks = self.texts.iter().zip(&other.texts).all(|(one, other)| one.has_marks_of(other));
        #[cfg(not(feature = "text"))]
        let same_marks = true;
        same_marks
    }
}

/// How many rows there are.
pub(super) fn count(conn: &Connection, table: &Table) -> Result<u64> {
    let count: i64 = conn.prepare_cached(&table.count)?.query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn values<'r>(row: &'r rusqlite::Row<'_>, table: &Table) -> Result<Vec<ValueRef<'r>>> {
    (0..table.schema.columns.len()).map(|column| Ok(borrowed(row.get_ref(column)?)?)).collect()
}

fn id_of(row: &rusqlite::Row<'_>, table: &Table) -> Result<Uuid> {
    let bytes: [u8; 16] = row.get(table.schema.columns.len())?;
    Ok(Uuid::from_bytes(bytes))
}
