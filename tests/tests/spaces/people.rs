//! Users with their devices, and lists that they share: entries and changes go from database to database as a session
//! takes them, without one.

use cfost::clock::Timestamp;
use cfost::identity::{Frontiers, Role, RootPublic, SpaceBody};
use cfost::oplog::{Run, SpaceId, UserId};
use cfost::sync::{Applied, LogKey, Seqs};
use cfost::{Db, Uuid};
use cfost_tests::fleet::{self, Device, START_MS};

use super::all_models;

/// The devices of a user, which know of each other.
pub(crate) fn person(devices: usize, seed: u64) -> Vec<Device> {
    fleet::devices(devices, &all_models(), seed).unwrap()
}

pub(crate) fn space(list: Uuid) -> SpaceId {
    SpaceId::from_bytes(list.into_bytes())
}

pub(crate) fn user(db: &Db) -> UserId {
    db.user().unwrap().id
}

fn root(db: &Db) -> RootPublic {
    db.replica().unwrap().identity().unwrap().root()
}

/// Has a database say something about the members of a list, and do what follows from that.
pub(crate) fn say(db: &Db, list: Uuid, body: SpaceBody) {
    let replica = db.replica().unwrap();
    let logs = replica.logs().unwrap();
    let at = Timestamp::from_ms(START_MS);
    let entry = logs.spaces[&space(list)].author(&logs.users, &db.device_keys().unwrap(), body, at).unwrap();
    let told = [(LogKey::Space(space(list)), entry.as_bytes().to_vec())];
    assert_eq!(replica.learn(&told, true).unwrap(), 1);
}

/// Adds a user to a list, or changes the role: of who becomes a reader counts what is held here.
pub(crate) fn set_role(owner: &Db, of: &Db, list: Uuid, role: Role) {
    let counted = if role == Role::Reader { held(owner, list) } else { Frontiers::new() };
    learn_user(owner, of);
    say(owner, list, SpaceBody::Member { root: root(of), role, counted });
}

/// What a database knows a user to be in a list.
pub(crate) fn role(db: &Db, of: &Db, list: Uuid) -> Option<Role> {
    let logs = db.replica().unwrap().logs().unwrap();
    logs.spaces[&space(list)].members(&logs.users).role(user(of))
}

/// Ends a membership, by what is held here.
pub(crate) fn end(by: &Db, of: &Db, list: Uuid) {
    say(by, list, SpaceBody::EndMember { user: user(of), counted: held(by, list) });
}

fn held(db: &Db, list: Uuid) -> Frontiers {
    let mut held = Frontiers::new();
    for (log, head) in db.replica().unwrap().frontier(space(list)).unwrap().iter() {
        held.advance(space(list), log, head);
    }
    held
}

/// Makes who a user's devices are known to another's database, in whose lists the user is to be.
fn learn_user(db: &Db, of: &Db) {
    let identity = of.replica().unwrap().identity().unwrap();
    let lists = db.replica().unwrap().logs().unwrap();
    if lists.users.get(identity.user_id()).is_some() {
        tell_entries(of, db);
    }
}

/// Tells all entries that `from` holds, as an invitation does and a session between members.
pub(crate) fn tell_entries(from: &Db, to: &Db) {
    let logs = from.replica().unwrap().logs().unwrap();
    let mut told = Vec::new();
    for (space, log) in &logs.spaces {
        told.extend(log.entries().map(|entry| (LogKey::Space(*space), entry.as_bytes().to_vec())));
    }
    for log in logs.users.iter() {
        told.extend(log.entries().map(|entry| (LogKey::User(log.user_id()), entry.as_bytes().to_vec())));
    }
    to.replica().unwrap().learn(&told, true).unwrap();
}

/// What `from` would send of a list to somebody who holds nothing.
pub(crate) fn runs(from: &Db, list: Uuid) -> Vec<Run> {
    let (replica, mut held, mut runs) = (from.replica().unwrap(), Seqs::new(), Vec::new());
    loop {
        let served = replica.runs_after(space(list), &held, 1 << 20).unwrap();
        if served.is_empty() {
            return runs;
        }
        for served in served {
            held.insert(served.run.log, served.head.seq);
            runs.push(served.run);
        }
    }
}

/// Gives runs to a database, which takes all of them.
pub(crate) fn take(to: &Db, runs: Vec<Run>) -> Applied {
    let applied = to.replica().unwrap().apply(runs).unwrap();
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
    applied
}

/// Brings two databases up to date with each other about a list.
pub(crate) fn meet(a: &Db, b: &Db, list: Uuid) {
    for _ in 0..2 {
        tell_entries(a, b);
        tell_entries(b, a);
    }
    take(b, runs(a, list));
    take(a, runs(b, list));
}

/// Shares a list of `owner` with the user of `guest`, and brings both up to date.
pub(crate) fn share(owner: &Db, guest: &Db, list: Uuid, role: Role) {
    set_role(owner, guest, list, role);
    // Their devices are known now that the list names them, and are given the keys.
    for _ in 0..2 {
        tell_entries(guest, owner);
        tell_entries(owner, guest);
    }
    meet(owner, guest, list);
}
