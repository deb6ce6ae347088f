//! What an app is told of a migration.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use cfost::prelude::*;
use cfost::store::MigrationWork;
use cfost::{DbOptions, Migration};

use super::apps::{App, fill, models, v1};

const ROWS: u64 = 3000;

fn large(app: &App) {
    let rows = (0..ROWS).map(|n| v1::Todo { due: format!("day {n}"), ..v1::Todo::default() });
    app.db().insert_all(rows).unwrap();
}

/// Options that note what is told.
fn listening() -> (DbOptions, Arc<Mutex<Vec<Migration>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    (Db::options().on_migration(move |migration| into.lock().unwrap().push(migration)), told)
}

#[test]
fn a_rewrite_is_told_from_its_beginning_to_its_end_and_what_costs_nothing_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    large(&app);
    fill(app.db());
    app.close();
    let (options, told) = listening();
    drop(options.open(&app.path, models(2)).unwrap());
    assert_eq!(*told.lock().unwrap(), []);
    let (options, told) = listening();
    drop(options.open(&app.path, models(3)).unwrap());
    let told = told.lock().unwrap();
    let (first, last) = (told.first().unwrap(), told.last().unwrap());
    assert_eq!((first.table, first.from, first.to, first.work), ("todos", 2, 3, MigrationWork::Rows));
    assert_eq!((first.done, last.done, last.total), (0, last.total, first.total));
    // Hidden rows are rewritten too.
    assert!(last.total > ROWS && told.len() >= 4, "{told:?}");
    assert!(told.is_sorted_by_key(|migration| migration.done), "{told:?}");
    assert_eq!(last.to_string(), format!("'todos' from version 2 to 3: {0} of {0} rows", last.total));
    app.open(models(3));
    app.assert_sound();
}

#[test]
fn making_a_table_from_the_oplog_is_told_in_changes() {
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "lists", version = 4)]
    struct List {
        #[synced(id)]
        id: Uuid,
    }
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    for _ in 0..5 {
        app.db().insert(v1::Todo::default()).unwrap();
    }
    app.close();
    let (options, told) = listening();
    drop(options.open(&app.path, models![v1::Todo, List]).unwrap());
    let told: Vec<_> =
        told.lock().unwrap().iter().map(|it| (it.table, it.from, it.to, it.work, it.done, it.total)).collect();
    let changes = MigrationWork::Changes;
    assert_eq!(told, [("lists", 0, 4, changes, 0, 5), ("lists", 0, 4, changes, 5, 5)]);
}

#[test]
fn an_app_that_panics_while_it_is_told_leaves_the_file_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    large(&app);
    app.close();
    for at in [0, ROWS / 2, ROWS] {
        let panics = move |migration: Migration| assert!(migration.done < at, "the app has a bug");
        let opened =
            catch_unwind(AssertUnwindSafe(|| Db::options().on_migration(panics).open(&app.path, models(5)).map(drop)));
        assert!(opened.is_err(), "at {at}");
        app.open(models(1));
        assert_eq!(app.db().count::<v1::Todo>().unwrap(), ROWS);
        app.assert_sound();
    }
    app.open(models(5));
    app.assert_sound();
}
