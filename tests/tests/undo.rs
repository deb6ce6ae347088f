//! The last change of a device can be taken back, and what others have written meanwhile stays.

use cfost::prelude::*;
use cfost::store::{HistoryError, UndoOutcome};
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    note: Option<String>,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "tallies", version = 1)]
struct Tally {
    #[synced(id)]
    id: Uuid,
    #[crdt(counter)]
    count: i64,
    label: Option<String>,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn device() -> Device {
    Device::in_memory("phone", models![Todo, Tally], 1).unwrap()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

#[test]
fn an_edit_is_taken_back_and_undoing_again_brings_it_again() {
    let db = device().db;
    let milk = db.insert(Todo { votes: 3, ..todo("milk") }).unwrap();
    let edited = db
        .update(milk.id, |todo: &mut Todo| {
            (todo.title, todo.note) = ("oat milk".into(), Some("two".into()));
            todo.votes += 4;
        })
        .unwrap();
    for (n, expected) in [&milk, &edited, &milk, &edited].into_iter().enumerate() {
        let undone = db.undo().unwrap();
        assert_eq!(undone.rows.len(), 1);
        let row = &undone.rows[0];
        assert_eq!((row.table.as_str(), row.id, row.outcome), ("todos", milk.id, UndoOutcome::Reverted));
        assert_eq!(row.columns, ["title", "votes", "note"], "undo {n}");
        assert!(row.kept.is_empty());
        assert_eq!(db.get::<Todo>(milk.id).unwrap().as_ref(), Some(expected));
    }
    assert_sound(&db);
}

#[test]
fn an_insert_is_taken_back_by_a_delete_and_a_delete_by_bringing_the_row_back() {
    let db = device().db;
    let milk = db.insert(Todo { votes: 3, note: Some("two".into()), ..todo("milk") }).unwrap();
    assert_eq!(db.undo().unwrap().rows[0].outcome, UndoOutcome::Deleted);
    assert_eq!(db.count::<Todo>().unwrap(), 0);
    assert_eq!(db.undo().unwrap().rows[0].outcome, UndoOutcome::Restored);
    assert_eq!(db.all::<Todo>().unwrap(), std::slice::from_ref(&milk));
    db.delete::<Todo>(milk.id).unwrap();
    assert_eq!(db.undo().unwrap().rows[0].outcome, UndoOutcome::Restored);
    assert_eq!(db.all::<Todo>().unwrap(), [milk]);
    assert_sound(&db);
}

#[test]
fn a_transaction_is_taken_back_as_a_whole() {
    let db = device().db;
    let milk = db.insert(todo("milk")).unwrap();
    let bread = db.insert(Todo { votes: 1, ..todo("bread") }).unwrap();
    let tally = db.insert(Tally { count: 5, ..Tally::default() }).unwrap();
    db.write(|tx| {
        tx.update(tally.id, |tally: &mut Tally| tally.count += 2)?;
        tx.delete::<Todo>(milk.id)?;
        tx.update(bread.id, |todo: &mut Todo| todo.votes -= 1)?;
        let eggs = tx.insert(todo("eggs"))?;
        tx.update(eggs.id, |todo: &mut Todo| todo.completed = true)?;
        // Written and taken back within the transaction: nothing is left of it to undo.
        tx.update(bread.id, |todo: &mut Todo| todo.title = "rye".into())?;
        tx.update(bread.id, |todo: &mut Todo| todo.title = "bread".into())
    })
    .unwrap();
    let undone = db.undo().unwrap();
    assert_eq!(undone.rows.len(), 4);
    assert_eq!(db.all::<Todo>().unwrap(), [milk, bread]);
    assert_eq!(db.all::<Tally>().unwrap(), [tally]);
    assert_sound(&db);
}

#[test]
fn a_transaction_of_many_changes_is_taken_back_as_a_whole() {
    let db = device().db;
    let milk = db.insert(todo("milk")).unwrap();
    db.write(|tx| tx.insert_all((0..9000).map(|n| todo(&n.to_string())))).unwrap();
    assert_eq!(db.undo().unwrap().rows.len(), 9000);
    assert_eq!(db.all::<Todo>().unwrap(), [milk]);
    assert_eq!(db.undo().unwrap().rows.len(), 9000);
    assert_eq!(db.count::<Todo>().unwrap(), 9001);
    assert_sound(&db);
}

/// Two devices that have the same row.
fn two() -> (Vec<Device>, Todo) {
    let devices = fleet::devices(2, &models![Todo, Tally], 5).unwrap();
    let milk = devices[0].db.insert(Todo { votes: 1, ..todo("milk") }).unwrap();
    fleet::sync(&devices[1].db, &devices[0].db).unwrap();
    for device in &devices {
        device.clock.advance(1000);
    }
    (devices, milk)
}

#[test]
fn what_another_device_has_written_since_stays() {
    let (devices, milk) = two();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    phone
        .db
        .update(milk.id, |todo: &mut Todo| {
            (todo.title, todo.completed) = ("oat milk".into(), true);
            todo.votes += 10;
        })
        .unwrap();
    laptop.clock.advance(1000);
    laptop
        .db
        .update(milk.id, |todo: &mut Todo| (todo.title, todo.votes) = ("soy milk".into(), todo.votes + 5))
        .unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();

    let undone = phone.db.undo().unwrap();
    assert_eq!(undone.rows[0].columns, ["completed", "votes"]);
    assert_eq!(undone.rows[0].kept, ["title"]);
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in &devices {
        let expected = Todo { votes: 6, ..todo("soy milk") };
        assert_eq!(device.db.all::<Todo>().unwrap(), [Todo { id: milk.id, ..expected }]);
        assert_sound(&device.db);
    }
}

#[test]
fn what_lost_against_the_change_is_shown_once_it_is_taken_back() {
    let (devices, milk) = two();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    laptop.db.update(milk.id, |todo: &mut Todo| todo.title = "soy milk".into()).unwrap();
    phone.clock.advance(1000);
    phone.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(phone.db.get::<Todo>(milk.id).unwrap().unwrap().title, "oat milk");
    phone.db.undo().unwrap();
    assert_eq!(phone.db.get::<Todo>(milk.id).unwrap().unwrap().title, "soy milk");
}

#[test]
fn a_row_that_another_device_has_edited_is_not_taken_away() {
    let devices = fleet::devices(2, &models![Todo, Tally], 5).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let (milk, tally) = phone
        .db
        .write(|tx| {
            Ok((tx.insert(todo("milk"))?, tx.insert(Tally { count: 1, label: Some("a".into()), ..Tally::default() })?))
        })
        .unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.db.update(milk.id, |todo: &mut Todo| todo.completed = true).unwrap();
    laptop.db.update(tally.id, |tally: &mut Tally| tally.count += 1).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    let before = (phone.db.all::<Todo>().unwrap(), phone.db.all::<Tally>().unwrap());
    let entries = phone.db.oplog().unwrap().count();
    let undone = phone.db.undo().unwrap();
    assert!(undone.rows.iter().all(|row| row.outcome == UndoOutcome::Kept && row.columns.is_empty()), "{undone:?}");
    assert_eq!((phone.db.all::<Todo>().unwrap(), phone.db.all::<Tally>().unwrap()), before);
    assert_eq!(phone.db.oplog().unwrap().count(), entries, "nothing is written where nothing goes back");
}

#[test]
fn a_row_that_another_device_has_deleted_stays_deleted() {
    let (devices, milk) = two();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    phone.db.update(milk.id, |todo: &mut Todo| todo.completed = true).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.clock.advance(1000);
    laptop.db.delete::<Todo>(milk.id).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(phone.db.undo().unwrap().rows[0].outcome, UndoOutcome::Kept);
    assert_eq!(phone.db.count::<Todo>().unwrap(), 0);
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "contacts", version = 1, delete = wins)]
struct Contact {
    #[synced(id(from(email)))]
    id: Uuid,
    email: String,
    name: String,
}

#[test]
fn a_final_delete_is_not_taken_back_and_what_never_changes_stays() {
    let db = Db::open_in_memory(models![Contact]).unwrap();
    let ada = db.insert(Contact { email: "ada@example.org".into(), ..Contact::default() }).unwrap();
    db.update(ada.id, |contact: &mut Contact| contact.name = "Ada".into()).unwrap();
    db.undo().unwrap();
    assert_eq!(db.all::<Contact>().unwrap(), std::slice::from_ref(&ada));
    db.delete::<Contact>(ada.id).unwrap();
    assert_eq!(db.undo().unwrap().rows[0].outcome, UndoOutcome::Kept);
    assert_eq!(db.count::<Contact>().unwrap(), 0);
    assert_sound(&db);
}

#[test]
fn an_insert_that_another_device_made_too_is_taken_back_to_what_that_one_wrote() {
    let devices = fleet::devices(2, &models![Contact], 5).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let ada = |name: &str| Contact { email: "ada@example.org".into(), name: name.into(), ..Contact::default() };
    let id = laptop.db.insert(ada("Ada L.")).unwrap().id;
    phone.clock.advance(1000);
    phone.db.insert(ada("Ada")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(phone.db.get::<Contact>(id).unwrap().unwrap().name, "Ada");
    let undone = phone.db.undo().unwrap();
    assert_eq!(
        (undone.rows[0].outcome, &undone.rows[0].columns[..]),
        (UndoOutcome::Reverted, &["name".to_owned()][..])
    );
    assert_eq!(phone.db.get::<Contact>(id).unwrap().unwrap().name, "Ada L.");
    assert_sound(&phone.db);
}

#[test]
fn only_what_this_device_wrote_is_taken_back() {
    let (devices, milk) = two();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    assert!(matches!(laptop.db.undo(), Err(Error::History(HistoryError::NothingToUndo))));
    laptop.db.update(milk.id, |todo: &mut Todo| todo.completed = true).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    // The phone's last change is the insert, which the laptop has edited since.
    assert_eq!(phone.db.undo().unwrap().rows[0].outcome, UndoOutcome::Kept);
    assert!(phone.db.get::<Todo>(milk.id).unwrap().unwrap().completed);
}

#[test]
fn joining_a_user_is_no_change_to_take_back() {
    let phone = device();
    let laptop = Device::in_memory("laptop", models![Todo, Tally], 2).unwrap();
    let milk = laptop.db.insert(todo("milk")).unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    assert_eq!(laptop.db.all::<Todo>().unwrap(), std::slice::from_ref(&milk));
    assert!(matches!(laptop.db.undo(), Err(Error::History(HistoryError::NothingToUndo))));
    laptop.db.insert(todo("bread")).unwrap();
    assert_eq!(laptop.db.undo().unwrap().rows.len(), 1);
    assert_eq!(laptop.db.all::<Todo>().unwrap(), [milk]);
}

#[test]
fn a_database_without_changes_has_nothing_to_undo() {
    let db = device().db;
    let error = db.undo().unwrap_err();
    assert_eq!(
        error.to_string(),
        "this device has nothing to undo: it has written nothing since it was set up or has joined its user"
    );
    let failed = db.write(|tx| {
        tx.insert(todo("milk"))?;
        Err::<(), _>(Error::abort("no"))
    });
    assert!(failed.is_err());
    assert!(matches!(db.undo(), Err(Error::History(HistoryError::NothingToUndo))));
}

#[test]
fn an_undo_survives_a_restart() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let id = {
        let db = Device::in_file(&path, models![Todo, Tally], 1)?.db;
        let milk = db.insert(todo("milk"))?;
        db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into())?;
        milk.id
    };
    let db = Device::in_file(&path, models![Todo, Tally], 2)?.db;
    db.undo()?;
    drop(db);
    let db = Device::in_file(&path, models![Todo, Tally], 3)?.db;
    assert_eq!(db.get::<Todo>(id)?.unwrap().title, "milk");
    db.undo()?;
    assert_eq!(db.get::<Todo>(id)?.unwrap().title, "oat milk");
    assert_sound(&db);
    Ok(())
}
