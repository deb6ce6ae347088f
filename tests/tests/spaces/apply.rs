//! What comes in from other users: shown where both are in the space, by the role that its writer had, and nowhere else.

use cfost::Db;
use cfost::identity::Role;
use cfost_tests::fleet;

use super::people::{end, meet, person, runs, set_role, share, space, take, tell_entries, user};
use super::{List, Note, Setting, Todo, assert_sound, list, note, setting, todo};

fn titles(db: &Db) -> Vec<String> {
    let mut titles: Vec<String> = db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    titles.sort();
    titles
}

#[test]
fn a_shared_list_is_the_same_for_both_users_and_all_else_is_nobody_elses() {
    let (alice, bob) = (person(2, 1), person(2, 2));
    let shopping = alice[0].db.insert(list("Shopping")).unwrap().id;
    let diary = alice[0].db.insert(list("Diary")).unwrap().id;
    alice[0].db.insert(todo(shopping, "Milk")).unwrap();
    alice[0].db.insert(todo(diary, "Secret")).unwrap();
    alice[0].db.insert(setting("dark")).unwrap();
    let note = alice[0].db.insert(note(Some(shopping), "the organic one")).unwrap();
    share(&alice[0].db, &bob[0].db, shopping, Role::Writer);

    assert_eq!(titles(&bob[0].db), ["Milk"]);
    assert_eq!(bob[0].db.all::<Note>().unwrap(), [note]);
    assert_eq!(bob[0].db.all::<Setting>().unwrap(), []);
    bob[0].db.insert(todo(shopping, "Bread")).unwrap();
    let milk = bob[0].db.all::<Todo>().unwrap().into_iter().find(|todo| todo.title == "Milk").unwrap();
    bob[0].db.update(milk.id, |todo: &mut Todo| (todo.done, todo.votes) = (true, 2)).unwrap();
    alice[0].db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    meet(&alice[0].db, &bob[0].db, shopping);
    for user in [&alice, &bob] {
        fleet::sync(&user[0].db, &user[1].db).unwrap();
    }
    let of_list = |db: &Db| -> Vec<Todo> {
        db.all::<Todo>().unwrap().into_iter().filter(|todo| todo.list_id == shopping).collect()
    };
    let all = [&alice[0].db, &alice[1].db, &bob[0].db, &bob[1].db];
    for db in all {
        assert_eq!(of_list(db), of_list(all[0]));
        assert_eq!(db.get::<Todo>(milk.id).unwrap().unwrap().votes, 3);
        assert_sound(db);
    }
    assert_eq!(bob[1].db.all::<List>().unwrap().len(), 1);
    assert_eq!(alice[1].db.all::<List>().unwrap().len(), 2);
}

#[test]
fn a_readers_change_is_never_shown_and_counts_no_more_from_when_a_writer_became_one() {
    let (alice, bob) = (person(1, 3).remove(0).db, person(1, 4).remove(0).db);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    bob.insert(todo(shopping, "Bread")).unwrap();
    meet(&alice, &bob, shopping);
    set_role(&alice, &bob, shopping, Role::Reader);
    // He has not heard of it yet.
    bob.insert(todo(shopping, "Beer")).unwrap();
    take(&alice, runs(&bob, shopping));
    assert_eq!(titles(&alice), ["Bread"]);
    assert_eq!(titles(&bob), ["Beer", "Bread"]);
    tell_entries(&alice, &bob);
    assert_eq!(titles(&bob), ["Bread"]);
    let refused = bob.insert(todo(shopping, "Wine")).unwrap_err();
    assert!(refused.to_string().contains("reader"), "{refused}");
    for db in [&alice, &bob] {
        assert_sound(db);
    }
    // As a writer again he goes on in a new log, and what was not to be stays out.
    share(&alice, &bob, shopping, Role::Writer);
    bob.insert(todo(shopping, "Butter")).unwrap();
    meet(&alice, &bob, shopping);
    for db in [&alice, &bob] {
        assert_eq!(titles(db), ["Bread", "Butter"]);
        assert_sound(db);
    }
}

#[test]
fn what_a_removed_member_writes_counts_nowhere_and_all_of_the_list_is_gone_for_him_until_he_is_back() {
    let (alice, bob, carol) = (person(1, 5).remove(0).db, person(1, 6).remove(0).db, person(1, 7).remove(0).db);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    share(&alice, &carol, shopping, Role::Writer);
    bob.insert(todo(shopping, "Bread")).unwrap();
    meet(&alice, &bob, shopping);
    end(&alice, &bob, shopping);
    alice.insert(todo(shopping, "Present for Bob")).unwrap();
    bob.insert(todo(shopping, "Beer")).unwrap();
    // Carol gets his late change before she hears that he is out.
    take(&carol, runs(&bob, shopping));
    assert_eq!(titles(&carol), ["Beer", "Bread"]);
    meet(&alice, &carol, shopping);
    assert_eq!(titles(&carol), ["Bread", "Present for Bob"]);
    tell_entries(&alice, &bob);
    assert_eq!((titles(&bob), bob.all::<List>().unwrap()), (vec![], vec![]));
    for db in [&alice, &bob, &carol] {
        assert_sound(db);
    }
    share(&alice, &bob, shopping, Role::Writer);
    for db in [&alice, &bob, &carol] {
        assert_eq!(titles(db), ["Bread", "Present for Bob"]);
        assert_sound(db);
    }
}

#[test]
fn the_past_an_explanation_and_an_undo_reach_over_all_spaces() {
    let (alice, bob) = (person(1, 8).remove(0), person(1, 9).remove(0));
    let shopping = alice.db.insert(list("Shopping")).unwrap().id;
    share(&alice.db, &bob.db, shopping, Role::Writer);
    alice.clock.advance(1000);
    let before = alice.db.oplog().unwrap().map(Result::unwrap).last().unwrap().timestamp;
    let milk = alice
        .db
        .write(|tx| {
            tx.insert(setting("dark"))?;
            tx.update(shopping, |list: &mut List| list.name = "Groceries".into())?;
            tx.insert(todo(shopping, "Milk"))
        })
        .unwrap();
    meet(&alice.db, &bob.db, shopping);
    bob.db.update(milk.id, |todo: &mut Todo| todo.done = true).unwrap();
    meet(&alice.db, &bob.db, shopping);
    let explained = alice.db.explain::<Todo>(milk.id).unwrap();
    let done = explained.columns.iter().find(|column| column.name == "done").unwrap();
    assert_eq!(done.written.as_ref().unwrap().user, Some(user(&bob.db)));
    assert!(alice.db.history::<Todo>(milk.id).unwrap().iter().all(|entry| entry.space == space(shopping)));
    let past = alice.db.at(before).unwrap();
    assert_eq!(past.all::<List>().unwrap().first().map(|list| list.name.clone()), Some("Shopping".into()));
    assert_eq!(past.all::<Todo>().unwrap(), []);

    let undone = alice.db.undo().unwrap();
    assert_eq!(undone.rows.len(), 3);
    assert_eq!(alice.db.get::<List>(shopping).unwrap().unwrap().name, "Shopping");
    assert_eq!(alice.db.all::<Setting>().unwrap(), []);
    // Bob has edited it since.
    assert!(alice.db.get::<Todo>(milk.id).unwrap().is_some());
    meet(&alice.db, &bob.db, shopping);
    assert_eq!(bob.db.get::<List>(shopping).unwrap().unwrap().name, "Shopping");
    for db in [&alice.db, &bob.db] {
        assert_sound(db);
    }
}
