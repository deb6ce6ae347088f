//! A database that goes back in time, or is in two places at once, loses nothing and counts nothing twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cfost::host::{Host, ManualClock};
use cfost::prelude::*;
use cfost_tests::fleet::{self, START_MS};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, history)]
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

/// A phone and a laptop of one user, in files, and a row that both have.
struct Pair {
    dir: tempfile::TempDir,
    voted: Uuid,
    opened: u64,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { dir: tempfile::tempdir().unwrap(), voted: Uuid::nil(), opened: 0 };
        let (phone, laptop) = (pair.open("phone"), pair.open("laptop"));
        fleet::pair(&phone, &laptop, &Host::simulated(ManualClock::at(START_MS), 99)).unwrap();
        pair.voted = phone.insert(todo("voted")).unwrap().id;
        meet(&phone, &laptop);
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&mut self, name: &str) -> Db {
        self.opened += 1;
        // A few seconds pass from one start to the next.
        let clock = ManualClock::at(START_MS + self.opened * 3000);
        let host = Host::simulated(clock, self.opened);
        Db::options().host(host).device_name(name).open(self.path(name), models![Todo]).unwrap()
    }

    fn vote(&self, db: &Db, title: &str) {
        db.write(|tx| {
            tx.update(self.voted, |todo: &mut Todo| todo.votes += 1)?;
            tx.insert(todo(title))
        })
        .unwrap();
    }

    /// All devices hold the same, with every vote once, every title, and no damage.
    fn assert_whole(&self, dbs: &[&Db], titles: &[&str]) {
        let mut expected: Vec<&str> = titles.to_vec();
        expected.push("voted");
        expected.sort_unstable();
        for db in dbs {
            let rows = db.all::<Todo>().unwrap();
            let mut found: Vec<&str> = rows.iter().map(|todo| todo.title.as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, expected);
            assert_eq!(db.get::<Todo>(self.voted).unwrap().unwrap().votes, titles.len() as i64);
            let verification = db.verify().unwrap();
            assert!(verification.is_sound(), "{:?}", verification.differences);
            // The index of the rows' entries went the same way as the oplog.
            let entries = db.oplog().unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.row_id == self.voted);
            assert_eq!(db.history::<Todo>(self.voted).unwrap(), entries.collect::<Vec<_>>());
        }
        let first: BTreeSet<String> = oplog(dbs[0]);
        assert!(dbs.iter().all(|db| oplog(db) == first), "the oplogs differ");
    }
}

fn oplog(db: &Db) -> BTreeSet<String> {
    db.oplog().unwrap().map(|entry| entry.unwrap().id.to_string()).collect()
}

fn logs(db: &Db) -> BTreeSet<String> {
    db.oplog().unwrap().map(|entry| entry.unwrap().log.to_string()).collect()
}

/// Sessions until both are level: a log that took two ways takes one to find that out.
fn meet(a: &Db, b: &Db) {
    for _ in 0..3 {
        fleet::sync(a, b).unwrap();
    }
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-marker");
    name.into()
}

fn copy(from: &Path, to: &Path, with_marker: bool) {
    fs::copy(from, to).unwrap();
    if with_marker {
        fs::copy(marker(from), marker(to)).unwrap();
    }
}

/// The database and its marker as a machine's snapshot has them: the same files go back.
struct Snapshot {
    path: PathBuf,
    files: [Vec<u8>; 2],
}

impl Snapshot {
    fn take(path: &Path) -> Self {
        Self { path: path.to_owned(), files: [fs::read(path).unwrap(), fs::read(marker(path)).unwrap()] }
    }

    fn restore(&self) {
        for end in ["-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            let _ = fs::remove_file(name);
        }
        // Written in place: they stay the files that they were.
        fs::write(&self.path, &self.files[0]).unwrap();
        fs::write(marker(&self.path), &self.files[1]).unwrap();
    }
}

#[test]
fn a_backup_that_is_put_back_goes_on_in_a_new_log() {
    let mut pair = Pair::new();
    let (path, backup) = (pair.path("phone"), pair.path("backup"));
    {
        let phone = pair.open("phone");
        pair.vote(&phone, "before the backup");
    }
    copy(&path, &backup, false);
    let laptop = pair.open("laptop");
    {
        let phone = pair.open("phone");
        meet(&phone, &laptop);
        pair.vote(&phone, "after the backup, synced");
        meet(&phone, &laptop);
    }
    copy(&backup, &path, false);
    let phone = pair.open("phone");
    pair.vote(&phone, "after the restore");
    meet(&phone, &laptop);
    pair.vote(&laptop, "from the laptop");
    meet(&laptop, &phone);
    pair.assert_whole(
        &[&phone, &laptop],
        &["before the backup", "after the backup, synced", "after the restore", "from the laptop"],
    );
    assert_eq!(logs(&phone).len(), 3, "one log of the laptop, two of the phone");
}

#[test]
fn a_copy_and_its_original_both_go_on() {
    for with_marker in [false, true] {
        let mut pair = Pair::new();
        {
            let phone = pair.open("phone");
            pair.vote(&phone, "before the copy, never sent");
        }
        copy(&pair.path("phone"), &pair.path("copy"), with_marker);
        let (phone, laptop, twin) = (pair.open("phone"), pair.open("laptop"), pair.open("copy"));
        pair.vote(&phone, "original");
        pair.vote(&twin, "copy");
        meet(&twin, &laptop);
        meet(&phone, &laptop);
        pair.vote(&phone, "original again");
        pair.vote(&twin, "copy again");
        meet(&phone, &laptop);
        meet(&twin, &laptop);
        meet(&phone, &laptop);
        pair.assert_whole(
            &[&phone, &laptop, &twin],
            &["before the copy, never sent", "original", "copy", "original again", "copy again"],
        );
    }
}

#[test]
fn a_copy_that_is_logged_out_is_found_at_the_login() {
    let mut pair = Pair::new();
    {
        let phone = pair.open("phone");
        let cost = cfost::identity::PasswordCost::default();
        phone.register_user_with("Ada", "ada@example.org", "correct horse", cost).unwrap();
        pair.vote(&phone, "before the copy");
        phone.logout().unwrap();
    }
    copy(&pair.path("phone"), &pair.path("copy"), false);
    let (laptop, twin) = (pair.open("laptop"), pair.open("copy"));
    twin.login("ada@example.org", "correct horse").unwrap();
    pair.vote(&twin, "copy");
    meet(&twin, &laptop);
    let phone = pair.open("phone");
    phone.login("ada@example.org", "correct horse").unwrap();
    pair.vote(&phone, "original");
    meet(&phone, &laptop);
    meet(&twin, &laptop);
    pair.assert_whole(&[&phone, &laptop, &twin], &["before the copy", "copy", "original"]);
}

/// The phone goes back to a snapshot that takes the marker along, and writes before it meets anyone.
fn snapshot_story(before: &[&str], lost: &[&str], own_way: &[&str], laptop_dials: bool) {
    let mut pair = Pair::new();
    {
        let phone = pair.open("phone");
        for title in before {
            pair.vote(&phone, title);
        }
    }
    let snapshot = Snapshot::take(&pair.path("phone"));
    let laptop = pair.open("laptop");
    {
        let phone = pair.open("phone");
        for title in lost {
            pair.vote(&phone, title);
        }
        meet(&phone, &laptop);
    }
    snapshot.restore();
    let phone = pair.open("phone");
    for title in own_way {
        pair.vote(&phone, title);
    }
    // An SQL query of the oplog must not remember what moves to another log.
    let before_sync: Vec<(i64,)> = phone.sql("SELECT count(*) FROM cfost_oplog").rows().unwrap();
    assert_eq!(before_sync.len(), 1);
    if laptop_dials {
        meet(&laptop, &phone);
    } else {
        meet(&phone, &laptop);
    }
    pair.vote(&phone, "and on it goes");
    meet(&phone, &laptop);
    let titles: Vec<&str> = before.iter().chain(lost).chain(own_way).copied().chain(["and on it goes"]).collect();
    pair.assert_whole(&[&phone, &laptop], &titles);
    assert_eq!(logs(&phone).len(), if lost.is_empty() { 1 } else { 2 }, "only a log that took two ways is left");
    let (entries,): (i64,) = phone.sql("SELECT count(*) FROM cfost_oplog").first().unwrap().unwrap();
    assert_eq!(entries as usize, oplog(&phone).len());
    drop(phone);
    let phone = pair.open("phone");
    pair.vote(&phone, "after a restart");
    meet(&phone, &laptop);
    let titles: Vec<&str> = titles.into_iter().chain(["after a restart"]).collect();
    pair.assert_whole(&[&phone, &laptop], &titles);
}

#[test]
fn a_machine_that_goes_back_to_a_snapshot_loses_nothing_of_either_way() {
    for laptop_dials in [false, true] {
        // Behind its peer, level with it, ahead of it.
        snapshot_story(&[], &["a", "b", "c"], &["x"], laptop_dials);
        snapshot_story(&[], &["a", "b"], &["x", "y"], laptop_dials);
        snapshot_story(&[], &["a"], &["x", "y", "z"], laptop_dials);
    }
}

#[test]
fn what_both_ways_of_a_snapshot_have_in_common_counts_once() {
    for laptop_dials in [false, true] {
        // Written before the snapshot, sent only after it: the same changes on both ways.
        snapshot_story(&["m", "n"], &["a", "b"], &["x"], laptop_dials);
        snapshot_story(&["m", "n"], &["a"], &["x", "y", "z"], laptop_dials);
        snapshot_story(&["m", "n"], &[], &["x"], laptop_dials);
        snapshot_story(&["m", "n"], &["a"], &[], laptop_dials);
    }
}

#[test]
fn a_marker_that_is_missing_or_damaged_costs_a_new_log_and_nothing_else() {
    let mut pair = Pair::new();
    let path = marker(&pair.path("phone"));
    let whole = fs::read(&path).unwrap();
    for (n, bit) in (0..whole.len() * 8).step_by(101).enumerate() {
        let mut altered = whole.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, altered).unwrap();
        let phone = pair.open("phone");
        pair.vote(&phone, "again");
        assert_eq!(phone.get::<Todo>(pair.voted).unwrap().unwrap().votes, n as i64 + 1);
    }
    fs::remove_file(&path).unwrap();
    let (phone, laptop) = (pair.open("phone"), pair.open("laptop"));
    meet(&phone, &laptop);
    let votes = phone.get::<Todo>(pair.voted).unwrap().unwrap().votes;
    pair.assert_whole(&[&phone, &laptop], &vec!["again"; votes as usize]);
}

#[cfg(feature = "net")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_settle_a_log_that_took_two_ways_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Db::options().device_name(name).open(dir.path().join(name), models![Todo]).unwrap();
    let laptop = open("laptop");
    let snapshot = {
        let phone = open("phone");
        fleet::pair(&phone, &laptop, &Host::system()).unwrap();
        fleet::sync(&phone, &laptop).unwrap();
        drop(phone);
        let snapshot = Snapshot::take(&dir.path().join("phone"));
        let phone = open("phone");
        phone.insert(todo("one way")).unwrap();
        fleet::sync(&phone, &laptop).unwrap();
        snapshot
    };
    snapshot.restore();
    let phone = open("phone");
    phone.insert(todo("the other way")).unwrap();

    let laptop_node = laptop.sync().loopback().start().await.unwrap();
    let address = laptop_node.listen_addresses()[0].clone();
    let phone_node = phone.sync().loopback().peer(address).start().await.unwrap();
    for db in [&phone, &laptop] {
        let mut commits = db.commits().unwrap();
        let both = async {
            while db.count::<Todo>().unwrap() < 2 {
                commits.next().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), both).await.expect("the two ways never met");
    }
    phone_node.stop().await.unwrap();
    laptop_node.stop().await.unwrap();
    assert_eq!(phone.all::<Todo>().unwrap(), laptop.all::<Todo>().unwrap());
    for db in [&phone, &laptop] {
        let verification = db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
    }
}
