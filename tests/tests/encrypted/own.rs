//! The devices of one user: they read what was written on any of them.

use cfost::Error;
use cfost::host::{Host, ManualClock};
use cfost::oplog::SpaceId;
use cfost::prelude::*;
use cfost::schema::{Value, WhyLocked};
use cfost::store::OpData;
use cfost::testing;
use cfost_tests::fleet::START_MS;

use super::{CANARY, EMAIL, PASSWORD, Visit, assert_sound, cheap, is_on_disk, open, ops, stored, visit};

#[test]
fn what_one_device_writes_the_users_other_device_reads_and_edits() {
    let devices = testing::devices(2, &models![Visit], 1).unwrap();
    let (phone, laptop) = (&devices[0].db, &devices[1].db);
    let cough = phone.insert(visit("cough")).unwrap();
    testing::sync(phone, laptop).unwrap();
    assert_eq!(laptop.get::<Visit>(cough.id).unwrap(), Some(cough.clone()));
    laptop.update(cough.id, |visit: &mut Visit| visit.note = Some("call back".to_owned()).into()).unwrap();
    testing::sync(phone, laptop).unwrap();
    let note = phone.get::<Visit>(cough.id).unwrap().unwrap().note;
    assert_eq!(note.open(), Some(&Some("call back".to_owned())));
    assert_sound(phone);
    assert_sound(laptop);
}

#[test]
fn no_file_of_the_database_has_what_is_encrypted_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let db = open(&path, 1);
    let visit = db.insert(visit("a cough that anybody may read")).unwrap();
    db.update(visit.id, |visit: &mut Visit| *visit.finding.open_mut().unwrap() += ", twice").unwrap();
    db.undo().unwrap();
    assert_sound(&db);
    assert_eq!(db.get::<Visit>(visit.id).unwrap(), Some(visit));
    assert!(is_on_disk(&path, b"a cough that anybody may read"), "the search finds what is there");
    assert!(!is_on_disk(&path, CANARY.as_bytes()), "while the database is open");
    drop(db);
    assert!(!is_on_disk(&path, CANARY.as_bytes()), "and after");
}

#[test]
fn only_what_an_edit_changes_is_sealed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let db = open(&path, 1);
    let visit = db.insert(visit("cough")).unwrap();
    let (finding, note) = (stored(&path, "finding", visit.id), stored(&path, "note", visit.id));
    db.update(visit.id, |visit: &mut Visit| visit.reason.push('s')).unwrap();
    db.update(visit.id, |visit: &mut Visit| visit.note = Some("call back".to_owned()).into()).unwrap();
    assert_eq!(stored(&path, "finding", visit.id), finding);
    assert_ne!(stored(&path, "note", visit.id), note);
    let before = ops(&db);
    db.update(visit.id, |visit: &mut Visit| visit.note = Some("call back".to_owned()).into()).unwrap();
    assert_eq!(ops(&db), before, "the same value again is no edit");
    let immutable = db.update(visit.id, |visit: &mut Visit| visit.number = 1.into());
    assert!(matches!(immutable, Err(Error::Immutable { field: "number", .. })), "{immutable:?}");
}

#[test]
fn the_same_value_twice_is_two_ciphertexts_and_both_carry_the_version_of_the_layout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let db = open(&path, 1);
    let (one, other) = (db.insert(visit("cough")).unwrap(), db.insert(visit("cough")).unwrap());
    let (one, other) = (stored(&path, "note", one.id).unwrap(), stored(&path, "note", other.id).unwrap());
    assert_eq!((one[0], other[0], one.len()), (1, 1, other.len()));
    assert_ne!(one[21..45], other[21..45], "the nonces");
    assert_ne!(one[45..], other[45..]);
}

#[test]
fn a_locked_device_reads_that_there_is_a_value_and_the_password_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let db = open(&path, 1);
    db.register_user_with("Ada", EMAIL, PASSWORD, cheap()).unwrap();
    let visit = db.insert(visit("cough")).unwrap();
    let home = SpaceId::home_of(db.user().unwrap().id);
    let is_locked = |db: &Db| {
        let locked = db.get::<Visit>(visit.id).unwrap().unwrap();
        assert_eq!(locked.reason, "cough");
        assert_eq!(locked.note.open(), None);
        assert_eq!(locked.note.why_locked(), Some(WhyLocked::NoKey { space: home }));
    };
    db.logout().unwrap();
    is_locked(&db);
    drop(db);
    let db = open(&path, 2);
    is_locked(&db);
    db.login(EMAIL, PASSWORD).unwrap();
    assert_eq!(db.get::<Visit>(visit.id).unwrap(), Some(visit));
}

#[test]
fn a_second_process_reads_what_the_first_one_encrypts_under_a_new_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let (db, reader) = (open(&path, 1), open(&path, 2));
    let first = db.insert(visit("cough")).unwrap();
    assert_eq!(reader.get::<Visit>(first.id).unwrap(), Some(first));
    // A device that is lost begins a new key.
    let phone =
        Db::options().host(Host::simulated(ManualClock::at(START_MS), 3)).open_in_memory(models![Visit]).unwrap();
    testing::pair(&db, &phone, &Host::simulated(ManualClock::at(START_MS), 4)).unwrap();
    testing::sync(&db, &phone).unwrap();
    let own = phone.devices().unwrap().into_iter().find(|device| device.is_this).unwrap();
    db.revoke_device(own.id).unwrap();
    let second = db.insert(visit("headache")).unwrap();
    let epoch = |id| stored(&path, "note", id).unwrap()[17..21].to_vec();
    assert_ne!(epoch(db.all::<Visit>().unwrap()[0].id), epoch(second.id), "there is a new key");
    assert_eq!(reader.get::<Visit>(second.id).unwrap(), Some(second));
    assert_eq!(reader.all::<Visit>().unwrap(), db.all::<Visit>().unwrap());
}

#[test]
fn what_was_encrypted_before_a_device_joined_its_user_is_encrypted_for_that_user() {
    let devices = testing::devices(2, &models![Visit], 5).unwrap();
    let (phone, laptop) = (&devices[0].db, &devices[1].db);
    let clock = ManualClock::at(START_MS);
    let tablet = Db::options().host(Host::simulated(clock.clone(), 6)).open_in_memory(models![Visit]).unwrap();
    let cough = tablet.insert(visit("cough")).unwrap();
    testing::pair(phone, &tablet, &Host::simulated(clock, 7)).unwrap();
    assert_eq!(tablet.get::<Visit>(cough.id).unwrap(), Some(cough.clone()), "the device itself still reads it");
    testing::sync(phone, &tablet).unwrap();
    testing::sync(phone, laptop).unwrap();
    assert_eq!(laptop.get::<Visit>(cough.id).unwrap(), Some(cough));
    assert_sound(&tablet);
}

#[test]
fn nothing_is_encrypted_for_a_space_whose_key_is_not_here() {
    let db = Db::open_in_memory(models![Visit]).unwrap();
    let space = Uuid::from_u128(7);
    let patient = Some(space);
    let refused = db.insert(Visit { patient, ..visit("cough") });
    let Err(Error::NoFieldKey { model: "Visit", field: "finding", space: named }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(named.as_bytes(), space.as_bytes());
    assert_eq!((db.count::<Visit>().unwrap(), ops(&db)), (0, 0), "nothing is left of it");
    let moved = db.insert(visit("cough")).unwrap();
    let moved = db.update(moved.id, |visit: &mut Visit| visit.patient = patient);
    assert!(matches!(moved, Err(Error::Immutable { field: "patient", .. })), "{moved:?}");
}

#[test]
fn a_value_that_no_op_has_written_is_the_default_and_undo_leaves_it() {
    let db = Db::open_in_memory(models![Visit]).unwrap();
    let visit = db.insert(Visit { pain: 3.into(), ..visit("cough") }).unwrap();
    db.update(visit.id, |visit: &mut Visit| visit.pain = 9.into()).unwrap();
    db.undo().unwrap();
    assert_eq!(db.get::<Visit>(visit.id).unwrap().unwrap().pain.open(), Some(&3));
    assert_sound(&db);
}

#[test]
fn the_past_is_read_as_the_present_is() {
    let devices = testing::devices(1, &models![Visit], 8).unwrap();
    let (db, clock) = (&devices[0].db, &devices[0].clock);
    let cough = db.insert(visit("cough")).unwrap();
    let then = cfost::clock::Timestamp::from_ms(START_MS + 500);
    clock.set(START_MS + 1000);
    db.update(cough.id, |visit: &mut Visit| visit.note = None.into()).unwrap();
    assert_eq!(db.at(then).unwrap().get::<Visit>(cough.id).unwrap(), Some(cough.clone()));
    // What history tells is what was written: sealed bytes.
    let history = db.history::<Visit>(cough.id).unwrap();
    for entry in &history {
        let (_, note) = entry.data.iter().find(|(name, _)| name == "note").unwrap();
        assert!(matches!(note, OpData::Write(Value::Blob(sealed)) if sealed[0] == 1), "{note:?}");
        assert!(!entry.data_json().contains("canary"));
    }
    let explained = db.explain::<Visit>(cough.id).unwrap();
    assert!(!format!("{explained}").contains("canary"));
}

#[test]
fn a_row_that_was_deleted_can_be_inserted_again_with_the_same_immutable_value() {
    let db = Db::open_in_memory(models![Visit]).unwrap();
    let cough = db.insert(visit("cough")).unwrap();
    db.delete::<Visit>(cough.id).unwrap();
    let other = db.insert(Visit { number: 1.into(), ..cough.clone() });
    assert!(matches!(other, Err(Error::Immutable { field: "number", .. })), "{other:?}");
    db.insert(cough.clone()).unwrap();
    assert_eq!(db.get::<Visit>(cough.id).unwrap(), Some(cough));
    assert_sound(&db);
}

#[test]
fn encrypted_fields_keep_the_laws_of_merging() {
    testing::merge_laws::<Visit>();
}
