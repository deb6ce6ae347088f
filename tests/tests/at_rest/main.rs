//! A database that is encrypted on its disk: what can be read of it without the key, and what happens when the key,
//! the vault or a page isn't there.

#![cfg(feature = "sqlcipher")]

mod attacks;
mod conversion;
mod opening;

use std::fs;
use std::path::{Path, PathBuf};

use cfost::Error;
use cfost::identity::PasswordCost;
use cfost::prelude::*;
use cfost::store::{AtRestError, StoreError};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(search)]
    title: String,
    #[crdt(counter)]
    votes: i64,
}

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";

/// A word that is written to databases and must not be read in their files.
const CANARY: &str = "yellow canary of Mrs Lovelace";

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

/// A password hash that takes no quarter of a second.
fn cheap() -> PasswordCost {
    PasswordCost::new(64, 1, 1).unwrap()
}

fn encrypted() -> cfost::DbOptions {
    Db::options().encrypted(true)
}

/// Why a database can't be opened.
fn refusal(opened: cfost::Result<Db>) -> AtRestError {
    match opened {
        Ok(_) => panic!("it was opened"),
        Err(Error::Store(StoreError::AtRest(error))) => error,
        Err(other) => panic!("another error: {other}"),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The files of a folder in which these bytes can be read.
fn files_with(folder: &Path, secret: &[u8]) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.filter(|path| fs::read(path).unwrap().windows(secret.len()).any(|window| window == secret)).collect()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

fn is_plain(path: &Path) -> bool {
    fs::read(path).unwrap().starts_with(b"SQLite format 3\0")
}
