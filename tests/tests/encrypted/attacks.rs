//! A member of the clinic who writes to it by hand, without the patient's key.

use cfost::clock::Timestamp;
use cfost::oplog::{
    Chain, ChangeFlags, Head, LogId, OpKind, OpValue, RuleTag, Run, Sealer, SegmentWriter, ValueRef, sign_change,
};
use cfost::prelude::*;
use cfost::schema::WhyLocked;
use cfost_tests::fleet::START_MS;

use super::people::{meet, space, take};
use super::shared::{Story, key_of, record};
use super::{CANARY, Record, assert_sound};

/// A change of one op in the clinic's space, made by hand with the keys of the reception.
fn forged(story: &Story, kind: OpKind, row: Uuid, says: &[(&'static str, ValueRef<'_>)]) -> Run {
    let db = story.reception();
    let (author, log) = (db.device_keys().unwrap().public().signing, LogId::from_bytes([7; 16]));
    let mut chain = Chain::new(space(story.clinic), author, log);
    let mut segment = SegmentWriter::new("records", 1, Timestamp::from_ms(START_MS + 1000));
    let columns: Vec<_> = says.iter().map(|(name, _)| (RuleTag::LWW, *name)).collect();
    let shape = segment.shape(kind, &columns).unwrap();
    segment.push_values(shape, &row, says.iter().map(|(_, value)| OpValue::Plain(value.clone()))).unwrap();
    let key = key_of(db, story.clinic);
    let mut sealer = Sealer::new();
    let (change, _) = sealer.seal(&mut chain, ChangeFlags::NONE, &key, &[7; 24], &[], &[segment.payload()]).unwrap();
    let Head { seq, id } = chain.head;
    let signatures = vec![(seq, sign_change(db.device_keys().unwrap().signing(), &id))];
    let epochs = vec![(key.epoch(), *key.commitment())];
    Run { space: chain.space, log, origin: None, author, first_seq: 1, epochs, changes: vec![change], signatures }
}

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.into())
}

#[test]
fn nobody_clears_a_field_without_its_key() {
    let story = Story::begin(100);
    let written = story.write();
    meet(story.doctor(), story.reception(), story.clinic);
    let says = [("reason", text("by hand")), ("finding", ValueRef::Null), ("memo", ValueRef::Integer(7))];
    take(story.doctor(), vec![forged(&story, OpKind::Update, written.id, &says)]);
    let read = record(story.doctor(), written.id);
    assert_eq!(read, Record { reason: "by hand".into(), ..written });
    assert_sound(story.doctor());
}

#[test]
fn bytes_that_somebody_makes_up_are_locked_and_the_rest_of_the_row_is_read() {
    let story = Story::begin(110);
    let written = story.write();
    meet(story.doctor(), story.reception(), story.clinic);
    let made_up = [[1; 21].as_slice(), &[0; 60]].concat();
    let plain = [&[0, 3, 4], b"well".as_slice()].concat();
    let says = [("finding", ValueRef::Blob(made_up.into())), ("memo", ValueRef::Blob(plain.into()))];
    take(story.doctor(), vec![forged(&story, OpKind::Update, written.id, &says)]);
    let read = record(story.doctor(), written.id);
    assert_eq!(read.reason, "cough");
    assert_eq!(read.finding.why_locked(), Some(WhyLocked::Damaged), "of no space that the row names");
    assert_eq!(read.memo.why_locked(), Some(WhyLocked::Damaged), "a value that nobody has sealed");
    let mended = story.doctor().update(written.id, |record: &mut Record| record.finding = CANARY.to_owned().into());
    assert_eq!(mended.unwrap().finding.open(), Some(&CANARY.to_owned()));
    assert_sound(story.doctor());
}

#[test]
fn a_row_without_a_finding_is_none_and_a_finding_of_another_row_is_locked_in_it() {
    let story = Story::begin(120);
    let written = story.write();
    meet(story.doctor(), story.reception(), story.clinic);
    let ids = |id: Uuid| ValueRef::Blob(id.into_bytes().to_vec().into());
    let stored: Vec<(Vec<u8>, Vec<u8>)> = story.reception().sql("SELECT finding, memo FROM records").rows().unwrap();
    let (finding, memo) = (ValueRef::Blob((&stored[0].0).into()), ValueRef::Blob((&stored[0].1).into()));
    let (named, clinic) = (("patient", ids(story.of)), ("clinic", ids(story.clinic)));
    let empty = [clinic.clone(), named.clone(), ("reason", text("empty")), ("finding", ValueRef::Null)];
    let copied = [clinic, named, ("reason", text("copied")), ("finding", finding), ("memo", memo)];
    let copy = Uuid::from_u128(8);
    let doctor = story.doctor();
    take(doctor, vec![forged(&story, OpKind::Create, copy, &copied)]);
    let read = record(doctor, copy);
    assert_eq!(
        (read.finding.why_locked(), read.memo.why_locked()),
        (Some(WhyLocked::Damaged), Some(WhyLocked::Damaged))
    );
    assert_eq!(record(doctor, written.id), written);
    assert_sound(doctor);
    let other = Story::begin(130);
    take(other.doctor(), vec![forged(&other, OpKind::Create, copy, &empty)]);
    assert_eq!(other.doctor().get::<Record>(copy).unwrap(), None);
    assert_sound(other.doctor());
}
