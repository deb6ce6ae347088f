//! A local transaction: rows written at once, ops collected, and one change made of them at the end.

use rusqlite::Connection;
use uuid::Uuid;

use super::edits::{self, CollectionEdits, Mint, Part, Scope};
use super::elements::{Edited, read_elements};
use super::forms::OpColumn;
use super::ledger::HOME;
use super::pages::{Page, Pages};
use super::rows::{Place, Rows};
use super::state::State;
use super::table::Table;
#[cfg(feature = "text")]
use super::texts::read_texts;
use crate::crdt::{Effect, Life, Row, RowOp, Stamp};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::oplog::limits::ELEMENTS_MAX;
use crate::oplog::{OpKind, OpValue, RuleTag};
#[cfg(feature = "text")]
use crate::schema::TextValue;
use crate::schema::{ColumnSchema, Element, MergeRule, ModelSchema, RowValues, Value, ValueRef};

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
    /// What is written in the space of the last op: at first, and of most transactions all, in the home space.
    pub(super) page: Page,
    pub(super) pages: Pages,
    /// How many ops were written, those that were undone included.
    pub(super) written: u64,
    /// A write failed between its row and its op: the two no longer agree.
    pub(super) broken: bool,
}

/// A visible row as it is stored.
pub(crate) struct Stored {
    pub(crate) row: Row<Value>,
    pub(crate) collections: Vec<Vec<Element<'static>>>,
    #[cfg(feature = "text")]
    pub(crate) texts: Vec<TextValue<'static>>,
}

impl<'c> WriteTx<'c> {
    /// Begins on a connection that is in an SQL transaction.
    pub(super) fn new(conn: &'c Connection, tables: &'c [Table], state: &'c mut State, host: &'c Host) -> Self {
        let base = state.hlc.now(host.now_ms());
        let page = Page::new(HOME, state.own.home(), base);
        let (rows, pages) = (Rows::new(conn, tables), Pages::new(base));
        Self { conn, tables, state, host, rows, page, pages, written: 0, broken: false }
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
        let written = self.written;
        let result = write(self);
        if result.is_err() && self.written != written {
            self.broken = true;
        }
        result
    }

    /// An op was written, and the row that it is about.
    pub(super) fn wrote(&mut self) {
        self.page.note_op();
        self.written += 1;
        self.broken = false;
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
        self.enter_for(table, id, &row)?;
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
        self.wrote();
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
        let mut names = Mint::new(self.page.end(), self.host);
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
        self.enter_for(table, id, &loaded.1)?;
        let at = self.next_at(table, &[], &[])?;
        let op = RowOp { stamp: self.stamp(at), life: self.tables[table].death(), effects: Vec::new() };
        self.broken = true;
        self.rows.merge_into(table, id, loaded, op, &self.state.registry, &mut self.state.hidden)?;
        let segment = self.segment(table);
        let shape = segment.writer.shape(OpKind::Delete, &[])?;
        segment.writer.push(shape, id, std::iter::empty())?;
        self.wrote();
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
        self.enter_for_row(table, id)?;
        let at = self.next_at(table, &[], &[])?;
        let op = RowOp { stamp: self.stamp(at), life: Life::Alive, effects: Vec::new() };
        self.broken = true;
        self.rows.merge(table, id, op, &self.state.registry, &mut self.state.hidden)?;
        let segment = self.segment(table);
        let shape = segment.writer.shape(OpKind::Update, &[])?;
        segment.writer.push(shape, id, std::iter::empty())?;
        self.wrote();
        Ok(())
    }
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
