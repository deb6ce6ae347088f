//! What is kept of rows and elements that are not shown: `cfost_hidden` and `cfost_hidden_elements`.

use rusqlite::Connection;

use super::StoreError;
use super::table::Table;
use crate::crdt::{Life, Row, RowClock};
use crate::oplog::{OpValue, read_value, write_value};
use crate::schema::Value;

/// Which tables have hidden rows, and which collections hidden elements: while one has none, what is new in
/// it needs no look-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden {
    rows: Vec<bool>,
    elements: Vec<Vec<bool>>,
}

impl Hidden {
    pub(super) fn read(conn: &Connection, tables: &[Table]) -> Result<Self, StoreError> {
        let mut row = conn.prepare_cached("SELECT 1 FROM cfost_hidden WHERE table_name = ?1 LIMIT 1")?;
        let mut element = conn.prepare_cached("SELECT 1 FROM cfost_hidden_elements WHERE table_name = ?1 LIMIT 1")?;
        let mut hidden = Self::default();
        for table in tables {
            hidden.rows.push(row.exists([table.schema.table])?);
            let elements = table.children.iter().map(|child| element.exists([&child.name]));
            hidden.elements.push(elements.collect::<rusqlite::Result<_>>()?);
        }
        Ok(hidden)
    }

    pub(super) fn any(&self, table: usize) -> bool {
        self.rows[table]
    }

    pub(super) fn set(&mut self, table: usize) {
        self.rows[table] = true;
    }

    pub(super) fn any_element(&self, table: usize, collection: usize) -> bool {
        self.elements[table][collection]
    }

    pub(super) fn set_elements(&mut self, table: usize, collection: usize) {
        self.elements[table][collection] = true;
    }
}

/// A hidden row or element: 1 if it is dead, 2 if it is gone (else it waits for columns, or for its row), then the
/// clock and the values up to the last that was written, as ops carry them, with their lengths before them, 4 bytes
/// each, little endian. So what was hidden before its model gained columns is what it would be now.
pub(super) fn encode_hidden(row: &Row<Value>) -> Result<Vec<u8>, StoreError> {
    let life = match row.life {
        Life::Alive => 0,
        Life::Dead => 1,
        Life::Gone => 2,
    };
    let mut state = vec![life];
    let mut part = Vec::new();
    row.clock.encode(&mut part);
    push_part(&mut state, &part);
    for value in row.values.iter().take(row.clock.written_columns()) {
        part.clear();
        let written = write_value(&mut part, &OpValue::Plain(value.as_ref()));
        written.map_err(|error| StoreError::Corrupt { what: error.to_string() })?;
        push_part(&mut state, &part);
    }
    Ok(state)
}

fn push_part(state: &mut Vec<u8>, part: &[u8]) {
    // A row is far below 4 GiB: SQLite's limit for a value is 2 GiB.
    state.extend_from_slice(&(part.len() as u32).to_le_bytes());
    state.extend_from_slice(part);
}

pub(super) fn decode_hidden(state: &[u8], defaults: &[Value]) -> Result<Row<Value>, StoreError> {
    parse_hidden(state, defaults)
        .ok_or_else(|| StoreError::Corrupt { what: "a hidden row or element is damaged".into() })
}

fn parse_hidden(state: &[u8], defaults: &[Value]) -> Option<Row<Value>> {
    let (&life, mut rest) = state.split_first()?;
    let clock = RowClock::decode(next_part(&mut rest)?, defaults.len()).ok()?;
    let mut values = Vec::with_capacity(defaults.len());
    while !rest.is_empty() {
        match read_value(next_part(&mut rest)?).ok()? {
            OpValue::Plain(value) => values.push(value.into_owned()),
            OpValue::Composite(_) => return None,
        }
    }
    values.extend(defaults.iter().skip(values.len()).cloned());
    let life = match life {
        0 => Life::Alive,
        1 => Life::Dead,
        2 => Life::Gone,
        _ => return None,
    };
    Some(Row { clock, values, life })
}

fn next_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}
