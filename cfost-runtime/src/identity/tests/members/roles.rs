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
