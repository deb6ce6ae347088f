//! The text of a row that isn't shown goes on merging, and is back with it.

use cfost::prelude::*;
use cfost::schema::Model;
use cfost_tests::fleet::{self, Device};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Note)]
    about: Option<Uuid>,
    #[crdt(text)]
    body: Text,
}

fn note(id: u128, about: Option<u128>, body: &str) -> Note {
    Note { id: Uuid::from_u128(id), about: about.map(Uuid::from_u128), body: Text::from(body) }
}

fn models() -> [Model; 1] {
    models![Note]
}

fn assert_shows(devices: &[&Device], bodies: &[&str]) {
    for device in devices {
        let notes = device.db.all::<Note>().unwrap();
        assert_eq!(notes.iter().map(|note| note.body.as_str()).collect::<Vec<_>>(), bodies);
        let verification = device.db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
    }
}

#[test]
fn what_is_typed_while_the_parent_is_deleted_elsewhere_is_there_when_it_is_back() {
    let devices = fleet::devices(2, &models(), 1).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    phone.db.insert_all([note(1, None, "parent"), note(2, Some(1), "child")]).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();

    phone.db.delete::<Note>(Uuid::from_u128(1)).unwrap();
    laptop.db.update(Uuid::from_u128(2), |note: &mut Note| note.body.push_str("ren")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_shows(&[phone, laptop], &[]);

    phone.db.insert(note(1, None, "again")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_shows(&[phone, laptop], &["again", "children"]);
    // And it is edited on as before.
    laptop.db.update(Uuid::from_u128(2), |note: &mut Note| note.body.insert(0, "all ")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_shows(&[phone, laptop], &["again", "all children"]);
}

#[test]
fn texts_written_before_the_device_was_paired_are_carried_over_children_first() {
    let devices = fleet::devices(1, &models(), 2).unwrap();
    let tablet = Device::in_memory("tablet", models(), 3).unwrap();
    // Rows are written anew in the order of their ids: the child waits for its parent.
    tablet.db.insert_all([note(9, None, "parent"), note(2, Some(9), "child")]).unwrap();
    tablet.db.update(Uuid::from_u128(2), |note: &mut Note| note.body.push_str("ren")).unwrap();
    fleet::pair(&devices[0].db, &tablet.db, &tablet.host).unwrap();
    fleet::sync(&devices[0].db, &tablet.db).unwrap();
    assert_shows(&[&devices[0], &tablet], &["children", "parent"]);
}
