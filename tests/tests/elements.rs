//! Sets, maps and lists: what an edit of an element writes, and what devices that edit at the same time end with.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(set)]
    #[synced(index)]
    tags: BTreeSet<String>,
    #[crdt(map)]
    notes: BTreeMap<String, Option<i64>>,
}

fn set(tags: &[&str]) -> BTreeSet<String> {
    tags.iter().map(ToString::to_string).collect()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

fn two() -> (Device, Device) {
    let mut devices = fleet::devices(2, &models![Todo], 7).unwrap().into_iter();
    (devices.next().unwrap(), devices.next().unwrap())
}

#[test]
fn elements_are_rows_of_a_table_that_plain_sql_joins() {
    let db = Db::open_in_memory(models![Todo]).unwrap();
    let milk = Todo { title: "milk".into(), tags: set(&["dairy", "shop"]), ..Todo::default() };
    let milk = db.insert(milk).unwrap();
    db.insert(Todo { title: "bread".into(), tags: set(&["shop"]), ..Todo::default() }).unwrap();
    let sql = "SELECT title FROM todos JOIN todos_tags ON row = id WHERE element = ?1 ORDER BY title";
    let titles = |tag: &str| db.sql(sql).bind(tag.to_owned()).rows::<(String,)>().unwrap();
    assert_eq!(titles("shop"), [("bread".to_owned(),), ("milk".to_owned(),)]);
    db.delete::<Todo>(milk.id).unwrap();
    assert_eq!(titles("shop"), [("bread".to_owned(),)]);
    assert_sound(&db);
}

#[test]
fn an_edit_writes_only_the_elements_that_differ() {
    let (phone, laptop) = two();
    let todo = Todo { tags: set(&["a", "b"]), notes: [("x".to_owned(), Some(1))].into(), ..Todo::default() };
    let todo = phone.db.insert(todo).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.get::<Todo>(todo.id).unwrap(), Some(todo.clone()));
    let ops = || phone.db.oplog().unwrap().count();
    let before = ops();
    phone.db.update(todo.id, |todo: &mut Todo| todo.tags = set(&["b", "a"])).unwrap();
    assert_eq!(ops(), before, "an equal set is no edit");

    phone.db.update(todo.id, |todo: &mut Todo| drop(todo.tags.insert("phone".into()))).unwrap();
    laptop
        .db
        .update(todo.id, |todo: &mut Todo| {
            todo.tags.remove("a");
            todo.tags.insert("laptop".into());
            todo.notes.insert("y".into(), None);
        })
        .unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        let merged = device.db.get::<Todo>(todo.id).unwrap().unwrap();
        assert_eq!(merged.tags, set(&["b", "laptop", "phone"]));
        assert_eq!(merged.notes, [("x".to_owned(), Some(1)), ("y".to_owned(), None)].into());
        assert_sound(&device.db);
    }
}

#[test]
fn a_row_that_an_edit_brings_back_has_all_its_elements_again() {
    let (phone, laptop) = two();
    let todo = phone.db.insert(Todo { tags: set(&["a", "b"]), ..Todo::default() }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.delete::<Todo>(todo.id).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(todo.id, |todo: &mut Todo| drop(todo.tags.insert("c".into()))).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.get::<Todo>(todo.id).unwrap().unwrap().tags, set(&["a", "b", "c"]));
        assert_sound(&device.db);
    }
}

#[test]
fn a_row_inserted_over_a_deleted_one_has_the_elements_that_it_was_inserted_with() {
    let (phone, laptop) = two();
    let todo = phone.db.insert(Todo { tags: set(&["a", "b"]), ..Todo::default() }).unwrap();
    phone.db.delete::<Todo>(todo.id).unwrap();
    let again = Todo { tags: set(&["b", "c"]), title: "again".into(), ..todo };
    phone.db.insert(again.clone()).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.all::<Todo>().unwrap(), std::slice::from_ref(&again));
        assert_sound(&device.db);
    }
}
