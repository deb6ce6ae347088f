//! The user of a database: registering, locking, unlocking, and what is left in the file after.

use std::fs;
use std::path::Path;

use cfost::host::{Host, ManualClock};
use cfost::identity::{IdentityError, PasswordCost};
use cfost::prelude::*;
use cfost::{Error, Result};
use cfost_tests::fleet::{self, START_MS};
use rusqlite::Connection;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
}

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

/// A password hash that takes no quarter of a second.
fn cheap() -> PasswordCost {
    PasswordCost::new(64, 1, 1).unwrap()
}

fn open(path: &Path, clock: &ManualClock, seed: u64) -> Db {
    Db::options().host(Host::simulated(clock.clone(), seed)).open(path, models![Todo]).unwrap()
}

fn identity_error<T>(result: Result<T>) -> IdentityError {
    match result {
        Ok(_) => panic!("it went well"),
        Err(Error::Identity(error)) => error,
        Err(other) => panic!("another family's error: {other}"),
    }
}

/// Whether any file of the database has these bytes in it.
fn is_on_disk(path: &Path, secret: &[u8]) -> bool {
    ["", "-wal", "-shm", "-marker"].iter().any(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        fs::read(name).is_ok_and(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
    })
}

fn meta(path: &Path, key: &str) -> Vec<u8> {
    let conn = Connection::open(path).unwrap();
    conn.query_row("SELECT value FROM cfost_meta WHERE key = ?1", [key], |row| row.get(0)).unwrap()
}

#[test]
fn a_user_registers_once_and_keeps_what_was_written_before() {
    let db = Db::open_in_memory(models![Todo]).unwrap();
    let milk = db.insert(todo("milk")).unwrap();
    assert_eq!(db.user().unwrap().name, None);
    let weak = db.register_user_with("Ada", EMAIL, "short", cheap());
    assert!(matches!(identity_error(weak), IdentityError::WeakPassword { .. }));
    let own_name = db.register_user_with("Lovelace", EMAIL, "lovelace", cheap());
    assert!(matches!(identity_error(own_name), IdentityError::GuessablePassword { .. }));
    assert_eq!(db.user().unwrap().name, None, "a refused registration leaves nothing");
    let id = db.user().unwrap().id;
    let registration = db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    assert_eq!((registration.user_id, registration.recovery_phrase.words().split(' ').count()), (id, 24));
    let user = db.user().unwrap();
    assert_eq!((user.name.as_deref(), user.email.as_deref()), (Some("Ada"), Some(EMAIL)));
    let again = db.register_user_with("Eve", "eve@example.org", PASSWORD, cheap());
    assert!(matches!(identity_error(again), IdentityError::Registered { name } if name == "Ada"));
    assert_eq!(db.all::<Todo>().unwrap(), [milk]);
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn a_locked_device_reads_its_rows_and_says_what_it_can_not_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let clock = ManualClock::at(START_MS);
    let milk = {
        let db = open(&path, &clock, 1);
        assert!(matches!(identity_error(db.logout()), IdentityError::NoPassword));
        db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
        let milk = db.insert(todo("milk")).unwrap();
        assert_eq!(db.sql("SELECT count(*) FROM cfost_oplog").rows::<(i64,)>().unwrap(), [(1,)]);
        db.logout().unwrap();
        milk
    };
    {
        let db = open(&path, &clock, 2);
        assert!(!db.is_logged_in().unwrap());
        assert_eq!(db.all::<Todo>().unwrap(), std::slice::from_ref(&milk));
        assert_eq!(db.user().unwrap().name.as_deref(), Some("Ada"));
        let locked = |result: Result<()>| assert!(matches!(result, Err(Error::LoggedOut)), "{result:?}");
        locked(db.insert(todo("bread")).map(|_| ()));
        locked(db.write(|_| Ok(())));
        locked(db.oplog().map(|_| ()));
        locked(db.sql("SELECT data FROM cfost_oplog").rows::<(String,)>().map(|_| ()));
        locked(db.verify().map(|_| ()));
        locked(db.recovery_phrase().map(|_| ()));
        locked(db.device_keys().map(|_| ()));
        locked(db.set_password("another password"));
        locked(db.rename_device(db.devices().unwrap()[0].id, "phone"));
        db.login(EMAIL, PASSWORD).unwrap();
        assert!(db.is_logged_in().unwrap());
        db.insert(todo("bread")).unwrap();
        assert_eq!(db.sql("SELECT count(*) FROM cfost_oplog").rows::<(i64,)>().unwrap(), [(2,)]);
        assert!(db.verify().unwrap().is_sound());
    }
    assert!(open(&path, &clock, 3).is_logged_in().unwrap(), "a login lasts from one start to the next");
}

#[test]
fn a_wrong_password_and_an_unknown_address_are_the_same_error_and_wait_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let clock = ManualClock::at(START_MS);
    {
        let db = open(&path, &clock, 1);
        db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
        db.logout().unwrap();
        let wrong = identity_error(db.login(EMAIL, "wrong horse"));
        let unknown = identity_error(db.login("eve@example.org", PASSWORD));
        assert!(matches!(wrong, IdentityError::WrongCredentials));
        assert_eq!(wrong.to_string(), unknown.to_string());
        for _ in 0..2 {
            assert!(matches!(identity_error(db.login(EMAIL, "wrong horse")), IdentityError::WrongCredentials));
        }
    }
    let db = open(&path, &clock, 2);
    // Not even the right password is tried before the time.
    assert!(matches!(identity_error(db.login(EMAIL, PASSWORD)), IdentityError::TooManyAttempts { .. }));
    clock.advance(60 * 60 * 1000);
    db.login(EMAIL, PASSWORD).unwrap();
    db.logout().unwrap();
    // A login forgives the failures before it.
    assert!(matches!(identity_error(db.login(EMAIL, "wrong horse")), IdentityError::WrongCredentials));
    db.login(EMAIL, PASSWORD).unwrap();
}

#[test]
fn a_clock_that_is_set_right_shortens_the_wait_for_the_next_login() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START_MS);
    let db = open(&dir.path().join("todo.db"), &clock, 1);
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    db.logout().unwrap();
    clock.set(2 * START_MS);
    for _ in 0..4 {
        db.login(EMAIL, "wrong horse").unwrap_err();
    }
    clock.set(START_MS);
    let IdentityError::TooManyAttempts { wait_ms } = identity_error(db.login(EMAIL, PASSWORD)) else {
        panic!("it was tried at once");
    };
    clock.advance(wait_ms);
    db.login(EMAIL, PASSWORD).unwrap();
}

#[test]
fn a_logout_leaves_no_trace_of_the_open_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let clock = ManualClock::at(START_MS);
    let db = open(&path, &clock, 1);
    db.insert_all((0..200).map(|n| todo(&format!("row {n}")))).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    let master = meta(&path, "open_master");
    assert!(is_on_disk(&path, &master), "the test looks for what is there");
    for round in 0..5_u8 {
        // Pages are written, split and written again meanwhile.
        for n in 0..40_u8 {
            db.consume_pairing(cfost::identity::pairing::PairingId::from_bytes([round * 40 + n; 16])).unwrap();
            db.insert(todo("more")).unwrap();
        }
        db.logout().unwrap();
        assert!(!is_on_disk(&path, &master), "round {round}: the master key is still in the file");
        db.login(EMAIL, PASSWORD).unwrap();
        assert!(is_on_disk(&path, &master));
    }
    db.logout().unwrap();
    drop(db);
    assert!(!is_on_disk(&path, &master));
}

#[test]
fn the_recovery_phrase_is_kept_until_it_is_forgotten_and_then_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let clock = ManualClock::at(START_MS);
    let db = open(&path, &clock, 1);
    let phrase = db.recovery_phrase().unwrap().unwrap();
    let words = phrase.words().to_string();
    let wrapped = meta(&path, "phrase");
    assert!(!is_on_disk(&path, phrase.entropy().as_ref()), "the phrase lies in the file in the clear");
    assert!(!is_on_disk(&path, words.as_bytes()));
    drop(db);
    let db = open(&path, &clock, 2);
    let registration = db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    assert_eq!(*registration.recovery_phrase.words(), words);
    assert!(!format!("{registration:?}").contains(words.split(' ').next().unwrap()));
    assert!(is_on_disk(&path, &wrapped));
    db.forget_recovery_phrase().unwrap();
    assert!(db.recovery_phrase().unwrap().is_none());
    assert!(!is_on_disk(&path, &wrapped), "the phrase is still in the file");
    db.forget_recovery_phrase().unwrap();
}

#[test]
fn joining_carries_every_row_over_and_forgets_the_user_before() {
    let dir = tempfile::tempdir().unwrap();
    let (phone_path, laptop_path) = (dir.path().join("phone.db"), dir.path().join("laptop.db"));
    let clock = ManualClock::at(START_MS);
    let (phone, laptop) = (open(&phone_path, &clock, 1), open(&laptop_path, &clock, 2));
    phone.insert(todo("phone")).unwrap();
    let kept = laptop.insert(Todo { votes: 3, ..todo("laptop") }).unwrap();
    let deleted = laptop.insert(todo("deleted before")).unwrap();
    laptop.delete::<Todo>(deleted.id).unwrap();
    let count = "SELECT count(*) FROM cfost_oplog";
    assert_eq!(laptop.sql(count).rows::<(i64,)>().unwrap(), [(3,)]);
    let wrapped = meta(&laptop_path, "phrase");
    fleet::pair(&phone, &laptop, &Host::simulated(clock.clone(), 3)).unwrap();
    assert_eq!(laptop.user().unwrap(), phone.user().unwrap());
    assert!(laptop.recovery_phrase().unwrap().is_none());
    assert!(!is_on_disk(&laptop_path, &wrapped), "the phrase of the user before is still in the file");
    assert_eq!(laptop.all::<Todo>().unwrap(), std::slice::from_ref(&kept));
    assert_eq!(laptop.sql(count).rows::<(i64,)>().unwrap(), [(1,)], "the oplog in SQL is another one now");
    fleet::sync(&laptop, &phone).unwrap();
    assert_eq!(phone.count::<Todo>().unwrap(), 2);
    assert_eq!(phone.all::<Todo>().unwrap(), laptop.all::<Todo>().unwrap());
    for db in [&phone, &laptop] {
        let verification = db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
        assert_eq!(db.devices().unwrap().len(), 2);
    }
    // A restart takes it neither for a copy nor for another device.
    drop(laptop);
    let laptop = open(&laptop_path, &clock, 4);
    laptop.insert(todo("after a restart")).unwrap();
    let logs: Vec<(i64,)> = laptop.sql("SELECT count(DISTINCT log) FROM cfost_oplog").rows().unwrap();
    assert_eq!(logs, [(2,)], "one of each device");
}

#[test]
fn a_registered_user_does_not_join_another() {
    let phone = Db::open_in_memory(models![Todo]).unwrap();
    let laptop = Db::open_in_memory(models![Todo]).unwrap();
    laptop.register_user_with("Eve", "eve@example.org", PASSWORD, cheap()).unwrap();
    laptop.insert(todo("Eve's")).unwrap();
    let joined = fleet::pair(&phone, &laptop, &Host::system());
    assert!(matches!(identity_error(joined), IdentityError::Registered { name } if name == "Eve"));
    assert_eq!(laptop.count::<Todo>().unwrap(), 1);
}

#[test]
fn a_device_name_that_can_not_be_one_is_told() {
    let open = |name: &str| Db::options().device_name(name).open_in_memory(models![Todo]);
    assert!(matches!(identity_error(open(&"x".repeat(1000))), IdentityError::Text { .. }));
    assert!(matches!(identity_error(open("tab\tname")), IdentityError::Text { .. }));
    assert_eq!(open("phone").unwrap().devices().unwrap()[0].name, "phone");
}
