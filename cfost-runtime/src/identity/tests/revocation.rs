//! Stories of devices that are lost, stolen, given up, and of the phrase that brings the user back.

use std::collections::BTreeSet;

use super::{add, at, author, end, host, phone_user, rename, root_key};
use crate::identity::{
    AddDevice, Body, DeviceKeys, Entry, Frontiers, IdentityError, IdentityLog, RootKey, Standing, verify_certificate,
};
use crate::oplog::{ChangeId, Head, LogId, SpaceId};

const LOG: LogId = LogId::from_bytes([7; 16]);

fn space(log: &IdentityLog) -> SpaceId {
    SpaceId::home_of(log.user_id())
}

fn head(seq: u64) -> Head {
    Head { seq, id: ChangeId::from_bytes([seq as u8; 32]) }
}

/// Ends a device, of which changes up to `seq` count.
fn end_at(log: &IdentityLog, device: &DeviceKeys, seq: u64) -> Body {
    let mut counted = Frontiers::new();
    counted.advance(space(log), LOG, head(seq));
    Body::EndDevice { device: device.id(), counted }
}

fn re_root(root: &RootKey, log: &mut IdentityLog, kept: &[&DeviceKeys]) -> Entry {
    let kept: BTreeSet<_> = kept.iter().map(|keys| keys.id()).collect();
    let entry = log.author_as_root(root, Body::ReRoot { kept, counted: Frontiers::new() }, at(0)).expect("the user");
    log.insert(entry.as_bytes()).expect("the phrase");
    entry
}

fn learn(log: &mut IdentityLog, from: &IdentityLog) {
    for entry in from.entries() {
        log.insert(entry.as_bytes()).expect("an entry of the same user");
    }
}

/// A user with a phone, a laptop that the phone added, and a tablet that the laptop added.
fn family() -> (DeviceKeys, DeviceKeys, DeviceKeys, IdentityLog) {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    let tablet = add(&mut log, &laptop, 3, "tablet");
    (phone, laptop, tablet, log)
}

fn standing(log: &IdentityLog, device: &DeviceKeys) -> Standing {
    log.known_device(device.id()).expect("it was added").standing
}

/// Promise: a revoked device is a device no more: not by its keys, not by its certificate, not in the list. Its name
/// and its changes up to the frontier stay known.
#[test]
fn a_revoked_device_is_a_device_no_more() {
    let (phone, laptop, _, mut log) = family();
    let certificate = log.certificate(phone.id()).expect("the first device's");
    let cut = end_at(&log, &phone, 5);
    author(&mut log, &laptop, cut, 20);

    assert_eq!((log.device(phone.id()), log.device_count()), (None, 2));
    assert_eq!(log.device_by_signing_key(&phone.public().signing), None);
    assert_eq!(log.device_by_transport_key(&phone.public().transport), None);
    let revoked = IdentityError::Revoked { device: phone.id() };
    assert_eq!(log.authenticate(&certificate, &phone.public().transport), Err(revoked.clone()));
    assert_eq!(log.author(&phone, rename(&phone, "mine"), at(30)), Err(revoked));
    assert_eq!(standing(&log, &phone), Standing::Revoked { by: laptop.id() });
    let known = log.known_device_by_transport_key(&phone.public().transport).expect("it was one");
    assert_eq!(known.name, "phone");
    assert_eq!(log.counted(phone.id(), space(&log), LOG), Some(head(5)));
    assert_eq!(log.counted(phone.id(), space(&log), LogId::from_bytes([8; 16])), Some(Head::NONE));
    assert_eq!(log.counted(laptop.id(), space(&log), LOG), None);

    // The laptop, which the phone had added, stays, and so does whom it adds: their certificates lead through it.
    let watch = add(&mut log, &laptop, 9, "watch");
    let certificate = log.certificate(watch.id()).expect("a device's");
    assert_eq!(verify_certificate(log.root(), &certificate).map(|device| device.id), Ok(watch.id()));
    let (_, _, _, mut elsewhere) = family();
    learn(&mut elsewhere, &log);
    assert_eq!(elsewhere.authenticate(&certificate, &watch.public().transport).map(|it| it.id), Ok(watch.id()));
}

/// Promise: what a device says that knows of its end is refused, and so is what it says through a device of its own.
#[test]
fn who_knows_of_its_end_has_nothing_more_to_say() {
    let (phone, laptop, _, mut log) = family();
    let entry = author(&mut log, &laptop, end(&phone), 20);
    let sign = |keys: &DeviceKeys, body| {
        let entry = Entry::sign(keys.signing(), log.user_id(), at(30), vec![entry.id()], body).expect("signs");
        log.clone().insert(entry.as_bytes())
    };
    let revoked = Err(IdentityError::Revoked { device: phone.id() });
    assert_eq!(sign(&phone, rename(&phone, "mine")), revoked);
    let helper = DeviceKeys::generate(&host(9));
    let request = AddDevice::new(log.user_id(), &helper, "helper").expect("a good name");
    assert_eq!(sign(&phone, Body::AddDevice(request)), revoked);
}

/// Promise: what a revoked device said without knowing of it, or pretends so, is void: a name, a device, an end; it is
/// kept and passed on. Who was added so can be added again by a device that is one.
#[test]
fn what_a_revoked_device_says_behind_the_back_of_its_end_is_void() {
    let (phone, laptop, tablet, mut log) = family();
    let mut thief = log.clone();
    let mut user = log.clone();
    author(&mut user, &phone, end(&laptop), 20);

    author(&mut thief, &laptop, rename(&phone, "pwned"), 21);
    author(&mut thief, &laptop, end(&tablet), 22);
    let helper = add(&mut thief, &laptop, 9, "helper");
    author(&mut thief, &helper, rename(&tablet, "pwned too"), 23);
    let certificate = thief.certificate(helper.id()).expect("it has one");

    // Who has only heard of the end refuses the stranger that the thief has added since.
    let refused = Err(IdentityError::Revoked { device: laptop.id() });
    assert_eq!(user.authenticate(&certificate, &helper.public().transport), refused);

    learn(&mut user, &thief);
    learn(&mut log, &thief);
    learn(&mut log, &user);
    assert_eq!(log.digest(), user.digest());
    let names: Vec<_> = log.devices().map(|device| device.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"phone".to_owned(), &"tablet".to_owned()]));
    assert_eq!(standing(&log, &helper), Standing::Void);
    assert_eq!(log.counted(helper.id(), space(&log), LOG), Some(Head::NONE));
    let refused = Err(IdentityError::Revoked { device: helper.id() });
    assert_eq!(log.authenticate(&certificate, &helper.public().transport), refused);

    let request = AddDevice::new(log.user_id(), &helper, "watch").expect("a good name");
    author(&mut log, &phone, Body::AddDevice(request), 30);
    assert_eq!(log.device(helper.id()).map(|device| device.added_by), Some(Some(phone.id())));
    assert_eq!(log.counted(helper.id(), space(&log), LOG), None);
}

/// Promise: of two devices that revoke each other, neither knowing of it, the senior one stays, on every device; what
/// it says later builds on both and counts.
#[test]
fn the_senior_of_two_that_revoke_each_other_stays() {
    let (phone, laptop, tablet, log) = family();
    for (senior, junior) in [(&phone, &laptop), (&phone, &tablet), (&laptop, &tablet)] {
        let (mut one, mut other) = (log.clone(), log.clone());
        author(&mut one, senior, end(junior), 90);
        author(&mut other, junior, end(senior), 20);
        learn(&mut other, &one);
        learn(&mut one, &other);
        assert_eq!(one.digest(), other.digest());
        for log in [&mut one, &mut other] {
            assert_eq!(standing(log, junior), Standing::Revoked { by: senior.id() });
            assert_eq!(log.counted(senior.id(), space(log), LOG), None);
            author(log, senior, rename(senior, "still here"), 100);
            assert_eq!(log.device(senior.id()).map(|device| device.name).as_deref(), Some("still here"));
        }
    }
}

/// Promise: a junior that revokes a senior device and is revoked by nobody has its way: the first device is no king.
#[test]
fn a_junior_revokes_a_stolen_senior() {
    let (phone, laptop, tablet, log) = family();
    let (mut thief, mut user) = (log.clone(), log);
    author(&mut user, &tablet, end(&phone), 20);
    author(&mut thief, &phone, rename(&laptop, "pwned"), 30);
    learn(&mut user, &thief);
    assert_eq!(standing(&user, &phone), Standing::Revoked { by: tablet.id() });
    assert_eq!(user.device(laptop.id()).map(|device| device.name).as_deref(), Some("laptop"));
}

/// Promise: a stolen senior device that revokes all others is undone by the phrase, whatever it says before, beside
/// and after, and so are the devices that it added.
#[test]
fn a_stolen_senior_that_revokes_all_others_is_undone_by_the_phrase() {
    let (phone, laptop, tablet, log) = family();
    let root = root_key(1);
    let (mut thief, mut user) = (log.clone(), log);
    author(&mut thief, &phone, end(&laptop), 20);
    let helper = add(&mut thief, &phone, 9, "helper");
    learn(&mut user, &thief);
    author(&mut thief, &phone, end(&tablet), 21);
    assert_eq!(user.device_count(), 3);

    let recovery = re_root(&root, &mut user, &[&laptop, &tablet]);
    let late = add(&mut thief, &helper, 10, "late helper");
    author(&mut thief, &late, end(&tablet), 22);
    for log in [&mut user, &mut thief.clone()] {
        learn(log, &thief);
        log.insert(recovery.as_bytes()).expect("the phrase");
        let ids: BTreeSet<_> = log.devices().map(|device| device.id).collect();
        assert_eq!(ids, BTreeSet::from([laptop.id(), tablet.id()]));
        assert_eq!(standing(log, &phone), Standing::LeftOut);
        assert_eq!((standing(log, &helper), standing(log, &late)), (Standing::LeftOut, Standing::Void));
    }

    // Nobody but the phrase brings the thief back.
    let again = AddDevice::new(user.user_id(), &phone, "phone").expect("a good name");
    author(&mut user, &laptop, Body::AddDevice(again), 40);
    assert_eq!(standing(&user, &phone), Standing::LeftOut);
    re_root(&root, &mut user, &[&phone, &laptop]);
    assert_eq!(standing(&user, &phone), Standing::Active);
    assert_eq!(standing(&user, &tablet), Standing::LeftOut);
    // Whoever stays is as good as ever, and can be revoked again.
    author(&mut user, &laptop, end(&phone), 50);
    assert_eq!(standing(&user, &phone), Standing::Revoked { by: laptop.id() });
}

/// Promise: only the phrase says who stays.
#[test]
fn no_device_says_who_stays() {
    let (phone, laptop, _, log) = family();
    let body = Body::ReRoot { kept: [phone.id()].into(), counted: Frontiers::new() };
    let refused = IdentityError::RootOnly { device: laptop.id() };
    assert_eq!(log.author(&laptop, body.clone(), at(20)), Err(refused.clone()));
    let heads = log.heads().collect();
    let forged = Entry::sign(laptop.signing(), log.user_id(), at(20), heads, body).expect("signs");
    assert_eq!(log.clone().insert(forged.as_bytes()), Err(refused));

    let root = root_key(1);
    let nobody = Body::ReRoot { kept: BTreeSet::new(), counted: Frontiers::new() };
    assert!(matches!(log.author_as_root(&root, nobody, at(20)), Err(IdentityError::Malformed { .. })));
    let stranger = DeviceKeys::generate(&host(9));
    let body = Body::ReRoot { kept: [stranger.id()].into(), counted: Frontiers::new() };
    let unknown = Err(IdentityError::UnknownDevice { device: stranger.id() });
    assert_eq!(log.author_as_root(&root, body, at(20)), unknown);
}

/// Promise: a device may go by itself, but not the last one; what it wrote stays.
#[test]
fn a_device_retires_unless_it_is_the_last() {
    let (phone, laptop, tablet, mut log) = family();
    let going = end_at(&log, &tablet, 9);
    author(&mut log, &tablet, going, 20);
    assert_eq!(standing(&log, &tablet), Standing::Retired);
    assert_eq!(log.counted(tablet.id(), space(&log), LOG), Some(head(9)));

    // Both that are left go at the same time: one of them stays, the same everywhere.
    let (mut one, mut other) = (log.clone(), log);
    author(&mut one, &phone, end(&phone), 30);
    author(&mut other, &laptop, end(&laptop), 31);
    assert_eq!(one.author(&laptop, end(&laptop), at(32)), Err(IdentityError::LastDevice { device: laptop.id() }));
    learn(&mut one, &other);
    learn(&mut other, &one);
    assert_eq!(one.devices().collect::<Vec<_>>(), other.devices().collect::<Vec<_>>());
    assert_eq!((one.device_count(), standing(&one, &phone)), (1, Standing::Retired));
}

/// Promise: a device can be cut off earlier later on, and never later: what every end of it lets count, counts.
#[test]
fn the_earliest_frontier_counts() {
    let (phone, laptop, tablet, log) = family();
    let (mut one, mut other) = (log.clone(), log);
    let (early, late) = (end_at(&one, &phone, 3), end_at(&one, &phone, 8));
    author(&mut one, &laptop, late, 20);
    author(&mut other, &tablet, early, 21);
    learn(&mut one, &other);
    assert_eq!(one.counted(phone.id(), space(&one), LOG), Some(head(3)));
    let earlier = end_at(&one, &phone, 2);
    author(&mut one, &tablet, earlier, 30);
    let later = end_at(&one, &phone, 50);
    author(&mut one, &laptop, later, 31);
    assert_eq!(one.counted(phone.id(), space(&one), LOG), Some(head(2)));
}

/// Promise: a log that a device has filled up still takes in what the phrase says.
#[test]
fn a_full_log_takes_in_what_the_phrase_says() {
    let (root, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    let body = Body::Unknown { kind: 200, bytes: vec![7; 65_000] };
    for second in 1..2000 {
        let entry = log.author(&phone, body.clone(), at(second)).expect("signs");
        if log.insert(entry.as_bytes()) == Err(IdentityError::LogFull) {
            break;
        }
    }
    let entry = log.author(&laptop, end(&phone), at(3000)).expect("signs");
    let refused = log.insert(&[entry.as_bytes(), &[]].concat());
    // A small entry may still find room; a large one does not.
    assert!(matches!(refused, Ok(_) | Err(IdentityError::LogFull)));
    re_root(&root, &mut log, &[&laptop]);
    assert_eq!(log.devices().map(|device| device.id).collect::<Vec<_>>(), [laptop.id()]);
}

/// Promise: a device that wrote to more logs than one entry can name is ended with all of them, in entries that follow
/// each other; and cut off earlier by a later end all the same.
#[test]
fn a_device_of_any_number_of_logs_can_be_ended() {
    let (phone, laptop, _, mut log) = family();
    let spaces: Vec<SpaceId> = (0..2000_u32)
        .map(|n| SpaceId::founded_by(log.user_id(), &[n.to_le_bytes(); 4].concat().try_into().expect("16 bytes")))
        .collect();
    let all = |seq: u64| {
        let mut counted = Frontiers::new();
        spaces.iter().for_each(|space| counted.advance(*space, LOG, head(seq)));
        counted
    };
    let end = |log: &mut IdentityLog, by: &DeviceKeys, counted: Frontiers| {
        let mut parts = counted.split();
        assert_eq!(parts.iter().map(Frontiers::logs).sum::<usize>(), 2000);
        let last = parts.pop().expect("at least one");
        parts.into_iter().for_each(|part| drop(author(log, by, Body::Counted(part), 30)));
        author(log, by, Body::EndDevice { device: laptop.id(), counted: last }, 30);
    };
    end(&mut log, &phone, all(7));
    assert!(spaces.iter().all(|space| log.counted(laptop.id(), *space, LOG) == Some(head(7))));
    end(&mut log, &phone, all(5));
    assert!(spaces.iter().all(|space| log.counted(laptop.id(), *space, LOG) == Some(head(5))));
    let nothing = end_at(&log, &laptop, 0);
    author(&mut log, &phone, nothing, 40);
    assert!(spaces.iter().all(|space| log.counted(laptop.id(), *space, LOG) == Some(Head::NONE)));
}
