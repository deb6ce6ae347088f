//! Plays a story on a fleet, and tells it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::random::Random;
use super::super::story::is_refusal;
use super::super::values;
use super::Fleet;
use super::line::{self, Lines};
use super::step::{Edit, ROWS, RowName, Step};
use crate::db::Tx;
use crate::error::Result;
use crate::schema::{CollectionSchema, ColumnSchema, Element, MergeRule, ModelSchema, RowValues, Value, ValueRef};
use crate::sync::pipe::End;

/// The time that passes with every step, in milliseconds.
const STEP_MS: u64 = 500;

/// Plays steps on a fleet.
pub(super) struct Player<'f> {
    pub(super) fleet: &'f mut Fleet,
    /// The ids of rows that are made from their values, as far as they are known.
    derived: BTreeMap<RowName, Uuid>,
    /// The devices on one side of the network, while it is in two parts.
    split: Option<u64>,
    lines: Lines,
    /// What happened, a sentence a step.
    told: &'f mut Vec<String>,
}

/// What a write came to: what is told of it, or that nothing was written.
type Told = Option<String>;

impl<'f> Player<'f> {
    pub(super) fn new(fleet: &'f mut Fleet, told: &'f mut Vec<String>) -> Self {
        Self { fleet, derived: BTreeMap::new(), split: None, lines: Lines::default(), told }
    }

    /// Plays one step; says whether anything came of it.
    pub(super) fn step(&mut self, step: &Step) -> Result<bool> {
        self.fleet.devices.iter().for_each(|device| device.clock().advance(STEP_MS));
        let told = match *step {
            Step::Insert { device, row, draw } => self.write(device, |player, tx| player.insert(tx, device, row, draw)),
            Step::Edit { device, edit } => self.write(device, |player, tx| player.edit(tx, device, edit)),
            Step::Delete { device, row } => self.write(device, |player, tx| player.delete(tx, device, row)),
            Step::Undo { device } => self.undo(device),
            Step::Sync { devices: [device, other] } => self.sync(device, other),
            Step::BadSync { devices: [device, other], draw } => self.sync_badly(device, other, draw),
            Step::Connect { devices } => self.connect(devices),
            Step::Disconnect { device } => {
                let lost = self.lines.keep(|ends| !ends.contains(&device));
                Ok(lost.then(|| format!("{} loses its connections", self.name(device))))
            }
            Step::Kill { devices: [device, other], edit } => self.kill(device, other, edit),
            Step::Split { side } => Ok(self.split(side)),
            Step::Heal => Ok(self.split.take().map(|_| "the network is whole again".to_owned())),
            Step::Upgrade { device } => self.upgrade(device),
            Step::Restart { device } => {
                self.lines.keep(|ends| !ends.contains(&device));
                self.fleet.restart(device).map(|()| Some(format!("{} restarts", self.name(device))))
            }
            Step::Clock { device, ms } => Ok(self.set_clock(device, ms)),
        };
        let told = told.and_then(|told| self.lines.carry().map(|()| told));
        let told = told.inspect_err(|_| self.told.push(format!("{}, which fails", self.attempt(step))))?;
        let happened = told.is_some();
        self.told.extend(told);
        Ok(happened)
    }

    /// The device with its version.
    fn name(&self, device: usize) -> String {
        self.fleet.name(device)
    }

    /// What a step that failed was about to do.
    fn attempt(&self, step: &Step) -> String {
        let row = |row| self.fleet.row_name(row);
        let name = |&device: &usize| self.name(device);
        match step {
            Step::Insert { device, row: of, .. } => format!("{} inserts {}", name(device), row(*of)),
            Step::Edit { device, edit } => format!("{} edits {}", name(device), row(edit.row)),
            Step::Delete { device, row: of } => format!("{} deletes {}", name(device), row(*of)),
            Step::Undo { device } => format!("{} undoes its last change", name(device)),
            Step::Sync { devices: [device, other] } => format!("{} and {} sync", name(device), name(other)),
            Step::BadSync { devices: [device, other], .. } => {
                format!("{} and {} sync over a bad line", name(device), name(other))
            }
            Step::Connect { devices: [device, other] } => format!("{} and {} connect", name(device), name(other)),
            Step::Disconnect { device } => format!("{} loses its connections", name(device)),
            Step::Kill { devices: [device, other], edit } => {
                let (device, other) = (name(device), name(other));
                format!("{device} edits {}, and is killed while it sends that to {other}", row(edit.row))
            }
            Step::Upgrade { device } => format!("{} upgrades", name(device)),
            Step::Restart { device } => format!("{} restarts", name(device)),
            Step::Clock { device, .. } => format!("the clock of {} jumps", name(device)),
            Step::Split { .. } => "the network falls apart".to_owned(),
            Step::Heal => "the network is whole again".to_owned(),
        }
    }

    /// Runs a write as one transaction; nothing comes of one that the model doesn't allow.
    fn write(&mut self, device: usize, work: impl FnOnce(&mut Self, &mut Tx<'_>) -> Result<Told>) -> Result<Told> {
        let db = self.fleet.devices[device].db().clone();
        let told = match db.write(|tx| work(self, tx)) {
            Err(error) if is_refusal(&error) => None,
            told => told?,
        };
        let written = self.fleet.note_written(device)?;
        Ok(told.filter(|_| written).map(|what| format!("{} {what}", self.name(device))))
    }

    fn insert(&mut self, tx: &mut Tx<'_>, device: usize, row: RowName, draw: u64) -> Result<Told> {
        let Some((table, schema)) = self.fleet.schema(device, row.table) else { return Ok(None) };
        let given = if schema.id_from.is_empty() { fixed_id(row) } else { Uuid::nil() };
        let columns = schema.columns.iter().map(|column| self.value(schema, column, row, draw));
        let columns: Vec<_> = columns.collect::<Result<_>>()?;
        let collections = schema.collections.iter();
        let collections: Vec<_> =
            collections.map(|of| values::elements(&mut field_random(draw, of.op_name), of, &[])).collect();
        let columns_told = schema.columns.iter().zip(&columns).map(|(column, value)| assignment(column.name, value));
        let elements_told =
            schema.collections.iter().zip(&collections).map(|(of, elements)| elements_assignment(of, elements));
        let what: Vec<String> = columns_told.chain(elements_told).collect();
        let values = RowValues::new(columns, collections);
        let id = tx.inner().whole(|tx| tx.insert(table, given, &values))?;
        if !schema.id_from.is_empty() {
            self.derived.insert(row, id);
        }
        Ok(Some(format!("inserts {}: {}", self.fleet.row_name(row), what.join(", "))))
    }

    fn edit(&mut self, tx: &mut Tx<'_>, device: usize, edit: Edit) -> Result<Told> {
        let Edit { row, fields, draw } = edit;
        let Some((table, schema)) = self.fleet.schema(device, row.table) else { return Ok(None) };
        let Some(id) = self.id(schema, row) else { return Ok(None) };
        let Some(stored) = tx.inner().load(table, &id)? else { return Ok(None) };
        let (before, elements) = (stored.row.values.clone(), stored.collections);
        let mut columns: Vec<ValueRef<'_>> = before.iter().map(Value::as_ref).collect();
        let mut collections: Vec<Vec<Element<'_>>> = elements.clone();
        let mut what = Vec::new();
        let count = schema.columns.len() + schema.collections.len();
        let chosen = |n: usize| (n..64).step_by(count).any(|bit| fields >> bit & 1 == 1);
        for (n, column) in schema.columns.iter().enumerate().filter(|(n, _)| chosen(*n)) {
            let value = self.value(schema, column, row, draw)?;
            if !schema.keeps(column) && value != columns[n] {
                what.push(assignment(column.name, &value));
                columns[n] = value;
            }
        }
        for (n, of) in schema.collections.iter().enumerate().filter(|(n, _)| chosen(schema.columns.len() + n)) {
            let after = values::elements(&mut field_random(draw, of.op_name), of, &elements[n]);
            if after != elements[n] {
                what.push(elements_assignment(of, &after));
                collections[n] = after;
            }
        }
        let mut after = RowValues::new(columns, collections);
        tx.inner().whole(|tx| {
            tx.seal_edits(table, &id, &before, &mut after)?;
            tx.update(table, &id, stored.row, &(before.clone(), elements), &after)
        })?;
        Ok(Some(format!("edits {}: {}", self.fleet.row_name(row), what.join(", "))))
    }

    fn delete(&mut self, tx: &mut Tx<'_>, device: usize, row: RowName) -> Result<Told> {
        let Some((table, schema)) = self.fleet.schema(device, row.table) else { return Ok(None) };
        let Some(id) = self.id(schema, row) else { return Ok(None) };
        let deleted = tx.inner().whole(|tx| tx.delete(table, &id))?;
        Ok(deleted.then(|| format!("deletes {}", self.fleet.row_name(row))))
    }

    fn undo(&mut self, device: usize) -> Result<Told> {
        match self.fleet.devices[device].undo() {
            Err(error) if is_refusal(&error) => return Ok(None),
            undone => drop(undone?),
        }
        let written = self.fleet.note_written(device)?;
        Ok(written.then(|| format!("{} undoes its last change", self.name(device))))
    }

    fn can_meet(&self, device: usize, other: usize) -> bool {
        device != other && self.split.is_none_or(|side| (side >> device & 1) == (side >> other & 1))
    }

    fn sync(&mut self, device: usize, other: usize) -> Result<Told> {
        if !self.can_meet(device, other) {
            return Ok(None);
        }
        self.fleet.sync(device, other)?;
        Ok(Some(format!("{} and {} sync", self.name(device), self.name(other))))
    }

    fn connect(&mut self, devices: [usize; 2]) -> Result<Told> {
        let [device, other] = devices;
        if !self.can_meet(device, other) || !self.lines.connect(self.fleet, devices)? {
            return Ok(None);
        }
        Ok(Some(format!("{} and {} connect, and stay so", self.name(device), self.name(other))))
    }

    fn sync_badly(&mut self, device: usize, other: usize, draw: u64) -> Result<Told> {
        if !self.can_meet(device, other) {
            return Ok(None);
        }
        let [one, two] = [device, other].map(|n| self.fleet.devices[n].db());
        let faults = line::sync_badly(one, two, Random::new(draw))?;
        let faults = if faults.any() { format!(" over a bad line: {faults}") } else { String::new() };
        Ok(Some(format!("{} and {} sync{faults}", self.name(device), self.name(other))))
    }

    /// A device writes while it is connected to another one, and is killed when the change is signed and on its way:
    /// no byte of it arrives.
    fn kill(&mut self, device: usize, other: usize, edit: Edit) -> Result<Told> {
        if !self.can_meet(device, other) {
            return Ok(None);
        }
        let [one, two] = [device, other].map(|n| self.fleet.devices[n].db());
        let mut pipe = line::connect(one, two)?;
        pipe.run();
        let Some(told) = self.write(device, |player, tx| player.edit(tx, device, edit))? else { return Ok(None) };
        pipe.changed(End::Dialer);
        pipe.turn(End::Dialer);
        pipe.disconnect();
        line::check(&mut pipe, line::Faults::default())?;
        drop(pipe);
        self.lines.keep(|ends| !ends.contains(&device));
        self.fleet.restart(device)?;
        Ok(Some(format!("{told}; it is killed while it sends that to {}", self.name(other))))
    }

    fn split(&mut self, side: u64) -> Told {
        let names = |of: u64| -> Vec<String> {
            (0..self.fleet.devices.len()).filter(|n| side >> n & 1 == of).map(|n| self.name(n)).collect()
        };
        let (ones, others) = (names(1), names(0));
        let parts = !ones.is_empty() && !others.is_empty();
        let told = parts.then(|| format!("the network falls apart: {} | {}", ones.join(", "), others.join(", ")));
        if told.is_some() {
            self.split = Some(side);
            self.lines.keep(|[device, other]| (side >> device & 1) == (side >> other & 1));
        }
        told
    }

    fn upgrade(&mut self, device: usize) -> Result<Told> {
        let before = self.name(device);
        let next = self.fleet.devices[device].version() + 1;
        if next >= self.fleet.versions.len() {
            return Ok(None);
        }
        self.lines.keep(|ends| !ends.contains(&device));
        self.fleet.upgrade(device, next)?;
        Ok(Some(format!("{before} upgrades to {}", self.fleet.versions[next].label)))
    }

    fn set_clock(&self, device: usize, ms: i64) -> Told {
        let of = &self.fleet.devices[device];
        of.clock().set(of.host().now_ms().saturating_add_signed(ms));
        let (way, ms) = if ms < 0 { ("back", ms.unsigned_abs()) } else { ("ahead", ms.unsigned_abs()) };
        Some(format!("the clock of {} jumps {way} by {}.{:03} s", self.name(device), ms / 1000, ms % 1000))
    }

    /// The row's id, if it is known.
    fn id(&self, schema: &ModelSchema, row: RowName) -> Option<Uuid> {
        if schema.id_from.is_empty() { Some(fixed_id(row)) } else { self.derived.get(&row).copied() }
    }

    /// A value for a field. One that rows keep follows from the row: else no two devices could insert the same one.
    fn value(&self, schema: &ModelSchema, column: &ColumnSchema, row: RowName, draw: u64) -> Result<ValueRef<'static>> {
        let draw = if schema.keeps(column) { (row.table * ROWS + row.row) as u64 } else { draw };
        let named = column.reference.and_then(|reference| self.fleet.table_number(reference.table));
        let rows = named.into_iter().flat_map(|table| (0..ROWS).map(move |row| RowName { table, row }));
        let named: Vec<Uuid> = rows.map(|row| self.derived.get(&row).copied().unwrap_or(fixed_id(row))).collect();
        self.fleet.sample(&mut field_random(draw, column.op_name), schema, column, &named)
    }

    /// Says of the rows in a text what the story calls them.
    pub(super) fn with_names(&self, mut text: String) -> String {
        for table in 0..self.fleet.tables.len() {
            for row in (0..ROWS).map(|row| RowName { table, row }) {
                let id = self.derived.get(&row).copied().unwrap_or(fixed_id(row));
                let hex: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                let name = self.fleet.row_name(row);
                text = text.replace(&format!("x'{hex}'"), &name).replace(&id.to_string(), &name);
            }
        }
        text
    }
}

/// The id of a row that isn't made from its values.
fn fixed_id(row: RowName) -> Uuid {
    /// As if minted, in 2026.
    const FIRST: u128 = 0x019b_8000_0000_7000_8000_0000_0000_0000;
    Uuid::from_u128(FIRST + ((row.table as u128 + 1) << 8) + row.row as u128)
}

/// What a field's values are drawn from: of each field by itself, so that it doesn't depend on the others.
fn field_random(draw: u64, field: &str) -> Random {
    let hash = field.bytes().fold(draw, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Random::new(hash)
}

fn assignment(name: &str, value: &ValueRef<'_>) -> String {
    format!("{name} = {value}")
}

fn elements_assignment(of: &CollectionSchema, elements: &[Element<'_>]) -> String {
    let element = |element: &Element<'_>| match (&element.key, &element.value) {
        (_, Some(value)) if of.rule == MergeRule::List => value.to_string(),
        (key, Some(value)) => format!("{key}: {value}"),
        (key, None) => key.to_string(),
    };
    let elements: Vec<String> = elements.iter().map(element).collect();
    format!("{} = [{}]", of.name, elements.join(", "))
}
