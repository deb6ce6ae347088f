//! Damage in the file is cut out, comes back from a peer, and what can't come back is said.

use cfost::sync::Event;
use cfost::sync::pipe::{End, Pipe};

use cfost::store::{Difference, StoreError};

use super::*;

/// Alters a change in the middle of a log as a failing disk does: `nth` counts the stored changes of all logs.
fn flip(path: &Path, nth: usize) {
    let raw = raw(path);
    let select = "SELECT position, change FROM cfost_changes ORDER BY position LIMIT 1 OFFSET ?1";
    let (position, mut change): (i64, Vec<u8>) =
        raw.query_row(select, [nth as i64], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let middle = change.len() / 2;
    change[middle] ^= 0x40;
    raw.execute("UPDATE cfost_changes SET change = ?2 WHERE position = ?1", (position, change)).unwrap();
}

fn stored(path: &Path) -> usize {
    raw(path).query_row("SELECT count(*) FROM cfost_changes", [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

#[test]
fn every_damaged_change_that_a_peer_holds_is_cut_out_and_comes_back() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    for n in 0..4 {
        phone.insert(todo(&format!("phone {n}"))).unwrap();
        laptop.insert(todo(&format!("laptop {n}"))).unwrap();
        meet(&phone, &laptop);
    }
    let expected = titles(&laptop);
    let path = folder.path("phone");
    for nth in 0..stored(&path) {
        flip(&path, nth);
        let found = phone.verify().unwrap().differences;
        let [Difference::Change { log, seq, .. }] = found[..] else { panic!("change {nth}: {found:?}") };
        let repaired = phone.repair().unwrap();
        let [cut] = &repaired.cut[..] else { panic!("change {nth}: {repaired:?}") };
        assert_eq!((cut.log, cut.lost, cut.rewritten), (log, 0, 0), "change {nth}");
        assert!(cut.first_seq <= seq && seq <= cut.last_seq);
        assert_eq!(cut.awaited, cut.last_seq - cut.first_seq + 1);
        let missing = phone.verify().unwrap().differences;
        let awaited = Difference::Awaited { log, first_seq: cut.first_seq, last_seq: cut.last_seq };
        assert_eq!(missing, [awaited], "change {nth}");
        meet(&phone, &laptop);
        assert_sound(&phone);
        assert_eq!(titles(&phone), expected, "change {nth}");
    }
    phone.insert(todo("after all")).unwrap();
    meet(&laptop, &phone);
    assert_eq!(phone.all::<Todo>().unwrap(), laptop.all::<Todo>().unwrap());
    assert_eq!(phone.oplog().unwrap().count(), laptop.oplog().unwrap().count());
    assert_sound(&laptop);
}

#[test]
fn what_had_left_the_device_comes_back_and_what_had_not_is_written_anew() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    let voted = phone.insert(todo("told")).unwrap();
    meet(&phone, &laptop);
    phone.update(voted.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    phone.insert(todo("kept to itself")).unwrap();
    let path = folder.path("phone");
    flip(&path, stored(&path) - 3);
    let repaired = phone.repair().unwrap();
    let [cut] = &repaired.cut[..] else { panic!("{repaired:?}") };
    assert_eq!((cut.awaited, cut.rewritten, cut.lost), (1, 2, 0));
    assert_eq!(titles(&phone), ["kept to itself"], "the row that was told is still missing");
    meet(&phone, &laptop);
    for db in [&phone, &laptop] {
        assert_eq!(titles(db), ["kept to itself", "told"]);
        assert_eq!(db.get::<Todo>(voted.id).unwrap().unwrap().votes, 1);
        assert_sound(db);
    }
}

#[test]
fn what_nobody_else_has_is_said_to_be_lost() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    phone.insert(todo("told")).unwrap();
    meet(&phone, &laptop);
    for title in ["readable", "damaged", "behind the damage"] {
        phone.insert(todo(title)).unwrap();
    }
    let path = folder.path("phone");
    flip(&path, stored(&path) - 2);
    let repaired = phone.repair().unwrap();
    let [cut] = &repaired.cut[..] else { panic!("{repaired:?}") };
    assert_eq!((cut.awaited, cut.rewritten, cut.lost), (0, 1, 2));
    meet(&phone, &laptop);
    for db in [&phone, &laptop] {
        assert_eq!(titles(db), ["readable", "told"]);
        assert_sound(db);
    }
}

#[test]
fn what_no_peer_has_yet_is_named_until_one_does() {
    let mut folder = Folder::new();
    let [phone, laptop, tablet] = folder.devices(["phone", "laptop", "tablet"]);
    tablet.insert(todo("from the tablet")).unwrap();
    meet(&phone, &tablet);
    let path = folder.path("phone");
    flip(&path, stored(&path) - 1);
    let cut = phone.repair().unwrap().cut;
    assert_eq!(cut.len(), 1);
    meet(&phone, &laptop);
    let found = phone.verify().unwrap().differences;
    let [Difference::Awaited { log, first_seq: 1, last_seq: 1 }] = found[..] else { panic!("{found:?}") };
    assert!(found[0].to_string().contains(&log.to_string()) && found[0].to_string().contains("sync with a device"));
    meet(&phone, &tablet);
    assert_sound(&phone);
    assert_eq!(titles(&phone), ["from the tablet"]);
}

#[test]
fn rows_that_were_altered_behind_the_oplogs_back_are_made_anew() {
    let mut folder = Folder::new();
    let phone = folder.open("phone");
    let milk = phone.insert(todo("milk")).unwrap();
    raw(&folder.path("phone")).execute("UPDATE todos SET title = 'beer'", []).unwrap();
    assert!(!phone.verify().unwrap().is_sound());
    assert!(phone.repair().unwrap().cut.is_empty());
    assert_sound(&phone);
    assert_eq!(phone.get::<Todo>(milk.id).unwrap(), Some(milk));
}

#[test]
fn a_session_that_is_open_asks_at_once_for_what_was_cut_out() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    laptop.insert(todo("from the laptop")).unwrap();
    let mut pipe = Pipe::connect(phone.replica().unwrap(), laptop.replica().unwrap(), START_MS).unwrap();
    pipe.run();
    assert_eq!(titles(&phone), ["from the laptop"]);
    let path = folder.path("phone");
    flip(&path, stored(&path) - 1);
    phone.repair().unwrap();
    assert_eq!(titles(&phone), [""; 0]);
    pipe.changed(End::Dialer);
    pipe.run();
    let closed = |event: &Event| matches!(event, Event::Closed { .. });
    assert!(End::BOTH.into_iter().all(|end| !pipe.take_events(end).iter().any(closed)));
    assert_eq!(titles(&phone), ["from the laptop"]);
    assert_sound(&phone);
}

#[test]
fn a_database_that_no_longer_opens_for_its_newest_changes_is_opened_and_repaired() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    phone.insert(todo("told")).unwrap();
    meet(&phone, &laptop);
    for title in ["readable", "damaged"] {
        phone.insert(todo(title)).unwrap();
    }
    drop(phone);
    let path = folder.path("phone");
    flip(&path, stored(&path) - 1);
    let host = folder.host();
    let refused = Db::options().host(host.clone()).open(&path, models![Todo]).unwrap_err();
    assert!(matches!(refused, cfost::Error::Store(StoreError::DamagedChange { .. })), "{refused}");
    let (phone, repaired) = Db::options().host(host).repair(&path, models![Todo]).unwrap();
    let [cut] = &repaired.cut[..] else { panic!("{repaired:?}") };
    assert_eq!((cut.awaited, cut.rewritten, cut.lost), (0, 1, 1));
    meet(&phone, &laptop);
    for db in [&phone, &laptop] {
        assert_eq!(titles(db), ["readable", "told"]);
        assert_sound(db);
    }
}
