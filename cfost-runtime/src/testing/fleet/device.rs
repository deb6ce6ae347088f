//! A device of a fleet: its database in memory, its clock, and the version of the app that is installed.

use std::ops::Deref;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::host::{Host, ManualClock};
use crate::oplog::{Head, LogId, SpaceId};
use crate::schema::Model;
use crate::store::Memory;

/// What the first devices are called.
const NAMES: &[&str] = &["phone", "laptop", "tablet", "desktop", "watch", "old phone", "television"];

/// What the `n`-th device is called, from 0.
pub(super) fn name_of(n: usize) -> String {
    NAMES.get(n).map_or_else(|| format!("device {}", n + 1), |name| (*name).to_owned())
}

/// A device of a [`Fleet`](super::Fleet). It is used like its database: `fleet.device(0).insert(..)`.
#[derive(Debug)]
pub struct FleetDevice {
    name: String,
    version: usize,
    clock: ManualClock,
    host: Host,
    db: Db,
    memory: Memory,
}

impl FleetDevice {
    /// Opens what `memory` holds as the `n`-th device of the seed.
    pub(super) fn open(
        memory: Memory,
        (name, seed): (String, u64),
        clock: ManualClock,
        (version, models): (usize, &[Model]),
    ) -> Result<Self> {
        let host = Host::simulated(clock.clone(), seed);
        let db = open(&memory, &host, &name, models)?;
        Ok(Self { name, version, clock, host, db, memory })
    }

    /// Gives it another name.
    pub(super) fn call(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// What the story calls it: `phone`, `laptop`, ...
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the fleet's versions of the app is installed, from 0.
    pub fn version(&self) -> usize {
        self.version
    }

    /// Its database. A restart and an upgrade make another handle.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Its wall clock, which moves by hand only.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The same clock, with the device's randomness.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Opens the database anew, by a version of the app. If that fails, the device stays what it was.
    pub(super) fn reopen(&mut self, version: usize, models: &[Model]) -> Result<()> {
        self.db = open(&self.memory, &self.host, &self.name, models)?;
        self.version = version;
        Ok(())
    }

    /// The device with what it holds now, as another one that knows nothing of this one.
    pub(super) fn copy(&self, (version, models): (usize, &[Model])) -> Result<Self> {
        let clock = ManualClock::at(self.host.now_ms());
        let name = self.name.clone();
        // Its randomness isn't needed: a copy never writes.
        Self::open(self.memory.copy()?, (name, 0), clock, (version, models))
    }

    /// The newest change that the device wrote to each space.
    pub(super) fn written(&self) -> Result<Vec<(SpaceId, LogId, Head)>> {
        let replica = self.db.replica()?;
        let mut written = Vec::new();
        for space in replica.spaces(replica.device()).map_err(Error::abort)? {
            if let Some(log) = replica.own_log(space).map_err(Error::abort)? {
                let head = replica.frontier(space).map_err(Error::abort)?.head(log);
                written.push((space, log, head));
            }
        }
        written.retain(|(_, _, head)| head.seq > 0);
        Ok(written)
    }

    /// Whether it holds a change.
    pub(super) fn holds(&self, space: SpaceId, log: LogId, head: Head) -> Result<bool> {
        let replica = self.db.replica()?;
        Ok(replica.change_id(space, log, head.seq).map_err(Error::abort)? == Some(head.id))
    }
}

impl Deref for FleetDevice {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

fn open(memory: &Memory, host: &Host, name: &str, models: &[Model]) -> Result<Db> {
    Db::options().host(host.clone()).device_name(name).open_kept(memory, models)
}
