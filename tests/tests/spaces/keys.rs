//! The keys of lists: who is given them when devices and members come and go, and who is not any more.

use cfost::identity::{Current, IdentityError, Role};
use cfost::oplog::DeviceId;
use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};

use super::people::{meet, person, share, space, tell_entries, user};
use super::{Todo, all_models, assert_sound, list, todo};

fn titles(db: &Db) -> Vec<String> {
    let mut titles: Vec<String> = db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    titles.sort();
    titles
}

/// The epoch that a list goes on under, and who has its key.
fn current(db: &Db, list: Uuid) -> (u32, Vec<DeviceId>) {
    let logs = db.replica().unwrap().logs().unwrap();
    let members = logs.spaces[&space(list)].members(&logs.users);
    let Current::Epoch(number) = members.current_epoch() else { panic!("{:?}", members.current_epoch()) };
    (number, members.epochs()[&number].holders().collect())
}

/// Promise: whoever lets a device in gives it the keys of all lists, so it reads and writes them, and no list needs a
/// new key for it.
#[test]
fn a_new_device_of_a_member_is_given_the_keys_of_all_lists() {
    let alice = person(1, 60).remove(0).db;
    let phone = person(1, 61).remove(0).db;
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    alice.insert(todo(shopping, "Milk")).unwrap();
    share(&alice, &phone, shopping, Role::Writer);
    let (epoch, holders) = current(&phone, shopping);
    let tablet = Device::in_memory("tablet", all_models(), 62).unwrap();
    fleet::pair(&phone, &tablet.db, &tablet.host).unwrap();
    fleet::sync(&phone, &tablet.db).unwrap();
    assert_eq!(titles(&tablet.db), ["Milk"]);
    let (same, more) = current(&tablet.db, shopping);
    assert_eq!((same, more.len()), (epoch, holders.len() + 1));
    assert!(more.contains(&tablet.db.replica().unwrap().device()));
    tablet.db.insert(todo(shopping, "Bread")).unwrap();
    meet(&alice, &tablet.db, shopping);
    assert_eq!(titles(&alice), ["Bread", "Milk"]);
    assert_sound(&alice);
    assert_sound(&tablet.db);
}

/// Promise: who revokes a device begins a key for every list of the user in the same step; what is written under it, by
/// any member, the device can't read, and what the device goes on writing nobody sees.
#[test]
fn a_revoked_device_has_no_key_of_what_comes_after_in_any_list() {
    let devices = person(2, 70);
    let (phone, laptop) = (&devices[0].db, &devices[1].db);
    let bob = person(1, 71).remove(0).db;
    let shopping = phone.insert(list("Shopping")).unwrap().id;
    let own = phone.insert(list("Presents")).unwrap().id;
    share(phone, &bob, shopping, Role::Writer);
    fleet::sync(phone, laptop).unwrap();
    let before = [current(phone, shopping).0, current(phone, own).0];
    let stolen = laptop.replica().unwrap().device();
    phone.revoke_device(stolen).unwrap();
    for (list, before) in [shopping, own].into_iter().zip(before) {
        let (epoch, holders) = current(phone, list);
        assert!(epoch != before && !holders.contains(&stolen), "{list}");
    }
    // The thief goes on, unaware or not.
    laptop.insert(todo(shopping, "Jewels")).unwrap();
    meet(phone, &bob, shopping);
    bob.insert(todo(shopping, "Milk")).unwrap();
    assert_eq!(current(&bob, shopping), current(phone, shopping));
    meet(laptop, &bob, shopping);
    meet(phone, &bob, shopping);
    for db in [phone, &bob] {
        assert_eq!(titles(db), ["Milk"]);
        assert_sound(db);
    }
}

/// Promise: a list goes on with its heir when its founder has handed it over and left, also after a restart; and the
/// founder comes back as what the heir says.
#[test]
fn a_list_goes_on_with_its_heir_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heir.db");
    let alice = person(1, 80).remove(0).db;
    let Device { db: bob, host, .. } = Device::in_file(&path, all_models(), 81).unwrap();
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    alice.insert(todo(shopping, "Milk")).unwrap();
    share(&alice, &bob, shopping, Role::Reader);
    let space_of = |db: &Db| db.space(shopping).unwrap();
    assert!(matches!(
        bob.insert(todo(shopping, "Bread")),
        Err(cfost::Error::Identity(IdentityError::RoleTooLow { role: Role::Reader, needed: Role::Writer, .. }))
    ));
    space_of(&alice).hand_over(user(&bob)).unwrap();
    space_of(&alice).leave().unwrap();
    assert_eq!((space_of(&alice).role().unwrap(), titles(&alice)), (None, vec![]));
    tell_entries(&alice, &bob);
    drop(bob);

    let bob = Db::options().host(host).open(&path, all_models()).unwrap();
    assert_eq!(space_of(&bob).role().unwrap(), Some(Role::Owner));
    bob.insert(todo(shopping, "Bread")).unwrap();
    assert_eq!(titles(&bob), ["Bread", "Milk"]);
    share(&bob, &alice, shopping, Role::Writer);
    assert_eq!(titles(&alice), ["Bread", "Milk"]);
    alice.insert(todo(shopping, "Eggs")).unwrap();
    meet(&alice, &bob, shopping);
    for db in [&alice, &bob] {
        assert_eq!(titles(db), ["Bread", "Eggs", "Milk"]);
        assert_sound(db);
    }
}
