//! Opening an encrypted database: from its vault to the key of its file.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::contents::{Contents, OpenMaster, Unlocked};
use super::convert;
use super::error::AtRestError;
use super::key::FileKey;
use super::safe::Safe;
use super::vault_file::{VaultFile, VaultLock};
use super::{Entered, Form, form};
use crate::error::Result;
use crate::identity::MasterKey;
use crate::store::layout::{meta, remove_meta};
use crate::store::marker::{Marker, inode};
use crate::store::{Opening, StoreError};

/// Opens the vault of an encrypted database: by the key of a logged-in device, or by the password.
pub(super) fn enter(path: &Path, opening: &Opening) -> Result<Safe> {
    let file = VaultFile::of(path);
    let missing = || AtRestError::VaultMissing { path: path.to_owned(), vault: file.path().to_owned() };
    let contents = file.read()?.ok_or_else(|| StoreError::from(missing()))?;
    let mut safe = Safe::plain(Some(file.clone()), opening);
    let master = match &opening.at_rest.login {
        Some(_) => login(&safe, &file, opening)?,
        None => {
            let master = safe.master_in(&contents).map_err(crate::identity::IdentityError::from)?;
            master.ok_or_else(|| StoreError::from(AtRestError::LoggedOut { path: path.to_owned() }))?
        }
    };
    safe.key = Some(FileKey::of(&master));
    Ok(safe)
}

/// Logs in by the vault, before the database can be read.
fn login(safe: &Safe, file: &VaultFile, opening: &Opening) -> Result<MasterKey> {
    let Some(credentials) = &opening.at_rest.login else { return Err(crate::Error::LoggedOut) };
    let vault = change(file, opening, |contents| contents.begin_login(opening.host.now_ms()))??;
    let (email, password) = (&credentials.email, &credentials.password);
    let unlocked = Unlocked::try_password(&opening.host, vault, email, password, credentials.cost)?;
    change(file, opening, |contents| {
        contents.end_login(&unlocked);
        safe.keep_open(contents, &opening.host, &unlocked.master);
    })?;
    Ok(unlocked.master)
}

fn change<T>(file: &VaultFile, opening: &Opening, work: impl FnOnce(&mut Contents) -> T) -> Result<T, StoreError> {
    let lock = file.lock(opening.busy_timeout)?;
    let path = file.path().to_owned();
    let mut contents = file.read()?.ok_or(AtRestError::VaultDamaged { path })?;
    let value = work(&mut contents);
    file.write(&lock, &contents)?;
    Ok(value)
}

/// Makes the key of a database that is to be encrypted, and converts the database if there is one.
pub(super) fn begin(path: &Path, opening: &Opening) -> Result<Entered> {
    let file = VaultFile::of(path);
    let lock = file.lock(opening.busy_timeout)?;
    // Another process may have been first.
    match form(path, opening)? {
        Form::Empty => {
            found(&file, &lock, opening)?;
            Ok(Entered { safe: Arc::new(enter(path, opening)?), inode: inode(path), founding: Some(lock) })
        }
        Form::Plain => {
            convert::convert(path, &file, &lock, opening)?;
            drop(lock);
            Ok(enter(path, opening)?.entered(inode(path)))
        }
        Form::Unreadable => {
            drop(lock);
            Ok(enter(path, opening)?.entered(inode(path)))
        }
    }
}

/// Writes the vault of a new database. One that was left by a process that was killed before it had made the database
/// goes on.
fn found(file: &VaultFile, lock: &VaultLock, opening: &Opening) -> Result<(), StoreError> {
    match file.read()? {
        None => {
            let open = OpenMaster::Here(MasterKey::generate(&opening.host));
            file.write(lock, &Contents { open, ..Contents::default() })
        }
        Some(Contents { vault: None, open: OpenMaster::Here(_), .. }) => Ok(()),
        Some(_) => Err(AtRestError::VaultAlone { path: file.path().to_owned() }.into()),
    }
}

/// In a database that was converted: the number that its file had before, and has.
pub(super) const CONVERTED: &str = "encrypted_from";

/// Whether the database was converted, and its marker doesn't know yet.
pub(in crate::store) fn was_converted(conn: &Connection) -> Result<bool, StoreError> {
    Ok(meta::<[u8; 16]>(conn, CONVERTED)?.is_some())
}

/// Tells the marker of a database that was converted that it is another file now: it is no copy.
pub(in crate::store) fn follow_conversion(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let Some(inodes) = meta::<[u8; 16]>(conn, CONVERTED)? else { return Ok(()) };
    let (before, now) = inodes.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    if number(now) == inode(path)
        && let Some(marker) = Marker::read(path)?.filter(|marker| marker.inode == number(before))
    {
        Marker { inode: number(now), ..marker }.write(path)?;
    }
    remove_meta(conn, CONVERTED)
}
