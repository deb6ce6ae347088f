//! An enum gains a variant, and apps that don't know it leave it alone.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost_tests::fleet::{Device, pair, sync};

/// The app before there was anything urgent.
mod old {
    use super::*;

    #[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) enum Priority {
        Low,
        #[default]
        Normal,
        #[synced(other)]
        Other,
    }

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos")]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(index)]
        pub priority: Priority,
        pub before: Option<Priority>,
        #[crdt(set)]
        pub seen: BTreeSet<Priority>,
        #[crdt(map)]
        pub by_user: BTreeMap<String, Priority>,
        #[crdt(list)]
        pub history: List<Priority>,
    }
}

/// The app since then. A variant is no change of the shape: the version stays.
mod new {
    use super::*;

    #[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) enum Priority {
        Low,
        #[default]
        Normal,
        Urgent,
        #[synced(other)]
        Other,
    }

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos")]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(index)]
        pub priority: Priority,
        pub before: Option<Priority>,
        #[crdt(set)]
        pub seen: BTreeSet<Priority>,
        #[crdt(map)]
        pub by_user: BTreeMap<String, Priority>,
        #[crdt(list)]
        pub history: List<Priority>,
    }
}

use new::Priority;

/// A device with the old app and one with the new, and a row with the new variant wherever it can be.
fn devices() -> (Device, Device, Uuid) {
    let old = Device::in_memory("old", models![old::Todo], 1).unwrap();
    let new = Device::in_memory("new", models![new::Todo], 2).unwrap();
    pair(&old.db, &new.db, &new.host).unwrap();
    let row = new::Todo {
        title: "boil over".into(),
        priority: Priority::Urgent,
        before: Some(Priority::Urgent),
        seen: [Priority::Low, Priority::Urgent].into(),
        by_user: [("ann".into(), Priority::Urgent)].into(),
        history: [Priority::Low, Priority::Urgent].into_iter().collect(),
        ..new::Todo::default()
    };
    let id = new.db.insert(row).unwrap().id;
    sync(&old.db, &new.db).unwrap();
    (old, new, id)
}

#[test]
fn a_variant_of_a_newer_app_is_shown_as_the_one_marked_other() {
    let (old, _new, id) = devices();
    let row = old.db.get::<old::Todo>(id).unwrap().expect("the row has arrived");
    assert_eq!(row.priority, old::Priority::Other);
    assert_eq!(row.before, Some(old::Priority::Other));
    assert_eq!(row.seen, [old::Priority::Low, old::Priority::Other].into());
    assert_eq!(row.by_user["ann"], old::Priority::Other);
    let history: Vec<_> = row.history.iter().copied().collect();
    assert_eq!(history, [old::Priority::Low, old::Priority::Other]);
    let stored: Vec<(String,)> = old.db.sql("SELECT priority FROM todos").rows().unwrap();
    assert_eq!(stored, [("Urgent".to_owned(),)], "the file keeps what was written");
}

#[test]
fn an_edit_of_other_fields_leaves_a_variant_that_the_app_does_not_know() {
    let (old, new, id) = devices();
    let before = new.db.get::<new::Todo>(id).unwrap().unwrap();
    old.db
        .update(id, |todo: &mut old::Todo| {
            todo.title = "boil over!".into();
            todo.seen.insert(old::Priority::Normal);
            todo.by_user.insert("bob".into(), old::Priority::Low);
            todo.history.push(old::Priority::Normal);
        })
        .unwrap();
    // What is written as it was read is no edit either.
    let row = old.db.get::<old::Todo>(id).unwrap().unwrap();
    old.db.update(id, |todo: &mut old::Todo| *todo = row.clone()).unwrap();
    sync(&old.db, &new.db).unwrap();
    let after = new.db.get::<new::Todo>(id).unwrap().unwrap();
    assert_eq!(after.title, "boil over!");
    assert_eq!((after.priority, after.before), (before.priority, before.before));
    assert_eq!(after.seen, [Priority::Low, Priority::Normal, Priority::Urgent].into());
    assert_eq!(after.by_user["ann"], Priority::Urgent);
    assert_eq!(after.by_user["bob"], Priority::Low);
    let history: Vec<_> = after.history.iter().copied().collect();
    assert_eq!(history, [Priority::Low, Priority::Urgent, Priority::Normal]);
}

#[test]
fn an_app_may_write_over_a_variant_that_it_does_not_know() {
    let (old, new, id) = devices();
    old.db.update(id, |todo: &mut old::Todo| todo.priority = old::Priority::Low).unwrap();
    sync(&old.db, &new.db).unwrap();
    assert_eq!(new.db.get::<new::Todo>(id).unwrap().unwrap().priority, Priority::Low);
}

#[test]
fn a_deleted_row_comes_back_with_its_unknown_variant() {
    let (old, new, id) = devices();
    old.db.delete::<old::Todo>(id).unwrap();
    new.clock.advance(1000);
    new.db.update(id, |todo: &mut new::Todo| todo.title = "again".into()).unwrap();
    sync(&old.db, &new.db).unwrap();
    old.db.update(id, |todo: &mut old::Todo| todo.title = "and again".into()).unwrap();
    sync(&old.db, &new.db).unwrap();
    let row = new.db.get::<new::Todo>(id).unwrap().expect("the later edit won");
    assert_eq!((row.title.as_str(), row.priority), ("and again", Priority::Urgent));
    assert!(old.db.verify().unwrap().is_sound());
}
