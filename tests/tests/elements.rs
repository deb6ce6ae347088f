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

    phone.db.update(todo.id, |todo: &mut Todo| _ = todo.tags.insert("phone".into())).unwrap();
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
    laptop.db.update(todo.id, |todo: &mut Todo| _ = todo.tags.insert("c".into())).unwrap();
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

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "recipes", version = 1)]
struct Recipe {
    #[synced(id)]
    id: Uuid,
    #[crdt(list)]
    steps: List<String>,
}

fn cooks() -> (Device, Device) {
    let mut devices = fleet::devices(2, &models![Recipe], 7).unwrap().into_iter();
    (devices.next().unwrap(), devices.next().unwrap())
}

fn list(steps: &[&str]) -> List<String> {
    steps.iter().map(ToString::to_string).collect()
}

fn edit(device: &Device, id: Uuid, edit: impl FnOnce(&mut List<String>)) {
    device.db.update(id, |recipe: &mut Recipe| edit(&mut recipe.steps)).unwrap();
}

fn steps(device: &Device, id: Uuid) -> Vec<String> {
    assert_sound(&device.db);
    device.db.get::<Recipe>(id).unwrap().unwrap().steps.into_vec()
}

/// Syncs two devices, which must then have the same steps, and returns those.
fn agreed((phone, laptop): &(Device, Device), id: Uuid) -> Vec<String> {
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let agreed = steps(phone, id);
    assert_eq!(steps(laptop, id), agreed);
    agreed
}

#[test]
fn a_list_reads_back_in_its_order_after_every_kind_of_edit() {
    let pair = cooks();
    let id = pair.0.db.insert(Recipe { steps: list(&["b", "d"]), ..Recipe::default() }).unwrap().id;
    edit(&pair.0, id, |steps| steps.insert(0, "a".into()));
    edit(&pair.0, id, |steps| steps.insert(2, "c".into()));
    edit(&pair.0, id, |steps| steps.push("e".into()));
    assert_eq!(agreed(&pair, id), ["a", "b", "c", "d", "e"]);
    edit(&pair.1, id, |steps| {
        steps.move_to(4, 0);
        steps.set(1, "A".into());
        steps.remove(2);
        steps.get_mut(3).unwrap().push('!');
    });
    assert_eq!(agreed(&pair, id), ["e", "A", "c", "d!"]);
    edit(&pair.0, id, List::clear);
    assert!(agreed(&pair, id).is_empty());
}

#[test]
fn an_element_that_two_devices_move_is_in_one_place() {
    let pair = cooks();
    let id = pair.0.db.insert(Recipe { steps: list(&["a", "b", "c", "d"]), ..Recipe::default() }).unwrap().id;
    agreed(&pair, id);
    edit(&pair.0, id, |steps| steps.move_to(0, 3));
    pair.1.clock.advance(1000);
    edit(&pair.1, id, |steps| steps.move_to(0, 1));
    assert_eq!(agreed(&pair, id), ["b", "a", "c", "d"]);
}

#[test]
fn what_two_devices_insert_at_one_place_stays_together() {
    let pair = cooks();
    let id = pair.0.db.insert(Recipe { steps: list(&["first", "last"]), ..Recipe::default() }).unwrap().id;
    agreed(&pair, id);
    for (device, name) in [(&pair.0, "p"), (&pair.1, "l")] {
        edit(device, id, |steps| (0..5).for_each(|n| steps.insert(n + 1, format!("{name}{n}"))));
    }
    let agreed = agreed(&pair, id);
    let runs: String = agreed[1..11].iter().map(|step| &step[..1]).collect();
    assert!(["ppppplllll", "lllllppppp"].contains(&runs.as_str()), "{agreed:?}");
    for run in [&agreed[1..6], &agreed[6..11]] {
        assert!(run.iter().map(|step| &step[1..]).eq(["0", "1", "2", "3", "4"]), "{agreed:?}");
    }
}

#[test]
fn an_edit_of_a_list_is_an_edit_of_its_elements_wherever_they_are_by_now() {
    let pair = cooks();
    let id = pair.0.db.insert(Recipe { steps: list(&["a", "b", "c"]), ..Recipe::default() }).unwrap().id;
    agreed(&pair, id);
    edit(&pair.0, id, |steps| steps.insert(0, "zero".into()));
    edit(&pair.1, id, |steps| steps.set(2, "C".into()));
    assert_eq!(agreed(&pair, id), ["zero", "a", "b", "C"]);
    // A value given later than another device removes the element brings it back.
    edit(&pair.0, id, |steps| _ = steps.remove(1));
    pair.1.clock.advance(1000);
    edit(&pair.1, id, |steps| steps.set(1, "A".into()));
    assert_eq!(agreed(&pair, id), ["zero", "A", "b", "C"]);
}

#[test]
fn a_list_made_anew_keeps_the_elements_that_are_equal_to_those_it_had() {
    let pair = cooks();
    let id = pair.0.db.insert(Recipe { steps: list(&["a", "b", "c", "d"]), ..Recipe::default() }).unwrap().id;
    agreed(&pair, id);
    edit(&pair.0, id, |steps| *steps = list(&["a", "x", "b", "d"]));
    edit(&pair.1, id, |steps| steps.set(3, "D".into()));
    assert_eq!(agreed(&pair, id), ["a", "x", "b", "D"]);
    let ops = pair.0.db.oplog().unwrap().count();
    edit(&pair.0, id, |steps| *steps = list(&["a", "x", "b", "D"]));
    assert_eq!(pair.0.db.oplog().unwrap().count(), ops, "an equal list is no edit");
}

#[test]
fn an_index_outside_of_a_list_is_an_error_that_names_the_field_and_writes_nothing() {
    let (phone, _) = cooks();
    let recipe = phone.db.insert(Recipe { steps: list(&["a"]), ..Recipe::default() }).unwrap();
    let edits: [fn(&mut List<String>); 4] = [
        |steps| steps.insert(2, "b".into()),
        |steps| _ = steps.remove(1),
        |steps| steps.move_to(0, 1),
        |steps| steps.set(1, "b".into()),
    ];
    for edit in edits {
        let error = phone.db.update(recipe.id, |recipe: &mut Recipe| edit(&mut recipe.steps)).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("can't store 'Recipe.steps': `"), "{message}");
        assert!(message.contains("of a list of 1"), "{message}");
    }
    assert_eq!(phone.db.all::<Recipe>().unwrap(), [recipe]);
}
