//! Lists that move: to another user together with their database, and back from a backup.

use std::collections::BTreeMap;

use cfost::Db;
use cfost::identity::Role;
use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};

use super::people::{person, share};
use super::{List, Note, Setting, Todo, all_models, assert_sound, list, note, setting, todo};

/// A price of something, of which a list has one each.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "prices", version = 1, space = list)]
struct Price {
    #[synced(id(from(list, thing)))]
    id: Uuid,
    list: Uuid,
    thing: String,
    cents: i64,
}

/// What somebody said of a price.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "remarks", version = 1, space = list)]
struct Remark {
    #[synced(id)]
    id: Uuid,
    list: Uuid,
    #[synced(references = Price, on_delete = hide)]
    price: Uuid,
    #[synced(references = List, on_delete = keep)]
    also: Option<Uuid>,
}

fn models() -> Vec<cfost::schema::Model> {
    all_models().into_iter().chain(models![Price, Remark]).collect()
}

/// Todos by the names of their lists.
fn todos(db: &Db) -> BTreeMap<String, Vec<String>> {
    let mut by_list = BTreeMap::<String, Vec<String>>::new();
    for todo in db.all::<Todo>().unwrap() {
        by_list.entry(db.get::<List>(todo.list_id).unwrap().unwrap().name).or_default().push(todo.title);
    }
    by_list.values_mut().for_each(|titles| titles.sort());
    by_list
}

#[test]
fn a_database_that_joins_a_user_takes_its_lists_along_as_lists_of_that_user() {
    let laptop = Device::in_memory("laptop", models(), 1).unwrap();
    let phone = Device::in_memory("phone", models(), 2).unwrap();
    let (shopping, work) = (phone.db.insert(list("Shopping")).unwrap().id, phone.db.insert(list("Work")).unwrap().id);
    phone.db.insert(todo(shopping, "Milk")).unwrap();
    phone.db.insert(todo(work, "Report")).unwrap();
    phone.db.insert(note(Some(work), "in the list")).unwrap();
    phone.db.insert(note(None, "for me alone")).unwrap();
    phone.db.insert(setting("dark")).unwrap();
    let price = Price { list: shopping, thing: "milk".into(), cents: 99, ..Price::default() };
    let price = phone.db.insert(price).unwrap().id;
    phone.db.insert(Remark { list: shopping, price, also: Some(work), ..Remark::default() }).unwrap();
    let before = todos(&phone.db);
    fleet::pair(&laptop.db, &phone.db, &phone.host).unwrap();

    assert_eq!(todos(&phone.db), before);
    let lists = phone.db.all::<List>().unwrap();
    assert!(lists.iter().all(|list| ![shopping, work].contains(&list.id)));
    let id_of = |name: &str| lists.iter().find(|list| list.name == name).unwrap().id;
    let mut notes = phone.db.all::<Note>().unwrap();
    notes.sort_by_key(|note| note.body.clone());
    assert_eq!(notes.iter().map(|note| note.list_id).collect::<Vec<_>>(), [None, Some(id_of("Work"))]);
    let (prices, remarks) = (phone.db.all::<Price>().unwrap(), phone.db.all::<Remark>().unwrap());
    assert_eq!((prices[0].list, prices[0].cents), (id_of("Shopping"), 99));
    assert_ne!(prices[0].id, price);
    assert_eq!((remarks[0].price, remarks[0].also), (prices[0].id, Some(id_of("Work"))));
    assert!(phone.db.undo().is_err());
    assert_sound(&phone.db);

    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&laptop, &phone] {
        assert_eq!(todos(&device.db), before);
        assert_eq!(device.db.all::<Setting>().unwrap().len(), 1);
        assert_eq!(device.db.all::<Remark>().unwrap(), remarks);
        assert_sound(&device.db);
    }
    // They are the user's: the other device writes to them too.
    laptop.db.insert(todo(id_of("Shopping"), "Bread")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(todos(&phone.db)["Shopping"], ["Bread", "Milk"]);
}

#[test]
fn a_list_of_somebody_else_stays_theirs_when_the_database_joins_another_user() {
    let alice = person(1, 3).remove(0).db;
    let phone = Device::in_memory("phone", all_models(), 4).unwrap();
    let shared = alice.insert(list("Of Alice")).unwrap().id;
    alice.insert(todo(shared, "Milk")).unwrap();
    share(&alice, &phone.db, shared, Role::Writer);
    phone.db.insert(todo(shared, "Bread")).unwrap();
    let own = phone.db.insert(list("Own")).unwrap().id;
    phone.db.insert(todo(own, "Mine")).unwrap();
    let laptop = Device::in_memory("laptop", all_models(), 5).unwrap();
    fleet::pair(&laptop.db, &phone.db, &phone.host).unwrap();
    assert_eq!(todos(&phone.db), BTreeMap::from([("Own".to_owned(), vec!["Mine".to_owned()])]));
    assert_sound(&phone.db);
}

#[cfg(feature = "backup")]
#[test]
fn lists_come_back_from_a_backup_with_who_is_in_them_and_what_they_wrote() {
    use cfost::backup::Recipient;
    use cfost::host::{Host, ManualClock};
    use cfost_tests::fleet::START_MS;

    let (alice, bob) = (person(1, 6).remove(0).db, person(1, 7).remove(0).db);
    let phrase = alice.recovery_phrase().unwrap().unwrap();
    let (shopping, diary) = (alice.insert(list("Shopping")).unwrap().id, alice.insert(list("Diary")).unwrap().id);
    let party = bob.insert(list("Party")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    share(&bob, &alice, party, Role::Reader);
    alice.insert(todo(diary, "Secret")).unwrap();
    alice.insert(todo(shopping, "Milk")).unwrap();
    bob.insert(todo(shopping, "Bread")).unwrap();
    bob.insert(todo(party, "Balloons")).unwrap();
    super::people::meet(&alice, &bob, shopping);
    super::people::meet(&alice, &bob, party);
    let mut file = Vec::new();
    alice.backup(&mut file, &Recipient::Phrase).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let machine = Db::options().host(Host::simulated(ManualClock::at(START_MS), 8)).device_name("restored");
    let restored = machine.restore(&file[..], dir.path().join("app.db"), all_models(), &phrase).unwrap();
    assert_eq!(todos(&restored), todos(&alice));
    assert_eq!(todos(&restored).keys().collect::<Vec<_>>(), ["Diary", "Party", "Shopping"]);
    assert_sound(&restored);
    let refused = restored.insert(todo(party, "Cake")).unwrap_err();
    assert!(refused.to_string().contains("reader"), "{refused}");
    restored.insert(todo(shopping, "Butter")).unwrap();
    super::people::meet(&restored, &bob, shopping);
    assert_eq!(todos(&bob)["Shopping"], ["Bread", "Butter", "Milk"]);
    assert_sound(&bob);
}
