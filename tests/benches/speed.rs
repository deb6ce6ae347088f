//! The cost of CFOST beside bare SQLite: same rows, same settings, same process, turn by turn.
//!
//! Prints one line per measure, tab-separated: `bench`, the name, microseconds per op (or what the name
//! says), and the ratio to bare SQLite, or `-`. Each figure is the median of its rounds, in which CFOST
//! and bare SQLite take turns.
//!
//! `cargo bench` runs all; `cargo bench --bench speed -- create apply` runs some.
#![allow(clippy::print_stdout, reason = "the lines are what this program is for")]

mod queries;

use std::path::{Path, PathBuf};
use std::time::Instant;

use cfost::prelude::*;
use cfost::sync::Seqs;
use cfost_tests::fleet;
use rusqlite::{Connection, params};
use tempfile::TempDir;

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

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "tagged", version = 1)]
struct Tagged {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(set)]
    tags: std::collections::BTreeSet<String>,
}

const ROWS: usize = 100_000;
const ROWS_PER_TRANSACTION: usize = 1000;
const SINGLES: usize = 20_000;
const ROUNDS: usize = 5;

fn main() {
    #[cfg(feature = "net")]
    if let Ok(dir) = std::env::var(network::PEER) {
        return network::serve(Path::new(&dir));
    }
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let measures: &[(&str, fn())] = &[
        ("create", create),
        ("create-one", create_one),
        ("update", update),
        ("apply", apply),
        ("bytes", bytes),
        ("set-insert", set_insert),
        ("set-insert-one", set_insert_one),
        ("query-100", queries::query_100),
        ("watch-ms", queries::watch_ms),
        ("write-watched", queries::write_watched),
        #[cfg(feature = "net")]
        ("sync-10k-ms", network::sync_10k),
    ];
    for (name, measure) in measures {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            measure();
        }
    }
}

/// 100k rows in transactions of 1000.
fn create() {
    let (ours, bare) = rounds(ROWS, |dir| fill(&open(dir)), |dir| fill_bare(&mut open_bare(dir)));
    report("create", ours, bare);
}

/// One row per transaction.
fn create_one() {
    let (ours, bare) = rounds(
        SINGLES,
        |dir| {
            let db = open(dir);
            timed(|| (0..SINGLES).for_each(|n| drop(db.write(|tx| tx.insert(todo(n))).unwrap())))
        },
        |dir| {
            let mut conn = open_bare(dir);
            let ids = ids(SINGLES);
            timed(|| (0..SINGLES).for_each(|n| insert_bare(&mut conn, n, &ids[n..=n])))
        },
    );
    report("create-one", ours, bare);
}

/// One column of each of 100k rows, in an order that jumps about, in transactions of 1000.
fn update() {
    let (ours, bare) = rounds(
        ROWS,
        |dir| {
            let db = open(dir);
            fill(&db);
            let ids: Vec<Uuid> = shuffled(db.sql("SELECT id FROM todos").rows::<(Uuid,)>().unwrap());
            timed(|| {
                for ids in ids.chunks(ROWS_PER_TRANSACTION) {
                    db.write(|tx| {
                        for id in ids {
                            tx.update(*id, |todo: &mut Todo| todo.completed = true)?;
                        }
                        Ok(())
                    })
                    .unwrap();
                }
            })
        },
        |dir| {
            let mut conn = open_bare(dir);
            fill_bare(&mut conn);
            let ids: Vec<(Uuid,)> = {
                let mut select = conn.prepare("SELECT id FROM todos").unwrap();
                let ids = select.query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?),))).unwrap();
                ids.collect::<Result<_, _>>().unwrap()
            };
            let ids = shuffled(ids);
            timed(|| {
                for ids in ids.chunks(ROWS_PER_TRANSACTION) {
                    let tx = conn.transaction().unwrap();
                    {
                        let mut update = tx.prepare_cached("UPDATE todos SET completed = ?2 WHERE id = ?1").unwrap();
                        for id in ids {
                            update.execute(params![id.as_bytes(), true]).unwrap();
                        }
                    }
                    tx.commit().unwrap();
                }
            })
        },
    );
    report("update", ours, bare);
}

/// 100k rows of another device: chain, signature and seal checked, merged, on the disk at the end.
fn apply() {
    let source = TempDir::new().unwrap();
    let author = open(source.path());
    fill(&author);
    let (ours, bare) = rounds(
        ROWS,
        |dir| {
            let db = open(dir);
            fleet::pair(&author, &db, &cfost::host::Host::system()).unwrap();
            let (from, to) = (author.replica().unwrap(), db.replica().unwrap());
            let space = from.spaces(to.device()).unwrap()[0];
            let mut held = Seqs::new();
            let mut runs = Vec::new();
            loop {
                let served = from.runs_after(space, &held, 4 << 20).unwrap();
                let Some(last) = served.last() else { break };
                held.insert(last.run.log, last.head.seq);
                runs.push(served.into_iter().map(|served| served.run).collect::<Vec<_>>());
            }
            let took = timed(|| {
                for runs in runs {
                    assert!(to.apply(runs).unwrap().refused.is_empty());
                }
            });
            assert_eq!(db.count::<Todo>().unwrap(), ROWS as u64);
            took
        },
        |dir| fill_bare(&mut open_bare(dir)),
    );
    report("apply", ours, bare);
}

/// 1000 tags for each of 100 rows, a transaction each; per tag.
fn set_insert() {
    set_inserts("set-insert", ROWS_PER_TRANSACTION);
}

/// One tag for each of 100k rows, in transactions of 1000: each is an edit of its row too.
fn set_insert_one() {
    set_inserts("set-insert-one", 1);
}

/// 100k tags in transactions of 1000, `each` to a row, beside the bare inserts of what is in the tags' table.
fn set_inserts(name: &str, each: usize) {
    let tag = |n: usize| format!("tag {n:05}");
    let updates = ROWS_PER_TRANSACTION / each;
    let (ours, bare) = rounds(
        ROWS,
        |dir| {
            let db = Db::open(path(dir), models![Tagged]).unwrap();
            let ids = db.insert_all((0..ROWS / each).map(|_| Tagged::default())).unwrap();
            timed(|| {
                for ids in ids.chunks(updates) {
                    db.write(|tx| {
                        for id in ids {
                            tx.update(*id, |row: &mut Tagged| row.tags.extend((0..each).map(tag)))?;
                        }
                        Ok(())
                    })
                    .unwrap();
                }
            })
        },
        |dir| {
            let mut conn = open_bare(dir);
            conn.execute_batch(
                "CREATE TABLE tagged_tags (row BLOB NOT NULL, element TEXT NOT NULL, PRIMARY KEY (row, element)) \
                 STRICT, WITHOUT ROWID",
            )
            .unwrap();
            let ids = ids(ROWS / each);
            timed(|| {
                for ids in ids.chunks(updates) {
                    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
                    {
                        let mut insert = tx.prepare_cached("INSERT INTO tagged_tags VALUES (?1, ?2)").unwrap();
                        for (id, n) in ids.iter().flat_map(|id| (0..each).map(move |n| (id, n))) {
                            insert.execute(params![id.as_bytes(), tag(n)]).unwrap();
                        }
                    }
                    tx.commit().unwrap();
                }
            })
        },
    );
    report(name, ours, bare);
}

/// What 100k rows take on the disk, the oplog included, in bytes per row.
fn bytes() {
    let (ours, bare) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    {
        let db = open(ours.path());
        fill(&db);
        let mut conn = open_bare(bare.path());
        fill_bare(&mut conn);
    }
    let per_row = |dir: &Path| {
        let conn = Connection::open(path(dir)).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        std::fs::metadata(path(dir)).unwrap().len() as f64 / ROWS as f64
    };
    report("bytes", per_row(ours.path()), per_row(bare.path()));
}

fn todo(n: usize) -> Todo {
    Todo { title: title(n), votes: n as i64 % 7, ..Todo::default() }
}

fn title(n: usize) -> String {
    format!("Todo number {n}")
}

fn path(dir: &Path) -> PathBuf {
    dir.join("todo.db")
}

fn open(dir: &Path) -> Db {
    Db::open(path(dir), models![Todo]).unwrap()
}

fn fill(db: &Db) -> f64 {
    timed(|| {
        for first in (0..ROWS).step_by(ROWS_PER_TRANSACTION) {
            let rows = (first..first + ROWS_PER_TRANSACTION).map(todo);
            db.write(|tx| rows.into_iter().try_for_each(|row| tx.insert(row).map(drop))).unwrap();
        }
    })
}

/// The table that CFOST makes for the model, but for the column of its clock; with CFOST's settings, so
/// that the disk is waited for as often.
fn open_bare(dir: &Path) -> Connection {
    let conn = Connection::open(path(dir)).unwrap();
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
    conn.pragma_update(None, "wal_autocheckpoint", 4000).unwrap();
    conn.execute_batch(
        "CREATE TABLE todos (id BLOB NOT NULL PRIMARY KEY, title TEXT NOT NULL, completed INTEGER NOT NULL, \
         votes INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    )
    .unwrap();
    conn
}

fn fill_bare(conn: &mut Connection) -> f64 {
    let ids = ids(ROWS);
    timed(|| {
        for (n, ids) in ids.chunks(ROWS_PER_TRANSACTION).enumerate() {
            insert_bare(conn, n * ROWS_PER_TRANSACTION, ids);
        }
    })
}

/// Ids for the bare side, made before its time is taken: CFOST mints its own within its time.
fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::now_v7()).collect()
}

fn insert_bare(conn: &mut Connection, first: usize, ids: &[Uuid]) {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    {
        let mut insert =
            tx.prepare_cached("INSERT INTO todos (id, title, completed, votes) VALUES (?1, ?2, ?3, ?4)").unwrap();
        for (n, id) in ids.iter().enumerate() {
            let todo = Todo { id: *id, ..todo(first + n) };
            insert.execute(params![todo.id.as_bytes(), todo.title, todo.completed, todo.votes]).unwrap();
        }
    }
    tx.commit().unwrap();
}

/// An order without locality, the same for both.
fn shuffled(ids: Vec<(Uuid,)>) -> Vec<Uuid> {
    let stride = 7919;
    (0..ids.len()).map(|n| ids[n * stride % ids.len()].0).collect()
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e6
}

/// The medians of both sides, in microseconds per op.
fn rounds(ops: usize, mut ours: impl FnMut(&Path) -> f64, mut bare: impl FnMut(&Path) -> f64) -> (f64, f64) {
    let mut figures = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dirs = (TempDir::new().unwrap(), TempDir::new().unwrap());
        figures.0.push(ours(dirs.0.path()) / ops as f64);
        figures.1.push(bare(dirs.1.path()) / ops as f64);
    }
    (median(figures.0), median(figures.1))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn report(name: &str, ours: f64, bare: f64) {
    println!("bench\t{name}\t{ours:.3}\t{:.2}", ours / bare);
}

/// Two processes on loopback: TCP, Noise, yamux.
#[cfg(feature = "net")]
mod network {
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use cfost::net::{Multiaddr, NodeEvent};
    use tempfile::TempDir;

    use super::{Todo, median, open, todo};
    use cfost_tests::fleet;

    /// Tells this program that it is the peer, and where its database is.
    pub(super) const PEER: &str = "CFOST_BENCH_PEER";

    const OPS: usize = 10_000;
    const OPS_PER_TRANSACTION: usize = 100;
    const ROUNDS: usize = 9;
    const PATIENCE: Duration = Duration::from_secs(30);

    /// From dialling until 10k ops of another process are on the disk here, in milliseconds.
    pub(super) fn sync_10k() {
        let figures = (0..ROUNDS).map(|_| round()).collect();
        println!("bench\tsync-10k-ms\t{:.1}\t-", median(figures));
    }

    fn round() -> f64 {
        let dirs = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let db = open(dirs.1.path());
        {
            let author = open(dirs.0.path());
            for first in (0..OPS).step_by(OPS_PER_TRANSACTION) {
                author.insert_all((first..first + OPS_PER_TRANSACTION).map(todo)).unwrap();
            }
            fleet::pair(&author, &db, &cfost::host::Host::system()).unwrap();
        }
        let (peer, address) = Peer::start(dirs.0.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
        let took = runtime.block_on(async {
            let start = Instant::now();
            let node = db.sync().loopback().peer(address).start().await.unwrap();
            let mut events = node.events();
            let mut ops = 0;
            let all = async {
                while ops < OPS as u64 {
                    if let NodeEvent::Applied { ops: applied, .. } = events.recv().await.unwrap() {
                        ops += applied;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, all).await.expect("the ops did not arrive in time");
            let took = start.elapsed();
            node.stop().await.unwrap();
            took
        });
        drop(peer);
        assert_eq!(db.count::<Todo>().unwrap(), OPS as u64);
        took.as_secs_f64() * 1e3
    }

    /// The other process; ended when dropped.
    struct Peer(Child);

    impl Peer {
        fn start(dir: &Path) -> (Self, Multiaddr) {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .env(PEER, dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            (Self(child), line.trim().parse().unwrap())
        }
    }

    impl Drop for Peer {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// The other process: listens until its standard input ends.
    pub(super) fn serve(dir: &Path) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let node = open(dir).sync().loopback().start().await.unwrap();
            let tcp = node.listen_addresses().into_iter().find(|address| address.to_string().contains("/tcp/"));
            println!("{}", tcp.unwrap());
            let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
            node.stop().await.unwrap();
        });
    }
}
