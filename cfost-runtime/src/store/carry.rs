//! Rows that a database takes along when it joins another user: they are written anew, by the device that it is then.
//!
//! What the former user had alone, the new one has: the rows of the home space, and each space that the former user
//! owned. A space's id says who founded it, so the new user founds another one in its place. What names the space gets
//! the new id, and so do the rows whose ids are made from it, and what names those. Rows of a space that somebody else
//! owns stay where they are: the new user is no member.

use std::collections::HashMap;

use rusqlite::Connection;
use uuid::Uuid;

use super::placement::Placed;
use super::rows::borrowed;
use super::state::State;
use super::table::{Table, quoted};
#[cfg(feature = "text")]
use super::texts;
use super::write::WriteTx;
use super::{bases, elements};
use crate::error::Result;
use crate::host::Host;
use crate::identity::Role;
use crate::oplog::Sealer;
use crate::schema::{Element, EncryptedFor, RowValues, Value, ValueRef, derived_id};
#[cfg(feature = "text")]
use crate::schema::{Text, TextValue};

/// The rows that come along, as they would be inserted: one list per table.
pub(super) type Carried = Vec<Vec<(Uuid, CarriedRow)>>;

/// A row's values and elements.
pub(super) struct CarriedRow {
    columns: Vec<Value>,
    collections: Vec<Vec<Element<'static>>>,
    /// Texts with their marks, in the order of the columns.
    #[cfg(feature = "text")]
    texts: Vec<Text>,
}

/// Takes all visible rows out of their tables; returns those that come along.
pub(super) fn carry(conn: &Connection, tables: &[Table], state: &State) -> Result<Carried> {
    let mut carried = Vec::with_capacity(tables.len());
    for table in tables {
        let columns = table.schema.columns.len();
        let mut select = conn.prepare_cached(&table.select_all)?;
        let mut rows = select.query([])?;
        let mut list = Vec::new();
        while let Some(row) = rows.next()? {
            let id = Uuid::from_bytes(row.get(columns)?);
            let values = (0..columns).map(|column| Ok(borrowed(row.get_ref(column)?)?.into_owned()));
            let columns: Vec<Value> = values.collect::<Result<_>>()?;
            let columns = table.opened(&id, &columns).unwrap_or(columns);
            if !is_owned(state, table.placed, &id, &columns) {
                continue;
            }
            list.push((
                id,
                CarriedRow {
                    #[cfg(feature = "text")]
                    texts: texts::copies(conn, table.schema, &id, &columns)?,
                    columns,
                    collections: elements::read_elements(conn, table, &id)?,
                },
            ));
        }
        conn.execute(&format!("DELETE FROM {}", quoted(table.schema.table)), [])?;
        elements::clear(conn, table)?;
        #[cfg(feature = "text")]
        texts::clear(conn, table.schema.table)?;
        bases::clear(conn, table.schema.table)?;
        carried.push(list);
    }
    Ok(carried)
}

/// Whether a row is in a space that is the own user's.
fn is_owned(state: &State, placed: Placed, id: &Uuid, columns: &[Value]) -> bool {
    let values: Vec<ValueRef<'_>> = columns.iter().map(Value::as_ref).collect();
    let space = placed.space(id, &values, state.secrets.home());
    space.is_some_and(|space| state.secrets.role_in(space) == Some(Role::Owner))
}

/// Writes rows that were taken out as new ones of this device.
pub(super) fn write_carried(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    mut carried: Carried,
) -> Result<()> {
    #[cfg(feature = "text")]
    state.texts.undone();
    let mut tx = WriteTx::new(conn, tables, state, host);
    let ids = NewIds::of(&mut tx, tables, &mut carried)?;
    for (table, rows) in carried.into_iter().enumerate() {
        for (id, row) in rows {
            let values = RowValues::new(row.columns.iter().map(Value::as_ref).collect(), row.collections);
            #[cfg(feature = "text")]
            let values = values.with_texts(row.texts.iter().map(TextValue::Edited).collect());
            tx.insert_as(table, ids.of_row(table, id), &values)?;
        }
    }
    if let Some(finished) = tx.finish(&mut Sealer::new())? {
        state.committed(finished);
    }
    state.touched.any(0..tables.len());
    Ok(())
}

/// The rows that have other ids now, each by its table's number and its former id.
#[derive(Default)]
struct NewIds(HashMap<(usize, Uuid), Uuid>);

impl NewIds {
    /// Founds a space for each row that is one, and has the rows name what they named before.
    fn of(tx: &mut WriteTx<'_>, tables: &[Table], carried: &mut Carried) -> Result<Self> {
        let mut ids = Self::default();
        for (table, rows) in carried.iter().enumerate().filter(|(table, _)| tables[*table].placed == Placed::Row) {
            for (id, _) in rows {
                ids.0.insert((table, *id), Uuid::from_bytes(*tx.found_space()?.as_bytes()));
            }
        }
        if ids.0.is_empty() {
            return Ok(ids);
        }
        // An id that is made from another may be what a third one is made from: as often as there are tables.
        for _ in tables {
            for (n, (table, rows)) in tables.iter().zip(carried.iter_mut()).enumerate() {
                rows.iter_mut().try_for_each(|(id, row)| ids.follow(tables, (n, table), *id, row))?;
            }
        }
        Ok(ids)
    }

    /// Has a row name the rows that it named before, and takes note of the id that is made from that.
    fn follow(&mut self, tables: &[Table], (n, table): (usize, &Table), id: Uuid, row: &mut CarriedRow) -> Result<()> {
        let mut names_another = false;
        for (column, value) in row.columns.iter_mut().enumerate() {
            let reference = table.schema.columns[column].reference.map(|reference| reference.table);
            let is_space = names_space(table, column);
            let Value::Blob(bytes) = value else { continue };
            let Ok(named) = Uuid::from_slice(bytes) else { continue };
            let may_name =
                |other: &&Table| reference == Some(other.schema.table) || (is_space && other.placed == Placed::Row);
            let others = tables.iter().enumerate().filter(|(_, other)| may_name(other));
            if let Some(new) = others.filter_map(|(other, _)| self.0.get(&(other, named))).next() {
                *value = Value::Blob(new.into_bytes().to_vec());
                names_another = true;
            }
        }
        if !names_another {
            return Ok(());
        }
        let values: Vec<ValueRef<'_>> = row.columns.iter().map(Value::as_ref).collect();
        if let Some(derived) = derived_id(table.schema, &values)? {
            self.0.insert((n, id), derived);
        }
        Ok(())
    }

    /// The id of a row now.
    fn of_row(&self, table: usize, id: Uuid) -> Uuid {
        self.0.get(&(table, id)).copied().unwrap_or(id)
    }
}

/// Whether a column names a space: the one that the row lives in, or whose key another column is encrypted with.
fn names_space(table: &Table, column: usize) -> bool {
    let columns = table.schema.columns;
    let keys = columns.iter().filter_map(|of| of.encrypted.map(|encrypted| encrypted.key));
    let mut named = keys.filter_map(|key| match key {
        EncryptedFor::Column(name) => Some(name),
        EncryptedFor::Home => None,
    });
    table.placed == Placed::Column(column) || named.any(|name| name == columns[column].name)
}
