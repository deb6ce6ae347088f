//! The lock of an app's models: written once, compared ever after, and never overwritten where devices rely on it.

use std::path::{Path, PathBuf};

use cfost::prelude::*;
use cfost::schema::Model;
use cfost::schema::lock::{LockError, Problem};
use cfost::testing::{LockFailure, check_schema_lock};

mod v1 {
    use super::*;

    #[derive(Synced)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index)]
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
    }
}

mod v2 {
    use super::*;

    #[derive(Synced)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
    }

    #[derive(Synced)]
    #[synced(table = "lists", version = 1)]
    pub(super) struct List {
        #[synced(id)]
        pub id: Uuid,
    }
}

/// Version 2 as it is until somebody thinks of version 1.
mod hasty {
    use super::*;

    #[derive(Synced)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        pub rank: i64,
    }
}

/// A number that others count on from now on, and a list that is gone.
mod counted {
    use super::*;

    #[derive(Synced)]
    #[synced(table = "todos", version = 3, removed(#[crdt(set)] tags, in = 3))]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
        #[crdt(counter, changed_from(lww, in = 2))]
        pub rank: i64,
    }
}

/// The lock of an app's repository.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("schema.lock")
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    fn test(&self, models: impl AsRef<[Model]>) -> Result<Vec<String>, LockFailure> {
        check_schema_lock(&self.path(), models.as_ref(), "")
    }

    fn bless(&self, models: impl AsRef<[Model]>) -> Result<Vec<String>, LockFailure> {
        check_schema_lock(&self.path(), models.as_ref(), "1")
    }
}

#[test]
fn a_lock_is_missing_until_it_is_written_and_then_holds() {
    let repository = Repository::new();
    let failure = repository.test(models![v1::Todo]).unwrap_err();
    assert!(matches!(failure, LockFailure::Missing { .. }), "{failure:?}");
    assert!(failure.to_string().contains("schema.lock is missing: `CFOST_BLESS=1 cargo test` writes it"), "{failure}");

    assert_eq!(repository.bless(models![v1::Todo]).unwrap(), ["recorded 'todos'"]);
    let lines: Vec<String> =
        repository.lock().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "lock 1",
            "",
            "[todos 1]",
            "id id",
            "column title TEXT NOT NULL lww",
            "column votes INTEGER NOT NULL counter",
            "index title",
        ]
    );
    assert_eq!(repository.test(models![v1::Todo]).unwrap(), Vec::<String>::new());
}

#[test]
fn a_version_is_added_to_the_lock_and_those_before_it_stay_as_they_were() {
    let repository = Repository::new();
    repository.bless(models![v1::Todo]).unwrap();
    let before = repository.lock();
    let failure = repository.test(models![v2::Todo, v2::List]).unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("version 2 of 'todos' isn't recorded yet"), "{text}");
    assert!(text.ends_with("`CFOST_BLESS=1 cargo test` records it; then commit the file"), "{text}");

    let recorded = repository.bless(models![v2::Todo, v2::List]).unwrap();
    assert_eq!(recorded, ["recorded version 2 of 'todos'", "recorded 'lists'"]);
    repository.test(models![v2::Todo, v2::List]).unwrap();
    let section = before.split("[todos 1]").nth(1).unwrap();
    assert!(repository.lock().contains(section.trim_end()), "{}", repository.lock());
}

#[test]
fn what_devices_rely_on_is_neither_forgotten_nor_blessed_away() {
    let repository = Repository::new();
    repository.bless(models![v1::Todo]).unwrap();
    let before = repository.lock();
    let failure = repository.test(models![hasty::Todo]).unwrap_err();
    let text = failure.to_string();
    for line in [
        "version 1 of 'todos': column 'votes' is gone: `votes INTEGER NOT NULL counter`",
        "write: `removed(#[crdt(counter)] votes, in = 2)` in the struct's `#[synced(..)]`",
        "version 1 of 'todos': column 'rank' is new: `rank INTEGER NOT NULL lww`",
        "write: `#[synced(since = 2, backfill = 0)]` on the field `rank`, or make it an Option",
        "devices may have what is recorded, so it stays as it is: change the attributes",
    ] {
        assert!(text.contains(line), "`{line}` isn't in\n{text}");
    }
    for bless in ["1", "unreleased"] {
        let failure = check_schema_lock(&repository.path(), &models![hasty::Todo], bless).unwrap_err();
        let LockFailure::Refused { problems, .. } = &failure else { panic!("{failure:?}") };
        assert!(problems.iter().any(|problem| problem.blessed_by().is_none()));
        assert!(failure.to_string().starts_with("nothing was recorded. "), "{failure}");
    }
    assert_eq!(repository.lock(), before, "a bless that was refused has written");
}

#[test]
fn a_newest_version_that_nobody_has_is_recorded_anew_only_if_that_is_said() {
    let repository = Repository::new();
    repository.bless(models![v1::Todo]).unwrap();
    let text = repository.lock().replace("votes INTEGER NOT NULL counter", "votes INTEGER lww");
    std::fs::write(repository.path(), &text).unwrap();
    let failure = repository.bless(models![v1::Todo]).unwrap_err();
    let LockFailure::Refused { problems, .. } = &failure else { panic!("{failure:?}") };
    assert!(matches!(&problems[..], [Problem::Shape { newest: true, .. }]), "{problems:?}");
    assert!(failure.to_string().contains("if no device has that version but your own"), "{failure}");
    assert_eq!(repository.lock(), text);
    let recorded = check_schema_lock(&repository.path(), &models![v1::Todo], "unreleased").unwrap();
    assert!(recorded[0].starts_with("recorded anew: version 1 of 'todos': column 'votes'"), "{recorded:?}");
    repository.test(models![v1::Todo]).unwrap();
}

#[test]
fn a_model_that_is_lost_is_told_before_it_is_let_go() {
    let repository = Repository::new();
    repository.bless(models![v2::Todo, v2::List]).unwrap();
    let text = repository.test(models![v2::Todo]).unwrap_err().to_string();
    assert!(text.contains("model 'lists' is recorded, and listed no more: list it in `schema_lock!`"), "{text}");
    assert_eq!(repository.bless(models![v2::Todo]).unwrap(), ["recorded that 'lists' is listed no more"]);
    repository.test(models![v2::Todo]).unwrap();
    assert!(repository.lock().contains("[lists 1]\nid id\n\n[lists removed]\n"), "{}", repository.lock());
}

#[test]
fn a_file_that_is_no_lock_is_told_and_left_alone() {
    let repository = Repository::new();
    repository.bless(models![v1::Todo]).unwrap();
    let good = repository.lock();
    type Is = fn(&LockError) -> bool;
    let cases: [(String, Is); 4] = [
        (good.replace("lock 1", "lock 7"), |error| matches!(error, LockError::Newer { found: 7 })),
        (good.replace("[todos 1]", "<<<<<<< HEAD\n[todos 1]"), |error| matches!(error, LockError::Conflict { .. })),
        (String::new(), |error| matches!(error, LockError::NoLock)),
        (good.replace("counter", "conter"), |error| matches!(error, LockError::Line { .. })),
    ];
    for (text, is) in cases {
        for bless in ["", "1", "unreleased"] {
            std::fs::write(repository.path(), &text).unwrap();
            let failure = check_schema_lock(&repository.path(), &models![v1::Todo], bless).unwrap_err();
            assert!(matches!(&failure, LockFailure::Unreadable { source, .. } if is(source)), "{failure:?}");
            assert_eq!(repository.lock(), text);
        }
    }
    assert!(matches!(
        check_schema_lock(&repository.path(), &models![v1::Todo], "yes"),
        Err(LockFailure::UnknownBless { .. })
    ));
    let failure = check_schema_lock(Path::new("."), &models![v1::Todo], "1").unwrap_err();
    assert!(matches!(failure, LockFailure::Io { .. }), "{failure:?}");
}

#[test]
fn two_branches_that_change_different_models_merge_into_a_lock_that_holds() {
    let repository = Repository::new();
    repository.bless(models![v1::Todo]).unwrap();
    let base = repository.lock();
    repository.bless(models![v1::Todo, v2::List]).unwrap();
    let list = repository.lock();
    std::fs::write(repository.path(), &base).unwrap();
    repository.bless(models![v2::Todo]).unwrap();
    let todo = repository.lock();
    // What git does, where the two have added lines at different places: `lists` is before `todos`, version 2 after.
    let head = base.split("[todos 1]").next().unwrap();
    let before = list.split("[todos 1]").next().unwrap();
    std::fs::write(repository.path(), todo.replacen(head, before, 1)).unwrap();
    repository.test(models![v2::Todo, v2::List]).unwrap();
    let merged = repository.lock();
    assert_eq!(repository.bless(models![v2::Todo, v2::List]).unwrap(), Vec::<String>::new());
    assert_eq!(repository.lock(), merged);
}

#[test]
fn a_lock_that_begins_late_has_earlier_versions_as_far_as_the_attributes_tell() {
    let repository = Repository::new();
    repository.bless(models![counted::Todo]).unwrap();
    let lock = repository.lock();
    let columns = "id id\ncolumn title TEXT NOT NULL lww\ncolumn votes INTEGER NOT NULL counter\n";
    let counter = "column rank INTEGER NOT NULL counter\n";
    let sections = [
        format!("[todos 1]\n{columns}column rank INTEGER NOT NULL lww ?\nelements tags set ? ?\nindex ?\n\n"),
        format!("[todos 2]\n{columns}{counter}elements tags set ? ?\nindex ?\nmerges rank counter from lww\n\n"),
        format!("[todos 3]\n{columns}{counter}"),
    ];
    assert!(lock.ends_with(&sections.concat()), "{lock}");
    repository.test(models![counted::Todo]).unwrap();
}
