//! The vault of an encrypted database, which can't lie in the file that it opens: a small file beside it.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 7 | `cfostvt` |
//! | 1 | version, 1 |
//! | 2, then as many | the vault; 0 while there is no password |
//! | 1, then as many | the logins that failed; 0 if there were none yet |
//! | 1 | the master key: 0 nowhere, since the device is logged out; 1 here; 2 in a keyring |
//! | 32, 16 | the key, or its name in the keyring |
//! | 32 | BLAKE3 of all before |
//!
//! It is replaced as a whole, under a lock of its own, since it is also changed while the database can't be opened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::beside;
use super::contents::{Contents, OpenMaster, master_of};
use super::error::AtRestError;
use crate::store::StoreError;

const MAGIC: &[u8; 7] = b"cfostvt";
const VERSION: u8 = 1;
const HASH_BYTES: usize = 32;

/// How often the lock is tried again while another process has it.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// A vault file.
#[derive(Clone, Debug)]
pub(super) struct VaultFile {
    path: PathBuf,
}

/// Nobody else changes the vault while this lives.
pub(super) struct VaultLock {
    _file: File,
}

impl VaultFile {
    /// The vault of a database.
    pub(super) fn of(database: &Path) -> Self {
        Self { path: beside(database, "-vault") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for other processes that change the vault.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if they take longer than `timeout`.
    pub(super) fn lock(&self, timeout: Duration) -> Result<VaultLock, StoreError> {
        let started = Instant::now();
        let file = private(&beside(&self.path, "-lock"), false).map_err(writing)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(VaultLock { _file: file }),
                Err(TryLockError::WouldBlock) if started.elapsed() < timeout => thread::sleep(LOCK_INTERVAL),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy),
                // A file system without locks: then one process at a time is what there is.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    return Ok(VaultLock { _file: file });
                }
                Err(TryLockError::Error(error)) => return Err(writing(error)),
            }
        }
    }

    /// What the vault holds; `None` if there is none.
    pub(super) fn read(&self) -> Result<Option<Contents>, StoreError> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(self.decode(&Zeroizing::new(bytes))?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { action: "reading the vault beside the database", source }),
        }
    }

    /// Replaces the vault; it is on the disk when this returns, and the old one is overwritten as far as the file
    /// system does what it is told.
    pub(super) fn write(&self, _lock: &VaultLock, contents: &Contents) -> Result<(), StoreError> {
        let scratch = beside(&self.path, "-new");
        let bytes = encode(contents);
        let mut file = private(&scratch, true).map_err(writing)?;
        file.write_all(&bytes).map_err(writing)?;
        file.sync_all().map_err(writing)?;
        drop(file);
        let former = OpenOptions::new().write(true).open(&self.path).ok();
        fs::rename(&scratch, &self.path).map_err(writing)?;
        super::sync_folder(&self.path).map_err(writing)?;
        if let Some(former) = former
            && let Err(error) = super::overwrite(former)
        {
            tracing::warn!(%error, "the vault's former bytes could not be overwritten");
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Contents, StoreError> {
        let damaged = || StoreError::from(AtRestError::VaultDamaged { path: self.path.clone() });
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (&version, _) = rest.split_first().ok_or_else(damaged)?;
        if version > VERSION {
            let path = self.path.clone();
            return Err(AtRestError::VaultNewer { path, found: version, known: VERSION }.into());
        }
        let content = bytes.len().checked_sub(HASH_BYTES).map(|end| bytes.split_at(end));
        let whole = content.filter(|(content, hash)| blake3::hash(content).as_bytes() == hash);
        let content = whole.and_then(|(content, _)| content.get(MAGIC.len() + 1..));
        content.filter(|_| version == VERSION).and_then(fields).ok_or_else(damaged)
    }
}

fn encode(contents: &Contents) -> Zeroizing<Vec<u8>> {
    // Large enough from the start: a vector that grows leaves copies of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    let vault = contents.vault.as_deref().unwrap_or_default();
    let attempts = contents.attempts.as_deref().unwrap_or_default();
    let vault_bytes = u16::try_from(vault.len()).expect("a vault has 134 bytes");
    bytes.extend_from_slice(&vault_bytes.to_le_bytes());
    bytes.extend_from_slice(vault);
    bytes.push(u8::try_from(attempts.len()).expect("attempts have 13 bytes"));
    bytes.extend_from_slice(attempts);
    match &contents.open {
        OpenMaster::Nowhere => bytes.push(0),
        OpenMaster::Here(master) => {
            bytes.push(1);
            bytes.extend_from_slice(master.as_bytes());
        }
        OpenMaster::Keyring(id) => {
            bytes.push(2);
            bytes.extend_from_slice(id);
        }
    }
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// What lies between the version and the hash.
fn fields(bytes: &[u8]) -> Option<Contents> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (vault, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let (&length, rest) = rest.split_first()?;
    let (attempts, rest) = rest.split_at_checked(length.into())?;
    let (&open, rest) = rest.split_first()?;
    let open = match (open, rest.len()) {
        (0, 0) => OpenMaster::Nowhere,
        (1, 32) => OpenMaster::Here(master_of(rest.to_vec())?),
        (2, 16) => OpenMaster::Keyring(rest.try_into().ok()?),
        _ => return None,
    };
    let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
    Some(Contents { vault: some(vault), attempts: some(attempts), open })
}

/// Creates or opens a file that only its owner can read.
fn private(path: &Path, empty: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(empty);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn writing(source: std::io::Error) -> StoreError {
    StoreError::Io { action: "writing the vault beside the database", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::identity::MasterKey;

    #[test]
    fn a_vault_file_has_the_bytes_that_the_documents_say() {
        let dir = tempfile::tempdir().unwrap();
        let file = VaultFile::of(&dir.path().join("app.db"));
        let master = MasterKey::from_bytes(&[7; 32]).unwrap();
        let contents = Contents { vault: Some(vec![1, 2]), attempts: Some(vec![3]), open: OpenMaster::Here(master) };
        file.write(&file.lock(Duration::ZERO).unwrap(), &contents).unwrap();
        let bytes = fs::read(dir.path().join("app.db-vault")).unwrap();
        let mut expected = b"cfostvt\x01\x02\x00\x01\x02\x01\x03\x01".to_vec();
        expected.extend([7; 32]);
        expected.extend(blake3::hash(&expected).as_bytes());
        assert_eq!(bytes, expected);
        let read = file.read().unwrap().unwrap();
        assert_eq!((read.vault, read.attempts), (Some(vec![1, 2]), Some(vec![3])));
        assert!(matches!(read.open, OpenMaster::Here(master) if master.as_bytes() == &[7; 32]));
    }

    #[test]
    fn a_vault_file_that_is_cut_or_altered_anywhere_is_damaged_and_a_newer_one_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = VaultFile::of(&dir.path().join("app.db"));
        let id = Host::system().random();
        let contents = Contents { vault: Some(vec![5; 134]), attempts: None, open: OpenMaster::Keyring(id) };
        file.write(&file.lock(Duration::ZERO).unwrap(), &contents).unwrap();
        let bytes = fs::read(file.path()).unwrap();
        for at in 0..bytes.len() {
            assert!(file.decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                assert!(file.decode(&altered).is_err(), "bit {bit} of byte {at}");
            }
        }
        let newer = [MAGIC.as_slice(), &[2, 1, 2, 3]].concat();
        let error = file.decode(&newer).map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::AtRest(AtRestError::VaultNewer { found: 2, known: 1, .. })), "{error}");
    }

    #[test]
    fn who_changes_a_vault_waits_for_the_other_and_gives_up_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = VaultFile::of(&dir.path().join("app.db"));
        let lock = file.lock(Duration::ZERO).unwrap();
        assert!(matches!(file.lock(Duration::from_millis(20)), Err(StoreError::Busy)));
        drop(lock);
        file.lock(Duration::ZERO).unwrap();
    }
}
