//! Texts that merge are queried by their plain text.
#![cfg(feature = "text")]

use cfost::prelude::*;
use cfost::{Origin, RowChange};
use cfost_tests::fleet;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(text)]
    #[synced(search)]
    body: Text,
}

type Columns = <Note as Synced>::Columns;
type Filter = cfost::query::Filter<Note>;

#[track_caller]
fn found(db: &Db, filter: impl FnOnce(Columns) -> Filter) -> String {
    let rows = Note::query().filter(filter).order_by(|note| note.body.asc()).all(db).unwrap();
    rows.into_iter().map(|note| note.title).collect()
}

#[test]
fn a_text_is_found_by_what_its_edits_have_come_to_on_every_device() {
    let devices = fleet::devices(2, &models![Note], 3).unwrap();
    let (phone, laptop) = (&devices[0].db, &devices[1].db);
    let insert = |title: &str, body: &str| {
        phone.insert(Note { title: title.into(), body: body.into(), ..Note::default() }).unwrap()
    };
    let a = insert("a", "Buy milk and bread");
    insert("b", "Call grandma");
    fleet::sync(laptop, phone).unwrap();
    assert_eq!(found(laptop, |note| note.body.matches("milk")), "a");
    assert_eq!(found(laptop, |note| note.body.contains("grand") | note.body.starts_with("Buy")), "ab");
    assert_eq!(found(laptop, |note| note.body.eq("Call grandma")), "b");

    let mut changes = Note::query().filter(|note| note.body.matches("oat")).changes(phone);
    phone.update(a.id, |note: &mut Note| note.body.push_str(" and salt")).unwrap();
    laptop.update(a.id, |note: &mut Note| note.body.insert(4, "oat ")).unwrap();
    fleet::sync(phone, laptop).unwrap();
    for db in [phone, laptop] {
        assert_eq!(found(db, |note| note.body.matches("oat salt")), "a");
        assert_eq!(found(db, |note| note.body.matches("\"oat milk\"")), "a");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let change = runtime.block_on(changes.next()).unwrap().unwrap();
    let RowChange::Insert { new, origin } = change else { panic!("{change:?}") };
    assert_eq!(new.body.as_str(), "Buy oat milk and bread and salt");
    assert!(matches!(origin, Origin::Device(_)));

    // A mark alone is a change as well, and what a change says of the text before has the marks from before.
    let marked = laptop.update(a.id, |note: &mut Note| note.body.mark(4..7, "bold", true)).unwrap();
    fleet::sync(phone, laptop).unwrap();
    let change = runtime.block_on(changes.next()).unwrap().unwrap();
    let RowChange::Update { old, new, .. } = change else { panic!("{change:?}") };
    assert_eq!((old.body.marks().len(), new.body.marks()), (0, marked.body.marks()));
    assert!(phone.verify().unwrap().is_sound() && laptop.verify().unwrap().is_sound());
}
