//! The oplog as typed entries, and as the SQL table `cfost_oplog`.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;

use rusqlite::Connection;
use uuid::Uuid;

use super::changes::{self, StoredChange};
use super::registry::LogRow;
use super::secrets::Secrets;
use super::state::State;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::oplog::{
    ChangeId, DeviceId, ElementsReader, Head, LogId, Op, OpKind, OpValue, Opener, RuleTag, SegmentReader, SpaceId,
};
use crate::schema::{Value, ValueRef};

/// How many changes of a log are read at a time.
const PAGE_CHANGES: u64 = 64;

/// The name of an op: its change, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The change.
    pub change: ChangeId,
    /// The op's place among the change's ops, from 0.
    pub index: u32,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.change, self.index)
    }
}

/// One op of the oplog: who did what to which row, and when.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OplogEntry {
    /// The op's name, the same on every device.
    pub id: OpId,
    /// The device that made the op.
    pub device_id: DeviceId,
    /// When, by that device's hybrid clock.
    pub timestamp: Timestamp,
    /// The table.
    pub table: String,
    /// What was done.
    pub op_type: OpKind,
    /// The row it was done to.
    pub row_id: Uuid,
    /// What was done to the columns.
    pub data: Vec<(String, OpData)>,
    /// The space that the op was written in: whoever is in it reads the op.
    pub space: SpaceId,
    /// The log that holds the op.
    pub log: LogId,
    /// The op's change, by its position in the log.
    pub seq: u64,
    /// The version of the model that the op was written with: its columns are called as that version calls them in ops.
    pub schema_version: u32,
}

/// What an op does to a column.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OpData {
    /// Writes a value.
    Write(Value),
    /// Adds to a counter.
    Add(i64),
    /// Puts and removes elements of a set, a map or a list.
    Elements(Vec<ElementData>),
    /// Edits a text.
    Text(Vec<TextData>),
    /// Something that a newer app does, or nothing that any app does; its bytes are kept and relayed.
    Unknown(Vec<u8>),
}

/// What an op does to an element.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ElementData {
    /// A set's element, a map's key, or the id of a list's element.
    pub key: Value,
    /// Whether the element is put, or removed.
    pub put: bool,
    /// Where a list's element is put; `None` where it stays.
    pub position: Option<Vec<u8>>,
    /// The value that a map's or a list's element is given; `None` where it keeps its own.
    pub value: Option<Value>,
}

/// What an op does to a text. Positions and lengths count characters and the ends of marks, in the text as it
/// was when the edit was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TextData {
    /// Text comes in at a position.
    Insert(u64, String),
    /// So many characters from a position on go.
    Delete(u64, u64),
    /// So many characters from a position on are given a mark, or with `None` lose it.
    Mark(u64, u64, String, Option<Value>),
}

impl OplogEntry {
    /// What was done to the columns, as a JSON object: a value written is the value, bytes are hex, an
    /// increment is `{"add": 1}`, a text's edits are `[{"insert": "x", "at": 3}, {"delete": 2, "at": 0},
    /// {"mark": "bold", "value": 1, "at": 0, "len": 4}]`, and elements are `{"put": [..], "removed": [..]}`, where what is put is a
    /// set's element, or `{"key": .., "position": .., "value": ..}` without what the op doesn't say.
    pub fn data_json(&self) -> String {
        let mut columns = serde_json::Map::new();
        for (name, data) in &self.data {
            // A name that is there twice is first the column, then what it is for apps of older versions.
            if !columns.contains_key(name) {
                columns.insert(name.clone(), data.to_json());
            }
        }
        serde_json::Value::Object(columns).to_string()
    }
}

impl OpData {
    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Write(value) => value_json(value),
            Self::Text(edits) => edits.iter().map(TextData::to_json).collect(),
            Self::Elements(elements) => {
                let of = |put: bool| elements.iter().filter(move |element| element.put == put);
                let mut json = serde_json::Map::new();
                for (name, put) in [("put", true), ("removed", false)] {
                    if of(put).next().is_some() {
                        json.insert(name.to_owned(), of(put).map(ElementData::to_json).collect());
                    }
                }
                json.into()
            }
            Self::Add(delta) => serde_json::json!({ "add": delta }),
            Self::Unknown(bytes) => serde_json::json!({ "unknown": hex(bytes) }),
        }
    }
}

impl ElementData {
    fn to_json(&self) -> serde_json::Value {
        if self.position.is_none() && self.value.is_none() {
            return value_json(&self.key);
        }
        let mut json = serde_json::Map::from_iter([("key".to_owned(), value_json(&self.key))]);
        json.extend(self.position.as_ref().map(|position| ("position".to_owned(), hex(position).into())));
        json.extend(self.value.as_ref().map(|value| ("value".to_owned(), value_json(value))));
        json.into()
    }
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(value) => (*value).into(),
        Value::Real(value) => (*value).into(),
        Value::Text(value) => value.as_str().into(),
        Value::Blob(bytes) => hex(bytes).into(),
    }
}

/// What a payload says of a collection; `None` if it is malformed, and so has no effect.
fn elements_of(payload: &[u8]) -> Option<Vec<ElementData>> {
    let mut reader = ElementsReader::new(payload).ok()?;
    let mut elements = Vec::new();
    while let Some((edit, _)) = reader.next_edit().ok()? {
        let position = edit.position.map(|position| position.into_owned());
        let value = edit.value.map(ValueRef::into_owned);
        elements.push(ElementData { key: edit.key.into_owned(), put: edit.put, position, value });
    }
    Some(elements)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All entries, oldest first: by timestamp, then by device and by log. Reads a page at a time.
pub(crate) struct Entries<'s> {
    store: &'s Store,
    cursors: Vec<Cursor>,
}

struct Cursor {
    log: u32,
    read: Head,
    last_seq: u64,
    page: VecDeque<OplogEntry>,
}

impl<'s> Entries<'s> {
    pub(super) fn new(store: &'s Store, state: &State) -> Self {
        let cursor =
            |log: &LogRow| Cursor { log: log.number, read: log.base(), last_seq: log.head.seq, page: VecDeque::new() };
        Self { store, cursors: state.registry.iter().map(cursor).collect() }
    }

    fn fill(store: &Store, cursor: &mut Cursor) -> Result<()> {
        while cursor.page.is_empty() && cursor.read.seq < cursor.last_seq {
            store.with_state(|conn, state| {
                let Some(log) = state.registry.get(cursor.log) else { return Ok(()) };
                let last = cursor.last_seq.min(cursor.read.seq + PAGE_CHANGES);
                cursor.read = read_entries(conn, log, &state.secrets, cursor.read, last, |entry| {
                    cursor.page.push_back(entry);
                    Ok(())
                })?;
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<OplogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        for cursor in &mut self.cursors {
            if let Err(error) = Self::fill(self.store, cursor) {
                self.cursors.clear();
                return Some(Err(error));
            }
        }
        let first = |cursor: &&mut Cursor| {
            cursor.page.front().map(|entry| Reverse((entry.timestamp, entry.device_id, entry.log)))
        };
        let cursor = self.cursors.iter_mut().filter(|cursor| !cursor.page.is_empty()).max_by_key(first)?;
        cursor.page.pop_front().map(Ok)
    }
}

/// Brings the connection's table `cfost_oplog` up to date.
pub(super) fn refresh_table(conn: &Connection, state: &State) -> Result<()> {
    state.secrets.opened()?;
    // All or nothing: what was begun and not noted would be there twice after the next time.
    let transaction = conn.unchecked_transaction()?;
    conn.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS cfost_oplog (
           id TEXT NOT NULL, device_id TEXT NOT NULL, timestamp INTEGER NOT NULL, at_ms INTEGER NOT NULL,
           \"table\" TEXT NOT NULL, op_type TEXT NOT NULL, row_id BLOB NOT NULL, data TEXT NOT NULL,
           log TEXT NOT NULL, seq INTEGER NOT NULL, schema_version INTEGER NOT NULL, space TEXT NOT NULL
         );
         CREATE TEMP TABLE IF NOT EXISTS cfost_oplog_read (log BLOB PRIMARY KEY, seq INTEGER NOT NULL, id BLOB NOT NULL);",
    )?;
    forget_rewritten(conn, state)?;
    let mut insert =
        conn.prepare_cached("INSERT INTO temp.cfost_oplog VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
    let mut read = conn.prepare_cached("SELECT seq, id FROM temp.cfost_oplog_read WHERE log = ?1")?;
    let mut save = conn.prepare_cached("INSERT OR REPLACE INTO temp.cfost_oplog_read VALUES (?1, ?2, ?3)")?;
    for log in state.registry.iter() {
        let mut rows = read.query([log.id.as_bytes()])?;
        let after = match rows.next()? {
            None => log.base(),
            Some(row) => Head { seq: row.get::<_, i64>(0)?.unsigned_abs(), id: ChangeId::from_bytes(row.get(1)?) },
        };
        if after.seq == log.head.seq {
            continue;
        }
        let head = read_entries(conn, log, &state.secrets, after, log.head.seq, |entry| {
            insert.execute((
                entry.id.to_string(),
                entry.device_id.to_string(),
                entry.timestamp.as_u64() as i64,
                entry.timestamp.ms() as i64,
                &entry.table,
                entry.op_type.name(),
                entry.row_id.as_bytes(),
                entry.data_json(),
                entry.log.to_string(),
                entry.seq as i64,
                entry.schema_version,
                entry.space.to_string(),
            ))?;
            Ok(())
        })?;
        save.execute((log.id.as_bytes(), head.seq as i64, head.id.as_bytes()))?;
    }
    drop((insert, read, save));
    Ok(transaction.commit()?)
}

/// Forgets all entries if a log that they are of is gone or goes another way by now: this database
/// has joined another user, or its own log was a copy's.
fn forget_rewritten(conn: &Connection, state: &State) -> Result<()> {
    let mut read = conn.prepare_cached("SELECT log, seq, id FROM temp.cfost_oplog_read")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let (id, seq) = (LogId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs());
        let log = state.registry.number(id).and_then(|number| state.registry.get(number));
        let same = match log {
            Some(log) if log.head.seq == seq => log.head.id.as_bytes() == &row.get::<_, [u8; 32]>(2)?,
            Some(log) => seq < log.head.seq,
            None => false,
        };
        if !same {
            drop(rows);
            conn.execute_batch("DELETE FROM temp.cfost_oplog; DELETE FROM temp.cfost_oplog_read")?;
            break;
        }
    }
    Ok(())
}

/// Reads the entries of a log after a change, up to another.
fn read_entries(
    conn: &Connection,
    log: &LogRow,
    secrets: &Secrets,
    after: Head,
    last_seq: u64,
    mut visit: impl FnMut(OplogEntry) -> Result<(), StoreError>,
) -> Result<Head, StoreError> {
    let mut opener = Opener::new();
    changes::walk(conn, log, secrets, after, last_seq, |stored| {
        read_change(log, &stored, secrets, &mut opener, &|_, _| true, &mut visit)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Reads the entries of a change that are on a row which is `wanted`, by its table and its id.
pub(super) fn read_change(
    log: &LogRow,
    stored: &StoredChange<'_>,
    secrets: &Secrets,
    opener: &mut Opener,
    wanted: &dyn Fn(&str, &Uuid) -> bool,
    visit: &mut impl FnMut(OplogEntry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let header = stored.header;
    let Some(epoch) = secrets.epoch(header.space(), header.epoch()) else { return Ok(()) };
    let mut index = 0;
    for (number, sealed) in stored.change.segments.iter().enumerate() {
        let opened = opener.open(epoch, header, number, sealed).and_then(SegmentReader::new);
        // Of what its author wrote wrongly, or a newer app wrote, there is nothing to show.
        let Ok(mut segment) = opened else { continue };
        let (table, version) = (segment.table().to_owned(), segment.schema_version());
        while let Ok(Some(op)) = segment.next_op() {
            if wanted(&table, &op.row) {
                visit(entry_of(log, stored, (&table, version), &op, index))?;
            }
            index += 1;
        }
    }
    Ok(())
}

impl TextData {
    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Insert(at, text) => serde_json::json!({ "insert": text, "at": at }),
            Self::Delete(at, len) => serde_json::json!({ "delete": len, "at": at }),
            Self::Mark(at, len, key, value) => {
                let value = value.as_ref().map(value_json);
                serde_json::json!({ "mark": key, "value": value, "at": at, "len": len })
            }
        }
    }
}

/// The edits in a text's delta, as far as this build reads them.
fn text_of(payload: &[u8]) -> Option<Vec<TextData>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    #[cfg(feature = "text")]
    return crate::crdt::text::edits_of(payload).map(|edits| edits.into_iter().map(TextData::from).collect());
    #[cfg(not(feature = "text"))]
    None
}

#[cfg(feature = "text")]
impl From<crate::crdt::text::DeltaEdit> for TextData {
    fn from(edit: crate::crdt::text::DeltaEdit) -> Self {
        use crate::crdt::text::{DeltaEdit, MarkValue};

        match edit {
            DeltaEdit::Insert { at, text } => Self::Insert(at.into(), text),
            DeltaEdit::Delete { at, len } => Self::Delete(at.into(), len.into()),
            DeltaEdit::Mark { at, len, key, value } => {
                let value = value.map(|value| match value {
                    MarkValue::Flag(flag) => Value::Integer(flag.into()),
                    MarkValue::Integer(integer) => Value::Integer(integer),
                    MarkValue::Text(text) => Value::Text(text),
                });
                Self::Mark(at.into(), len.into(), key, value)
            }
        }
    }
}

fn entry_of(
    log: &LogRow,
    stored: &StoredChange<'_>,
    (table, schema_version): (&str, u32),
    op: &Op<'_, '_>,
    index: u32,
) -> OplogEntry {
    let data = op.columns.iter().zip(op.values).map(|(column, value)| {
        let data = match (column.rule, value) {
            (RuleTag::COUNTER, OpValue::Plain(ValueRef::Integer(delta))) => OpData::Add(*delta),
            (_, OpValue::Plain(value)) => OpData::Write(value.clone().into_owned()),
            (RuleTag::SET | RuleTag::MAP | RuleTag::LIST, OpValue::Composite(bytes)) => {
                elements_of(bytes).map_or_else(|| OpData::Unknown(bytes.to_vec()), OpData::Elements)
            }
            (RuleTag::TEXT, OpValue::Composite(bytes)) => {
                text_of(bytes).map_or_else(|| OpData::Unknown(bytes.to_vec()), OpData::Text)
            }
            (_, OpValue::Composite(bytes)) => OpData::Unknown(bytes.to_vec()),
        };
        (column.name.to_owned(), data)
    });
    OplogEntry {
        id: OpId { change: stored.id, index },
        device_id: log.device,
        timestamp: op.at,
        table: table.to_owned(),
        op_type: op.kind,
        row_id: op.row,
        data: data.collect(),
        space: log.space,
        log: log.id,
        seq: stored.header.seq(),
        schema_version,
    }
}
