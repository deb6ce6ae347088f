//! Several devices of one user in one process: their databases are real, their clocks and their
//! randomness come from the test, and what is between them is a pipe in memory.

use std::path::Path;

use cfost::host::{Host, ManualClock};
use cfost::schema::Model;
use cfost::sync::Event;
use cfost::sync::pipe::{End, Pipe};
use cfost::{Db, Result};

/// When the story begins, in Unix milliseconds.
pub const START_MS: u64 = 1_790_000_000_000;

/// A device of the fleet.
#[derive(Debug)]
pub struct Device {
    /// Its database.
    pub db: Db,
    /// Its wall clock.
    pub clock: ManualClock,
    /// The same clock, with its randomness.
    pub host: Host,
}

impl Device {
    /// A device with a database in a file.
    ///
    /// # Errors
    /// When the database can't be opened.
    pub fn in_file(path: &Path, models: impl AsRef<[Model]>, seed: u64) -> Result<Self> {
        let clock = ManualClock::at(START_MS);
        let host = Host::simulated(clock.clone(), seed);
        let db = Db::options().host(host.clone()).device_name("device").open(path, models)?;
        Ok(Self { db, clock, host })
    }

    /// A device with a database in memory.
    ///
    /// # Errors
    /// When the database can't be opened.
    pub fn in_memory(name: &str, models: impl AsRef<[Model]>, seed: u64) -> Result<Self> {
        let clock = ManualClock::at(START_MS);
        let host = Host::simulated(clock.clone(), seed);
        let db = Db::options().host(host.clone()).device_name(name).open_in_memory(models)?;
        Ok(Self { db, clock, host })
    }
}

/// `count` devices of one user, with databases in memory; the first has invited all others,
/// and all know of each other.
///
/// # Errors
/// When a database fails, or a pairing does.
pub fn devices(count: usize, models: &[Model], seed: u64) -> Result<Vec<Device>> {
    let mut devices: Vec<Device> = Vec::new();
    for n in 0..count {
        let device = Device::in_memory(&format!("device {n}"), models, seed.wrapping_mul(1000) + n as u64)?;
        if let Some(first) = devices.first() {
            pair(&first.db, &device.db, &device.host)?;
        }
        devices.push(device);
    }
    // Those that joined early hear of those that came later.
    for device in devices.iter().skip(1) {
        sync(&devices[0].db, &device.db)?;
    }
    Ok(devices)
}

/// Makes the database of `joiner` a device of the user of `inviter`: the real pairing, with the digits
/// typed by the test.
///
/// # Errors
/// When one side refuses.
pub fn pair(inviter: &Db, joiner: &Db, host: &Host) -> Result<()> {
    cfost::testing::pair(inviter, joiner, host)
}

/// What one session brought to the device that opened it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Changes that came in.
    pub changes: u64,
    /// Ops in them.
    pub ops: u64,
    /// Bytes that the two sent each other.
    pub bytes: u64,
}

/// Runs one session between two devices until both hold the same.
///
/// # Errors
/// When the session closes before that.
pub fn sync(dialer: &Db, listener: &Db) -> Result<Synced> {
    let mut pipe = Pipe::connect(dialer.replica()?, listener.replica()?, START_MS).map_err(cfost::Error::abort)?;
    pipe.run();
    let mut synced =
        Synced { bytes: pipe.bytes_sent(End::Dialer) + pipe.bytes_sent(End::Listener), ..Synced::default() };
    for end in End::BOTH {
        for event in pipe.take_events(end) {
            match event {
                Event::Applied { changes, ops, .. } if end == End::Dialer => {
                    synced.changes += changes;
                    synced.ops += ops;
                }
                Event::Closed { reason, .. } => return Err(cfost::Error::abort(format!("{end:?} closed: {reason:?}"))),
                _ => {}
            }
        }
    }
    Ok(synced)
}
