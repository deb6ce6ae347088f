//! Queries beside rusqlite, and how fast a watch is told.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use cfost::prelude::*;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{ROWS, ROWS_PER_TRANSACTION, median, report, timed};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[synced(index)]
    folder: i64,
    title: String,
    pinned: bool,
    #[crdt(counter)]
    votes: i64,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "others", version = 1)]
struct Other {
    #[synced(id)]
    id: Uuid,
    name: String,
}

const FOLDERS: usize = ROWS / 100;
const QUERIES: usize = 2000;
const DELIVERIES: usize = 500;
const WATCHERS: usize = 1000;
const WRITES: usize = 5000;
const ROUNDS: usize = 7;

/// 100 rows of 100k, by an index, as structs.
pub(super) fn query_100() {
    let dir = TempDir::new().unwrap();
    let db = open(&dir);
    let rows: Vec<Note> = (0..ROWS).map(note).collect();
    for rows in rows.chunks(ROWS_PER_TRANSACTION) {
        db.insert_all(rows.to_vec()).unwrap();
    }
    let bare = open_bare(&dir);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(timed(|| {
            for n in 0..QUERIES {
                let folder = folder(n);
                let notes = Note::query().filter(|note| note.folder.eq(folder)).all(&db).unwrap();
                assert_eq!(notes.len(), 100);
            }
        }));
        theirs.push(timed(|| (0..QUERIES).for_each(|n| assert_eq!(query_bare(&bare, folder(n)).len(), 100))));
    }
    report("query-100", median(ours) / QUERIES as f64, median(theirs) / QUERIES as f64);
}

/// From the call that writes until another thread has the rows that the write changed.
pub(super) fn watch_ms() {
    let dir = TempDir::new().unwrap();
    let db = open(&dir);
    db.insert_all((0..100).map(|n| Note { folder: 1, ..note(n) })).unwrap();
    let (sender, delivered) = mpsc::channel();
    let mut watch = Note::query().filter(|note| note.folder.eq(1)).watch(&db);
    let reader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            while let Some(notes) = watch.next().await {
                let rows = notes.unwrap().len();
                if sender.send((rows, Instant::now())).is_err() {
                    break;
                }
            }
        });
    });
    let mut rows = delivered.recv().unwrap().0;
    let mut took_ms = Vec::new();
    for n in 0..DELIVERIES {
        // The rows stay about 100.
        let started = Instant::now();
        if n % 2 == 0 {
            db.insert(Note { folder: 1, ..note(n) }).unwrap();
        } else {
            let last = Note::query().order_by(|note| note.id.desc()).first(&db).unwrap().unwrap();
            db.delete::<Note>(last.id).unwrap();
        }
        let (now, at) = delivered.recv().unwrap();
        assert_ne!(std::mem::replace(&mut rows, now), now);
        took_ms.push(at.duration_since(started).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(1));
    }
    drop((delivered, db));
    reader.join().unwrap();
    println!("bench\twatch-ms\t{:.3}\t-", median(took_ms));
}

/// A write of one row while a thousand queries of another table are watched, beside one without.
pub(super) fn write_watched() {
    let dirs = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (watched, plain) = (open(&dirs.0), open(&dirs.1));
    let waker = std::task::Waker::noop();
    let mut watches: Vec<_> = (0..WATCHERS).map(|_| Other::query().watch(&watched)).collect();
    for watch in &mut watches {
        let mut context = std::task::Context::from_waker(waker);
        // The first rows at once; then it waits.
        assert!(std::pin::pin!(watch.next()).poll(&mut context).is_ready());
        assert!(std::pin::pin!(watch.next()).poll(&mut context).is_pending());
    }
    let write = |db: &Db| timed(|| (0..WRITES).for_each(|n| drop(db.insert(note(n)).unwrap()))) / WRITES as f64;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(write(&watched));
        without.push(write(&plain));
    }
    report("write-watched", median(with), median(without));
}

fn note(n: usize) -> Note {
    // Neighbours in a folder are not neighbours in the table.
    Note { folder: (n % FOLDERS) as i64, title: format!("Note number {n}"), votes: n as i64 % 7, ..Note::default() }
}

/// Folders in an order that jumps about.
fn folder(n: usize) -> i64 {
    (n * 7919 % FOLDERS) as i64
}

fn open(dir: &TempDir) -> Db {
    Db::open(dir.path().join("notes.db"), models![Note, Other]).unwrap()
}

/// The same rows in a table without the column of our clock, read through a connection of its own.
fn open_bare(dir: &TempDir) -> Connection {
    let conn = Connection::open(dir.path().join("bare.db")).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    conn.execute_batch(&format!(
        "CREATE TABLE notes (id BLOB NOT NULL PRIMARY KEY, folder INTEGER NOT NULL, title TEXT NOT NULL, \
         pinned INTEGER NOT NULL, votes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         CREATE INDEX notes_by_folder ON notes (folder);
         ATTACH '{}' AS ours;
         INSERT INTO notes SELECT id, folder, title, pinned, votes FROM ours.notes ORDER BY id;
         DETACH ours",
        dir.path().join("notes.db").display()
    ))
    .unwrap();
    conn
}

fn query_bare(conn: &Connection, folder: i64) -> Vec<Note> {
    let mut select = conn
        .prepare_cached("SELECT id, folder, title, pinned, votes FROM notes WHERE folder = ?1 ORDER BY id")
        .unwrap();
    let rows = select.query_map(params![folder], |row| {
        let id = Uuid::from_bytes(row.get(0)?);
        Ok(Note { id, folder: row.get(1)?, title: row.get(2)?, pinned: row.get(3)?, votes: row.get(4)? })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}
