//! One app in four versions, whose model changed in all ways that a model can, and devices that have one of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cfost::host::{Host, ManualClock};
use cfost::prelude::*;
use cfost::schema::Model;
use cfost::{Db, Error, Result};
use cfost_tests::fleet::{self, Device};
use cfost_tests::meaning;

pub(crate) mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(crate) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index)]
        pub name: String,
        pub done: bool,
        pub minutes: i64,
        pub urgent: bool,
        pub rank: i64,
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[crdt(counter)]
        pub views: i64,
        pub likes: i64,
        #[synced(immutable)]
        pub author: String,
    }
}

pub(crate) mod v2 {
    use super::*;

    /// A field and a collection have other names, another field is more precise, a counter is gone.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2, removed(#[crdt(counter)] views, in = 2))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index, renamed_from("name", in = 2))]
        pub title: String,
        #[synced(since = 2, upgrade(done, with = progress, back = is_done))]
        pub progress: i64,
        pub minutes: i64,
        pub urgent: bool,
        pub rank: i64,
        #[synced(renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub labels: BTreeSet<u8>,
        pub likes: i64,
        #[synced(immutable)]
        pub author: String,
    }
}

pub(crate) mod v3 {
    use super::*;

    /// A required field became optional, one became text, one is gone.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3, removed(#[crdt(counter)] views, in = 2))]
    #[synced(removed(urgent: bool = true, in = 3))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index, renamed_from("name", in = 2))]
        pub title: String,
        #[synced(since = 2, upgrade(done, with = progress, back = is_done))]
        pub progress: i64,
        #[synced(since = 3, upgrade(minutes, with = duration, back = minutes))]
        pub duration: String,
        #[synced(upgrade(rank, in = 3, with = Some, back = |rank| rank.unwrap_or(0)))]
        pub rank: Option<i64>,
        #[synced(renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub labels: BTreeSet<u8>,
        #[crdt(counter, changed_from(lww, in = 3))]
        pub likes: i64,
        #[synced(immutable)]
        pub author: String,
        #[synced(since = 3)]
        pub note: Option<String>,
    }
}

pub(crate) mod v4 {
    use super::*;

    /// What was upgraded is upgraded again, renamed, and required again; what came later is gone.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 4, removed(#[crdt(counter)] views, in = 2))]
    #[synced(removed(urgent: bool = true, in = 3), removed(note, in = 4, since = 3))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        #[synced(index, renamed_from("name", in = 2), renamed_from("title", in = 4))]
        pub caption: String,
        #[synced(since = 2, upgrade(done, with = progress, back = is_done))]
        #[synced(upgrade(progress, in = 4, with = share, back = percent))]
        pub progress: f64,
        #[synced(since = 3, upgrade(minutes, with = duration, back = minutes))]
        #[synced(renamed_from("duration", in = 4))]
        pub effort: String,
        #[synced(upgrade(rank, in = 3, with = Some, back = |rank: Option<i64>| rank.unwrap_or(0)))]
        #[synced(upgrade(rank, in = 4, with = Option::unwrap_or_default, back = |rank: i64| Some(rank)))]
        pub place: i64,
        #[synced(renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub labels: BTreeSet<u8>,
        #[crdt(counter, changed_from(lww, in = 3))]
        pub likes: i64,
        #[synced(immutable)]
        pub author: String,
    }
}

fn progress(done: bool) -> i64 {
    if done { 100 } else { 0 }
}

fn is_done(progress: i64) -> bool {
    progress == 100
}

/// Of more than all there is no share.
fn share(percent: i64) -> f64 {
    if percent > 100 { f64::NAN } else { percent as f64 / 100.0 }
}

fn percent(share: f64) -> i64 {
    (share * 100.0).round() as i64
}

fn duration(minutes: i64) -> String {
    assert!(minutes >= 0, "{minutes} minutes take no time");
    format!("{minutes} min")
}

fn minutes(duration: String) -> i64 {
    duration.trim_end_matches(" min").parse().unwrap_or(-1)
}

/// Runs an expression with the type of a version's model.
macro_rules! with_version {
    ($version:expr, $Todo:ident => $run:expr) => {
        match $version {
            1 => {
                type $Todo = v1::Todo;
                $run
            }
            2 => {
                type $Todo = v2::Todo;
                $run
            }
            3 => {
                type $Todo = v3::Todo;
                $run
            }
            _ => {
                type $Todo = v4::Todo;
                $run
            }
        }
    };
}
pub(crate) use with_version;

/// The newest version.
pub(crate) const NEWEST: u32 = 4;

pub(crate) fn models(version: u32) -> [Model; 1] {
    with_version!(version, Todo => models![Todo])
}

/// What an edit is about; versions call it differently, or have no such thing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    Title,
    Done,
    Duration,
    Urgent,
    Rank,
    Tag,
    Views,
    Note,
    Likes,
}

impl Edit {
    pub(crate) const ALL: [Self; 9] = [
        Self::Title,
        Self::Done,
        Self::Duration,
        Self::Urgent,
        Self::Rank,
        Self::Tag,
        Self::Views,
        Self::Note,
        Self::Likes,
    ];
}

/// What all versions of the model can do.
pub(crate) trait Todo: Synced<Id = Uuid> + Default {
    fn new(id: Uuid, author: &str) -> Self;
    fn edit(&mut self, edit: Edit, to: u8);
}

fn toggle(tags: &mut BTreeSet<u8>, tag: u8) {
    if !tags.remove(&tag) {
        tags.insert(tag);
    }
}

impl Todo for v1::Todo {
    fn new(id: Uuid, author: &str) -> Self {
        Self { id, name: format!("by {author}"), minutes: 10, likes: 1, author: author.into(), ..Self::default() }
    }

    fn edit(&mut self, edit: Edit, to: u8) {
        match edit {
            Edit::Title => self.name = format!("{to}"),
            Edit::Done => self.done = to.is_multiple_of(2),
            Edit::Duration => self.minutes = to.into(),
            Edit::Urgent => self.urgent = !to.is_multiple_of(2),
            Edit::Rank => self.rank = to.into(),
            Edit::Tag => toggle(&mut self.tags, to),
            Edit::Views | Edit::Note => self.views += i64::from(to),
            Edit::Likes => self.likes = to.into(),
        }
    }
}

impl Todo for v2::Todo {
    fn new(id: Uuid, author: &str) -> Self {
        let author = author.to_owned();
        Self { id, title: format!("by {author}"), progress: 30, minutes: 20, urgent: true, author, ..Self::default() }
    }

    fn edit(&mut self, edit: Edit, to: u8) {
        match edit {
            Edit::Title => self.title = format!("{to}"),
            Edit::Done => self.progress = i64::from(to) * 50,
            Edit::Duration => self.minutes = to.into(),
            Edit::Urgent | Edit::Views => self.urgent = !to.is_multiple_of(2),
            Edit::Rank | Edit::Note => self.rank = to.into(),
            Edit::Likes => self.likes = to.into(),
            Edit::Tag => toggle(&mut self.labels, to),
        }
    }
}

impl Todo for v3::Todo {
    fn new(id: Uuid, author: &str) -> Self {
        let author = author.to_owned();
        Self { id, title: format!("by {author}"), duration: "30 min".into(), likes: 3, author, ..Self::default() }
    }

    fn edit(&mut self, edit: Edit, to: u8) {
        match edit {
            Edit::Title => self.title = format!("{to}"),
            Edit::Done => self.progress = i64::from(to) * 50,
            Edit::Duration => self.duration = if to == 0 { "an hour".into() } else { format!("{to} min") },
            Edit::Rank => self.rank = (to > 0).then_some(to.into()),
            Edit::Tag => toggle(&mut self.labels, to),
            Edit::Likes => self.likes += i64::from(to),
            Edit::Urgent | Edit::Views | Edit::Note => self.note = (to > 0).then(|| format!("{to}")),
        }
    }
}

impl Todo for v4::Todo {
    fn new(id: Uuid, author: &str) -> Self {
        let author = author.to_owned();
        Self { id, caption: format!("by {author}"), progress: 0.5, effort: "40 min".into(), author, ..Self::default() }
    }

    fn edit(&mut self, edit: Edit, to: u8) {
        match edit {
            Edit::Title => self.caption = format!("{to}"),
            Edit::Done | Edit::Urgent => self.progress = f64::from(to) / 2.0,
            Edit::Duration => self.effort = if to == 0 { "a day".into() } else { format!("{to} min") },
            Edit::Rank | Edit::Views | Edit::Note => self.place = to.into(),
            Edit::Tag => toggle(&mut self.labels, to),
            Edit::Likes => self.likes += i64::from(to),
        }
    }
}

/// A device on some version of the app.
pub(crate) struct Peer {
    path: PathBuf,
    pub(crate) version: u32,
    pub(crate) clock: ManualClock,
    pub(crate) host: Host,
    db: Option<Db>,
}

impl Peer {
    pub(crate) fn new(path: PathBuf, version: u32, seed: u64) -> Self {
        let Device { db, clock, host } = Device::in_file(&path, models(version), seed).unwrap();
        Self { path, version, clock, host, db: Some(db) }
    }

    pub(crate) fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    /// Installs a version of the app, and starts it.
    pub(crate) fn upgrade(&mut self, version: u32) {
        self.db = None;
        self.version = version;
        let options = Db::options().host(self.host.clone()).device_name("device");
        self.db = Some(options.open(&self.path, models(version)).unwrap());
    }

    pub(crate) fn all<T: Synced>(&self) -> Vec<T> {
        self.db().all().unwrap()
    }

    pub(crate) fn insert(&self, id: Uuid) -> Option<Uuid> {
        let author = format!("version {}", self.version);
        let inserted =
            with_version!(self.version, T => self.db().insert(<T as Todo>::new(id, &author)).map(|row| row.id));
        let id = inserted.as_ref().ok().copied();
        tolerate(inserted);
        id
    }

    pub(crate) fn edit(&self, id: Uuid, edit: Edit, to: u8) {
        tolerate(with_version!(self.version, T => self.db().update(id, |row: &mut T| row.edit(edit, to)).map(|_| ())));
    }

    pub(crate) fn delete(&self, id: Uuid) {
        tolerate(with_version!(self.version, T => self.db().delete::<T>(id)));
    }

    /// The rows that the device shows, by the names and in the types of its version.
    pub(crate) fn shown(&self) -> meaning::Rows {
        with_version!(self.version, T => meaning::shown::<T>(self.db())).unwrap()
    }

    /// The rows that it should show.
    pub(crate) fn meant(&self) -> meaning::Rows {
        meaning::meant(self.db(), &models(self.version)).unwrap().remove("todos").unwrap()
    }

    /// Shows what the oplog means, also if it is read anew.
    pub(crate) fn assert_right(&self) {
        assert_eq!(self.shown(), self.meant(), "on version {}", self.version);
        let verification = self.db().verify().unwrap();
        assert!(verification.is_sound(), "on version {}: {:?}", self.version, verification.differences);
    }
}

/// What may be so without being an error: the row isn't there, or is already, or has another author.
fn tolerate<T>(result: Result<T>) {
    match result {
        Ok(_) | Err(Error::NotFound { .. } | Error::Exists { .. } | Error::Immutable { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// One device on each of these versions, all of one user.
pub(crate) fn ring(dir: &Path, versions: &[u32], seed: u64) -> Vec<Peer> {
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

pub(crate) fn meet(one: &Peer, other: &Peer) {
    fleet::sync(one.db(), other.db()).unwrap();
}

pub(crate) fn meet_all(peers: &[Peer]) {
    for _ in 0..2 {
        for peer in &peers[1..] {
            meet(&peers[0], peer);
        }
    }
}
