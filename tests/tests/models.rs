//! What an app without a model passes over is there when it has the model.

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1)]
struct List {
    #[synced(id)]
    id: Uuid,
    name: String,
    #[crdt(counter)]
    uses: i64,
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

#[test]
fn a_model_that_an_app_gains_or_has_again_shows_all_that_was_written_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("laptop.db");
    let phone = Device::in_memory("phone", models![Todo, List], 1).unwrap();
    let edit = |list: &List| phone.db.update(list.id, |list: &mut List| list.uses += 1).unwrap();

    // The laptop's app has no lists yet: it keeps what it is sent.
    let laptop = Device::in_file(&path, models![Todo], 2).unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    let list = phone.db.insert(List { name: "shopping".into(), uses: 1, ..List::default() }).unwrap();
    let hidden = phone.db.insert(List::default()).unwrap();
    phone.db.delete::<List>(hidden.id).unwrap();
    phone.db.insert(Todo { title: "milk".into(), ..Todo::default() }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_sound(&laptop.db);
    drop(laptop);

    // A version of the app that has them shows them.
    let laptop = Device::in_file(&path, models![Todo, List], 3).unwrap();
    assert_eq!(laptop.db.all::<List>().unwrap(), std::slice::from_ref(&list));
    assert_sound(&laptop.db);
    edit(&list);
    fleet::sync(&phone.db, &laptop.db).unwrap();
    drop(laptop);

    // One that has dropped them again passes edits over, and a later one has them all the same.
    let laptop = Device::in_file(&path, models![Todo], 4).unwrap();
    edit(&list);
    phone.db.insert(List { name: "books".into(), ..List::default() }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 1);
    assert_sound(&laptop.db);
    drop(laptop);
    for seed in 5..7 {
        let laptop = Device::in_file(&path, models![Todo, List], seed).unwrap();
        assert_eq!(laptop.db.all::<List>().unwrap(), phone.db.all::<List>().unwrap());
        assert_eq!(laptop.db.get::<List>(list.id).unwrap().unwrap().uses, 3);
        assert_sound(&laptop.db);
    }
}
