//! Writing the texts of rows in a local transaction: edits become deltas, and deltas become ops.

use std::borrow::Cow;

use uuid::Uuid;

use super::forms::ForOlder;
use super::insert::INLINE_BYTES_MAX;
use super::rows::Place;
use super::texts::{TextAt, Texts};
use super::write::{WriteTx, tagged};
use super::{StoreError, generations};
use crate::crdt::text::{Generation, Text, peer_of};
use crate::crdt::{Effect, Life, Row, RowOp, Stamp};
use crate::error::Result;
use crate::oplog::{LogId, OpKind, OpValue};
use crate::schema::{MergeRule, RowValues, TextValue, Value, ValueRef};

/// A text of which the row's create says nothing but that there is one; its deltas follow as updates.
pub(super) struct Following<'v> {
    column: usize,
    deltas: Vec<Vec<u8>>,
    plain: Cow<'v, str>,
}

/// What the texts of a new row add to its create.
#[derive(Default)]
pub(super) struct NewTexts<'v> {
    /// For each column with the rule `text`, in order, what the create says of it.
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) following: Vec<Following<'v>>,
}

/// What a delta takes beside the text that it begins.
const BEGINNING_BYTES: usize = 7;

/// The texts of a row, each with its column.
fn texts<'r, 'v>(
    schema: &'static crate::schema::ModelSchema,
    values: &'r RowValues<'v>,
) -> impl Iterator<Item = (usize, Option<&'r Text>, &'r ValueRef<'v>)> {
    let columns = schema.columns.iter().zip(&values.columns).enumerate();
    let texts = columns.filter(|(_, (column, _))| column.rule == MergeRule::Text);
    texts.enumerate().map(|(n, (column, (_, plain)))| {
        let edited = values.texts.get(n).and_then(|text| match text {
            TextValue::Edited(text) => Some(*text),
            TextValue::Stored(_) => None,
        });
        (column, edited, plain)
    })
}

/// Deltas as they travel.
fn named(at: TextAt, generation: Option<Generation>, deltas: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    let Some(generation) = generation else { return Ok(deltas) };
    let failed = |source| StoreError::Text { table: at.table, column: at.column, id: at.row, source };
    deltas.iter().map(|delta| Ok(generation.name(delta).map_err(failed)?)).collect()
}

impl WriteTx<'_> {
    /// Begins the texts of a row that no op has touched before.
    pub(super) fn begin_texts<'v>(
        &mut self,
        table: usize,
        id: &Uuid,
        values: &'v RowValues<'_>,
        stamp: Stamp,
    ) -> Result<NewTexts<'v>> {
        let schema = self.tables[table].schema;
        let mut new = NewTexts::default();
        for (column, text, plain) in texts(schema, values) {
            let ValueRef::Text(plain) = plain else { continue };
            let text = match text {
                Some(text) if text.begins_empty() => Cow::Borrowed(text),
                Some(other) => Cow::Owned(Text::copy_of(other)),
                None => Cow::Owned(Text::from(plain.as_ref())),
            };
            let at = TextAt::new(schema, column, *id);
            let mut deltas = self.edit_text((at, None), &text)?;
            let inline = deltas.len() == 1
                && plain.len() <= INLINE_BYTES_MAX
                && deltas[0].len() <= plain.len() + BEGINNING_BYTES;
            if inline {
                self.note_edit(at, (None, stamp))?;
            }
            new.payloads.push(if inline { deltas.remove(0) } else { Vec::new() });
            if !deltas.is_empty() {
                new.following.push(Following { column, deltas, plain: Cow::Borrowed(plain) });
            }
        }
        Ok(new)
    }

    fn edit_text(&mut self, (at, generation): (TextAt, Option<Generation>), text: &Text) -> Result<Vec<Vec<u8>>> {
        let peer = peer_of(self.own_log().as_bytes());
        self.broken = true;
        let deltas = named(at, generation, self.state.texts.edit(self.conn, at, peer, text)?)?;
        self.broken = false;
        Ok(deltas)
    }

    /// Takes note of an edit of a text that was a value in earlier versions.
    fn note_edit(&mut self, at: TextAt, edit: (Option<Generation>, Stamp)) -> Result<()> {
        let state = &mut *self.state;
        Ok(generations::note_edit(self.conn, &mut state.texts, at, edit, &state.registry)?)
    }

    /// Writes what follows on a row's create.
    pub(super) fn write_following(&mut self, table: usize, id: &Uuid, following: Vec<Following<'_>>) -> Result<()> {
        for Following { column, deltas, plain } in following {
            self.write_text(table, id, None, (column, None), &deltas, &plain)?;
        }
        Ok(())
    }

    /// Writes the texts of a visible row that were edited, assigned from elsewhere, or are given by their plain
    /// text alone. `row` is the row as it
    /// is stored, if it has been loaded; `before` are its values before.
    pub(super) fn update_texts(
        &mut self,
        table: usize,
        id: &Uuid,
        mut row: Option<Row<Value>>,
        before: &[Value],
        after: &RowValues<'_>,
    ) -> Result<()> {
        let schema = self.tables[table].schema;
        for (column, text, plain) in texts(schema, after) {
            let (Value::Text(stored), ValueRef::Text(plain)) = (&before[column], plain) else { continue };
            if text.is_none_or(Text::is_untouched) && stored == plain {
                continue;
            }
            let (at, generation) = generations::shown(self.conn, TextAt::new(schema, column, *id))?;
            let edited = match text {
                Some(text) if !text.is_untouched() && Texts::is_current(self.conn, at, text)? => Cow::Borrowed(text),
                text => {
                    let mut edited = Texts::text(self.conn, at, stored.clone())?;
                    match text {
                        Some(text) => edited.assign(text),
                        None => edited.replace(plain),
                    }
                    Cow::Owned(edited)
                }
            };
            let deltas = self.edit_text((at, generation), &edited)?;
            self.write_text(table, id, row.take(), (column, generation), &deltas, plain)?;
        }
        Ok(())
    }

    /// Takes back what a log of this device has done to a text of a visible row from a step on; says whether
    /// there was anything.
    pub(super) fn take_back_text(
        &mut self,
        table: usize,
        id: &Uuid,
        column: usize,
        (log, first): (LogId, u32),
    ) -> Result<bool> {
        let (at, generation) = generations::shown(self.conn, TextAt::new(self.tables[table].schema, column, *id))?;
        let own = peer_of(self.own_log().as_bytes());
        self.broken = true;
        let (deltas, plain) = self.state.texts.take_back(self.conn, at, own, peer_of(log.as_bytes()), first)?;
        let deltas = named(at, generation, deltas)?;
        self.broken = false;
        self.write_text(table, id, None, (column, generation), &deltas, &plain)?;
        Ok(!deltas.is_empty())
    }

    /// Writes deltas, an update each; `plain` is the text after the last.
    fn write_text(
        &mut self,
        table: usize,
        id: &Uuid,
        mut row: Option<Row<Value>>,
        (column, generation): (usize, Option<Generation>),
        deltas: &[Vec<u8>],
        plain: &str,
    ) -> Result<()> {
        let schema = self.tables[table].schema;
        for (n, delta) in deltas.iter().enumerate() {
            let last = n + 1 == deltas.len();
            let forms = &self.tables[table].forms;
            let older = if last { forms.of_text(column, plain) } else { ForOlder::default() };
            let mut values = vec![ValueRef::Blob(Cow::Borrowed(delta))];
            values.extend(older.values.iter().cloned());
            let at = self.next_at(table, &values, &[])?;
            let shown = last.then(|| Value::Text(plain.to_owned()));
            self.note_edit(TextAt::new(schema, column, *id), (generation, self.stamp(at)))?;
            let op = RowOp { stamp: self.stamp(at), life: Life::Alive, effects: vec![(column, Effect::Merged(shown))] };
            self.broken = true;
            let loaded = match row.take() {
                Some(row) => (Place::Visible, row),
                None => self.rows.load(table, id, &self.state.hidden)?,
            };
            self.rows.merge_into(table, id, loaded, op, &self.state.registry, &mut self.state.hidden)?;
            let segment = self.segment(table);
            let columns: Vec<_> = std::iter::once(tagged(&schema.columns[column])).chain(older.columns).collect();
            let shape = segment.writer.shape(OpKind::Update, &columns)?;
            let older = older.values.into_iter().map(OpValue::Plain);
            segment.writer.push_values(shape, id, std::iter::once(OpValue::Composite(delta)).chain(older))?;
            self.wrote();
        }
        Ok(())
    }
}
