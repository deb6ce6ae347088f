//! Stories about users, devices and those who would like to be one.

mod certificate;
mod entry;
mod epochs;
mod log;
mod members;
mod model;
mod revocation;
mod secrecy;
mod vault;
mod vectors;

use zeroize::Zeroizing;

use super::{AddDevice, Body, DeviceKeys, Entry, Frontiers, IdentityLog, RecoveryPhrase, RootKey};
use crate::clock::Timestamp;
use crate::host::{Host, ManualClock};

/// Where the clocks of the stories start: 2026-01-01, in Unix milliseconds.
pub(super) const START_MS: u64 = 1_767_225_600_000;

pub(super) fn host(seed: u64) -> Host {
    Host::simulated(ManualClock::at(START_MS), seed)
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ms(START_MS + 1000 * seconds)
}

pub(super) fn root_key(seed: u8) -> RootKey {
    RootKey::from_phrase(&RecoveryPhrase::from_entropy(Zeroizing::new([seed; 32])))
}

/// A user with one device, the phone.
pub(super) fn phone_user(seed: u8) -> (RootKey, DeviceKeys, IdentityLog) {
    let root = root_key(seed);
    let phone = DeviceKeys::generate(&host(seed.into()));
    let log = IdentityLog::found(&root, &phone, "phone", at(0)).expect("a new user");
    (root, phone, log)
}

/// Has `by` add a device with fresh keys.
pub(super) fn add(log: &mut IdentityLog, by: &DeviceKeys, seed: u64, name: &str) -> DeviceKeys {
    let keys = DeviceKeys::generate(&host(seed));
    let request = AddDevice::new(log.user_id(), &keys, name).expect("a good name");
    author(log, by, Body::AddDevice(request), 10);
    keys
}

pub(super) fn author(log: &mut IdentityLog, by: &DeviceKeys, body: Body, seconds: u64) -> Entry {
    let entry = log.author(by, body, at(seconds)).expect("an authorised device");
    log.insert(entry.as_bytes()).expect("an entry of its own");
    entry
}

/// Ends a device of whose changes nothing counts.
pub(super) fn end(device: &DeviceKeys) -> Body {
    Body::EndDevice { device: device.id(), counted: Frontiers::new() }
}

pub(super) fn rename(device: &DeviceKeys, name: &str) -> Body {
    Body::RenameDevice { device: device.id(), name: name.to_owned() }
}
