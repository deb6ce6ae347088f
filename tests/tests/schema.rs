//! What a database says of its models, and what a file says of them to a tool that has none.

use std::collections::BTreeMap;
use std::path::Path;

use cfost::prelude::*;
use cfost::store::{DbFile, StoreError};

mod v1 {
    use super::*;

    #[derive(Synced, Default)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index)]
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
    }

    #[derive(Synced, Default)]
    #[synced(table = "lists", version = 1)]
    pub(super) struct List {
        #[synced(id)]
        pub id: Uuid,
        pub name: Option<String>,
    }
}

mod v2 {
    use super::*;

    #[derive(Synced, Default)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index, renamed_from("title", in = 2))]
        pub heading: String,
        #[crdt(counter)]
        pub votes: i64,
        #[synced(since = 2)]
        #[crdt(map)]
        pub scores: BTreeMap<String, f64>,
    }
}

fn files(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_database_shows_its_models_and_those_that_the_app_does_not_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    drop(Db::open(&path, models![v1::Todo, v1::List]).unwrap());
    let db = Db::open(&path, models![v2::Todo]).unwrap();
    let schema = db.schema().unwrap();
    assert_eq!(
        schema.to_string(),
        "lists (version 1, no model of this app)\n\
        \x20 id       BLOB NOT NULL        id\n\
        \x20 name     TEXT                 lww\n\
         todos (version 2, model Todo)\n\
        \x20 id       BLOB NOT NULL        id\n\
        \x20 heading  TEXT NOT NULL        lww      called title in ops\n\
        \x20 votes    INTEGER NOT NULL     counter\n\
        \x20 scores   TEXT, REAL NOT NULL  map"
    );
    let (lists, todos) = (schema.table("lists").unwrap(), schema.table("todos").unwrap());
    assert_eq!((lists.model, &lists.app, todos.model), (None, &None, Some("Todo")));
    assert_eq!(todos.file, todos.app);
    assert_eq!(todos.differences(), []);
    assert!(schema.table("notes").is_none());
}

#[test]
fn a_database_of_a_newer_app_shows_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let old = Db::open(&path, models![v1::Todo]).unwrap();
    drop(Db::open(&path, models![v2::Todo]).unwrap());
    let schema = old.schema().unwrap();
    assert!(schema.to_string().starts_with("todos (version 2 in the file, 1 in the app, model Todo)\n"), "{schema}");
    let told: Vec<String> = schema.tables[0].differences().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["column 'heading' was 'title'", "field 'scores' is new: `scores map TEXT REAL NOT NULL`"]);
}

#[test]
fn a_file_is_looked_at_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    // What an address on the web would take for a query.
    let path = dir.path().join("to do?100%#1.db");
    let db = Db::open(&path, models![v1::Todo, v1::List]).unwrap();
    let todo = |n: usize| v1::Todo { title: "water the plants".repeat(10), votes: n as i64, ..v1::Todo::default() };
    let ids = db.insert_all((0..500).map(todo)).unwrap();
    db.delete::<v1::Todo>(ids[7]).unwrap();

    let look = || {
        let file = DbFile::open(&path).unwrap();
        let models = file.models().unwrap();
        assert_eq!(
            models.iter().map(|model| (&model.table[..], model.version)).collect::<Vec<_>>(),
            [("lists", 1), ("todos", 1)]
        );
        let size = file.size(&models[1]).unwrap();
        assert_eq!((size.rows, size.hidden_rows), (499, 1));
        assert!((80_000..200_000).contains(&size.row_bytes), "{size:?}");
        assert!(size.indexes["todos_by_title"] > 80_000, "{size:?}");
        assert!(size.bytes() > size.row_bytes);
        assert!((80_000..90_000).contains(&file.column_bytes("todos", "title").unwrap()));
        assert_eq!(file.size(&models[0]).unwrap().rows, 0);
    };
    // While an app has it open, and after.
    look();
    db.insert(v1::List::default()).unwrap();
    drop(db);
    let before = files(dir.path());
    let db = DbFile::open(&path).unwrap();
    assert_eq!(db.models().unwrap().len(), 2);
    drop(db);
    assert!(files(dir.path()) == before, "looking at the file has changed it, or the files beside it");
}

#[test]
fn a_file_that_is_no_database_of_ours_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| DbFile::open(dir.path().join(name)).unwrap_err();
    assert!(matches!(open("missing.db"), StoreError::CannotOpen { .. }));
    assert!(matches!(open("."), StoreError::CannotOpen { .. }));
    std::fs::write(dir.path().join("letter"), "Dear reader, this is no database, and long enough to be one.").unwrap();
    assert!(matches!(open("letter"), StoreError::Corrupt { .. }));
    std::fs::write(dir.path().join("empty"), "").unwrap();
    assert!(matches!(open("empty"), StoreError::Foreign { .. }));
    let other = rusqlite::Connection::open(dir.path().join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert!(matches!(open("other.db"), StoreError::Foreign { .. }));
    let newer = dir.path().join("newer.db");
    drop(Db::open(&newer, models![v1::Todo]).unwrap());
    let conn = rusqlite::Connection::open(&newer).unwrap();
    conn.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(matches!(open("newer.db"), StoreError::NewerFormat { found: 99, .. }));
}
