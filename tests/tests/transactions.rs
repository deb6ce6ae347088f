//! A transaction happens as a whole or not at all, here and on every other device.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cfost::prelude::*;
use cfost::store::{OpData, StoreError};
use cfost::sync::pipe::{End, Pipe};
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device, START_MS};

#[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Task,
    Idea,
    #[synced(other)]
    Other,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    kind: Kind,
    weight: f64,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1)]
struct List {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "strangers", version = 1)]
struct Stranger {
    #[synced(id)]
    id: Uuid,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn database() -> Db {
    Db::open_in_memory(models![Todo, List]).unwrap()
}

fn ops(db: &Db) -> usize {
    db.oplog().unwrap().map(Result::unwrap).count()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

#[test]
fn an_error_or_a_panic_undoes_all_of_it() {
    let db = database();
    let kept = db.insert(todo("kept")).unwrap();
    let failed = db.write(|tx| {
        tx.insert(todo("gone"))?;
        tx.update(kept.id, |todo: &mut Todo| todo.votes += 7)?;
        tx.insert(List::default())?;
        Err::<(), _>(Error::abort("the app changed its mind"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "the app changed its mind");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        db.write(|tx| -> Result<()> {
            tx.delete::<Todo>(kept.id)?;
            panic!("the app fell over");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(db.all::<Todo>().unwrap(), std::slice::from_ref(&kept));
    assert_eq!((db.count::<List>().unwrap(), ops(&db)), (0, 1));
    // The database goes on as if nothing had been.
    db.update(kept.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    assert_sound(&db);
}

#[test]
fn a_savepoint_undoes_its_part_alone_in_rows_and_oplog() {
    let db = database();
    let milk = db
        .write(|tx| {
            let milk = tx.insert(todo("milk"))?;
            let undone = tx.savepoint(|tx| {
                tx.update(milk.id, |todo: &mut Todo| todo.title = "beer".into())?;
                tx.insert(List { name: "never".into(), ..List::default() })?;
                tx.savepoint(|tx| tx.insert(todo("kept by the inner, undone by the outer")))?;
                Err::<(), _>(Error::abort("no"))
            });
            assert!(undone.is_err());
            tx.savepoint(|tx| {
                tx.update(milk.id, |todo: &mut Todo| todo.votes += 2)?;
                let inner = tx.savepoint(|tx| {
                    tx.delete::<Todo>(milk.id)?;
                    Err::<(), _>(Error::abort("no"))
                });
                assert!(inner.is_err());
                tx.insert(List { name: "shopping".into(), ..List::default() })
            })?;
            Ok(milk)
        })
        .unwrap();
    assert_eq!(db.all::<Todo>().unwrap(), [Todo { votes: 2, ..milk }]);
    assert_eq!(db.all::<List>().unwrap()[0].name, "shopping");
    let kinds: Vec<_> = db.oplog().unwrap().map(|entry| entry.unwrap().op_type.name()).collect();
    assert_eq!(kinds, ["create", "update", "create"]);
    assert_sound(&db);
}

#[test]
fn a_savepoint_that_outgrew_a_change_is_undone_as_well() {
    let db = database();
    db.write(|tx| {
        tx.insert_all((0..4000).map(|n| todo(&n.to_string())))?;
        let undone = tx.savepoint(|tx| {
            tx.insert_all((0..9000).map(|n| todo(&n.to_string())))?;
            Err::<(), _>(Error::abort("no"))
        });
        assert!(undone.is_err());
        tx.insert_all((0..200).map(|n| todo(&n.to_string()))).map(|_| ())
    })
    .unwrap();
    assert_eq!((db.count::<Todo>().unwrap(), ops(&db)), (4200, 4200));
    assert_sound(&db);
}

#[test]
fn only_what_differs_becomes_an_op() {
    let db = database();
    let milk = db.insert(Todo { votes: 3, ..todo("milk") }).unwrap();
    db.update(milk.id, |_: &mut Todo| ()).unwrap();
    db.update(milk.id, |todo: &mut Todo| todo.title = "milk".into()).unwrap();
    db.write(|_| Ok(())).unwrap();
    assert_eq!(ops(&db), 1);
    db.update(milk.id, |todo: &mut Todo| {
        todo.completed = true;
        todo.votes -= 4;
        todo.title = "milk".into();
    })
    .unwrap();
    let last = db.oplog().unwrap().last().unwrap().unwrap();
    let names: Vec<_> = last.data.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["completed", "votes"]);
    assert_eq!(last.data[1].1, OpData::Add(-4));
}

#[test]
fn the_handle_inside_a_transaction_is_refused_by_name_and_never_waits_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    for db in [database(), Db::open(dir.path().join("a.db"), models![Todo, List]).unwrap()] {
        let milk = db.insert(todo("milk")).unwrap();
        db.write(|tx| {
            let inside = |result: Result<()>| assert!(matches!(result, Err(Error::InsideWrite)), "{result:?}");
            inside(db.get::<Todo>(milk.id).map(|_| ()));
            inside(db.all::<Todo>().map(|_| ()));
            inside(db.count::<Todo>().map(|_| ()));
            inside(db.insert(todo("nested")).map(|_| ()));
            inside(db.write(|_| Ok(())));
            inside(db.sql("SELECT id FROM todos").rows::<(Uuid,)>().map(|_| ()));
            inside(db.sql("SELECT id FROM cfost_oplog").rows::<(String,)>().map(|_| ()));
            inside(db.oplog().map(|_| ()));
            inside(db.verify().map(|_| ()));
            inside(db.user().map(|_| ()));
            inside(db.devices().map(|_| ()));
            inside(db.logout());
            inside(db.forget_recovery_phrase());
            inside(db.rename_device(db_device(tx), "phone"));
            assert_eq!(tx.get::<Todo>(milk.id)?, Some(milk.clone()));
            Ok(())
        })
        .unwrap();
        assert_eq!(db.count::<Todo>().unwrap(), 1);
    }
}

/// Some device's id: the call it is for is refused before it is looked at.
fn db_device(_: &Tx<'_>) -> cfost::oplog::DeviceId {
    cfost::oplog::DeviceId::from_bytes([7; 16])
}

#[test]
fn another_thread_reads_what_was_committed_while_a_transaction_runs() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("a.db"), models![Todo, List]).unwrap();
    db.write(|tx| {
        tx.insert(todo("not yet"))?;
        let other = db.clone();
        let seen = std::thread::spawn(move || other.count::<Todo>()).join().expect("the thread lives");
        assert_eq!(seen?, 0);
        Ok(())
    })
    .unwrap();
    assert_eq!(db.count::<Todo>().unwrap(), 1);
}

#[test]
fn every_mistake_has_its_error_and_leaves_nothing_behind() {
    let db = database();
    let milk = db.insert(todo("milk")).unwrap();
    let nobody = Uuid::from_u128(7);
    assert!(matches!(db.insert(milk.clone()), Err(Error::Exists { table: "todos", id }) if id == milk.id));
    assert!(matches!(db.update(nobody, |_: &mut Todo| ()), Err(Error::NotFound { table: "todos", .. })));
    assert!(matches!(db.delete::<Todo>(nobody), Err(Error::NotFound { id, .. }) if id == nobody));
    assert!(matches!(db.update(milk.id, |todo: &mut Todo| todo.id = nobody), Err(Error::IdChanged { .. })));
    assert!(matches!(db.insert(Stranger::default()), Err(Error::UnknownModel { model: "Stranger" })));
    assert!(matches!(db.all::<Stranger>(), Err(Error::UnknownModel { .. })));
    let nan = db.update(milk.id, |todo: &mut Todo| todo.weight = f64::NAN);
    assert!(matches!(nan, Err(Error::Unstorable { model: "Todo", field: "weight", .. })), "{nan:?}");
    // Within one transaction a refused write spoils nothing.
    db.write(|tx| {
        assert!(tx.insert(milk.clone()).is_err());
        assert!(tx.delete::<Todo>(nobody).is_err());
        assert!(tx.insert(Todo { title: "x".repeat(1 << 20), ..Todo::default() }).is_err());
        tx.update(milk.id, |todo: &mut Todo| todo.votes += 1)
    })
    .unwrap();
    assert_eq!(db.all::<Todo>().unwrap(), [Todo { votes: 1, ..milk }]);
    assert_eq!(ops(&db), 2);
    assert_sound(&db);
}

#[test]
fn both_zeros_and_infinities_are_kept() {
    let db = database();
    for weight in [0.0, -0.0, f64::INFINITY, f64::MIN_POSITIVE] {
        let row = db.insert(Todo { weight, ..todo("w") }).unwrap();
        assert_eq!(db.get::<Todo>(row.id).unwrap().unwrap().weight, weight);
    }
    assert_sound(&db);
}

#[test]
fn sql_reads_and_says_what_is_wrong_with_a_statement() {
    let dir = tempfile::tempdir().unwrap();
    for db in [database(), Db::open(dir.path().join("a.db"), models![Todo, List]).unwrap()] {
        let milk = db.insert(Todo { votes: 2, ..todo("milk") }).unwrap();
        let refused = |text: &str| db.sql(text).rows::<(i64,)>().unwrap_err();
        for text in [
            "DELETE FROM todos RETURNING votes",
            "UPDATE todos SET votes = 9 RETURNING votes",
            "INSERT INTO lists (id, name) VALUES (x'00', 'a') RETURNING 1",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA user_version = 9",
        ] {
            assert!(
                matches!(refused(text), Error::SqlWrites | Error::SqlColumns { .. }),
                "{text}: {:?}",
                refused(text)
            );
        }
        for text in ["BEGIN", "COMMIT", "DROP TABLE todos", "VACUUM", "ATTACH ':memory:' AS other"] {
            assert!(
                matches!(refused(text), Error::SqlWrites | Error::SqlColumns { .. }),
                "{text}: {:?}",
                refused(text)
            );
        }
        for text in ["SELEC 1", "SELECT votes FROM todoes", "SELECT nothing FROM todos"] {
            assert!(matches!(refused(text), Error::Sql { .. }), "{text}: {:?}", refused(text));
        }
        let two = "SELECT votes FROM todos; DELETE FROM todos";
        assert!(matches!(refused(two), Error::Sql { .. } | Error::SqlWrites), "{:?}", refused(two));
        let by_votes = "SELECT title FROM todos WHERE votes = ?1 OR votes = ?2";
        assert!(matches!(
            db.sql(by_votes).bind(2_i64).rows::<(String,)>(),
            Err(Error::SqlParameters { expected: 2, bound: 1 })
        ));
        let three = db.sql(by_votes).bind(1_i64).bind(2_i64).bind(3_i64).rows::<(String,)>();
        assert!(matches!(three, Err(Error::SqlParameters { expected: 2, bound: 3 })));
        assert!(matches!(
            db.sql("SELECT title, votes FROM todos").rows::<(String,)>(),
            Err(Error::SqlColumns { expected: 1, found: 2 })
        ));
        assert!(
            matches!(db.sql("SELECT title FROM todos").rows::<(i64,)>(), Err(Error::SqlValue { name, .. }) if name == "title")
        );
        assert_eq!(db.sql(by_votes).bind(2_i64).bind(0_i64).rows::<(String,)>().unwrap(), [("milk".to_owned(),)]);
        assert_eq!(db.all::<Todo>().unwrap(), [milk]);
        assert_sound(&db);
    }
}

#[test]
fn sql_inside_a_transaction_sees_what_was_written_and_can_not_end_it() {
    let db = database();
    db.write(|tx| {
        tx.insert(Todo { votes: 5, ..todo("milk") })?;
        assert_eq!(tx.sql("SELECT votes FROM todos").rows::<(i64,)>()?, [(5,)]);
        for text in ["COMMIT", "ROLLBACK", "SAVEPOINT x", "DELETE FROM todos", "UPDATE todos SET votes = 1 RETURNING 1"]
        {
            assert!(tx.sql(text).rows::<(i64,)>().is_err(), "{text}");
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(db.all::<Todo>().unwrap()[0].votes, 5);
    assert_sound(&db);
}

#[test]
fn a_row_or_a_transaction_too_large_is_refused_with_its_size() {
    let db = database();
    let row = db.insert(Todo { title: "x".repeat(400 << 10), ..Todo::default() }).unwrap_err();
    assert!(matches!(row, Error::Store(StoreError::RowTooLarge { table: "todos", bytes, .. }) if bytes > 400 << 10));
    let title = "y".repeat(300 << 10);
    let transaction = db.write(|tx| tx.insert_all((0..1000).map(|_| todo(&title))).map(|_| ()));
    assert!(matches!(transaction, Err(Error::Store(StoreError::TransactionTooLarge { .. }))), "{transaction:?}");
    assert_eq!((db.count::<Todo>().unwrap(), ops(&db)), (0, 0));
    db.insert(todo("small")).unwrap();
    assert_sound(&db);
}

#[test]
fn inserting_over_a_deleted_row_shows_what_was_inserted() {
    let db = database();
    let milk = db.insert(Todo { votes: 5, completed: true, ..todo("milk") }).unwrap();
    db.delete::<Todo>(milk.id).unwrap();
    assert_eq!(db.get::<Todo>(milk.id).unwrap(), None);
    let back = db.insert(Todo { id: milk.id, votes: 1, ..todo("milk again") }).unwrap();
    assert_eq!(db.get::<Todo>(milk.id).unwrap(), Some(back.clone()));
    assert!(matches!(db.insert(back), Err(Error::Exists { .. })));
    assert_sound(&db);
}

#[test]
fn an_enum_value_of_a_newer_app_survives_an_edit_by_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = Db::open(&path, models![Todo, List]).unwrap();
    let milk = db.insert(Todo { kind: Kind::Idea, ..todo("milk") }).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    let kind: String = raw.query_row("SELECT typeof(kind) FROM todos", [], |row| row.get(0)).unwrap();
    let newer: &dyn rusqlite::ToSql = if kind == "text" { &"festival" } else { &99 };
    raw.execute("UPDATE todos SET kind = ?1", [newer]).unwrap();
    assert_eq!(db.get::<Todo>(milk.id).unwrap().unwrap().kind, Kind::Other);
    db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    let kept: bool = raw.query_row("SELECT kind = ?1 FROM todos", [newer], |row| row.get(0)).unwrap();
    assert!(kept, "an edit of another column replaced a value that this build doesn't know");
    let last = db.oplog().unwrap().last().unwrap().unwrap();
    assert_eq!(last.data_json(), r#"{"votes":{"add":1}}"#);
}

fn two_devices(seed: u64) -> (Device, Device) {
    let mut devices = fleet::devices(2, &models![Todo, List], seed).unwrap();
    let laptop = devices.pop().unwrap();
    (devices.pop().unwrap(), laptop)
}

#[test]
fn a_transaction_of_many_changes_shows_on_a_peer_as_a_whole() {
    let (phone, laptop) = two_devices(3);
    // Beyond the ops of one change and beyond its bytes.
    let title = "long ".repeat(200);
    phone.db.write(|tx| tx.insert_all((0..9000).map(|n| todo(&format!("{n} {title}")))).map(|_| ())).unwrap();
    let changes = phone.db.verify().unwrap().changes;
    assert!(changes > 3, "one transaction made {changes} changes");
    let mut cuts = 0;
    // Each connection breaks after a little more than the one before; what is in the middle stays hidden.
    for bytes in (1..).map(|n| n * 96 * 1024) {
        let mut pipe = Pipe::connect(phone.db.replica().unwrap(), laptop.db.replica().unwrap(), START_MS).unwrap();
        let mut left = bytes;
        loop {
            let sent = pipe.deliver(End::Listener, left.min(16 << 10));
            left -= sent;
            let back = pipe.deliver(End::Dialer, usize::MAX);
            let rows = laptop.db.count::<Todo>().unwrap();
            assert!(rows == 0 || rows == 9000, "a part of a transaction shows: {rows} rows");
            if left == 0 || (sent == 0 && back == 0 && !pipe.wake(End::Dialer) && !pipe.wake(End::Listener)) {
                break;
            }
        }
        pipe.disconnect();
        if laptop.db.count::<Todo>().unwrap() == 9000 {
            break;
        }
        cuts += 1;
        assert!(cuts < 100, "the transaction never arrives");
    }
    assert!(cuts > 1, "the connection broke {cuts} times");
    assert_eq!(phone.db.all::<Todo>().unwrap(), laptop.db.all::<Todo>().unwrap());
    assert_sound(&laptop.db);
}
