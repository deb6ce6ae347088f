//! Several processes work on one file, and none of them disturbs another.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use cfost::prelude::*;
use cfost_tests::process::{child, tell, told, work};
use tokio::time::timeout;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
}

fn open(path: &str) -> Db {
    Db::options().busy_timeout(Duration::from_secs(60)).open(path, models![Todo]).unwrap()
}

fn start(name: &str, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut process = child(name, path.to_str().unwrap()).unwrap().spawn().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    (process, output)
}

fn wait_for(output: &mut BufReader<ChildStdout>, line: &str) {
    let mut read = String::new();
    while output.read_line(&mut read).unwrap() > 0 {
        if told(read.trim_end()) == Some(line) {
            return;
        }
        read.clear();
    }
    panic!("the child ended before it told '{line}'");
}

const WRITES: i64 = 200;

#[test]
#[ignore = "runs as a child of several_processes_write_and_nothing_is_lost"]
fn writes_and_votes() {
    let Some(path) = work() else { return };
    let db = open(&path);
    tell("ready").unwrap();
    let first = db.all::<Todo>().unwrap()[0].id;
    for n in 0..WRITES {
        db.write(|tx| {
            tx.insert(Todo { title: format!("{} {n}", std::process::id()), ..Todo::default() })?;
            tx.update(first, |todo: &mut Todo| todo.votes += 1)
        })
        .unwrap();
    }
}

#[test]
fn several_processes_write_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = open(path.to_str().unwrap());
    let first = db.insert(Todo::default()).unwrap();
    let children: Vec<_> = (0..3).map(|_| start("writes_and_votes", &path)).collect();
    for _ in 0..WRITES {
        db.update(first.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    }
    for (mut process, _) in children {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(db.count::<Todo>().unwrap(), 1 + 3 * WRITES as u64);
    assert_eq!(db.get::<Todo>(first.id).unwrap().unwrap().votes, 4 * WRITES);
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
    assert_eq!(verification.changes, 1 + 4 * WRITES as u64);
    let logs: Vec<(i64,)> = db.sql("SELECT count(DISTINCT log) FROM cfost_oplog").rows().unwrap();
    assert_eq!(logs, [(1,)]);
}

#[test]
#[ignore = "runs as a child of many_processes_create_the_same_file_at_once"]
fn creates() {
    let Some(path) = work() else { return };
    let mut go = String::new();
    tell("ready").unwrap();
    std::io::stdin().read_line(&mut go).unwrap();
    let db = open(&path);
    db.insert(Todo::default()).unwrap();
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn many_processes_create_the_same_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..8 {
        let path = dir.path().join(format!("{round}.db"));
        let mut children: Vec<_> = (0..4).map(|_| start("creates", &path)).collect();
        for (_, output) in &mut children {
            wait_for(output, "ready");
        }
        for (process, _) in &mut children {
            process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        }
        for (process, _) in children {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let db = open(path.to_str().unwrap());
        assert_eq!(db.count::<Todo>().unwrap(), 4);
        assert_eq!(db.devices().unwrap().len(), 1);
        assert!(db.verify().unwrap().is_sound());
    }
}

#[test]
#[ignore = "runs as a child of a_commit_of_another_process_is_noticed_within_100_ms"]
fn writes_when_told() {
    let Some(path) = work() else { return };
    let db = open(&path);
    tell("ready").unwrap();
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).unwrap() > 0 {
        db.insert(Todo { title: line.trim_end().into(), ..Todo::default() }).unwrap();
        tell(line.trim_end()).unwrap();
        line.clear();
    }
}

#[tokio::test]
async fn a_commit_of_another_process_is_noticed_within_100_ms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = open(path.to_str().unwrap());
    let (mut process, mut output) = start("writes_when_told", &path);
    wait_for(&mut output, "ready");
    let mut stdin = process.stdin.take().unwrap();
    let mut commits = db.commits().unwrap();
    let mut waits = Vec::new();
    for n in 1..=10 {
        // What the last round left to be noticed.
        tokio::time::sleep(Duration::from_millis(120)).await;
        commits.has_changed();
        writeln!(stdin, "round {n}").unwrap();
        wait_for(&mut output, &format!("round {n}"));
        let committed = Instant::now();
        timeout(Duration::from_secs(10), async {
            while db.count::<Todo>().unwrap() < n {
                commits.next().await;
            }
            if !commits.has_changed() {
                // Noticed before it was asked for, or about to be.
                let _ = timeout(Duration::from_millis(100), commits.next()).await;
            }
        })
        .await
        .expect("the commit was never noticed");
        waits.push(committed.elapsed());
    }
    drop(stdin);
    process.wait().unwrap();
    waits.sort();
    // The median, since a machine that is busy with other tests may stall one of them.
    let median = waits[waits.len() / 2];
    tell(&format!("noticed after {waits:?}")).unwrap();
    assert!(median <= Duration::from_millis(100), "noticed after {waits:?}");
}
