//! Making a backup, and a device of the user from one.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use super::{Db, DbOptions};
use crate::backup::{BackupError, BackupSummary, Part, Reader, Recipient, Writer, unlock};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::identity::{AddDevice, Body, EntryId, IdentityLog, RecoveryPhrase, RootKey};
use crate::oplog::{Run, SpaceId};
use crate::schema::Model;
use crate::store::Store;
use crate::sync::{LogKey, Seqs};

/// Bytes of changes that are in memory at once.
const BATCH_BYTES: usize = 4 << 20;

impl Db {
    /// Writes a backup of the user and all data to `to`, encrypted for `recipient`.
    ///
    /// What it holds is the database as it was at some moment during the call; the app goes on writing meanwhile.
    /// Of the data some 4 MB are in memory at once. No device's secret keys are in it. It is of no use before this
    /// returns: write it to a new file, and put that in the old one's place after.
    ///
    /// # Errors
    /// [`BackupError::Write`], [`BackupError::Recipient`], [`Error::LoggedOut`](crate::Error::LoggedOut).
    ///
    /// ```
    /// use cfost_runtime::backup::Recipient;
    /// use cfost_runtime::db::Db;
    ///
    /// # fn main() -> cfost_runtime::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = Db::open_in_memory([])?;
    /// let phrase = db.recovery_phrase()?.expect("it is kept until it has been shown");
    /// let mut file = Vec::new();
    /// db.backup(&mut file, &Recipient::Phrase)?;
    ///
    /// // On another day, on another machine, with the 24 words:
    /// let restored = Db::options().restore(&file[..], dir.path().join("app.db"), [], &phrase)?;
    /// assert_eq!(restored.user()?, db.user()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backup(&self, mut to: impl Write, recipient: &Recipient) -> Result<BackupSummary> {
        write(&self.store, &mut to, recipient)
    }
}

fn write(store: &Store, to: &mut dyn Write, recipient: &Recipient) -> Result<BackupSummary> {
    let mut backup = Backup {
        writer: Writer::new(to, recipient, store.identity()?.root())?,
        entries: HashSet::new(),
        keys: HashSet::new(),
    };
    backup.write_new_entries(store)?;
    // Also of spaces that the user is in no more: what was shown once comes back with the membership.
    for space in iter::once(store.home()?).chain(store.entry_logs()?.spaces.into_keys()) {
        backup.write_space(store, space)?;
    }
    Ok(backup.writer.finish()?)
}

/// A backup that is being written, with what it has of entries and keys.
struct Backup<'w> {
    writer: Writer<&'w mut dyn Write>,
    entries: HashSet<EntryId>,
    keys: HashSet<(SpaceId, u32)>,
}

impl Backup<'_> {
    /// Writes entries and keys that have come since the last time.
    fn write_new_entries(&mut self, store: &Store) -> Result<()> {
        let logs = store.entry_logs()?;
        for entry in logs.users.own().entries().filter(|entry| self.entries.insert(entry.id())) {
            self.writer.entry(entry.as_bytes())?;
        }
        for (space, key) in store.space_keys()?.iter().filter(|(space, key)| self.keys.insert((*space, key.epoch()))) {
            self.writer.epoch_key(*space, key)?;
        }
        for (space, log) in &logs.spaces {
            for entry in log.entries().filter(|entry| self.entries.insert(entry.id())) {
                self.writer.space_entry(*space, entry.as_bytes())?;
            }
        }
        for log in logs.others() {
            for entry in log.entries().filter(|entry| self.entries.insert(entry.id())) {
                self.writer.user_entry(log.user_id(), entry.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes the changes of a space, each after the entries that say who may make it.
    fn write_space(&mut self, store: &Store, space: SpaceId) -> Result<()> {
        let goal = store.frontier(space)?;
        let mut held = Seqs::new();
        while goal.iter().any(|(log, head)| held.get(&log).copied().unwrap_or(0) < head.seq) {
            let served = store.runs_after(space, &held, BATCH_BYTES)?;
            if served.is_empty() {
                break;
            }
            self.write_new_entries(store)?;
            for served in served {
                held.insert(served.run.log, served.head.seq);
                self.writer.run(&served.run)?;
            }
        }
        Ok(())
    }
}

impl DbOptions {
    /// Makes a database at `path`, where there must be none, from a backup: a new device of the user, which the
    /// recovery phrase certifies, with all that the backup has.
    ///
    /// Every change is checked as if a peer had sent it. The user's other devices, if there are any, take the
    /// new one in when they meet it. Restoring a backup once more gives another device.
    ///
    /// The database is made beside `path` and put there in the end: if this fails or is killed, `path` is still free.
    ///
    /// # Errors
    /// [`BackupError`]; what [`Db::open`] gives.
    pub fn restore(
        self,
        from: impl Read,
        path: impl AsRef<Path>,
        models: impl AsRef<[Model]>,
        phrase: &RecoveryPhrase,
    ) -> Result<Db> {
        self.restore_from(&mut { from }, path.as_ref(), models.as_ref(), phrase, None)
    }

    /// [`DbOptions::restore`] of a backup that was made for an age key, [`Recipient::Key`], whose secret half
    /// `AGE-SECRET-KEY-1..` is.
    ///
    /// # Errors
    /// As [`DbOptions::restore`].
    pub fn restore_with_key(
        self,
        from: impl Read,
        path: impl AsRef<Path>,
        models: impl AsRef<[Model]>,
        phrase: &RecoveryPhrase,
        key: &str,
    ) -> Result<Db> {
        self.restore_from(&mut { from }, path.as_ref(), models.as_ref(), phrase, Some(key))
    }

    fn restore_from(
        self,
        from: &mut dyn Read,
        path: &Path,
        models: &[Model],
        phrase: &RecoveryPhrase,
        key: Option<&str>,
    ) -> Result<Db> {
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        if path.exists() {
            return Err(BackupError::Exists { path: path.to_owned() }.into());
        }
        let root = RootKey::from_phrase(phrase);
        let mut reader = Reader::open(from, &unlock(&root, key)?)?;
        let place = |source| BackupError::Place { path: path.to_owned(), source };
        let unfinished = beside("-restoring");
        remove(&unfinished).map_err(place)?;
        let made = self.clone().open(&unfinished, models).and_then(|db| fill(&db.store, &mut reader, &root));
        if let Err(error) = made {
            remove(&unfinished).map_err(place)?;
            return Err(error);
        }
        // Nothing of its own has left the device, so it needs no marker; the next opening makes one.
        remove_beside(&unfinished, JOURNALS).map_err(place)?;
        move_if_there(&vault_of(&unfinished), &vault_of(path)).map_err(place)?;
        fs::rename(&unfinished, path).map_err(place)?;
        remove_beside(&unfinished, VAULTS).map_err(place)?;
        self.open(path, models)
    }
}

/// Makes a new database a device of the user whose backup it is.
fn fill(store: &Store, reader: &mut Reader<&mut dyn Read>, root: &RootKey) -> Result<()> {
    let (mut user, mut entries, mut keys, mut others) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut first_run = None;
    while first_run.is_none() {
        match reader.next()? {
            Some(Part::Root(root)) => user = Some(root),
            Some(Part::Entry(entry)) => entries.push(entry),
            Some(Part::EpochKey(space, key)) => keys.push((space, key)),
            Some(Part::SpaceEntry(space, entry)) => others.push((LogKey::Space(space), entry)),
            Some(Part::UserEntry(user, entry)) => others.push((LogKey::User(user), entry)),
            Some(Part::Run(run)) => first_run = Some(run),
            None => break,
        }
    }
    let user = user.ok_or(BackupError::damaged("it doesn't say whose it is"))?;
    if user != root.public() {
        return Err(BackupError::WrongUser { expected: user.user_id(), found: root.user_id() }.into());
    }
    let mut log = IdentityLog::from_entries(user, entries)?;
    let device = store.device_keys()?;
    let name = store.identity()?.device(device.id()).map(|device| device.name).unwrap_or_default();
    let add = AddDevice::new(user.user_id(), &device, &name)?;
    let at = Timestamp::from_ms(store.host().now_ms());
    let entry = log.author_as_root(root, Body::AddDevice(add), at)?;
    log.insert(entry.as_bytes())?;
    store.join(&log, &device, &keys)?;
    store.learn(&others, true)?;
    if let Some(run) = first_run {
        take_in(store, reader, run)?;
    }
    Ok(store.settle()?)
}

/// Takes the changes in, each run after those it builds on; and what came of entries and keys while they were written.
fn take_in(store: &Store, reader: &mut Reader<&mut dyn Read>, first: Run) -> Result<()> {
    let mut batch = vec![first];
    let bytes = |runs: &[Run]| runs.iter().flat_map(|run| &run.changes).map(Vec::len).sum::<usize>();
    loop {
        let next = match reader.next()? {
            Some(Part::Run(run)) => Some(run),
            Some(Part::Entry(entry)) => {
                learn(store, LogKey::User(store.identity()?.user_id()), entry)?;
                continue;
            }
            Some(Part::SpaceEntry(space, entry)) => {
                learn(store, LogKey::Space(space), entry)?;
                continue;
            }
            Some(Part::UserEntry(user, entry)) => {
                learn(store, LogKey::User(user), entry)?;
                continue;
            }
            Some(Part::EpochKey(space, key)) => {
                store.learn_space_keys(&[(space, key)])?;
                continue;
            }
            Some(Part::Root(_)) => return Err(BackupError::damaged("its parts are in another order").into()),
            None => None,
        };
        if next.is_none() || bytes(&batch) > BATCH_BYTES {
            let applied = store.take_in(&batch)?;
            if !applied.refused.is_empty() {
                return Err(BackupError::damaged("a change in it doesn't hold").into());
            }
            batch.clear();
        }
        match next {
            Some(run) => batch.push(run),
            None => return Ok(()),
        }
    }
}

fn learn(store: &Store, log: LogKey, entry: Vec<u8>) -> Result<()> {
    store.learn(&[(log, entry)], true).map(drop)
}

/// Removes what is left of a database that was not finished.
fn remove(database: &Path) -> io::Result<()> {
    remove_file(database)?;
    remove_beside(database, JOURNALS)?;
    remove_beside(database, VAULTS)
}

/// What SQLite and the marker leave beside a database.
const JOURNALS: &[&str] = &["-wal", "-shm", "-marker"];

/// What an encrypted database has beside it.
const VAULTS: &[&str] = &["-vault", "-vault-lock"];

fn vault_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(VAULTS[0]);
    PathBuf::from(name)
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes files beside a database.
fn remove_beside(database: &Path, endings: &[&str]) -> io::Result<()> {
    endings.iter().try_for_each(|ending| {
        let mut name = database.as_os_str().to_owned();
        name.push(ending);
        remove_file(Path::new(&name))
    })
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
