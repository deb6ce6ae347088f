//! Applying what ops say of texts.
//!
//! A remote edit of a text is an op of its own, and the plain text is in the row: writing the row for each would
//! cost the whole text for each character that somebody typed. So a shown row whose texts are edited is kept in
//! memory from the first edit on, merged there, and written once: when [`Applier::settle`] is called before the
//! transaction ends, when an op comes that may do more to the row than change its values, or when there are
//! too many of them.

mod support;

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::apply::{Applier, Context, ShapeFit};
use super::forms::Target;
use super::generations;
use super::history::RowKey;
use super::table::Table;
use super::texts::{Merged, TextAt};
use super::{Registry, StoreError};
use crate::crdt::text::peer_of;
use crate::crdt::{Effect, Row, RowOp, Stamp};
use crate::oplog::{Op, OpKind, OpValue};
use crate::schema::{MergeRule, Value};

/// The most rows that wait to be written, and the bytes of their values.
const ROWS_MAX: usize = 4096;
const BYTES_MAX: usize = 16 << 20;

/// Shown rows that are merged in memory and not written yet.
#[derive(Default)]
pub(super) struct Unwritten {
    rows: HashMap<RowKey, Changed>,
    bytes: usize,
}

struct Changed {
    row: Row<Value>,
    /// Whether anything of it is not the table's any more: its clock is, then.
    changed: bool,
    /// The columns whose value or stamp is not.
    columns: BTreeSet<usize>,
    /// Those of them whose text is to be had from its document.
    texts: BTreeSet<usize>,
}

impl Unwritten {
    fn insert(&mut self, key: RowKey, row: Row<Value>) {
        let bytes = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
        self.bytes += row.values.iter().map(bytes).sum::<usize>();
        self.rows.insert(key, Changed { row, changed: false, columns: BTreeSet::new(), texts: BTreeSet::new() });
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }
}

/// Texts that an op edits, by their columns.
type EditedTexts = Vec<usize>;

impl Applier<'_> {
    /// Writes the rows that were merged in memory. The transaction must not be committed before, nor anybody read
    /// its rows.
    pub(super) fn settle(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        self.write_unwritten(context)?;
        self.support_texts(context)
    }

    fn write_unwritten(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let keys: Vec<RowKey> = self.unwritten.rows.keys().copied().collect();
        keys.into_iter().try_for_each(|key| self.settle_row(key, context))?;
        self.unwritten.bytes = 0;
        Ok(())
    }

    /// The same for one row.
    pub(super) fn settle_row(&mut self, (table, id): RowKey, context: &mut Context<'_>) -> Result<(), StoreError> {
        let Some(Changed { mut row, changed, columns, texts }) = self.unwritten.rows.remove(&(table, id)) else {
            return Ok(());
        };
        if !changed {
            return Ok(());
        }
        let conn = self.rows.conn;
        for column in texts {
            let (at, _) = generations::shown(conn, TextAt::new(self.rows.tables[table].schema, column, id))?;
            row.values[column] = Value::Text(context.texts.plain(conn, at)?);
        }
        let columns: Vec<usize> = columns.into_iter().collect();
        self.rows.update(table, &id, &row, &columns)
    }

    /// Merges what an op makes of its row, and of the texts in it; returns whether the row is shown.
    pub(super) fn merge(
        &mut self,
        table: usize,
        op: &Op<'_, '_>,
        fit: &ShapeFit,
        context: &mut Context<'_>,
        mut row_op: RowOp<Value>,
    ) -> Result<bool, StoreError> {
        let in_memory = self.merges_in_memory(table, op, fit, &row_op.effects, context)?;
        let stamp = row_op.stamp;
        let texts = self.merge_texts((table, in_memory), op, fit, context, stamp, &mut row_op.effects)?;
        if in_memory {
            self.merge_in_memory((table, &op.row), row_op, texts, context.registry);
            return Ok(true);
        }
        self.rows.merge(table, &op.row, row_op, context.registry, context.hidden)
    }

    /// Whether an op is merged in memory: it edits a text of a shown row, or such a row is there already, and it does
    /// nothing to the row but change values. If not, the rows are written that it may have to do with.
    fn merges_in_memory(
        &mut self,
        table: usize,
        op: &Op<'_, '_>,
        fit: &ShapeFit,
        effects: &[(usize, Effect<Value>)],
        context: &mut Context<'_>,
    ) -> Result<bool, StoreError> {
        let key = (table, op.row);
        let links = &self.rows.tables[table].links;
        let is_edit =
            op.kind == OpKind::Update && !fit.bases && !effects.iter().any(|(column, _)| links.any_parent(&[*column]));
        if is_edit && self.unwritten.rows.contains_key(&key) {
            return Ok(true);
        }
        if is_edit && fit.edits_text(&self.rows.tables[table]) {
            if self.unwritten.is_full() {
                self.write_unwritten(context)?;
            }
            let shown = self.rows.visible(table, &op.row)?;
            return Ok(shown.map(|row| self.unwritten.insert(key, row)).is_some());
        }
        if self.rows.tables[table].links.has_dependents() {
            self.write_unwritten(context)?;
        } else {
            self.settle_row(key, context)?;
        }
        Ok(false)
    }

    /// Merges an op into a row that is kept in memory.
    fn merge_in_memory(
        &mut self,
        (table, id): (usize, &Uuid),
        op: RowOp<Value>,
        edited: EditedTexts,
        registry: &Registry,
    ) {
        let Some(changed) = self.unwritten.rows.get_mut(&(table, *id)) else { return };
        self.rows.touched.set_writer(op.stamp.writer);
        let merged = changed.row.merge(op, registry);
        if merged.life || !merged.columns.is_empty() {
            self.rows.touched.row(table, id);
            changed.changed = true;
            changed.columns.extend(merged.columns);
            changed.texts.extend(edited);
        }
    }

    /// Merges what an op says of a row's texts, and adds what that makes of their columns to its effects. Returns
    /// the texts that are to be had from their documents; none if the row is written at once.
    fn merge_texts(
        &mut self,
        (table, in_memory): (usize, bool),
        op: &Op<'_, '_>,
        fit: &ShapeFit,
        context: &mut Context<'_>,
        stamp: Stamp,
        effects: &mut Vec<(usize, Effect<Value>)>,
    ) -> Result<EditedTexts, StoreError> {
        let schema = self.rows.tables[table].schema;
        let (conn, mut later) = (self.rows.conn, EditedTexts::new());
        for (target, value) in fit.columns.iter().zip(op.values) {
            let (Some(Target::Column(column)), OpValue::Composite(payload)) = (*target, value) else { continue };
            let Some(log) = context.registry.get(stamp.writer.0) else { continue };
            if schema.columns[column].rule != MergeRule::Text {
                continue;
            }
            let at = TextAt::new(schema, column, op.row);
            let merged = if at.has_generations {
                self.edit_generation((table, column), (&op.row, payload), stamp, context)?
            } else {
                context.texts.merge(conn, at, peer_of(log.edits_as.as_bytes()), payload)?
            };
            let shown = match merged {
                None => continue,
                Some(Merged::Same) => None,
                Some(Merged::Begun(text)) => Some(text),
                Some(Merged::Edited) if in_memory => {
                    later.push(column);
                    None
                }
                Some(Merged::Edited) => Some(context.texts.plain(conn, generations::shown(conn, at)?.0)?),
            };
            effects.push((column, Effect::Merged(shown.map(Value::Text))));
        }
        Ok(later)
    }
}

impl ShapeFit {
    /// Whether ops of the shape edit texts.
    fn edits_text(&self, table: &Table) -> bool {
        let is_text = |target: &Option<Target>| match target {
            Some(Target::Column(column)) => table.schema.columns[*column].rule == MergeRule::Text,
            _ => false,
        };
        self.columns.iter().any(is_text)
    }
}
