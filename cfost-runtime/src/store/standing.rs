//! Devices that are devices no more: how far their logs count, and the keys that the others go on with.
//!
//! Which changes count is decided by the identity log alone, so it is the same on every replica, whoever learns of
//! an end when: changes beyond are kept and relayed, and never shown. If some were shown already, the rows are made
//! anew without them.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;

use super::changes;
use super::secrets::{self, Secrets};
use super::state::State;
use super::table::Table;
use super::{Store, counted, exchange, learn, members, rebuild};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::host::Host;
use crate::identity::limits::EPOCH_KEYS_MAX;
use crate::identity::{
    Body, Current, DevicePublic, Entry, EpochGrant, Frontiers, IdentityError, IdentityLog, RecoveryPhrase, RootKey,
    new_epoch,
};
use crate::oplog::{DeviceId, EpochKey, LogId, SpaceId};
use crate::sync::LogKey;

impl Store {
    /// Adds what this device has to say to the identity log.
    pub(crate) fn author(&self, body: Body) -> Result<()> {
        self.author_with(|_| Ok(body))
    }

    /// Ends a device: what is held here of its changes counts, and no more.
    pub(crate) fn end_device(&self, device: DeviceId) -> Result<()> {
        self.end_device_at(device, |state| held_of(state, |of| of == device))
    }

    /// Ends a device where it is said.
    pub(super) fn end_device_at(&self, device: DeviceId, counted: impl FnOnce(&State) -> Frontiers) -> Result<()> {
        let at = Timestamp::from_ms(self.host.now_ms());
        self.counting(
            counted,
            |counted| Body::EndDevice { device, counted },
            |state, body| Ok(state.secrets.identity().author(&state.secrets.opened()?.keys, body, at)?),
        )
    }

    /// Says by the recovery phrase which devices stay. Of the others counts what is held here and counted before.
    pub(crate) fn keep_devices(&self, phrase: &RecoveryPhrase, kept: &[DeviceId]) -> Result<()> {
        let at = Timestamp::from_ms(self.host.now_ms());
        let root = RootKey::from_phrase(phrase);
        self.counting(
            |state| held_of(state, |of| !kept.contains(&of)),
            |counted| Body::ReRoot { kept: kept.iter().copied().collect(), counted },
            |state, body| Ok(state.secrets.identity().author_as_root(&root, body, at)?),
        )
    }

    /// Says something that lets logs count up to somewhere; in several entries if they are more than one can name.
    fn counting(
        &self,
        counted: impl FnOnce(&State) -> Frontiers,
        body: impl FnOnce(Frontiers) -> Body,
        sign: impl Fn(&State, Body) -> Result<Entry>,
    ) -> Result<()> {
        self.durably(|conn, state| {
            let mut parts = counted(state).split();
            let last = parts.pop().unwrap_or_default();
            for body in parts.into_iter().map(Body::Counted).chain([body(last)]) {
                let entry = sign(state, body)?;
                learn(conn, &self.tables, state, &self.host, &[entry.as_bytes().to_vec()])?;
            }
            Ok(())
        })?;
        self.announce();
        Ok(())
    }

    fn author_with(&self, body: impl FnOnce(&State) -> Result<Body>) -> Result<()> {
        let at = Timestamp::from_ms(self.host.now_ms());
        self.learning(|state| {
            let body = body(state)?;
            Ok(state.secrets.identity().author(&state.secrets.opened()?.keys, body, at)?)
        })
    }

    fn learning(&self, entry: impl FnOnce(&State) -> Result<Entry>) -> Result<()> {
        self.durably(|conn, state| {
            let entry = entry(state)?;
            learn(conn, &self.tables, state, &self.host, &[entry.as_bytes().to_vec()]).map(drop)
        })?;
        self.announce();
        Ok(())
    }

    /// Adds entries from a peer to the identity log; returns how many were new.
    pub(crate) fn learn_identity(&self, entries: &[Vec<u8>]) -> Result<usize> {
        let own = LogKey::User(self.identity()?.user_id());
        self.learn(&entries.iter().map(|entry| (own, entry.clone())).collect::<Vec<_>>(), true)
    }
}

/// How far this device holds the logs of devices, as far as they count.
pub(super) fn held_of(state: &State, of: impl Fn(DeviceId) -> bool) -> Frontiers {
    let mut held = Frontiers::new();
    for log in state.registry.iter().filter(|log| of(log.device)) {
        let head = state.claimed(log);
        match state.secrets.identity().counted(log.device, log.space, log.id) {
            Some(limit) if limit.seq <= head.seq => held.advance(log.space, log.id, limit),
            _ => held.advance(log.space, log.id, head),
        }
    }
    let devices = state.secrets.identity().known_devices().map(|device| device.id).filter(|device| of(*device));
    for device in devices.collect::<Vec<_>>() {
        for (space, log) in &state.secrets.spaces {
            match state.secrets.identity().counted(device, *space, LogId::MEMBERS) {
                None => held.advance(*space, LogId::MEMBERS, log.head_of(device)),
                Some(limit) => held.advance(*space, LogId::MEMBERS, limit),
            }
        }
    }
    held
}

/// Keeps the entries of the own user's identity log that hold, and does what follows from them.
pub(super) fn learn(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    entries: &[Vec<u8>],
) -> Result<usize> {
    let own = LogKey::User(state.secrets.user());
    let entries: Vec<_> = entries.iter().map(|entry| (own, entry.clone())).collect();
    learn::learn(conn, tables, state, host, (&entries, true))
}

/// Does what follows from the identity log as it is: takes and gives keys, shows and hides changes.
pub(super) fn follow(conn: &Connection, tables: &[Table], state: &mut State, host: &Host) -> Result<()> {
    if state.secrets.open.is_some() {
        take_keys(conn, host, &mut state.secrets)?;
        if state.secrets.is_device() {
            give_keys(conn, host, &mut state.secrets)?;
        }
        members::follow(conn, state, host)?;
    }
    state.secrets.choose_epoch();
    counted::renew_limits(conn, &mut state.registry, &state.secrets)?;
    cut(conn, tables, state)?;
    exchange::apply_waiting(conn, tables, state, host.now_ms())?;
    Ok(())
}

/// Takes the keys that were sealed to this device.
fn take_keys(conn: &Connection, host: &Host, secrets: &mut Secrets) -> Result<()> {
    let (identity, home) = (Arc::clone(secrets.identity()), secrets.home());
    for (number, epoch) in identity.epochs(home) {
        for grant in &epoch.grants {
            if secrets.commitment(home, number).is_some_and(|known| known != grant.commitment) {
                tracing::warn!(epoch = number, "another key has the number of an epoch: it was left out");
                continue;
            }
            secrets.learn_commitment(conn, home, number, grant.commitment)?;
            if secrets.epoch(home, number).is_none() {
                match grant.open(identity.user_id(), &secrets.opened()?.keys) {
                    Ok(Some(key)) => secrets.add_epoch(conn, host, home, key)?,
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, epoch = number, "the key of an epoch was left out"),
                }
            }
        }
    }
    Ok(())
}

/// Begins a new epoch if one is due, and gives the keys that this device has to those whom they are owed.
fn give_keys(conn: &Connection, host: &Host, secrets: &mut Secrets) -> Result<()> {
    let home = secrets.home();
    let needs_one = match secrets.identity().current_epoch(home) {
        Current::First => false,
        Current::Epoch(number) => secrets.epoch(home, number).is_none(),
        Current::Due => true,
    };
    if needs_one {
        let key = new_epoch(host);
        let to: Vec<_> = secrets.identity().devices().map(|device| device.keys).collect();
        let number = key.epoch();
        secrets.add_epoch(conn, host, home, key)?;
        grant(conn, host, secrets, home, number, &to)?;
    }
    for number in secrets.identity().epochs(home).keys().copied().collect::<Vec<_>>() {
        if secrets.epoch(home, number).is_some() {
            let owed = secrets.identity().without_key(home, number).into_iter().map(|device| device.keys);
            grant(conn, host, secrets, home, number, &owed.collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

fn grant(
    conn: &Connection,
    host: &Host,
    secrets: &mut Secrets,
    space: SpaceId,
    number: u32,
    to: &[DevicePublic],
) -> Result<()> {
    let at = Timestamp::from_ms(host.now_ms());
    let mut identity = IdentityLog::clone(secrets.identity());
    for devices in to.chunks(EPOCH_KEYS_MAX) {
        let Some(key) = secrets.epoch(space, number) else { break };
        let grant = EpochGrant::seal(host, identity.user_id(), space, key, devices)?;
        let entry = identity.author(&secrets.opened()?.keys, Body::Epoch(grant), at)?;
        identity.insert(entry.as_bytes())?;
        secrets::save_entry(conn, entry.id().as_bytes(), entry.as_bytes())?;
    }
    secrets.users.put(Arc::new(identity));
    Ok(())
}

/// Makes the rows anew if more is shown of a log than counts.
pub(super) fn cut(conn: &Connection, tables: &[Table], state: &mut State) -> Result<()> {
    let beyond = state.registry.iter().filter(|log| log.applied_seq > log.counted_seq);
    let numbers: Vec<u32> = beyond.map(|log| log.number).collect();
    for &number in &numbers {
        let Some(log) = state.registry.get(number) else { continue };
        // Of a transaction in several changes, all count or none.
        let mut whole = log.base().seq;
        changes::walk(conn, log, &state.secrets, log.base(), log.counted_seq, |stored| {
            if !stored.header.flags().continues() {
                whole = stored.header.seq();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(log) = state.registry.get_mut(number) {
            log.applied_seq = whole;
        }
        state.registry.save(conn, number)?;
    }
    if !numbers.is_empty() {
        rebuild::replay(conn, tables, state, &vec![true; tables.len()], &|| ())?;
    }
    Ok(())
}

impl Secrets {
    /// Whether this device is one of the user's.
    pub(super) fn is_device(&self) -> bool {
        self.identity().is_device(self.device)
    }

    /// Refuses what a device that is one no more must not do.
    pub(super) fn check_device(&self) -> Result<()> {
        match self.is_device() {
            true => Ok(()),
            false => Err(IdentityError::Revoked { device: self.device }.into()),
        }
    }

    /// Keeps the key of an epoch, and has it at hand.
    pub(super) fn add_epoch(&mut self, conn: &Connection, host: &Host, space: SpaceId, key: EpochKey) -> Result<()> {
        secrets::save_epoch(conn, host, &self.opened()?.master, space, &key)?;
        self.hold_epoch(space, key);
        Ok(())
    }
}
