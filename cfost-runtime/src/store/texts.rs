//! The documents of texts: kept in `cfost_texts` as a snapshot and the deltas since, and those in use in
//! memory, so that an edit costs what it changes and not what its text weighs.
//!
//! The plain text is in its model's column. A document belongs to its row for good, shown or hidden.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;
use uuid::Uuid;

use super::{StoreError, generations};
use crate::crdt::text::{Document, Fate, Stored, Text, TextError, check_delta, first_text};
use crate::schema::{ColumnSchema, MergeRule, ModelSchema, TextValue, Value};

/// The most memory that documents in use may take, as far as it can be told, beside the last one.
const LIVE_BYTES_MAX: usize = 64 << 20;

/// What a document takes in memory: about so many bytes, and so many times what is stored of it.
const DOCUMENT_BYTES: usize = 32 << 10;
const DOCUMENT_RATIO: usize = 16;

/// Deltas are folded into the snapshot when there are more than so many,
const DELTAS_MAX: usize = 256;

/// or when they have more bytes than this and half of the snapshot: so folding costs each edit a part that
/// its own size bounds.
const DELTAS_BYTES_MIN: usize = 4096;

/// The bits of a part's number that count within one text.
const PART_BITS: u32 = 32;

/// Where a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TextAt {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    /// What ops call the column.
    pub(super) op_name: &'static str,
    pub(super) row: Uuid,
    /// Whether there may be several texts: see [`generations`].
    pub(super) has_generations: bool,
    /// Which of them this is.
    number: u32,
}

impl TextAt {
    pub(super) fn new(schema: &'static ModelSchema, column: usize, row: Uuid) -> Self {
        Self::of_column(schema, &schema.columns[column], row)
    }

    fn of_column(schema: &'static ModelSchema, column: &'static ColumnSchema, row: Uuid) -> Self {
        let has_generations = generations::has_generations(column);
        Self { table: schema.table, column: column.name, op_name: column.op_name, row, has_generations, number: 0 }
    }

    /// Another text of the same column.
    pub(super) fn of(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// The first part of the text, and the last that it can have.
    fn parts(self) -> (i64, i64) {
        let first = i64::from(self.number) << PART_BITS;
        (first, first + ((1 << PART_BITS) - 1))
    }
}

/// What an op made of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// Nothing new.
    Same,
    /// It begins with this.
    Begun(String),
    /// What its document says now.
    Edited,
}

/// The documents in use.
#[derive(Debug, Default)]
pub(super) struct Texts {
    live: HashMap<TextAt, Live>,
    /// Counts uses, to find the document that was not used for longest.
    uses: u64,
    /// Whether a document holds what isn't committed.
    uncommitted: bool,
    /// Documents with deltas that may wait for what doesn't count.
    wanting: HashSet<TextAt>,
}

#[derive(Debug)]
struct Live {
    document: Document,
    parts: Parts,
    used: u64,
}

/// What is stored of a document.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    last: i64,
    deltas: usize,
    deltas_bytes: usize,
    snapshot_bytes: usize,
}

impl Parts {
    fn of(stored: &Stored, last: i64) -> Self {
        let deltas_bytes = stored.deltas().iter().map(|(_, delta)| delta.len()).sum();
        Self { last, deltas: stored.deltas().len(), deltas_bytes, snapshot_bytes: stored.snapshot().len() }
    }

    fn bytes(&self) -> usize {
        DOCUMENT_BYTES + DOCUMENT_RATIO * (self.deltas_bytes + self.snapshot_bytes)
    }

    fn outgrown(&self) -> bool {
        self.deltas > DELTAS_MAX || (self.deltas > 1 && self.deltas_bytes > DELTAS_BYTES_MIN + self.snapshot_bytes / 2)
    }
}

impl Texts {
    /// Makes the edits of a text that was read in this transaction; returns them as deltas.
    pub(super) fn edit(
        &mut self,
        conn: &Connection,
        at: TextAt,
        peer: u64,
        text: &Text,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if !self.live.contains_key(&at)
            && let Some(delta) = text.first_delta()
            && is_new(conn, at)?
        {
            append(conn, at, 1, peer, &delta)?;
            return Ok(vec![delta]);
        }
        let live = self.live(conn, at)?;
        let deltas = live.document.edit(peer, text).map_err(|source| failed(at, source))?;
        for delta in &deltas {
            live.add(conn, at, peer, delta)?;
        }
        live.fold_if_outgrown(conn, at)?;
        Ok(deltas)
    }

    /// Takes back what `peer` has done to a text from its step `first` on, as `by`; returns that as deltas, and
    /// the text after them.
    pub(super) fn take_back(
        &mut self,
        conn: &Connection,
        at: TextAt,
        by: u64,
        peer: u64,
        first: u32,
    ) -> Result<(Vec<Vec<u8>>, String), StoreError> {
        let live = self.live(conn, at)?;
        let deltas = live.document.take_back(by, peer, first).map_err(|source| failed(at, source))?;
        for delta in &deltas {
            live.add(conn, at, by, delta)?;
        }
        let text = live.document.plain();
        live.fold_if_outgrown(conn, at)?;
        Ok((deltas, text))
    }

    /// The number of a peer's next step in a text.
    pub(super) fn next_step(conn: &Connection, at: TextAt, peer: u64) -> Result<u32, StoreError> {
        let document = stored(conn, at)?.0.load().map_err(|source| failed(at, source))?;
        Ok(document.next_step(peer))
    }

    /// Merges what an op says of a text that another transaction made; `None` if that is nothing. An empty payload
    /// says that there is a text.
    pub(super) fn merge(
        &mut self,
        conn: &Connection,
        at: TextAt,
        peer: u64,
        payload: &[u8],
    ) -> Result<Option<Merged>, StoreError> {
        if payload.is_empty() {
            return Ok(Some(Merged::Same));
        }
        if let Err(error) = check_delta(payload) {
            tracing::warn!(table = at.table, row = %at.row, %error, "what an op says of a text has no effect");
            return Ok(None);
        }
        if !self.live.contains_key(&at)
            && let Some(text) = first_text(payload)
            && is_new(conn, at)?
        {
            append(conn, at, 1, peer, payload)?;
            return Ok(Some(Merged::Begun(text)));
        }
        let live = self.live(conn, at)?;
        match live.document.merge(peer, payload) {
            Ok(Fate::Known) => {}
            Ok(fate @ (Fate::Merged | Fate::Waits)) => {
                live.add(conn, at, peer, payload)?;
                live.fold_if_outgrown(conn, at)?;
                if fate == Fate::Waits {
                    self.wanting.insert(at);
                }
            }
            Err(error) => {
                tracing::warn!(table = at.table, row = %at.row, %error, "what an op says of a text has no effect");
                if matches!(error, TextError::Damaged(_)) {
                    self.live.remove(&at);
                }
            }
        }
        Ok(Some(Merged::Edited))
    }

    /// Takes note that deltas of a text may wait for what doesn't count.
    pub(super) fn want(&mut self, at: TextAt) {
        self.wanting.insert(at);
    }

    /// The texts that were taken note of.
    pub(super) fn take_wanting(&mut self) -> Vec<TextAt> {
        self.wanting.drain().collect()
    }

    /// The steps that deltas of a text wait for, each with its peer.
    pub(super) fn needs(&mut self, conn: &Connection, at: TextAt) -> Result<Vec<(u64, u32)>, StoreError> {
        Ok(self.live(conn, at)?.document.needs())
    }

    /// The text as its document has it.
    pub(super) fn plain(&mut self, conn: &Connection, at: TextAt) -> Result<String, StoreError> {
        Ok(self.live(conn, at)?.document.plain())
    }

    /// The document, in use from now on.
    fn live(&mut self, conn: &Connection, at: TextAt) -> Result<&mut Live, StoreError> {
        self.uses += 1;
        // What is done with it may be rolled back.
        self.uncommitted = true;
        if !self.live.contains_key(&at) {
            let (stored, last) = stored(conn, at)?;
            let parts = Parts::of(&stored, last);
            self.make_room(parts.bytes());
            let document = stored.load().map_err(|source| failed(at, source))?;
            self.live.insert(at, Live { document, parts, used: 0 });
        }
        let live = self.live.get_mut(&at).ok_or_else(|| StoreError::Corrupt { what: "a text is missing".into() })?;
        live.used = self.uses;
        Ok(live)
    }

    fn make_room(&mut self, bytes: usize) {
        let mut held: usize = self.live.values().map(|live| live.parts.bytes()).sum();
        while held + bytes > LIVE_BYTES_MAX
            && let Some((&oldest, live)) = self.live.iter().min_by_key(|(_, live)| live.used)
        {
            held -= live.parts.bytes();
            self.live.remove(&oldest);
        }
    }

    /// The text as it is stored, to edit; `plain` is what its column has.
    pub(super) fn text(conn: &Connection, at: TextAt, plain: String) -> Result<Text, StoreError> {
        Ok(Text::stored(plain, Some(Arc::new(stored(conn, at)?.0))))
    }

    /// Whether a text was edited from what is stored.
    pub(super) fn is_current(conn: &Connection, at: TextAt, text: &Text) -> Result<bool, StoreError> {
        Ok(text.descends_from(&stored(conn, at)?.0))
    }

    /// Forgets a text.
    pub(super) fn forget(&mut self, conn: &Connection, at: TextAt) -> Result<(), StoreError> {
        self.live.remove(&at);
        remove(conn, at)
    }

    /// Forgets all texts of a row.
    pub(super) fn forget_row(&mut self, conn: &Connection, table: &str, row: Uuid) -> Result<(), StoreError> {
        self.live.retain(|at, _| at.table != table || at.row != row);
        conn.prepare_cached("DELETE FROM cfost_texts WHERE table_name = ?1 AND row = ?2")?
            .execute((table, row.as_bytes()))?;
        generations::forget(conn, table, &row)
    }

    /// A transaction begins: what one before it did to documents, and didn't commit, is forgotten.
    pub(super) fn begin(&mut self) {
        if self.uncommitted {
            self.live.clear();
            self.uncommitted = false;
        }
    }

    /// The transaction is committed.
    pub(super) fn committed(&mut self) {
        self.uncommitted = false;
    }

    /// Part of the transaction was undone.
    pub(super) fn undone(&mut self) {
        self.live.clear();
    }
}

impl Live {
    fn add(&mut self, conn: &Connection, at: TextAt, peer: u64, delta: &[u8]) -> Result<(), StoreError> {
        self.parts.last += 1;
        self.parts.deltas += 1;
        self.parts.deltas_bytes += delta.len();
        append(conn, at, self.parts.last, peer, delta)
    }

    fn fold_if_outgrown(&mut self, conn: &Connection, at: TextAt) -> Result<(), StoreError> {
        if !self.parts.outgrown() {
            return Ok(());
        }
        let stored = self.document.save().map_err(|source| failed(at, source))?;
        remove(conn, at)?;
        append(conn, at, 0, 0, stored.snapshot())?;
        for (n, (peer, delta)) in (1..).zip(stored.deltas()) {
            append(conn, at, n, *peer, delta)?;
        }
        self.parts = Parts::of(&stored, stored.deltas().len() as i64);
        Ok(())
    }
}

fn failed(at: TextAt, source: TextError) -> StoreError {
    StoreError::Text { table: at.table, column: at.column, id: at.row, source }
}

fn is_new(conn: &Connection, at: TextAt) -> Result<bool, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT 1 FROM cfost_texts WHERE table_name = ?1 AND row = ?2 AND column_name = ?3 \
         AND part BETWEEN ?4 AND ?5 LIMIT 1",
    )?;
    let (first, last) = at.parts();
    Ok(!select.exists((at.table, at.row.as_bytes(), at.column, first, last))?)
}

fn append(conn: &Connection, at: TextAt, part: i64, peer: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO cfost_texts (table_name, row, column_name, part, peer, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    // A peer has 63 bits.
    insert.execute((at.table, at.row.as_bytes(), at.column, at.parts().0 + part, peer as i64, bytes))?;
    Ok(())
}

fn remove(conn: &Connection, at: TextAt) -> Result<(), StoreError> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM cfost_texts WHERE table_name = ?1 AND row = ?2 AND column_name = ?3 AND part BETWEEN ?4 AND ?5",
    )?;
    let (first, last) = at.parts();
    delete.execute((at.table, at.row.as_bytes(), at.column, first, last))?;
    Ok(())
}

/// What is stored of a text, and the number of its last part.
fn stored(conn: &Connection, at: TextAt) -> Result<(Stored, i64), StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT part, peer, bytes FROM cfost_texts WHERE table_name = ?1 AND row = ?2 AND column_name = ?3 \
         AND part BETWEEN ?4 AND ?5 ORDER BY part",
    )?;
    let (first, end) = at.parts();
    let mut rows = select.query((at.table, at.row.as_bytes(), at.column, first, end))?;
    let (mut snapshot, mut deltas, mut last) = (Vec::new(), Vec::new(), 0);
    while let Some(row) = rows.next()? {
        last = row.get::<_, i64>(0)? - first;
        if last == 0 {
            snapshot = row.get(2)?;
        } else {
            deltas.push((row.get::<_, i64>(1)? as u64, row.get(2)?));
        }
    }
    Ok((Stored::new(snapshot, deltas), last))
}

/// Whether a model has texts.
pub(crate) fn has_texts(schema: &ModelSchema) -> bool {
    schema.columns.iter().any(|column| column.rule == MergeRule::Text)
}

/// What a row's texts have beside their plain text, in the order of the columns.
pub(crate) fn read_texts(
    conn: &Connection,
    schema: &'static ModelSchema,
    row: &Uuid,
) -> Result<Vec<TextValue<'static>>, StoreError> {
    let texts = schema.columns.iter().filter(|column| column.rule == MergeRule::Text);
    texts
        .map(|column| {
            let (at, _) = generations::shown(conn, TextAt::of_column(schema, column, *row))?;
            Ok(TextValue::Stored(Arc::new(stored(conn, at)?.0)))
        })
        .collect()
}

/// The texts of a row with their marks, and no history.
pub(super) fn copies(
    conn: &Connection,
    schema: &'static ModelSchema,
    row: &Uuid,
    values: &[Value],
) -> Result<Vec<Text>, StoreError> {
    let texts = schema.columns.iter().zip(values).enumerate();
    texts
        .filter_map(|(n, (column, value))| match (column.rule, value) {
            (MergeRule::Text, Value::Text(plain)) => Some((n, plain)),
            _ => None,
        })
        .map(|(n, plain)| {
            let (at, _) = generations::shown(conn, TextAt::new(schema, n, *row))?;
            Ok(Text::copy_of(&Texts::text(conn, at, plain.clone())?))
        })
        .collect()
}

/// Forgets the documents of a table.
pub(super) fn clear(conn: &Connection, table: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_texts WHERE table_name = ?1")?.execute([table])?;
    generations::clear(conn, table)
}

/// The texts of a table whose documents differ between two databases, by what an app sees of them. One
/// that cannot be read differs from every other.
pub(super) fn differing(
    ours: &Connection,
    theirs: &Connection,
    schema: &'static ModelSchema,
) -> Result<Vec<Uuid>, StoreError> {
    let mut differing = Vec::new();
    for column in schema.columns.iter().filter(|column| column.rule == MergeRule::Text) {
        let mut rows = rows_with_text(ours, schema.table, column.name)?;
        rows.extend(rows_with_text(theirs, schema.table, column.name)?);
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            let at = TextAt::of_column(schema, column, row);
            let seen = |conn| -> Result<_, StoreError> {
                let mut seen = BTreeMap::new();
                for (held, at) in generations::kept(conn, at)? {
                    let Ok(document) = stored(conn, at)?.0.load() else { return Ok(None) };
                    seen.insert(held.generation, (document.plain(), document.marks(), document.steps()));
                }
                Ok(Some(seen))
            };
            let (ours, theirs) = (seen(ours)?, seen(theirs)?);
            if ours != theirs || ours.is_none() {
                differing.push(row);
            }
        }
    }
    Ok(differing)
}

fn rows_with_text(conn: &Connection, table: &str, column: &str) -> Result<Vec<Uuid>, StoreError> {
    let mut select =
        conn.prepare_cached("SELECT DISTINCT row FROM cfost_texts WHERE table_name = ?1 AND column_name = ?2")?;
    let rows = select.query_map((table, column), |row| row.get(0).map(Uuid::from_bytes))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
