//! Writing where others are too: who may not is told so, and what is written goes on where it counts.

use cfost::identity::{IdentityError, Role};
use cfost::oplog::{LogId, OpKind, PackedChange, SpaceId};
use cfost::prelude::*;
use cfost::{Error, Result};

use super::people::{end, meet, person, runs, set_role, share, space, tell_entries, user};
use super::{List, Note, Reminder, Setting, Todo, assert_sound, list, note, setting, todo};

/// Two users with a device each.
fn two(seed: u64) -> (Db, Db) {
    (person(1, seed).remove(0).db, person(1, seed + 1).remove(0).db)
}

fn own_log(db: &Db, list: Uuid) -> Option<LogId> {
    db.replica().unwrap().own_log(space(list)).unwrap()
}

fn titles(db: &Db) -> Vec<String> {
    let mut titles: Vec<String> = db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    titles.sort();
    titles
}

/// The logs that the changes of a device's log in a list depend on.
fn deps(db: &Db, list: Uuid) -> Vec<Vec<LogId>> {
    let own = own_log(db, list).unwrap();
    let runs = runs(db, list).into_iter().filter(|run| run.log == own);
    let of = |change: &Vec<u8>| PackedChange::decode(change).unwrap().deps.iter().map(|dep| dep.log).collect();
    runs.flat_map(|run| run.changes.iter().map(of).collect::<Vec<_>>()).collect()
}

#[test]
fn a_reader_who_writes_is_told_whom_to_ask_and_nothing_is_written() {
    let (alice, bob) = two(10);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    let milk = alice.insert(todo(shopping, "Milk")).unwrap().id;
    share(&alice, &bob, shopping, Role::Reader);
    let refused = |result: Result<()>| match result {
        Err(Error::Identity(error @ IdentityError::RoleTooLow { role: Role::Reader, needed: Role::Writer, .. })) => {
            error.to_string()
        }
        other => panic!("{other:?}"),
    };
    let said = refused(bob.insert(todo(shopping, "Beer")).map(drop));
    assert!(said.contains("reader") && said.contains("writer") && said.contains("ask"), "{said}");
    refused(bob.update(milk, |todo: &mut Todo| todo.votes += 1).map(drop));
    refused(bob.delete::<Todo>(milk));
    refused(bob.delete::<List>(shopping));
    refused(bob.insert(note(Some(shopping), "no")).map(drop));
    assert_eq!(own_log(&bob, shopping), None);
    // An own list, and what is at home, are no matter of Alice's.
    bob.write(|tx| {
        refused(tx.insert(todo(shopping, "Beer")).map(drop));
        let own = tx.insert(list("My own"))?.id;
        tx.insert(todo(own, "Beer"))?;
        tx.insert(setting("dark"))
    })
    .unwrap();
    assert_eq!((titles(&bob), bob.count::<Setting>().unwrap()), (vec!["Beer".to_owned(), "Milk".into()], 1));
    for db in [&alice, &bob] {
        assert_sound(db);
    }
}

#[test]
fn a_delete_takes_rows_of_another_space_along_where_the_user_may_write_and_else_does_nothing() {
    let (alice, bob) = two(60);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    let remind = |setting| Reminder { list_id: shopping, setting: Some(setting), ..Reminder::default() };
    let (loud, soft) = (bob.insert(setting("loud")).unwrap().id, bob.insert(setting("soft")).unwrap().id);
    for setting in [loud, soft] {
        bob.insert(remind(setting)).unwrap();
    }
    bob.delete::<Setting>(loud).unwrap();
    assert_eq!(bob.count::<Reminder>().unwrap(), 1);
    let deleted = bob.oplog().unwrap().map(Result::unwrap).filter(|entry| entry.op_type == OpKind::Delete);
    let mut of: Vec<_> = deleted.map(|entry| (entry.table, entry.space)).collect();
    of.sort();
    assert_eq!(of, [("reminders".into(), space(shopping)), ("settings".into(), SpaceId::home_of(user(&bob)))]);

    meet(&alice, &bob, shopping);
    set_role(&alice, &bob, shopping, Role::Reader);
    meet(&alice, &bob, shopping);
    let refused = bob.delete::<Setting>(soft).unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::RoleTooLow { .. })), "{refused}");
    assert_eq!((bob.count::<Setting>().unwrap(), bob.count::<Reminder>().unwrap()), (1, 1));
    assert_sound(&bob);
}

#[test]
fn who_was_removed_writes_there_no_more_and_elsewhere_as_ever() {
    let (alice, bob) = two(20);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    let before = bob.insert(note(Some(shopping), "before")).unwrap();
    meet(&alice, &bob, shopping);
    end(&alice, &bob, shopping);
    tell_entries(&alice, &bob);
    let refused = bob.insert(note(Some(shopping), "after")).unwrap_err();
    let of_bob = user(&bob);
    assert!(matches!(refused, Error::Identity(IdentityError::NotMember { user, .. }) if user == of_bob), "{refused}");
    assert!(bob.update(before.id, |note: &mut Note| note.body.clear()).is_err(), "it is shown no more");
    bob.insert(note(None, "at home")).unwrap();
    assert_eq!(alice.get::<Note>(before.id).unwrap(), Some(before));
    for db in [&alice, &bob] {
        assert_sound(db);
    }
}

#[test]
fn who_is_a_writer_again_goes_on_in_a_new_log_since_the_old_one_counts_no_further() {
    let (alice, bob) = two(30);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    bob.insert(todo(shopping, "Bread")).unwrap();
    meet(&alice, &bob, shopping);
    let first = own_log(&bob, shopping).unwrap();
    set_role(&alice, &bob, shopping, Role::Reader);
    // He has not heard of it yet.
    bob.insert(todo(shopping, "Beer")).unwrap();
    meet(&alice, &bob, shopping);
    assert_eq!((titles(&alice), titles(&bob)), (vec!["Bread".to_owned()], vec!["Bread".to_owned()]));
    set_role(&alice, &bob, shopping, Role::Writer);
    meet(&alice, &bob, shopping);
    bob.write(|tx| {
        let undone: Result<()> = tx.savepoint(|tx| {
            tx.insert(todo(shopping, "begins a log that is undone"))?;
            Err(Error::abort("undone"))
        });
        undone.unwrap_err();
        tx.insert(todo(shopping, "Butter"))
    })
    .unwrap();
    assert_ne!(own_log(&bob, shopping), Some(first));
    meet(&alice, &bob, shopping);
    let shown = vec!["Bread".to_owned(), "Butter".into()];
    assert_eq!((titles(&alice), titles(&bob)), (shown.clone(), shown));
    // The new log goes on.
    let second = own_log(&bob, shopping);
    bob.insert(todo(shopping, "Jam")).unwrap();
    assert_eq!(own_log(&bob, shopping), second);
    for db in [&alice, &bob] {
        assert_sound(db);
    }
}

#[test]
fn a_change_names_what_its_space_had_before_it_and_nothing_of_another_space() {
    let (alice, bob) = two(40);
    let (shopping, work) = (alice.insert(list("Shopping")).unwrap().id, alice.insert(list("Work")).unwrap().id);
    for list in [shopping, work] {
        share(&alice, &bob, list, Role::Writer);
        bob.insert(todo(list, "of Bob's")).unwrap();
        meet(&alice, &bob, list);
    }
    alice
        .write(|tx| {
            tx.insert(todo(shopping, "of Alice's"))?;
            tx.insert(setting("at home"))
        })
        .unwrap();
    let of_bob = |list| own_log(&bob, list).unwrap();
    assert_eq!(deps(&alice, shopping).last().unwrap(), &[of_bob(shopping)]);
    assert!(deps(&alice, work).iter().all(Vec::is_empty), "nothing was written there");
    alice.insert(todo(work, "later")).unwrap();
    assert_eq!(deps(&alice, work).last().unwrap(), &[of_bob(work)], "another space's change has not used it up");
    assert!(deps(&alice, shopping).iter().flatten().all(|dep| *dep == of_bob(shopping)));
}

#[test]
fn one_transaction_writes_to_ones_own_list_and_to_the_one_of_another_user() {
    let (alice, bob) = two(50);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    let own = bob
        .write(|tx| {
            let own = tx.insert(list("My own"))?.id;
            tx.insert(todo(own, "secret"))?;
            tx.insert(todo(shopping, "Bread"))?;
            tx.insert(setting("at home"))?;
            Ok(own)
        })
        .unwrap();
    meet(&alice, &bob, shopping);
    assert_eq!((titles(&alice), alice.count::<List>().unwrap()), (vec!["Bread".to_owned()], 1));
    assert!(alice.replica().unwrap().frontier(space(own)).unwrap().iter().next().is_none());
    // Taken back, in both spaces.
    bob.undo().unwrap();
    meet(&alice, &bob, shopping);
    assert_eq!((titles(&alice), titles(&bob)), (vec![], vec![]));
    for db in [&alice, &bob] {
        assert_sound(db);
    }
}
