//! What a local transaction writes until it commits: a page for each space, which becomes the changes of that space's
//! log.
//!
//! Nearly every transaction has the home space's page alone, which is there from the beginning. Writing a row of
//! another space turns to that space's page; see [`WriteTx::enter`]. All pages begin at one timestamp, which no other
//! transaction of the device has: by that the changes of several spaces are known as parts of one transaction.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::edits::Part;
use super::founding::Founded;
use super::history::Index;
use super::layout::SEQ_MAX;
use super::ledger::{Own, Slot};
use super::state::State;
use super::table::Table;
use super::touched::Touched;
use super::write::WriteTx;
use super::{StoreError, changes};
use crate::clock::Timestamp;
use crate::crdt::{Stamp, Writer};
use crate::error::{Error, Result};
use crate::host::Host;
#[cfg(feature = "text")]
use crate::oplog::LogId;
use crate::oplog::limits::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, DEPS_MAX};
use crate::oplog::{ChangeFlags, Dep, Mark as SegmentMark, Sealer, SegmentWriter, Shape, SpaceId};
use crate::schema::ValueRef;

/// The most bytes of ops that a transaction keeps until it commits.
const TRANSACTION_BYTES_MAX: usize = 256 << 20;

/// The most bytes of ops in one change, before compression: below what a change may have, so that
/// its header and its seals fit.
const CHUNK_BYTES_MAX: usize = CHANGE_BYTES_MAX - (32 << 10);

/// An upper bound for what an op takes beside its values, and each value beside its content.
const OP_BYTES: usize = 24;
const VALUE_BYTES: usize = 11;

/// How many changes the own log may be ahead of its checkpoint in `cfost_logs`: what opening reads.
const CHECKPOINT_CHANGES: u64 = 64;

/// The most heads that one change names, so that they fit beside its ops; the next one names the rest.
const CITED_MAX: usize = 256;
const _: () = assert!(CITED_MAX <= DEPS_MAX && CITED_MAX * 60 + CHUNK_BYTES_MAX + (8 << 10) < CHANGE_BYTES_MAX);

/// What is written in one space.
pub(super) struct Page {
    slot: Slot,
    space: SpaceId,
    writer: Writer,
    done: Vec<Chunk>,
    chunk: Chunk,
}

/// The ops that become one change.
struct Chunk {
    base: Timestamp,
    segments: Vec<Segment>,
    ops: u32,
}

/// The ops of one table in a chunk.
pub(super) struct Segment {
    table: usize,
    pub(super) writer: SegmentWriter,
    /// Looking this one up again for each row would cost as much as writing it.
    pub(super) create: Option<Shape>,
}

/// What a transaction has beside the page that it writes on.
pub(super) struct Pages {
    /// When every page begins.
    base: Timestamp,
    others: BTreeMap<Slot, Page>,
    /// The bytes of the chunks that are done, of all pages.
    done_bytes: usize,
    /// The logs that were begun, each with the one in the place of which it is.
    begun: Vec<(Own, Option<Own>)>,
    /// The spaces that were founded.
    pub(super) founded: Vec<Founded>,
    /// What the state was read at: it has logs now that the file has once this is committed.
    read_at: Option<i64>,
}

/// What a transaction has come to, once it is committed.
pub(super) struct Finished {
    pub(super) newest: Timestamp,
    pub(super) touched: Touched,
    /// What the state was read at, if it was suspended meanwhile.
    pub(super) read_at: Option<i64>,
}

/// Where a savepoint began.
pub(crate) struct Mark {
    /// The page that was written on is the first.
    pages: Vec<PageMark>,
    done_bytes: usize,
    begun: usize,
    founded: usize,
    broken: bool,
}

/// Where a page was when a savepoint began.
struct PageMark {
    slot: Slot,
    done: usize,
    ops: u32,
    segments: Vec<SegmentMark>,
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

    /// The segments that have ops.
    fn written(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.writer.ops() > 0)
    }
}

impl Page {
    /// The page of a log's space, on which nothing is written yet.
    pub(super) fn new(slot: Slot, own: &Own, base: Timestamp) -> Self {
        let Own { number, chain, .. } = own;
        let (done, chunk) = (Vec::new(), Chunk::new(base));
        Self { slot, space: chain.space, writer: Writer(*number), done, chunk }
    }

    pub(super) fn space(&self) -> SpaceId {
        self.space
    }

    /// The first timestamp after those of the page's ops.
    pub(super) fn end(&self) -> Timestamp {
        self.chunk.end()
    }

    pub(super) fn note_op(&mut self) {
        self.chunk.ops += 1;
    }

    fn is_empty(&self) -> bool {
        self.chunk.ops == 0 && self.done.is_empty()
    }

    fn mark(&self) -> PageMark {
        let segments = self.chunk.segments.iter().map(|segment| segment.writer.mark()).collect();
        PageMark { slot: self.slot, done: self.done.len(), ops: self.chunk.ops, segments }
    }

    /// Forgets what was written since the mark. Timestamps that the undone ops had are used again: nobody has seen
    /// them.
    fn roll_back_to(&mut self, mark: &PageMark) {
        if self.done.len() > mark.done {
            self.done.truncate(mark.done + 1);
            if let Some(chunk) = self.done.pop() {
                self.chunk = chunk;
            }
        }
        self.chunk.ops = mark.ops;
        self.chunk.segments.truncate(mark.segments.len());
        for (segment, &mark) in self.chunk.segments.iter_mut().zip(&mark.segments) {
            segment.writer.truncate(mark);
        }
    }

    /// Chains, seals and stores what was written, unless that is nothing; returns the timestamp of the last op.
    fn seal(
        mut self,
        conn: &Connection,
        tables: &[Table],
        state: &mut State,
        host: &Host,
        sealer: &mut Sealer,
    ) -> Result<Timestamp> {
        if self.is_empty() {
            return Ok(Timestamp::ZERO);
        }
        let newest = Timestamp::from_u64(self.end().as_u64() - 1);
        self.done.push(self.chunk);
        let (number, space) = (self.writer.0, self.space);
        let began_at = state.own.at(self.slot).chain;
        let mut chain = began_at;
        let mut deps = if state.uncited.contains(&space) { uncited(state, space) } else { Vec::new() };
        let last = self.done.len() - 1;
        for (n, chunk) in self.done.iter().enumerate() {
            let flags = if n == last { ChangeFlags::NONE } else { ChangeFlags::CONTINUES };
            let payloads: Vec<&[u8]> = chunk.written().map(|segment| segment.writer.payload()).collect();
            let epoch = state.secrets.current_epoch_of(space)?;
            let previous = chain.head;
            let (packed, _) = sealer.seal(&mut chain, flags, epoch, &host.random(), &deps, &payloads)?;
            if chain.head.seq > SEQ_MAX {
                return Err(StoreError::Corrupt { what: "this device's log is full".into() }.into());
            }
            changes::insert(conn, number, chain.head.seq, &packed)?;
            let mut index = Index::new(conn);
            for segment in chunk.written() {
                index.note_segment(tables[segment.table].schema, segment.writer.payload(), number, previous)?;
            }
            cite(conn, state, space, &deps)?;
            deps.clear();
        }
        if chain.head.seq / CHECKPOINT_CHANGES > began_at.head.seq / CHECKPOINT_CHANGES {
            state.registry.checkpoint(conn, number, chain.head, newest)?;
        }
        if let Some(log) = state.registry.get_mut(number) {
            (log.head, log.applied_seq, log.last_at) = (chain.head, chain.head.seq, newest);
        }
        state.own.at_mut(self.slot).chain = chain;
        Ok(newest)
    }
}

impl Pages {
    pub(super) fn new(base: Timestamp) -> Self {
        let (others, begun, founded) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { base, others, done_bytes: 0, begun, founded, read_at: None }
    }
}

impl WriteTx<'_> {
    /// The log that the page becomes a part of.
    #[cfg(feature = "text")]
    pub(super) fn own_log(&self) -> LogId {
        self.state.own.at(self.page.slot).chain.log
    }

    /// Turns to the page of an own log.
    pub(super) fn turn_to(&mut self, slot: Slot) {
        if slot != self.page.slot {
            let next = self.pages.others.remove(&slot);
            let next = next.unwrap_or_else(|| Page::new(slot, self.state.own.at(slot), self.pages.base));
            let left = std::mem::replace(&mut self.page, next);
            self.pages.others.insert(left.slot, left);
        }
    }

    /// Whether the transaction has been in the space of an own log.
    pub(super) fn has_page(&self, slot: Slot) -> bool {
        self.page.slot == slot || self.pages.others.contains_key(&slot)
    }

    /// Has a log that was just begun as the one of its space.
    pub(super) fn use_log(&mut self, own: Own) -> Slot {
        // If this is not committed, the file doesn't have what is in memory: then all is read anew.
        self.pages.read_at = self.pages.read_at.or(self.state.suspend());
        let former = self.state.own.of(own.chain.space).copied();
        self.pages.begun.push((own, former));
        self.state.own.put(own)
    }

    /// Forgets the log that was begun last, and what was to be written to it; in the file it is no more.
    pub(super) fn end_last_log(&mut self) {
        let Some((begun, former)) = self.pages.begun.pop() else { return };
        if let Some(slot) = self.state.own.slot(begun.chain.space) {
            self.pages.others.remove(&slot);
        }
        match former {
            Some(former) => drop(self.state.own.put(former)),
            None => self.state.own.remove_last(),
        }
        self.state.registry.remove_last(begun.number);
    }

    /// Begins a part of the transaction that can be undone alone.
    pub(crate) fn savepoint(&mut self) -> Result<Mark> {
        self.conn.prepare_cached("SAVEPOINT cfost")?.execute([])?;
        let Pages { others, done_bytes, begun, founded, .. } = &self.pages;
        let pages = std::iter::once(&self.page).chain(others.values()).map(Page::mark).collect();
        let (begun, founded) = (begun.len(), founded.len());
        Ok(Mark { pages, done_bytes: *done_bytes, begun, founded, broken: self.broken })
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
        let [current, ..] = &mark.pages[..] else { return Err(Error::BrokenTransaction) };
        self.turn_to(current.slot);
        self.page.roll_back_to(current);
        let marks: BTreeMap<Slot, &PageMark> = mark.pages.iter().map(|mark| (mark.slot, mark)).collect();
        self.pages.others.retain(|slot, page| match marks.get(slot) {
            Some(mark) => {
                page.roll_back_to(mark);
                true
            }
            None => false,
        });
        while self.pages.begun.len() > mark.begun {
            self.end_last_log();
        }
        self.pages.founded.truncate(mark.founded);
        self.pages.done_bytes = mark.done_bytes;
        self.broken = mark.broken;
        Ok(())
    }

    /// Chains, seals and stores what was written. The caller commits and then hands the result to
    /// [`State::committed`]; if either fails, to [`State::invalidate`].
    ///
    /// Returns `None` if there is nothing to commit.
    pub(super) fn finish(self, sealer: &mut Sealer) -> Result<Option<Finished>> {
        self.check_intact()?;
        let Self { conn, tables, state, host, rows, page, pages, .. } = self;
        for founded in pages.founded {
            founded.keep(state);
        }
        let mut newest = Timestamp::ZERO;
        for page in std::iter::once(page).chain(pages.others.into_values()) {
            newest = newest.max(page.seal(conn, tables, state, host, sealer)?);
        }
        let finished = Finished { newest, touched: rows.touched, read_at: pages.read_at };
        Ok((newest > Timestamp::ZERO).then_some(finished))
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
        let held = self.page.chunk.bytes();
        if self.page.chunk.ops == CHANGE_OPS_MAX || held + bytes + self.tables[table].names_bytes > CHUNK_BYTES_MAX {
            self.pages.done_bytes += held;
            if self.pages.done_bytes > TRANSACTION_BYTES_MAX {
                return Err(StoreError::TransactionTooLarge { bytes_max: TRANSACTION_BYTES_MAX }.into());
            }
            let next = Chunk::new(self.page.end());
            self.page.done.push(std::mem::replace(&mut self.page.chunk, next));
        }
        let base = self.page.chunk.base;
        Ok(base.plus(u64::from(self.segment(table).writer.ops())))
    }

    /// Whether what was written so far can be committed. On some failures (a full disk) SQLite rolls the
    /// whole transaction back by itself: what is written after that would not be part of one.
    fn check_intact(&self) -> Result<()> {
        if self.broken || self.conn.is_autocommit() { Err(Error::BrokenTransaction) } else { Ok(()) }
    }

    pub(super) fn stamp(&self, at: Timestamp) -> Stamp {
        Stamp { at, writer: self.page.writer }
    }

    pub(super) fn segment(&mut self, table: usize) -> &mut Segment {
        let Chunk { base, segments, .. } = &mut self.page.chunk;
        let n = segments.iter().position(|segment| segment.table == table).unwrap_or_else(|| {
            let schema = self.tables[table].schema;
            let writer = SegmentWriter::new(schema.table, schema.version, *base);
            segments.push(Segment { table, writer, create: None });
            segments.len() - 1
        });
        &mut segments[n]
    }
}

/// The heads of a space's other logs that this device has seen and not yet named in its own.
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

fn content_bytes(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(text) => text.len(),
        ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}
