//! Targets for the entries of members logs, and for what they say together.

use std::sync::{Arc, LazyLock};

use cfost_runtime::clock::Timestamp;
use cfost_runtime::identity::{
    DeviceKeys, EpochGrant, Frontiers, IdentityLog, Limit, RecoveryPhrase, Role, RootKey, SpaceBody, SpaceEntry,
    SpaceLog, Users, new_epoch,
};
use cfost_runtime::oplog::{ChangeId, DeviceId, Head, LogId};
use zeroize::Zeroizing;

use super::identity::{NOW_MS, USER, host, join, split};

/// A space of the user that all targets know, which another user was in.
struct Space {
    users: Users,
    log: SpaceLog,
    other: DeviceId,
}

static SPACE: LazyLock<Space> = LazyLock::new(space);

fn space() -> Space {
    let (at, host) = (Timestamp::from_ms(NOW_MS), host());
    let root = RootKey::from_phrase(&RecoveryPhrase::from_entropy(Zeroizing::new([2; 32])));
    let keys = DeviceKeys::generate(&host);
    let other = IdentityLog::found(&root, &keys, "tablet", at).expect("a seed is valid");
    let mut users = Users::new(Arc::new(USER.log.clone()));
    users.put(Arc::new(other));
    let (mut log, key) = SpaceLog::found(&host, &USER.log, &USER.phone, at).expect("a seed is valid");
    let user = root.user_id();
    let mut counted = Frontiers::new();
    counted.advance(log.space(), LogId::from_bytes([3; 16]), Head { seq: 7, id: ChangeId::from_bytes([4; 32]) });
    let to = [keys.public()];
    let grant = |key| EpochGrant::seal(&host, USER.log.user_id(), log.space(), key, &to).expect("a seed is valid");
    let (keys_of_first, epoch) = (grant(&key), grant(&new_epoch(&host)));
    for body in [
        SpaceBody::Member { root: root.public(), role: Role::Writer, counted: Frontiers::new() },
        SpaceBody::Keys(keys_of_first),
        SpaceBody::Epoch(epoch),
        SpaceBody::Member { root: root.public(), role: Role::Reader, counted: counted.clone() },
        SpaceBody::HandOver { user },
        SpaceBody::Unknown { kind: 200, bytes: vec![1, 2, 3] },
        SpaceBody::EndMember { user: USER.log.user_id(), counted },
    ] {
        let entry = log.author(&users, &USER.phone, body, at).expect("a seed is valid");
        log.insert(entry.as_bytes()).expect("a seed is valid");
    }
    Space { users, log, other: keys.id() }
}

/// An entry that is accepted is kept as it is, and can be read again.
pub(super) fn entry(bytes: &[u8]) -> bool {
    let Ok(entry) = SpaceEntry::decode(bytes) else { return false };
    assert_eq!(entry.as_bytes(), bytes);
    assert_eq!(SpaceEntry::decode(entry.as_bytes()).expect("it was read before").id(), entry.id());
    true
}

pub(super) fn entry_seeds() -> Vec<Vec<u8>> {
    SPACE.log.entries().map(|entry| entry.as_bytes().to_vec()).collect()
}

/// Who the members are depends on which entries there are, not on the order in which they came; the owner is one, and a
/// device that no entry has to do with writes nothing.
pub(super) fn log(bytes: &[u8]) -> bool {
    let parts = split(bytes);
    let (mut forwards, mut backwards) = (SpaceLog::new(SPACE.log.space()), SpaceLog::new(SPACE.log.space()));
    for part in &parts {
        let _ = forwards.insert(part);
    }
    for part in parts.iter().rev() {
        let _ = backwards.insert(part);
    }
    assert_eq!(forwards.digest(), backwards.digest());
    let (members, same) = (forwards.members(&SPACE.users), backwards.members(&SPACE.users));
    assert!(members.iter().eq(same.iter()));
    assert_eq!(members.current_epoch(), same.current_epoch());
    assert!(members.iter().filter(|(_, role)| *role == Role::Owner).count() <= 1);
    let log = LogId::from_bytes([3; 16]);
    for epoch in members.epochs().keys() {
        assert_eq!(members.limit(SPACE.other, log, *epoch), same.limit(SPACE.other, log, *epoch));
        assert_eq!(members.limit(DeviceId::from_bytes([9; 16]), log, *epoch), Limit::NOTHING);
    }
    members.owner().is_some()
}

pub(super) fn log_seeds() -> Vec<Vec<u8>> {
    vec![join(&entry_seeds()), join(&entry_seeds()[..4])]
}
