//! A fleet of devices on several versions of an app, in one process: to test an app's models before they ship.

mod check;
mod convert;
mod device;
mod line;
mod options;
mod play;
mod sample;
mod shrink;
mod step;
mod views;

pub use device::FleetDevice;
pub use options::{FleetFailure, FleetOptions, FleetReport, fleet};

use std::collections::BTreeMap;
use std::sync::Arc;

use self::device::name_of;
use self::step::{RowName, Start};
use super::devices::{START_MS, pair, sync};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::host::{Host, ManualClock};
use crate::oplog::{Head, LogId, SpaceId};
use crate::schema::{Model, ModelSchema, Value};
use crate::store::Memory;

/// A version of the app.
#[derive(Debug)]
pub(super) struct Version {
    /// What the story calls it: `v2`.
    label: String,
    models: Vec<Model>,
}

/// A value that the app has given for a column.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    table: String,
    column: String,
    value: Value,
}

/// Devices of one user on several versions of an app: with databases in memory, clocks that move by hand, and
/// randomness that follows a seed.
///
/// Made by [`Fleet::of`]. [`fleet()`] plays generated stories; for one of the app's own, [`FleetOptions::start`] gives
/// the devices, each of which is used as its [`Db`]:
///
/// ```ignore
/// let mut fleet = Fleet::of(&[&models![v1::Todo], &models![Todo]]).installed([0, 1]).start()?;
/// let milk = fleet.device(0).insert(v1::Todo { title: "Buy milk".into(), ..Default::default() })?;
/// fleet.sync(0, 1)?;
/// fleet.device(1).update(milk.id, |todo: &mut Todo| todo.rank = 3)?;
/// fleet.upgrade(0, 1)?;
/// fleet.check()?;
/// ```
///
/// # Old versions in one binary
/// An app's code has one struct of each model, whose attributes tell its history. What an old version wrote can be
/// tested by that version only, so its struct stays, in a module of the tests, as it was released:
///
/// ```ignore
/// #[cfg(test)]
/// mod v1 {
///     use cfost::prelude::*;
///
///     /// As it was released with version 1: never to be changed.
///     #[derive(Synced, Debug, Clone, Default, PartialEq)]
///     #[synced(table = "todos", version = 1)]
///     pub struct Todo {
///         #[synced(id)]
///         pub id: Uuid,
///         pub title: String,
///     }
/// }
///
/// #[test]
/// fn old_and_new_versions_share_their_todos() {
///     cfost::testing::fleet(&[&models![v1::Todo], &models![v2::Todo], &models![Todo]]);
/// }
/// ```
///
/// Before a release that changes a model, copy the struct, as it is in the version that is out there, into such a module;
/// types of fields that change as well, such as enums, go with it. A version lists all models that it had, so models
/// may come and go.
#[derive(Debug)]
pub struct Fleet {
    versions: Arc<[Version]>,
    samples: Arc<[Sample]>,
    /// The tables of all versions.
    tables: Vec<&'static str>,
    devices: Vec<FleetDevice>,
    /// A device of the user that was never used: what it receives it has from the others alone.
    newcomer: FleetDevice,
    /// Per log, the newest change that was acknowledged to an app, and the device that made it.
    written: BTreeMap<(SpaceId, LogId), (Head, usize)>,
}

impl Fleet {
    /// Chooses a fleet for the versions of an app, from the oldest to the newest: each is what its `Db::open` is
    /// given.
    pub fn of(versions: &[&[Model]]) -> FleetOptions {
        FleetOptions::new(versions)
    }

    /// The `n`-th device, from 0.
    ///
    /// # Panics
    /// When the fleet has fewer devices.
    pub fn device(&self, n: usize) -> &FleetDevice {
        &self.devices[n]
    }

    /// All devices.
    pub fn devices(&self) -> &[FleetDevice] {
        &self.devices
    }

    /// Runs one session between two devices, after which both hold the same.
    ///
    /// # Errors
    /// When the session ends before that.
    ///
    /// # Panics
    /// When the fleet has fewer devices.
    pub fn sync(&mut self, dialer: usize, listener: usize) -> Result<()> {
        self.note_written(dialer)?;
        self.note_written(listener)?;
        sync_well(self.devices[dialer].db(), self.devices[listener].db())
    }

    /// All devices meet, until all hold the same.
    ///
    /// # Errors
    /// As [`Fleet::sync`].
    pub fn meet(&mut self) -> Result<()> {
        for _ in 0..2 {
            for other in 1..self.devices.len() {
                self.sync(0, other)?;
            }
        }
        Ok(())
    }

    /// Closes a device's database and opens it by another version of the app; `version` is its place in the list that
    /// the fleet was made of, from 0.
    ///
    /// # Errors
    /// Those of [`Db::open`]; the device then goes on as it was. A version that isn't in the list.
    ///
    /// # Panics
    /// When the fleet has fewer devices.
    pub fn upgrade(&mut self, device: usize, version: usize) -> Result<()> {
        let versions = Arc::clone(&self.versions);
        let Some(Version { models, .. }) = versions.get(version) else {
            let (asked, versions) = (version + 1, self.versions.len());
            return Err(Error::abort(format!("version {asked} was asked for, the fleet has {versions}")));
        };
        self.note_written(device)?;
        self.devices[device].reopen(version, models)
    }

    /// Closes a device's database and opens it again.
    ///
    /// # Errors
    /// Those of [`Db::open`].
    ///
    /// # Panics
    /// When the fleet has fewer devices.
    pub fn restart(&mut self, device: usize) -> Result<()> {
        self.upgrade(device, self.devices[device].version())
    }

    /// Takes note of what a device has acknowledged to its app; says whether there is anything new.
    fn note_written(&mut self, device: usize) -> Result<bool> {
        let mut new = false;
        for (space, log, head) in self.devices[device].written()? {
            let (known, _) = self.written.entry((space, log)).or_insert((Head::NONE, device));
            new |= known.seq < head.seq;
            if known.seq < head.seq {
                *known = head;
            }
        }
        Ok(new)
    }

    /// A device with the version that it is on.
    fn name(&self, device: usize) -> String {
        self.label(&self.devices[device])
    }

    /// What a row is called, as `Todo A`.
    fn row_name(&self, row: RowName) -> String {
        let schemas = self.versions.iter().rev().flat_map(|version| &version.models).map(|model| model.schema);
        let table = self.tables[row.table];
        let model = schemas.filter(|schema| schema.table == table).map(|schema| schema.model).next();
        format!("{} {}", model.unwrap_or(table), char::from(b'A' + row.row as u8))
    }

    /// A model in the version that a device is on, and its place there; `None` if that version has no such model.
    fn schema(&self, device: usize, table: usize) -> Option<(usize, &'static ModelSchema)> {
        let models = &self.versions[self.devices[device].version()].models;
        let mut schemas = models.iter().map(|model| model.schema).enumerate();
        schemas.find(|(_, schema)| schema.table == self.tables[table])
    }

    fn table_number(&self, table: &str) -> Option<usize> {
        self.tables.iter().position(|known| *known == table)
    }
}

/// Runs a session over a good line.
fn sync_well(dialer: &Db, listener: &Db) -> Result<()> {
    let mut pipe = line::connect(dialer, listener)?;
    pipe.run();
    line::check_good(&mut pipe).map(drop)
}

/// Devices that know of each other and hold nothing else yet: pairing them once serves many stories.
struct Paired {
    versions: Arc<[Version]>,
    samples: Arc<[Sample]>,
    memories: Vec<Memory>,
    newcomer: Memory,
    seed: u64,
}

impl Paired {
    fn new(versions: Arc<[Version]>, samples: Arc<[Sample]>, (count, seed): (usize, u64)) -> Result<Self> {
        if versions.is_empty() {
            return Err(Error::abort("a fleet needs a version of the app: list its models"));
        }
        let clock = ManualClock::at(START_MS);
        let mut opened: Vec<(Memory, Db)> = Vec::new();
        for n in 0..=count {
            let memory = Memory::new()?;
            let host = Host::simulated(clock.clone(), seed_of(seed, n));
            let options = Db::options().host(host.clone()).device_name(name_of(n));
            let db = options.open_kept(&memory, &[])?;
            if let Some((_, first)) = opened.first() {
                pair(first, &db, &host)?;
            }
            opened.push((memory, db));
        }
        for (_, other) in opened.iter().skip(1) {
            sync(&opened[0].1, other)?;
        }
        let mut memories: Vec<Memory> = opened.into_iter().map(|(memory, _)| memory).collect();
        let newcomer = memories.pop().ok_or_else(|| Error::abort("a fleet needs a device"))?;
        Ok(Self { versions, samples, memories, newcomer, seed })
    }

    /// Some of the devices, each with a version of the app.
    fn start(&self, devices: &[Start]) -> Result<Fleet> {
        let open = |memory: &Memory, Start { paired, version }: Start| {
            // Another stream than that of the pairing.
            let (name, seed) = (name_of(paired), !seed_of(self.seed, paired));
            let models = &self.versions[version].models;
            FleetDevice::open(memory.copy()?, (name, seed), ManualClock::at(START_MS), (version, models))
        };
        let newcomer = open(&self.newcomer, Start { paired: self.memories.len(), version: 0 })?;
        let devices = devices.iter().map(|start| open(&self.memories[start.paired], *start)).collect::<Result<_>>()?;
        let mut tables: Vec<&'static str> = Vec::new();
        for model in self.versions.iter().flat_map(|version| &version.models) {
            if !tables.contains(&model.schema.table) {
                tables.push(model.schema.table);
            }
        }
        let (versions, samples) = (Arc::clone(&self.versions), Arc::clone(&self.samples));
        Ok(Fleet { versions, samples, tables, devices, newcomer, written: BTreeMap::new() })
    }
}

fn seed_of(seed: u64, device: usize) -> u64 {
    seed.wrapping_mul(1000).wrapping_add(device as u64)
}
