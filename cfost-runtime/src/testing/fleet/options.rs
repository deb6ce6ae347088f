//! How a fleet is chosen, and what came of its stories.

use std::fmt;
use std::sync::Arc;

use super::super::laws::{SEED_VARIABLE, alone, chosen_seed};
use super::super::random::Random;
use super::shrink::{self, Broken};
use super::step::{Plan, Sizes, Start};
use super::{Fleet, Paired, Sample, Version};
use crate::error::Result;
use crate::schema::{Column, Model};

/// How many stories are played, each from its own seed.
const STORIES: u64 = 6;

/// How many devices a fleet has unless it is told.
const DEVICES: usize = 4;

/// How many steps a story has unless it is told.
const STEPS: usize = 100;

/// The most devices of a fleet: the sides of a network in two parts are bits.
const DEVICES_MAX: usize = 64;

/// Plays stories of devices on several versions of an app, over generated values for its models, and checks that they
/// agree: the one line to have in the tests of an app that has released more than one version.
///
/// `versions` are the models of each version, from the oldest to the newest:
///
/// ```ignore
/// cfost::testing::fleet(&[&models![v1::Todo], &models![v2::Todo], &models![Todo]]);
/// ```
///
/// Devices on any of these versions insert, edit, delete, bring back and undo; they sync, stay connected, and sync over
/// lines that lose, double, reorder and break off messages; the network falls apart and heals; devices restart, are killed while they send,
/// upgrade, and have clocks that jump. Then holds what [`Fleet::check`] says.
///
/// What is generated are values that the columns can hold, and that the upgrade functions take, but else not values of
/// the fields' types: an enum's column is given texts that are none of its variants, unless [`FleetOptions::values`] says
/// which there are. References to models that aren't given are taken for plain columns, and all rows live in the home
/// space of the one user, where they merge as in any other: sharing is for stories of the app's own.
/// [`Fleet`] says how an app keeps the structs of its earlier versions, and plays stories of the app's own.
///
/// Devices sign and verify: without `curve25519-dalek.opt-level = 3` under `[profile.dev.package]` in the app's
/// `Cargo.toml`, a test in debug takes twenty times as long.
///
/// The stories are the same on every run. `CFOST_SEED=7 cargo test` plays the one of seed 7 alone.
///
/// # Panics
/// When devices don't agree: with the seed, and the shortest story found that still shows it.
pub fn fleet(versions: &[&[Model]]) {
    Fleet::of(versions).run();
}

/// Choices for a fleet; made by [`Fleet::of`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FleetOptions {
    versions: Vec<Vec<Model>>,
    devices: usize,
    installed: Option<Vec<usize>>,
    steps: usize,
    seed: Option<u64>,
    samples: Vec<Sample>,
}

/// What stories came to in which all devices agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetReport {
    /// How many stories were played.
    pub stories: u64,
    /// Steps that something came of: of those drawn, some find nothing to edit or nobody to sync with.
    pub steps: u64,
    /// Changes that each device held in the end, over all stories.
    pub changes: u64,
    /// A BLAKE3 hash of the changes of all devices, as they are sent, and of all rows: the same seed gives the same.
    pub digest: [u8; 32],
}

/// A story after which devices don't agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetFailure {
    /// The seed of the story that it was found in.
    pub seed: u64,
    /// What doesn't hold.
    pub what: String,
    /// The shortest story found that shows it, a sentence a step.
    pub story: Vec<String>,
}

impl fmt::Display for FleetFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, story } = self;
        writeln!(f, "{what}")?;
        writeln!(
            f,
            "seed {seed}; `{SEED_VARIABLE}={seed} cargo test` plays it again. The shortest story that shows it:"
        )?;
        story.iter().enumerate().try_for_each(|(n, step)| writeln!(f, "{:4}. {step}", n + 1))
    }
}

impl std::error::Error for FleetFailure {}

impl FleetOptions {
    pub(super) fn new(versions: &[&[Model]]) -> Self {
        let versions = versions.iter().map(|models| models.to_vec()).collect();
        Self { versions, devices: DEVICES, installed: None, steps: STEPS, seed: None, samples: Vec::new() }
    }

    /// How many devices: from 1 to 64, 4 unless set.
    pub fn devices(mut self, count: usize) -> Self {
        self.devices = count;
        self.installed = None;
        self
    }

    /// As many devices as there are numbers, each with that version of the app at first, from 0. Else every device
    /// begins with any version, and the first with the oldest.
    pub fn installed(mut self, versions: impl IntoIterator<Item = usize>) -> Self {
        let versions: Vec<usize> = versions.into_iter().collect();
        self.devices = versions.len();
        self.installed = Some(versions);
        self
    }

    /// How many steps a story has: 100 unless set.
    pub fn steps(mut self, count: usize) -> Self {
        self.steps = count;
        self
    }

    /// Plays the story of this seed alone, unless the environment's `CFOST_SEED` names another one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Values to choose from for a column, instead of any that its type in the table can hold: those of the field's
    /// type, if that matters. They are for the column of this name in all versions; those of another type in the table
    /// than the column has in a version don't count there.
    ///
    /// # Panics
    /// When a value can't be stored.
    pub fn values<T: Column>(mut self, table: &str, column: &str, values: impl IntoIterator<Item = T>) -> Self {
        for value in values {
            match value.encode() {
                Ok(value) => {
                    let (table, column) = (table.to_owned(), column.to_owned());
                    self.samples.push(Sample { table, column, value: value.into_owned() });
                }
                Err(error) => panic!("a value for '{table}.{column}' can't be stored: {error}"),
            }
        }
        self
    }

    /// Plays the stories.
    ///
    /// # Panics
    /// As [`fleet()`]; and when the choices make no fleet: no version, no device or too many, a device on a version that
    /// isn't there.
    pub fn run(self) -> FleetReport {
        match self.try_run() {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// As [`FleetOptions::run`], for what finds out by itself.
    ///
    /// # Errors
    /// When devices don't agree.
    ///
    /// # Panics
    /// When the choices make no fleet.
    pub fn try_run(self) -> Result<FleetReport, FleetFailure> {
        let versions = labelled(self.versions.iter().map(|models| alone(models)).collect());
        self.refuse_no_fleet();
        let seeds: Vec<u64> = chosen_seed().or(self.seed).map_or_else(|| (0..STORIES).collect(), |seed| vec![seed]);
        let mut total = FleetReport { stories: 0, steps: 0, changes: 0, digest: [0; 32] };
        for seed in seeds {
            let failed = |what: String| FleetFailure { seed, what, story: Vec::new() };
            let paired = Paired::new(Arc::clone(&versions), self.samples.clone().into(), (self.devices, seed))
                .map_err(|error| failed(format!("the devices could not be paired: {error}")))?;
            let plan = self.plan(seed, &versions);
            match shrink::play(&paired, &plan) {
                Ok(report) => total.add(&report),
                Err(broken) => {
                    let Broken { what, told, .. } = shrink::shortest(&paired, plan, broken);
                    return Err(FleetFailure { seed, what, story: told });
                }
            }
        }
        Ok(total)
    }

    /// Makes the devices for a story of the app's own: paired, with nothing in their databases.
    ///
    /// # Errors
    /// When a database can't be opened with these models.
    ///
    /// # Panics
    /// When the choices make no fleet.
    pub fn start(self) -> Result<Fleet> {
        self.refuse_no_fleet();
        let seed = self.seed.unwrap_or_default();
        let installed = self.installed.clone().unwrap_or_else(|| vec![0; self.devices]);
        let starts: Vec<Start> =
            installed.iter().enumerate().map(|(paired, &version)| Start { paired, version }).collect();
        Paired::new(labelled(self.versions), self.samples.into(), (self.devices, seed))?.start(&starts)
    }

    fn plan(&self, seed: u64, versions: &[Version]) -> Plan {
        let mut tables: Vec<_> =
            versions.iter().flat_map(|version| &version.models).map(|it| it.schema.table).collect();
        tables.sort_unstable();
        tables.dedup();
        let (tables, versions) = (tables.len(), versions.len());
        let sizes = Sizes { versions, tables, devices: self.devices, steps: self.steps };
        Plan::draw(sizes, self.installed.as_deref(), &mut Random::new(seed))
    }

    fn refuse_no_fleet(&self) {
        let (devices, versions) = (self.devices, self.versions.len());
        assert!(versions > 0, "a fleet needs a version of the app: list its models");
        assert!((1..=DEVICES_MAX).contains(&devices), "a fleet has 1 to {DEVICES_MAX} devices, not {devices}");
        let unknown = self.installed.iter().flatten().find(|version| **version >= versions);
        assert!(unknown.is_none(), "version {unknown:?} is installed, counted from 0, and there are {versions}");
    }
}

impl FleetReport {
    fn add(&mut self, story: &Self) {
        self.stories += story.stories;
        self.steps += story.steps;
        self.changes += story.changes;
        let both = [self.digest, story.digest].concat();
        self.digest = *blake3::hash(&both).as_bytes();
    }
}

/// Calls versions by the greatest of their models' versions, if that tells them apart, else by their places.
fn labelled(versions: Vec<Vec<Model>>) -> Arc<[Version]> {
    let greatest = |models: &Vec<Model>| models.iter().map(|model| model.schema.version).max().unwrap_or_default();
    let numbers: Vec<u32> = versions.iter().map(greatest).collect();
    let rise = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let label = |n: usize| if rise { format!("v{}", numbers[n]) } else { format!("v{}", n + 1) };
    versions.into_iter().enumerate().map(|(n, models)| Version { label: label(n), models }).collect()
}
