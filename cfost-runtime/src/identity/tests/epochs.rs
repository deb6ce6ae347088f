//! Stories of the keys of a space, and of who gets them.

use super::{add, at, author, end, host, phone_user};
use crate::identity::hpke;
use crate::identity::{Body, Current, DeviceKeys, EpochGrant, IdentityError, IdentityLog, new_epoch};
use crate::oplog::{EpochKey, SpaceId};

fn grant(log: &IdentityLog, key: &EpochKey, to: &[&DeviceKeys]) -> EpochGrant {
    let devices: Vec<_> = to.iter().map(|keys| keys.public()).collect();
    let space = SpaceId::home_of(log.user_id());
    EpochGrant::seal(&host(5), log.user_id(), space, key, &devices).expect("few devices")
}

/// Promise: the key of an epoch opens for the devices that it was sealed to, and for no other, nor in another place.
#[test]
fn a_key_opens_for_those_it_was_sealed_to() {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    let stranger = DeviceKeys::generate(&host(9));
    let key = new_epoch(&host(7));
    let grant = grant(&log, &key, &[&phone, &laptop]);
    for keys in [&phone, &laptop] {
        let opened = grant.open(log.user_id(), keys).expect("it holds").expect("it is for this device");
        assert_eq!((opened.secret(), opened.epoch()), (key.secret(), key.epoch()));
    }
    assert!(grant.open(log.user_id(), &stranger).expect("nothing to open").is_none());
    let (_, _, other_user) = phone_user(2);
    let moved = EpochGrant { space: SpaceId::from_bytes([3; 16]), ..grant.clone() };
    for (grant, user) in [(&grant, other_user.user_id()), (&moved, log.user_id())] {
        let error = grant.open(user, &phone).expect_err("it is bound to its place");
        assert!(matches!(error, IdentityError::Malformed { what: "sealed epoch key", .. }), "{error}");
    }
    let read = author(&mut log, &phone, Body::Epoch(grant.clone()), 20);
    assert_eq!(log.entry(&read.id()).map(|entry| entry.body()), Some(&Body::Epoch(grant)));
}

/// Promise: once somebody is gone who had the key, a new epoch is due; one that nobody has who is gone is good.
#[test]
fn a_new_epoch_is_due_when_a_holder_of_the_key_is_gone() {
    let (_, phone, mut log) = phone_user(1);
    let space = SpaceId::home_of(log.user_id());
    let laptop = add(&mut log, &phone, 2, "laptop");
    let tablet = add(&mut log, &phone, 3, "tablet");
    assert_eq!(log.current_epoch(space), Current::First);
    author(&mut log, &phone, end(&tablet), 20);
    assert_eq!(log.current_epoch(space), Current::Due);

    let key = new_epoch(&host(7));
    let body = Body::Epoch(grant(&log, &key, &[&phone, &laptop]));
    author(&mut log, &phone, body, 21);
    assert_eq!(log.current_epoch(space), Current::Epoch(key.epoch()));
    // Who is added by somebody who knows of the epoch gets its key with the others.
    let watch = add(&mut log, &laptop, 4, "watch");
    assert_eq!(log.without_key(space, key.epoch()), []);
    author(&mut log, &phone, end(&watch), 30);
    assert_eq!(log.current_epoch(space), Current::Due);
}

/// Promise: two that each revoke a device and begin an epoch, neither knowing of the other, notice that each gave
/// the key to the one that the other revoked; and who was added meanwhile is owed the key.
#[test]
fn concurrent_epochs_are_looked_through() {
    let (_, phone, mut log) = phone_user(1);
    let space = SpaceId::home_of(log.user_id());
    let laptop = add(&mut log, &phone, 2, "laptop");
    let (tablet, watch) = (add(&mut log, &phone, 3, "tablet"), add(&mut log, &phone, 4, "watch"));
    let (mut one, mut other) = (log.clone(), log);
    let (first, second) = (new_epoch(&host(7)), new_epoch(&host(8)));
    assert_ne!(first.epoch(), second.epoch());
    author(&mut one, &phone, end(&tablet), 20);
    let body = Body::Epoch(grant(&one, &first, &[&phone, &laptop, &watch]));
    author(&mut one, &phone, body, 21);
    author(&mut other, &laptop, end(&watch), 20);
    let body = Body::Epoch(grant(&other, &second, &[&phone, &laptop, &tablet]));
    author(&mut other, &laptop, body, 21);
    let newcomer = add(&mut other, &laptop, 6, "newcomer");

    for entry in other.entries() {
        one.insert(entry.as_bytes()).expect("an entry of the same user");
    }
    assert_eq!(one.current_epoch(space), Current::Due);
    let owed = |epoch: &EpochKey| one.without_key(space, epoch.epoch()).into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!((owed(&first), owed(&second)), (vec![newcomer.id()], vec![]));
    let body = Body::Epoch(grant(&one, &first, &[&newcomer]));
    author(&mut one, &phone, body, 30);
    assert_eq!(one.without_key(space, first.epoch()), []);
}

/// Promise: an epoch's number says which key it is, so nobody gives another key its number.
#[test]
fn a_number_belongs_to_one_key() {
    let (_, phone, log) = phone_user(1);
    let key = new_epoch(&host(7));
    let forged = EpochGrant { epoch: key.epoch() ^ 1, ..grant(&log, &key, &[&phone]) };
    let entry = log.author(&phone, Body::Epoch(forged), at(20)).expect("signs");
    let problem = "its epoch is not that of its key";
    let refused = log.clone().insert(entry.as_bytes());
    assert_eq!(refused, Err(IdentityError::Malformed { what: "identity entry body", problem }));
}

/// Promise: nobody is made to read under another key than all others: what is sealed to a device must be the key that
/// the entry commits to.
#[test]
fn a_device_takes_no_other_key_than_the_one_that_is_committed_to() {
    let (_, phone, log) = phone_user(1);
    let (key, other) = (new_epoch(&host(7)), new_epoch(&host(8)));
    let mut forged = grant(&log, &key, &[&phone]);
    let info = forged.info(log.user_id(), phone.id());
    let sealed = hpke::seal_once(&host(9), &phone.public().sealing, &info, other.secret()).expect("seals");
    forged.keys.insert(phone.id(), sealed.as_slice().try_into().expect("as long as a key that is sealed"));
    let error = forged.open(log.user_id(), &phone).expect_err("it is another key");
    assert!(matches!(error, IdentityError::Malformed { what: "sealed epoch key", .. }), "{error}");
}
