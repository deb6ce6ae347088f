//! The user, the user's devices, and the password of this one.

use std::sync::Arc;

use rusqlite::Connection;

use super::atrest::Unlocked;
use super::layout::{meta, set_meta};
use super::ledger::Ledger;
use super::secrets;
use super::state::State;
use super::{Store, carry, evolve, standing, undo};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::identity::{
    Body, DeviceKeys, IdentityError, IdentityLog, PasswordCost, Profile, RecoveryPhrase, Vault, check_password,
};
use crate::oplog::{DeviceId, EpochKey, SpaceId};

/// When a peer was last in a session with this device, and where it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerRecord {
    pub(crate) device: DeviceId,
    /// Unix milliseconds; 0 if never.
    pub(crate) seen_ms: u64,
    pub(crate) addresses: Vec<String>,
}

impl Store {
    /// This device's id.
    pub(crate) fn device(&self) -> Result<DeviceId> {
        self.with_state(|_, state| Ok(state.secrets.device))
    }

    /// The user's identity log.
    pub(crate) fn identity(&self) -> Result<Arc<IdentityLog>> {
        self.with_state(|_, state| Ok(Arc::clone(state.secrets.identity())))
    }

    /// The user's private space.
    #[cfg(feature = "backup")]
    pub(crate) fn home(&self) -> Result<SpaceId> {
        self.with_state(|_, state| Ok(state.secrets.home()))
    }

    /// This device's secret keys.
    pub(crate) fn device_keys(&self) -> Result<DeviceKeys> {
        self.with_state(|_, state| Ok(state.secrets.opened()?.keys.clone()))
    }

    /// Whether the device's keys are at hand.
    pub(crate) fn is_open(&self) -> Result<bool> {
        self.with_state(|_, state| Ok(state.secrets.open.is_some()))
    }

    /// Names the user, and locks the device's secrets with a password.
    pub(crate) fn register(&self, profile: Profile, password: &str, cost: PasswordCost) -> Result<()> {
        check_password(password, &[&profile.name, &profile.email])?;
        let vault = self.lock_vault(&profile.email, password, cost)?;
        let at = Timestamp::from_ms(self.host.now_ms());
        self.durably(|conn, state| {
            if let Some(profile) = state.secrets.identity().profile() {
                return Err(IdentityError::Registered { name: profile.name.clone() }.into());
            }
            let keys = &state.secrets.opened()?.keys;
            let entry = state.secrets.identity().author(keys, Body::Profile(profile), at)?;
            standing::learn(conn, &self.tables, state, &self.host, &[entry.as_bytes().to_vec()])?;
            self.set_vault(conn, state, Some(&vault))
        })?;
        self.announce();
        self.entrust()
    }

    /// Locks the device's secrets with a password, which is asked for after a logout.
    pub(crate) fn set_password(&self, email: &str, password: &str, cost: PasswordCost) -> Result<()> {
        let vault = self.lock_vault(email, password, cost)?;
        self.durably(|conn, state| self.set_vault(conn, state, Some(&vault)))?;
        self.entrust()
    }

    fn set_vault(&self, conn: &Connection, state: &State, vault: Option<&Vault>) -> Result<()> {
        let master = &state.secrets.opened()?.master;
        self.safe.change(conn, &self.host, |contents| {
            self.safe.set_vault(contents, vault.map(|vault| vault.to_bytes().to_vec()), master);
            Ok(())
        })
    }

    /// Moves the open master key from the file to the keyring, if the app has one and a password is another way in.
    pub(super) fn entrust(&self) -> Result<()> {
        if !self.with_state(|conn, _| Ok(self.safe.could_entrust(conn)?))? {
            return Ok(());
        }
        self.erase(|conn, _| {
            self.safe.change(conn, &self.host, |contents| {
                if let Err(error) = self.safe.entrust(contents, &self.host) {
                    tracing::warn!(%error, "this device's key stays in its file");
                }
                Ok(())
            })
        })
    }

    /// A quarter of a second of hashing: not while others wait for the database.
    fn lock_vault(&self, email: &str, password: &str, cost: PasswordCost) -> Result<Vault> {
        let master = self.with_state(|_, state| Ok(state.secrets.opened()?.master.clone()))?;
        Ok(Vault::lock(&self.host, cost, email, password, &master)?)
    }

    /// Opens the device's secrets with the password. A vault that is weaker than `cost` is raised to it.
    pub(crate) fn login(&self, email: &str, password: &str, cost: PasswordCost) -> Result<()> {
        let now_ms = self.host.now_ms();
        let vault =
            self.durably(|conn, _| self.safe.change(conn, &self.host, |contents| Ok(contents.begin_login(now_ms))))??;
        let unlocked = Unlocked::try_password(&self.host, vault, email, password, cost)?;
        self.durably(|conn, state| {
            self.safe.change(conn, &self.host, |contents| {
                contents.end_login(&unlocked);
                self.safe.keep_open(contents, &self.host, &unlocked.master);
                Ok(())
            })?;
            *state = State::read(conn, &self.tables, &self.safe)?;
            evolve::make_waiting_rows(conn, &self.tables, state)?;
            // Keys that came while the device was logged out.
            standing::follow(conn, &self.tables, state, &self.host)
        })?;
        self.check_incarnation()?;
        self.announce();
        Ok(())
    }

    /// Erases the open master key: from now on only the password opens the device's secrets.
    pub(crate) fn logout(&self) -> Result<()> {
        let forgotten = self.erase(|conn, state| {
            let forgotten = self.safe.change(conn, &self.host, |contents| {
                if !contents.has_password() {
                    return Err(IdentityError::NoPassword.into());
                }
                Ok(self.safe.close(contents))
            })?;
            state.secrets.open = None;
            Ok(forgotten)
        })?;
        self.safe.close_leftover()?;
        self.announce();
        Ok(forgotten.map_err(IdentityError::from)?)
    }

    /// The recovery phrase, while it is kept.
    pub(crate) fn recovery_phrase(&self) -> Result<Option<RecoveryPhrase>> {
        self.with_state(|conn, state| state.secrets.phrase(conn))
    }

    /// Erases the recovery phrase.
    pub(crate) fn forget_recovery_phrase(&self) -> Result<()> {
        self.erase(|conn, _| Ok(secrets::forget_phrase(conn)?))
    }

    /// All keys of the home space, to hand to a new device. Those of a space with members are given by its members log,
    /// which then says who has them.
    pub(crate) fn home_keys(&self) -> Result<Vec<(SpaceId, EpochKey)>> {
        self.with_state(|_, state| {
            let home = state.secrets.home();
            Ok(state.secrets.epochs()?.filter(|(space, _)| *space == home).map(copy_of).collect())
        })
    }

    /// All keys of all spaces, to restore them from.
    #[cfg(feature = "backup")]
    pub(crate) fn space_keys(&self) -> Result<Vec<(SpaceId, EpochKey)>> {
        self.with_state(|_, state| Ok(state.secrets.epochs()?.map(copy_of).collect()))
    }

    /// Uses a pairing up, if it has not been before; says whether.
    pub(crate) fn consume_pairing(&self, pairing: &[u8; 16]) -> Result<bool> {
        let key = format!("pairing {}", uuid::Uuid::from_bytes(*pairing));
        let now_ms = self.host.now_ms() as i64;
        self.durably(|conn, _| {
            let used = meta::<i64>(conn, &key)?.is_some();
            set_meta(conn, &key, now_ms)?;
            Ok(!used)
        })
    }

    /// Keeps keys of spaces that this device lacks.
    pub(crate) fn learn_space_keys(&self, keys: &[(SpaceId, EpochKey)]) -> Result<()> {
        self.durably(|conn, state| {
            let master = state.secrets.opened()?.master.clone();
            for (space, key) in keys.iter().filter(|(space, key)| state.secrets.epoch(*space, key.epoch()).is_none()) {
                secrets::save_epoch(conn, &self.host, &master, *space, key)?;
            }
            *state = State::read(conn, &self.tables, &self.safe)?;
            Ok(())
        })
    }

    /// Makes this database a device of another user, which `keys` have been admitted to. Rows that were
    /// written before become the new user's: they are written anew into the new home space.
    pub(crate) fn join(
        &self,
        identity: &IdentityLog,
        keys: &DeviceKeys,
        space_keys: &[(SpaceId, EpochKey)],
    ) -> Result<()> {
        self.erase(|conn, state| {
            let master = state.secrets.opened()?.master.clone();
            let carried = carry::carry(conn, &self.tables, state)?;
            conn.execute_batch(
                "DELETE FROM cfost_changes; DELETE FROM cfost_signatures; DELETE FROM cfost_logs; \
                 DELETE FROM cfost_hidden; DELETE FROM cfost_hidden_elements; DELETE FROM cfost_waiting; \
                 DELETE FROM cfost_identity; DELETE FROM cfost_epochs; DELETE FROM cfost_own_logs; \
                 DELETE FROM cfost_users; DELETE FROM cfost_user_entries; DELETE FROM cfost_space_entries; \
                 DELETE FROM cfost_peers; DELETE FROM cfost_history; DELETE FROM cfost_history_changes; \
                 DELETE FROM cfost_meta WHERE key BETWEEN 'branch 0' AND 'branch :';",
            )?;
            secrets::forget_phrase(conn)?;
            self.set_vault(conn, state, None)?;
            secrets::adopt(conn, &self.host, &master, identity, keys)?;
            for (space, key) in space_keys {
                secrets::save_epoch(conn, &self.host, &master, *space, key)?;
            }
            Ledger::found(conn, &self.host, &self.safe)?;
            *state = State::read(conn, &self.tables, &self.safe)?;
            carry::write_carried(conn, &self.tables, state, &self.host, carried)?;
            undo::forbid(conn, state)?;
            Ok(())
        })?;
        self.mark()?;
        self.announce();
        Ok(())
    }

    /// Takes note that a peer proved who it is, or has just gone.
    pub(crate) fn seen(&self, device: DeviceId) -> Result<()> {
        let now_ms = self.host.now_ms() as i64;
        self.durably(|conn, _| {
            conn.prepare_cached(
                "INSERT INTO cfost_peers (device, seen_ms, addresses) VALUES (?1, ?2, '') \
                 ON CONFLICT DO UPDATE SET seen_ms = max(seen_ms, ?2)",
            )?
            .execute((device.as_bytes(), now_ms))?;
            Ok(())
        })
    }

    /// Remembers where a peer was reached.
    #[cfg(feature = "net")]
    pub(crate) fn remember_addresses(&self, device: DeviceId, addresses: &[String]) -> Result<()> {
        let addresses = addresses.join("\n");
        self.durably(|conn, _| {
            conn.prepare_cached(
                "INSERT INTO cfost_peers (device, seen_ms, addresses) VALUES (?1, 0, ?2) \
                 ON CONFLICT DO UPDATE SET addresses = ?2",
            )?
            .execute((device.as_bytes(), addresses))?;
            Ok(())
        })
    }

    /// The port that this device listened on last.
    #[cfg(feature = "net")]
    pub(crate) fn port(&self) -> Result<Option<u16>> {
        self.with_state(|conn, _| Ok(meta(conn, "port")?))
    }

    /// Remembers the port that this device listens on.
    #[cfg(feature = "net")]
    pub(crate) fn remember_port(&self, port: u16) -> Result<()> {
        if self.port()? == Some(port) {
            return Ok(());
        }
        self.durably(|conn, _| Ok(set_meta(conn, "port", port)?))
    }

    /// What is known of the peers.
    pub(crate) fn peers(&self) -> Result<Vec<PeerRecord>> {
        self.with_state(|conn, _| {
            let mut select =
                conn.prepare_cached("SELECT device, seen_ms, addresses FROM cfost_peers ORDER BY device")?;
            let peers = select.query_map([], |row| {
                let addresses: String = row.get(2)?;
                Ok(PeerRecord {
                    device: DeviceId::from_bytes(row.get(0)?),
                    seen_ms: row.get::<_, i64>(1)?.unsigned_abs(),
                    addresses: addresses.lines().map(str::to_owned).collect(),
                })
            })?;
            Ok(peers.collect::<rusqlite::Result<_>>()?)
        })
    }
}

fn copy_of((space, key): (SpaceId, &EpochKey)) -> (SpaceId, EpochKey) {
    (space, EpochKey::new(key.epoch(), (*key.secret()).into()))
}
