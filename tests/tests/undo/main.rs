//! The last change of a device can be taken back, and what others have written meanwhile stays.

mod property;

use std::collections::{BTreeMap, BTreeSet};

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

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1, history)]
struct Note {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[crdt(map)]
    ratings: BTreeMap<String, i64>,
    #[crdt(list)]
    lines: List<String>,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn elements_are_taken_back_one_by_one_and_those_of_another_device_stay() {
    let devices = fleet::devices(2, &models![Note], 5).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let note = Note {
        tags: words(&["home", "shop"]).into_iter().collect(),
        ratings: [("taste".to_owned(), 3)].into(),
        lines: words(&["milk", "bread", "eggs"]).into(),
        ..Note::default()
    };
    let note = phone.db.insert(note).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    let edited = phone
        .db
        .update(note.id, |note: &mut Note| {
            note.tags.insert("dairy".into());
            note.tags.remove("shop");
            note.ratings.insert("taste".into(), 5);
            note.ratings.insert("price".into(), 1);
            note.lines.move_to(2, 0);
            note.lines.remove(2);
            note.lines.push("butter".into());
        })
        .unwrap();
    // By itself all of it goes back, and comes again.
    let undone = phone.db.undo().unwrap();
    assert_eq!(undone.rows[0].columns, ["tags", "ratings", "lines"]);
    assert_eq!(phone.db.get::<Note>(note.id).unwrap(), Some(note.clone()));
    phone.db.undo().unwrap();
    assert_eq!(phone.db.get::<Note>(note.id).unwrap(), Some(edited));

    // The laptop has written to some of the elements since.
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.clock.advance(1000);
    laptop
        .db
        .update(note.id, |note: &mut Note| {
            note.tags.insert("urgent".into());
            note.ratings.insert("taste".into(), 4);
            note.lines.insert(0, "tea".into());
        })
        .unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.undo().unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in &devices {
        let note = device.db.get::<Note>(note.id).unwrap().unwrap();
        assert_eq!(note.tags.into_iter().collect::<Vec<_>>(), ["home", "shop", "urgent"]);
        assert_eq!(note.ratings, [("taste".to_owned(), 4)].into());
        assert_eq!(note.lines[..], words(&["tea", "milk", "bread", "eggs"]));
        assert_sound(&device.db);
    }
}

#[test]
fn a_deleted_row_is_back_with_all_its_elements() {
    let db = Db::open_in_memory(models![Note]).unwrap();
    let note = Note { tags: words(&["home"]).into_iter().collect(), lines: words(&["milk"]).into(), ..Note::default() };
    let note = db.insert(note).unwrap();
    db.write(|tx| {
        tx.update(note.id, |note: &mut Note| note.lines.push("bread".into()))?;
        tx.delete::<Note>(note.id)
    })
    .unwrap();
    assert_eq!(db.undo().unwrap().rows[0].outcome, UndoOutcome::Restored);
    assert_eq!(db.all::<Note>().unwrap(), std::slice::from_ref(&note));
    assert_sound(&db);
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "projects", version = 1)]
struct Project {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "tasks", version = 1)]
struct Task {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Project, on_delete = cascade)]
    project: Uuid,
    name: String,
    #[crdt(set)]
    tags: BTreeSet<String>,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "remarks", version = 1)]
struct Remark {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Task, on_delete = hide)]
    task: Uuid,
    text: String,
}

fn project(db: &Db) -> (Project, Task, Remark) {
    db.write(|tx| {
        let project = tx.insert(Project { name: "house".into(), ..Project::default() })?;
        let tags = words(&["roof"]).into_iter().collect();
        let task = tx.insert(Task { project: project.id, name: "roof".into(), tags, ..Task::default() })?;
        let remark = tx.insert(Remark { task: task.id, text: "leaks".into(), ..Remark::default() })?;
        Ok((project, task, remark))
    })
    .unwrap()
}

#[test]
fn what_was_deleted_together_is_back_together_and_what_was_inserted_together_goes_together() {
    let db = Db::open_in_memory(models![Project, Task, Remark]).unwrap();
    let (house, roof, leaks) = project(&db);
    let count = || (db.count::<Project>().unwrap(), db.count::<Task>().unwrap(), db.count::<Remark>().unwrap());
    // Nothing of it is left to come back with a row of the same id.
    assert!(db.undo().unwrap().rows.iter().all(|row| row.outcome == UndoOutcome::Deleted));
    assert_eq!(count(), (0, 0, 0));
    assert_eq!(db.explain::<Remark>(leaks.id).unwrap().life.shown, cfost::store::Shown::Deleted);
    db.undo().unwrap();
    assert_eq!(db.all::<Task>().unwrap(), std::slice::from_ref(&roof));

    db.delete::<Project>(house.id).unwrap();
    assert_eq!(count(), (0, 0, 0));
    assert_eq!(db.undo().unwrap().rows.len(), 2);
    assert_eq!(db.all::<Project>().unwrap(), [house]);
    assert_eq!(db.all::<Task>().unwrap(), [roof]);
    assert_eq!(db.all::<Remark>().unwrap(), [leaks]);
    assert_sound(&db);
}

#[test]
fn an_insert_that_rows_of_another_device_hang_on_is_kept() {
    let devices = fleet::devices(2, &models![Project, Task, Remark], 5).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let house = phone.db.insert(Project { name: "house".into(), ..Project::default() }).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.db.insert(Task { project: house.id, name: "roof".into(), ..Task::default() }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(phone.db.undo().unwrap().rows[0].outcome, UndoOutcome::Kept);
    assert_eq!(phone.db.count::<Task>().unwrap(), 1);
}

#[test]
fn a_reference_does_not_go_back_to_a_row_that_is_gone() {
    let devices = fleet::devices(2, &models![Project, Task, Remark], 5).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let (house, roof, _) = project(&phone.db);
    let boat = phone.db.insert(Project { name: "boat".into(), ..Project::default() }).unwrap();
    let moved = |task: &mut Task| (task.project, task.name) = (boat.id, "deck".into());
    phone.db.update(roof.id, moved).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.db.delete::<Project>(house.id).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let undone = phone.db.undo().unwrap();
    assert_eq!((&undone.rows[0].columns, &undone.rows[0].kept), (&words(&["name"]), &words(&["project"])));
    let task = phone.db.get::<Task>(roof.id).unwrap().unwrap();
    assert_eq!((task.project, task.name.as_str()), (boat.id, "roof"));
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
