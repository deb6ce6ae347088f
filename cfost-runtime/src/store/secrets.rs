//! Who this device is, and the keys it holds.
//!
//! Secrets lie in the file wrapped by the device's master key. While the user is logged in, and for
//! the unnamed user that a database begins with, the master key itself lies in the [`Safe`], so that the
//! app starts without a password; `logout` erases it, and then only the password opens the vault.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use zeroize::Zeroizing;

use super::atrest::Safe;
use super::fields::FieldKeys;
use super::layout::{meta, remove_meta, set_meta};
use super::{StoreError, members};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::host::Host;
use crate::identity::{
    Current, DeviceKeys, IdentityError, IdentityLog, KeyringError, MasterKey, RecoveryPhrase, RootKey, RootPublic,
    SpaceLog, Users,
};
use crate::oplog::{DeviceId, EpochKey, FieldKey, SpaceId};

const DEVICE_KEYS: &str = "device keys";
const PHRASE: &str = "recovery phrase";

/// The epoch that a space begins with.
const FIRST_EPOCH: u32 = 1;

/// What a database knows of its user, its device and its spaces' keys.
pub(super) struct Secrets {
    /// The identity logs of the own user, and of those whose spaces it shares.
    pub(super) users: Users,
    /// The members logs of the spaces that the own user is or was in. The home space has none: it is the user's alone.
    pub(super) spaces: BTreeMap<SpaceId, Arc<SpaceLog>>,
    pub(super) device: DeviceId,
    home: SpaceId,
    commitments: BTreeMap<(SpaceId, u32), [u8; 32]>,
    /// The epoch of the home space under which this device writes.
    writing: u32,
    /// `None` while the device is logged out.
    pub(super) open: Option<Open>,
    /// Why a device that is logged in isn't open all the same.
    closed_by: Option<KeyringError>,
    pub(super) safe: Arc<Safe>,
}

/// What only an open device has.
pub(super) struct Open {
    pub(super) master: MasterKey,
    pub(super) keys: DeviceKeys,
    epochs: BTreeMap<(SpaceId, u32), EpochKey>,
    /// What of them reads encrypted fields; made when it is first asked for.
    fields: OnceLock<Arc<FieldKeys>>,
}

impl Secrets {
    /// Reads what the file holds. `known` is what was read before: an identity log that has not grown
    /// since need not be checked again.
    pub(super) fn read(conn: &Connection, safe: &Arc<Safe>, known: Option<&Self>) -> Result<Self> {
        let missing = |what: &str| StoreError::Corrupt { what: format!("{what} is missing") };
        let root: [u8; 32] = meta(conn, "root")?.ok_or_else(|| missing("the user's root key"))?;
        let root = RootPublic::from_bytes(root);
        let device: [u8; 16] = meta(conn, "device")?.ok_or_else(|| missing("the device's id"))?;
        let entries: i64 =
            conn.prepare_cached("SELECT count(*) FROM cfost_identity")?.query_row([], |row| row.get(0))?;
        let same = |known: &&Self| known.identity().entry_count() as i64 == entries;
        let known = known.filter(|known| known.identity().root() == root);
        let identity = match known.filter(same) {
            Some(known) => Arc::clone(known.identity()),
            None => Arc::new(read_identity(conn, root)?),
        };
        let home = SpaceId::home_of(identity.user_id());
        let (users, spaces) = members::read(conn, identity, known)?;
        let (open, closed_by) = match safe.master(conn)? {
            Ok(None) => (None, None),
            Ok(Some(master)) => (Some(Open::read(conn, master)?), None),
            Err(error) => (None, Some(error)),
        };
        let mut select = conn.prepare_cached("SELECT space, epoch, commitment FROM cfost_epochs")?;
        let commitments = select
            .query_map([], |row| Ok(((SpaceId::from_bytes(row.get(0)?), row.get(1)?), row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let device = DeviceId::from_bytes(device);
        let safe = Arc::clone(safe);
        let mut secrets =
            Self { device, home, commitments, writing: FIRST_EPOCH, open, users, spaces, closed_by, safe };
        secrets.choose_epoch();
        Ok(secrets)
    }

    /// Makes the unnamed user of a new database, with this device as its first.
    pub(super) fn found(conn: &Connection, host: &Host, safe: &Safe, device_name: &str) -> Result<()> {
        let phrase = RecoveryPhrase::generate(host);
        let root = RootKey::from_phrase(&phrase);
        let keys = DeviceKeys::generate(host);
        let identity = IdentityLog::found(&root, &keys, device_name, Timestamp::from_ms(host.now_ms()))?;
        let master = safe.found(conn, host)?;
        set_meta(conn, "phrase", master.wrap(host, PHRASE, phrase.entropy().as_ref()))?;
        let home = SpaceId::home_of(root.user_id());
        adopt(conn, host, &master, &identity, &keys)?;
        let key = EpochKey::new(FIRST_EPOCH, Zeroizing::new(host.random()));
        save_epoch(conn, host, &master, home, &key)
    }

    /// The private space of the user.
    pub(super) fn home(&self) -> SpaceId {
        self.home
    }

    /// What is open, or why nothing is.
    pub(super) fn opened(&self) -> Result<&Open> {
        self.open.as_ref().ok_or_else(|| match &self.closed_by {
            Some(error) => IdentityError::from(error.clone()).into(),
            None => crate::Error::LoggedOut,
        })
    }

    /// The key that new changes of the home space are sealed with.
    pub(super) fn current_epoch(&self) -> Result<&EpochKey> {
        let key = self.opened()?.epochs.get(&(self.home, self.writing));
        Ok(key.ok_or_else(|| StoreError::Corrupt { what: "the space's key is missing".into() })?)
    }

    /// Chooses the epoch to write under, by what the identity log says of those that have its key.
    pub(super) fn choose_epoch(&mut self) {
        self.writing = match self.identity().current_epoch(self.home) {
            Current::Epoch(number) if self.epoch(self.home, number).is_some() => number,
            Current::First => FIRST_EPOCH,
            // A device begins one as soon as it learns that one is due: until then this one doesn't write.
            Current::Epoch(_) | Current::Due => self.writing,
        };
    }

    /// Has the key of an epoch at hand.
    pub(super) fn hold_epoch(&mut self, space: SpaceId, key: EpochKey) {
        self.commitments.insert((space, key.epoch()), *key.commitment());
        if let Some(open) = &mut self.open {
            open.epochs.insert((space, key.epoch()), key);
            open.fields = OnceLock::new();
        }
    }

    /// The key of an epoch, if this device has it and is open.
    pub(super) fn epoch(&self, space: SpaceId, epoch: u32) -> Option<&EpochKey> {
        self.open.as_ref()?.epochs.get(&(space, epoch))
    }

    /// The keys for encrypted fields; none while the device is logged out.
    pub(super) fn field_keys(&self) -> Arc<FieldKeys> {
        let Some(open) = &self.open else { return Arc::default() };
        let keys = open.epochs.iter().map(|((space, _), key)| FieldKey::of(*space, key));
        Arc::clone(open.fields.get_or_init(|| Arc::new(FieldKeys::new(self.home, keys))))
    }

    /// All keys of all spaces.
    pub(super) fn epochs(&self) -> Result<impl Iterator<Item = (SpaceId, &EpochKey)>> {
        Ok(self.opened()?.epochs.iter().map(|((space, _), key)| (*space, key)))
    }

    /// The commitment to an epoch's key.
    pub(super) fn commitment(&self, space: SpaceId, epoch: u32) -> Option<[u8; 32]> {
        self.commitments.get(&(space, epoch)).copied()
    }

    /// Keeps the commitment to a key that this device doesn't have.
    pub(super) fn learn_commitment(
        &mut self,
        conn: &Connection,
        space: SpaceId,
        epoch: u32,
        commitment: [u8; 32],
    ) -> Result<(), StoreError> {
        if self.commitments.insert((space, epoch), commitment).is_none() {
            conn.prepare_cached("INSERT INTO cfost_epochs (space, epoch, commitment) VALUES (?1, ?2, ?3)")?
                .execute((space.as_bytes(), epoch, commitment))?;
        }
        Ok(())
    }

    /// The recovery phrase, if it has not been shown yet.
    pub(super) fn phrase(&self, conn: &Connection) -> Result<Option<RecoveryPhrase>> {
        let Some(wrapped) = meta::<Vec<u8>>(conn, "phrase")? else { return Ok(None) };
        let bytes = self.opened()?.master.unwrap(PHRASE, &wrapped)?;
        let mut entropy = Zeroizing::new([0; 32]);
        if bytes.len() != entropy.len() {
            return Err(StoreError::Corrupt { what: "the recovery phrase has another length".into() }.into());
        }
        entropy.copy_from_slice(&bytes);
        Ok(Some(RecoveryPhrase::from_entropy(entropy)))
    }
}

impl Open {
    pub(super) fn read(conn: &Connection, master: MasterKey) -> Result<Self> {
        let wrapped: Vec<u8> = meta(conn, "device_keys")?
            .ok_or_else(|| StoreError::Corrupt { what: "the device's keys are missing".into() })?;
        let keys = DeviceKeys::from_secret_bytes(&master.unwrap(DEVICE_KEYS, &wrapped)?)?;
        let mut epochs = BTreeMap::new();
        let mut select =
            conn.prepare_cached("SELECT space, epoch, sealed_key FROM cfost_epochs WHERE sealed_key IS NOT NULL")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (space, epoch): ([u8; 16], u32) = (row.get(0)?, row.get(1)?);
            let space = SpaceId::from_bytes(space);
            let wrapped: Vec<u8> = row.get(2)?;
            let secret = master.unwrap(&epoch_context(space, epoch), &wrapped)?;
            let mut key = Zeroizing::new([0; 32]);
            if secret.len() != key.len() {
                return Err(StoreError::Corrupt { what: "a space's key has another length".into() }.into());
            }
            key.copy_from_slice(&secret);
            epochs.insert((space, epoch), EpochKey::new(epoch, key));
        }
        Ok(Self { master, keys, epochs, fields: OnceLock::new() })
    }
}

fn read_identity(conn: &Connection, root: RootPublic) -> Result<IdentityLog> {
    let mut select = conn.prepare_cached("SELECT entry FROM cfost_identity")?;
    let entries: Vec<Vec<u8>> = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(IdentityLog::from_entries(root, entries)?)
}

/// Makes this database the device with `keys` of the user with this identity log.
pub(super) fn adopt(
    conn: &Connection,
    host: &Host,
    master: &MasterKey,
    identity: &IdentityLog,
    keys: &DeviceKeys,
) -> Result<()> {
    set_meta(conn, "root", identity.root().as_bytes())?;
    set_meta(conn, "device", keys.id().as_bytes())?;
    set_meta(conn, "device_keys", master.wrap(host, DEVICE_KEYS, keys.to_secret_bytes().as_ref()))?;
    for entry in identity.entries() {
        save_entry(conn, entry.id().as_bytes(), entry.as_bytes())?;
    }
    Ok(())
}

/// Keeps an entry of the identity log.
pub(super) fn save_entry(conn: &Connection, id: &[u8; 32], entry: &[u8]) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR IGNORE INTO cfost_identity (id, entry) VALUES (?1, ?2)")?.execute((id, entry))?;
    Ok(())
}

/// Keeps the key of an epoch.
pub(super) fn save_epoch(
    conn: &Connection,
    host: &Host,
    master: &MasterKey,
    space: SpaceId,
    key: &EpochKey,
) -> Result<()> {
    let wrapped = master.wrap(host, &epoch_context(space, key.epoch()), key.secret());
    conn.prepare_cached(
        "INSERT OR REPLACE INTO cfost_epochs (space, epoch, commitment, sealed_key) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((space.as_bytes(), key.epoch(), key.commitment(), wrapped))?;
    Ok(())
}

/// Forgets the phrase once it has been shown.
pub(super) fn forget_phrase(conn: &Connection) -> Result<(), StoreError> {
    remove_meta(conn, "phrase")
}

fn epoch_context(space: SpaceId, epoch: u32) -> String {
    format!("epoch {epoch} of space {space}")
}
