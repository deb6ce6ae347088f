//! What a migration of many rows takes.

use std::time::{Duration, Instant};

use cfost_tests::process::tell;

use super::apps::{App, copy, models, v1, v3, v4};

/// A database of a million rows, closed.
fn million(path: std::path::PathBuf) -> App {
    let mut app = App::new(path, models(1));
    for hundred in 0..100 {
        let todo = |n: u32| v1::Todo {
            title: "water the plants".into(),
            due: format!("day {}", hundred * 10_000 + n),
            rank: Some(3),
            ..v1::Todo::default()
        };
        app.db().insert_all((0..10_000).map(todo)).unwrap();
    }
    app.close();
    app
}

#[test]
#[ignore = "measures: cargo test --release -p cfost-tests --test migration -- --ignored --nocapture million"]
fn a_million_rows_are_renamed_in_an_instant_and_upgraded_in_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = million(dir.path().join("todo.db"));
    let bytes = std::fs::metadata(&app.path).unwrap().len();
    let measure = |app: &mut App, version: u32, what: &str| -> Duration {
        let started = Instant::now();
        app.open(models(version));
        let took = started.elapsed();
        app.close();
        let grown = std::fs::metadata(&app.path).unwrap().len() - bytes;
        tell(&format!("{what}: {} ms, the file has grown by {} MB of {}", took.as_millis(), grown >> 20, bytes >> 20))
            .unwrap();
        took
    };
    let path = dir.path().join("at once.db");
    copy(&app.path, &path);
    measure(&mut app, 2, "1 000 000 rows, two columns renamed and one gained");
    measure(&mut app, 3, "1 000 000 rows, two columns upgraded, one of them indexed");
    assert_eq!(app.open(models(3)).count::<v3::Todo>().unwrap(), 1_000_000);
    measure(&mut app, 4, "1 000 000 rows, a column and its map removed");
    let mut app = App::reopened(path, models(1));
    measure(&mut app, 4, "1 000 000 rows over three versions at once");
    assert_eq!(app.open(models(4)).count::<v4::Todo>().unwrap(), 1_000_000);
}
