//! Logs that are damaged, copied or forked: nothing that anybody was told is lost, and who must act is told so.

mod branches;
mod copies;
mod repair;
mod since;
#[cfg(feature = "text")]
mod texts;

use std::path::{Path, PathBuf};

use cfost::host::{Host, ManualClock};
use cfost::prelude::*;
use cfost_tests::fleet::{self, START_MS};
use rusqlite::Connection;

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

/// The databases of one user's devices, in files.
struct Folder {
    dir: tempfile::TempDir,
    opened: u64,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), opened: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The randomness and the clock of the next start: a few seconds pass from one to the next.
    fn host(&mut self) -> Host {
        self.opened += 1;
        Host::simulated(ManualClock::at(START_MS + self.opened * 3000), self.opened)
    }

    fn open(&mut self, name: &str) -> Db {
        let host = self.host();
        Db::options().host(host).device_name(name).open(self.path(name), models![Todo]).unwrap()
    }

    /// Devices that know of each other; the first has invited the others.
    fn devices<const N: usize>(&mut self, names: [&str; N]) -> [Db; N] {
        let devices = names.map(|name| self.open(name));
        for device in &devices[1..] {
            fleet::pair(&devices[0], device, &self.host()).unwrap();
        }
        for device in &devices[1..] {
            meet(&devices[0], device);
        }
        devices
    }
}

/// Sessions until both are level: a log that took two ways takes one to find that out.
fn meet(a: &Db, b: &Db) {
    for _ in 0..3 {
        fleet::sync(a, b).unwrap();
    }
}

fn titles(db: &Db) -> Vec<String> {
    let mut titles: Vec<String> = db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    titles.sort_unstable();
    titles
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

fn raw(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}
