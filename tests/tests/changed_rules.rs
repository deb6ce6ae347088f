//! A value becomes a counter, or a text that merges, in a later version of an app, while older ones go on writing it.
#![cfg(feature = "text")]

use std::path::PathBuf;

use cfost::host::{Host, ManualClock};
use cfost::oplog::OpKind;
use cfost::prelude::*;
use cfost::schema::{Model, Value};
use cfost::store::{OpData, OplogEntry};
use cfost_tests::fleet::{self, Device};
use proptest::prelude::*;

mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "notes", version = 1)]
    pub(super) struct Note {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        pub votes: i64,
        pub body: String,
    }
}

mod v2 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "notes", version = 2)]
    pub(super) struct Note {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter, changed_from(lww, in = 2))]
        pub votes: i64,
        #[crdt(text, changed_from(lww, in = 2))]
        pub body: Text,
    }
}

mod v3 {
    use super::*;

    /// The fields have other names, and older versions see what is typed.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "papers", version = 3)]
    pub(super) struct Paper {
        #[synced(id)]
        pub id: Uuid,
        #[synced(renamed_from("votes", in = 2))]
        #[crdt(counter, changed_from(lww, in = 3))]
        pub likes: i64,
        #[synced(renamed_from("body", in = 2))]
        #[crdt(text, changed_from(lww, in = 3, back))]
        pub words: Text,
    }

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "papers", version = 1)]
    pub(super) struct Old {
        #[synced(id)]
        pub id: Uuid,
        pub votes: i64,
        pub body: String,
    }
}

/// A device on some version of the app.
struct Peer {
    path: PathBuf,
    version: u32,
    clock: ManualClock,
    host: Host,
    db: Option<Db>,
}

fn models(version: u32) -> [Model; 1] {
    if version == 1 { models![v1::Note] } else { models![v2::Note] }
}

impl Peer {
    fn new(path: PathBuf, version: u32, seed: u64) -> Self {
        let Device { db, clock, host } = Device::in_file(&path, models(version), seed).unwrap();
        Self { path, version, clock, host, db: Some(db) }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn upgrade(&mut self) {
        if self.version == 1 {
            (self.version, self.db) = (2, None);
            self.db = Some(Db::options().host(self.host.clone()).open(&self.path, models(2)).unwrap());
        }
    }

    fn insert(&self, id: Uuid, votes: i64, body: &str) {
        match self.version {
            1 => drop(self.db().insert(v1::Note { id, votes, body: body.into(), ..v1::Note::default() }).unwrap()),
            _ => drop(self.db().insert(v2::Note { id, votes, body: body.into(), ..v2::Note::default() }).unwrap()),
        }
    }

    /// What the device shows of a note.
    fn shown(&self, id: Uuid) -> Option<(i64, String)> {
        match self.version {
            1 => self.db().get::<v1::Note>(id).unwrap().map(|note| (note.votes, note.body)),
            _ => self.db().get::<v2::Note>(id).unwrap().map(|note| (note.votes, note.body.to_string())),
        }
    }

    fn vote(&self, id: Uuid, votes: i64) {
        match self.version {
            1 => drop(self.db().update(id, |note: &mut v1::Note| note.votes += votes).unwrap()),
            _ => drop(self.db().update(id, |note: &mut v2::Note| note.votes += votes).unwrap()),
        }
    }

    /// Types a text in somewhere.
    fn put(&self, id: Uuid, at: usize, text: &str) {
        let place = |body: &str| at % (body.len() + 1);
        if self.version == 1 {
            self.db().update(id, |note: &mut v1::Note| note.body.insert_str(place(&note.body), text)).unwrap();
        } else {
            self.db().update(id, |note: &mut v2::Note| note.body.insert(place(&note.body), text)).unwrap();
        }
    }
}

fn peers(dir: &tempfile::TempDir, versions: &[u32], seed: u64) -> Vec<Peer> {
    let peer = |(n, version): (usize, &u32)| {
        Peer::new(dir.path().join(format!("{n}.db")), *version, seed.wrapping_mul(100) + n as u64)
    };
    let peers: Vec<Peer> = versions.iter().enumerate().map(peer).collect();
    for other in &peers[1..] {
        fleet::pair(peers[0].db(), other.db(), &other.host).unwrap();
    }
    for other in &peers[1..] {
        sync(&peers[0], other);
    }
    peers
}

fn sync(one: &Peer, other: &Peer) {
    fleet::sync(one.db(), other.db()).unwrap();
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

#[test]
fn a_counter_shows_what_older_apps_wrote_and_all_that_was_added() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = peers(&dir, &[1, 1, 2], 1);
    let id = Uuid::from_u128(1);
    peers[0].insert(id, 5, "");
    for at in [1, 2] {
        sync(&peers[0], &peers[at]);
    }
    peers[1].upgrade();
    assert_eq!(peers[1].shown(id).unwrap().0, 5, "what was there is what the counter begins with");
    for peer in &peers {
        peer.clock.advance(1000);
    }
    peers[1].vote(id, 2);
    peers[2].vote(id, 3);
    peers[0].clock.advance(1000);
    peers[0].vote(id, 1);
    for (one, other) in [(0, 1), (0, 2), (0, 1)] {
        sync(&peers[one], &peers[other]);
    }
    let shown: Vec<i64> = peers.iter().map(|peer| peer.shown(id).unwrap().0).collect();
    assert_eq!(shown, [6, 11, 11], "the older app shows its own, the newer ones everything");
    let explanation = peers[2].db().explain::<v2::Note>(id).unwrap();
    let added: i64 = explanation.column("votes").unwrap().added.iter().map(|added| added.sum).sum();
    assert_eq!(added, 11);
    peers[2].db().undo().unwrap();
    assert_eq!(peers[2].shown(id).unwrap().0, 8);
    peers.iter_mut().for_each(Peer::upgrade);
    sync(&peers[2], &peers[1]);
    sync(&peers[2], &peers[0]);
    for peer in &peers {
        assert_eq!(peer.shown(id).unwrap().0, 8);
        assert_sound(peer.db());
    }
}

#[test]
fn what_a_newer_app_inserts_is_what_an_older_one_sees_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let peers = peers(&dir, &[1, 2], 2);
    let id = Uuid::from_u128(1);
    peers[1].insert(id, 5, "one");
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[0].shown(id), Some((5, "one".into())));
    peers[0].clock.advance(1000);
    peers[0].vote(id, 1);
    peers[0].put(id, 3, " two");
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[1].shown(id), Some((6, "one two".into())), "five and one more are six");
    peers[1].clock.advance(2000);
    peers[1].db().delete::<v2::Note>(id).unwrap();
    peers[1].insert(id, 40, "again");
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[0].shown(id).unwrap().0, 40);
    assert_eq!(peers[1].shown(id), Some((40, "again".into())));
    peers[1].vote(id, 2);
    assert_eq!(peers[1].shown(id).unwrap().0, 42);
    peers[1].db().undo().unwrap();
    assert_eq!(peers[1].shown(id).unwrap().0, 40);
    peers.iter().for_each(|peer| assert_sound(peer.db()));
}

#[test]
fn the_text_that_was_written_last_is_shown_and_the_other_one_comes_back_with_an_edit() {
    let dir = tempfile::tempdir().unwrap();
    let peers = peers(&dir, &[1, 2, 2], 3);
    let id = Uuid::from_u128(1);
    peers[0].insert(id, 0, "one two");
    for at in [1, 2] {
        sync(&peers[0], &peers[at]);
    }
    // Two type into the value, which is the same characters to both.
    peers[1].put(id, 3, ",");
    peers[2].put(id, 7, " three");
    sync(&peers[1], &peers[2]);
    assert_eq!(peers[1].shown(id).unwrap().1, "one, two three");
    peers[0].clock.advance(1000);
    peers[0].put(id, 0, "zero ");
    for (one, other) in [(0, 1), (0, 2)] {
        sync(&peers[one], &peers[other]);
        assert_eq!(peers[other].shown(id).unwrap().1, "zero one two", "the last write counts");
    }
    // A device that didn't know it has typed later into what is no longer shown.
    peers[2].clock.advance(5000);
    peers[2].put(id, 0, "> ");
    peers[1].clock.advance(9000);
    sync(&peers[1], &peers[2]);
    assert_eq!(peers[1].shown(id).unwrap().1, "> zero one two");
    peers.iter().for_each(|peer| assert_sound(peer.db()));
}

#[test]
fn an_edit_of_a_text_that_was_replaced_meanwhile_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = peers(&dir, &[1, 2, 1], 4);
    let id = Uuid::from_u128(1);
    peers[0].insert(id, 0, "draft");
    for at in [1, 2] {
        sync(&peers[0], &peers[at]);
    }
    peers[0].clock.advance(1000);
    peers[0].put(id, 0, "my ");
    peers[2].clock.advance(500);
    peers[2].put(id, 5, "s");
    sync(&peers[0], &peers[2]);
    // This one has kept only what is shown: what an edit names that comes later is in its oplog.
    peers[2].upgrade();
    assert_eq!(peers[2].shown(id).unwrap().1, "my draft");
    peers[1].clock.advance(2000);
    peers[1].put(id, 5, " of mine");
    sync(&peers[1], &peers[2]);
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[2].shown(id).unwrap().1, "draft of mine");
    assert_eq!(peers[1].shown(id), peers[2].shown(id));
    assert_eq!(peers[0].shown(id).unwrap().1, "my draft", "without `back` an older app sees no edits");
    peers.iter().for_each(|peer| assert_sound(peer.db()));
}

#[test]
fn with_back_an_older_app_reads_along_by_the_names_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("papers.db");
    let old = Device::in_memory("old", models![v3::Old], 1).unwrap();
    let new = Device::in_file(&path, models![v3::Old], 2).unwrap();
    fleet::pair(&old.db, &new.db, &new.host).unwrap();
    let id = old.db.insert(v3::Old { votes: 1, body: "one".into(), ..v3::Old::default() }).unwrap().id;
    fleet::sync(&old.db, &new.db).unwrap();
    let host = new.host.clone();
    drop(new.db);
    let new = Db::options().host(host).open(&path, models![v3::Paper]).unwrap();
    let update = |work: fn(&mut v3::Paper)| drop(new.update(id, work).unwrap());
    update(|paper| paper.words.push_str(" two"));
    update(|paper| paper.likes += 1);
    fleet::sync(&old.db, &new).unwrap();
    let read = old.db.get::<v3::Old>(id).unwrap().unwrap();
    assert_eq!((read.votes, read.body.as_str()), (1, "one two"));
    old.clock.advance(1000);
    old.db.update(id, |old: &mut v3::Old| old.body.push_str(" three")).unwrap();
    fleet::sync(&old.db, &new).unwrap();
    let read = new.get::<v3::Paper>(id).unwrap().unwrap();
    assert_eq!((read.likes, read.words.as_str()), (2, "one two three"));
    assert_sound(&old.db);
    assert_sound(&new);
}

#[test]
fn an_undo_takes_back_a_whole_text_that_the_device_wrote_before_it_was_updated() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = peers(&dir, &[1, 2], 5);
    let id = Uuid::from_u128(1);
    peers[0].insert(id, 3, "one");
    peers[0].clock.advance(10);
    peers[0].put(id, 3, " two");
    peers[0].upgrade();
    peers[0].db().undo().unwrap();
    assert_eq!(peers[0].shown(id), Some((3, "one".into())));
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[1].shown(id), Some((3, "one".into())));
    peers[1].clock.advance(1000);
    peers[1].put(id, 3, "!");
    peers[1].db().undo().unwrap();
    peers[1].vote(id, 1);
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[0].shown(id), Some((4, "one".into())));
    peers.iter().for_each(|peer| assert_sound(peer.db()));
}

#[test]
fn a_text_too_long_to_be_a_value_is_still_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let peers = peers(&dir, &[1, 2, 2], 6);
    let (id, long) = (Uuid::from_u128(1), "A line of a very long text, é.\n".repeat(40_000));
    peers[1].insert(id, 1, &long);
    peers[1].put(id, 0, "!");
    sync(&peers[1], &peers[2]);
    sync(&peers[0], &peers[1]);
    assert_eq!(peers[2].shown(id), Some((1, format!("!{long}"))));
    assert_eq!(peers[0].shown(id), Some((1, String::new())));
    assert_sound(peers[2].db());
}

#[test]
fn a_fleet_of_both_versions_agrees() {
    cfost::testing::fleet(&[&models![v1::Note], &models![v2::Note]]);
}

#[test]
fn a_fleet_in_which_older_apps_read_along_agrees() {
    cfost::testing::fleet(&[&models![v3::Old], &models![v3::Paper]]);
}

/// A step of a story.
#[derive(Clone, Debug)]
enum Step {
    Insert { peer: usize, row: u128 },
    Vote { peer: usize, row: u128, votes: i64 },
    Type { peer: usize, row: u128, at: usize },
    Delete { peer: usize, row: u128 },
    Sync { one: usize, other: usize },
    Upgrade { peer: usize },
    Wait { peer: usize, ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, row) = (0..4_usize, 1..3_u128);
    prop_oneof![
        2 => (peer.clone(), row.clone()).prop_map(|(peer, row)| Step::Insert { peer, row }),
        5 => (peer.clone(), row.clone(), -3..4_i64).prop_map(|(peer, row, votes)| Step::Vote { peer, row, votes }),
        6 => (peer.clone(), row.clone(), 0..99_usize).prop_map(|(peer, row, at)| Step::Type { peer, row, at }),
        1 => (peer.clone(), row).prop_map(|(peer, row)| Step::Delete { peer, row }),
        4 => (peer.clone(), peer.clone()).prop_map(|(one, other)| Step::Sync { one, other }),
        1 => peer.clone().prop_map(|peer| Step::Upgrade { peer }),
        2 => (peer, 1..4000_u64).prop_map(|(peer, ms)| Step::Wait { peer, ms }),
    ]
}

fn play(peers: &mut [Peer], steps: &[Step]) {
    for (n, step) in steps.iter().enumerate() {
        match *step {
            Step::Insert { peer, row } => {
                let (peer, id) = (&peers[peer], Uuid::from_u128(row));
                if peer.shown(id).is_none() {
                    peer.insert(id, n as i64, &format!("[{n}]"));
                }
            }
            Step::Vote { peer, row, votes } if votes != 0 => {
                let (peer, id) = (&peers[peer], Uuid::from_u128(row));
                if peer.shown(id).is_some() {
                    peer.vote(id, votes);
                }
            }
            Step::Type { peer, row, at } => {
                let (peer, id) = (&peers[peer], Uuid::from_u128(row));
                if peer.shown(id).is_some() {
                    peer.put(id, at, &format!("<{n}>"));
                }
            }
            Step::Delete { peer, row } => {
                let (peer, id) = (&peers[peer], Uuid::from_u128(row));
                match peer.version {
                    _ if peer.shown(id).is_none() => {}
                    1 => peer.db().delete::<v1::Note>(id).unwrap(),
                    _ => peer.db().delete::<v2::Note>(id).unwrap(),
                }
            }
            Step::Sync { one, other } if one != other => sync(&peers[one], &peers[other]),
            Step::Upgrade { peer } => peers[peer].upgrade(),
            Step::Wait { peer, ms } => peers[peer].clock.advance(ms),
            Step::Vote { .. } | Step::Sync { .. } => {}
        }
    }
}

fn meet(peers: &[Peer]) {
    for _ in 0..2 {
        peers[1..].iter().for_each(|other| sync(&peers[0], other));
    }
}

/// The votes that a note should have, and what its body should be or have in it, by its entries.
fn meant(entries: &[OplogEntry], id: Uuid) -> (i64, String) {
    let (mut base, mut added, mut body) = (0, 0_i64, String::new());
    for entry in entries.iter().filter(|entry| entry.row_id == id) {
        for (name, data) in &entry.data {
            match (name.as_str(), data) {
                ("votes", OpData::Write(Value::Integer(value))) => base = *value,
                ("votes", OpData::Add(delta)) => added += delta,
                ("body", OpData::Write(Value::Text(text))) if entry.schema_version == 1 => body.clone_from(text),
                ("body", OpData::Text(edits)) if !edits.is_empty() => {
                    // An insert over a deleted note may begin with what stays of the text: no insert at all.
                    let typed = edits.iter().find_map(|edit| match edit {
                        cfost::store::TextData::Insert(_, text) if entry.op_type == OpKind::Update => {
                            Some(text.clone())
                        }
                        _ => None,
                    });
                    body = typed.unwrap_or_default();
                }
                _ => {}
            }
        }
    }
    (base + added, body)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn devices_of_two_versions_agree_whatever_the_order_and_nothing_is_thrown_away(
        seed in any::<u32>(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut peers = peers(&dir, &[1, 2, 1, 2], u64::from(seed));
        play(&mut peers, &steps);
        meet(&peers);
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        for version in [1, 2] {
            let of_version: Vec<&Peer> = peers.iter().filter(|peer| peer.version == version).collect();
            for peer in &of_version {
                assert_sound(peer.db());
                for id in ids {
                    prop_assert_eq!(peer.shown(id), of_version[0].shown(id), "version {}", version);
                }
            }
        }
        let newer = peers.iter().position(|peer| peer.version == 2).unwrap();
        let mut entries: Vec<OplogEntry> = peers[newer].db().oplog().unwrap().collect::<Result<_, _>>().unwrap();
        entries.sort_by_key(|entry| (entry.timestamp, entry.device_id, entry.log));
        let before: Vec<_> = ids.iter().map(|id| peers[newer].shown(*id)).collect();
        for (id, shown) in ids.iter().zip(&before) {
            let Some((votes, body)) = shown else { continue };
            let (meant_votes, meant_body) = meant(&entries, *id);
            prop_assert_eq!(*votes, meant_votes);
            prop_assert!(body.contains(&meant_body), "{:?} was written last, shown is {:?}", meant_body, body);
        }
        // Whenever a device is updated, it comes to the same.
        peers.iter_mut().for_each(Peer::upgrade);
        for peer in &peers {
            assert_sound(peer.db());
            for (id, before) in ids.iter().zip(&before) {
                prop_assert_eq!(&peer.shown(*id), before);
            }
        }
    }
}
