//! Texts of columns that were values in earlier versions: each write of a value began one, and edits name theirs.
//!
//! `cfost_generations` has those that are kept of each text, with the last write to each, and marks the one that is
//! shown: see [`Generations`]. A base that no longer shows is not kept; should an edit of it come, the oplog has it.

use std::ops::ControlFlow;

use rusqlite::Connection;
use uuid::Uuid;

use super::apply::{Applier, Context, plain};
use super::changes;
use super::forms::{Arrives, Target};
use super::layout::SEQ_MAX;
use super::registry::LogRow;
use super::table::Table;
use super::texts::{Merged, TextAt, Texts};
use super::{Registry, StoreError};
use crate::clock::Timestamp;
use crate::crdt::text::{Generation, Generations, Held, TextError, check_delta, peer_of};
use crate::crdt::{Effect, Stamp, Writer};
use crate::oplog::{Op, Opener, SegmentReader, SpaceId};
use crate::schema::{Change, ColumnSchema, MergeRule, ModelSchema, Value};

/// Whether a column is a text that was a value in earlier versions.
pub(super) fn has_generations(column: &ColumnSchema) -> bool {
    column.rule == MergeRule::Text && column.past.iter().any(|past| matches!(past.change, Change::Rule { .. }))
}

/// The text that a column shows, and its generation.
pub(super) fn shown(conn: &Connection, at: TextAt) -> Result<(TextAt, Option<Generation>), StoreError> {
    if !at.has_generations {
        return Ok((at, None));
    }
    let mut select = conn.prepare_cached(
        "SELECT number, name FROM cfost_generations \
         WHERE table_name = ?1 AND row = ?2 AND column_name = ?3 AND shown",
    )?;
    let mut rows = select.query((at.table, at.row.as_bytes(), at.op_name))?;
    match rows.next()? {
        Some(row) => Ok((at.of(row.get(0)?), name(&row.get::<_, Vec<u8>>(1)?)?)),
        None => Ok((at, None)),
    }
}

/// All generations that are kept of a text, each with the text that it is.
pub(super) fn kept(conn: &Connection, at: TextAt) -> Result<Vec<(Held, TextAt)>, StoreError> {
    if !at.has_generations {
        let held = Held { number: 0, generation: None, stamp: Stamp::NONE, begun: true, edited: false };
        return Ok(vec![(held, at)]);
    }
    Ok(read(conn, at)?.held().iter().map(|held| (*held, at.of(held.number))).collect())
}

/// An edit of this device with this stamp.
pub(super) fn note_edit(
    conn: &Connection,
    texts: &mut Texts,
    at: TextAt,
    (generation, stamp): (Option<Generation>, Stamp),
    writers: &Registry,
) -> Result<(), StoreError> {
    if !at.has_generations {
        return Ok(());
    }
    let before = read(conn, at)?;
    let mut after = before.clone();
    after.edit(generation, stamp, writers);
    save(conn, texts, at, &before, after, writers)
}

/// Forgets the generations of a table.
pub(super) fn clear(conn: &Connection, table: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_generations WHERE table_name = ?1")?.execute([table])?;
    Ok(())
}

/// Forgets the generations of a row.
pub(super) fn forget(conn: &Connection, table: &str, row: &Uuid) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_generations WHERE table_name = ?1 AND row = ?2")?
        .execute((table, row.as_bytes()))?;
    Ok(())
}

/// The generations of a table, a row for each of its rows: to compare two databases. Their numbers depend on the order
/// in which they came.
pub(super) fn dump_sql(schema: &ModelSchema) -> String {
    format!(
        "SELECT row, group_concat(column_name || hex(name) || ' ' || at || ' ' || writer || ' ' || begun || edited || \
         shown, ',' ORDER BY column_name, name) \
         FROM cfost_generations WHERE table_name = '{}' GROUP BY row ORDER BY row",
        schema.table.replace('\'', "''")
    )
}

fn name(bytes: &[u8]) -> Result<Option<Generation>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let generation = bytes.try_into().ok().and_then(|bytes| Generation::from_bytes(bytes).ok());
    generation.map(Some).ok_or_else(|| StoreError::Corrupt { what: "the name of a text is damaged".into() })
}

fn read(conn: &Connection, at: TextAt) -> Result<Generations, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT number, name, at, writer, begun, edited FROM cfost_generations \
         WHERE table_name = ?1 AND row = ?2 AND column_name = ?3 ORDER BY number",
    )?;
    let mut rows = select.query((at.table, at.row.as_bytes(), at.op_name))?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        let stamp = Stamp { at: Timestamp::from_u64(row.get::<_, i64>(2)? as u64), writer: Writer(row.get(3)?) };
        let (number, generation) = (row.get(0)?, name(&row.get::<_, Vec<u8>>(1)?)?);
        held.push(Held { number, generation, stamp, begun: row.get(4)?, edited: row.get(5)? });
    }
    Ok(Generations::new(held))
}

/// Keeps what there is of a text's generations after a write, and forgets what need not be kept.
fn save(
    conn: &Connection,
    texts: &mut Texts,
    at: TextAt,
    before: &Generations,
    mut after: Generations,
    writers: &Registry,
) -> Result<(), StoreError> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM cfost_generations WHERE table_name = ?1 AND row = ?2 AND column_name = ?3 AND number = ?4",
    )?;
    for number in after.let_go(writers) {
        delete.execute((at.table, at.row.as_bytes(), at.op_name, number))?;
        texts.forget(conn, at.of(number))?;
    }
    let was_shown = before.shown(writers).map(|held| held.number);
    let is_shown = after.shown(writers).map(|held| held.number);
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO cfost_generations \
         (table_name, row, column_name, number, name, at, writer, begun, edited, shown) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for held in after.held() {
        let number = Some(held.number);
        if before.held().contains(held) && (number == was_shown) == (number == is_shown) {
            continue;
        }
        let name = held.generation.map_or_else(Vec::new, |generation| generation.to_bytes().to_vec());
        let (written_at, writer) = (held.stamp.at.as_u64() as i64, held.stamp.writer.0);
        let shown = Some(held.number) == is_shown;
        insert.execute((
            at.table,
            at.row.as_bytes(),
            at.op_name,
            held.number,
            name,
            written_at,
            writer,
            held.begun,
            held.edited,
            shown,
        ))?;
    }
    Ok(())
}

/// Puts what a generation begins with into its document.
fn begin(
    conn: &Connection,
    texts: &mut Texts,
    at: TextAt,
    generation: Generation,
    text: &str,
) -> Result<(), StoreError> {
    let failed = |source: TextError| StoreError::Text { table: at.table, column: at.column, id: at.row, source };
    for delta in generation.beginning(text).map_err(failed)? {
        texts.merge(conn, at, generation.peer(), &delta)?;
    }
    Ok(())
}

impl Applier<'_> {
    /// A write of the whole text by an app for which it is a value. Returns what that makes of the column; `None` if
    /// it shows what it did before.
    pub(super) fn begin_generation(
        &mut self,
        (table, column): (usize, usize),
        op: &Op<'_, '_>,
        text: &str,
        stamp: Stamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Effect<Value>>, StoreError> {
        let Some(log) = context.registry.get(stamp.writer.0) else { return Ok(None) };
        let generation = Generation { writer: peer_of(log.edits_as.as_bytes()), at: stamp.at };
        let (conn, at) = (self.rows.conn, TextAt::new(self.rows.tables[table].schema, column, op.row));
        let before = read(conn, at)?;
        let mut after = before.clone();
        let Some(held) = after.begin(generation, stamp, context.registry) else { return Ok(None) };
        begin(conn, context.texts, at.of(held.number), generation, text)?;
        save(conn, context.texts, at, &before, after, context.registry)?;
        let (shown, _) = shown(conn, at)?;
        Ok(Some(Effect::Merged(Some(Value::Text(context.texts.plain(conn, shown)?)))))
    }

    /// Merges an edit, of whatever generation it is; `None` if it has no effect.
    pub(super) fn edit_generation(
        &mut self,
        (table, column): (usize, usize),
        (row, payload): (&Uuid, &[u8]),
        stamp: Stamp,
        context: &mut Context<'_>,
    ) -> Result<Option<Merged>, StoreError> {
        if payload.is_empty() {
            return Ok(Some(Merged::Same));
        }
        let (conn, at) = (self.rows.conn, TextAt::new(self.rows.tables[table].schema, column, *row));
        let Some(log) = context.registry.get(stamp.writer.0) else { return Ok(None) };
        let peer = peer_of(log.edits_as.as_bytes());
        let generation = match check_delta(payload) {
            Ok(generation) => generation,
            Err(error) => {
                tracing::warn!(table = at.table, %row, %error, "what an op says of a text has no effect");
                return Ok(None);
            }
        };
        let before = read(conn, at)?;
        let mut after = before.clone();
        let held = after.edit(generation, stamp, context.registry);
        if let Some(generation) = generation.filter(|_| before.find(generation).is_none())
            && let Some((text, stamp)) = self.base_in_oplog((table, column), (row, log.space), generation, context)?
            && let Some(held) = after.begin(generation, stamp, context.registry)
        {
            begin(conn, context.texts, at.of(held.number), generation, &text)?;
        }
        context.texts.merge(conn, at.of(held.number), peer, payload)?;
        save(conn, context.texts, at, &before, after, context.registry)?;
        Ok(Some(Merged::Edited))
    }

    /// The write that began a generation, from the oplog of the row's space: what it says by now, and its stamp.
    fn base_in_oplog(
        &self,
        (table, column): (usize, usize),
        (row, space): (&Uuid, SpaceId),
        generation: Generation,
        context: &Context<'_>,
    ) -> Result<Option<(String, Stamp)>, StoreError> {
        let began = |log: &&LogRow| log.space == space && peer_of(log.edits_as.as_bytes()) == generation.writer;
        let Some(log) = context.registry.iter().find(began) else { return Ok(None) };
        let (of, mut opener, mut found) = (&self.rows.tables[table], Opener::new(), None);
        changes::walk(self.source, log, context.secrets, log.base(), log.counted_seq.min(SEQ_MAX), |stored| {
            let header = stored.header;
            let Some(epoch) = context.secrets.epoch(header.space(), header.epoch()) else {
                return Ok(ControlFlow::Break(()));
            };
            for (index, sealed) in stored.change.segments.iter().enumerate() {
                let opened = opener.open(epoch, header, index, sealed).and_then(SegmentReader::new);
                // Of what its author wrote wrongly, or a newer app wrote, nothing is shown.
                let Ok(mut segment) = opened else { continue };
                if segment.table() != of.schema.table || segment.base() > generation.at {
                    continue;
                }
                let version = segment.schema_version();
                while let Ok(Some(op)) = segment.next_op() {
                    if op.at == generation.at && op.row == *row {
                        found = base_of(of, column, &op, version);
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let stamp = Stamp { at: generation.at, writer: Writer(log.number) };
        Ok(found.map(|text| (text, stamp)))
    }
}

/// The value that an op writes which a text begins with.
fn base_of(table: &Table, column: usize, op: &Op<'_, '_>, version: u32) -> Option<String> {
    op.columns.iter().zip(op.values).find_map(|(named, value)| {
        let Some(Target::Older(older)) = table.forms.target(named, op.kind, version) else { return None };
        if table.forms.arrives(older) != Some(Arrives::Base(column)) {
            return None;
        }
        match table.forms.convert(older, plain(value)?).ok()?? {
            (_, Value::Text(text)) => Some(text),
            _ => None,
        }
    })
}
