//! The key of a logged-in device in a keyring, which may be locked, gone or emptied at any time: then the password
//! still opens the database, and its files have never had the key.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cfost::DbOptions;
use cfost::Error;
use cfost::identity::{IdentityError, Keyring, KeyringError, PasswordCost};
use cfost::prelude::*;
use rusqlite::{Connection, OptionalExtension};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
}

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn cheap() -> PasswordCost {
    PasswordCost::new(64, 1, 1).unwrap()
}

/// A keyring in memory, which fails as it is told.
#[derive(Clone, Default)]
struct Ring(Arc<Mutex<(Secrets, Option<KeyringError>)>>);

type Secrets = BTreeMap<String, Vec<u8>>;

impl Ring {
    fn fail(&self, error: Option<KeyringError>) {
        self.0.lock().unwrap().1 = error;
    }

    fn clear(&self) {
        self.0.lock().unwrap().0.clear();
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().0.values().cloned().collect()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Secrets) -> T) -> Result<T, KeyringError> {
        let (secrets, failure) = &mut *self.0.lock().unwrap();
        failure.clone().map_or_else(|| Ok(work(secrets)), Err)
    }
}

impl Keyring for Ring {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KeyringError> {
        self.with(|secrets| secrets.get(name).cloned())
    }

    fn set(&self, name: &str, secret: &[u8]) -> Result<(), KeyringError> {
        self.with(|secrets| drop(secrets.insert(name.to_owned(), secret.to_vec())))
    }

    fn delete(&self, name: &str) -> Result<(), KeyringError> {
        self.with(|secrets| drop(secrets.remove(name)))
    }
}

fn locked() -> KeyringError {
    KeyringError::Locked { reason: "the user said no".into() }
}

fn with(ring: &Ring) -> DbOptions {
    Db::options().keyring(ring.clone())
}

/// A database whose device is logged in with its key in the ring.
fn registered(path: &Path, ring: &Ring) -> Db {
    let db = with(ring).open(path, models![Todo]).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    db.insert(todo("milk")).unwrap();
    db
}

fn keyring_error<T>(result: cfost::Result<T>) -> KeyringError {
    match result {
        Ok(_) => panic!("it went well"),
        Err(Error::Identity(IdentityError::Keyring(error))) => error,
        Err(other) => panic!("another error: {other}"),
    }
}

fn files_with(folder: &Path, secret: &[u8]) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.windows(secret.len()).any(|window| window == secret)).count()
}

/// The master key in the file of a database that isn't encrypted.
fn master_in_file(path: &Path) -> Option<Vec<u8>> {
    let conn = Connection::open(path).unwrap();
    let select = "SELECT value FROM cfost_meta WHERE key = 'open_master'";
    conn.query_row(select, [], |row| row.get(0)).optional().unwrap()
}

#[test]
fn with_a_password_the_key_is_in_the_keyring_and_in_no_file_and_a_logout_deletes_it() {
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    let db = with(&ring).open(&path, models![Todo]).unwrap();
    assert!(ring.secrets().is_empty(), "without a password a keyring that is emptied would lose the device");
    let key = master_in_file(&path).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    assert_eq!(ring.secrets(), std::slice::from_ref(&key));
    assert_eq!(files_with(dir.path(), &key), 0, "neither the file nor its log keeps what was there");
    db.insert(todo("milk")).unwrap();
    drop(db);
    let db = with(&ring).open(&path, models![Todo]).unwrap();
    assert!(db.is_logged_in().unwrap());
    db.insert(todo("eggs")).unwrap();
    db.logout().unwrap();
    assert!(ring.secrets().is_empty());
    assert!(matches!(db.insert(todo("no")), Err(Error::LoggedOut)));
    db.login_with(EMAIL, PASSWORD, cheap()).unwrap();
    assert_eq!((ring.secrets(), files_with(dir.path(), &key)), (vec![key], 0));
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn a_device_that_was_logged_in_without_a_keyring_moves_its_key_there() {
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    let db = Db::open(&path, models![Todo]).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    drop(db);
    let key = master_in_file(&path).unwrap();
    ring.fail(Some(locked()));
    drop(with(&ring).open(&path, models![Todo]).unwrap());
    assert_eq!(master_in_file(&path).unwrap(), key, "it stays where it is while the keyring takes nothing");
    ring.fail(None);
    let db = with(&ring).open(&path, models![Todo]).unwrap();
    assert_eq!((ring.secrets(), files_with(dir.path(), &key)), (vec![key], 0));
    db.insert(todo("milk")).unwrap();
}

#[test]
fn a_keyring_that_is_locked_emptied_or_not_named_says_so_and_the_password_opens() {
    let failures = [
        (Some(locked()), false, locked()),
        (None, true, KeyringError::Cleared),
        (
            Some(KeyringError::Unavailable { reason: "no bus".into() }),
            false,
            KeyringError::Unavailable { reason: "no bus".into() },
        ),
    ];
    for (failure, cleared, expected) in failures {
        let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
        let path = dir.path().join("app.db");
        drop(registered(&path, &ring));
        ring.fail(failure);
        if cleared {
            ring.clear();
        }
        let db = with(&ring).open(&path, models![Todo]).unwrap();
        assert_eq!(db.count::<Todo>().unwrap(), 1, "rows of a plain database can be read");
        assert!(!db.is_logged_in().unwrap());
        assert_eq!(keyring_error(db.insert(todo("no"))), expected);
        assert_eq!(keyring_error(db.verify()), expected);
        db.login_with(EMAIL, PASSWORD, cheap()).unwrap();
        db.insert(todo("eggs")).unwrap();
        assert!(db.verify().unwrap().is_sound());
    }
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    drop(registered(&path, &ring));
    let db = Db::open(&path, models![Todo]).unwrap();
    assert_eq!(keyring_error(db.insert(todo("no"))), KeyringError::NotGiven);
    db.login_with(EMAIL, PASSWORD, cheap()).unwrap();
    assert!(master_in_file(&path).is_some(), "the app has chosen no keyring any more");
}

#[test]
fn a_login_without_a_usable_keyring_lasts_until_the_app_ends() {
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    registered(&path, &ring).logout().unwrap();
    ring.fail(Some(locked()));
    let db = with(&ring).login_with(EMAIL, PASSWORD, cheap()).open(&path, models![Todo]).unwrap();
    db.insert(todo("eggs")).unwrap();
    assert!(master_in_file(&path).is_none());
    // What another handle commits has this one read everything anew.
    let other = with(&ring).open(&path, models![Todo]).unwrap();
    assert_eq!(keyring_error(other.insert(todo("no"))), locked());
    other.login_with(EMAIL, PASSWORD, cheap()).unwrap();
    other.insert(todo("cheese")).unwrap();
    db.insert(todo("bread")).unwrap();
    drop((db, other));
    let db = with(&ring).open(&path, models![Todo]).unwrap();
    assert_eq!(keyring_error(db.insert(todo("no"))), locked());
    ring.fail(None);
    let db = with(&ring).open(&path, models![Todo]).unwrap();
    assert_eq!(keyring_error(db.insert(todo("no"))), KeyringError::Cleared);
}

#[test]
fn a_logout_that_the_keyring_does_not_follow_is_one_and_says_what_is_left() {
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    let db = registered(&path, &ring);
    ring.fail(Some(locked()));
    let KeyringError::NotDeleted { name, .. } = keyring_error(db.logout()) else { panic!("another error") };
    ring.fail(None);
    assert!(matches!(db.insert(todo("no")), Err(Error::LoggedOut)));
    assert!(ring.get(&name).unwrap().is_some(), "the user can find it there");
    drop(db);
    assert!(!with(&ring).open(&path, models![Todo]).unwrap().is_logged_in().unwrap());
}

#[cfg(feature = "sqlcipher")]
#[test]
fn an_encrypted_database_without_its_keyring_opens_by_the_password_only() {
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    let db = with(&ring).encrypted(true).open(&path, models![Todo]).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    let [key] = <[_; 1]>::try_from(ring.secrets()).unwrap();
    assert_eq!(files_with(dir.path(), &key), 0);
    drop(db);
    with(&ring).open(&path, models![Todo]).unwrap().insert(todo("milk")).unwrap();
    assert_eq!(keyring_error(Db::open(&path, models![Todo])), KeyringError::NotGiven);
    ring.clear();
    assert_eq!(keyring_error(with(&ring).open(&path, models![Todo])), KeyringError::Cleared);
    let db = with(&ring).login_with(EMAIL, PASSWORD, cheap()).open(&path, models![Todo]).unwrap();
    assert_eq!((db.count::<Todo>().unwrap(), ring.secrets()), (1, vec![key.clone()]));
    assert_eq!(files_with(dir.path(), &key), 0);
}

#[cfg(feature = "sqlcipher")]
#[test]
fn a_plain_database_with_its_key_in_a_keyring_is_encrypted_with_it() {
    let (dir, ring) = (tempfile::tempdir().unwrap(), Ring::default());
    let path = dir.path().join("app.db");
    drop(registered(&path, &ring));
    let refused = keyring_error(Db::options().encrypted(true).open(&path, models![Todo]));
    assert_eq!(refused, KeyringError::NotGiven);
    let db = with(&ring).encrypted(true).open(&path, models![Todo]).unwrap();
    assert_eq!(db.count::<Todo>().unwrap(), 1);
    db.logout().unwrap();
    assert!(ring.secrets().is_empty());
}

#[cfg(feature = "keyring")]
#[test]
fn the_keyring_of_this_system_keeps_gives_and_deletes_or_says_why_not() {
    use cfost::identity::SystemKeyring;
    let ring = SystemKeyring::new("cfost tests");
    let name = format!("test {}", std::process::id());
    match ring.set(&name, b"secret") {
        // In a container without one.
        Err(KeyringError::Unavailable { reason } | KeyringError::Locked { reason }) => assert!(!reason.is_empty()),
        Err(other) => panic!("{other}"),
        Ok(()) => {
            assert_eq!(ring.get(&name).unwrap().as_deref(), Some(b"secret".as_slice()));
            ring.set(&name, b"another").unwrap();
            assert_eq!(ring.get(&name).unwrap().as_deref(), Some(b"another".as_slice()));
            ring.delete(&name).unwrap();
            assert_eq!(ring.get(&name).unwrap(), None);
            ring.delete(&name).unwrap();
        }
    }
}
