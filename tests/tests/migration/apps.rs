//! One app in five versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cfost::host::{Host, ManualClock};
use cfost::prelude::*;
use cfost::schema::Model;
use cfost_tests::fleet::{Device, START_MS};

pub(crate) mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1, index(due, title))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        #[synced(search)]
        pub(crate) title: String,
        #[synced(index)]
        pub(crate) due: String,
        pub(crate) rank: Option<i64>,
        pub(crate) secret: String,
        #[crdt(counter)]
        pub(crate) votes: i64,
        pub(crate) left: String,
        pub(crate) right: String,
        #[synced(index)]
        #[crdt(set)]
        pub(crate) tags: BTreeSet<String>,
        #[crdt(map)]
        pub(crate) scores: BTreeMap<String, i64>,
        #[synced(references = Self)]
        pub(crate) parent: Option<Uuid>,
    }
}

pub(crate) mod v2 {
    use super::*;

    /// Fields have other names.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2, index(due, heading))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        #[synced(search, renamed_from("title", in = 2))]
        pub(crate) heading: String,
        #[synced(index)]
        pub(crate) due: String,
        pub(crate) rank: Option<i64>,
        pub(crate) secret: String,
        #[crdt(counter)]
        #[synced(renamed_from("votes", in = 2))]
        pub(crate) likes: i64,
        pub(crate) left: String,
        pub(crate) right: String,
        #[synced(index, renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub(crate) labels: BTreeSet<String>,
        #[crdt(map)]
        pub(crate) scores: BTreeMap<String, i64>,
        #[synced(references = Self)]
        pub(crate) parent: Option<Uuid>,
        #[synced(since = 2, backfill = 5)]
        pub(crate) effort: i64,
    }
}

pub(crate) mod v3 {
    use super::*;

    /// A date is a number, and what may be missing may not any more.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3)]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        #[synced(search, renamed_from("title", in = 2))]
        pub(crate) heading: String,
        #[synced(index, since = 3, upgrade(due, with = day, back = date))]
        pub(crate) due: i64,
        #[synced(upgrade(rank, in = 3, with = |rank: Option<i64>| rank.unwrap_or(-1), back = Some))]
        pub(crate) rank: i64,
        pub(crate) secret: String,
        #[crdt(counter)]
        #[synced(renamed_from("votes", in = 2))]
        pub(crate) likes: i64,
        pub(crate) left: String,
        pub(crate) right: String,
        #[synced(index, renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub(crate) labels: BTreeSet<String>,
        #[crdt(map)]
        pub(crate) scores: BTreeMap<String, i64>,
        #[synced(references = Self)]
        pub(crate) parent: Option<Uuid>,
        #[synced(since = 2, backfill = 5)]
        pub(crate) effort: i64,
    }
}

pub(crate) mod v4 {
    use super::*;

    /// Some fields are gone.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 4)]
    #[synced(removed(secret: String = "", in = 4), removed(#[crdt(map)] scores, in = 4))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        #[synced(search, renamed_from("title", in = 2))]
        pub(crate) heading: String,
        #[synced(index, since = 3, upgrade(due, with = day, back = date))]
        pub(crate) due: i64,
        #[synced(upgrade(rank, in = 3, with = |rank: Option<i64>| rank.unwrap_or(-1), back = Some))]
        pub(crate) rank: i64,
        #[crdt(counter)]
        #[synced(renamed_from("votes", in = 2))]
        pub(crate) likes: i64,
        pub(crate) left: String,
        pub(crate) right: String,
        #[synced(index, renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub(crate) labels: BTreeSet<String>,
        #[synced(references = Self)]
        pub(crate) parent: Option<Uuid>,
        #[synced(since = 2, backfill = 5)]
        pub(crate) effort: i64,
        #[synced(since = 4)]
        #[crdt(list)]
        pub(crate) steps: List<String>,
    }
}

pub(crate) mod v5 {
    use super::*;

    /// The reference is gone too, and a field is upgraded again.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 5)]
    #[synced(removed(secret: String = "", in = 4), removed(#[crdt(map)] scores, in = 4), removed(parent, in = 5))]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        #[synced(search, renamed_from("title", in = 2))]
        pub(crate) heading: String,
        #[synced(index, since = 3, upgrade(due, with = day, back = date))]
        #[synced(upgrade(due, in = 5, with = |day: i64| day as f64, back = |day: f64| day as i64))]
        pub(crate) due: f64,
        #[synced(upgrade(rank, in = 3, with = |rank: Option<i64>| rank.unwrap_or(-1), back = Some))]
        pub(crate) rank: i64,
        #[crdt(counter)]
        #[synced(renamed_from("votes", in = 2))]
        pub(crate) likes: i64,
        pub(crate) left: String,
        pub(crate) right: String,
        #[synced(index, renamed_from("tags", in = 2))]
        #[crdt(set)]
        pub(crate) labels: BTreeSet<String>,
        #[synced(since = 2, backfill = 5)]
        pub(crate) effort: i64,
        #[synced(since = 4)]
        #[crdt(list)]
        pub(crate) steps: List<String>,
    }
}

/// `"day 7"` is 7, any other text 0.
pub(crate) fn day(date: String) -> i64 {
    date.strip_prefix("day ").and_then(|day| day.parse().ok()).unwrap_or(0)
}

pub(crate) fn date(day: i64) -> String {
    format!("day {day}")
}

pub(crate) fn models(version: u32) -> [Model; 1] {
    match version {
        1 => models![v1::Todo],
        2 => models![v2::Todo],
        3 => models![v3::Todo],
        4 => models![v4::Todo],
        _ => models![v5::Todo],
    }
}

/// A database that is opened by one version of the app after another.
pub(crate) struct App {
    pub(crate) path: PathBuf,
    pub(crate) host: Host,
    db: Option<Db>,
}

impl App {
    pub(crate) fn new(path: PathBuf, models: impl AsRef<[Model]>) -> Self {
        let Device { db, host, .. } = Device::in_file(&path, models, 7).unwrap();
        Self { path, host, db: Some(db) }
    }

    /// A database that is there already.
    pub(crate) fn reopened(path: PathBuf, models: impl AsRef<[Model]>) -> Self {
        let mut app = Self { path, host: host(7), db: None };
        app.open(models);
        app
    }

    pub(crate) fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    pub(crate) fn close(&mut self) {
        self.db = None;
    }

    pub(crate) fn open(&mut self, models: impl AsRef<[Model]>) -> &Db {
        self.db = None;
        self.db = Some(Db::options().host(self.host.clone()).open(&self.path, models).unwrap());
        self.db()
    }

    /// What the database shows at this version is what its oplog gives.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        let verification = self.db().verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
    }
}

/// A closed copy of a database, without the marker that would tell it from a restored one.
pub(crate) fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal", "-marker"] {
        let with = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        if with(from).exists() {
            std::fs::copy(with(from), with(to)).unwrap();
        }
    }
}

/// Rows in every state that a row can be in: shown, deleted, gone with their parent, before their create.
pub(crate) fn fill(db: &Db) -> Vec<Uuid> {
    let todo = |n: usize| v1::Todo {
        title: format!("todo {n} of many"),
        due: format!("day {n}"),
        rank: (!n.is_multiple_of(3)).then_some(n as i64),
        secret: "s".repeat(n),
        votes: n as i64,
        left: format!("left {n}"),
        right: format!("right {n}"),
        tags: (0..n % 4).map(|tag| format!("tag {tag}")).collect(),
        scores: (0..n % 3).map(|score| (format!("score {score}"), n as i64)).collect(),
        ..v1::Todo::default()
    };
    let ids: Vec<Uuid> = (0..40).map(|n| db.insert(todo(n)).unwrap().id).collect();
    let edit = |id: Uuid, edit: &dyn Fn(&mut v1::Todo)| _ = db.update(id, |todo| edit(todo)).unwrap();
    for (n, &id) in ids.iter().enumerate() {
        match n % 8 {
            1 => edit(id, &|todo| todo.due = "no day".into()),
            2 => edit(id, &|todo| (todo.votes, todo.secret) = (todo.votes - 3, "other".into())),
            3 => edit(id, &|todo| todo.parent = Some(ids[n - 3])),
            4 => edit(id, &|todo| _ = (todo.tags.clear(), todo.scores.insert("late".into(), 9))),
            5 => db.delete::<v1::Todo>(id).unwrap(),
            6 => edit(id, &|todo| std::mem::swap(&mut todo.left, &mut todo.right)),
            _ => {}
        }
    }
    // Two of them hide the rows that refer to them.
    db.delete::<v1::Todo>(ids[0]).unwrap();
    db.delete::<v1::Todo>(ids[16]).unwrap();
    ids
}

/// A clock like that of all devices here.
pub(crate) fn host(seed: u64) -> Host {
    Host::simulated(ManualClock::at(START_MS), seed)
}
