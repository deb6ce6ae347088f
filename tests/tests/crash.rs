//! A process that is killed at any moment loses nothing that it had acknowledged.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use cfost::host::{Entropy, Host, SeededEntropy};
use cfost::prelude::*;
use cfost::sync::pipe::{End, Pipe};
use cfost_tests::fleet;
use cfost_tests::process::{child, tell, told, work};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
}

const KILLS: u64 = 100;

/// Starts the child, kills it after a random time, and returns what it had told until then.
fn run_and_kill(name: &str, work: &str, random: &SeededEntropy, ms_max: u64) -> Vec<String> {
    let mut process = child(name, work).unwrap().stderr(Stdio::inherit()).spawn().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    let lifetime = Duration::from_micros(u64::from_le_bytes(bytes) % (ms_max * 1000));
    let reader = thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines.filter_map(|line| told(&line).map(str::to_owned)).collect::<Vec<_>>()
    });
    thread::sleep(Duration::from_millis(4) + lifetime);
    process.kill().unwrap();
    process.wait().unwrap();
    reader.join().unwrap()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

#[test]
#[ignore = "runs as a child of what_was_acknowledged_survives_a_hundred_kills"]
fn writes_until_killed() {
    let Some(path) = work() else { return };
    let db = Db::open(&path, models![Todo]).unwrap();
    let voted = db.insert(Todo { title: "voted".into(), ..Todo::default() }).unwrap();
    tell(&format!("{} 0", voted.id)).unwrap();
    let mut votes = 0;
    loop {
        let row = db
            .write(|tx| {
                tx.update(voted.id, |todo: &mut Todo| todo.votes += 1)?;
                tx.insert(Todo { title: "acknowledged".repeat(40), ..Todo::default() })
            })
            .unwrap();
        votes += 1;
        tell(&format!("{} 0", row.id)).unwrap();
        tell(&format!("{} {votes}", voted.id)).unwrap();
        if votes % 7 == 0 {
            // Passes the exposure barrier, as a send would.
            let replica = db.replica().unwrap();
            let spaces = replica.spaces(replica.device()).unwrap();
            replica.runs_after(spaces[0], &Default::default(), 1000).unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_hundred_kills() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let seed = 20_260_101;
    let random = SeededEntropy::new(seed);
    let started = Instant::now();
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let lines = run_and_kill("writes_until_killed", path.to_str().unwrap(), &random, 60);
        let db = Db::open(&path, models![Todo]).unwrap();
        acknowledged += lines.len();
        for line in &lines {
            let (id, votes) = line.split_once(' ').unwrap();
            let row = db.get::<Todo>(id.parse().unwrap()).unwrap();
            let row = row.unwrap_or_else(|| panic!("seed {seed}, kill {kill}: row {id} is lost"));
            assert!(row.votes >= votes.parse().unwrap(), "seed {seed}, kill {kill}: a vote is lost");
        }
        if kill % 10 == 9 {
            assert_sound(&db);
        }
    }
    let db = Db::open(&path, models![Todo]).unwrap();
    assert_sound(&db);
    let (logs,): (i64,) = db.sql("SELECT count(DISTINCT log) FROM cfost_oplog").first().unwrap().unwrap();
    assert_eq!(logs, 1, "a kill was taken for a restored database");
    tell(&format!("{KILLS} kills, {acknowledged} acknowledgements, {:?}", started.elapsed())).unwrap();
    assert!(acknowledged > 100, "only {acknowledged} acknowledgements: the child was killed too early");
}

/// What a child that is killed in the middle of a sync works on: the laptop's file, and the phone's, of
/// which it uses a copy in its place.
fn sync_paths(dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (dir.join("phone.db"), dir.join("laptop.db"))
}

#[test]
#[ignore = "runs as a child of a_sync_survives_a_hundred_kills"]
fn syncs_until_killed() {
    let Some(dir) = work() else { return };
    let (phone, laptop) = sync_paths(Path::new(&dir));
    let phone = Db::open(phone, models![Todo]).unwrap();
    let laptop = Db::open(laptop, models![Todo]).unwrap();
    let now_ms = Host::system().now_ms();
    for n in 0.. {
        phone.insert(Todo { title: format!("from the phone {n}").repeat(20), ..Todo::default() }).unwrap();
        laptop.insert(Todo { title: format!("from the laptop {n}"), ..Todo::default() }).unwrap();
        let mut pipe = Pipe::connect(phone.replica().unwrap(), laptop.replica().unwrap(), now_ms).unwrap();
        pipe.run();
        for end in End::BOTH {
            for event in pipe.take_events(end) {
                if let cfost::sync::Event::Acknowledged { heads, .. } = event {
                    for (_, frontier) in heads {
                        for (log, head) in frontier.iter() {
                            tell(&format!("{} {log} {}", end as u8, head.seq)).unwrap();
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_sync_survives_a_hundred_kills() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, laptop) = sync_paths(dir.path());
    {
        let open = |path: &Path| Db::options().device_name("device").open(path, models![Todo]).unwrap();
        fleet::pair(&open(&phone), &open(&laptop), &Host::system()).unwrap();
    }
    let seed = 20_260_102;
    let random = SeededEntropy::new(seed);
    let started = Instant::now();
    let mut acknowledged = 0;
    let held = |db: &Db| {
        let replica = db.replica().unwrap();
        let spaces = replica.spaces(replica.device()).unwrap();
        replica.frontier(spaces[0]).unwrap()
    };
    for kill in 0..KILLS {
        let lines = run_and_kill("syncs_until_killed", dir.path().to_str().unwrap(), &random, 160);
        let dbs = [&phone, &laptop].map(|path| Db::open(path, models![Todo]).unwrap());
        acknowledged += lines.len();
        for line in &lines {
            let mut parts = line.split(' ');
            // What one end was told is durable, the other end holds.
            let end: usize = parts.next().unwrap().parse().unwrap();
            let (log, seq) = (parts.next().unwrap(), parts.next().unwrap().parse::<u64>().unwrap());
            let frontier = held(&dbs[1 - end]);
            let seq_held = frontier.iter().find(|(id, _)| id.to_string() == log).map_or(0, |(_, head)| head.seq);
            assert!(
                seq_held >= seq,
                "seed {seed}, kill {kill}: change {seq} of log {log} was acknowledged and is lost"
            );
        }
        if kill % 10 == 9 {
            dbs.iter().for_each(assert_sound);
        }
    }
    let dbs = [&phone, &laptop].map(|path| Db::open(path, models![Todo]).unwrap());
    fleet::sync(&dbs[0], &dbs[1]).unwrap();
    assert_eq!(dbs[0].all::<Todo>().unwrap(), dbs[1].all::<Todo>().unwrap());
    dbs.iter().for_each(assert_sound);
    tell(&format!("{KILLS} kills, {acknowledged} acknowledgements, {:?}", started.elapsed())).unwrap();
    assert!(acknowledged > 50, "only {acknowledged} acknowledgements: the child was killed too early");
}
