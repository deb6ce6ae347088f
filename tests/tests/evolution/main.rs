//! Apps of different versions share their rows, and a database comes along to a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cfost::host::{Host, ManualClock, WallClock};
use cfost::prelude::*;
use cfost::schema::Model;
use cfost::store::StoreError;
use cfost::{Db, Error};
use cfost_tests::fleet::{self, Device, START_MS};
use cfost_tests::meaning;
use cfost_tests::process::{child, tell, work};
use proptest::prelude::*;

mod app;
mod changed;

mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index)]
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
    }
}

mod v2 {
    use super::*;

    /// What is new stands among what was there.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[synced(id)]
        pub id: Uuid,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
        #[synced(index)]
        pub title: String,
        #[synced(since = 2)]
        pub note: Option<String>,
        #[crdt(counter)]
        pub votes: i64,
    }
}

mod v3 {
    use super::*;

    /// The index over titles is gone, others have come.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3, index(rank, title))]
    pub(super) struct Todo {
        #[synced(since = 3, backfill = true)]
        pub open: bool,
        #[synced(since = 2, index)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[synced(id)]
        pub id: Uuid,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
        #[synced(search)]
        pub title: String,
        #[synced(since = 2)]
        pub note: Option<String>,
        #[crdt(counter)]
        pub votes: i64,
        #[synced(since = 3)]
        #[crdt(counter)]
        pub likes: i64,
        #[synced(since = 3)]
        #[crdt(map)]
        pub scores: BTreeMap<String, i64>,
        #[synced(since = 3)]
        #[crdt(list)]
        pub steps: List<u8>,
        #[synced(since = 3, references = Todo)]
        pub parent: Option<Uuid>,
    }
}

fn models(version: u32) -> [Model; 1] {
    match version {
        1 => models![v1::Todo],
        2 => models![v2::Todo],
        _ => models![v3::Todo],
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

impl Peer {
    fn new(path: PathBuf, version: u32, seed: u64) -> Self {
        let Device { db, clock, host } = Device::in_file(&path, models(version), seed).unwrap();
        Self { path, version, clock, host, db: Some(db) }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    /// Installs a version of the app.
    fn upgrade(&mut self, version: u32) {
        self.db = None;
        self.version = version;
        let options = Db::options().host(self.host.clone()).device_name("device");
        self.db = Some(options.open(&self.path, models(version)).unwrap());
    }

    fn v1(&self) -> Vec<v1::Todo> {
        self.db().all().unwrap()
    }

    fn v2(&self) -> Vec<v2::Todo> {
        self.db().all().unwrap()
    }

    fn v3(&self) -> Vec<v3::Todo> {
        self.db().all().unwrap()
    }
}

/// One device on each of these versions, all of one user.
fn ring(dir: &Path, versions: &[u32], seed: u64) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for (n, &version) in versions.iter().enumerate() {
        let peer = Peer::new(dir.join(format!("{n}.db")), version, seed.wrapping_mul(1000) + n as u64);
        if let Some(first) = peers.first() {
            fleet::pair(first.db(), peer.db(), &peer.host).unwrap();
        }
        peers.push(peer);
    }
    meet_all(&peers);
    peers
}

fn meet_all(peers: &[Peer]) {
    for _ in 0..2 {
        for peer in &peers[1..] {
            fleet::sync(peers[0].db(), peer.db()).unwrap();
        }
    }
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

/// What version 2 shows of the rows of version 3.
fn as_v2(rows: &[v3::Todo]) -> Vec<v2::Todo> {
    let row = |todo: &v3::Todo| {
        let v3::Todo { tags, id, rank, title, note, votes, .. } = todo.clone();
        v2::Todo { tags, id, rank, title, note, votes }
    };
    rows.iter().map(row).collect()
}

/// What version 1 shows of the rows of version 3.
fn as_v1(rows: &[v3::Todo]) -> Vec<v1::Todo> {
    let row = |todo: &v3::Todo| v1::Todo { id: todo.id, title: todo.title.clone(), votes: todo.votes };
    rows.iter().map(row).collect()
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Title,
    Votes,
    Rank,
    Note,
    Tag,
    Open,
    Likes,
    Score,
    Step,
}

#[derive(Clone, Debug)]
enum Step {
    Insert { device: usize },
    Edit { device: usize, row: usize, edit: Edit, to: u8 },
    Delete { device: usize, row: usize },
    Revive { device: usize, row: usize },
    Sync { from: usize, to: usize },
    Upgrade { device: usize },
    Reopen { device: usize },
    Wait { device: usize, ms: i32 },
}

fn step() -> impl Strategy<Value = Step> {
    use Edit::{Likes, Note, Open, Rank, Score, Step as Place, Tag, Title, Votes};
    let (device, row) = (0..3_usize, 0..4_usize);
    let edit = prop::sample::select(vec![Title, Votes, Rank, Note, Tag, Open, Likes, Score, Place]);
    prop_oneof![
        3 => device.clone().prop_map(|device| Step::Insert { device }),
        12 => (device.clone(), row.clone(), edit, 0..4_u8)
            .prop_map(|(device, row, edit, to)| Step::Edit { device, row, edit, to }),
        2 => (device.clone(), row.clone()).prop_map(|(device, row)| Step::Delete { device, row }),
        2 => (device.clone(), row).prop_map(|(device, row)| Step::Revive { device, row }),
        6 => (device.clone(), device.clone()).prop_map(|(from, to)| Step::Sync { from, to }),
        1 => device.clone().prop_map(|device| Step::Upgrade { device }),
        1 => device.clone().prop_map(|device| Step::Reopen { device }),
        1 => (device, -5_000..60_000_i32).prop_map(|(device, ms)| Step::Wait { device, ms }),
    ]
}

/// What may be so without being an error: the row isn't there, or is already.
fn tolerate<T>(result: Result<T, Error>) {
    match result {
        Ok(_) | Err(Error::NotFound { .. } | Error::Exists { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn toggle(tags: &mut BTreeSet<u8>, tag: u8) {
    if !tags.remove(&tag) {
        tags.insert(tag);
    }
}

fn edit(peer: &Peer, id: Uuid, edit: Edit, to: u8) {
    let (number, text) = (i64::from(to), format!("{to}"));
    match peer.version {
        1 => tolerate(peer.db().update(id, |todo: &mut v1::Todo| match edit {
            Edit::Votes => todo.votes += number,
            _ => todo.title = text,
        })),
        2 => tolerate(peer.db().update(id, |todo: &mut v2::Todo| match edit {
            Edit::Title => todo.title = text,
            Edit::Votes => todo.votes -= number,
            Edit::Note => todo.note = (to > 0).then_some(text),
            Edit::Rank => todo.rank = number,
            _ => toggle(&mut todo.tags, to),
        })),
        _ => tolerate(peer.db().update(id, |todo: &mut v3::Todo| match edit {
            Edit::Title => todo.title = text,
            Edit::Votes => todo.votes += number,
            Edit::Note => todo.note = (to > 0).then_some(text),
            Edit::Rank => todo.rank = number,
            Edit::Tag => toggle(&mut todo.tags, to),
            Edit::Open => todo.open = to.is_multiple_of(2),
            Edit::Likes => todo.likes += number,
            Edit::Score => _ = todo.scores.insert("score".into(), number),
            Edit::Step => todo.steps.push(to),
        })),
    }
}

fn insert(peer: &Peer, id: Uuid) -> Option<Uuid> {
    let title = format!("from version {}", peer.version);
    let inserted = match peer.version {
        1 => peer.db().insert(v1::Todo { id, title, votes: 1 }).map(|todo| todo.id),
        2 => {
            let tags = [1, 9].into();
            peer.db().insert(v2::Todo { id, title, rank: 2, tags, ..v2::Todo::default() }).map(|todo| todo.id)
        }
        _ => {
            let (tags, steps) = ([1, 8].into(), vec![3].into());
            let todo = v3::Todo { id, title, rank: 3, likes: 5, tags, steps, ..v3::Todo::default() };
            peer.db().insert(todo).map(|todo| todo.id)
        }
    };
    let id = inserted.as_ref().ok().copied();
    tolerate(inserted);
    id
}

fn delete(peer: &Peer, id: Uuid) {
    tolerate(match peer.version {
        1 => peer.db().delete::<v1::Todo>(id),
        2 => peer.db().delete::<v2::Todo>(id),
        _ => peer.db().delete::<v3::Todo>(id),
    });
}

fn play(peers: &mut [Peer], steps: &[Step]) {
    let mut ids: Vec<Uuid> = Vec::new();
    for step in steps {
        match *step {
            Step::Insert { device } => ids.extend(insert(&peers[device], Uuid::nil())),
            Step::Edit { device, row, edit: what, to } => {
                ids.get(row).into_iter().for_each(|&id| edit(&peers[device], id, what, to));
            }
            Step::Delete { device, row } => ids.get(row).into_iter().for_each(|&id| delete(&peers[device], id)),
            Step::Revive { device, row } => {
                ids.get(row).into_iter().for_each(|&id| _ = insert(&peers[device], id));
            }
            Step::Sync { from, to } if from != to => {
                fleet::sync(peers[from].db(), peers[to].db()).unwrap();
            }
            Step::Sync { .. } => {}
            Step::Upgrade { device } => {
                let version = peers[device].version + 1;
                peers[device].upgrade(version.min(3));
            }
            Step::Reopen { device } => {
                let version = peers[device].version;
                peers[device].upgrade(version);
            }
            Step::Wait { device, ms } => {
                let clock = &peers[device].clock;
                clock.set(clock.now_ms().saturating_add_signed(i64::from(ms)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_versions_of_an_app_show_the_same_rows_after_any_story_each_its_own_view(
        seed in any::<u32>(),
        versions in Just([1, 2, 3]).prop_shuffle(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut peers = ring(dir.path(), &versions, u64::from(seed));
        play(&mut peers, &steps);
        meet_all(&peers);
        let newest = peers.iter().find(|peer| peer.version == 3).unwrap().v3();
        for peer in &peers {
            assert_sound(peer.db());
            match peer.version {
                1 => prop_assert_eq!(peer.v1(), as_v1(&newest)),
                2 => prop_assert_eq!(peer.v2(), as_v2(&newest)),
                _ => prop_assert_eq!(peer.v3(), newest.clone()),
            }
        }
        for peer in &mut peers {
            peer.upgrade(3);
            prop_assert_eq!(peer.v3(), newest.clone());
            assert_sound(peer.db());
            let meant = meaning::meant(peer.db(), &models(3)).unwrap();
            prop_assert_eq!(&meaning::shown::<v3::Todo>(peer.db()).unwrap(), &meant["todos"]);
        }
    }
}

#[test]
fn an_older_app_keeps_and_relays_what_it_does_not_know_and_shows_it_after_its_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = ring(dir.path(), &[1, 3, 3], 5);
    let [old, phone, laptop] = &mut peers[..] else { panic!("three devices") };
    let list = old.db().insert(v1::Todo { title: "list".into(), ..v1::Todo::default() }).unwrap().id;
    fleet::sync(old.db(), phone.db()).unwrap();
    let backfilled = v3::Todo { id: list, title: "list".into(), rank: 7, open: true, ..v3::Todo::default() };
    assert_eq!(phone.v3(), [backfilled]);
    let shown = phone
        .db()
        .update(list, |todo: &mut v3::Todo| {
            todo.rank = 1;
            todo.tags.insert(4);
            todo.steps.push(5);
            todo.likes += 2;
            todo.scores.insert("anna".into(), 3);
        })
        .unwrap();

    // The phone and the laptop meet only the old app.
    fleet::sync(phone.db(), old.db()).unwrap();
    fleet::sync(old.db(), laptop.db()).unwrap();
    assert_eq!(laptop.v3(), std::slice::from_ref(&shown));
    assert_eq!(old.v1(), as_v1(std::slice::from_ref(&shown)));
    assert_sound(old.db());

    // Opening it with the same version changes nothing, and loses no note of what was passed over.
    old.upgrade(1);
    old.upgrade(1);
    assert_eq!(old.v1(), as_v1(std::slice::from_ref(&shown)));
    // A version between shows what it knows, and the newest the rest.
    old.upgrade(2);
    assert_eq!(old.v2(), as_v2(std::slice::from_ref(&shown)));
    assert_sound(old.db());
    old.upgrade(3);
    assert_eq!(old.v3(), std::slice::from_ref(&shown));
    assert_sound(old.db());
}

#[cfg(feature = "text")]
#[test]
fn a_text_that_came_later_begins_empty_and_is_passed_on_by_those_who_lack_it() {
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    struct Noted {
        #[synced(since = 2, search)]
        #[crdt(text)]
        body: Text,
        #[synced(id)]
        id: Uuid,
        #[synced(index)]
        title: String,
        #[crdt(counter)]
        votes: i64,
    }
    let dir = tempfile::tempdir().unwrap();
    let mut peers = ring(dir.path(), &[1, 1, 1], 6);
    let rows: Vec<Uuid> = (0..2).filter_map(|_| insert(&peers[0], Uuid::nil())).collect();
    delete(&peers[0], rows[1]);
    meet_all(&peers);
    let open = |peer: &mut Peer| {
        peer.db = None;
        peer.db = Some(Db::options().host(peer.host.clone()).open(&peer.path, models![Noted]).unwrap());
    };
    let write = |peer: &Peer, text: &str| {
        let at = |noted: &mut Noted| noted.body.push_str(text);
        peer.db().update(rows[0], at).unwrap();
    };
    open(&mut peers[1]);
    assert_sound(peers[1].db());
    write(&peers[1], "eggs ");
    fleet::sync(peers[1].db(), peers[0].db()).unwrap();
    fleet::sync(peers[0].db(), peers[2].db()).unwrap();
    edit(&peers[0], rows[0], Edit::Votes, 2);
    // The third upgrades with what it was passed on, and writes on.
    open(&mut peers[2]);
    write(&peers[2], "flour");
    write(&peers[1], "milk ");
    meet_all(&peers);
    open(&mut peers[0]);
    let shown: Vec<Vec<Noted>> = peers.iter().map(|peer| peer.db().all().unwrap()).collect();
    assert_eq!((shown[0].len(), shown[0][0].votes), (1, 3));
    assert!(shown[0][0].body.contains("eggs") && shown[0][0].body.contains("flour"), "{:?}", shown[0]);
    assert_eq!((&shown[0], &shown[0]), (&shown[1], &shown[2]));
    for peer in &peers {
        assert_sound(peer.db());
        assert_eq!(Noted::query().filter(|noted| noted.body.matches("milk")).count(peer.db()).unwrap(), 1);
    }
}

#[test]
fn rows_that_are_hidden_when_their_table_gains_columns_come_back_with_what_they_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut peer = Peer::new(dir.path().join("todo.db"), 1, 9);
    let kept = peer.db().insert(v1::Todo { title: "kept".into(), votes: 3, ..v1::Todo::default() }).unwrap();
    let gone = peer.db().insert(v1::Todo { title: "gone".into(), votes: 4, ..v1::Todo::default() }).unwrap();
    peer.db().delete::<v1::Todo>(gone.id).unwrap();
    peer.upgrade(3);
    assert_sound(peer.db());
    let back = peer.db().insert(v3::Todo { id: gone.id, title: "back".into(), ..v3::Todo::default() }).unwrap();
    assert_eq!((peer.v3().len(), back.rank, back.open), (2, 0, false));
    assert_eq!(peer.db().explain::<v3::Todo>(kept.id).unwrap().columns.len(), 7);
    // What the new version brings is there: words, and the children of a row.
    let found = v3::Todo::query().filter(|todo| todo.title.matches("kept")).all(peer.db()).unwrap();
    assert_eq!(found.len(), 1);
    peer.db().update(kept.id, |todo: &mut v3::Todo| todo.parent = Some(back.id)).unwrap();
    peer.db().delete::<v3::Todo>(back.id).unwrap();
    assert_eq!(peer.v3(), []);
    assert_sound(peer.db());
}

#[test]
fn a_migrated_table_has_the_indexes_of_its_model_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut migrated = Peer::new(dir.path().join("migrated.db"), 1, 1);
    migrated.upgrade(2);
    migrated.upgrade(3);
    let fresh = Peer::new(dir.path().join("fresh.db"), 3, 2);
    let indexes = |peer: &Peer| -> Vec<(String, String)> {
        let conn = rusqlite::Connection::open(&peer.path).unwrap();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
        let mut select = conn.prepare(sql).unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(indexes(&migrated), indexes(&fresh));
    assert!(indexes(&fresh).iter().any(|(name, _)| name == "todos_by_rank_title"));
}

fn refused(path: &Path, models: impl AsRef<[Model]>) -> StoreError {
    match Db::open(path, models) {
        Err(Error::Store(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the database was opened"),
    }
}

#[test]
fn a_shape_that_changed_without_since_or_a_newer_table_is_refused_and_the_file_unchanged() {
    mod unmarked {
        use super::*;

        #[derive(Synced)]
        #[synced(table = "todos", version = 2)]
        pub(super) struct Todo {
            #[synced(id)]
            pub id: Uuid,
            pub title: String,
            #[crdt(counter)]
            pub votes: i64,
            pub rank: Option<i64>,
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    drop(Peer::new(path.clone(), 1, 3));
    let file = std::fs::read(&path).unwrap();
    let error = refused(&path, models![unmarked::Todo]);
    let StoreError::SchemaChanged { table: "todos", what, .. } = &error else { panic!("{error:?}") };
    assert!(what.contains("rank") && error.to_string().contains("since"), "{error}");
    assert!(std::fs::read(&path).unwrap() == file, "the refused app has changed the file");

    drop(Db::open(&path, models(3)).unwrap());
    let file = std::fs::read(&path).unwrap();
    for version in [1, 2] {
        let error = refused(&path, models(version));
        assert!(matches!(error, StoreError::NewerModel { found: 3, known, .. } if known == version), "{error:?}");
    }
    assert!(std::fs::read(&path).unwrap() == file, "the older app has changed the file");
}

#[test]
fn an_app_that_was_open_while_a_newer_one_migrated_the_file_writes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let old = Db::open(&path, models(1)).unwrap();
    old.insert(v1::Todo::default()).unwrap();
    let new = Db::open(&path, models(2)).unwrap();
    let error = old.insert(v1::Todo::default()).unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::NewerModel { found: 2, known: 1, .. })), "{error:?}");
    new.insert(v2::Todo::default()).unwrap();
    assert_eq!((old.count::<v1::Todo>().unwrap(), new.count::<v2::Todo>().unwrap()), (2, 2));
    assert_sound(&new);
}

#[test]
#[ignore = "runs as a child of a_migration_that_is_killed_is_made_by_the_next_start"]
fn migrates_until_killed() {
    let Some(path) = work() else { return };
    drop(Db::open(&path, models(3)).unwrap());
}

#[test]
fn a_migration_that_is_killed_is_made_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = Db::open(&path, models(1)).unwrap();
    let insert = |tx: &mut cfost::Tx<'_>| {
        (0..20_000).try_for_each(|n| tx.insert(v1::Todo { title: format!("{n}"), ..v1::Todo::default() }).map(|_| ()))
    };
    db.write(insert).unwrap();
    drop(db);
    for kill in 0..12 {
        let mut process = child("migrates_until_killed", path.to_str().unwrap()).unwrap().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(6 + 9 * kill));
        process.kill().unwrap();
        process.wait().unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        let version: u32 = conn.query_row("SELECT version FROM cfost_models", [], |row| row.get(0)).unwrap();
        let gained = conn.prepare("SELECT rank, open, likes, parent FROM todos").is_ok();
        assert!(matches!((version, gained), (1, false) | (3, true)), "version {version}, columns {gained}");
    }
    let db = Db::open(&path, models(3)).unwrap();
    assert_eq!(v3::Todo::query().filter(|todo| todo.rank.eq(7)).count(&db).unwrap(), 20_000);
    assert_sound(&db);
}

#[test]
#[ignore = "measures: cargo test --release -p cfost-tests --test evolution -- --ignored --nocapture million"]
fn a_million_rows_gain_fields_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let host = Host::simulated(ManualClock::at(START_MS), 1);
    let open = |version| Db::options().host(host.clone()).open(&path, models(version)).unwrap();
    let db = open(1);
    for _ in 0..100 {
        let title = "water the plants".to_owned();
        let row = v1::Todo { title, ..v1::Todo::default() };
        db.write(|tx| (0..10_000).try_for_each(|_| tx.insert(row.clone()).map(|_| ()))).unwrap();
    }
    drop(db);
    let started = Instant::now();
    let db = open(2);
    let took = started.elapsed();
    tell(&format!("1 000 000 rows gained rank, note and tags in {} ms", took.as_millis())).unwrap();
    assert_eq!(db.count::<v2::Todo>().unwrap(), 1_000_000);
    assert!(took < Duration::from_secs(1), "{took:?}");
}
