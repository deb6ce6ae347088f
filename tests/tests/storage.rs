//! Every state in which a database file can be found opens, or gives an error that says what is wrong
//! and leaves the file as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cfost::prelude::*;
use cfost::store::StoreError;
use cfost::{Error, Result};
use cfost_tests::process::{child, tell, told, work};
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

mod changed {
    use cfost::prelude::*;

    /// The same table in the same version, with another column.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        pub(crate) title: String,
        pub(crate) done: bool,
    }
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "Todos", version = 1)]
struct Twin {
    #[synced(id)]
    id: Uuid,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

/// A database of some hundred rows, closed.
fn database(path: &Path) -> u64 {
    let db = Db::open(path, models![Todo]).unwrap();
    db.insert_all((0..500).map(|n| todo(&format!("row {n}")))).unwrap();
    500
}

fn error_of<T>(result: Result<T>) -> StoreError {
    match result {
        Ok(_) => panic!("it opened"),
        Err(Error::Store(error)) => error,
        Err(other) => panic!("another family's error: {other}"),
    }
}

/// Opens `path`, expects an error, and that the file is byte for byte as it was.
fn refused(path: &Path, models: impl AsRef<[cfost::Model]>) -> StoreError {
    let before = fs::read(path).unwrap();
    let error = error_of(Db::open(path, models));
    assert_eq!(before, fs::read(path).unwrap(), "the file was changed: {error}");
    error
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    fs::write(&path, "This is a text file, and a longer one than SQLite's header. ".repeat(100)).unwrap();
    assert!(matches!(refused(&path, models![Todo]), StoreError::Corrupt { .. }));
    fs::write(&path, b"SQLite format 3\0 but no more than that").unwrap();
    assert!(matches!(refused(&path, models![Todo]), StoreError::Corrupt { .. }));
    let error = error_of(Db::open(dir.path(), models![Todo]));
    assert!(matches!(error, StoreError::CannotOpen { .. }), "{error:?}");
    let error = error_of(Db::open(dir.path().join("no/such/folder/a.db"), models![Todo]));
    assert!(matches!(error, StoreError::CannotOpen { .. }), "{error:?}");
}

#[test]
fn an_empty_file_becomes_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    fs::write(&path, b"").unwrap();
    database(&path);
    assert_eq!(Db::open(&path, models![Todo]).unwrap().count::<Todo>().unwrap(), 500);
}

#[test]
fn another_applications_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let with_tables = dir.path().join("other.db");
    Connection::open(&with_tables).unwrap().execute_batch("CREATE TABLE todos (id, title)").unwrap();
    assert!(matches!(refused(&with_tables, models![Todo]), StoreError::Foreign { .. }));
    for pragma in ["PRAGMA application_id = 7", "PRAGMA user_version = 1"] {
        let path = dir.path().join("empty.db");
        Connection::open(&path).unwrap().execute_batch(pragma).unwrap();
        assert!(matches!(refused(&path, models![Todo]), StoreError::Foreign { .. }), "{pragma}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_cut_or_overwritten_file_is_told_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    database(&path);
    let whole = fs::read(&path).unwrap();
    let marker = dir.path().join("todo.db-marker");
    let marked = fs::read(&marker).unwrap();
    let mut refusals = 0;
    for n in 0..60_usize {
        let mut bytes = whole.clone();
        if n % 2 == 0 {
            bytes.truncate(whole.len() * (n + 1) / 61);
        } else {
            let at = whole.len() * n / 60;
            let end = (at + 700).min(bytes.len());
            bytes[at..end].fill(0xa5);
        }
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("todo.db{end}")));
        }
        fs::write(&path, &bytes).unwrap();
        fs::write(&marker, &marked).unwrap();
        // Either it is found on opening, or when the damaged part is read, or `verify` finds it.
        let found = Db::open(&path, models![Todo]).and_then(|db| {
            let _ = db.all::<Todo>()?;
            let _ = db.insert(todo("one more"))?;
            let _ = db.oplog()?.collect::<Result<Vec<_>>>()?;
            db.verify()
        });
        match found {
            Ok(verification) => refusals += usize::from(!verification.is_sound()),
            Err(Error::Store(StoreError::Sqlite(error))) => panic!("case {n} has no name: {error}"),
            Err(_) => refusals += 1,
        }
    }
    assert!(refusals > 40, "only {refusals} of 60 damaged files were told from whole ones");
}

#[test]
fn a_newer_file_or_a_newer_model_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    database(&path);
    let raw = |sql: &str| {
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(sql).unwrap();
        conn.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    };
    raw("PRAGMA user_version = 3");
    assert!(matches!(refused(&path, models![Todo]), StoreError::NewerFormat { found: 3, known: 2 }));
    raw("PRAGMA user_version = 2; UPDATE cfost_models SET version = 2");
    let error = refused(&path, models![Todo]);
    assert!(matches!(&error, StoreError::NewerModel { table, found: 2, known: 1 } if table == "todos"), "{error:?}");
    raw("UPDATE cfost_models SET version = 1");
    assert_eq!(Db::open(&path, models![Todo]).unwrap().count::<Todo>().unwrap(), 500);
}

#[test]
fn a_model_that_changed_without_a_new_version_is_refused_and_says_how() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    database(&path);
    let error = refused(&path, models![changed::Todo]);
    let StoreError::SchemaChanged { table: "todos", what, .. } = &error else { panic!("{error:?}") };
    assert!(what.contains("votes") && what.contains("done"), "{what}");
    let error = error_of(Db::open_in_memory(models![Todo, Twin]));
    assert!(matches!(error, StoreError::SharedTable { first: "Todo", second: "Twin", .. }), "{error:?}");
}

#[test]
fn a_locked_database_is_told_after_the_time_out_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let rows = database(&path);
    let open = || Db::options().busy_timeout(Duration::from_millis(200)).open(&path, models![Todo]);
    let db = open().unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    assert!(matches!(error_of(db.insert(todo("waits"))), StoreError::Busy));
    assert!(started.elapsed() >= Duration::from_millis(200), "it didn't wait");
    assert!(matches!(error_of(open()), StoreError::Busy));
    assert_eq!(db.count::<Todo>().unwrap(), rows, "reading doesn't wait for a writer");
    other.execute_batch("ROLLBACK").unwrap();
    db.insert(todo("goes on")).unwrap();
    assert_eq!(db.count::<Todo>().unwrap(), rows + 1);
    assert!(db.verify().unwrap().is_sound());
}

/// The user that stands for one without rights where the tests run as root.
const NOBODY: u32 = 65_534;

/// A child that has no right to write what belongs to this process, and a binary that it can read.
#[cfg(unix)]
fn unprivileged(name: &str, path: &Path, dir: &Path) -> Command {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let binary = dir.join("tests");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let template = child(name, path.to_str().unwrap()).unwrap();
    let mut command = Command::new(binary);
    command.args(template.get_args()).current_dir(dir);
    for (key, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0);
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
#[ignore = "runs as a child of a_read_only_file_or_folder_is_told_and_left_alone"]
fn opens_what_it_may_not_write() {
    let Some(path) = work() else { return };
    match Db::open(PathBuf::from(path), models![Todo]) {
        Ok(_) => tell("opened").unwrap(),
        Err(Error::Store(StoreError::ReadOnly)) => tell("read-only").unwrap(),
        Err(Error::Store(StoreError::CannotOpen { reason, .. })) => tell(&format!("can't open: {reason}")).unwrap(),
        Err(error) => tell(&format!("{error:?}")).unwrap(),
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_file_or_folder_is_told_and_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    mode(dir.path(), 0o755);
    let folder = dir.path().join("data");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("todo.db");
    database(&path);
    let before = fs::read(&path).unwrap();
    for (file, directory) in [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555)] {
        mode(&path, file);
        mode(&folder, directory);
        let output = unprivileged("opens_what_it_may_not_write", &path, dir.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = text.lines().find_map(told).unwrap_or_else(|| panic!("{text}"));
        assert!(answer == "read-only" || answer.starts_with("can't open"), "{file:o} in {directory:o}: {answer}");
        assert_eq!(before, fs::read(&path).unwrap());
    }
    mode(&folder, 0o755);
    mode(&path, 0o644);
    assert_eq!(Db::open(&path, models![Todo]).unwrap().count::<Todo>().unwrap(), 500);
}

#[test]
#[ignore = "runs as a child of a_full_disk_is_told_and_loses_nothing"]
fn writes_until_the_disk_is_full() {
    let Some(path) = work() else { return };
    let db = Db::open(path, models![Todo]).unwrap();
    for n in 0..100_000 {
        let written = db.write(|tx| {
            let first = tx.insert(todo(&"x".repeat(2000)))?;
            // An app that goes on after a failed write must not get half a transaction committed.
            let second = tx.insert_all((0..20).map(|_| todo(&"y".repeat(2000))));
            if second.is_err() {
                let _ = tx.insert(todo("after the failure"));
            }
            Ok(first)
        });
        match written {
            Ok(row) => tell(&row.id.to_string()).unwrap(),
            Err(Error::Store(StoreError::DiskFull | StoreError::DiskFailed { .. }) | Error::BrokenTransaction) => {
                assert!(n > 0, "full at once");
                let rows = db.count::<Todo>().unwrap();
                tell(&format!("full {rows}")).unwrap();
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the disk was never full");
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let template = child("writes_until_the_disk_is_full", path.to_str().unwrap()).unwrap();
    // No file may grow beyond 2 MiB; the signal that would end the process is ignored.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""]).arg(template.get_program());
    shell.args(template.get_args());
    shell.envs(template.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().filter_map(told).collect();
    let (last, acknowledged) = lines.split_last().unwrap();
    let rows = 21 * acknowledged.len() as u64;
    assert_eq!(*last, format!("full {rows}"));
    let db = Db::open(&path, models![Todo]).unwrap();
    assert_eq!(db.count::<Todo>().unwrap(), rows, "neither more nor less than what was acknowledged");
    for id in acknowledged {
        assert!(db.get::<Todo>(id.parse().unwrap()).unwrap().is_some());
    }
    // With room again, it goes on.
    db.insert(todo("goes on")).unwrap();
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn a_closed_and_reopened_database_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let rows = database(&path);
    for _ in 0..5 {
        let db = Db::open(&path, models![Todo]).unwrap();
        assert_eq!(db.count::<Todo>().unwrap(), rows);
        let logs: Vec<(i64,)> = db.sql("SELECT count(DISTINCT log) FROM cfost_oplog").rows().unwrap();
        assert_eq!(logs, [(1,)]);
    }
}
