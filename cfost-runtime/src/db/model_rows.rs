//! Models to rows and back: the thin typed layer over the store.

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::schema::{ModelSchema, RowDecoder, RowEncoder, RowId, Synced, ValueError, ValueRef};
use crate::store::{Table, borrowed};

/// The number of a model's table.
pub(super) fn table_of<M: Synced>(tables: &[Table]) -> Result<usize> {
    table_number(tables, M::SCHEMA)
}

fn table_number(tables: &[Table], schema: &'static ModelSchema) -> Result<usize> {
    // By name: two constants of the same model may have two addresses.
    let same = |table: &Table| table.schema.table == schema.table && table.schema.model == schema.model;
    tables.iter().position(same).ok_or(Error::UnknownModel { model: schema.model })
}

/// The values of a row's stored fields.
pub(super) fn encode<M: Synced>(row: &M) -> Result<Vec<ValueRef<'_>>> {
    let mut encoder = RowEncoder::new(M::SCHEMA);
    (M::MAPPING.encode)(row, &mut encoder);
    let model = M::SCHEMA.model;
    encoder.finish().map_err(|(field, source)| Error::Unstorable { model, field, source })
}

/// The row that has these values.
pub(super) fn decode<M: Synced>(id: M::Id, values: Vec<ValueRef<'_>>) -> Result<M> {
    let mut decoder = RowDecoder::new(values);
    (M::MAPPING.decode)(id, &mut decoder).map_err(|source| unreadable(M::SCHEMA, decoder.read(), source))
}

fn unreadable(schema: &'static ModelSchema, read: usize, source: ValueError) -> Error {
    let column = read.checked_sub(1).and_then(|column| schema.columns.get(column));
    let field = column.map_or("?", |column| column.field);
    Error::Unreadable { model: schema.model, field, source }
}

/// The row with this id.
pub(super) fn get<M: Synced>(conn: &Connection, table: &Table, id: M::Id) -> Result<Option<M>> {
    let mut select = conn.prepare_cached(&table.select)?;
    select.raw_bind_parameter(1, id.to_uuid().as_bytes().as_slice())?;
    let mut rows = select.raw_query();
    match rows.next()? {
        None => Ok(None),
        Some(row) => decode(id, values(row, table)?).map(Some),
    }
}

/// All rows, by ascending id.
pub(super) fn all<M: Synced>(conn: &Connection, table: &Table) -> Result<Vec<M>> {
    let mut select = conn.prepare_cached(&table.select_all)?;
    let mut rows = select.raw_query();
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        read.push(decode(M::Id::from_uuid(id_of(row, table)?), values(row, table)?)?);
    }
    Ok(read)
}

/// How many rows there are.
pub(super) fn count(conn: &Connection, table: &Table) -> Result<u64> {
    let count: i64 = conn.prepare_cached(&table.count)?.query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn values<'r>(row: &'r rusqlite::Row<'_>, table: &Table) -> Result<Vec<ValueRef<'r>>> {
    (0..table.schema.columns.len()).map(|column| Ok(borrowed(row.get_ref(column)?)?)).collect()
}

fn id_of(row: &rusqlite::Row<'_>, table: &Table) -> Result<uuid::Uuid> {
    let bytes: [u8; 16] = row.get(table.schema.columns.len())?;
    Ok(uuid::Uuid::from_bytes(bytes))
}
