//! Inserting rows: with the id they are given, get or are made from, also over a deleted one.

use std::borrow::Cow;

use uuid::Uuid;

use super::bases;
use super::edits::{CollectionEdits, Part, Scope};
use super::elements::read_elements;
use super::forms::ForOlder;
use super::rows::Place;
use super::write::{WriteTx, inline, of_part, tagged, written};
use crate::clock::Timestamp;
use crate::crdt::{Effect, Life, Row, RowOp, Stamp};
use crate::error::{Error, Result};
use crate::oplog::{OpKind, OpValue};
use crate::schema::{ColumnSchema, MergeRule, ModelSchema, RowValues, Value, ValueRef, derived_id};

impl WriteTx<'_> {
    /// Writes a new row, and returns its id: see [`WriteTx::row_id`].
    pub(crate) fn insert(&mut self, table: usize, id: Uuid, values: &RowValues<'_>) -> Result<Uuid> {
        let before = (self.pages.founded.len(), self.written);
        let inserted = self.insert_new(table, id, values);
        if inserted.is_err() && (self.pages.founded.len(), self.written) == (before.0 + 1, before.1) {
            self.unfound()?;
        }
        inserted
    }

    fn insert_new(&mut self, table: usize, id: Uuid, values: &RowValues<'_>) -> Result<Uuid> {
        let id = self.enter_for_new(table, id, &values.columns)?;
        let planned = self.plan(table, &[], &values.collections, Scope::Difference)?;
        let inline = inline(&planned);
        let older = self.tables[table].forms.of_create(&values.columns);
        let at = self.next_at(table, &carried(self.tables[table].schema, &values.columns, &older), &inline)?;
        let id = self.row_id(table, id, &values.columns, at)?;
        let sealed;
        let values = if self.tables[table].encrypts() {
            sealed = self.sealed(table, &id, values)?;
            &sealed
        } else {
            values
        };
        self.check_parents(table, id, values.columns.iter().enumerate())?;
        self.insert_at(table, id, (values, older), at, (&planned, &inline))?;
        Ok(id)
    }

    /// Writes a new row with this id, whatever its values would give it; if it is a space, that has been founded.
    pub(super) fn insert_as(&mut self, table: usize, id: Uuid, values: &RowValues<'_>) -> Result<()> {
        self.enter_for_carried(table, id, &values.columns)?;
        let planned = self.plan(table, &[], &values.collections, Scope::Difference)?;
        let inline = inline(&planned);
        let older = self.tables[table].forms.of_create(&values.columns);
        let at = self.next_at(table, &carried(self.tables[table].schema, &values.columns, &older), &inline)?;
        let sealed;
        let values = if self.tables[table].encrypts() {
            sealed = self.resealed(table, &id, values)?;
            &sealed
        } else {
            values
        };
        self.insert_at(table, id, (values, older), at, (&planned, &inline))
    }

    /// Writes a new row. Of its elements, which are planned, `inline` are part of its op.
    fn insert_at<'p>(
        &mut self,
        table: usize,
        id: Uuid,
        (values, older): (&RowValues<'_>, ForOlder),
        at: Timestamp,
        (planned, inline): (&'p [CollectionEdits<'p>], &[Part<'p, 'p>]),
    ) -> Result<()> {
        let stamp = self.stamp(at);
        self.broken = true;
        if !self.rows.create(
            table,
            (&id, values.columns.len()),
            values.columns.iter(),
            stamp,
            &mut self.state.hidden,
        )? {
            return self.insert_again(table, id, (values, older), stamp);
        }
        let of_op = self.insert_bases(table, &id, &values.columns, stamp)?;
        #[cfg(feature = "text")]
        let (payloads, following) = {
            let new = self.begin_texts(table, &id, values, stamp)?;
            self.broken = true;
            (new.payloads, new.following)
        };
        #[cfg(not(feature = "text"))]
        let payloads = Vec::new();
        for part in inline {
            self.merge_part(table, &id, part, true, stamp)?;
        }
        let of_op = of_op.as_deref().unwrap_or(&values.columns);
        self.push_create(table, &id, (of_op, older), inline, &payloads)?;
        self.broken = false;
        #[cfg(feature = "text")]
        self.write_following(table, &id, following)?;
        if inline.is_empty() { self.write_parts(table, &id, planned) } else { Ok(()) }
    }

    /// The id of a new row: made from its values if the model says so, else the given one, else a UUIDv7.
    fn row_id(&self, table: usize, given: Uuid, values: &[ValueRef<'_>], at: Timestamp) -> Result<Uuid> {
        let schema = self.tables[table].schema;
        match derived_id(schema, values)? {
            Some(derived) if given.is_nil() || given == derived => Ok(derived),
            Some(derived) => Err(Error::NotDerived { model: schema.model, given, derived }),
            None if given.is_nil() => Ok(mint(at, self.host.random())),
            None => Ok(given),
        }
    }

    /// Inserts over a row that has been deleted. Its counters go on from where they were: the op has the
    /// deltas that lead to what was inserted. Its elements are back with it, and become those inserted.
    fn insert_again(
        &mut self,
        table: usize,
        id: Uuid,
        (given, older): (&RowValues<'_>, ForOlder),
        stamp: Stamp,
    ) -> Result<()> {
        let (values, collections) = (&given.columns, &given.collections);
        let schema = self.tables[table].schema;
        let (place, row) = self.rows.load(table, &id, &self.state.hidden)?;
        let refusal = self.check_space(table, id, (place, &row)).err();
        if let Some(refusal) = self.refusal(table, &id, place, &row, values).or(refusal) {
            // Nothing is written yet.
            self.broken = false;
            return Err(refusal);
        }
        let before = row.values.clone();
        let columns = schema.columns.iter().zip(&row.values).zip(values);
        let mut values: Vec<_> = columns.map(|((column, before), after)| written(column.rule, before, after)).collect();
        let added = self.insert_bases_again(table, &id, (&before, &given.columns), &mut values, stamp)?;
        let mut effects = self.effects(table, OpKind::Create, values.iter().cloned().enumerate());
        added.into_iter().for_each(|(column, added)| bases::add(&mut effects, column, Some(added)));
        let texts = (0..schema.columns.len()).filter(|&column| schema.columns[column].rule == MergeRule::Text);
        // The text that there is becomes the given one by edits, after this.
        effects.extend(texts.clone().map(|column| (column, Effect::Merged(None))));
        let payloads: Vec<Vec<u8>> = texts.map(|_| Vec::new()).collect();
        let op = RowOp { stamp, life: Life::Alive, effects };
        self.rows.merge_into(table, &id, (place, row), op, &self.state.registry, &mut self.state.hidden)?;
        self.push_create(table, &id, (&values, older), &[], &payloads)?;
        self.broken = false;
        #[cfg(feature = "text")]
        self.update_texts(table, &id, None, &before, given)?;
        let before = read_elements(self.conn, &self.tables[table], &id)?;
        let planned = self.plan(table, &before, collections, Scope::Whole)?;
        self.write_parts(table, &id, &planned)
    }

    /// Why a row can't be inserted over what its id has now, if it can't.
    fn refusal(
        &self,
        table: usize,
        id: &Uuid,
        place: Place,
        row: &Row<Value>,
        values: &[ValueRef<'_>],
    ) -> Option<Error> {
        let table = &self.tables[table];
        let (name, model, id) = (table.schema.table, table.schema.model, *id);
        if place == Place::Visible {
            return Some(Error::Exists { table: name, id });
        }
        if row.life == Life::Gone {
            return Some(Error::Deleted { table: name, id });
        }
        let differs =
            |column: &usize| row.clock.column(*column).is_some() && row.values[*column].as_ref() != values[*column];
        let differs =
            |column: &usize| differs(column) && !table.is_same_field(*column, (&id, &row.values), &values[*column]);
        let kept = (0..values.len()).filter(|&column| table.kept[column]).find(differs)?;
        Some(Error::Immutable { model, field: table.schema.columns[kept].field, id })
    }

    /// Writes the op of an insert, with what it says of texts, and what it carries for older versions.
    fn push_create(
        &mut self,
        table: usize,
        id: &Uuid,
        (values, older): (&[ValueRef<'_>], ForOlder),
        parts: &[Part<'_, '_>],
        texts: &[Vec<u8>],
    ) -> Result<()> {
        let (schema, same) = (self.tables[table].schema, self.tables[table].forms.are_the_same());
        let segment = self.segment(table);
        if parts.is_empty() && texts.is_empty() && same {
            let shape = match segment.create {
                Some(shape) => shape,
                None => {
                    let columns: Vec<_> = schema.columns.iter().map(tagged).collect();
                    *segment.create.insert(segment.writer.shape(OpKind::Create, &columns)?)
                }
            };
            segment.writer.push(shape, id, values.iter().map(ValueRef::borrowed))?;
        } else {
            let columns = schema.columns.iter().map(tagged).chain(older.columns);
            let columns: Vec<_> = columns.chain(parts.iter().map(of_part(schema))).collect();
            let shape = segment.writer.shape(OpKind::Create, &columns)?;
            let payloads: Vec<_> = parts.iter().map(Part::payload).collect();
            let composites = payloads.iter().map(|payload| OpValue::Composite(payload));
            let mut texts = texts.iter();
            let values = values.iter().zip(schema.columns).map(|(value, column)| match column.rule {
                MergeRule::Text => OpValue::Composite(texts.next().map_or(&[], Vec::as_slice)),
                _ => OpValue::Plain(value.clone()),
            });
            let older = older.values.into_iter().map(OpValue::Plain);
            segment.writer.push_values(shape, id, values.chain(older).chain(composites))?;
        }
        self.wrote();
        Ok(())
    }
}

/// What an insert's op carries: of a long text nothing, since that follows.
fn carried<'c, 'v>(schema: &ModelSchema, columns: &'c [ValueRef<'v>], older: &ForOlder) -> Cow<'c, [ValueRef<'v>]> {
    let follows = |(value, column): (&ValueRef<'_>, &ColumnSchema)| {
        column.rule == MergeRule::Text && matches!(value, ValueRef::Text(text) if text.len() > INLINE_BYTES_MAX)
    };
    if older.values.is_empty() && !columns.iter().zip(schema.columns).any(follows) {
        return Cow::Borrowed(columns);
    }
    let carried = columns.iter().zip(schema.columns);
    let of_model = carried.map(|(value, column)| if follows((value, column)) { ValueRef::Null } else { value.clone() });
    of_model.chain(older.values.iter().cloned()).collect()
}

/// The longest text that a row's create carries itself.
pub(super) const INLINE_BYTES_MAX: usize = 32 << 10;

/// A UUIDv7 (RFC 9562, section 5.7) from an op's timestamp, so that ids ascend in the order of
/// inserts: 48 bits of milliseconds, 16 of the counter, 58 random.
fn mint(at: Timestamp, random: [u8; 8]) -> Uuid {
    let (counter, [a, b, c, d, e, f, g, h]) = (at.counter(), random);
    let low = (counter as u8 & 0x0f) << 2 | a & 0x03;
    let bytes = [(counter >> 12) as u8, (counter >> 4) as u8, low, b, c, d, e, f, g, h];
    uuid::Builder::from_unix_timestamp_millis(at.ms(), &bytes).into_uuid()
}
