//! What happens on the devices of a case: writes of all kinds, syncs, clocks that differ.

use uuid::Uuid;

use super::devices::{TestDevice, sync};
use super::random::Random;
use super::values;
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::schema::{ColumnSchema, Element, ModelSchema, RowValues, ValueRef};
use crate::store::HistoryError;
use crate::sync::Seqs;

/// How many steps a story has.
const STEPS: usize = 48;

/// How many rows of each model the devices write to.
const ROWS_MAX: usize = 5;

/// The most that a clock jumps ahead, in milliseconds.
const JUMP_MS_MAX: usize = 40_000;

/// A story as it happens.
pub(super) struct Story<'a> {
    devices: &'a [TestDevice],
    schemas: Vec<&'static ModelSchema>,
    random: Random,
    /// Rows that were inserted, each with its model's number.
    pub(super) rows: Vec<(usize, Uuid)>,
    /// What happened, a line a step.
    pub(super) told: Vec<String>,
}

impl<'a> Story<'a> {
    pub(super) fn new(devices: &'a [TestDevice], schemas: Vec<&'static ModelSchema>, random: Random) -> Self {
        Self { devices, schemas, random, rows: Vec::new(), told: Vec::new() }
    }

    /// Plays the story.
    pub(super) fn play(&mut self) -> Result<()> {
        for _ in 0..STEPS {
            let device = self.random.below(self.devices.len());
            match self.random.below(100) {
                0..20 => self.write(device, "inserts", Self::insert)?,
                20..60 => self.write(device, "updates", Self::update)?,
                60..70 => self.write(device, "deletes", Self::delete)?,
                70..75 => self.undo(device)?,
                75..90 => self.sync(device)?,
                _ => self.jump(device),
            }
        }
        Ok(())
    }

    /// Runs a few writes of one kind as one transaction.
    fn write(&mut self, device: usize, what: &str, step: fn(&mut Self, &mut Tx<'_>) -> Result<()>) -> Result<()> {
        self.told.push(format!("device {device} {what}"));
        let db = self.devices[device].db.clone();
        db.write(|tx| {
            for _ in 0..=self.random.below(3) {
                // What a model refuses (an update of an immutable field, say) is no part of the story.
                match tx.savepoint(|tx| step(self, tx)) {
                    Err(error) if !is_refusal(&error) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        })?;
        if self.told.last().is_some_and(|last| !last.contains('\n')) {
            // Nothing came of it.
            self.told.pop();
        }
        // A change that was signed alone can arrive alone.
        if self.random.percent(50) { sign(&db) } else { Ok(()) }
    }

    fn insert(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let table = self.random.below(self.schemas.len());
        let known: Vec<Uuid> = self.rows.iter().filter(|(of, _)| *of == table).map(|(_, id)| *id).collect();
        let again = known.len() >= ROWS_MAX || (!known.is_empty() && self.random.percent(25));
        // An id that is taken: the row may have been deleted, or not be here yet.
        let given = if again { *self.random.pick(&known) } else { Uuid::nil() };
        let schema = self.schemas[table];
        let columns = schema.columns.iter().map(|column| self.value(column)).collect();
        let collections = schema.collections.iter().map(|of| values::elements(&mut self.random, of, &[])).collect();
        let id = tx.inner().insert(table, given, &RowValues::new(columns, collections))?;
        self.tell(&format!("row {id} of '{}'", schema.table));
        if !known.contains(&id) {
            self.rows.push((table, id));
        }
        Ok(())
    }

    fn update(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let Some((table, id)) = self.row() else { return Ok(()) };
        let schema = self.schemas[table];
        let Some(stored) = tx.inner().load(table, &id)? else { return Ok(()) };
        let (before, elements) = (stored.row.values.clone(), stored.collections);
        let mut columns: Vec<ValueRef<'_>> = before.iter().map(|value| value.as_ref()).collect();
        let mut collections: Vec<Vec<Element<'_>>> = elements.clone();
        let mut edited = Vec::new();
        for (n, column) in schema.columns.iter().enumerate() {
            if !column.immutable && self.random.percent(40) {
                columns[n] = self.value(column);
                edited.push(format!("{} = {}", column.name, columns[n]));
            }
        }
        for (n, collection) in schema.collections.iter().enumerate() {
            if self.random.percent(50) {
                collections[n] = values::elements(&mut self.random, collection, &elements[n]);
                edited.push(format!("{}: {} elements", collection.name, collections[n].len()));
            }
        }
        let mut after = RowValues::new(columns, collections);
        tx.inner().seal_edits(table, &id, &before, &mut after)?;
        tx.inner().update(table, &id, stored.row, &(before.clone(), elements), &after)?;
        self.tell(&format!("row {id} of '{}': {}", schema.table, edited.join(", ")));
        Ok(())
    }

    fn delete(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let Some((table, id)) = self.row() else { return Ok(()) };
        if tx.inner().delete(table, &id)? {
            self.tell(&format!("row {id} of '{}'", self.schemas[table].table));
        }
        Ok(())
    }

    fn undo(&mut self, device: usize) -> Result<()> {
        self.told.push(format!("device {device} undoes its last change"));
        match self.devices[device].db.undo() {
            Err(error) if !is_refusal(&error) => Err(error),
            _ => Ok(()),
        }
    }

    fn sync(&mut self, device: usize) -> Result<()> {
        let other = self.random.below(self.devices.len());
        if other == device {
            return Ok(());
        }
        self.told.push(format!("device {device} syncs with device {other}"));
        sync(&self.devices[device].db, &self.devices[other].db)
    }

    fn jump(&mut self, device: usize) {
        let ms = self.random.below(JUMP_MS_MAX) as u64;
        self.told.push(format!("the clock of device {device} jumps ahead by {ms} ms"));
        self.devices[device].clock.advance(ms);
    }

    fn row(&mut self) -> Option<(usize, Uuid)> {
        (!self.rows.is_empty()).then(|| *self.random.pick(&self.rows))
    }

    /// Adds to what the last step is told as.
    fn tell(&mut self, what: &str) {
        if let Some(last) = self.told.last_mut() {
            last.push_str("\n      ");
            last.push_str(what);
        }
    }

    fn value(&mut self, column: &ColumnSchema) -> ValueRef<'static> {
        let table = column.reference.map(|reference| reference.table);
        let named = |(of, _): &&(usize, Uuid)| Some(self.schemas[*of].table) == table;
        let rows: Vec<Uuid> = self.rows.iter().filter(named).map(|(_, id)| *id).collect();
        values::value(&mut self.random, column, &rows)
    }
}

/// Signs what a database holds, as when it is about to leave the device.
fn sign(db: &Db) -> Result<()> {
    let replica = db.replica()?;
    for space in replica.spaces(replica.device()).map_err(Error::abort)? {
        let frontier = replica.frontier(space).map_err(Error::abort)?;
        let held: Seqs = frontier.iter().map(|(log, head)| (log, head.seq)).collect();
        replica.runs_after(space, &held, 1).map_err(Error::abort)?;
    }
    Ok(())
}

/// Whether an error says that a model doesn't allow a write, which is no fault of the merge.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Exists { .. }
            | Error::NotFound { .. }
            | Error::Deleted { .. }
            | Error::Immutable { .. }
            | Error::NotDerived { .. }
            | Error::MissingParent { .. }
            | Error::Unstorable { .. }
            | Error::NoFieldKey { .. }
            | Error::History(HistoryError::NothingToUndo)
    )
}
