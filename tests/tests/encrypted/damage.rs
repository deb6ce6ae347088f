//! Values that can't be read: altered, moved to another place, or another user's.

use cfost::Error;
use cfost::oplog::SpaceId;
use cfost::prelude::*;
use cfost::schema::WhyLocked;

use super::{CANARY, Visit, assert_sound, open, ops, put, stored, visit};

#[test]
fn every_byte_counts_and_an_altered_value_is_locked_and_never_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let db = open(&path, 1);
    let visit = db.insert(visit("cough")).unwrap();
    let whole = stored(&path, "note", visit.id).unwrap();
    for byte in 0..whole.len() {
        let mut altered = whole.clone();
        altered[byte] ^= 1;
        put(&path, "note", visit.id, Some(&altered));
        let read = db.get::<Visit>(visit.id).unwrap().unwrap();
        let why = read.note.why_locked().unwrap_or_else(|| panic!("byte {byte} can be altered"));
        match byte {
            // The space, or the epoch: a key that nobody has here.
            1..21 => assert!(matches!(why, WhyLocked::NoKey { .. } | WhyLocked::Damaged), "byte {byte}: {why}"),
            _ => assert_eq!(why, WhyLocked::Damaged, "byte {byte}"),
        }
        assert_eq!(read.reason, "cough");
    }
    for cut in [0, 1, 20, 44, 60, whole.len() - 1] {
        put(&path, "note", visit.id, Some(&whole[..cut]));
        let why = db.get::<Visit>(visit.id).unwrap().unwrap().note.why_locked();
        assert_eq!(why, Some(WhyLocked::Damaged), "cut at {cut}");
    }
    put(&path, "note", visit.id, Some(&[&[2], &whole[1..]].concat()));
    assert_eq!(db.get::<Visit>(visit.id).unwrap().unwrap().note.why_locked(), Some(WhyLocked::Newer));
    put(&path, "note", visit.id, Some(&whole));
    assert_eq!(db.get::<Visit>(visit.id).unwrap(), Some(visit));
}

#[test]
fn a_value_that_is_put_into_another_row_or_another_column_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let db = open(&path, 1);
    let (one, other) = (db.insert(visit("cough")).unwrap(), db.insert(visit("headache")).unwrap());
    let (finding, note) = (stored(&path, "finding", one.id).unwrap(), stored(&path, "note", one.id).unwrap());
    put(&path, "finding", one.id, Some(&note));
    put(&path, "note", other.id, Some(&note));
    let one = db.get::<Visit>(one.id).unwrap().unwrap();
    assert_eq!(one.finding.why_locked(), Some(WhyLocked::Damaged), "of another column");
    assert_eq!(one.note.open(), Some(&Some(CANARY.to_owned())), "in its own place");
    let other = db.get::<Visit>(other.id).unwrap().unwrap();
    assert_eq!(other.note.why_locked(), Some(WhyLocked::Damaged), "of another row");
    put(&path, "finding", one.id, Some(&finding));
    assert_eq!(db.get::<Visit>(one.id).unwrap().unwrap().finding.open(), Some(&CANARY.to_owned()));
}

#[test]
fn what_another_user_encrypted_is_locked_and_says_whose_key_opens_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, theirs) = (dir.path().join("clinic.db"), dir.path().join("theirs.db"));
    let (db, eve) = (open(&path, 1), open(&theirs, 2));
    let mine = db.insert(visit("cough")).unwrap();
    eve.insert(mine.clone()).unwrap();
    put(&path, "note", mine.id, stored(&theirs, "note", mine.id).as_deref());
    let space = SpaceId::home_of(eve.user().unwrap().id);
    let read = db.get::<Visit>(mine.id).unwrap().unwrap();
    assert_eq!(read.note.why_locked(), Some(WhyLocked::NoKey { space }));
    assert_eq!(read.finding, mine.finding);
}

#[test]
fn a_locked_value_is_kept_as_it_is_and_an_open_one_may_take_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (path, theirs) = (dir.path().join("clinic.db"), dir.path().join("theirs.db"));
    let (db, eve) = (open(&path, 1), open(&theirs, 2));
    let mine = db.insert(visit("cough")).unwrap();
    eve.insert(mine.clone()).unwrap();
    let sealed = stored(&theirs, "note", mine.id).unwrap();
    put(&path, "note", mine.id, Some(&sealed));
    let before = ops(&db);
    db.update(mine.id, |visit: &mut Visit| visit.note = visit.note.clone()).unwrap();
    assert_eq!(ops(&db), before, "an unchanged value is no edit");
    db.update(mine.id, |visit: &mut Visit| visit.reason.push('s')).unwrap();
    assert_eq!(stored(&path, "note", mine.id), Some(sealed), "nor does another edit touch it");
    let locked = db.get::<Visit>(mine.id).unwrap().unwrap();
    let copied = db.insert(Visit { id: Uuid::nil(), ..locked.clone() });
    assert!(matches!(copied, Err(Error::LockedValue { field: "note", .. })), "{copied:?}");
    let other = db.insert(visit("headache")).unwrap();
    let moved = db.update(other.id, |visit: &mut Visit| visit.note = locked.note.clone());
    assert!(matches!(moved, Err(Error::LockedValue { field: "note", .. })), "{moved:?}");
    db.update(mine.id, |visit: &mut Visit| visit.note = Some("mine".to_owned()).into()).unwrap();
    assert_eq!(db.get::<Visit>(mine.id).unwrap().unwrap().note.open(), Some(&Some("mine".to_owned())));
    assert_sound(&db);
}
