//! A plain database becomes an encrypted one, in its place, whatever happens meanwhile.

use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cfost::host::{Entropy, SeededEntropy};
use cfost::prelude::*;
use cfost::store::AtRestError;
use cfost_tests::process::{child, work};

use super::*;

/// A plain database with a user who has a password, and rows.
fn plain(path: &Path, rows: usize) -> Vec<Todo> {
    let db = Db::open(path, models![Todo]).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    db.insert_all((0..rows).map(|n| todo(&format!("{CANARY} {n}")))).unwrap();
    let gone = db.insert(todo("gone")).unwrap();
    db.delete::<Todo>(gone.id).unwrap();
    db.all::<Todo>().unwrap()
}

/// The log that the device writes to.
fn own_logs(db: &Db) -> Vec<String> {
    let mut logs: Vec<_> = db.oplog().unwrap().map(|entry| entry.unwrap().log.to_string()).collect();
    logs.dedup();
    logs
}

#[test]
fn a_plain_database_is_encrypted_in_its_place_and_goes_on_as_the_same_device() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let rows = plain(&path, 500);
    let (device, log) = {
        let db = Db::open(&path, models![Todo]).unwrap();
        (db.devices().unwrap(), own_logs(&db))
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = Arc::clone(&told);
    let db = encrypted().on_encryption(move |at| tells.lock().unwrap().push(at)).open(&path, models![Todo]).unwrap();
    assert_eq!(db.all::<Todo>().unwrap(), rows);
    assert!(!is_plain(&path) && files_with(dir.path(), CANARY.as_bytes()).is_empty());
    let ids: fn(&[cfost::DeviceInfo]) -> Vec<_> = |devices| devices.iter().map(|device| device.id).collect();
    assert_eq!(ids(&db.devices().unwrap()), ids(&device));
    db.insert(todo("after")).unwrap();
    assert_eq!(own_logs(&db), log, "it is no copy, so its log goes on");
    assert_eq!(Todo::query().filter(|t| t.title.matches("lovelace")).count(&db).unwrap(), 500, "words are found");
    assert_sound(&db);
    drop(db);
    let told = told.lock().unwrap();
    let (first, last) = (told.first().unwrap(), told.last().unwrap());
    assert_eq!((first.done_bytes, last.done_bytes), (0, last.all_bytes));
    assert!(told.is_sorted_by_key(|at| at.done_bytes), "{told:?}");
    // Once more: there is nothing to convert.
    let db = encrypted().on_encryption(|at| panic!("{at}")).open(&path, models![Todo]).unwrap();
    assert_eq!((own_logs(&db), db.count::<Todo>().unwrap()), (log, 501));
    db.logout().unwrap();
    drop(db);
    let db = Db::options().login_with(EMAIL, PASSWORD, cheap()).open(&path, models![Todo]).unwrap();
    assert_eq!(db.count::<Todo>().unwrap(), 501, "the password is the old one");
}

#[test]
fn a_copy_of_a_converted_database_is_a_copy_and_begins_a_log_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("app.db"), dir.path().join("copy.db"));
    plain(&path, 10);
    let log = own_logs(&encrypted().open(&path, models![Todo]).unwrap());
    for ending in ["", "-vault", "-marker"] {
        fs::copy(beside(&path, ending), beside(&copy, ending)).unwrap();
    }
    let db = Db::open(&copy, models![Todo]).unwrap();
    db.insert(todo("on the copy")).unwrap();
    assert_eq!(own_logs(&db).len(), log.len() + 1);
}

#[test]
fn a_database_that_is_open_elsewhere_is_not_encrypted_under_its_feet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let rows = plain(&path, 10);
    let open = Db::open(&path, models![Todo]).unwrap();
    let options = || encrypted().busy_timeout(Duration::from_millis(50));
    assert!(matches!(refusal(options().open(&path, models![Todo])), AtRestError::InUse { .. }));
    open.insert(todo("meanwhile")).unwrap();
    drop(open);
    let db = options().open(&path, models![Todo]).unwrap();
    assert_eq!(db.count::<Todo>().unwrap() as usize, rows.len() + 1);
}

#[test]
fn a_logged_out_plain_database_is_encrypted_at_the_login() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let rows = plain(&path, 10);
    Db::open(&path, models![Todo]).unwrap().logout().unwrap();
    assert!(matches!(refusal(encrypted().open(&path, models![Todo])), AtRestError::PlainLoggedOut { .. }));
    let wrong = encrypted().login_with(EMAIL, "wrong horse", cheap()).open(&path, models![Todo]);
    assert!(wrong.is_err() && is_plain(&path));
    let db = encrypted().login_with(EMAIL, PASSWORD, cheap()).open(&path, models![Todo]).unwrap();
    assert_eq!(db.all::<Todo>().unwrap(), rows);
    assert!(!is_plain(&path));
}

#[test]
fn a_callback_that_panics_leaves_the_plain_database_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let rows = plain(&path, 20_000);
    let opened = std::panic::catch_unwind(|| {
        let in_the_middle = |at: cfost::store::Encrypting| assert!(at.done_bytes == 0, "enough");
        encrypted().on_encryption(in_the_middle).open(&path, models![Todo]).map(|_| ())
    });
    assert!(!matches!(opened, Ok(Ok(()))));
    assert!(is_plain(&path) && !beside(&path, "-encrypting").exists());
    assert_eq!(Db::open(&path, models![Todo]).unwrap().all::<Todo>().unwrap(), rows);
}

#[test]
fn a_file_of_another_application_is_not_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE theirs (n); INSERT INTO theirs VALUES (1)").unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let refused = encrypted().open(&path, models![Todo]);
    assert!(matches!(refused, Err(cfost::Error::Store(cfost::store::StoreError::Foreign { .. }))), "{refused:?}");
    assert!(fs::read(&path).unwrap() == before && !beside(&path, "-vault").exists());
}

#[test]
#[ignore = "runs as a child of the stories of conversion"]
fn opens_encrypted() {
    let Some(path) = work() else { return };
    let db = encrypted().open(path, models![Todo]).unwrap();
    db.insert(todo("by a child")).unwrap();
}

const KILLS: u64 = 40;

#[test]
fn a_conversion_that_is_killed_at_any_moment_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original.db");
    let rows = plain(&original, 3000);
    let log = own_logs(&Db::open(&original, models![Todo]).unwrap());
    let random = SeededEntropy::new(7);
    let (mut longest, mut plain_left) = (Duration::from_millis(200), 0);
    for kill in 0..KILLS {
        // Each in a place of its own, moved there so that it isn't a copy.
        let folder = dir.path().join(kill.to_string());
        fs::create_dir(&folder).unwrap();
        let path = folder.join("app.db");
        fs::copy(&original, &path).unwrap();
        drop(Db::open(&path, models![Todo]).unwrap());
        let logs = own_logs(&Db::open(&path, models![Todo]).unwrap());
        assert_eq!(logs, log);
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        let mut process = child("conversion::opens_encrypted", path.to_str().unwrap()).unwrap();
        let mut process = process.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        let started = Instant::now();
        thread::sleep(longest.mul_f64(u64::from_le_bytes(bytes) as f64 / u64::MAX as f64));
        if process.try_wait().unwrap().is_some() {
            longest = started.elapsed();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        plain_left += u64::from(is_plain(&path));
        // As the app starts the next time.
        let db = encrypted().open(&path, models![Todo]).unwrap();
        let mut found = db.all::<Todo>().unwrap();
        found.retain(|row| row.title != "by a child");
        assert!(found == rows, "kill {kill}");
        assert_sound(&db);
        drop(db);
        assert!(files_with(&folder, CANARY.as_bytes()).is_empty(), "kill {kill}");
        assert!(!beside(&path, "-encrypting").exists());
    }
    assert!((1..KILLS).contains(&plain_left), "some kills came before the end and some after: {plain_left}");
}

#[test]
fn processes_that_convert_one_database_at_once_lose_nothing_that_any_of_them_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let rows = plain(&path, 1000);
    let start = |_| {
        let mut process = child("conversion::opens_encrypted", path.to_str().unwrap()).unwrap();
        process.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
    };
    let processes: Vec<_> = (0..5).map(start).collect();
    assert!(processes.into_iter().all(|mut process| process.wait().unwrap().success()));
    let db = Db::open(&path, models![Todo]).unwrap();
    assert_eq!(db.count::<Todo>().unwrap() as usize, rows.len() + 5);
    assert!(!is_plain(&path));
    assert_sound(&db);
}
