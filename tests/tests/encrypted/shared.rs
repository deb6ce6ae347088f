//! Users who share rows: each field is read by those whom it is for, and kept and passed on by all others.

use cfost::host::{Host, ManualClock};
use cfost::identity::{Current, Role};
use cfost::oplog::{EpochKey, FieldKey, FieldPlace, SpaceId};
use cfost::prelude::*;
use cfost::schema::WhyLocked;
use cfost::{Error, oplog};
use cfost_tests::fleet::{Device, START_MS};

use super::people::{end, meet, person, runs, share, space, tell_entries};
use super::{CANARY, Clinic, Patient, Record, assert_sound};

/// A doctor and a receptionist, who share a clinic, and a patient, whom the doctor knows.
pub(super) struct Story {
    doctor: Vec<Device>,
    reception: Vec<Device>,
    patient: Vec<Device>,
    pub(super) clinic: Uuid,
    /// The row of the patient.
    pub(super) of: Uuid,
}

impl Story {
    pub(super) fn begin(seed: u64) -> Self {
        let (doctor, reception, patient) = (person(1, seed), person(1, seed + 1), person(1, seed + 2));
        let clinic = doctor[0].db.insert(Clinic { name: "clinic".into(), ..Clinic::default() }).unwrap().id;
        let of = patient[0].db.insert(Patient { name: "Ada".into(), ..Patient::default() }).unwrap().id;
        share(&doctor[0].db, &reception[0].db, clinic, Role::Writer);
        share(&patient[0].db, &doctor[0].db, of, Role::Reader);
        Self { doctor, reception, patient, clinic, of }
    }

    /// What the doctor writes about the patient, for everybody in the clinic to have.
    pub(super) fn write(&self) -> Record {
        let record = Record {
            clinic: self.clinic,
            patient: Some(self.of),
            reason: "cough".into(),
            finding: CANARY.to_owned().into(),
            memo: CANARY.to_owned().into(),
            ..Record::default()
        };
        self.doctor().insert(record).unwrap()
    }

    pub(super) fn doctor(&self) -> &Db {
        &self.doctor[0].db
    }

    pub(super) fn reception(&self) -> &Db {
        &self.reception[0].db
    }

    fn patient(&self) -> &Db {
        &self.patient[0].db
    }
}

pub(super) fn record(db: &Db, id: Uuid) -> Record {
    db.get::<Record>(id).unwrap().expect("the record is here")
}

/// The key that a database seals with in the space of a row.
pub(super) fn key_of(db: &Db, of: Uuid) -> EpochKey {
    let logs = db.replica().unwrap().logs().unwrap();
    let members = logs.spaces[&space(of)].members(&logs.users);
    let Current::Epoch(epoch) = members.current_epoch() else { panic!("the space has no epoch") };
    let keys = db.device_keys().unwrap();
    members.epochs()[&epoch].grants().find_map(|grant| grant.open_key(&keys).unwrap()).unwrap()
}

#[test]
fn a_record_says_to_each_what_is_for_them() {
    let story = Story::begin(10);
    let written = story.write();
    meet(story.doctor(), story.reception(), story.clinic);
    let seen = record(story.reception(), written.id);
    assert_eq!((seen.reason.as_str(), seen.patient), ("cough", Some(story.of)));
    assert_eq!(seen.finding.why_locked(), Some(WhyLocked::NoKey { space: space(story.of) }));
    let home = SpaceId::home_of(story.doctor().user().unwrap().id);
    assert_eq!(seen.memo.why_locked(), Some(WhyLocked::NoKey { space: home }));
    assert_eq!(record(story.doctor(), written.id), written);
    let stored: Vec<(Vec<u8>, Vec<u8>)> = story.reception().sql("SELECT finding, memo FROM records").rows().unwrap();
    for bytes in [&stored[0].0, &stored[0].1] {
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
    }
    let told: Vec<String> = story.reception().oplog().unwrap().map(|entry| entry.unwrap().data_json()).collect();
    assert!(told.iter().all(|data| !data.contains("canary")), "{told:?}");
    assert_sound(story.reception());
}

#[test]
fn whoever_has_the_key_reads_what_came_through_somebody_who_has_not() {
    let story = Story::begin(20);
    let written = story.write();
    meet(story.doctor(), story.reception(), story.clinic);
    let edited = story.reception().update(written.id, |record: &mut Record| record.reason = "a bad cough".into());
    assert_eq!(edited.unwrap().finding.open(), None, "an edit beside it needs no key");
    // The patient comes to the clinic, and hears of all of it from the reception.
    share(story.doctor(), story.patient(), story.clinic, Role::Reader);
    meet(story.reception(), story.patient(), story.clinic);
    let seen = record(story.patient(), written.id);
    assert_eq!((seen.reason.as_str(), seen.finding.open()), ("a bad cough", Some(&CANARY.to_owned())));
    assert!(seen.memo.why_locked().is_some(), "the doctor's own memo is for nobody else");
    assert_sound(story.patient());
}

#[test]
fn nobody_encrypts_for_a_patient_whom_they_do_not_know() {
    let story = Story::begin(30);
    let record = Record { clinic: story.clinic, patient: Some(story.of), ..Record::default() };
    let refused = story.reception().insert(record);
    assert!(matches!(refused, Err(Error::NoFieldKey { field: "finding", .. })), "{refused:?}");
    let written = story.write();
    meet(story.doctor(), story.reception(), story.clinic);
    let replaced =
        story.reception().update(written.id, |record: &mut Record| record.finding = "well".to_owned().into());
    assert!(matches!(replaced, Err(Error::NoFieldKey { .. })), "{replaced:?}");
}

#[test]
fn what_is_made_by_the_clinics_key_is_no_finding_of_the_patient() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clinic.db");
    let host = Host::simulated(ManualClock::at(START_MS), 40);
    let db = Db::options().host(host).open(&path, super::all_models()).unwrap();
    let (clinic, of) =
        db.write(|tx| Ok((tx.insert(Clinic::default())?.id, tx.insert(Patient::default())?.id))).unwrap();
    let written = db.insert(Record { clinic, patient: Some(of), ..Record::default() }).unwrap();
    let seal = |of: Uuid, column: &str, text: &str| {
        let key = FieldKey::of(space(of), &key_of(&db, of));
        let place = FieldPlace { table: "records", row: &written.id, column };
        let mut plain = Vec::new();
        oplog::write_value(&mut plain, &oplog::OpValue::Plain(oplog::ValueRef::Text(text.into()))).unwrap();
        key.seal(place, &[7; 24], &plain).unwrap()
    };
    let put = |column: &str, bytes: &[u8]| {
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute(&format!("UPDATE records SET {column} = ?1"), [bytes]).unwrap();
    };
    put("finding", &seal(of, "finding", "well"));
    assert_eq!(record(&db, written.id).finding.open(), Some(&"well".to_owned()), "so it is made");
    put("finding", &seal(clinic, "finding", "ill"));
    put("memo", &seal(clinic, "memo", "ill"));
    let read = record(&db, written.id);
    assert_eq!(read.finding.why_locked(), Some(WhyLocked::Damaged));
    assert_eq!(read.memo.why_locked(), Some(WhyLocked::Damaged));
}

#[test]
fn who_is_removed_keeps_what_was_there_and_reads_nothing_that_comes_after() {
    let story = Story::begin(50);
    let before = story.write();
    share(story.doctor(), story.patient(), story.clinic, Role::Writer);
    meet(story.doctor(), story.patient(), story.clinic);
    end(story.patient(), story.doctor(), story.of);
    for _ in 0..2 {
        tell_entries(story.patient(), story.doctor());
    }
    let after = Record { id: Uuid::nil(), ..record(story.patient(), before.id) };
    let after = Record { memo: String::new().into(), ..after };
    let after = story.patient().insert(after).unwrap();
    meet(story.patient(), story.doctor(), story.clinic);
    assert_eq!(record(story.doctor(), before.id).finding.open(), Some(&CANARY.to_owned()));
    assert_eq!(record(story.patient(), after.id).finding.open(), Some(&CANARY.to_owned()));
    let locked = record(story.doctor(), after.id).finding.why_locked();
    assert_eq!(locked, Some(WhyLocked::NoKey { space: space(story.of) }));
    let refused = story.doctor().update(before.id, |record: &mut Record| record.finding = "well".to_owned().into());
    assert!(matches!(refused, Err(Error::NoFieldKey { .. })), "{refused:?}");
    assert!(!runs(story.doctor(), story.clinic).is_empty());
}

#[test]
fn a_row_is_founded_and_encrypted_for_in_one_transaction() {
    let doctor = person(2, 60);
    let record = doctor[0].db.write(|tx| {
        let clinic = tx.insert(Clinic::default())?.id;
        let patient = tx.insert(Patient::default())?.id;
        let record = Record { clinic, patient: Some(patient), finding: CANARY.to_owned().into(), ..Record::default() };
        let record = tx.insert(record)?;
        assert_eq!(tx.get::<Record>(record.id)?, Some(record.clone()), "within the transaction too");
        Ok(record)
    });
    let record = record.unwrap();
    assert_eq!(doctor[0].db.get::<Record>(record.id).unwrap(), Some(record));
}

#[test]
fn a_device_that_joins_its_user_takes_what_it_encrypted_for_its_own_spaces_along() {
    let doctor = person(2, 70);
    let host = |seed| Host::simulated(ManualClock::at(START_MS), seed);
    let tablet = Db::options().host(host(71)).open_in_memory(super::all_models()).unwrap();
    let (clinic, of) =
        tablet.write(|tx| Ok((tx.insert(Clinic::default())?.id, tx.insert(Patient::default())?.id))).unwrap();
    let record = Record { clinic, patient: Some(of), finding: CANARY.to_owned().into(), ..Record::default() };
    let record = tablet.insert(Record { memo: CANARY.to_owned().into(), ..record }).unwrap();
    // What is about somebody who is gone is taken along as well.
    let gone = tablet.insert(Patient::default()).unwrap().id;
    let about = Record { clinic, patient: Some(gone), finding: "well".to_owned().into(), ..Record::default() };
    let about = tablet.insert(about).unwrap();
    tablet.delete::<Patient>(gone).unwrap();
    cfost::testing::pair(&doctor[0].db, &tablet, &host(72)).unwrap();
    let (clinic, of) = (tablet.all::<Clinic>().unwrap()[0].id, tablet.all::<Patient>().unwrap()[0].id);
    assert_ne!((clinic, of), (record.clinic, record.patient.unwrap()), "they are spaces of another user now");
    let taken = tablet.all::<Record>().unwrap();
    assert_eq!(taken, [Record { clinic, patient: Some(of), ..record }, Record { clinic, ..about }]);
    assert_sound(&tablet);
}
