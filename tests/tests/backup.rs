//! A backup brings the user and all data back, to whoever has the 24 words and to nobody else.
#![cfg(feature = "backup")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cfost::backup::{BackupError, Recipient};
use cfost::host::{Host, ManualClock};
use cfost::identity::{PasswordCost, RecoveryPhrase};
use cfost::prelude::*;
use cfost::{DbOptions, Error};
use cfost_tests::fleet::{self, Device, START_MS};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
    #[crdt(set)]
    tags: BTreeSet<String>,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), votes: 1, tags: ["home".to_owned()].into(), ..Todo::default() }
}

fn phrase(db: &Db) -> RecoveryPhrase {
    db.recovery_phrase().unwrap().expect("it has not been shown")
}

fn backup(db: &Db) -> Vec<u8> {
    let mut file = Vec::new();
    db.backup(&mut file, &Recipient::Phrase).unwrap();
    file
}

fn machine(seed: u64, name: &str) -> DbOptions {
    Db::options().host(Host::simulated(ManualClock::at(START_MS), seed)).device_name(name)
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

fn files_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// A phone and a laptop with rows of both, one of them deleted.
fn two_devices() -> (Device, Device) {
    let mut devices = fleet::devices(2, &models![Todo], 3).unwrap();
    let (laptop, phone) = (devices.pop().unwrap(), devices.pop().unwrap());
    for n in 0..300 {
        phone.db.insert(todo(&format!("of the phone {n}"))).unwrap();
    }
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let rows = laptop.db.all::<Todo>().unwrap();
    laptop.db.delete::<Todo>(rows[0].id).unwrap();
    laptop.db.update(rows[1].id, |todo: &mut Todo| _ = todo.tags.insert("laptop".into())).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    (phone, laptop)
}

#[test]
fn the_24_words_and_a_backup_bring_user_and_data_back_when_all_devices_are_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, laptop) = two_devices();
    let (words, file) = (phrase(&phone.db).words().to_string(), backup(&phone.db));
    let (user, rows) = (phone.db.user().unwrap(), phone.db.all::<Todo>().unwrap());
    assert_eq!(rows.len(), 299);
    drop((phone, laptop));

    let path = dir.path().join("todo.db");
    let words = RecoveryPhrase::parse(&words).unwrap();
    let restored = machine(50, "new laptop").restore(&file[..], &path, models![Todo], &words).unwrap();
    assert_eq!(restored.user().unwrap(), user);
    assert_eq!(restored.all::<Todo>().unwrap(), rows);
    assert_sound(&restored);
    let devices = restored.devices().unwrap();
    assert_eq!(devices.len(), 3);
    assert_eq!(devices.iter().find(|device| device.is_this).unwrap().name, "new laptop");
    let milk = restored.insert(todo("written after")).unwrap();
    drop(restored);

    let again = machine(51, "new laptop").open(&path, models![Todo]).unwrap();
    assert_eq!(again.get::<Todo>(milk.id).unwrap(), Some(milk));
    assert_eq!(again.count::<Todo>().unwrap(), 300);
}

#[test]
fn restoring_a_backup_twice_gives_two_devices_that_sync_with_each_other_and_with_the_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, laptop) = two_devices();
    let (words, file) = (phrase(&phone.db), backup(&phone.db));
    let restore = |seed: u64| {
        let path = dir.path().join(format!("{seed}.db"));
        machine(seed, "restored").restore(&file[..], path, models![Todo], &words).unwrap()
    };
    let (one, two) = (restore(60), restore(61));
    let this = |db: &Db| db.devices().unwrap().into_iter().find(|device| device.is_this).unwrap().id;
    assert_ne!(this(&one), this(&two));
    let row = one.all::<Todo>().unwrap()[0].id;
    for (db, votes) in [(&one, 1), (&two, 10), (&phone.db, 100), (&laptop.db, 1000)] {
        db.update(row, |todo: &mut Todo| todo.votes += votes).unwrap();
    }
    // The new ones know the old ones, which take them in.
    for _ in 0..3 {
        fleet::sync(&one, &laptop.db).unwrap();
        fleet::sync(&one, &phone.db).unwrap();
        fleet::sync(&two, &phone.db).unwrap();
    }
    for db in [&one, &two, &phone.db, &laptop.db] {
        assert_eq!(db.get::<Todo>(row).unwrap().unwrap().votes, 1112);
        assert_eq!(db.devices().unwrap().len(), 4);
        assert_sound(db);
    }
}

#[test]
fn two_devices_that_were_restored_from_one_backup_get_to_know_each_other_by_pairing() {
    let dir = tempfile::tempdir().unwrap();
    let (words, file) = {
        let phone = Device::in_memory("phone", models![Todo], 65).unwrap().db;
        let cheap = PasswordCost::new(64, 1, 1).unwrap();
        phone.register_user_with("Ana", "ana@example.org", "correct horse battery staple", cheap).unwrap();
        phone.insert(todo("milk")).unwrap();
        (phrase(&phone), backup(&phone))
    };
    let restore = |seed: u64| {
        let path = dir.path().join(format!("{seed}.db"));
        machine(seed, "restored").restore(&file[..], path, models![Todo], &words).unwrap()
    };
    let (one, two) = (restore(66), restore(67));
    let milk = one.all::<Todo>().unwrap()[0].id;
    one.update(milk, |todo: &mut Todo| todo.votes += 1).unwrap();
    two.update(milk, |todo: &mut Todo| todo.votes += 1).unwrap();
    assert!(fleet::sync(&one, &two).is_err(), "they have never heard of each other");
    fleet::pair(&one, &two, &Host::simulated(ManualClock::at(START_MS), 68)).unwrap();
    fleet::sync(&one, &two).unwrap();
    for db in [&one, &two] {
        assert_eq!(db.get::<Todo>(milk).unwrap().unwrap().votes, 3);
        assert_eq!(db.count::<Todo>().unwrap(), 1);
        assert_eq!(db.devices().unwrap().len(), 3);
        assert_sound(db);
    }
}

#[test]
fn a_backup_that_is_made_while_the_app_writes_has_whole_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = machine(70, "phone").open(&path, models![Todo]).unwrap();
    let words = phrase(&db);
    let pair = |db: &Db| {
        db.write(|tx| {
            tx.insert(todo("one"))?;
            tx.insert(todo("other"))
        })
    };
    (0..200).for_each(|_| _ = pair(&db).unwrap());
    let stop = AtomicBool::new(false);
    let files = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                pair(&db).unwrap();
            }
        });
        let files: Vec<_> = (0..5).map(|_| backup(&db)).collect();
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        files
    });
    let mut counts = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let path = dir.path().join(format!("restored {n}.db"));
        let restored = machine(71, "restored").restore(&file[..], path, models![Todo], &words).unwrap();
        let rows = restored.count::<Todo>().unwrap();
        assert!(rows >= 400 && rows.is_multiple_of(2), "{rows} rows");
        counts.push(rows);
    }
    assert!(counts.is_sorted(), "{counts:?}");
}

#[test]
fn only_the_right_words_open_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = two_devices();
    let (words, file) = (phrase(&phone.db), backup(&phone.db));
    let other = Device::in_memory("stranger", models![Todo], 80).unwrap();
    let path = dir.path().join("todo.db");
    let restore = |file: &[u8], words: &RecoveryPhrase| {
        let error = machine(81, "thief").restore(file, &path, models![Todo], words).err();
        assert_eq!(files_in(dir.path()), [""; 0], "nothing is left behind");
        error
    };
    let wrong = restore(&file, &phrase(&other.db));
    assert!(matches!(wrong, Some(Error::Backup(BackupError::WrongKey))), "{wrong:?}");
    // A backup for an age key takes the key to read it, and the words to become a device.
    let (public, secret) = (
        "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33",
    );
    let mut file = Vec::new();
    phone.db.backup(&mut file, &Recipient::Key(public.into())).unwrap();
    let without = restore(&file, &words);
    assert!(matches!(without, Some(Error::Backup(BackupError::WrongKey))), "{without:?}");
    let with = |words: &RecoveryPhrase, key: &str| {
        machine(82, "new").restore_with_key(&file[..], &path, models![Todo], words, key)
    };
    let stranger = with(&phrase(&other.db), secret).err();
    assert!(matches!(stranger, Some(Error::Backup(BackupError::WrongUser { .. }))), "{stranger:?}");
    let no_key = with(&words, public).err();
    assert!(matches!(no_key, Some(Error::Backup(BackupError::Key))), "{no_key:?}");
    assert_eq!(files_in(dir.path()), [""; 0]);
    assert_eq!(with(&words, secret).unwrap().count::<Todo>().unwrap(), 299);

    let no_recipient = phone.db.backup(Vec::new(), &Recipient::Key("age1nobody".into())).err();
    assert!(matches!(no_recipient, Some(Error::Backup(BackupError::Recipient { .. }))), "{no_recipient:?}");
}

#[test]
fn a_backup_that_is_cut_or_altered_is_refused_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = two_devices();
    let (words, file) = (phrase(&phone.db), backup(&phone.db));
    let path = dir.path().join("todo.db");
    let refused = |file: &[u8], what: &str| {
        let error = machine(90, "new").restore(file, &path, models![Todo], &words).err();
        assert!(matches!(error, Some(Error::Backup(_))), "{what}: {error:?}");
        assert_eq!(files_in(dir.path()), [""; 0], "{what}");
    };
    for n in 0..40 {
        let cut = file.len() * n / 40;
        refused(&file[..cut], &format!("cut at {cut}"));
        let mut altered = file.clone();
        altered[cut] ^= 1 << (n % 8);
        refused(&altered, &format!("altered at {cut}"));
    }
    refused(&file[..file.len() - 1], "without its last byte");
    refused(&[&file[..], &[0]].concat(), "with a byte more");
    refused(b"", "nothing");
    refused(b"SQLite format 3\0 and so on", "another file");
}

#[test]
fn a_backup_shows_nothing_to_who_only_holds_it() {
    let device = Device::in_memory("phone", models![Todo], 100).unwrap();
    device.db.insert(todo("canary in the coal mine")).unwrap();
    let file = backup(&device.db);
    let keys = device.db.device_keys().unwrap().to_secret_bytes();
    for secret in [b"canary".as_slice(), b"todos", &keys[..32], &keys[32..64], &keys[64..]] {
        assert!(!file.windows(secret.len()).any(|window| window == secret));
    }
    assert!(file.starts_with(b"age-encryption.org/v1\n-> X25519 "), "any age tool reads it");
}

/// Takes so many bytes, as a disk does that runs full.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_stands_in_the_way_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = two_devices();
    let (words, file) = (phrase(&phone.db), backup(&phone.db));
    for left in [0, 100, 1000, file.len() / 2] {
        let full = phone.db.backup(Full(left), &Recipient::Phrase).err();
        assert!(matches!(&full, Some(Error::Backup(BackupError::Write(_)))), "{left}: {full:?}");
    }
    let taken = dir.path().join("taken.db");
    fs::write(&taken, "mine").unwrap();
    let exists = machine(110, "new").restore(&file[..], &taken, models![Todo], &words).err();
    assert!(matches!(exists, Some(Error::Backup(BackupError::Exists { .. }))), "{exists:?}");
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    // What an attempt has left that was killed is in nobody's way.
    let path = dir.path().join("todo.db");
    fs::write(dir.path().join("todo.db-restoring"), "half of it").unwrap();
    let restored = machine(111, "new").restore(&file[..], &path, models![Todo], &words).unwrap();
    assert_eq!(restored.count::<Todo>().unwrap(), 299);
    assert!(!dir.path().join("todo.db-restoring").exists());

    let cheap = PasswordCost::new(64, 1, 1).unwrap();
    let db = Device::in_memory("phone", models![Todo], 112).unwrap().db;
    db.register_user_with("Ana", "ana@example.org", "correct horse battery staple", cheap).unwrap();
    db.logout().unwrap();
    let logged_out = db.backup(Vec::new(), &Recipient::Phrase).err();
    assert!(matches!(logged_out, Some(Error::LoggedOut)), "{logged_out:?}");
}
