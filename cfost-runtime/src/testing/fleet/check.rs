//! What must hold after a story.

use super::super::laws::{deliver, difference};
use super::super::random::Random;
use super::{Fleet, FleetDevice, sync_well};
use crate::error::{Error, Result};

/// By how much all clocks are ahead of the newest one of the story, in milliseconds.
const SETTLED_MS: u64 = 60_000;

/// How many rows of a table are explained: each takes a look at the whole oplog, unless the model has a history.
const EXPLAINED_MAX: usize = 1;

impl Fleet {
    /// All devices meet; after that
    ///
    /// - every change that any device's app was told is written is on all devices: **nothing is lost**;
    /// - on each device the rows are those that [`Db::verify`](crate::db::Db::verify) makes from the oplog;
    /// - a device shows what a new device shows that has the same version of the app and has received the same
    ///   changes, in another order: so devices on one version **show the same rows**, and
    ///   [explain](crate::db::Db::explain) them in the same way;
    /// - where a version shows a field of the version before, with or without another name, it **shows the same
    ///   value** in it;
    /// - a device that upgrades to the newest version, at once or version by version, then shows what a device shows
    ///   that always had it: it **doesn't matter when who upgrades**.
    ///
    /// The devices go on as they were, but that they have met, and that their clocks now show the same time.
    ///
    /// # Errors
    /// When one of these doesn't hold, with what differs.
    pub fn check(&mut self) -> Result<()> {
        self.settle()?;
        self.check_nothing_is_lost()?;
        let fresh: Vec<FleetDevice> = (0..self.versions.len()).map(|n| self.newcomer(n)).collect::<Result<_>>()?;
        for device in self.devices.iter().chain(&fresh) {
            self.check_sound(device)?;
        }
        for device in &self.devices {
            self.check_same(device, &fresh[device.version()])?;
        }
        for (older, newer) in fresh.iter().zip(&fresh[1..]) {
            super::views::check(self, older, newer)?;
        }
        if let Some(newest) = fresh.last() {
            for (n, device) in self.devices.iter().chain(&fresh).enumerate() {
                self.check_upgrade(device, newest, n % 2 == 0)?;
            }
        }
        Ok(())
    }

    /// Everyone hears of everything, and no clock is behind what anyone has written.
    fn settle(&mut self) -> Result<()> {
        let newest_ms = self.devices.iter().map(|device| device.host().now_ms()).max().unwrap_or_default();
        for device in &self.devices {
            device.clock().set(newest_ms + SETTLED_MS);
        }
        self.note_written(0)?;
        self.meet()
    }

    fn check_nothing_is_lost(&self) -> Result<()> {
        for ((space, log), (head, writer)) in &self.written {
            for device in &self.devices {
                if !device.holds(*space, *log, *head)? {
                    let (name, writer, seq) = (self.label(device), self.name(*writer), head.seq);
                    return Err(Error::abort(format!("{name} doesn't hold change {seq} of {writer}: it is lost")));
                }
            }
        }
        Ok(())
    }

    /// A new device on a version, with all that the others hold.
    fn newcomer(&self, version: usize) -> Result<FleetDevice> {
        let source = &self.devices[0];
        let mut new = self.newcomer.copy((version, &self.versions[version].models))?;
        new.clock().set(source.host().now_ms());
        new.call("a new device");
        // In another order than the others, and in other batches; then whatever else there is.
        if version % 2 == 1 {
            deliver(source.db(), new.db(), Random::new(version as u64), &mut Vec::new())?;
        }
        sync_well(source.db(), new.db())?;
        Ok(new)
    }

    fn check_sound(&self, device: &FleetDevice) -> Result<()> {
        match device.verify()?.differences.first() {
            None => Ok(()),
            Some(difference) => {
                let name = self.label(device);
                Err(Error::abort(format!("{name} shows other rows than its oplog gives: {difference}")))
            }
        }
    }

    /// Checks that two devices on one version show the same, and why.
    fn check_same(&self, one: &FleetDevice, other: &FleetDevice) -> Result<()> {
        let devices = || format!("{} and {} hold the same changes", self.label(one), self.label(other));
        if let Some(difference) = difference(&one.store().dump()?, &other.store().dump()?) {
            return Err(Error::abort(format!("{} and show other rows: {difference}", devices())));
        }
        for table in 0..self.versions[one.version()].models.len() {
            for (id, _) in one.store().rows_of(table)?.into_iter().take(EXPLAINED_MAX) {
                let explain = |device: &FleetDevice| device.store().explain(table, id);
                let (ones, others) = (explain(one)?, explain(other)?);
                if ones != others {
                    let devices = devices();
                    return Err(Error::abort(format!("{devices} and explain a row in other ways:\n{ones}\n{others}")));
                }
            }
        }
        Ok(())
    }

    /// Checks what a device shows after its upgrade to the newest version.
    fn check_upgrade(&self, device: &FleetDevice, newest: &FleetDevice, at_once: bool) -> Result<()> {
        let (from, to) = (device.version(), newest.version());
        if from == to {
            return Ok(());
        }
        let mut upgraded = device.copy((from, &self.versions[from].models))?;
        for version in (if at_once { to } else { from + 1 })..=to {
            let label = &self.versions[version].label;
            upgraded.reopen(version, &self.versions[version].models).map_err(|error| {
                Error::abort(format!("{} can't upgrade to {label}: {error}", self.label(&upgraded)))
            })?;
        }
        upgraded.call(&format!("{}, upgraded from {},", device.name(), self.versions[from].label));
        self.check_sound(&upgraded)?;
        self.check_same(&upgraded, newest)
    }

    /// A device, also one that isn't of the fleet, with the version that it is on.
    pub(super) fn label(&self, device: &FleetDevice) -> String {
        format!("{} ({})", device.name(), self.versions[device.version()].label)
    }
}
