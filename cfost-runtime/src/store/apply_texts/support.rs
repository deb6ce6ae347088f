//! What edits of a text that count were made upon, and doesn't count itself.
//!
//! A device that doesn't know yet that another was revoked goes on typing in a text that the revoked one has typed in.
//! Its edits name what they were made upon: without that they can't be placed. So of the changes that don't count,
//! those edits of a text stay in it that any visible edit of the text builds on, and no others. They are found once
//! the visible changes of a transaction are applied: only then it is known what is missing.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::StoreError;
use super::super::apply::{Applier, Context, ShapeFit};
use super::super::changes::{self, StoredChange};
use super::super::counted::ALL;
use super::super::forms::Target;
use super::super::layout::SEQ_MAX;
use super::super::texts::TextAt;
use crate::crdt::text::{first_step, peer_of};
use crate::crdt::{Effect, Life, RowOp, Stamp};
use crate::oplog::{OpValue, SegmentReader, SpaceId};
use crate::schema::{MergeRule, Value};

/// The edits of texts in the changes of logs that don't count, in their order.
type Edits = HashMap<TextAt, Vec<PassedOver>>;

/// An edit of a text that doesn't count.
struct PassedOver {
    space: SpaceId,
    first_step: u32,
    delta: Vec<u8>,
}

impl Applier<'_> {
    /// Completes the texts with edits that wait for some that don't count.
    pub(super) fn support_texts(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let wanting = context.texts.take_wanting();
        let ended: Vec<u32> =
            context.registry.iter().filter(|log| log.counted_seq != ALL).map(|log| log.number).collect();
        if wanting.is_empty() || ended.is_empty() {
            return Ok(());
        }
        let mut passed_over: HashMap<u64, Edits> = HashMap::new();
        for at in wanting {
            let conn = self.rows.conn;
            let (mut needs, mut supported) = (context.texts.needs(conn, at)?, false);
            let space = self.space_of_text(at, context)?;
            loop {
                let mut moved = false;
                for (peer, step) in &needs {
                    if !passed_over.contains_key(peer) {
                        let edits = self.edits_passed_over(context, &ended, *peer)?;
                        passed_over.insert(*peer, edits);
                    }
                    let edits = passed_over[peer].get(&at).into_iter().flatten();
                    for edit in edits.filter(|edit| edit.first_step <= *step && Some(edit.space) == space) {
                        context.texts.merge(conn, at, *peer, &edit.delta)?;
                        moved = true;
                    }
                }
                supported |= moved;
                let still = context.texts.needs(conn, at)?;
                if !moved || still == needs {
                    break;
                }
                needs = still;
            }
            // What was merged here may wait for what will never come: that is no news for the next transaction.
            context.texts.take_wanting();
            if supported {
                self.show_text(at, context)?;
            }
        }
        Ok(())
    }

    /// The edits of texts that the log of `peer` has beyond what counts.
    fn edits_passed_over(&mut self, context: &Context<'_>, ended: &[u32], peer: u64) -> Result<Edits, StoreError> {
        let mut edits = Edits::new();
        let logs = ended.iter().filter_map(|number| context.registry.get(*number));
        for log in logs.filter(|log| peer_of(log.edits_as.as_bytes()) == peer) {
            let source = self.source;
            let (applied, mut waits) = (changes::head_at(source, log, context.secrets, log.applied_seq)?, false);
            // What is held beyond the head, in a rebuild: that is of what is applied alone.
            changes::walk(source, log, context.secrets, applied, SEQ_MAX, |stored| {
                // Some of what counts is still to be applied: only then it is known what is missing.
                waits |= stored.header.seq() <= log.counted_seq && !stored.header.flags().continues();
                if waits {
                    return Ok(ControlFlow::Break(()));
                }
                self.collect_edits(&stored, context, &mut edits);
                Ok(ControlFlow::Continue(()))
            })?;
            if waits {
                edits.clear();
            }
        }
        Ok(edits)
    }

    fn collect_edits(&mut self, stored: &StoredChange<'_>, context: &Context<'_>, edits: &mut Edits) {
        for payload in self.opened_payloads(stored, context.secrets) {
            let Ok(mut segment) = SegmentReader::new(&payload) else { continue };
            let Some(table) = self.rows.tables.iter().find(|table| table.schema.table == segment.table()) else {
                continue;
            };
            let (version, mut shapes) = (segment.schema_version(), Vec::<ShapeFit>::new());
            while let Ok(Some(op)) = segment.next_op() {
                if op.shape as usize == shapes.len() {
                    shapes.push(ShapeFit::new(table, version, &op));
                }
                for (target, value) in shapes[op.shape as usize].columns.iter().zip(op.values) {
                    let (Some(Target::Column(column)), OpValue::Composite(delta)) = (*target, value) else { continue };
                    if table.schema.columns[column].rule == MergeRule::Text
                        && let Some(first) = first_step(delta)
                    {
                        let at = TextAt::new(table.schema, column, op.row);
                        let edit =
                            PassedOver { space: stored.header.space(), first_step: first, delta: delta.to_vec() };
                        // Of a text that was a value in earlier versions it isn't known which text an edit is of.
                        if !at.has_generations {
                            edits.entry(at).or_default().push(edit);
                        }
                    }
                }
            }
        }
    }

    /// The space of the row that a text is in.
    fn space_of_text(&mut self, at: TextAt, context: &Context<'_>) -> Result<Option<SpaceId>, StoreError> {
        let table = self.rows.tables.iter().position(|table| table.schema.table == at.table);
        let space = table.map(|table| self.rows.space_of((table, at.row), context.registry, context.hidden));
        Ok(space.transpose()?.flatten())
    }

    /// Takes note of the texts that a change edits which doesn't count: edits that count may have waited for it.
    pub(in crate::store) fn note_passed_over(&mut self, stored: &StoredChange<'_>, context: &mut Context<'_>) {
        let mut edits = Edits::new();
        self.collect_edits(stored, context, &mut edits);
        edits.into_keys().for_each(|at| context.texts.want(at));
    }

    /// Shows a text as its document has it; its row's clock stays as it is.
    fn show_text(&mut self, at: TextAt, context: &mut Context<'_>) -> Result<(), StoreError> {
        let tables = self.rows.tables;
        let Some(table) = tables.iter().position(|table| table.schema.table == at.table) else { return Ok(()) };
        let columns = &tables[table].schema.columns;
        let Some(column) = columns.iter().position(|column| column.name == at.column) else { return Ok(()) };
        let plain = Value::Text(context.texts.plain(self.rows.conn, at)?);
        let op = RowOp { stamp: Stamp::NONE, life: Life::Alive, effects: vec![(column, Effect::Merged(Some(plain)))] };
        self.rows.merge(table, &at.row, op, context.registry, context.hidden)?;
        Ok(())
    }
}
