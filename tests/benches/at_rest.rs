//! What encrypting a database file costs: the same rows in a plain file and in an encrypted one, turn by turn.
//!
//! Prints one line per measure, tab-separated: `bench`, the name, the figure for the plain file, for the encrypted one,
//! and their ratio; medians of the rounds. `cargo bench -p cfost-tests --features sqlcipher --bench at_rest`.
#![allow(clippy::print_stdout, reason = "the lines are what this program is for")]

use std::path::Path;
use std::time::Instant;

use cfost::prelude::*;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
}

/// Takes a figure of a new database at a path, encrypted or not.
type Measure = fn(&Path, bool) -> f64;

const ROWS: usize = 100_000;
const ROWS_PER_TRANSACTION: usize = 1000;
const SINGLES: usize = 5_000;
const READS: usize = 20_000;
const OPENINGS: usize = 50;
const ROUNDS: usize = 5;

fn main() {
    let measures: &[(&str, Measure)] =
        &[("create-us", create), ("create-one-us", create_one), ("get-us", get), ("open-ms", open)];
    for (name, measure) in measures {
        let (mut plain, mut encrypted) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            plain.push(in_new_folder(*measure, false));
            encrypted.push(in_new_folder(*measure, true));
        }
        let (plain, encrypted) = (median(plain), median(encrypted));
        println!("bench\t{name}\t{plain:.3}\t{encrypted:.3}\t{:.2}", encrypted / plain);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    fill(&database(&path, false));
    let started = Instant::now();
    drop(database(&path, true));
    println!("bench\tconvert-ms\t-\t{:.1}\t-", started.elapsed().as_secs_f64() * 1e3);
}

fn in_new_folder(measure: Measure, encrypted: bool) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    measure(&dir.path().join("app.db"), encrypted)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn database(path: &Path, encrypted: bool) -> Db {
    Db::options().encrypted(encrypted).open(path, models![Todo]).unwrap()
}

fn todo(n: usize) -> Todo {
    Todo { title: format!("row {n} of a list of things to do"), ..Todo::default() }
}

fn fill(db: &Db) -> Vec<Uuid> {
    let transaction = |first: usize| db.insert_all((first..first + ROWS_PER_TRANSACTION).map(todo)).unwrap();
    (0..ROWS).step_by(ROWS_PER_TRANSACTION).flat_map(transaction).collect()
}

/// Microseconds per row, in transactions of a thousand.
fn create(path: &Path, encrypted: bool) -> f64 {
    let db = database(path, encrypted);
    let started = Instant::now();
    fill(&db);
    started.elapsed().as_secs_f64() * 1e6 / ROWS as f64
}

/// Microseconds per row, in a transaction each.
fn create_one(path: &Path, encrypted: bool) -> f64 {
    let db = database(path, encrypted);
    let started = Instant::now();
    (0..SINGLES).for_each(|n| drop(db.insert(todo(n)).unwrap()));
    started.elapsed().as_secs_f64() * 1e6 / SINGLES as f64
}

/// Microseconds to read a row by its id, of more rows than SQLite's cache holds.
fn get(path: &Path, encrypted: bool) -> f64 {
    let db = database(path, encrypted);
    let ids = fill(&db);
    let started = Instant::now();
    (0..READS).for_each(|n| drop(db.get::<Todo>(ids[n * 7919 % ids.len()]).unwrap()));
    started.elapsed().as_secs_f64() * 1e6 / READS as f64
}

/// Milliseconds to open a database that is there.
fn open(path: &Path, encrypted: bool) -> f64 {
    fill(&database(path, encrypted));
    let started = Instant::now();
    (0..OPENINGS).for_each(|_| drop(database(path, encrypted)));
    started.elapsed().as_secs_f64() * 1e3 / OPENINGS as f64
}
