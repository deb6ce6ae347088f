//! Writing rows of several spaces: where each goes, and that a transaction is one, whatever spaces it is in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cfost::host::{Host, ManualClock};
use cfost::oplog::{LogId, SpaceId};
use cfost::prelude::*;
use cfost::{Error, Result};
use cfost_tests::fleet::{Device, START_MS};
use cfost_tests::process::{child, tell, told, work};

use super::{List, Note, Setting, Todo, all_models, assert_sound, list, note, setting, todo};

fn in_memory() -> Db {
    Device::in_memory("laptop", all_models(), 1).unwrap().db
}

/// Opens a database file for the `n`th time.
fn open(path: &Path, n: u64) -> Db {
    let host = Host::simulated(ManualClock::at(START_MS + n * 1000), n);
    Db::options().host(host).device_name("laptop").open(path, all_models()).unwrap()
}

fn space(row: Uuid) -> SpaceId {
    SpaceId::from_bytes(row.into_bytes())
}

fn home(db: &Db) -> SpaceId {
    SpaceId::home_of(db.user().unwrap().id)
}

/// What the oplog has of each space: table and kind of each op, in order.
fn ops(db: &Db) -> BTreeMap<SpaceId, Vec<String>> {
    let mut ops = BTreeMap::<SpaceId, Vec<String>>::new();
    for entry in db.oplog().unwrap().map(Result::unwrap) {
        ops.entry(entry.space).or_default().push(format!("{:?} {}", entry.op_type, entry.table).to_lowercase());
    }
    ops
}

/// The log that this device writes to in a space.
fn own_log(db: &Db, space: SpaceId) -> Option<LogId> {
    db.replica().unwrap().own_log(space).unwrap()
}

/// How many changes each space's log has.
fn changes(db: &Db, space: SpaceId) -> u64 {
    let replica = db.replica().unwrap();
    let log = replica.own_log(space).unwrap().unwrap();
    replica.frontier(space).unwrap().head(log).seq
}

/// Passes the exposure barrier, as a send would.
fn expose(db: &Db, space: SpaceId) {
    db.replica().unwrap().runs_after(space, &Default::default(), 1000).unwrap();
}

#[test]
fn rows_of_two_lists_and_of_home_are_one_transaction_and_one_change_in_each_space() {
    let db = in_memory();
    let (shopping, work) = db
        .write(|tx| {
            let (shopping, work) = (tx.insert(list("Shopping"))?.id, tx.insert(list("Work"))?.id);
            tx.insert(setting("dark"))?;
            for n in 0..3 {
                tx.insert(todo(shopping, &format!("Milk {n}")))?;
                tx.insert(todo(work, &format!("Report {n}")))?;
            }
            tx.insert(note(Some(work), "in the list"))?;
            tx.insert(note(None, "for me alone"))?;
            Ok((shopping, work))
        })
        .unwrap();
    let of = ops(&db);
    assert_eq!(of[&space(shopping)], ["create lists", "create todos", "create todos", "create todos"]);
    assert_eq!(of[&space(work)].iter().filter(|op| *op == "create todos").count(), 3);
    assert_eq!(of[&space(work)].iter().filter(|op| *op == "create notes").count(), 1);
    assert_eq!((of.len(), of[&home(&db)].len()), (3, 2), "{of:?}");
    for space in [home(&db), space(shopping), space(work)] {
        assert_eq!(changes(&db, space), 1);
    }
    assert_eq!((db.count::<Todo>().unwrap(), db.count::<Note>().unwrap()), (6, 2));
    assert_sound(&db);
}

#[test]
fn edits_and_deletes_go_where_their_row_is() {
    let db = in_memory();
    let (first, second) = (db.insert(list("First")).unwrap().id, db.insert(list("Second")).unwrap().id);
    let (milk, free) = (db.insert(todo(first, "Milk")).unwrap().id, db.insert(note(None, "free")).unwrap().id);
    let bound = db.insert(note(Some(second), "bound")).unwrap().id;
    let before = ops(&db);
    db.write(|tx| {
        tx.update(milk, |todo: &mut Todo| {
            todo.votes += 1;
            todo.tags.insert("dairy".into());
        })?;
        tx.update(free, |note: &mut Note| note.body.push('!'))?;
        tx.update(bound, |note: &mut Note| note.body.push('!'))?;
        tx.update(second, |list: &mut List| list.labels.extend(["red".to_owned()]))
    })
    .unwrap();
    db.write(|tx| tx.delete::<Note>(bound).and_then(|()| tx.delete::<Todo>(milk))).unwrap();
    let new = |of: SpaceId| ops(&db)[&of][before.get(&of).map_or(0, Vec::len)..].join(", ");
    assert_eq!(new(space(first)), "update todos, delete todos");
    assert_eq!(new(space(second)), "update notes, update lists, delete notes");
    assert_eq!(new(home(&db)), "update notes");

    // Back to life, each in its space.
    let again = Note { id: bound, list_id: Some(second), body: "bound again".into() };
    db.insert(again).unwrap();
    assert_eq!(ops(&db)[&space(second)].last().unwrap(), "create notes");
    assert_sound(&db);
}

#[test]
fn deleting_a_list_takes_its_todos_along_in_the_space_that_they_share() {
    let db = in_memory();
    let shopping = db.insert(list("Shopping")).unwrap().id;
    db.write(|tx| (0..3).try_for_each(|n| tx.insert(todo(shopping, &n.to_string())).map(drop))).unwrap();
    db.delete::<List>(shopping).unwrap();
    assert_eq!((db.count::<List>().unwrap(), db.count::<Todo>().unwrap()), (0, 0));
    assert_eq!(ops(&db)[&space(shopping)].iter().filter(|op| op.starts_with("delete")).count(), 4);
    assert_sound(&db);
}

#[test]
fn the_id_of_a_row_that_is_a_space_is_minted_and_nobodys_to_choose() {
    let db = in_memory();
    let given = Uuid::from_u128(7);
    let refused = db.insert(List { id: given, ..list("Mine") }).unwrap_err();
    assert!(matches!(refused, Error::SpaceIdGiven { model: "List", given: id } if id == given), "{refused}");
    let ids = db.write(|tx| tx.insert_all((0..300).map(|n| list(&format!("List {n}"))))).unwrap();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 300);
    assert_eq!(ops(&db).len(), 300);
    assert!(ids.iter().all(|id| own_log(&db, space(*id)).is_some()));
    let copied = db.get::<List>(ids[0]).unwrap().unwrap();
    assert!(db.insert(copied).is_err(), "an insert of the same row makes it again, or anew");
    assert_sound(&db);
}

#[test]
fn a_row_in_a_space_that_is_not_known_is_refused_by_name() {
    let db = in_memory();
    for unknown in [Uuid::nil(), Uuid::from_u128(7)] {
        let refused = db.insert(note(Some(unknown), "nowhere")).unwrap_err();
        assert!(
            matches!(refused, Error::UnknownSpace { model: "Note", space: of } if of == space(unknown)),
            "{refused}"
        );
    }
    // The transaction goes on, and is committed without it.
    db.write(|tx| {
        assert!(tx.insert(note(Some(Uuid::from_u128(7)), "nowhere")).is_err());
        tx.insert(setting("kept"))
    })
    .unwrap();
    assert_eq!((db.count::<Note>().unwrap(), db.count::<Setting>().unwrap()), (0, 1));
}

#[test]
fn a_row_stays_in_its_space() {
    let db = in_memory();
    let (first, second) = (db.insert(list("First")).unwrap().id, db.insert(list("Second")).unwrap().id);
    let bound = db.insert(note(Some(first), "bound")).unwrap();
    for other in [Some(second), None] {
        let refused = db.update(bound.id, |note: &mut Note| note.list_id = other).unwrap_err();
        assert!(matches!(refused, Error::Immutable { field: "list_id", .. }), "{refused}");
    }
    db.delete::<Note>(bound.id).unwrap();
    for other in [Some(second), None] {
        let refused = db.insert(Note { list_id: other, ..bound.clone() }).unwrap_err();
        assert!(matches!(refused, Error::Immutable { field: "list_id", .. }), "{refused}");
    }
    db.insert(bound).unwrap();
    assert_sound(&db);
}

#[test]
fn a_transaction_that_fails_leaves_nothing_in_any_space() {
    let db = in_memory();
    let shopping = db.insert(list("Shopping")).unwrap().id;
    let before = ops(&db);
    let write = |end: fn() -> Result<()>| {
        db.write(|tx| {
            let new = tx.insert(list("New"))?.id;
            tx.insert(todo(new, "in the new one"))?;
            tx.insert(todo(shopping, "in the old one"))?;
            tx.insert(setting("at home"))?;
            end()
        })
    };
    write(|| Err(Error::abort("no"))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| write(|| panic!("out of a transaction")))).unwrap_err();
    assert_eq!(ops(&db), before);
    assert_eq!((db.count::<List>().unwrap(), db.count::<Todo>().unwrap(), db.count::<Setting>().unwrap()), (1, 0, 0));
    write(|| Ok(())).unwrap();
    assert_eq!((ops(&db).len(), changes(&db, space(shopping))), (3, 2));
    assert_sound(&db);
}

#[test]
fn a_savepoint_that_is_undone_takes_the_spaces_along_that_it_founded() {
    let db = in_memory();
    let shopping = db.insert(list("Shopping")).unwrap().id;
    let mut lost = Uuid::nil();
    let kept = db
        .write(|tx| {
            tx.insert(todo(shopping, "before"))?;
            let undone: Result<()> = tx.savepoint(|tx| {
                lost = tx.insert(list("Lost"))?.id;
                tx.insert(todo(lost, "lost"))?;
                tx.insert(todo(shopping, "lost too"))?;
                tx.insert(setting("lost as well"))?;
                Err(Error::abort("undone"))
            });
            undone.unwrap_err();
            let refused = tx.insert(note(Some(lost), "where?")).unwrap_err();
            assert!(matches!(refused, Error::UnknownSpace { .. }), "{refused}");
            let kept = tx.savepoint(|tx| {
                let kept = tx.insert(list("Kept"))?.id;
                tx.insert(todo(kept, "kept")).map(|_| kept)
            })?;
            tx.insert(todo(shopping, "after"))?;
            tx.insert(setting("after"))?;
            Ok(kept)
        })
        .unwrap();
    let of = ops(&db);
    assert!(!of.contains_key(&space(lost)) && of.len() == 3, "{of:?}");
    assert_eq!(of[&space(kept)], ["create lists", "create todos"]);
    assert_eq!(of[&space(shopping)].len(), 3);
    let titles: Vec<String> = db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    assert_eq!(titles.len(), 3, "{titles:?}");
    db.insert(todo(kept, "later")).unwrap();
    assert_sound(&db);
}

#[test]
fn a_transaction_larger_than_a_change_is_split_in_each_space() {
    let db = in_memory();
    let (first, second) = db.write(|tx| Ok((tx.insert(list("First"))?.id, tx.insert(list("Second"))?.id))).unwrap();
    db.write(|tx| {
        for n in 0..5000 {
            tx.insert(todo(if n % 10 == 0 { second } else { first }, "one of many"))?;
        }
        Ok(())
    })
    .unwrap();
    assert!(changes(&db, space(first)) > 2);
    assert_eq!(changes(&db, space(second)), 2);
    assert_eq!(db.count::<Todo>().unwrap(), 5000);
    assert_sound(&db);
}

#[test]
fn a_row_that_is_too_large_for_its_space_takes_nothing_else_along() {
    let db = in_memory();
    let shopping = db.insert(list("Shopping")).unwrap().id;
    db.write(|tx| {
        tx.insert(note(Some(shopping), &"long ".repeat(200_000))).unwrap_err();
        tx.insert(list(&"long ".repeat(200_000))).unwrap_err();
        let lost = tx.savepoint(|tx| tx.insert(list(&"long ".repeat(200_000))));
        lost.unwrap_err();
        let other = tx.insert(list("Other"))?.id;
        tx.insert(note(Some(other), "in it"))?;
        tx.insert(setting("kept"))
    })
    .unwrap();
    db.insert(note(Some(shopping), "short")).unwrap();
    assert_eq!((db.count::<Note>().unwrap(), db.count::<List>().unwrap(), ops(&db).len()), (2, 2, 3));
    let (spaces, logs) = {
        let logs = db.replica().unwrap().logs().unwrap();
        let count = |of: &SpaceId| db.replica().unwrap().frontier(*of).unwrap().iter().count();
        (logs.spaces.len(), logs.spaces.keys().map(count).sum::<usize>())
    };
    assert_eq!((spaces, logs), (2, 2), "a space without a row was left over");
    assert_sound(&db);
}

#[test]
fn two_processes_with_one_file_write_to_a_list_in_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let (app, tool) = (open(&path, 1), open(&path, 2));
    let shopping = app.insert(list("Shopping")).unwrap().id;
    for n in 0..5 {
        app.insert(todo(shopping, &format!("of the app {n}"))).unwrap();
        tool.insert(todo(shopping, &format!("of the tool {n}"))).unwrap();
        expose(&tool, space(shopping));
    }
    let work = tool.insert(list("Work")).unwrap().id;
    app.insert(todo(work, "of the app")).unwrap();
    for db in [&app, &tool] {
        assert_eq!((changes(db, space(shopping)), changes(db, space(work))), (11, 2));
        assert_sound(db);
    }
    drop((app, tool));
    let db = open(&path, 3);
    db.insert(todo(shopping, "later")).unwrap();
    assert_eq!(changes(&db, space(shopping)), 12, "the marker of one was taken for that of a restored file");
}

#[test]
fn each_space_goes_on_in_its_log_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let (shopping, log) = {
        let db = open(&path, 1);
        let shopping = db.insert(list("Shopping")).unwrap().id;
        // More than there are between two checkpoints.
        (0..70).for_each(|n| drop(db.insert(todo(shopping, &format!("Milk {n}"))).unwrap()));
        expose(&db, space(shopping));
        db.insert(todo(shopping, "after the last send")).unwrap();
        (shopping, own_log(&db, space(shopping)))
    };
    let db = open(&path, 2);
    assert_eq!(own_log(&db, space(shopping)), log);
    db.insert(todo(shopping, "Bread")).unwrap();
    assert_eq!((changes(&db, space(shopping)), db.count::<Todo>().unwrap()), (73, 72));
    assert_sound(&db);
}

#[test]
fn a_copied_database_begins_a_new_log_in_every_space() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let (shopping, log, home_log) = {
        let db = open(&path, 1);
        let shopping = db.insert(list("Shopping")).unwrap().id;
        expose(&db, home(&db));
        (shopping, own_log(&db, space(shopping)), own_log(&db, home(&db)))
    };
    let copy = dir.path().join("copy.db");
    for end in ["", "-marker"] {
        fs::copy(dir.path().join(format!("todo.db{end}")), dir.path().join(format!("copy.db{end}"))).unwrap();
    }
    let db = open(&copy, 2);
    assert_eq!(own_log(&db, space(shopping)), None, "it is begun with the next write");
    db.insert(todo(shopping, "Milk")).unwrap();
    assert!(own_log(&db, space(shopping)).is_some_and(|new| Some(new) != log));
    assert_ne!(own_log(&db, home(&db)), home_log);
    assert_sound(&db);
}

#[test]
fn a_database_that_goes_back_in_time_is_found_out_by_any_of_its_logs() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("todo.db"), dir.path().join("old.db"));
    let shopping = {
        let db = open(&path, 1);
        let shopping = db.insert(list("Shopping")).unwrap().id;
        expose(&db, space(shopping));
        shopping
    };
    fs::copy(&path, &old).unwrap();
    let log = {
        let db = open(&path, 2);
        db.insert(todo(shopping, "Milk")).unwrap();
        expose(&db, space(shopping));
        own_log(&db, space(shopping))
    };
    // The file is the same one, so nothing but the list's log tells.
    fs::write(&path, fs::read(&old).unwrap()).unwrap();
    let db = open(&path, 3);
    db.insert(todo(shopping, "Bread")).unwrap();
    assert!(own_log(&db, space(shopping)).is_some_and(|new| Some(new) != log));
    assert_sound(&db);
}

#[test]
fn a_log_of_a_space_that_peers_hold_more_of_is_given_up_and_no_other() {
    let db = in_memory();
    let (first, second) = (db.insert(list("First")).unwrap().id, db.insert(list("Second")).unwrap().id);
    let logs = |of: Uuid| own_log(&db, space(of)).unwrap();
    let before = (logs(first), logs(second));
    let replica = db.replica().unwrap();
    let head = replica.frontier(space(first)).unwrap().head(before.0);
    replica.own_log_is_behind(space(first), before.0, head).unwrap();
    assert_ne!(logs(first), before.0);
    assert_eq!(logs(second), before.1);
    db.insert(todo(first, "in the new log")).unwrap();
    assert_eq!(changes(&db, space(first)), 1);
    assert_sound(&db);
}

#[test]
fn a_log_of_a_space_that_took_two_ways_keeps_what_was_written_on_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let marker = dir.path().join("todo.db-marker");
    let shopping = {
        let db = open(&path, 1);
        let shopping = db.insert(list("Shopping")).unwrap().id;
        expose(&db, space(shopping));
        shopping
    };
    let snapshot = [&path, &marker].map(|file| fs::read(file).unwrap());
    let (log, milk, sent) = {
        let db = open(&path, 2);
        let log = own_log(&db, space(shopping)).unwrap();
        let milk = db.insert(todo(shopping, "Milk")).unwrap().id;
        let held = [(log, 1)].into_iter().collect();
        (log, milk, db.replica().unwrap().runs_after(space(shopping), &held, 1000).unwrap())
    };
    // The machine goes back to its snapshot, and takes the marker back with it: nothing tells.
    for (file, bytes) in [&path, &marker].into_iter().zip(snapshot) {
        fs::write(file, bytes).unwrap();
    }
    let db = open(&path, 3);
    assert_eq!(own_log(&db, space(shopping)), Some(log));
    let bread = db.insert(todo(shopping, "Bread")).unwrap().id;
    let kept = db.insert(setting("at home")).unwrap().id;
    assert_eq!(changes(&db, space(shopping)), 2);
    // A peer tells, and sends what it was sent.
    let replica = db.replica().unwrap();
    let head = sent.last().unwrap().head;
    replica.own_log_is_behind(space(shopping), log, head).unwrap();
    let applied = replica.apply(sent.into_iter().map(|served| served.run).collect()).unwrap();
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
    for id in [milk, bread] {
        assert!(db.get::<Todo>(id).unwrap().is_some());
    }
    assert!(db.get::<Setting>(kept).unwrap().is_some());
    assert!(own_log(&db, space(shopping)).is_some_and(|new| new != log));
    assert_eq!(changes(&db, space(shopping)), 1, "what was written here alone is in the new log");
    assert_sound(&db);
}

#[test]
#[ignore = "runs as a child of a_transaction_over_spaces_survives_a_kill_whole_or_not_at_all"]
fn writes_in_spaces_until_killed() {
    let Some(path) = work() else { return };
    let db = Db::open(&path, all_models()).unwrap();
    loop {
        let written = db
            .write(|tx| {
                let new = tx.insert(list("New"))?.id;
                for list in tx.all::<List>()?.iter().rev().take(3) {
                    tx.insert(todo(list.id, "in each"))?;
                }
                tx.insert(setting(&new.to_string()))?;
                Ok(new)
            })
            .unwrap();
        expose(&db, space(written));
        tell(&written.to_string()).unwrap();
    }
}

#[test]
fn a_transaction_over_spaces_survives_a_kill_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let mut acknowledged = Vec::new();
    for kill in 0..12 {
        let name = "write::writes_in_spaces_until_killed";
        let mut process = child(name, path.to_str().unwrap()).unwrap().stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = output.lines().map_while(std::result::Result::ok);
            lines.filter_map(|line| told(&line).map(str::to_owned)).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(30 + kill * 17));
        process.kill().unwrap();
        process.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());
        let db = Db::open(&path, all_models()).unwrap();
        let (settings, lists) = (db.all::<Setting>().unwrap(), db.all::<List>().unwrap());
        assert_eq!(settings.len(), lists.len(), "kill {kill}");
        for list in &lists {
            let id = list.id.to_string();
            assert!(settings.iter().any(|setting| setting.name == id), "kill {kill}: half a transaction");
        }
        for id in &acknowledged {
            let list = db.get::<List>(id.parse().unwrap()).unwrap();
            assert!(list.is_some(), "kill {kill}: list {id} is lost");
        }
        assert_sound(&db);
    }
    assert!(!acknowledged.is_empty());
    let db = Db::open(&path, all_models()).unwrap();
    let (logs, spaces): (i64, i64) =
        db.sql("SELECT count(DISTINCT log), count(DISTINCT space) FROM cfost_oplog").first().unwrap().unwrap();
    assert_eq!(logs, spaces, "a kill was taken for a restored database");
}

/// Texts, which know the log of each edit.
#[cfg(feature = "text")]
mod texts {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "pages", version = 1, space = list_id)]
    struct Page {
        #[synced(id)]
        id: Uuid,
        list_id: Option<Uuid>,
        #[crdt(text)]
        body: Text,
    }

    #[test]
    fn texts_of_several_spaces_are_edited_in_one_transaction_and_taken_back_together() {
        let db = Device::in_memory("laptop", models![List, Page], 5).unwrap().db;
        let page = |list_id| Page { list_id, body: Text::from("Once"), ..Page::default() };
        let shopping = db.insert(list("Shopping")).unwrap().id;
        let pages = db.write(|tx| Ok([tx.insert(page(None))?.id, tx.insert(page(Some(shopping)))?.id])).unwrap();
        db.write(|tx| {
            pages.iter().try_for_each(|id| tx.update(*id, |page: &mut Page| page.body.push_str(" more")).map(drop))
        })
        .unwrap();
        let bodies = |db: &Db| pages.map(|id| db.get::<Page>(id).unwrap().unwrap().body.as_str().to_owned());
        assert_eq!(bodies(&db), ["Once more", "Once more"]);
        assert_sound(&db);
        db.undo().unwrap();
        assert_eq!(bodies(&db), ["Once", "Once"]);
        assert_sound(&db);
    }
}
