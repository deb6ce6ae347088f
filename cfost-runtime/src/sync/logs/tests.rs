//! What a database takes of the entries that peers tell.

use super::*;
use crate::clock::Timestamp;
use crate::host::{Host, ManualClock};
use crate::identity::{DeviceKeys, Frontiers, RecoveryPhrase, Role, RootKey, SpaceBody};
use zeroize::Zeroizing;

fn at() -> Timestamp {
    Timestamp::from_ms(1_790_000_000_000)
}

/// A user of the phrase of these bytes, with one device.
fn user(phrase: u8, device: u64) -> (DeviceKeys, Arc<IdentityLog>) {
    let root = RootKey::from_phrase(&RecoveryPhrase::from_entropy(Zeroizing::new([phrase; 32])));
    let keys = DeviceKeys::generate(&Host::simulated(ManualClock::default(), device));
    let log = IdentityLog::found(&root, &keys, "phone", at()).expect("a new user");
    (keys, Arc::new(log))
}

/// Promise: nobody adds to a members log in the name of a user by a device that the user's identity log doesn't know; so
/// a member can't fill it up under the names of others.
#[test]
fn what_a_stranger_says_for_a_user_is_left_out() {
    let (phone, ana) = user(1, 1);
    let (_, ben) = user(2, 2);
    let (stranger, pretended) = user(1, 3);
    let host = Host::simulated(ManualClock::default(), 4);
    let mut logs = EntryLogs::of(Arc::clone(&ana));
    logs.users.put(Arc::clone(&ben));
    let (mut log, _) = SpaceLog::found(&host, &ana, &phone, at()).expect("her device");
    let body = SpaceBody::Member { root: ben.root(), role: Role::Writer, counted: Frontiers::new() };
    let entry = log.author(&logs.users, &phone, body, at()).expect("the owner");
    log.insert(entry.as_bytes()).expect("her own");
    logs.spaces.insert(log.space(), Arc::new(log.clone()));

    // It has the form, and a signature that holds.
    let mut users = Users::new(pretended);
    users.put(Arc::clone(&ben));
    let body = SpaceBody::Member { root: ben.root(), role: Role::Reader, counted: Frontiers::new() };
    let forged = log.author(&users, &stranger, body.clone(), at()).expect("as far as that identity log goes");
    let real = log.author(&logs.users, &phone, body, at()).expect("the owner");
    let key = LogKey::Space(log.space());
    for own_device in [false, true] {
        let told = [(key, forged.as_bytes().to_vec())];
        assert_eq!(logs.learn(&told, own_device), []);
    }
    assert_eq!(logs.spaces[&log.space()].entry_count(), log.entry_count());
    // What was told beside it is taken all the same.
    let told = [(key, forged.as_bytes().to_vec()), (key, real.as_bytes().to_vec())];
    assert_eq!(logs.learn(&told, false), [(key, real.id())]);
}
