//! A database at rest: what opens its device, where that lies, and the encryption of the file.
//!
//! A plain database keeps its vault, and while the device is logged in its master key, in a table of its own. An
//! encrypted one can't: the master key opens the file. So there they lie in a [small file](vault_file) beside it. In
//! both, the open master key may lie in a keyring instead. [`Safe`] is what the rest of the store sees of it.
//!
//! A plain database becomes an encrypted one by [conversion](convert), when it is opened.

mod contents;
#[cfg(feature = "sqlcipher")]
mod convert;
#[cfg(feature = "sqlcipher")]
mod encrypted;
mod error;
mod key;
mod safe;
mod vault_file;

#[cfg(feature = "sqlcipher")]
pub use convert::Encrypting;
pub use error::AtRestError;

pub(super) use contents::Unlocked;
#[cfg(feature = "sqlcipher")]
pub(crate) use convert::OnEncryption;
#[cfg(feature = "sqlcipher")]
pub(super) use encrypted::{follow_conversion, was_converted};
pub(super) use key::FileKey;
pub(super) use safe::{Safe, is_logged_in};

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use self::vault_file::{VaultFile, VaultLock};
use super::marker::inode;
use super::{Opening, Place, Store, StoreError, layout};
use crate::error::Result;
use crate::identity::{IdentityError, PasswordCost, SharedKeyring};

/// How a database lies at rest, by choice of the app.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtRest {
    /// Where the open master key lies; else it is beside the vault.
    pub(crate) keyring: Option<SharedKeyring>,
    /// Logs in on opening.
    pub(crate) login: Option<Credentials>,
    /// Whether a new file is encrypted, and a plain one converted.
    #[cfg(feature = "sqlcipher")]
    pub(crate) encrypted: bool,
    #[cfg(feature = "sqlcipher")]
    pub(crate) on_encryption: OnEncryption,
}

impl AtRest {
    /// Leaves a plain file plain.
    pub(super) fn as_it_is(&self) -> Self {
        Self {
            #[cfg(feature = "sqlcipher")]
            encrypted: false,
            ..self.clone()
        }
    }

    #[cfg(feature = "sqlcipher")]
    fn wants_encryption(&self) -> bool {
        self.encrypted
    }

    #[cfg(not(feature = "sqlcipher"))]
    fn wants_encryption(&self) -> bool {
        false
    }
}

/// A login; its password is erased from memory when dropped, and not printed.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: Zeroizing<String>,
    pub(crate) cost: PasswordCost,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("email", &self.email).finish_non_exhaustive()
    }
}

/// What is known of a database before it is opened.
pub(super) struct Entered {
    pub(super) safe: Arc<Safe>,
    /// The number of the file that was looked at; 0 if there was none.
    inode: u64,
    /// Held until a new encrypted file has its first page, so that all processes that make it have one key.
    founding: Option<VaultLock>,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Empty,
    Plain,
    /// Encrypted, or damaged.
    Unreadable,
}

/// Finds out how a database is opened. With `may_convert` it is made encrypted, if the app wants that.
pub(super) fn enter(place: Place<'_>, opening: &Opening, may_convert: bool) -> Result<Entered> {
    let Some(path) = place.path() else {
        return Ok(Safe::plain(None, opening).entered(0));
    };
    let inode = inode(path);
    let wanted = may_convert && opening.at_rest.wants_encryption();
    if opening.at_rest.login.is_some() && is_empty(path) {
        return Err(IdentityError::NotPaired.into());
    }
    let file = VaultFile::of(path);
    // A plain database pays for no more than this.
    if !wanted && !file.path().exists() {
        return Ok(Safe::plain(Some(file), opening).entered(inode));
    }
    match form(path, opening)? {
        #[cfg(feature = "sqlcipher")]
        Form::Empty | Form::Plain if wanted => encrypted::begin(path, opening),
        Form::Empty | Form::Plain => Ok(Safe::plain(Some(file), opening).entered(inode)),
        #[cfg(feature = "sqlcipher")]
        Form::Unreadable => Ok(encrypted::enter(path, opening)?.entered(inode)),
        #[cfg(not(feature = "sqlcipher"))]
        Form::Unreadable => Err(StoreError::from(AtRestError::NotBuiltIn { path: path.to_owned() }).into()),
    }
}

/// Why a file can't be read without a key, if that is why.
pub(super) fn without_key(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt { .. } if VaultFile::of(path).path().exists() => {
            AtRestError::NoKey { path: path.to_owned() }.into()
        }
        error => error,
    }
}

/// Why the file that was opened with its key can't be read.
pub(super) fn with_key(safe: &Safe, path: Option<&Path>, error: StoreError) -> StoreError {
    match (error, path) {
        (StoreError::Corrupt { .. }, Some(path)) if safe.key().is_some() => {
            AtRestError::WrongKey { path: path.to_owned() }.into()
        }
        (error, _) => error,
    }
}

impl Entered {
    /// Refuses to go on with a file that has no name any more, since another process has encrypted it meanwhile. Ask
    /// once the file is locked; from then on another process finds a file where there was none.
    pub(super) fn check_same(&mut self, path: Option<&Path>) -> Result<(), StoreError> {
        self.founding = None;
        match path {
            Some(path) if self.inode != 0 && inode(path) != self.inode => {
                Err(AtRestError::Replaced { path: path.to_owned() }.into())
            }
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Logs in, if the app wants that on opening and the vault was not opened for it already, and moves the master
    /// key to the keyring.
    pub(super) fn open_device(&self, at_rest: &AtRest) -> Result<()> {
        if let Some(login) = at_rest.login.as_ref().filter(|_| self.safe.key().is_none()) {
            self.login(&login.email, &login.password, login.cost)?;
        }
        self.entrust()
    }
}

/// What a file is. SQLite looks into it: were it read in any other way, the locks that this process has on it by
/// another handle would be lost.
fn form(path: &Path, opening: &Opening) -> Result<Form, StoreError> {
    if is_empty(path) {
        return Ok(Form::Empty);
    }
    let flags = layout::flags(OpenFlags::SQLITE_OPEN_READ_WRITE);
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(opening.busy_timeout)?;
    match layout::pragma::<i64>(&conn, "schema_version") {
        Ok(_) => Ok(Form::Plain),
        Err(StoreError::Corrupt { .. }) => Ok(Form::Unreadable),
        Err(error) => Err(error),
    }
}

fn is_empty(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.len() == 0)
}

/// The path of a file that lies beside another.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Has the disk know the names in the folder of a file.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Overwrites a file that has no name any more.
fn overwrite(mut file: File) -> io::Result<()> {
    const ZEROS: [u8; 8192] = [0; 8192];
    let mut left = file.metadata()?.len();
    while left > 0 {
        let bytes = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..bytes as usize])?;
        left -= bytes;
    }
    file.sync_all()
}
