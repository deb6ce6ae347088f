//! What became of a row, and what was: who wrote what, which concurrent values lost, tables as they were.

use std::collections::{BTreeMap, BTreeSet};

use cfost::clock::Timestamp;
use cfost::oplog::{DeviceId, OpKind};
use cfost::prelude::*;
use cfost::schema::{MergeRule, Model, ModelSchema, Value};
use cfost::store::{Explanation, HistoryError, OpData, Shown};
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device, START_MS};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    note: Option<String>,
}

/// The same model with an index of its rows' entries.
const INDEXED: Model = Model { schema: &ModelSchema { history: true, ..*<Todo as Synced>::SCHEMA } };
const PLAIN: Model = Model::of::<Todo>();

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

/// Two devices whose clocks are a second apart, with one row on both.
fn pair(model: Model) -> (Vec<Device>, Todo) {
    let devices = fleet::devices(2, &[model], 11).unwrap();
    for (device, name) in devices.iter().zip(["phone", "laptop"]) {
        device.db.rename_device(this(&device.db), name).unwrap();
    }
    let milk = devices[0].db.insert(Todo { votes: 1, ..todo("milk") }).unwrap();
    fleet::sync(&devices[1].db, &devices[0].db).unwrap();
    devices[0].clock.advance(1000);
    devices[1].clock.advance(2000);
    (devices, milk)
}

fn this(db: &Db) -> DeviceId {
    db.devices().unwrap().into_iter().find(|device| device.is_this).unwrap().id
}

#[test]
fn a_value_that_lost_without_knowing_is_named_with_its_device_and_time() {
    for model in [PLAIN, INDEXED] {
        let (devices, milk) = pair(model);
        let [phone, laptop] = &devices[..] else { panic!("two devices") };
        phone.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
        phone.db.update(milk.id, |todo: &mut Todo| todo.votes += 3).unwrap();
        laptop.db.update(milk.id, |todo: &mut Todo| todo.title = "soya".into()).unwrap();
        laptop.db.update(milk.id, |todo: &mut Todo| todo.title = "soy milk".into()).unwrap();
        laptop.db.update(milk.id, |todo: &mut Todo| todo.votes -= 1).unwrap();
        fleet::sync(&laptop.db, &phone.db).unwrap();

        let seen: Vec<Explanation> = devices.iter().map(|device| device.db.explain::<Todo>(milk.id).unwrap()).collect();
        assert_eq!(seen[0], seen[1]);
        let title = seen[0].column("title").unwrap();
        assert_eq!((title.rule, &title.value), (MergeRule::Lww, &Value::Text("soy milk".into())));
        let winner = title.written.as_ref().unwrap();
        assert_eq!((winner.device, winner.timestamp.ms()), (this(&laptop.db), START_MS + 2000));
        // The laptop had replaced "soya" itself, and the phone knew what it replaced: neither lost.
        assert_eq!(title.lost.len(), 1);
        assert_eq!(title.lost[0].value, Value::Text("oat milk".into()));
        assert_eq!(title.lost[0].written.device_name, "phone");
        assert_eq!(title.lost[0].written.timestamp.ms(), START_MS + 1000);

        let votes = seen[0].column("votes").unwrap();
        assert_eq!((votes.rule, &votes.value, votes.lost.len()), (MergeRule::Counter, &Value::Integer(3), 0));
        let added: Vec<_> = votes.added.iter().map(|added| (added.last.device_name.as_str(), added.sum)).collect();
        assert_eq!(added, [("phone", 4), ("laptop", -1)]);
        assert!(seen[0].has_conflicts());

        // Someone looks, and decides: nothing has lost any more.
        phone.db.update(milk.id, |todo: &mut Todo| todo.title = "both".into()).unwrap();
        let decided = phone.db.explain::<Todo>(milk.id).unwrap();
        assert!(!decided.has_conflicts() && decided.column("title").unwrap().lost.is_empty());
    }
}

#[test]
fn an_explanation_reads_as_a_table() {
    let (devices, milk) = pair(PLAIN);
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    phone.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    laptop.db.update(milk.id, |todo: &mut Todo| (todo.title, todo.votes) = ("soy milk".into(), 3)).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    let text = phone.db.explain::<Todo>(milk.id).unwrap().to_string();
    let expected = format!(
        "todos {}\n\
         \x20            row      shown       2026-09-21T14:13:22.000Z  laptop\n\
         \x20 title      lww      \"soy milk\"  2026-09-21T14:13:22.000Z  laptop\n\
         \x20            lost     \"oat milk\"  2026-09-21T14:13:21.000Z  phone\n\
         \x20 completed  lww      0           2026-09-21T14:13:20.000Z  phone\n\
         \x20 votes      counter  3           2026-09-21T14:13:22.000Z  laptop\n\
         \x20            added    +1          2026-09-21T14:13:20.000Z  phone\n\
         \x20            added    +2          2026-09-21T14:13:22.000Z  laptop\n\
         \x20 note       lww      NULL        2026-09-21T14:13:20.000Z  phone",
        milk.id
    );
    assert_eq!(text, expected, "\n{text}\n{expected}");
}

#[test]
fn a_delete_and_an_edit_that_did_not_know_of_each_other_are_both_told() {
    let (devices, milk) = pair(PLAIN);
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    phone.db.delete::<Todo>(milk.id).unwrap();
    laptop.db.update(milk.id, |todo: &mut Todo| todo.completed = true).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    let life = phone.db.explain::<Todo>(milk.id).unwrap().life;
    assert_eq!((life.shown, life.written.unwrap().device_name.as_str()), (Shown::Yes, "laptop"));
    assert_eq!((life.lost.len(), life.lost[0].0), (1, OpKind::Delete));

    // A delete that knows of everything has no rival, and the row can still be explained.
    laptop.db.delete::<Todo>(milk.id).unwrap();
    let gone = laptop.db.explain::<Todo>(milk.id).unwrap();
    assert_eq!((&gone.life.shown, gone.life.lost.len()), (&Shown::Deleted, 0));
    assert_eq!(gone.column("completed").unwrap().value, Value::Integer(1));
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "contacts", version = 1, delete = wins, history)]
struct Contact {
    #[synced(id(from(email)))]
    id: Uuid,
    email: String,
    #[synced(immutable)]
    first_met: String,
    name: String,
}

#[test]
fn of_what_is_immutable_the_later_insert_has_lost_and_a_final_delete_wins_over_edits() {
    let devices = fleet::devices(2, &models![Contact], 11).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let ada = |met: &str| Contact { email: "ada@example.org".into(), first_met: met.into(), ..Contact::default() };
    let id = phone.db.insert(ada("at work")).unwrap().id;
    laptop.clock.advance(1000);
    laptop.db.insert(ada("on a train")).unwrap();
    laptop.db.update(id, |contact: &mut Contact| contact.name = "Ada".into()).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    let met = phone.db.explain::<Contact>(id).unwrap();
    let met = met.column("first_met").unwrap();
    assert_eq!((&met.value, met.lost.len()), (&Value::Text("at work".into()), 1));
    assert_eq!(met.lost[0].value, Value::Text("on a train".into()));

    phone.db.delete::<Contact>(id).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(id, |contact: &mut Contact| contact.name = "Ada L.".into()).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in &devices {
        let life = device.db.explain::<Contact>(id).unwrap().life;
        assert_eq!((life.shown, life.written.unwrap().device), (Shown::Gone, this(&phone.db)));
        assert_eq!((life.lost.len(), life.lost[0].0), (1, OpKind::Update));
        assert_eq!(device.db.history::<Contact>(id).unwrap().len(), 5);
        assert_sound(&device.db);
    }
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1, history)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Note)]
    under: Option<Uuid>,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[crdt(map)]
    ratings: BTreeMap<i64, String>,
    #[crdt(list)]
    lines: List<String>,
}

#[test]
fn elements_are_explained_one_by_one() {
    let devices = fleet::devices(2, &models![Note], 11).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    for (device, name) in devices.iter().zip(["phone", "laptop"]) {
        device.db.rename_device(this(&device.db), name).unwrap();
    }
    let note = Note {
        tags: ["home".to_owned(), "shop".to_owned()].into(),
        ratings: [(1, "poor".to_owned()), (-1, "none".to_owned())].into(),
        lines: vec!["milk".to_owned(), "bread".to_owned()].into(),
        ..Note::default()
    };
    let note = phone.db.insert(note).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    phone.clock.advance(1000);
    laptop.clock.advance(2000);
    phone
        .db
        .update(note.id, |note: &mut Note| {
            note.tags.remove("shop");
            note.ratings.insert(1, "fine".into());
            note.lines.remove(0);
            note.lines.push("butter".into());
        })
        .unwrap();
    laptop
        .db
        .update(note.id, |note: &mut Note| {
            note.tags.insert("dairy".into());
            note.ratings.insert(1, "good".into());
            note.lines.set(0, "oat milk".into());
        })
        .unwrap();
    // Puts again what the phone has removed, and removes what nobody else touched.
    laptop.db.update(note.id, |note: &mut Note| note.tags = ["dairy".to_owned()].into()).unwrap();
    laptop.db.update(note.id, |note: &mut Note| assert!(note.tags.insert("shop".into()))).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();

    let seen: Vec<_> = devices.iter().map(|device| device.db.explain::<Note>(note.id).unwrap()).collect();
    assert_eq!(seen[0], seen[1]);
    let told = seen[0].to_string();
    let told: Vec<_> = told.lines().skip(3).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let (first, phone_at, laptop_at) =
        ("2026-09-21T14:13:20.000Z", "2026-09-21T14:13:21.000Z", "2026-09-21T14:13:22.000Z");
    let expected = [
        format!("tags set \"dairy\" {laptop_at} laptop"),
        format!("\"shop\" {laptop_at} laptop"),
        format!("lost removed {phone_at} phone"),
        format!("ratings map -1 = \"none\" {first} phone"),
        format!("1 = \"good\" {laptop_at} laptop"),
        format!("lost 1 = \"fine\" {phone_at} phone"),
        format!("lines list \"oat milk\" {laptop_at} laptop"),
        format!("lost removed {phone_at} phone"),
        format!("\"bread\" {first} phone"),
        format!("\"butter\" {phone_at} phone"),
    ];
    assert_eq!(told, expected, "\n{}", seen[0]);
    assert!(seen[0].has_conflicts());

    // A row that waits for another one says so.
    let below = phone.db.insert(Note { under: Some(note.id), ..Note::default() }).unwrap();
    phone.db.delete::<Note>(note.id).unwrap();
    let waiting = phone.db.explain::<Note>(below.id).unwrap().life.shown;
    assert_eq!(waiting, Shown::Waiting { table: "notes".into(), id: note.id });
    assert_eq!(waiting.to_string(), format!("waits for notes {}", note.id));
}

#[test]
fn what_a_third_device_passed_on_counts_as_known() {
    let devices = fleet::devices(3, &[PLAIN], 3).unwrap();
    let [phone, laptop, tablet] = &devices[..] else { panic!("three devices") };
    let milk = phone.db.insert(todo("milk")).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    fleet::sync(&tablet.db, &laptop.db).unwrap();
    tablet.clock.advance(2000);
    tablet.db.update(milk.id, |todo: &mut Todo| todo.title = "soy milk".into()).unwrap();
    fleet::sync(&phone.db, &tablet.db).unwrap();
    let title = phone.db.explain::<Todo>(milk.id).unwrap();
    assert!(!title.has_conflicts(), "{title}");
}

#[test]
fn the_history_of_a_row_is_the_same_with_and_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("laptop.db");
    let phone = Device::in_memory("phone", [PLAIN], 1).unwrap();
    let laptop = Device::in_file(&path, [INDEXED], 2).unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    let milk = phone.db.insert(todo("milk")).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    laptop.clock.advance(10);
    laptop
        .db
        .write(|tx| {
            tx.insert(todo("bread"))?;
            tx.update(milk.id, |todo: &mut Todo| todo.votes += 2)?;
            tx.update(milk.id, |todo: &mut Todo| todo.completed = true)
        })
        .unwrap();
    laptop.db.delete::<Todo>(milk.id).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();

    let indexed = laptop.db.history::<Todo>(milk.id).unwrap();
    let kinds: Vec<_> = indexed.iter().map(|entry| entry.op_type).collect();
    assert_eq!(kinds, [OpKind::Create, OpKind::Update, OpKind::Update, OpKind::Delete]);
    assert_eq!(indexed[1].data, [("votes".to_owned(), OpData::Add(2))]);
    assert_eq!(phone.db.history::<Todo>(milk.id).unwrap(), indexed);
    let all: Vec<_> = phone.db.oplog().unwrap().map(Result::unwrap).filter(|entry| entry.row_id == milk.id).collect();
    assert_eq!(all, indexed);
    assert_sound(&laptop.db);
    drop(laptop);

    // An app that drops the index, writes, and gains it again finds everything in it.
    let laptop = Device::in_file(&path, [PLAIN], 3).unwrap();
    laptop.db.insert(Todo { id: milk.id, ..todo("milk again") }).unwrap();
    assert_eq!(laptop.db.history::<Todo>(milk.id).unwrap().len(), 5);
    drop(laptop);
    let laptop = Device::in_file(&path, [INDEXED], 4).unwrap();
    assert_eq!(laptop.db.history::<Todo>(milk.id).unwrap().len(), 5);
    assert_sound(&laptop.db);
}

#[test]
fn an_indexed_history_reads_no_change_but_those_of_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let milk = {
        let device = Device::in_file(&path, [INDEXED], 2).unwrap();
        for n in 0..100 {
            device.db.insert(todo(&n.to_string())).unwrap();
        }
        let milk = device.db.insert(todo("milk")).unwrap();
        for n in 0..100 {
            device.db.insert(todo(&n.to_string())).unwrap();
        }
        device.db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
        milk
    };
    let device = Device::in_file(&path, [INDEXED], 3).unwrap();
    // What is damaged is not found as long as nobody reads it.
    let damaged = rusqlite::Connection::open(&path)
        .unwrap()
        .execute("UPDATE cfost_changes SET change = x'00' WHERE position % (1 << 40) IN (1, 7, 100, 102, 150)", [])
        .unwrap();
    assert_eq!(damaged, 5);
    assert_eq!(device.db.history::<Todo>(milk.id).unwrap().len(), 2);
    let explanation = device.db.explain::<Todo>(milk.id).unwrap();
    assert_eq!(explanation.column("votes").unwrap().value, Value::Integer(1));
    assert!(device.db.oplog().unwrap().any(|entry| entry.is_err()));
}

#[test]
fn the_index_follows_a_transaction_that_is_undone_and_one_of_many_changes() {
    let device = Device::in_memory("phone", [INDEXED], 1).unwrap();
    let milk = device.db.insert(todo("milk")).unwrap();
    let failed = device.db.write(|tx| {
        tx.update(milk.id, |todo: &mut Todo| todo.votes += 1)?;
        Err::<(), _>(Error::abort("no"))
    });
    assert!(failed.is_err());
    device
        .db
        .write(|tx| {
            tx.insert_all((0..9000).map(|n| todo(&n.to_string())))?;
            tx.update(milk.id, |todo: &mut Todo| todo.votes += 5)
        })
        .unwrap();
    assert_eq!(device.db.history::<Todo>(milk.id).unwrap().len(), 2);
    assert_sound(&device.db);
}

#[test]
fn a_row_that_never_was_has_no_history_and_the_error_says_what_to_do() {
    for model in [PLAIN, INDEXED] {
        let db = Db::open_in_memory([model]).unwrap();
        let id = Uuid::from_u128(7);
        let never = HistoryError::NeverExisted { table: "todos", id };
        assert!(matches!(db.history::<Todo>(id), Err(Error::History(error)) if error == never));
        let Err(error) = db.explain::<Todo>(id) else { panic!("an explanation of nothing") };
        assert_eq!(
            error.to_string(),
            format!("'todos' never had a row {id}: check the id, or sync with the device that inserted it")
        );
    }
}

#[test]
fn tables_are_read_as_they_were_at_every_entry_of_the_oplog() {
    let device = Device::in_memory("phone", [PLAIN], 1).unwrap();
    let milk = device.db.insert(todo("milk")).unwrap();
    device.clock.advance(60_000);
    device.db.update(milk.id, |todo: &mut Todo| (todo.title, todo.votes) = ("oat milk".into(), 2)).unwrap();
    device.clock.advance(60_000);
    device
        .db
        .write(|tx| {
            tx.delete::<Todo>(milk.id)?;
            tx.insert(todo("bread"))
        })
        .unwrap();

    let times: Vec<_> = device.db.history::<Todo>(milk.id).unwrap().iter().map(|entry| entry.timestamp).collect();
    let first = device.db.at(times[0]).unwrap();
    assert_eq!(first.all::<Todo>().unwrap(), std::slice::from_ref(&milk));
    let second = device.db.at(Timestamp::from_ms(START_MS + 90_000)).unwrap();
    let expected = Todo { votes: 2, ..todo("oat milk") };
    assert_eq!(second.get::<Todo>(milk.id).unwrap(), Some(Todo { id: milk.id, ..expected }));
    let votes: Vec<(i64,)> =
        second.sql("SELECT votes FROM todos WHERE title = ?").bind("oat milk".to_owned()).rows().unwrap();
    assert_eq!(votes, [(2,)]);
    let found = Todo::query().filter(|t| t.title.contains_ignore_case("OAT")).all(&second).unwrap();
    assert_eq!(found.len(), 1);
    // The delete is the first op of its transaction: the insert after it is there too.
    let third = device.db.at(times[2]).unwrap();
    assert_eq!((third.count::<Todo>().unwrap(), third.all::<Todo>().unwrap()[0].title.as_str()), (1, "bread"));
    // What was read stays as it was, and the present is untouched.
    device.db.insert(todo("eggs")).unwrap();
    assert_eq!((third.count::<Todo>().unwrap(), device.db.count::<Todo>().unwrap()), (1, 2));
    assert_eq!(device.db.at(Timestamp::MAX).unwrap().all::<Todo>().unwrap(), device.db.all::<Todo>().unwrap());
}

#[test]
fn a_transaction_is_in_the_past_as_a_whole_however_many_changes_it_takes() {
    let device = Device::in_memory("phone", [PLAIN], 1).unwrap();
    device.db.insert(todo("first")).unwrap();
    device.clock.advance(1000);
    device.db.write(|tx| tx.insert_all((0..9000).map(|n| todo(&n.to_string())))).unwrap();
    let last = device.db.oplog().unwrap().last().unwrap().unwrap();
    for (at, count) in [(START_MS, 1), (START_MS + 999, 1), (START_MS + 1000, 9001)] {
        assert_eq!(device.db.at(Timestamp::from_ms(at)).unwrap().count::<Todo>().unwrap(), count);
    }
    assert_eq!(device.db.at(last.timestamp).unwrap().count::<Todo>().unwrap(), 9001);
}

#[test]
fn a_time_before_the_first_change_is_an_error_and_an_empty_database_has_none() {
    let device = Device::in_memory("phone", [PLAIN], 1).unwrap();
    assert_eq!(device.db.at(Timestamp::from_ms(1)).unwrap().count::<Todo>().unwrap(), 0);
    device.db.insert(todo("milk")).unwrap();
    let Err(Error::History(HistoryError::BeforeFirst { at, first })) = device.db.at(Timestamp::from_ms(START_MS - 1))
    else {
        panic!("a time before the first change")
    };
    assert_eq!((at.ms(), first.ms()), (START_MS - 1, START_MS));
}

#[test]
fn the_past_is_read_only() {
    let device = Device::in_memory("phone", [PLAIN], 1).unwrap();
    device.db.insert(todo("milk")).unwrap();
    let past = device.db.at(Timestamp::MAX).unwrap();
    assert!(matches!(past.sql("DELETE FROM todos").rows::<(i64,)>(), Err(Error::SqlWrites)));
    device
        .db
        .write(|_| {
            assert!(matches!(device.db.at(Timestamp::MAX), Err(Error::InsideWrite)));
            assert!(matches!(device.db.history::<Todo>(Uuid::from_u128(1)), Err(Error::InsideWrite)));
            assert!(matches!(device.db.explain::<Todo>(Uuid::from_u128(1)), Err(Error::InsideWrite)));
            assert!(matches!(device.db.undo(), Err(Error::InsideWrite)));
            Ok(())
        })
        .unwrap();
}
