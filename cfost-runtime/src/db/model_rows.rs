//! Models to rows and back: the thin typed layer over the store.
//!
//! What is generic here is compiled anew for each model of an app: it is kept to what the model's
//! type is needed for, and the rest is in functions of its own.

use rusqlite::{CachedStatement, Connection, Rows};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::query::Statement;
use crate::schema::{ModelSchema, RowDecoder, RowEncoder, RowId, RowValues, Synced, Value, ValueError, ValueRef};
use crate::store::{Table, borrowed};

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
pub(super) fn encode<M: Synced>(row: &M) -> Result<Vec<ValueRef<'_>>> {
    let mut encoder = RowEncoder::new(M::SCHEMA);
    (M::MAPPING.encode)(row, &mut encoder);
    finish(encoder, M::SCHEMA)
}

fn finish<'a>(encoder: RowEncoder<'a>, schema: &'static ModelSchema) -> Result<Vec<ValueRef<'a>>> {
    let values = encoder.finish().map(|values| values.columns);
    values.map_err(|(field, source)| Error::Unstorable { model: schema.model, field, source })
}

/// The row that has these values.
pub(super) fn decode<M: Synced>(id: M::Id, values: Vec<ValueRef<'_>>) -> Result<M> {
    let mut decoder = RowDecoder::new(M::SCHEMA, RowValues { columns: values, ..RowValues::default() });
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

type Visit<'v> = dyn FnMut(Uuid, Vec<ValueRef<'_>>) -> Result<()> + 'v;

/// Shows `visit` the row with this id, or all rows by ascending id.
fn each(conn: &Connection, table: &Table, only: Option<Uuid>, visit: &mut Visit<'_>) -> Result<()> {
    let mut select = conn.prepare_cached(if only.is_some() { &table.select } else { &table.select_all })?;
    if let Some(id) = only {
        select.raw_bind_parameter(1, id.as_bytes().as_slice())?;
    }
    visit_rows(select.raw_query(), table, only, visit)
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
    let mut select = prepared(conn, statement)?;
    visit_rows(select.raw_query(), table, None, visit)
}

/// The statement of a query, with its values.
pub(super) fn prepared<'c>(conn: &'c Connection, statement: &Statement) -> Result<CachedStatement<'c>> {
    let mut select = conn.prepare_cached(&statement.sql)?;
    for (n, value) in statement.values.iter().enumerate() {
        select.raw_bind_parameter(n + 1, value.as_ref())?;
    }
    Ok(select)
}

fn visit_rows(mut rows: Rows<'_>, table: &Table, only: Option<Uuid>, visit: &mut Visit<'_>) -> Result<()> {
    while let Some(row) = rows.next()? {
        let id = match only {
            Some(id) => id,
            None => id_of(row, table)?,
        };
        visit(id, values(row, table)?)?;
    }
    Ok(())
}

/// The values, lent.
pub(super) fn lent(values: &[Value]) -> Vec<ValueRef<'_>> {
    values.iter().map(Value::as_ref).collect()
}

/// The values of a row's stored fields, kept.
pub(super) fn encode_kept<M: Synced>(row: &M) -> Result<Vec<Value>> {
    Ok(kept(encode(row)?))
}

fn kept(values: Vec<ValueRef<'_>>) -> Vec<Value> {
    values.into_iter().map(ValueRef::into_owned).collect()
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
