//! A file that a newer version of the app has migrated, in an older one.

use std::fs;
use std::path::{Path, PathBuf};

use cfost::prelude::*;
use cfost::store::StoreError;
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device};

use super::apps::{App, fill, models, v1, v2};

mod grown {
    use cfost::prelude::*;

    /// Version 1 of an app, and version 2, which only adds to it.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "notes", version = 1)]
    pub(super) struct Note {
        #[synced(id)]
        pub(super) id: Uuid,
        #[synced(search)]
        pub(super) body: String,
        #[crdt(set)]
        pub(super) tags: std::collections::BTreeSet<u8>,
    }

    pub(super) mod newer {
        use cfost::prelude::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "notes", version = 2)]
        pub(in super::super) struct Note {
            #[synced(id)]
            pub(in super::super) id: Uuid,
            #[synced(search)]
            pub(in super::super) body: String,
            #[crdt(set)]
            pub(in super::super) tags: std::collections::BTreeSet<u8>,
            #[synced(since = 2, backfill = 3)]
            pub(in super::super) rank: i64,
        }
    }
}

use grown::Note;
use grown::newer::Note as Newer;

fn error_of<T>(result: Result<T>) -> StoreError {
    match result {
        Ok(_) => panic!("it was done"),
        Err(Error::Store(error)) => error,
        Err(other) => panic!("another family's error: {other}"),
    }
}

/// What a database's files hold: its own, and the marker's.
fn bytes(path: &Path) -> Vec<Vec<u8>> {
    ["", "-marker"].map(|end| fs::read(PathBuf::from(format!("{}{end}", path.display()))).unwrap()).into()
}

#[test]
fn an_older_app_is_refused_and_may_ask_to_read_what_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("notes.db"), models![Newer]);
    let note = Newer { body: "buy milk".into(), tags: [4].into(), rank: 9, ..Newer::default() };
    let id = app.db().insert(note).unwrap().id;
    let other = Device::in_memory("other", models![Newer], 9).unwrap();
    fleet::pair(app.db(), &other.db, &other.host).unwrap();
    app.close();
    let before = bytes(&app.path);
    let error = error_of(Db::open(&app.path, models![Note]));
    assert!(matches!(error, StoreError::NewerModel { found: 2, known: 1, .. }), "{error:?}");
    assert!(bytes(&app.path) == before, "the refused app has changed the file");

    let db = Db::options().read_newer(true).open(&app.path, models![Note]).unwrap();
    assert!(db.is_read_only());
    let shown = Note { id, body: "buy milk".into(), tags: [4].into() };
    assert_eq!(db.get::<Note>(id).unwrap(), Some(shown.clone()));
    assert_eq!(Note::query().filter(|note| note.body.matches("milk")).all(&db).unwrap(), [shown]);
    assert_eq!(db.oplog().unwrap().count(), 1);
    assert_eq!(db.history::<Note>(id).unwrap().len(), 1);
    let refusals = [
        error_of(db.insert(Note::default())),
        error_of(db.update(id, |note: &mut Note| note.body.clear())),
        error_of(db.delete::<Note>(id)),
        error_of(db.verify()),
        error_of(db.forget_recovery_phrase()),
    ];
    for error in refusals {
        assert!(matches!(error, StoreError::NewerModel { found: 2, known: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("update the app"), "{error}");
    }
    // It takes nothing in from others.
    other.db.insert(Newer::default()).unwrap();
    let error = fleet::sync(&db, &other.db).unwrap_err();
    assert!(error.to_string().contains("NewerModel"), "{error}");
    assert_eq!(db.count::<Note>().unwrap(), 1);
    drop(db);
    assert!(bytes(&app.path) == before, "reading has changed the file");
    // The newer app goes on.
    app.open(models![Newer]).update(id, |note: &mut Newer| note.rank += 1).unwrap();
    app.assert_sound();
}

#[test]
fn what_is_not_newer_opens_as_ever_for_an_app_that_would_read_newer_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    for models in [models![Note], models![Note], models![Newer]] {
        let db = Db::options().read_newer(true).open(&path, models).unwrap();
        assert!(!db.is_read_only());
        db.write(|_| Ok(())).unwrap();
    }
    assert!(Db::options().read_newer(true).open_in_memory(models![Note]).is_ok());
}

#[test]
fn a_column_that_an_older_app_can_not_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    fill(app.db());
    let read = |app: &App, version| error_of(Db::options().read_newer(true).open(&app.path, models(version)));
    let mut told = Vec::new();
    for (file, app_version) in [(2, 1), (3, 2), (4, 3), (5, 4)] {
        app.open(models(file));
        app.close();
        let before = bytes(&app.path);
        let error = read(&app, app_version);
        assert!(bytes(&app.path) == before, "the refused app has changed the file");
        let StoreError::NotReadable { table: "todos", column, found, known, what } = error else { panic!("{error:?}") };
        assert_eq!((found, known), (file, app_version));
        told.push(format!("{column}: {what}"));
    }
    assert_eq!(
        told,
        [
            "title: it is called 'heading' now",
            "due: it is `due INTEGER NOT NULL lww called due@3` now",
            "secret: it isn't there any more",
            "due: it is `due REAL NOT NULL lww called due@5` now",
        ]
    );
}

#[test]
fn an_app_that_was_open_while_a_newer_one_migrated_the_file_reads_on_as_far_as_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let old = Db::open(&path, models![Note]).unwrap();
    old.insert(Note { body: "milk".into(), ..Note::default() }).unwrap();
    let new = Db::open(&path, models![Newer]).unwrap();
    assert_eq!(old.all::<Note>().unwrap().len(), 1);
    let error = error_of(old.insert(Note::default()));
    assert!(matches!(error, StoreError::NewerModel { .. }), "{error:?}");
    assert!(matches!(error_of(old.verify()), StoreError::NewerModel { .. }));
    assert_eq!((old.count::<Note>().unwrap(), new.count::<Newer>().unwrap()), (1, 1));

    let path = dir.path().join("todo.db");
    let old = Db::open(&path, models(1)).unwrap();
    let id = old.insert(v1::Todo::default()).unwrap().id;
    assert!(old.get::<v1::Todo>(id).unwrap().is_some());
    let new = Db::open(&path, models(2)).unwrap();
    for _ in 0..2 {
        let error = error_of(old.get::<v1::Todo>(id));
        assert!(matches!(&error, StoreError::NotReadable { column, .. } if column == "title"), "{error:?}");
        let error = error_of(old.insert(v1::Todo::default()));
        assert!(matches!(error, StoreError::NewerModel { .. }), "{error:?}");
    }
    new.update(id, |todo: &mut v2::Todo| todo.heading = "new".into()).unwrap();
    assert!(new.verify().unwrap().is_sound());
}
