//! What was altered, on the disk or on the way, is told from what was written, and harms nothing.

use cfost::oplog::Run;
use cfost::prelude::*;
use cfost::store::Difference;
use cfost::sync::{Refusal, Seqs, Served};
use cfost::{Error, store::StoreError};
use cfost_tests::fleet::{self, Device};
use rusqlite::Connection;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn two_devices(seed: u64) -> (Device, Device) {
    let mut devices = fleet::devices(2, &models![Todo], seed).unwrap();
    let laptop = devices.pop().unwrap();
    (devices.pop().unwrap(), laptop)
}

/// What a device would send to one that has nothing.
fn runs(db: &Db) -> Vec<Run> {
    let replica = db.replica().unwrap();
    let spaces = replica.spaces(replica.device()).unwrap();
    let served = replica.runs_after(spaces[0], &Seqs::new(), 1 << 20).unwrap();
    served.into_iter().map(|Served { run, .. }| run).collect()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

/// Flips every bit of one stored change, one at a time, and asks `verify` each time.
fn flip_every_bit(db: &Db, raw: &Connection, position: i64, seq: u64) {
    let select = "SELECT change FROM cfost_changes WHERE position = ?1";
    let whole: Vec<u8> = raw.query_row(select, [position], |row| row.get(0)).unwrap();
    let put = |change: &[u8]| {
        raw.execute("UPDATE cfost_changes SET change = ?2 WHERE position = ?1", (position, change)).unwrap();
    };
    for bit in 0..whole.len() * 8 {
        let mut altered = whole.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        put(&altered);
        let found = db.verify().unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        let names =
            |difference: &Difference| matches!(difference, Difference::Change { seq: named, .. } if *named == seq);
        assert!(found.differences.iter().any(names), "bit {bit} of change {seq}: {:?}", found.differences);
        // Whatever else the app does meanwhile ends in an error or goes well.
        let _ = db.all::<Todo>();
        let _ = db.oplog().map(|entries| entries.count());
        if bit % 97 == 0 {
            let written = db.insert(todo("on damaged ground"));
            assert!(matches!(written, Ok(_) | Err(Error::Store(StoreError::DamagedChange { .. }))), "{written:?}");
            if let Ok(row) = written {
                raw.execute("DELETE FROM cfost_changes WHERE position > ?1", [position]).unwrap();
                raw.execute("DELETE FROM todos WHERE id = ?1", [row.id.as_bytes()]).unwrap();
            }
        }
    }
    put(&whole);
    assert_sound(db);
}

#[test]
fn every_flipped_bit_of_a_stored_change_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = Db::open(&path, models![Todo]).unwrap();
    db.insert(todo("a")).unwrap();
    let raw = Connection::open(&path).unwrap();
    let position: i64 = raw.query_row("SELECT max(position) FROM cfost_changes", [], |row| row.get(0)).unwrap();
    flip_every_bit(&db, &raw, position, 1);
    // The same for one in the middle of a log that is signed.
    db.insert(todo("b")).unwrap();
    db.insert(todo("c")).unwrap();
    runs(&db);
    let changes: i64 = raw.query_row("SELECT count(*) FROM cfost_changes", [], |row| row.get(0)).unwrap();
    assert_eq!(changes, 3);
    let select = "SELECT change FROM cfost_changes WHERE position = ?1";
    let whole: Vec<u8> = raw.query_row(select, [position + 1], |row| row.get(0)).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut altered = whole.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        raw.execute("UPDATE cfost_changes SET change = ?2 WHERE position = ?1", (position + 1, altered)).unwrap();
        let found = db.verify().unwrap().differences;
        assert!(matches!(found[..], [Difference::Change { seq: 2, .. }]), "bit {bit}: {found:?}");
    }
    raw.execute("UPDATE cfost_changes SET change = ?2 WHERE position = ?1", (position + 1, whole)).unwrap();
    assert_sound(&db);
}

#[test]
fn altered_rows_and_signatures_are_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = Db::open(&path, models![Todo]).unwrap();
    let milk = db.insert(todo("milk")).unwrap();
    let bread = db.insert(todo("bread")).unwrap();
    runs(&db);
    let raw = Connection::open(&path).unwrap();
    raw.execute("UPDATE todos SET title = 'beer' WHERE id = ?1", [milk.id.as_bytes()]).unwrap();
    raw.execute("DELETE FROM todos WHERE id = ?1", [bread.id.as_bytes()]).unwrap();
    let differences = db.verify().unwrap().differences;
    let table = || "todos".to_owned();
    assert_eq!(
        differences,
        [Difference::Row { table: table(), id: milk.id }, Difference::Missing { table: table(), id: bread.id }]
    );
    raw.execute("UPDATE cfost_signatures SET signature = zeroblob(64)", []).unwrap();
    assert!(matches!(db.verify().unwrap().differences[..], [Difference::Change { seq: 2, .. }]));
}

#[test]
fn every_flipped_bit_of_a_sent_run_is_refused_and_applies_nothing() {
    let (phone, laptop) = two_devices(11);
    phone.db.insert(Todo { votes: 1, ..todo("a") }).unwrap();
    let sent = runs(&phone.db);
    let [run] = &sent[..] else { panic!("one run") };
    let replica = laptop.db.replica().unwrap();
    let encoded = run.encode();
    for bit in 0..encoded.len() * 8 {
        let mut altered = encoded.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let Ok(run) = Run::decode(&altered) else { continue };
        let applied = replica.apply(vec![run]).unwrap();
        assert_eq!((applied.changes, applied.ops, applied.refused.len()), (0, 0, 1), "bit {bit}");
    }
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 0);
    assert_eq!(replica.apply(sent).unwrap().changes, 1);
    assert_eq!(phone.db.all::<Todo>().unwrap(), laptop.db.all::<Todo>().unwrap());
    assert_sound(&laptop.db);
}

#[test]
fn the_changes_of_a_stranger_or_of_another_space_are_refused() {
    let (phone, laptop) = two_devices(12);
    let stranger = Device::in_memory("stranger", models![Todo], 99).unwrap();
    stranger.db.insert(todo("let me in")).unwrap();
    phone.db.insert(todo("mine")).unwrap();
    let replica = laptop.db.replica().unwrap();
    let applied = replica.apply(runs(&stranger.db)).unwrap();
    assert!(matches!(applied.refused[..], [ref refused] if refused.why == Refusal::Author), "{:?}", applied.refused);
    // A known author's changes, said to be of a space that isn't the user's.
    let strange = stranger.db.replica().unwrap();
    let spaces = strange.spaces(strange.device()).unwrap();
    let elsewhere: Vec<Run> = runs(&phone.db).into_iter().map(|run| Run { space: spaces[0], ..run }).collect();
    let applied = replica.apply(elsewhere).unwrap();
    assert_eq!((applied.changes, applied.refused.len()), (0, 1));
    // A stranger's changes under a known author's name.
    let author = runs(&phone.db)[0].author;
    let forged: Vec<Run> =
        runs(&stranger.db).into_iter().map(|run| Run { author, space: runs(&phone.db)[0].space, ..run }).collect();
    let applied = replica.apply(forged).unwrap();
    assert!(matches!(applied.refused[..], [ref refused] if matches!(refused.why, Refusal::Invalid(_))));
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 0);
    assert_sound(&laptop.db);
}

#[test]
fn the_same_change_a_thousand_times_counts_once() {
    let (phone, laptop) = two_devices(13);
    let milk = phone.db.insert(Todo { votes: 5, ..todo("milk") }).unwrap();
    phone.db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    let replica = laptop.db.replica().unwrap();
    let sent = runs(&phone.db);
    for _ in 0..1000 {
        let applied = replica.apply(sent.clone()).unwrap();
        assert!(applied.refused.is_empty());
    }
    let mut many = sent.clone();
    many.extend(sent.iter().cloned().cycle().take(100));
    replica.apply(many).unwrap();
    assert_eq!(laptop.db.all::<Todo>().unwrap()[0].votes, 6);
    assert_eq!(laptop.db.verify().unwrap().changes, 2);
    assert_sound(&laptop.db);
}

#[test]
fn a_gap_is_refused_and_asked_for_again() {
    let (phone, laptop) = two_devices(14);
    phone.db.insert(todo("one")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.insert(todo("two")).unwrap();
    let _signed = runs(&phone.db);
    phone.db.insert(todo("three")).unwrap();
    let replica = laptop.db.replica().unwrap();
    let all = runs(&phone.db);
    let whole = all.last().unwrap();
    let tail = Run { first_seq: 3, changes: whole.changes[whole.changes.len() - 1..].to_vec(), ..whole.clone() };
    let tail = Run { signatures: tail.signatures.iter().filter(|(seq, _)| *seq == 3).copied().collect(), ..tail };
    let applied = replica.apply(vec![tail]).unwrap();
    assert!(matches!(applied.refused[..], [ref refused] if refused.why == Refusal::Gap), "{:?}", applied.refused);
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 1);
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 3);
    assert_sound(&laptop.db);
}
