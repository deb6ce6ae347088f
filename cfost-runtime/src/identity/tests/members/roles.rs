//! Stories of who is what in a space.

use super::*;
use crate::identity::{Ended, Limit};
use crate::oplog::{ChangeId, Head, LogId};

const LOG: LogId = LogId::from_bytes([9; 16]);

fn up_to(log: &SpaceLog, seq: u64) -> Frontiers {
    let mut counted = Frontiers::new();
    counted.advance(log.space(), LOG, head(seq));
    counted
}

fn head(seq: u64) -> Head {
    Head { seq, id: ChangeId::from_bytes([seq as u8; 32]) }
}

/// Promise: a new space has one member, its founder, all of whose devices have the key.
#[test]
fn whoever_founds_a_space_owns_it() {
    let [ana, ben] = people();
    let (log, key) = found(&ana);
    let members = ana.members(&log);
    assert_eq!(members.iter().collect::<Vec<_>>(), [(ana.id(), Role::Owner)]);
    assert_eq!((members.owner(), members.role(ben.id())), (Some(ana.id()), None));
    assert_eq!(members.current_epoch(), Current::Epoch(key.epoch()));
    assert_eq!(members.without_key(key.epoch()), []);
    assert_eq!(members.commitment(key.epoch()), Some(*key.commitment()));
    for device in &ana.devices {
        let grant = members.epochs()[&key.epoch()].grants().next().expect("it was begun").clone();
        let opened = grant.open_key(device).expect("it holds").expect("it is for this device");
        assert_eq!(opened.secret(), key.secret());
        assert!(grant.open_key(&ben.devices[0]).expect("not for him").is_none());
        assert_eq!(members.limit(device.id(), LOG, key.epoch()), Limit::All);
    }
    assert_eq!(members.limit(ben.devices[0].id(), LOG, key.epoch()), Limit::NOTHING);
    let read = SpaceLog::from_entries(log.space(), log.entries().map(SpaceEntry::as_bytes)).expect("its own entries");
    assert_eq!((read.digest(), read.members(&ben.users).owner()), (log.digest(), Some(ana.id())));
}

/// Promise: who was added writes from the epoch on that begins with that, reads what was before, and after the removal
/// counts as far as the owner says.
#[test]
fn a_writer_counts_from_the_epoch_that_begins_with_it_to_the_end_of_it() {
    let [ana, ben] = people();
    let (mut log, first) = found(&ana);
    ana.set(&mut log, &ben, Role::Writer);
    let members = ana.members(&log);
    assert_eq!((members.role(ben.id()), members.current_epoch()), (Some(Role::Writer), Current::Due));
    assert_eq!(members.without_key(first.epoch()).len(), 2, "both of his devices are owed what was before");

    ana.give(&mut log, &first);
    assert_eq!(ana.members(&log).without_key(first.epoch()), []);
    let second = ana.begin(&mut log, 8);
    let device = ben.devices[1].id();
    let members = ana.members(&log);
    assert_eq!(members.current_epoch(), Current::Epoch(second.epoch()));
    assert_eq!(members.limit(device, LOG, first.epoch()), Limit::NOTHING);
    assert_eq!(members.limit(device, LOG, second.epoch()), Limit::All);

    let body = SpaceBody::EndMember { user: ben.id(), counted: up_to(&log, 3) };
    let end = ana.say(0, &mut log, body).expect("the owner");
    let members = ana.members(&log);
    assert_eq!((members.role(ben.id()), members.ended(ben.id())), (None, Some(Ended::Removed { by: ana.id() })));
    assert_eq!(members.current_epoch(), Current::Due);
    assert_eq!(members.limit(device, LOG, second.epoch()), Limit::UpTo(head(3)));
    let third = ana.begin(&mut log, 9);
    let members = ana.members(&log);
    assert_eq!(members.limit(device, LOG, third.epoch()), Limit::NOTHING);
    assert_eq!(members.current_epoch(), Current::Epoch(third.epoch()));

    // He is told that he was removed, and not what came after.
    let told = log.told_to(&ana.users, ben.id()).expect("he is no member");
    assert_eq!((told.last(), told.len()), (Some(&end.id()), log.entry_count() - 1));
    assert_eq!(log.told_to(&ana.users, ana.id()), None);
}

/// Promise: what is sealed under the key of an epoch in whose view its author is a reader never counts; made a writer
/// again, the user counts from the epoch that begins with that.
#[test]
fn a_reader_never_counts_until_the_epoch_that_begins_with_another_role() {
    let [ana, ben] = people();
    let (mut log, first) = found(&ana);
    ana.set(&mut log, &ben, Role::Writer);
    ana.give(&mut log, &first);
    let second = ana.begin(&mut log, 8);
    let device = ben.devices[0].id();
    let body = SpaceBody::Member { root: ben.root(), role: Role::Reader, counted: up_to(&log, 5) };
    ana.say(0, &mut log, body).expect("the owner");
    let members = ana.members(&log);
    assert_eq!(members.role(ben.id()), Some(Role::Reader));
    assert_eq!(members.current_epoch(), Current::Epoch(second.epoch()), "he may go on reading");
    assert_eq!(members.limit(device, LOG, second.epoch()), Limit::UpTo(head(5)));

    // A reader begins no epoch, and one that pretends not to know of it gains nothing.
    let grant =
        EpochGrant::seal(&host(5), ben.id(), log.space(), &new_epoch(&host(9)), &members.devices()).expect("few");
    let refused =
        IdentityError::RoleTooLow { space: log.space(), user: ben.id(), role: Role::Reader, needed: Role::Writer };
    assert_eq!(ben.say(0, &mut log, SpaceBody::Epoch(grant)), Err(refused));
    let before = SpaceLog::from_entries(log.space(), log.entries().take(5).map(SpaceEntry::as_bytes)).expect("whole");
    let (mut other, pretended) = (before.clone(), new_epoch(&host(9)));
    let grant =
        EpochGrant::seal(&host(5), ben.id(), log.space(), &pretended, &ben.members(&before).devices()).expect("few");
    let entry = ben.say(1, &mut other, SpaceBody::Epoch(grant)).expect("as far as that goes he is a writer");
    log.insert(entry.as_bytes()).expect("it holds by itself");
    let members = ana.members(&log);
    assert_eq!(members.limit(device, LOG, pretended.epoch()), Limit::UpTo(head(5)));
    assert_eq!(members.current_epoch(), Current::Epoch(second.epoch()));

    ana.set(&mut log, &ben, Role::Writer);
    assert_eq!(ana.members(&log).current_epoch(), Current::Due, "he may write under none yet");
    let third = ana.begin(&mut log, 10);
    let members = ben.members(&log);
    assert_eq!(members.limit(device, LOG, second.epoch()), Limit::UpTo(head(5)));
    assert_eq!(members.limit(device, LOG, third.epoch()), Limit::All);
}

/// Promise: the ownership is handed over once; what the former owner said behind its back has no effect, and is a
/// writer's word after it.
#[test]
fn a_space_is_handed_over_once() {
    let [ana, ben, carl] = people();
    let (mut log, _) = found(&ana);
    ana.set(&mut log, &ben, Role::Reader);
    let stranger = IdentityError::NotMember { space: log.space(), user: carl.id() };
    assert_eq!(ana.say(0, &mut log, SpaceBody::HandOver { user: carl.id() }), Err(stranger));
    let mut behind = log.clone();
    ana.say(0, &mut log, SpaceBody::HandOver { user: ben.id() }).expect("the owner");
    let body = SpaceBody::Member { root: carl.root(), role: Role::Writer, counted: Frontiers::new() };
    ana.say(1, &mut behind, body.clone()).expect("as far as that device knows, it is the owner's");
    for entry in behind.entries() {
        log.insert(entry.as_bytes()).expect("it holds by itself");
    }
    let members = ben.members(&log);
    assert_eq!((members.role(ben.id()), members.role(ana.id())), (Some(Role::Owner), Some(Role::Writer)));
    assert_eq!((members.role(carl.id()), members.named().count()), (None, 2));
    let not_owner = IdentityError::NotOwner { space: log.space(), user: ana.id() };
    assert_eq!(ana.say(0, &mut log, body.clone()), Err(not_owner));
    ben.say(0, &mut log, body).expect("the owner now");
    let is_owner = IdentityError::IsOwner { space: log.space(), user: ben.id() };
    let leave = |user| SpaceBody::EndMember { user, counted: Frontiers::new() };
    assert_eq!(ben.say(0, &mut log, leave(ben.id())), Err(is_owner));
    ana.say(0, &mut log, leave(ana.id())).expect("she may leave");
    let members = carl.members(&log);
    assert_eq!((members.ended(ana.id()), members.role(carl.id())), (Some(Ended::Left), Some(Role::Writer)));
}

/// Promise: what a revoked device said about a space counts as far as its user says, whoever learns of it when; and
/// what others wrote under a key that it gave stays.
#[test]
fn a_revoked_device_of_the_owner_has_said_what_its_user_says() {
    let [mut ana, ben, carl] = people();
    let (mut log, _) = found(&ana);
    ana.set(&mut log, &ben, Role::Writer);
    let (phone, laptop) = (ana.devices[0].clone(), ana.devices[1].clone());
    let mut counted = Frontiers::new();
    counted.advance(log.space(), LogId::MEMBERS, log.head_of(phone.id()));
    // A thief has the phone: the user does not know of what it says from here on.
    let epoch = ana.begin(&mut log, 8);
    ana.set(&mut log, &carl, Role::Writer);
    assert_eq!(ana.members(&log).role(carl.id()), Some(Role::Writer));

    let mut own = IdentityLog::clone(ana.users.own());
    let end = crate::identity::Body::EndDevice { device: phone.id(), counted };
    let end = own.author(&laptop, end, at(20)).expect("her laptop");
    own.insert(end.as_bytes()).expect("her laptop");
    ana.users.put(Arc::new(own));
    let members = ana.members(&log);
    assert_eq!((members.role(carl.id()), members.role(ben.id())), (None, Some(Role::Writer)));
    assert_eq!((members.owner(), members.current_epoch()), (Some(ana.id()), Current::Due));
    assert_eq!(members.limit(ben.devices[0].id(), LOG, epoch.epoch()), Limit::All);
    assert_eq!(members.limit(carl.devices[0].id(), LOG, epoch.epoch()), Limit::NOTHING);
    let revoked = log.author(&ana.users, &phone, SpaceBody::HandOver { user: ben.id() }, at(30));
    assert_eq!(revoked.err(), Some(IdentityError::Revoked { device: phone.id() }));
}
