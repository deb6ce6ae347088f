//! Making an encrypted database out of a plain one, in its place.
//!
//! | step | killed after it |
//! | --- | --- |
//! | the database is locked against everybody, out of WAL mode | the next opening begins anew, as after each of these |
//! | all of it is written, encrypted, to `-encrypting` beside it, and is on the disk | |
//! | the vault is written beside it | a vault that nobody needs: a logout erases the key in it |
//! | `-encrypting` is renamed to the database | it is encrypted; the marker learns its new number at the next opening |
//! | the plain file, which has no name any more, is overwritten | its blocks are free, and may hold what they held |
//!
//! A process that had begun to open the plain file finds that the name leads to another one, and begins again.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::contents::{Contents, OpenMaster};
use super::encrypted::CONVERTED;
use super::error::AtRestError;
use super::key::FileKey;
use super::safe::{self, Safe};
use super::vault_file::{VaultFile, VaultLock};
use super::{beside, overwrite, sync_folder};
use crate::error::Result;
use crate::identity::{IdentityError, MasterKey};
use crate::store::layout::{self, pragma};
use crate::store::marker::inode;
use crate::store::{Opening, StoreError};

/// Steps of SQLite's machine between two looks at how far a conversion is: some milliseconds.
const STEPS_PER_LOOK: i32 = 100_000;

/// How often the lock is tried again while somebody else has the file open.
const LOCK_INTERVAL_MS: u64 = 20;

/// How far the encryption of a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encrypting {
    /// How much has been written.
    pub done_bytes: u64,
    /// About how much that will be in the end.
    pub all_bytes: u64,
}

impl fmt::Display for Encrypting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes encrypted", self.done_bytes, self.all_bytes)
    }
}

/// Who is told how far an encryption is.
#[derive(Clone, Default)]
pub(crate) struct OnEncryption(pub(crate) Option<Arc<dyn Fn(Encrypting) + Send + Sync>>);

impl OnEncryption {
    fn tell(&self, done_bytes: u64, all_bytes: u64) {
        if let Some(told) = &self.0 {
            told(Encrypting { done_bytes: done_bytes.min(all_bytes), all_bytes });
        }
    }
}

impl fmt::Debug for OnEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnEncryption").field(&self.0.is_some()).finish()
    }
}

/// Converts the database, which is plain, while nobody else has it open.
pub(super) fn convert(path: &Path, file: &VaultFile, lock: &VaultLock, opening: &Opening) -> Result<()> {
    let mut conn = hold(path, opening.busy_timeout)?;
    let is_database = layout::check(&conn, Some(path))?;
    let (contents, master) = secrets(&conn, is_database, path, opening)?;
    let unfinished = Unfinished::new(path)?;
    export(&mut conn, path, &unfinished, &master, &opening.at_rest.on_encryption, is_database)?;
    file.write(lock, &contents)?;
    let former = OpenOptions::new().write(true).open(path).map_err(writing)?;
    // Where a file that is open can't be replaced, its lock goes before it; elsewhere after.
    let held = cfg!(unix).then_some(conn);
    fs::rename(&unfinished.path, path).and_then(|()| sync_folder(path)).map_err(writing)?;
    if let Err(error) = overwrite(former) {
        tracing::warn!(%error, "the plain database could not be overwritten; its blocks are free");
    }
    drop(held);
    Ok(())
}

/// What opens the device, and its master key.
fn secrets(conn: &Connection, is_database: bool, path: &Path, opening: &Opening) -> Result<(Contents, MasterKey)> {
    if !is_database {
        // Made by a process that was killed before it had written anything.
        let master = MasterKey::generate(&opening.host);
        return Ok((Contents { open: OpenMaster::Here(master.clone()), ..Contents::default() }, master));
    }
    let contents = safe::read_table(conn)?;
    let master = Safe::plain(None, opening).master_in(&contents).map_err(IdentityError::from)?;
    let master = master.ok_or_else(|| StoreError::from(AtRestError::PlainLoggedOut { path: path.to_owned() }))?;
    Ok((contents, master))
}

/// Opens the database so that nobody else can, nor has: what they wrote to it would be lost.
fn hold(path: &Path, timeout: Duration) -> Result<Connection, StoreError> {
    let started = Instant::now();
    loop {
        match try_hold(path) {
            Err(StoreError::Busy) if started.elapsed() < timeout => {}
            Err(StoreError::Busy) => return Err(AtRestError::InUse { path: path.to_owned() }.into()),
            held => return held,
        }
        // Two processes that try this at once keep each other out only while they do it in step.
        thread::sleep(Duration::from_millis(LOCK_INTERVAL_MS + u64::from(std::process::id()) % LOCK_INTERVAL_MS));
    }
}

fn try_hold(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, layout::flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    conn.busy_timeout(Duration::ZERO)?;
    conn.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
    if mode != "delete" {
        return Err(StoreError::Busy);
    }
    // A lock that was taken once is kept, in this mode, until the connection is closed.
    conn.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
    Ok(conn)
}

/// The encrypted database while it has another name; removed unless it got the right one.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn new(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database, "-encrypting");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(writing(error)),
            _ => {}
        }
        layout::create_private(&path);
        Ok(Self { path })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "an unfinished encrypted database is left; the next opening removes it");
        }
    }
}

/// Writes all of the database to an encrypted file, and has that on the disk.
fn export(
    conn: &mut Connection,
    path: &Path,
    unfinished: &Unfinished,
    master: &MasterKey,
    told: &OnEncryption,
    is_database: bool,
) -> Result<(), StoreError> {
    let name = unfinished.path.to_str().ok_or_else(|| StoreError::CannotOpen {
        path: path.to_owned(),
        reason: "a path that isn't Unicode can't be encrypted".into(),
    })?;
    conn.execute("ATTACH DATABASE ?1 AS encrypted KEY ?2", (name, FileKey::of(master).literal()))?;
    // It is of no use before it is whole: a journal would be, too.
    conn.pragma_update_and_check(Some("encrypted"), "journal_mode", "OFF", |_| Ok(()))?;
    conn.pragma_update(Some("encrypted"), "synchronous", "OFF")?;
    let all_bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
    told.tell(0, all_bytes);
    let (watched, target) = (told.clone(), unfinished.path.clone());
    conn.progress_handler(
        STEPS_PER_LOOK,
        Some(move || {
            watched.tell(fs::metadata(&target).map_or(0, |metadata| metadata.len()), all_bytes);
            false
        }),
    )?;
    let exported = conn.query_row("SELECT sqlcipher_export('encrypted')", [], |_| Ok(()));
    conn.progress_handler(0, None::<fn() -> bool>)?;
    exported?;
    for name in ["application_id", "user_version"] {
        conn.pragma_update(Some("encrypted"), name, pragma::<i64>(conn, name)?)?;
    }
    if is_database {
        safe::move_out(conn, "encrypted")?;
        let inodes = [inode(path).to_le_bytes(), inode(&unfinished.path).to_le_bytes()].concat();
        conn.execute("INSERT OR REPLACE INTO encrypted.cfost_meta (key, value) VALUES (?1, ?2)", (CONVERTED, inodes))?;
    }
    conn.execute_batch("DETACH DATABASE encrypted")?;
    File::open(&unfinished.path).and_then(|file| file.sync_all()).map_err(writing)?;
    told.tell(all_bytes, all_bytes);
    Ok(())
}

fn writing(source: std::io::Error) -> StoreError {
    StoreError::Io { action: "encrypting the database", source }
}
