//! A local transaction: rows written at once, ops collected, and one change made of them at the end.

use rusqlite::Connection;
use uuid::Uuid;

use super::edits::{self, CollectionEdits, Mint, Part, Scope};
use super::elements::{Edited, read_elements};
use super::forms::OpColumn;
use super::history::Index;
use super::layout::SEQ_MAX;
use super::ledger::Own;
use super::rows::{Place, Rows};
use super::state::State;
use super::table::Table;
#[cfg(feature = "text")]
use super::texts::read_texts;
use super::touched::Touched;
use super::{StoreError, changes};
use crate::clock::Timestamp;
use crate::crdt::{Effect, Life, Row, RowOp, Stamp, Writer};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::oplog::limits::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, DEPS_MAX, ELEMENTS_MAX};
use crate::oplog::{
    ChangeFlags, Dep, Mark as SegmentMark, OpKind, OpValue, RuleTag, Sealer, SegmentWriter, Shape, SpaceId,
};
#[cfg(feature = "text")]
use crate::schema::TextValue;
use crate::schema::{ColumnSchema, Element, MergeRule, ModelSchema, RowValues, Value, ValueRef};

/// The most bytes of ops that a transaction keeps until it commits.
const TRANSACTION_BYTES_MAX: usize = 256 << 20;

/// The most bytes of ops in one change, before compression: below what a change may have, so that
/// its header and its seals fit.
const CHUNK_BYTES_MAX: usize = CHANGE_BYTES_MAX - (32 << 10);

/// An upper bound for what an op takes beside its values, and each value beside its content.
const OP_BYTES: usize = 24;
const VALUE_BYTES: usize = 11;

/// The bytes of elements that one op carries, unless one element alone takes more: a collection that is
/// larger is written in several ops.
const OP_ELEMENTS_BYTES: usize = 64 << 10;

/// A writing transaction.
pub(crate) struct WriteTx<'c> {
    pub(super) conn: &'c Connection,
    pub(super) tables: &'c [Table],
    pub(super) state: &'c mut State,
    pub(super) host: &'c Host,
    pub(super) rows: Rows<'c>,
    done: Vec<Chunk>,
    pub(super) chunk: Chunk,
    done_bytes: usize,
    /// A write failed between its row and its op: the two no longer agree.
    pub(super) broken: bool,
}

/// The ops that become one change.
pub(super) struct Chunk {
    base: Timestamp,
    segments: Vec<Segment>,
    pub(super) ops: u32,
}

/// The ops of one table in a chunk.
pub(super) struct Segment {
    table: usize,
    pub(super) writer: SegmentWriter,
    /// Looking this one up again for each row would cost as much as writing it.
    pub(super) create: Option<Shape>,
}

/// A visible row as it is stored.
pub(crate) struct Stored {
    pub(crate) row: Row<Value>,
    pub(crate) collections: Vec<Vec<Element<'static>>>,
    #[cfg(feature = "text")]
    pub(crate) texts: Vec<TextValue<'static>>,
}

/// What a transaction has come to, once it is committed.
pub(super) struct Finished {
    pub(super) newest: Timestamp,
    pub(super) touched: Touched,
}

/// Where a savepoint began.
pub(crate) struct Mark {
    done: usize,
    done_bytes: usize,
    ops: u32,
    segments: Vec<SegmentMark>,
    broken: bool,
}

impl Chunk {
    fn new(base: Timestamp) -> Self {
        Self { base, segments: Vec::new(), ops: 0 }
    }

    fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.writer.bytes()).sum()
    }

    /// The first timestamp after those of the chunk's ops.
    fn end(&self) -> Timestamp {
        let ops = self.segments.iter().map(|segment| segment.writer.ops()).max().unwrap_or(0);
        self.base.plus(u64::from(ops))
    }
}

impl<'c> WriteTx<'c> {
    /// Begins on a connection that is in an SQL transaction.
    pub(super) fn new(conn: &'c Connection, tables: &'c [Table], state: &'c mut State, host: &'c Host) -> Self {
        let base = state.hlc.now(host.now_ms());
        let rows = Rows::new(conn, tables);
        let (done, chunk) = (Vec::new(), Chunk::new(base));
        Self { conn, tables, state, host, rows, done, chunk, done_bytes: 0, broken: false }
    }

    pub(crate) fn tables(&self) -> &'c [Table] {
        self.tables
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.conn
    }

    /// Runs one write, which may take several ops: if it fails after the first of them, the transaction
    /// can't be committed any more, even if the app goes on.
    pub(crate) fn whole<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let written = (self.done.len(), self.chunk.ops);
        let result = write(self);
        if result.is_err() && (self.done.len(), self.chunk.ops) != written {
            self.broken = true;
        }
        result
    }

    pub(super) fn effects<'v>(
        &self,
        table: usize,
        kind: OpKind,
        values: impl Iterator<Item = (usize, ValueRef<'v>)>,
    ) -> Vec<(usize, Effect<Value>)> {
        let table = &self.tables[table];
        values.filter_map(|(column, value)| Some((column, table.effect(kind, column, value)?))).collect()
    }

    /// The row with its elements, if it is visible.
    pub(crate) fn load(&mut self, table: usize, id: &Uuid) -> Result<Option<Stored>> {
        let Some(row) = self.rows.visible(table, id)? else { return Ok(None) };
        Ok(Some(Stored {
            row,
            collections: read_elements(self.conn, &self.tables[table], id)?,
            #[cfg(feature = "text")]
            texts: read_texts(self.conn, self.tables[table].schema, id)?,
        }))
    }

    /// Writes the columns and the elements in which `after` differs from `before`; nothing if none does.
    pub(crate) fn update(
        &mut self,
        table: usize,
        id: &Uuid,
        row: Row<Value>,
        before: &(Vec<Value>, Vec<Vec<Element<'_>>>),
        after: &RowValues<'_>,
    ) -> Result<()> {
        let schema = self.tables[table].schema;
        let (before, elements) = before;
        let changed = (0..before.len()).filter(|&column| {
            schema.columns[column].rule != MergeRule::Text && before[column].as_ref() != after.columns[column]
        });
        let changed: Vec<usize> = changed.collect();
        let planned = self.plan(table, elements, &after.collections, Scope::Difference)?;
        if changed.is_empty() && planned.is_empty() {
            #[cfg(feature = "text")]
            self.update_texts(table, id, Some(row), before, after)?;
            return Ok(());
        }
        if let Some(&kept) = changed.iter().find(|&&column| self.tables[table].kept[column]) {
            let (model, field) = (schema.model, schema.columns[kept].field);
            return Err(Error::Immutable { model, field, id: *id });
        }
        self.check_parents(table, *id, changed.iter().map(|&column| (column, &after.columns[column])))?;
        let column = |&column: &usize| written(schema.columns[column].rule, &before[column], &after.columns[column]);
        let older = self.tables[table].forms.of_update(&changed, &after.columns);
        let values: Vec<_> = changed.iter().map(column).chain(older.values).collect();
        let inline = inline(&planned);
        if !inline.is_empty() || planned.is_empty() {
            self.write_update(table, id, Some(row), (&changed, &older.columns, &values), &inline)?;
        } else {
            if !changed.is_empty() {
                self.write_update(table, id, Some(row), (&changed, &older.columns, &values), &[])?;
            }
            self.write_parts(table, id, &planned)?;
        }
        #[cfg(feature = "text")]
        self.update_texts(table, id, None, before, after)?;
        Ok(())
    }

    /// Writes elements as one op after the other, each as large as ops should be.
    pub(super) fn write_parts(&mut self, table: usize, id: &Uuid, planned: &[CollectionEdits<'_>]) -> Result<()> {
        for part in planned.iter().flat_map(|edits| edits.parts(OP_ELEMENTS_BYTES)) {
            self.write_update(table, id, None, (&[], &[], &[]), &[part])?;
        }
        Ok(())
    }

    /// Writes an update of a visible row, which has been loaded if it is given. The values are those of the changed
    /// columns, then those of the older forms that go with them.
    fn write_update(
        &mut self,
        table: usize,
        id: &Uuid,
        row: Option<Row<Value>>,
        (changed, older, values): (&[usize], &[OpColumn], &[ValueRef<'_>]),
        parts: &[Part<'_, '_>],
    ) -> Result<()> {
        let schema = self.tables[table].schema;
        let at = self.next_at(table, values, parts)?;
        let effects = self.effects(table, OpKind::Update, changed.iter().copied().zip(values.iter().cloned()));
        let stamp = self.stamp(at);
        let op = RowOp { stamp, life: Life::Alive, effects };
        self.broken = true;
        let loaded = match row {
            Some(row) => (Place::Visible, row),
            None => self.rows.load(table, id, &self.state.hidden)?,
        };
        let shown = self.rows.merge_into(table, id, loaded, op, &self.state.registry, &mut self.state.hidden)?;
        for part in parts {
            self.merge_part(table, id, part, shown, stamp)?;
        }
        let columns = changed.iter().map(|&column| tagged(&schema.columns[column]));
        let columns = columns.chain(older.iter().copied());
        let columns: Vec<_> = columns.chain(parts.iter().map(of_part(schema))).collect();
        let payloads: Vec<_> = parts.iter().map(Part::payload).collect();
        let composites = payloads.iter().map(|payload| OpValue::Composite(payload));
        let segment = self.segment(table);
        let shape = segment.writer.shape(OpKind::Update, &columns)?;
        segment.writer.push_values(
            shape,
            id,
            values.iter().map(ValueRef::borrowed).map(OpValue::Plain).chain(composites),
        )?;
        self.chunk.ops += 1;
        self.broken = false;
        Ok(())
    }

    /// What has to be written so that a row's elements become `after`.
    pub(super) fn plan<'v>(
        &mut self,
        table: usize,
        before: &'v [Vec<Element<'_>>],
        after: &'v [Vec<Element<'_>>],
        scope: Scope,
    ) -> Result<Vec<CollectionEdits<'v>>> {
        if before.iter().chain(after).all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let mut names = Mint::new(self.chunk.end(), self.host);
        edits::plan(&self.tables[table], before, after, scope, &mut names)
    }

    pub(super) fn merge_part(
        &mut self,
        table: usize,
        row: &Uuid,
        part: &Part<'_, '_>,
        shown: bool,
        stamp: Stamp,
    ) -> Result<()> {
        let edited = Edited { table, collection: part.of.collection, row, shown, stamp };
        for (edit, key) in part.of.encoded.elements(part.range.clone()) {
            let edit = &part.of.edits[edit];
            self.rows.merge_element(edited, edit, key, &self.state.registry, &mut self.state.hidden)?;
        }
        Ok(())
    }

    /// Refuses a reference to a row that isn't there.
    pub(super) fn check_parents<'v>(
        &self,
        table: usize,
        id: Uuid,
        values: impl Iterator<Item = (usize, &'v ValueRef<'v>)> + Clone,
    ) -> Result<()> {
        let Some((column, id)) = self.rows.missing_parent((table, id), values)? else { return Ok(()) };
        let (schema, column) = (self.tables[table].schema, &self.tables[table].schema.columns[column]);
        let table = column.reference.map_or(schema.table, |reference| reference.table);
        Err(Error::MissingParent { model: schema.model, field: column.field, table, id })
    }

    /// Deletes a row, and those that are deleted together with it; says whether it was there.
    pub(crate) fn delete(&mut self, table: usize, id: &Uuid) -> Result<bool> {
        let Some(row) = self.rows.visible(table, id)? else { return Ok(false) };
        let others = self.rows.cascade((table, *id), &self.state.hidden)?;
        if others.is_empty() {
            self.delete_loaded(table, id, (Place::Visible, row))?;
            return Ok(true);
        }
        for (table, id) in others.into_iter().chain([(table, *id)]) {
            // Deleting one has hidden those that lead to it.
            let loaded = self.rows.load(table, &id, &self.state.hidden)?;
            self.delete_loaded(table, &id, loaded)?;
        }
        Ok(true)
    }

    fn delete_loaded(&mut self, table: usize, id: &Uuid, loaded: (Place, Row<Value>)) -> Result<()> {
        let at = self.next_at(table, &[], &[])?;
        let op = RowOp { stamp: self.stamp(at), life: self.tables[table].death(), effects: Vec::new() };
        self.broken = true;
        self.rows.merge_into(table, id, loaded, op, &self.state.registry, &mut self.state.hidden)?;
        let segment = self.segment(table);
        let shape = segment.writer.shape(OpKind::Delete, &[])?;
        segment.writer.push(shape, id, std::iter::empty())?;
        self.chunk.ops += 1;
        self.broken = false;
        Ok(())
    }

    /// What the database knows of itself.
    pub(super) fn state(&self) -> &State {
        self.state
    }

    /// The row as far as any op touched it.
    pub(super) fn load_anywhere(&mut self, table: usize, id: &Uuid) -> Result<(Place, Row<Value>)> {
        Ok(self.rows.load(table, id, &self.state.hidden)?)
    }

    /// The rows that are deleted together with a row.
    pub(super) fn cascade(&mut self, table: usize, id: &Uuid) -> Result<Vec<(usize, Uuid)>> {
        Ok(self.rows.cascade((table, *id), &self.state.hidden)?)
    }

    /// Deletes a row, also one that is alive and not shown.
    pub(super) fn delete_anywhere(&mut self, table: usize, id: &Uuid) -> Result<()> {
        if !self.delete(table, id)? {
            let loaded = self.rows.load(table, id, &self.state.hidden)?;
            if loaded.1.life == Life::Alive {
                self.delete_loaded(table, id, loaded)?;
            }
        }
        Ok(())
    }

    /// Brings a deleted row back with all the cells that it has.
    pub(super) fn touch(&mut self, table: usize, id: &Uuid) -> Result<()> {
        let at = self.next_at(table, &[], &[])?;
        let op = RowOp { stamp: self.stamp(at), life: Life::Alive, effects: Vec::new() };
        self.broken = true;
        self.rows.merge(table, id, op, &self.state.registry, &mut self.state.hidden)?;
        let segment = self.segment(table);
        let shape = segment.writer.shape(OpKind::Update, &[])?;
        segment.writer.push(shape, id, std::iter::empty())?;
        self.chunk.ops += 1;
        self.broken = false;
        Ok(())
    }

    /// Runs `f`; if it fails, undoes what it wrote.
    pub(crate) fn savepoint(&mut self) -> Result<Mark> {
        self.conn.prepare_cached("SAVEPOINT cfost")?.execute([])?;
        let segments = self.chunk.segments.iter().map(|segment| segment.writer.mark()).collect();
        let (done, ops) = (self.done.len(), self.chunk.ops);
        Ok(Mark { done, done_bytes: self.done_bytes, ops, segments, broken: self.broken })
    }

    /// Keeps what was written since the savepoint.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.conn.prepare_cached("RELEASE cfost")?.execute([])?;
        Ok(())
    }

    /// Undoes what was written since the savepoint.
    pub(crate) fn roll_back_to(&mut self, mark: &Mark) -> Result<()> {
        self.broken = true;
        self.conn.prepare_cached("ROLLBACK TO cfost")?.execute([])?;
        #[cfg(feature = "text")]
        self.state.texts.undone();
        self.conn.prepare_cached("RELEASE cfost")?.execute([])?;
        // Timestamps that the undone ops had are used again: nobody has seen them.
        if self.done.len() > mark.done {
            self.done.truncate(mark.done + 1);
            if let Some(chunk) = self.done.pop() {
                self.chunk = chunk;
            }
        }
        self.done_bytes = mark.done_bytes;
        self.chunk.ops = mark.ops;
        self.chunk.segments.truncate(mark.segments.len());
        for (segment, &mark) in self.chunk.segments.iter_mut().zip(&mark.segments) {
            segment.writer.truncate(mark);
        }
        self.broken = mark.broken;
        Ok(())
    }

    /// Chains, seals and stores what was written. The caller commits and then hands the result to
    /// [`State::committed`]; if either fails, to [`State::invalidate`].
    ///
    /// Returns `None` if there is nothing to commit.
    pub(super) fn finish(mut self, sealer: &mut Sealer) -> Result<Option<Finished>> {
        self.check_intact()?;
        if self.chunk.ops == 0 && self.done.is_empty() {
            return Ok(None);
        }
        let end = self.chunk.end();
        self.done.push(self.chunk);
        let state = self.state;
        let own = *state.own.home();
        let (number, mut chain) = (own.number, own.chain);
        let mut deps = if state.uncited.contains(&chain.space) { uncited(state, chain.space) } else { Vec::new() };
        let last = self.done.len() - 1;
        for (n, chunk) in self.done.iter().enumerate() {
            let flags = if n == last { ChangeFlags::NONE } else { ChangeFlags::CONTINUES };
            let written = chunk.segments.iter().filter(|segment| segment.writer.ops() > 0);
            let payloads: Vec<&[u8]> = written.map(|segment| segment.writer.payload()).collect();
            let epoch = state.secrets.current_epoch()?;
            let previous = chain.head;
            let (packed, _) = sealer.seal(&mut chain, flags, epoch, &self.host.random(), &deps, &payloads)?;
            if chain.head.seq > SEQ_MAX {
                return Err(StoreError::Corrupt { what: "this device's log is full".into() }.into());
            }
            changes::insert(self.conn, number, chain.head.seq, &packed)?;
            let mut index = Index::new(self.conn);
            for segment in chunk.segments.iter().filter(|segment| segment.writer.ops() > 0) {
                let schema = self.tables[segment.table].schema;
                index.note_segment(schema, segment.writer.payload(), number, previous)?;
            }
            cite(self.conn, state, chain.space, &deps)?;
            deps.clear();
        }
        let newest = Timestamp::from_u64(end.as_u64() - 1);
        if chain.head.seq / CHECKPOINT_CHANGES > own.chain.head.seq / CHECKPOINT_CHANGES {
            state.registry.checkpoint(self.conn, number, chain.head, newest)?;
        }
        if let Some(log) = state.registry.get_mut(number) {
            (log.head, log.applied_seq, log.last_at) = (chain.head, chain.head.seq, newest);
        }
        state.own.put(Own { chain, ..own });
        Ok(Some(Finished { newest, touched: self.rows.touched }))
    }

    /// The timestamp of the next op of a table, which takes these values and elements.
    pub(super) fn next_at(
        &mut self,
        table: usize,
        values: &[ValueRef<'_>],
        parts: &[Part<'_, '_>],
    ) -> Result<Timestamp> {
        self.check_intact()?;
        let content = values.iter().map(content_bytes).chain(parts.iter().map(Part::bytes)).sum::<usize>();
        let bytes = OP_BYTES + (values.len() + parts.len()) * VALUE_BYTES + content;
        if bytes > CHUNK_BYTES_MAX / 2 {
            let table = self.tables[table].schema.table;
            return Err(StoreError::RowTooLarge { table, bytes, bytes_max: CHUNK_BYTES_MAX / 2 }.into());
        }
        let held = self.chunk.bytes();
        if self.chunk.ops == CHANGE_OPS_MAX || held + bytes + self.tables[table].names_bytes > CHUNK_BYTES_MAX {
            self.done_bytes += held;
            if self.done_bytes > TRANSACTION_BYTES_MAX {
                return Err(StoreError::TransactionTooLarge { bytes_max: TRANSACTION_BYTES_MAX }.into());
            }
            let next = Chunk::new(self.chunk.end());
            self.done.push(std::mem::replace(&mut self.chunk, next));
        }
        let ops = self.segment(table).writer.ops();
        Ok(self.chunk.base.plus(u64::from(ops)))
    }

    /// Whether what was written so far can be committed. On some failures (a full disk) SQLite rolls the
    /// whole transaction back by itself: what is written after that would not be part of one.
    fn check_intact(&self) -> Result<()> {
        if self.broken || self.conn.is_autocommit() { Err(Error::BrokenTransaction) } else { Ok(()) }
    }

    pub(super) fn stamp(&self, at: Timestamp) -> Stamp {
        Stamp { at, writer: Writer(self.state.own.home().number) }
    }

    pub(super) fn segment(&mut self, table: usize) -> &mut Segment {
        let segments = &mut self.chunk.segments;
        let n = segments.iter().position(|segment| segment.table == table).unwrap_or_else(|| {
            let schema = self.tables[table].schema;
            let writer = SegmentWriter::new(schema.table, schema.version, self.chunk.base);
            segments.push(Segment { table, writer, create: None });
            segments.len() - 1
        });
        &mut segments[n]
    }
}

/// How many changes the own log may be ahead of its checkpoint in `cfost_logs`: what opening reads.
const CHECKPOINT_CHANGES: u64 = 64;

/// The most heads that one change names, so that they fit beside its ops; the next one names the rest.
const CITED_MAX: usize = 256;
const _: () = assert!(CITED_MAX <= DEPS_MAX && CITED_MAX * 60 + CHUNK_BYTES_MAX + (8 << 10) < CHANGE_BYTES_MAX);

/// The heads of other logs that this device has seen and not yet named in its own.
fn uncited(state: &State, space: SpaceId) -> Vec<Dep> {
    let logs = state.registry.iter().filter(|log| log.space == space && !state.own.writes_to(log));
    let mut deps: Vec<Dep> = logs
        .filter(|log| log.cited_seq < log.applied_seq && log.applied_seq == log.head.seq)
        .filter(|log| state.unsettled(log.number).is_none())
        .take(CITED_MAX)
        .map(|log| Dep { log: log.id, head: log.head })
        .collect();
    deps.sort_by_key(|dep| dep.log);
    deps
}

fn cite(conn: &Connection, state: &mut State, space: SpaceId, deps: &[Dep]) -> Result<()> {
    for dep in deps {
        if let Some(number) = state.registry.number(dep.log) {
            if let Some(log) = state.registry.get_mut(number) {
                log.cited_seq = dep.head.seq;
            }
            state.registry.save(conn, number)?;
        }
    }
    if !deps.is_empty() && deps.len() < CITED_MAX {
        state.uncited.remove(&space);
    }
    Ok(())
}

/// All edits, if one op can carry them; else none.
pub(super) fn inline<'p, 'v>(planned: &'p [CollectionEdits<'v>]) -> Vec<Part<'p, 'v>> {
    let parts: Vec<_> = planned.iter().map(CollectionEdits::whole).collect();
    let fit = parts.iter().map(Part::bytes).sum::<usize>() <= OP_ELEMENTS_BYTES
        && parts.iter().all(|part| part.range.len() <= ELEMENTS_MAX);
    if fit { parts } else { Vec::new() }
}

pub(super) fn of_part<'s>(schema: &'static ModelSchema) -> impl Fn(&Part<'_, '_>) -> (RuleTag, &'s str) {
    |part| {
        let collection = &schema.collections[part.of.collection];
        (rule_tag(collection.rule), collection.op_name)
    }
}

pub(super) fn tagged(column: &'static ColumnSchema) -> OpColumn {
    (rule_tag(column.rule), column.op_name)
}

pub(super) fn rule_tag(rule: MergeRule) -> RuleTag {
    match rule {
        MergeRule::Lww => RuleTag::LWW,
        MergeRule::Counter => RuleTag::COUNTER,
        MergeRule::Set => RuleTag::SET,
        MergeRule::Map => RuleTag::MAP,
        MergeRule::List => RuleTag::LIST,
        MergeRule::Text => RuleTag::TEXT,
    }
}

/// What an op carries for a column that goes from one value to another: a counter's delta, else the value.
pub(super) fn written<'v>(rule: MergeRule, before: &Value, after: &ValueRef<'v>) -> ValueRef<'v> {
    match (rule, before, after) {
        (MergeRule::Counter, Value::Integer(before), ValueRef::Integer(after)) => {
            ValueRef::Integer(after.wrapping_sub(*before))
        }
        (_, _, after) => after.clone(),
    }
}

fn content_bytes(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(text) => text.len(),
        ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}
