//! Making changes visible that are in the oplog: the one way in for everything that is not a
//! transaction of this process.
//!
//! A log is *held* up to its head and *applied* up to `applied_seq`. The two differ while the next
//! change waits: for the rest of its atomic group, for the key of its epoch, for this device's clock
//! to come near a timestamp from the future, or for an app that knows its format. Beyond `counted_seq` nothing is ever
//! applied: the device was one no more.
//!
//! What an author wrote wrongly (bytes that are no segment, a value that its column can't hold) has
//! no effect, on every replica the same, and doesn't hold up what follows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use rusqlite::Connection;
use uuid::Uuid;

#[cfg(feature = "text")]
use super::apply_texts::Unwritten;
use super::changes::{self, StoredChange};
use super::elements::Edited;
use super::evolve::{self, Stale};
use super::forms::{Arrives, Target};
use super::hidden::Hidden;
use super::history::Index;
use super::rows::{Rows, fits};
use super::secrets::Secrets;
use super::table::Table;
#[cfg(feature = "text")]
use super::texts::Texts;
use super::touched::Touched;
use super::{Registry, StoreError};
use crate::clock::{DRIFT_MS_MAX, Timestamp};
use crate::crdt::{Effect, Life, RowOp, Stamp, Writer};
use crate::oplog::{Head, Op, OpKind, OpValue, Opener, OplogError, SegmentReader, SpaceId};
use crate::schema::{ColumnSchema, Value, ValueRef};

/// Applies changes within one SQL transaction.
pub(super) struct Applier<'c> {
    /// Where the changes are read from.
    pub(super) source: &'c Connection,
    tables: &'c [Table],
    /// The tables to apply to: a rebuild may be of some alone.
    chosen: Option<&'c [bool]>,
    /// The rows to apply to, each with its table's number: an undo needs few.
    rows_chosen: Option<&'c BTreeSet<(usize, Uuid)>>,
    /// Groups that begin after this are passed over.
    until: Timestamp,
    /// When the first group began that was applied or passed over.
    earliest: Timestamp,
    pub(super) rows: Rows<'c>,
    #[cfg(feature = "text")]
    pub(super) unwritten: Unwritten,
    index: Index<'c>,
    opener: Opener,
    payloads: Vec<Vec<u8>>,
    /// When the change that was opened last began.
    opened_at: Timestamp,
    now_ms: u64,
    /// Tables of which this app has no model.
    unknown: BTreeSet<String>,
    /// Tables of whose models this app has a version without some column that ops carry.
    unknown_columns: BTreeSet<usize>,
    /// How many ops were applied.
    ops: u64,
    /// Whom to tell of each change that a log's group brings.
    on_change: Option<&'c dyn Fn()>,
}

/// What the applier works on, beside the tables.
pub(super) struct Context<'s> {
    pub(super) registry: &'s mut Registry,
    pub(super) hidden: &'s mut Hidden,
    #[cfg(feature = "text")]
    pub(super) texts: &'s mut Texts,
    pub(super) secrets: &'s Secrets,
}

/// Whether a change can be applied now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    Waits,
}

impl<'c> Applier<'c> {
    /// Applies changes that are kept in `source` to the rows in `target`: the same file but for a rebuild
    /// beside it.
    pub(super) fn new(source: &'c Connection, target: &'c Connection, tables: &'c [Table], now_ms: u64) -> Self {
        Self {
            source,
            tables,
            chosen: None,
            rows_chosen: None,
            until: Timestamp::MAX,
            earliest: Timestamp::MAX,
            rows: Rows::new(target, tables),
            #[cfg(feature = "text")]
            unwritten: Unwritten::default(),
            index: Index::new(target),
            opener: Opener::new(),
            payloads: Vec::new(),
            opened_at: Timestamp::MAX,
            now_ms,
            unknown: BTreeSet::new(),
            unknown_columns: BTreeSet::new(),
            ops: 0,
            on_change: None,
        }
    }

    /// Tells of each change that is applied of a log.
    pub(super) fn telling(mut self, on_change: &'c dyn Fn()) -> Self {
        self.on_change = Some(on_change);
        self
    }

    /// Applies only what concerns the marked tables.
    pub(super) fn choose(mut self, tables: &'c [bool]) -> Self {
        self.chosen = Some(tables);
        self
    }

    /// Applies only what concerns these rows, each with its table's number.
    pub(super) fn choose_rows(mut self, rows: &'c BTreeSet<(usize, Uuid)>) -> Self {
        self.rows_chosen = Some(rows);
        self
    }

    /// Passes over the groups that begin after a time.
    pub(super) fn until(mut self, until: Timestamp) -> Self {
        self.until = until;
        self
    }

    /// When the first group began that was met so far; [`Timestamp::MAX`] before any.
    pub(super) fn earliest(&self) -> Timestamp {
        self.earliest
    }

    /// How many ops were applied.
    pub(super) fn ops(&self) -> u64 {
        self.ops
    }

    /// The rows that were written.
    pub(super) fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.rows.touched)
    }

    /// Ends, and takes note of what was passed over. Returns how many ops were applied.
    pub(super) fn finish(self) -> Result<u64, StoreError> {
        for unknown in &self.unknown {
            evolve::passed_over(self.source, unknown, Stale::OPS)?;
        }
        self.note_unknown_columns()?;
        Ok(self.ops)
    }

    /// Without texts every row is written at once.
    #[cfg(not(feature = "text"))]
    pub(super) fn settle(&mut self, _: &mut Context<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes note of the tables with columns that were passed over: a later version of the app shows them.
    pub(super) fn note_unknown_columns(&self) -> Result<(), StoreError> {
        let mut names = self.unknown_columns.iter().map(|&table| self.tables[table].schema.table);
        names.try_for_each(|table| evolve::passed_over(self.source, table, Stale::COLUMNS))
    }

    /// Applies what is held of a log after `applied_seq` and need not wait, and moves that on.
    pub(super) fn apply_log(&mut self, context: &mut Context<'_>, number: u32) -> Result<(), StoreError> {
        let Some(log) = context.registry.get(number).cloned() else { return Ok(()) };
        let conn = self.source;
        let mut applied = changes::head_at(conn, &log, context.secrets, log.applied_seq)?;
        let last_seq = log.countable_seq();
        while applied.seq < last_seq {
            let (mut complete, mut begins) = (None, Timestamp::MAX);
            changes::walk(conn, &log, context.secrets, applied, last_seq, |stored| {
                let waits = self.open(&stored, context.secrets) == Readiness::Waits;
                begins = begins.min(self.opened_at);
                if !waits && stored.header.flags().continues() {
                    return Ok(ControlFlow::Continue(()));
                }
                complete = (!waits).then(|| Head { seq: stored.header.seq(), id: stored.id });
                Ok(ControlFlow::Break(()))
            })?;
            let Some(group_end) = complete else { break };
            self.earliest = self.earliest.min(begins);
            if begins > self.until {
                applied = group_end;
                continue;
            }
            changes::walk(conn, &log, context.secrets, applied, group_end.seq, |stored| {
                self.open(&stored, context.secrets);
                self.apply_opened(&stored, context, number)?;
                self.on_change.iter().for_each(|tell| tell());
                Ok(ControlFlow::Continue(()))
            })?;
            applied = group_end;
        }
        if let Some(log) = context.registry.get_mut(number) {
            log.applied_seq = applied.seq;
        }
        Ok(())
    }

    /// Applies the next change of a log that is applied up to it, if it is a whole group by itself.
    pub(super) fn apply_next(
        &mut self,
        stored: &StoredChange<'_>,
        context: &mut Context<'_>,
        number: u32,
    ) -> Result<Readiness, StoreError> {
        let counts = context.registry.get(number).is_none_or(|log| stored.header.seq() <= log.counted_seq);
        if !counts || stored.header.flags().continues() || self.open(stored, context.secrets) == Readiness::Waits {
            return Ok(Readiness::Waits);
        }
        self.apply_opened(stored, context, number)?;
        if let Some(log) = context.registry.get_mut(number) {
            log.applied_seq = stored.header.seq();
        }
        Ok(Readiness::Ready)
    }

    /// Applies a change by itself, in whatever group it is.
    pub(super) fn apply_alone(
        &mut self,
        stored: &StoredChange<'_>,
        context: &mut Context<'_>,
        number: u32,
    ) -> Result<(), StoreError> {
        if self.open(stored, context.secrets) == Readiness::Ready {
            self.apply_opened(stored, context, number)?;
        }
        Ok(())
    }

    /// The payloads of a change, as far as they can be opened.
    #[cfg(feature = "text")]
    pub(super) fn opened_payloads(&mut self, stored: &StoredChange<'_>, secrets: &Secrets) -> Vec<Vec<u8>> {
        if self.open(stored, secrets) == Readiness::Waits {
            return Vec::new();
        }
        let payloads = self.payloads.iter().take(stored.change.segments.len());
        payloads.filter(|payload| !payload.is_empty()).cloned().collect()
    }

    /// Opens the segments of a change; an altered or malformed one is left empty.
    fn open(&mut self, stored: &StoredChange<'_>, secrets: &Secrets) -> Readiness {
        let header = stored.header;
        if header.check_known().is_err() {
            return Readiness::Waits;
        }
        let Some(epoch) = secrets.epoch(header.space(), header.epoch()) else { return Readiness::Waits };
        let segments = &stored.change.segments;
        self.opened_at = Timestamp::MAX;
        self.payloads.resize_with(segments.len().max(self.payloads.len()), Vec::new);
        for (index, (sealed, payload)) in segments.iter().zip(&mut self.payloads).enumerate() {
            payload.clear();
            let opened = self.opener.open(epoch, header, index, sealed);
            match opened.and_then(|opened| SegmentReader::new(opened).map(|segment| (segment.base(), opened))) {
                Ok((base, _)) if base.ms() > self.now_ms.saturating_add(DRIFT_MS_MAX) => return Readiness::Waits,
                Ok((base, opened)) => {
                    self.opened_at = self.opened_at.min(base);
                    payload.extend_from_slice(opened);
                }
                Err(OplogError::Newer { .. }) => return Readiness::Waits,
                Err(error) => ignored(stored, &error),
            }
        }
        Readiness::Ready
    }

    fn apply_opened(
        &mut self,
        stored: &StoredChange<'_>,
        context: &mut Context<'_>,
        number: u32,
    ) -> Result<(), StoreError> {
        let payloads = std::mem::take(&mut self.payloads);
        for payload in payloads.iter().take(stored.change.segments.len()).filter(|payload| !payload.is_empty()) {
            match SegmentReader::new(payload) {
                Ok(segment) => self.apply_segment(stored, segment, context, number)?,
                Err(error) => ignored(stored, &error),
            }
        }
        self.payloads = payloads;
        Ok(())
    }

    fn apply_segment(
        &mut self,
        stored: &StoredChange<'_>,
        mut segment: SegmentReader<'_>,
        context: &mut Context<'_>,
        number: u32,
    ) -> Result<(), StoreError> {
        // A table that this app doesn't have stays in the oplog until an app that has it rebuilds it.
        let Some(table) = self.tables.iter().position(|table| table.schema.table == segment.table()) else {
            if !self.unknown.contains(segment.table()) {
                self.unknown.insert(segment.table().to_owned());
            }
            return Ok(());
        };
        if self.chosen.is_some_and(|chosen| !chosen[table]) {
            return Ok(());
        }
        let (schema, placed) = (self.tables[table].schema, self.tables[table].placed);
        let (space, home, version) = (stored.header.space(), context.secrets.home(), segment.schema_version());
        let mut shapes: Vec<ShapeFit> = Vec::new();
        let mut newest = Timestamp::ZERO;
        loop {
            match segment.next_op() {
                Ok(Some(op)) => {
                    newest = op.at;
                    if op.shape as usize == shapes.len() {
                        let fit = ShapeFit::new(&self.tables[table], version, &op);
                        if fit.columns.contains(&None) {
                            self.unknown_columns.insert(table);
                        }
                        shapes.push(fit);
                    }
                    let fit = &shapes[op.shape as usize];
                    let chosen = self.rows_chosen.is_none_or(|rows| rows.contains(&(table, op.row)));
                    if !chosen || !placed.admits(&op, fit, space, home) {
                        continue;
                    }
                    if schema.history {
                        self.index.note(schema, &op.row, number, stored.header)?;
                    }
                    self.apply_op((table, space), &op, fit, context, number)?;
                }
                Ok(None) => break,
                Err(error) => {
                    ignored(stored, &error);
                    break;
                }
            }
        }
        if let Some(log) = context.registry.get_mut(number) {
            log.last_at = log.last_at.max(newest);
        }
        Ok(())
    }

    fn apply_op(
        &mut self,
        (table, space): (usize, SpaceId),
        op: &Op<'_, '_>,
        fit: &ShapeFit,
        context: &mut Context<'_>,
        number: u32,
    ) -> Result<(), StoreError> {
        self.ops += 1;
        let schema = self.tables[table].schema;
        let stamp = Stamp { at: op.at, writer: Writer(number) };
        let shown = if fit.whole.is_some() && self.create(table, op, fit, stamp, context)? {
            true
        } else if !self.takes_effect(table, op, space, context)? {
            return Ok(());
        } else {
            let life = if op.kind == OpKind::Delete { self.tables[table].death() } else { Life::Alive };
            let effects = fit.columns.iter().zip(op.values);
            let mut effects: Vec<_> =
                effects.filter_map(|(target, value)| self.effect(table, op, (*target)?, plain(value)?)).collect();
            if fit.bases {
                #[cfg(feature = "text")]
                self.settle_row((table, op.row), context)?;
                self.write_bases(table, op, fit, stamp, context, &mut effects)?;
            }
            let row_op = RowOp { stamp, life, effects };
            #[cfg(feature = "text")]
            let shown = self.merge(table, op, fit, context, row_op)?;
            #[cfg(not(feature = "text"))]
            let shown = self.rows.merge(table, &op.row, row_op, context.registry, context.hidden)?;
            shown
        };
        if !fit.elements {
            return Ok(());
        }
        for (target, value) in fit.columns.iter().zip(op.values) {
            let (Some(Target::Elements(collection)), OpValue::Composite(payload)) = (*target, value) else { continue };
            let edited = Edited { table, collection, row: &op.row, shown, stamp };
            if let Err(error) = self.rows.merge_payload(edited, payload, context.registry, context.hidden)? {
                let (table, row) = (schema.table, op.row);
                tracing::warn!(table, %row, %error, "what an op says of a row's elements has no effect");
            }
        }
        Ok(())
    }

    /// What an op's value does to a column, if it does anything.
    fn effect(
        &self,
        table: usize,
        op: &Op<'_, '_>,
        target: Target,
        value: &ValueRef<'_>,
    ) -> Option<(usize, Effect<Value>)> {
        let (table, schema) = (&self.tables[table], self.tables[table].schema);
        match target {
            Target::Column(column) => {
                let schema = &schema.columns[column];
                let fits = fits(value, schema.sql_type, schema.takes_null());
                fits.then(|| table.effect(op.kind, column, value.clone()))?.map(|effect| (column, effect))
            }
            Target::Older(older) if matches!(table.forms.arrives(older), Some(Arrives::Base(_))) => None,
            Target::Older(older) => match table.forms.convert(older, value) {
                Ok(Some((Arrives::Column(column), value))) => {
                    table.effect(op.kind, column, value.into()).map(|effect| (column, effect))
                }
                Ok(_) => None,
                Err(error) => {
                    let (table, row) = (schema.table, op.row);
                    tracing::warn!(table, %row, %error, "a value of an older version can't be converted");
                    None
                }
            },
            Target::Elements(_) | Target::Nowhere => None,
        }
    }

    /// Writes a row with all its columns that no op has touched before; else it does nothing.
    fn create(
        &mut self,
        table: usize,
        op: &Op<'_, '_>,
        fit: &ShapeFit,
        stamp: Stamp,
        context: &mut Context<'_>,
    ) -> Result<bool, StoreError> {
        let columns = self.tables[table].schema.columns;
        let fits = |(value, column): (&ValueRef<'_>, &ColumnSchema)| fits(value, column.sql_type, column.takes_null());
        match &fit.whole {
            None => Ok(false),
            Some(Whole::AsItIs) => {
                let values = op.values[..columns.len()].iter().filter_map(plain);
                let all_fit = values.clone().zip(columns).filter(|column| fits(*column)).count() == columns.len();
                Ok(all_fit && self.rows.create(table, (&op.row, columns.len()), values, stamp, context.hidden)?)
            }
            Some(Whole::From(places)) => {
                let table_of = &self.tables[table];
                let found = places.iter().zip(columns).map(|(&place, column)| {
                    let value = plain(&op.values[place])?;
                    match fit.columns[place]? {
                        Target::Column(_) => fits((value, column)).then(|| value.borrowed()),
                        // What can't be converted is told when the op is merged.
                        Target::Older(older) => {
                            table_of.forms.convert(older, value).ok().flatten().map(|(_, value)| value.into())
                        }
                        Target::Elements(_) | Target::Nowhere => None,
                    }
                });
                let later = table_of.defaults[places.len()..].iter().map(|value| Some(value.as_ref()));
                let Some(values) = found.chain(later).collect::<Option<Vec<_>>>() else { return Ok(false) };
                self.rows.create(table, (&op.row, places.len()), values.iter(), stamp, context.hidden)
            }
        }
    }
}

/// How the columns of a shape map to the model's.
pub(super) struct ShapeFit {
    pub(super) columns: Vec<Option<Target>>,
    /// How a row that no op has touched before is made of an op of this shape, without merging; `None` if it is
    /// no create, or lacks a column that a row must have.
    whole: Option<Whole>,
    /// Whether one of the columns is a collection.
    elements: bool,
    /// Whether one of them is what a column begins with that merges by another rule now.
    pub(super) bases: bool,
}

/// Where a create has the model's columns.
enum Whole {
    /// All of them at its beginning, in the model's order.
    AsItIs,
    /// The first columns at these places, maybe in older forms; those after them came to the model later.
    From(Vec<usize>),
}

impl ShapeFit {
    /// Of the shape of an op, which an app wrote with this version of the model.
    pub(super) fn new(table: &Table, version: u32, op: &Op<'_, '_>) -> Self {
        // A column that the model doesn't have stays in the oplog.
        let columns: Vec<_> = op.columns.iter().map(|named| table.forms.target(named, op.kind, version)).collect();
        let elements = columns.iter().any(|target| matches!(target, Some(Target::Elements(_))));
        let is_base = |target: &Option<Target>| match *target {
            Some(Target::Older(older)) => matches!(table.forms.arrives(older), Some(Arrives::Base(_))),
            _ => false,
        };
        let bases = columns.iter().any(is_base);
        let whole = if op.kind == OpKind::Create && !bases { Whole::of(table, &columns) } else { None };
        Self { whole, elements, bases, columns }
    }
}

impl Whole {
    fn of(table: &Table, targets: &[Option<Target>]) -> Option<Self> {
        let count = table.schema.columns.len();
        if (0..count).all(|n| targets.get(n) == Some(&Some(Target::Column(n)))) {
            return Some(Self::AsItIs);
        }
        let arrives = |column: usize| {
            let arrives = |target: &Option<Target>| match *target {
                Some(Target::Column(n)) => n == column,
                Some(Target::Older(older)) => table.forms.arrives(older) == Some(Arrives::Column(column)),
                Some(Target::Elements(_) | Target::Nowhere) | None => false,
            };
            targets.iter().position(arrives)
        };
        let places: Vec<usize> = (0..count).map_while(arrives).collect();
        let told = targets.iter().flatten().filter(|target| matches!(target, Target::Column(_) | Target::Older(_)));
        // Each column once, and nothing of those that are missing.
        let whole = told.count() == places.len() && !table.required[places.len()..].contains(&true);
        whole.then_some(Self::From(places))
    }
}

pub(super) fn plain<'r, 'a>(value: &'r OpValue<'a>) -> Option<&'r ValueRef<'a>> {
    match value {
        OpValue::Plain(value) => Some(value),
        OpValue::Composite(_) => None,
    }
}

fn ignored(stored: &StoredChange<'_>, error: &OplogError) {
    let (log, seq) = (stored.header.log(), stored.header.seq());
    tracing::warn!(%log, seq, change = %stored.id, %error, "part of a change has no effect");
}
