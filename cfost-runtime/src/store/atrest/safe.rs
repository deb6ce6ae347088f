//! Where a device's vault and its open master key lie, and how the rest of the store gets at them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ToSql};

use super::Entered;
use super::contents::{self, Contents, KeyringId, OpenMaster, keyring_name, master_of};
use super::key::FileKey;
use super::vault_file::VaultFile;
use crate::error::Result;
use crate::host::Host;
use crate::identity::{KeyringError, MasterKey, SharedKeyring};
use crate::store::layout::{meta, remove_meta, set_meta};
use crate::store::{Opening, StoreError};

const VAULT: &str = "vault";
const ATTEMPTS: &str = "attempts";
const OPEN_MASTER: &str = "open_master";
const KEYRING: &str = "keyring";

/// In an encrypted database: that its device is logged in, which its vault says; changes with that, so that other
/// processes notice.
const LOGGED_IN: &str = "logged_in";

/// Where what opens a device lies; by default that of a database in memory.
#[derive(Default)]
pub(in crate::store) struct Safe {
    /// Beside the database; none for one in memory.
    pub(super) file: Option<VaultFile>,
    /// The key of an encrypted database, whose vault is the file.
    pub(super) key: Option<FileKey>,
    pub(super) keyring: Option<SharedKeyring>,
    timeout: Duration,
    /// The master key that is in the keyring, or would be if that could be used.
    known: Mutex<Option<(KeyringId, MasterKey)>>,
}

/// Whether the device is logged in, so that its oplog can be read.
pub(in crate::store) fn is_logged_in(conn: &Connection) -> Result<bool, StoreError> {
    let mut select = conn.prepare_cached("SELECT count(*) FROM cfost_meta WHERE key IN (?1, ?2, ?3)")?;
    Ok(select.query_row([OPEN_MASTER, KEYRING, LOGGED_IN], |row| row.get::<_, i64>(0))? > 0)
}

impl Safe {
    /// Of a database that isn't encrypted.
    pub(super) fn plain(file: Option<VaultFile>, opening: &Opening) -> Self {
        let keyring = opening.at_rest.keyring.clone();
        Self { file, key: None, keyring, timeout: opening.busy_timeout, known: Mutex::default() }
    }

    pub(super) fn entered(self, inode: u64) -> Entered {
        Entered { safe: Arc::new(self), inode, founding: None }
    }

    /// The key of the file, if it is encrypted.
    pub(in crate::store) fn key(&self) -> Option<&FileKey> {
        self.key.as_ref()
    }

    /// The vault of an encrypted database.
    fn vault_file(&self) -> Option<&VaultFile> {
        self.file.as_ref().filter(|_| self.key.is_some())
    }

    /// What opens the device.
    pub(in crate::store) fn read(&self, conn: &Connection) -> Result<Contents, StoreError> {
        match self.vault_file() {
            None => read_table(conn),
            Some(file) => file.read()?.ok_or_else(|| StoreError::Corrupt { what: "the vault is missing".into() }),
        }
    }

    /// Changes what opens the device, in a transaction. If `work` fails, nothing is changed; a vault file is replaced
    /// before the transaction is committed.
    pub(in crate::store) fn change<T>(
        &self,
        conn: &Connection,
        host: &Host,
        work: impl FnOnce(&mut Contents) -> Result<T>,
    ) -> Result<T> {
        let Some(file) = self.vault_file() else {
            let mut contents = read_table(conn)?;
            let value = work(&mut contents)?;
            write_table(conn, &contents)?;
            return Ok(value);
        };
        let lock = file.lock(self.timeout)?;
        let mut contents = self.read(conn)?;
        let value = work(&mut contents)?;
        file.write(&lock, &contents)?;
        self.note(conn, host, &contents)?;
        Ok(value)
    }

    /// Has other processes notice what the vault beside the database says.
    pub(super) fn note(&self, conn: &Connection, host: &Host, contents: &Contents) -> Result<(), StoreError> {
        match contents.open {
            OpenMaster::Nowhere => remove_meta(conn, LOGGED_IN),
            OpenMaster::Here(_) | OpenMaster::Keyring(_) => set_meta(conn, LOGGED_IN, host.random::<8>()),
        }
    }

    /// Takes note in an encrypted database, which can be read, that its device is logged in.
    pub(in crate::store) fn note_open(&self, conn: &Connection, host: &Host) -> Result<(), StoreError> {
        if self.key.is_some() && meta::<Vec<u8>>(conn, LOGGED_IN)?.is_none() {
            set_meta(conn, LOGGED_IN, host.random::<8>())?;
        }
        Ok(())
    }

    /// The open master key; `None` while the device is logged out. The inner error is the keyring's.
    pub(in crate::store) fn master(
        &self,
        conn: &Connection,
    ) -> Result<Result<Option<MasterKey>, KeyringError>, StoreError> {
        Ok(self.master_in(&self.read(conn)?))
    }

    /// The open master key that these contents lead to.
    pub(super) fn master_in(&self, contents: &Contents) -> Result<Option<MasterKey>, KeyringError> {
        let id = match &contents.open {
            OpenMaster::Nowhere => return Ok(None),
            OpenMaster::Here(master) => return Ok(Some(master.clone())),
            OpenMaster::Keyring(id) => *id,
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, master)) = known.filter(|(known, _)| *known == id) {
            return Ok(Some(master));
        }
        let master = self.keyring.as_ref().ok_or(KeyringError::NotGiven)?.master(&keyring_name(&id))?;
        self.know(id, &master);
        Ok(Some(master))
    }

    fn know(&self, id: KeyringId, master: &MasterKey) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, master.clone()));
    }

    /// The master key of a new database, whose device has no password yet.
    pub(in crate::store) fn found(&self, conn: &Connection, host: &Host) -> Result<MasterKey> {
        let master = match self.vault_file() {
            None => MasterKey::generate(host),
            Some(_) => match self.read(conn)?.open {
                OpenMaster::Here(master) => master,
                OpenMaster::Nowhere | OpenMaster::Keyring(_) => {
                    return Err(StoreError::Corrupt { what: "the vault of a new database has no key".into() }.into());
                }
            },
        };
        self.change(conn, host, |contents| {
            *contents = Contents { open: OpenMaster::Here(master.clone()), ..Contents::default() };
            Ok(())
        })?;
        Ok(master)
    }

    /// Keeps the master key open: in the keyring if there is one, and a password as another way in. If the keyring
    /// can't be used, the device is logged in for as long as this process has it open.
    pub(in crate::store) fn keep_open(&self, contents: &mut Contents, host: &Host, master: &MasterKey) {
        let keyring = self.keyring.as_ref().filter(|_| contents.has_password());
        let Some(keyring) = keyring else {
            contents.open = OpenMaster::Here(master.clone());
            return;
        };
        let id = match contents.open {
            OpenMaster::Keyring(id) => id,
            OpenMaster::Nowhere | OpenMaster::Here(_) => host.random(),
        };
        if let Err(error) = keyring.keep(&keyring_name(&id), master) {
            tracing::warn!(%error, "the device stays logged in until the app ends: its key is in no keyring");
        }
        self.know(id, master);
        contents.open = OpenMaster::Keyring(id);
    }

    /// Whether the master key lies in a file, and a keyring is there to take it.
    pub(in crate::store) fn could_entrust(&self, conn: &Connection) -> Result<bool, StoreError> {
        if self.keyring.is_none() {
            return Ok(false);
        }
        let contents = self.read(conn)?;
        Ok(contents.has_password() && matches!(contents.open, OpenMaster::Here(_)))
    }

    /// Moves the master key from the file to the keyring; it stays where it is if that can't be used.
    pub(in crate::store) fn entrust(&self, contents: &mut Contents, host: &Host) -> Result<(), KeyringError> {
        let OpenMaster::Here(master) = &contents.open else { return Ok(()) };
        let Some(keyring) = self.keyring.as_ref().filter(|_| contents.has_password()) else { return Ok(()) };
        let id = host.random();
        keyring.keep(&keyring_name(&id), master)?;
        self.know(id, master);
        contents.open = OpenMaster::Keyring(id);
        Ok(())
    }

    /// Sets the password; with `None` there is none any more, and the master key is the only way in.
    pub(in crate::store) fn set_vault(&self, contents: &mut Contents, vault: Option<Vec<u8>>, master: &MasterKey) {
        contents.vault = vault;
        if let (None, OpenMaster::Keyring(id)) = (&contents.vault, &contents.open) {
            if let Err(error) = contents::delete(self.keyring.as_ref(), id) {
                tracing::warn!(%error, "a key stays in the keyring, and opens this device's files");
            }
            contents.open = OpenMaster::Here(master.clone());
        }
    }

    /// Forgets the open master key. The inner error is the keyring's: the device is logged out then all the same.
    pub(in crate::store) fn close(&self, contents: &mut Contents) -> Result<(), KeyringError> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match std::mem::take(&mut contents.open) {
            OpenMaster::Keyring(id) => contents::delete(self.keyring.as_ref(), &id),
            OpenMaster::Nowhere | OpenMaster::Here(_) => Ok(()),
        }
    }

    /// Forgets the master key in the vault that a killed conversion left beside a plain database.
    pub(in crate::store) fn close_leftover(&self) -> Result<(), StoreError> {
        let Some(file) = self.file.as_ref().filter(|file| self.key.is_none() && file.path().exists()) else {
            return Ok(());
        };
        let lock = file.lock(self.timeout)?;
        match file.read() {
            Ok(Some(mut contents)) if contents.has_password() => {
                contents.open = OpenMaster::Nowhere;
                file.write(&lock, &contents)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What a plain database has.
pub(super) fn read_table(conn: &Connection) -> Result<Contents, StoreError> {
    let open = match meta::<Vec<u8>>(conn, OPEN_MASTER)? {
        Some(master) => {
            let what = || StoreError::Corrupt { what: "the master key has another length".into() };
            OpenMaster::Here(master_of(master).ok_or_else(what)?)
        }
        None => meta(conn, KEYRING)?.map_or(OpenMaster::Nowhere, OpenMaster::Keyring),
    };
    Ok(Contents { vault: meta(conn, VAULT)?, attempts: meta(conn, ATTEMPTS)?, open })
}

fn write_table(conn: &Connection, contents: &Contents) -> Result<(), StoreError> {
    let (master, keyring) = match &contents.open {
        OpenMaster::Nowhere => (None, None),
        OpenMaster::Here(master) => (Some(master.as_bytes()), None),
        OpenMaster::Keyring(id) => (None, Some(id)),
    };
    put(conn, VAULT, contents.vault.as_ref())?;
    put(conn, ATTEMPTS, contents.attempts.as_ref())?;
    put(conn, OPEN_MASTER, master)?;
    put(conn, KEYRING, keyring)
}

fn put(conn: &Connection, key: &str, value: Option<impl ToSql>) -> Result<(), StoreError> {
    match value {
        Some(value) => set_meta(conn, key, value),
        None => remove_meta(conn, key),
    }
}

/// What a plain database has is not in the encrypted one that it becomes, attached as `database`.
#[cfg(feature = "sqlcipher")]
pub(super) fn move_out(conn: &Connection, database: &str) -> Result<(), StoreError> {
    let sql = format!("DELETE FROM {database}.cfost_meta WHERE key IN (?1, ?2, ?3, ?4)");
    conn.execute(&sql, [VAULT, ATTEMPTS, OPEN_MASTER, KEYRING])?;
    Ok(())
}
