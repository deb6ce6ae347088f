//! Two changes signed with one number: both ways of the log are kept and shown, everywhere the same.

use std::collections::BTreeSet;

use cfost::oplog::Run;
use cfost::sync::{Refusal, Seqs, Served};

use super::*;

/// A phone whose machine was cloned with all its files, and each of the two has told another device what it wrote.
struct Cloned {
    folder: Folder,
    laptop: Db,
    tablet: Db,
    voted: Uuid,
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-marker");
    name.into()
}

pub(super) fn files(path: &Path) -> [Vec<u8>; 2] {
    [std::fs::read(path).unwrap(), std::fs::read(marker(path)).unwrap()]
}

/// Puts files back where they were: the inode stays, as on a machine that is cloned.
pub(super) fn put(path: &Path, files: &[Vec<u8>; 2]) {
    std::fs::write(path, &files[0]).unwrap();
    std::fs::write(marker(path), &files[1]).unwrap();
}

fn vote(db: &Db, voted: Uuid, title: &str) {
    db.write(|tx| {
        tx.update(voted, |todo: &mut Todo| todo.votes += 1)?;
        tx.insert(todo(title))
    })
    .unwrap();
}

impl Cloned {
    fn new() -> Self {
        let mut folder = Folder::new();
        let [phone, laptop, tablet] = folder.devices(["phone", "laptop", "tablet"]);
        let voted = phone.insert(todo("voted")).unwrap().id;
        for peer in [&laptop, &tablet] {
            meet(&phone, peer);
        }
        vote(&phone, voted, "in both, and not told yet");
        drop(phone);
        let path = folder.path("phone");
        let saved = files(&path);
        let phone = folder.open("phone");
        vote(&phone, voted, "told to the laptop");
        vote(&phone, voted, "told to the laptop too");
        meet(&phone, &laptop);
        drop(phone);
        put(&path, &saved);
        let clone = folder.open("phone");
        vote(&clone, voted, "told to the tablet");
        meet(&clone, &tablet);
        drop(clone);
        Self { folder, laptop, tablet, voted }
    }

    fn assert_whole(&self, dbs: &[&Db], expected: &[&str]) {
        for db in dbs {
            assert_eq!(titles(db), expected);
            assert_eq!(db.get::<Todo>(self.voted).unwrap().unwrap().votes, expected.len() as i64 - 1);
            assert_sound(db);
            let entries = db.oplog().unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.row_id == self.voted);
            assert_eq!(db.history::<Todo>(self.voted).unwrap(), entries.collect::<Vec<_>>());
            assert_eq!(ids(db), ids(dbs[0]));
            assert_eq!(db.forks().unwrap(), dbs[0].forks().unwrap());
        }
    }
}

pub(super) fn ids(db: &Db) -> BTreeSet<String> {
    db.oplog().unwrap().map(|entry| entry.unwrap().id.to_string()).collect()
}

pub(super) fn runs(db: &Db, bytes_max: usize) -> Vec<Run> {
    let replica = db.replica().unwrap();
    let space = replica.spaces(replica.device()).unwrap()[0];
    let served = replica.runs_after(space, &Seqs::new(), bytes_max).unwrap();
    served.into_iter().map(|Served { run, .. }| run).collect()
}

const ALL: [&str; 5] =
    ["in both, and not told yet", "told to the laptop", "told to the laptop too", "told to the tablet", "voted"];

#[test]
fn two_signed_ways_of_a_log_are_both_kept_shown_and_carried_on() {
    let mut story = Cloned::new();
    assert_eq!(story.laptop.forks().unwrap(), []);
    meet(&story.laptop, &story.tablet);
    story.assert_whole(&[&story.laptop, &story.tablet], &ALL);
    let forks = story.laptop.forks().unwrap();
    let [fork] = &forks[..] else { panic!("{forks:?}") };
    assert_eq!(fork.branches.len(), 2);
    assert!(fork.branches.iter().all(|branch| branch.head.seq >= fork.seq));

    // Level now: the next session finds no difference.
    let session = fleet::sync(&story.laptop, &story.tablet).unwrap();
    assert_eq!(session.changes, 0);
    // A device that hears of it later, and the clone itself, end up with the same.
    let clone = story.folder.open("phone");
    let watch = story.folder.open("watch");
    let host = story.folder.host();
    fleet::pair(&story.laptop, &watch, &host).unwrap();
    meet(&story.laptop, &story.tablet);
    meet(&watch, &story.tablet);
    meet(&watch, &clone);
    story.assert_whole(&[&story.laptop, &clone, &watch], &ALL);
    // And it goes on.
    vote(&clone, story.voted, "zero trouble after");
    meet(&clone, &story.laptop);
    meet(&story.tablet, &story.laptop);
    meet(&watch, &story.tablet);
    let more = [&ALL[..], &["zero trouble after"]].concat();
    story.assert_whole(&[&story.laptop, &story.tablet, &clone, &watch], &more);
    drop(watch);
    let watch = story.folder.open("watch");
    story.assert_whole(&[&story.laptop, &watch], &more);
}

#[test]
fn in_whatever_order_and_pieces_the_branches_come_the_rows_are_the_same() {
    let mut story = Cloned::new();
    let (mut laptops, tablets) = (runs(&story.laptop, 1 << 20), runs(&story.tablet, 1 << 20));
    meet(&story.laptop, &story.tablet);
    let both = runs(&story.laptop, 1 << 20);
    laptops.extend(tablets);
    let all: Vec<Run> = laptops.into_iter().chain(both).collect();
    for seed in 0..24_u64 {
        let mut rest: Vec<Run> = all.iter().flat_map(|run| [run.clone(), run.clone()]).collect();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let late = story.folder.open(&format!("late {seed}"));
        let host = story.folder.host();
        fleet::pair(&story.laptop, &late, &host).unwrap();
        let replica = late.replica().unwrap();
        let mut missed = Vec::new();
        while !rest.is_empty() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let run = rest.swap_remove(state as usize % rest.len());
            for refused in replica.apply(vec![run.clone()]).unwrap().refused {
                assert!(matches!(refused.why, Refusal::Gap | Refusal::Forked), "seed {seed}: {refused:?}");
                missed.push(run.clone());
            }
        }
        // What came too early comes again.
        for _ in 0..missed.len() {
            replica.apply(missed.clone()).unwrap();
        }
        story.assert_whole(&[&story.laptop, &late], &ALL);
    }
}

/// Every way that a phone took which went back to former states again and again, as runs.
struct Liar {
    folder: Folder,
    laptop: Db,
    voted: Uuid,
    expected: Vec<String>,
    ways: Vec<Vec<Run>>,
}

impl Liar {
    fn new(seed: u64, steps: usize) -> Self {
        let mut folder = Folder::new();
        let [phone, laptop] = folder.devices(["phone", "laptop"]);
        let voted = phone.insert(todo("voted")).unwrap().id;
        meet(&phone, &laptop);
        drop(phone);
        let path = folder.path("phone");
        let (mut states, mut state) = (vec![files(&path)], seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut expected, mut ways) = (vec!["voted".to_owned()], Vec::new());
        for step in 0..steps {
            put(&path, &states[next(&mut state, states.len())]);
            let phone = folder.open("phone");
            for n in 0..=next(&mut state, 3) {
                expected.push(format!("step {step}, change {n}"));
                vote(&phone, voted, expected.last().unwrap());
            }
            ways.push(runs(&phone, 1 << 20));
            drop(phone);
            states.push(files(&path));
        }
        expected.sort_unstable();
        Self { folder, laptop, voted, expected, ways }
    }

    fn joins(&mut self, name: &str) -> Db {
        let db = self.folder.open(name);
        let host = self.folder.host();
        fleet::pair(&self.laptop, &db, &host).unwrap();
        db
    }
}

pub(super) fn next(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 33) as usize % below
}

#[test]
fn a_device_that_goes_back_again_and_again_has_all_its_ways_shown_alike_everywhere() {
    for seed in 0..12 {
        let mut story = Liar::new(seed, 6);
        let mut state = seed.wrapping_mul(0xd134_2543_de82_ef95) | 1;
        let devices: Vec<Db> = (0..3).map(|n| story.joins(&format!("device {n}"))).collect();
        devices.iter().for_each(|device| meet(&story.laptop, device));
        // Each way comes to one of them; then they tell each other, in random order.
        for way in &story.ways {
            let device = &devices[next(&mut state, devices.len())];
            let refused = device.replica().unwrap().apply(way.clone()).unwrap().refused;
            assert!(refused.is_empty(), "seed {seed}: {refused:?}");
        }
        for _ in 0..24 {
            let (a, b) = (next(&mut state, 3), next(&mut state, 3));
            if a != b {
                fleet::sync(&devices[a], &devices[b]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
        }
        for (a, b) in [(0, 1), (1, 2), (0, 2), (0, 1)] {
            meet(&devices[a], &devices[b]);
        }
        for device in &devices {
            assert_eq!(titles(device), story.expected, "seed {seed}");
            assert_eq!(device.get::<Todo>(story.voted).unwrap().unwrap().votes, story.expected.len() as i64 - 1);
            assert_sound(device);
            assert_eq!(device.forks().unwrap(), devices[0].forks().unwrap(), "seed {seed}");
            assert_eq!(device.all::<Todo>().unwrap(), devices[0].all::<Todo>().unwrap(), "seed {seed}");
        }
        assert_eq!(fleet::sync(&devices[0], &devices[2]).unwrap().changes, 0);
    }
}

#[test]
fn a_device_that_lies_without_end_fills_nobodys_disk_and_holds_up_nobody() {
    let mut folder = Folder::new();
    let [phone, laptop, tablet] = folder.devices(["phone", "laptop", "tablet"]);
    phone.insert(todo("first")).unwrap();
    meet(&phone, &laptop);
    meet(&laptop, &tablet);
    drop(phone);
    let path = folder.path("phone");
    let saved = files(&path);
    let mut refused = 0;
    for n in 0..40 {
        put(&path, &saved);
        let phone = folder.open("phone");
        phone.insert(todo(&format!("lie {n}"))).unwrap();
        let way = runs(&phone, 1 << 20);
        drop(phone);
        let to = if n % 2 == 0 { &laptop } else { &tablet };
        for refusal in to.replica().unwrap().apply(way).unwrap().refused {
            assert_eq!(refusal.why, Refusal::Bounded);
            refused += 1;
        }
    }
    assert_eq!(refused, 0, "each of the two has room for its own half");
    laptop.insert(todo("from the laptop")).unwrap();
    meet(&laptop, &tablet);
    // Together the ways are too many. What fits is kept, and everything else goes on.
    tablet.insert(todo("from the tablet")).unwrap();
    meet(&laptop, &tablet);
    for db in [&laptop, &tablet] {
        let shown = titles(db);
        assert!(shown.contains(&"from the laptop".to_owned()) && shown.contains(&"from the tablet".to_owned()));
        let branches: usize = db.forks().unwrap().iter().map(|fork| fork.branches.len()).sum();
        assert!((20..=31).contains(&branches), "{branches}");
        assert_sound(db);
    }
}

#[test]
fn a_way_that_who_revoked_the_device_did_not_know_is_shown_nowhere() {
    let mut story = Cloned::new();
    let phone = story.laptop.devices().unwrap().into_iter().find(|device| device.name == "phone").unwrap();
    story.laptop.revoke_device(phone.id).unwrap();
    let counted = ["in both, and not told yet", "told to the laptop", "told to the laptop too", "voted"];
    assert_eq!(titles(&story.laptop), counted);
    meet(&story.laptop, &story.tablet);
    let watch = story.folder.open("watch");
    let host = story.folder.host();
    fleet::pair(&story.laptop, &watch, &host).unwrap();
    meet(&story.laptop, &story.tablet);
    meet(&watch, &story.tablet);
    for db in [&story.laptop, &story.tablet, &watch] {
        assert_eq!(titles(db), counted);
        assert_sound(db);
        assert_eq!(ids(db), ids(&story.laptop), "it is kept and relayed all the same");
        assert_eq!(db.forks().unwrap().len(), 1);
    }
}

#[test]
fn only_what_follows_the_fork_is_sent() {
    let mut folder = Folder::new();
    let [phone, laptop, tablet] = folder.devices(["phone", "laptop", "tablet"]);
    for n in 0..300 {
        phone.insert(todo(&format!("number {n}, {}", "with some words more ".repeat(20)))).unwrap();
    }
    meet(&phone, &laptop);
    meet(&phone, &tablet);
    drop(phone);
    let path = folder.path("phone");
    let saved = files(&path);
    let phone = folder.open("phone");
    phone.insert(todo("to the laptop")).unwrap();
    meet(&phone, &laptop);
    drop(phone);
    put(&path, &saved);
    let clone = folder.open("phone");
    clone.insert(todo("to the tablet")).unwrap();
    meet(&clone, &tablet);
    let session = fleet::sync(&laptop, &tablet).unwrap();
    assert!(session.bytes < 20_000, "{} bytes for two small changes", session.bytes);
    meet(&laptop, &tablet);
    assert_eq!(laptop.all::<Todo>().unwrap(), tablet.all::<Todo>().unwrap());
    assert_eq!(laptop.count::<Todo>().unwrap(), 302);
}
