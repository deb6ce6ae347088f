//! The command `cfost`, as a person types it, mistakes included.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cfost::prelude::*;
use cfost::schema::Model;
use cfost::schema::lock::{Bless, Lock};
use cfost::sync::Seqs;

mod v1 {
    use super::*;

    #[derive(Synced, Clone, Default)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index)]
        pub title: String,
        pub rank: i64,
        #[crdt(counter)]
        pub votes: i64,
    }
}

mod v2 {
    use super::*;

    #[derive(Synced, Clone, Default)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        pub rank: i64,
        #[crdt(counter)]
        pub votes: i64,
        #[synced(since = 2, backfill = true, index)]
        pub open: bool,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<String>,
    }
}

mod v3 {
    use super::*;

    #[derive(Synced, Clone, Default)]
    #[synced(table = "todos", version = 3, removed(#[crdt(counter)] votes, in = 3))]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(renamed_from("title", in = 3))]
        pub name: String,
        #[synced(upgrade(rank, in = 3, with = word_of, back = number_of))]
        pub rank: String,
        #[synced(since = 2, backfill = true, index)]
        pub open: bool,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<String>,
    }

    fn word_of(rank: i64) -> String {
        format!("number {rank}")
    }

    fn number_of(rank: String) -> i64 {
        rank.strip_prefix("number ").and_then(|rank| rank.parse().ok()).unwrap_or(0)
    }
}

fn models(version: u32) -> [Model; 1] {
    match version {
        1 => models![v1::Todo],
        2 => models![v2::Todo],
        _ => models![v3::Todo],
    }
}

struct Desk(tempfile::TempDir);

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the lock of an app that has come to a version, as it grew.
    fn lock(&self, name: &str, newest: u32) {
        let record = |lock: Lock, version| lock.record(&Lock::of(&models(version)), Bless::New).unwrap();
        let lock = (1..=newest).fold(Lock::default(), record);
        std::fs::write(self.path(name), lock.to_string()).unwrap();
    }

    /// Writes a lock that has other lines at its end.
    fn lock_with(&self, name: &str, newest: u32, lines: &str) {
        self.lock(name, newest);
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        std::fs::write(self.path(name), text + lines).unwrap();
    }

    fn database(&self, name: &str, models: impl AsRef<[Model]>, rows: usize) {
        let db = Db::open(self.path(name), models).unwrap();
        let title = |n: usize| format!("water the plants of room {n}");
        let row = |n: usize| v1::Todo { title: title(n), rank: n as i64, ..v1::Todo::default() };
        db.write(|tx| (0..rows).try_for_each(|n| tx.insert(row(n)).map(|_| ()))).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_cfost")).args(args).current_dir(self.0.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    fn says(&self, args: &[&str], code: i32, expected: &str) {
        let said = self.run(args);
        let text = format!("{}{}", said.out, said.err);
        assert_eq!((said.code, text.as_str()), (Some(code), expected), "{args:?} said\n{text}");
    }

    #[track_caller]
    fn fails(&self, args: &[&str], expected: &str) {
        let said = self.run(args);
        assert_eq!(said.code, Some(2), "{args:?} should fail, and said: {}", said.out);
        assert!(said.err.contains(expected), "{args:?} said\n{}\ninstead of '{expected}'", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }

    /// All files of the desk and what is in them.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let path = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().path();
        let mut paths: Vec<PathBuf> = std::fs::read_dir(self.0.path()).unwrap().map(path).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
}

#[test]
fn a_diff_tells_what_each_new_version_does() {
    let desk = Desk::new();
    desk.lock("old.lock", 1);
    desk.lock("new.lock", 3);
    desk.says(
        &["schema", "diff", "old.lock", "new.lock"],
        0,
        "todos\n  version 2\n    column 'open' is new: `open INTEGER NOT NULL lww default 1`\n    field 'tags' is new: `tags \
         set TEXT`\n    the index over title is gone\n    the index over open is new\n  version 3\n    column 'rank' was \
         INTEGER NOT NULL and is TEXT NOT NULL (with = word_of, back = number_of)\n    column 'votes' is gone\n    column \
         'name' was 'title'\n\nApps with the old lock and apps with the new one sync with each other.\n",
    );
    desk.says(&["schema", "diff", "new.lock", "new.lock"], 0, "The two locks record the same.\n");
}

#[test]
fn a_diff_that_rewrites_what_devices_have_fails() {
    let desk = Desk::new();
    desk.lock("old.lock", 1);
    let text = std::fs::read_to_string(desk.path("old.lock")).unwrap();
    std::fs::write(desk.path("new.lock"), text.replace("rank INTEGER", "rank TEXT")).unwrap();
    let said = desk.run(&["schema", "diff", "old.lock", "new.lock"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let expected =
        "todos\n  incompatible: version 1 of 'todos': column 'rank' was INTEGER NOT NULL and is TEXT NOT NULL\n";
    assert!(said.out.starts_with(expected), "{}", said.out);
    assert!(said.out.contains("write: `#[synced(since = 2, upgrade(rank, with = f, back = g))]`"), "{}", said.out);
}

#[test]
fn a_check_tells_what_a_database_has_and_needs() {
    let desk = Desk::new();
    desk.database("app.db", models![v1::Todo], 3);
    desk.lock("v1.lock", 1);
    desk.lock_with("v2.lock", 2, "\n[lists 1]\nid id\n");
    desk.lock("v3.lock", 3);
    desk.lock_with("other.lock", 0, "\n[lists 1]\nid id\n");
    let files = desk.files();
    desk.says(
        &["schema", "check", "v1.lock", "app.db"],
        0,
        "TABLE  FILE  LOCK  WHAT IT NEEDS\ntodos     1     1  nothing\n\nApps with this lock open the database.\n",
    );
    desk.says(
        &["schema", "check", "v2.lock", "app.db"],
        0,
        "TABLE  FILE  LOCK  WHAT IT NEEDS\nlists     -     1  to be made, empty\ntodos     1     2  a migration that leaves \
         the rows as they are\n\nApps with this lock open the database.\n",
    );
    desk.says(
        &["schema", "check", "v3.lock", "app.db"],
        0,
        "TABLE  FILE  LOCK  WHAT IT NEEDS\ntodos     1     3  a migration that writes each row anew\n\nApps with this lock \
         open the database.\n",
    );
    desk.says(
        &["schema", "check", "other.lock", "app.db"],
        0,
        "TABLE  FILE  LOCK  WHAT IT NEEDS\nlists     -     1  to be made, empty\ntodos     1     -  nothing: the lock doesn't \
         list it, so it is kept as it is\n\nApps with this lock open the database.\n",
    );
    assert!(desk.files() == files, "a check has written something");
}

#[test]
fn a_check_fails_for_a_database_that_apps_refuse() {
    let desk = Desk::new();
    desk.database("app.db", models![v1::Todo], 1);
    desk.lock("v1.lock", 1);
    let text = std::fs::read_to_string(desk.path("v1.lock")).unwrap();
    std::fs::write(desk.path("changed.lock"), text.replace("rank INTEGER", "rank TEXT")).unwrap();
    let said = desk.run(&["schema", "check", "changed.lock", "app.db"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let refused = "'todos' is refused: the file's version 1 is not the lock's: column 'rank' was INTEGER NOT NULL and is TEXT NOT NULL";
    assert!(said.out.contains(refused), "{}", said.out);

    drop(Db::open(desk.path("app.db"), models![v2::Todo]).unwrap());
    for command in ["check", "plan"] {
        let said = desk.run(&["schema", command, "v1.lock", "app.db"]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        let refused = "'todos' is refused: the file has version 2, the lock knows versions up to 1";
        assert!(said.out.contains(refused), "{}", said.out);
    }
}

#[test]
fn a_plan_tells_the_cost_and_leaves_the_database_alone() {
    let desk = Desk::new();
    desk.database("app.db", models![v1::Todo], 2000);
    desk.lock("v1.lock", 1);
    desk.lock("v2.lock", 2);
    desk.lock("v3.lock", 3);
    let files = desk.files();
    let row = |lock: &str| {
        let said = desk.run(&["schema", "plan", lock, "app.db"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let line = said.out.lines().nth(1).unwrap().to_owned();
        (
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>(),
            said.out,
        )
    };
    let (nothing, _) = row("v1.lock");
    assert_eq!((&nothing[3][..], &nothing[4][..], &nothing[7][..]), ("2 000", "0", "at once"));
    assert_eq!(nothing[5], nothing[6]);
    let (gains, text) = row("v2.lock");
    assert_eq!((&gains[0][..], &gains[1][..], &gains[2][..], &gains[4][..]), ("todos", "1", "2", "0"), "{text}");
    assert!(text.contains("column 'open' is new") && !text.contains("the disk needs"), "{text}");
    let (rewritten, text) = row("v3.lock");
    assert_eq!((&rewritten[4][..], &rewritten[8][..]), ("2 000", "0"), "{text}");
    assert!(text.contains("the disk needs some") && text.contains("other devices are sent nothing"), "{text}");
    assert!(desk.files() == files, "a plan has written something");

    // What it takes after is what the plan said, about.
    drop(Db::open(desk.path("app.db"), models(3)).unwrap());
    let (after, text) = row("v3.lock");
    let size = |cell: &str| cell.trim_start_matches('~').trim_end_matches(" kB").parse::<f64>().unwrap();
    let (told, is) = (size(&rewritten[6]), size(&after[5]));
    assert!((0.75..1.33).contains(&(told / is)), "told {told} kB, took {is} kB: {text}");
}

#[test]
fn a_database_that_an_app_has_open_is_read_as_it_is() {
    let desk = Desk::new();
    let db = Db::open(desk.path("app.db"), models![v1::Todo]).unwrap();
    db.insert(v1::Todo::default()).unwrap();
    desk.lock("v1.lock", 1);
    let said = desk.run(&["schema", "plan", "v1.lock", "app.db"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.lines().nth(1).unwrap().split_whitespace().nth(3) == Some("1"), "{}", said.out);
    db.insert(v1::Todo::default()).unwrap();
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn wrong_files_are_told() {
    let desk = Desk::new();
    desk.lock("schema.lock", 1);
    desk.database("app.db", models![v1::Todo], 0);
    std::fs::write(desk.path("text"), "a letter").unwrap();
    std::fs::write(desk.path("newer.lock"), "lock 9\n").unwrap();
    std::fs::write(desk.path("merged.lock"), "lock 1\n<<<<<<< HEAD\n").unwrap();
    empty_database(&desk.path("foreign.db"));
    desk.fails(&["schema", "check", "missing.lock", "app.db"], "missing.lock");
    desk.fails(&["schema", "check", "app.db", "schema.lock"], "the lock comes first, then the database");
    desk.fails(&["schema", "check", "text", "app.db"], "it is no `schema.lock`");
    desk.fails(&["schema", "diff", "newer.lock", "schema.lock"], "it was written by a newer CFOST, in form 9");
    desk.fails(&["schema", "diff", "schema.lock", "merged.lock"], "line 2 is of a merge that was not finished");
    desk.fails(&["schema", "plan", "schema.lock", "missing.db"], "can't open missing.db: there is no such file");
    desk.fails(&["schema", "plan", "schema.lock", "text"], "text: the database is corrupt");
    desk.fails(
        &["schema", "plan", "schema.lock", "foreign.db"],
        "foreign.db is an SQLite database that CFOST did not make",
    );
    desk.fails(&["schema", "chekc", "schema.lock", "app.db"], "check");
    for missing in ["missing.db", "missing.lock"] {
        assert!(!desk.path(missing).exists(), "{missing} was made");
    }
}

#[test]
fn a_sound_oplog_is_told_from_a_damaged_one_and_the_file_is_left_alone() {
    let desk = Desk::new();
    desk.database("todo.db", models![v1::Todo], 1);
    let change = {
        let db = Db::open(desk.path("todo.db"), models![v1::Todo]).unwrap();
        let replica = db.replica().unwrap();
        let space = replica.spaces(replica.device()).unwrap()[0];
        replica.runs_after(space, &Seqs::new(), 1 << 20).unwrap().remove(0).run.changes.remove(0)
    };
    let before = desk.files();
    desk.says(&["verify", "todo.db"], 0, "Sound: 1 changes, each as it was written.\n");
    assert_eq!(desk.files(), before);

    let mut file = std::fs::read(desk.path("todo.db")).unwrap();
    let at = file.windows(change.len()).position(|window| window == change).unwrap();
    file[at + change.len() - 1] ^= 1;
    std::fs::write(desk.path("todo.db"), file).unwrap();
    let said = desk.run(&["verify", "todo.db"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.starts_with("change 1 of log ") && said.out.contains("is damaged"), "{}", said.out);
    assert!(said.out.contains("`db.repair()`"), "{}", said.out);

    desk.lock("schema.lock", 1);
    desk.fails(&["verify", "schema.lock"], "schema.lock");
    desk.fails(&["verify", "nowhere.db"], "there is no such file");
    Db::open(desk.path("locked.db"), models![v1::Todo])
        .and_then(|db| {
            db.register_user("Ada", "ada@example.org", "correct horse battery")?;
            db.logout()
        })
        .unwrap();
    desk.fails(&["verify", "locked.db"], "log in");
}

/// Makes an SQLite database with nothing in it but what marks it as another application's.
fn empty_database(path: &Path) {
    let mut page = vec![0_u8; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[0x10, 0, 1, 1, 0, 64, 32, 32]);
    page[28..32].copy_from_slice(&1_u32.to_be_bytes());
    page[44..48].copy_from_slice(&4_u32.to_be_bytes());
    page[56..60].copy_from_slice(&1_u32.to_be_bytes());
    page[68..72].copy_from_slice(b"note");
    // An empty leaf, whose cells would begin at the end of the page.
    page[100] = 13;
    page[105..107].copy_from_slice(&4096_u16.to_be_bytes());
    std::fs::write(path, page).unwrap();
}

#[test]
fn the_help_shows_how() {
    let desk = Desk::new();
    for (args, example) in [
        (&["schema", "diff", "--help"][..], "git show v1.2:schema.lock"),
        (&["schema", "check", "--help"], "cfost schema check schema.lock"),
        (&["schema", "plan", "--help"], "Exit code: 0 if apps"),
        (&["verify", "--help"], "cfost verify ~/.local/share/todo/todo.db"),
        (&["--help"], "schema"),
    ] {
        let said = desk.run(args);
        assert!(said.code == Some(0) && said.out.contains(example), "{args:?} said\n{}", said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 120), "{}", said.out);
    }
}
