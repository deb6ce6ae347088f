//! All rows as text, to compare databases with each other: what is shown, without the clocks, whose writers have
//! other numbers on every device.

use std::collections::BTreeMap;

use rusqlite::Connection;
use uuid::Uuid;

use super::rows::borrowed;
use super::table::{CLOCK_COLUMN, quoted};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::schema::{Value, ValueRef};

/// Per table, a line per row, sorted.
pub(crate) type Dump = BTreeMap<String, Vec<String>>;

impl Store {
    /// What the database shows.
    pub(crate) fn dump(&self) -> Result<Dump> {
        let conn = self.reader()?;
        let _snapshot = conn.unchecked_transaction()?;
        self.dump_tables(&conn)
    }

    /// What the database showed at a time; nothing before the first change.
    pub(crate) fn dump_at(&self, at: Timestamp) -> Result<Dump> {
        self.dump_tables(&self.at(at)?)
    }

    /// The rows of a table by ascending id, each with the values of its columns in the model's order.
    pub(crate) fn rows_of(&self, table: usize) -> Result<Vec<(Uuid, Vec<Value>)>> {
        let conn = self.reader()?;
        let columns = self.tables[table].schema.columns.len();
        let mut select = conn.prepare(&self.tables[table].select_all)?;
        let rows = select.query_map([], |row| {
            let values = (0..columns).map(|column| Ok(borrowed(row.get_ref(column)?).map(ValueRef::into_owned)));
            Ok((Uuid::from_bytes(row.get(columns)?), values.collect::<rusqlite::Result<Vec<_>>>()?))
        })?;
        rows.map(|row| {
            let (id, values) = row?;
            Ok((id, values.into_iter().collect::<Result<_, _>>()?))
        })
        .collect()
    }

    fn dump_tables(&self, conn: &Connection) -> Result<Dump> {
        let names = self.tables.iter().flat_map(|table| {
            let children = table.children.iter().map(|child| child.name.clone());
            std::iter::once(table.schema.table.to_owned()).chain(children)
        });
        names.map(|name| dump_table(conn, &name).map(|rows| (name, rows)).map_err(Into::into)).collect()
    }
}

fn dump_table(conn: &Connection, name: &str) -> Result<Vec<String>, StoreError> {
    let mut select = conn.prepare(&format!("SELECT * FROM {}", quoted(name)))?;
    let mut columns: Vec<usize> = (0..select.column_count()).collect();
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    // Tables that have gained columns have them in another order.
    columns.sort_by_key(|&column| &names[column]);
    let mut rows = select.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let mut line = String::new();
        for &column in columns.iter().filter(|&&column| names[column] != CLOCK_COLUMN) {
            line += &format!("{} = {}, ", names[column], borrowed(row.get_ref(column)?)?);
        }
        lines.push(line);
    }
    lines.sort();
    Ok(lines)
}
