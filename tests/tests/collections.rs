//! Collections beyond the usual: large ones, odd ones, and those that other code holds wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cfost::Error;
use cfost::prelude::*;
use cfost::store::StoreError;
use cfost_tests::fleet::{self, Device};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "boxes", version = 1)]
struct Box {
    #[synced(id)]
    id: Uuid,
    label: String,
    #[crdt(set)]
    numbers: BTreeSet<i64>,
    #[crdt(set)]
    bytes: BTreeSet<Vec<u8>>,
    #[crdt(map)]
    names: BTreeMap<String, String>,
    #[crdt(map)]
    flags: BTreeMap<bool, Option<Uuid>>,
    #[crdt(list)]
    rows: List<Option<f64>>,
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

fn device() -> Device {
    Device::in_memory("phone", models![Box], 1).unwrap()
}

fn full() -> Box {
    Box {
        label: "full".into(),
        numbers: [i64::MIN, -1, 0, 63, 64, i64::MAX].into(),
        bytes: [vec![], vec![0], vec![0, 0], vec![255; 300]].into(),
        names: ["", "\0", "a\0b", "é", "e\u{301}", "👩‍👩‍👧"].map(|name| (name.to_owned(), name.repeat(2))).into(),
        flags: [(false, None), (true, Some(Uuid::from_u128(7)))].into(),
        rows: [None, Some(0.0), Some(-1.5), None, Some(f64::INFINITY)].into(),
        ..Box::default()
    }
}

#[test]
fn elements_of_every_type_come_back_as_they_were_on_every_device() {
    let devices = fleet::devices(2, &models![Box], 3).unwrap();
    let full = devices[0].db.insert(full()).unwrap();
    fleet::sync(&devices[0].db, &devices[1].db).unwrap();
    for device in &devices {
        assert_eq!(device.db.all::<Box>().unwrap(), std::slice::from_ref(&full));
        assert_sound(&device.db);
    }
    // Again, as a row that is deleted and brought back.
    devices[0].db.delete::<Box>(full.id).unwrap();
    devices[1].clock.advance(1000);
    let full = devices[1].db.update(full.id, |it: &mut Box| it.label.push('!')).unwrap();
    fleet::sync(&devices[0].db, &devices[1].db).unwrap();
    for device in &devices {
        assert_eq!(device.db.all::<Box>().unwrap(), std::slice::from_ref(&full));
        assert_sound(&device.db);
    }
}

#[test]
fn a_row_with_a_few_elements_is_one_op_and_the_oplog_reads_what_became_of_them() {
    let device = device();
    let row = device.db.insert(Box { numbers: [1, 2].into(), ..full() }).unwrap();
    device
        .db
        .update(row.id, |it: &mut Box| {
            it.numbers = [2, 3].into();
            it.names.clear();
            it.names.insert("k".into(), "v".into());
            it.rows.remove(0);
        })
        .unwrap();
    let ops: Vec<_> = device.db.oplog().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(ops.len(), 2);
    let json = ops[1].data_json();
    assert!(json.contains(r#""numbers":{"put":[3],"removed":[1]}"#), "{json}");
    assert!(json.contains(r#""names":{"put":[{"key":"k","value":"v"}],"removed":["#), "{json}");
    assert!(json.contains(r#""rows":{"removed":["#), "{json}");
    let text: (String,) =
        device.db.sql("SELECT data FROM cfost_oplog WHERE op_type = 'update'").first().unwrap().unwrap();
    assert_eq!(text.0, json);
}

#[test]
fn a_set_of_a_hundred_thousand_elements_is_written_synced_and_verified() {
    // A million take ten times as long: `cargo test --release .. -- --ignored million`.
    large_set(100_000);
}

#[test]
#[ignore = "takes a minute without optimization"]
fn a_set_of_a_million_elements_works() {
    large_set(1_000_000);
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the large one")]
fn large_set(count: i64) {
    let devices = fleet::devices(2, &models![Box], 3).unwrap();
    let start = Instant::now();
    let row = devices[0].db.insert(Box { numbers: (0..count).collect(), ..Box::default() }).unwrap();
    let inserted = start.elapsed();
    devices[0].db.update(row.id, |it: &mut Box| it.numbers.retain(|n| n % 2 == 0)).unwrap();
    let removed = start.elapsed() - inserted;
    fleet::sync(&devices[0].db, &devices[1].db).unwrap();
    let synced = start.elapsed() - removed - inserted;
    println!("{count} elements: insert {inserted:?}, remove half {removed:?}, sync {synced:?}");
    for device in &devices {
        let counted: (i64,) = device.db.sql("SELECT count(*) FROM boxes_numbers").first().unwrap().unwrap();
        assert_eq!(counted, (count / 2,));
    }
    assert_eq!(devices[1].db.get::<Box>(row.id).unwrap().unwrap().numbers, (0..count).step_by(2).collect());
    assert_sound(&devices[1].db);
}

#[test]
fn a_key_or_a_value_that_is_too_long_is_told_and_nothing_is_written() {
    let device = device();
    let row = device.db.insert(Box { label: "kept".into(), ..Box::default() }).unwrap();
    let megabyte = "x".repeat(1 << 20);
    let key = device.db.update(row.id, |it: &mut Box| _ = it.names.insert(megabyte.clone(), String::new()));
    let key = key.unwrap_err();
    let is_key = matches!(&key, Error::Store(StoreError::KeyTooLong { table: "boxes", field: "names", .. }));
    assert!(is_key && key.to_string().contains("65536"), "{key}");
    let value = device.db.update(row.id, |it: &mut Box| _ = it.names.insert("k".into(), megabyte.clone()));
    let value = value.unwrap_err();
    assert!(matches!(&value, Error::Store(StoreError::RowTooLarge { table: "boxes", .. })), "{value}");
    let insert = device.db.insert(Box { bytes: [megabyte.into_bytes()].into(), ..Box::default() }).unwrap_err();
    assert!(matches!(&insert, Error::Store(StoreError::KeyTooLong { field: "bytes", .. })), "{insert}");
    assert_eq!(device.db.all::<Box>().unwrap(), [row]);
    assert_sound(&device.db);
}

#[test]
fn a_write_that_fails_after_a_part_of_it_is_not_committed_even_if_the_app_goes_on() {
    let device = device();
    let small = (0..2000).map(|n| (format!("{n:04}"), "small, and many of them".repeat(2)));
    let names: BTreeMap<String, String> = small.chain([("z".into(), "large".repeat(200_000))]).collect();
    let committed = device.db.write(|tx| {
        tx.insert(Box { label: "before".into(), ..Box::default() })?;
        let refused = tx.insert(Box { names: names.clone(), ..Box::default() });
        assert!(matches!(refused, Err(Error::Store(StoreError::RowTooLarge { table: "boxes", .. }))));
        Ok(())
    });
    assert!(matches!(committed, Err(Error::BrokenTransaction)), "{committed:?}");
    assert_eq!(device.db.count::<Box>().unwrap(), 0);

    // In a savepoint, it alone is undone.
    device
        .db
        .write(|tx| {
            tx.insert(Box { label: "before".into(), ..Box::default() })?;
            assert!(tx.savepoint(|tx| tx.insert(Box { names: names.clone(), ..Box::default() })).is_err());
            Ok(())
        })
        .unwrap();
    assert_eq!(device.db.all::<Box>().unwrap().iter().map(|row| &row.label).collect::<Vec<_>>(), ["before"]);
    assert_sound(&device.db);
}

#[test]
fn a_list_that_is_always_edited_between_its_two_latest_elements_is_numbered_anew_and_stays_in_order() {
    let devices = fleet::devices(2, &models![Box], 3).unwrap();
    let db = &devices[0].db;
    let row = db.insert(Box { rows: [Some(0.0), Some(1.0)].into(), ..Box::default() }).unwrap();
    let (mut expected, mut at) = (vec![Some(0.0), Some(1.0)], 1);
    for n in 0..200 {
        let value = Some(f64::from(n));
        db.update(row.id, |it: &mut Box| it.rows.insert(at, value)).unwrap();
        expected.insert(at, value);
        at += n as usize % 2;
    }
    fleet::sync(db, &devices[1].db).unwrap();
    for device in &devices {
        assert_eq!(device.db.get::<Box>(row.id).unwrap().unwrap().rows, expected);
        let longest: (i64,) = device.db.sql("SELECT max(length(position)) FROM boxes_rows").first().unwrap().unwrap();
        assert!(longest.0 <= 255);
        assert_sound(&device.db);
    }
    let moved = db.oplog().unwrap().filter(|op| op.as_ref().unwrap().data_json().matches("position").count() > 2);
    assert!(moved.count() > 0, "the list was never numbered anew");
}

#[test]
fn what_a_savepoint_takes_back_takes_the_elements_along() {
    let device = device();
    let row = device.db.insert(full()).unwrap();
    device
        .db
        .write(|tx| {
            let undone: Result<(), Error> = tx.savepoint(|tx| {
                tx.update(row.id, |it: &mut Box| (it.numbers, it.rows) = ([5].into(), List::new()))?;
                tx.delete::<Box>(row.id)?;
                tx.insert(full())?;
                Err(Error::abort("no"))
            });
            undone.unwrap_err();
            tx.update(row.id, |it: &mut Box| _ = it.numbers.insert(5))
        })
        .unwrap();
    let mut expected = row;
    expected.numbers.insert(5);
    assert_eq!(device.db.all::<Box>().unwrap(), [expected]);
    assert_sound(&device.db);
}

#[test]
fn rows_written_before_a_pairing_keep_their_elements_and_their_order() {
    let (phone, laptop) = (device(), Device::in_memory("laptop", models![Box], 2).unwrap());
    let before = laptop.db.insert(full()).unwrap();
    laptop.db.update(before.id, |it: &mut Box| it.rows.move_to(4, 0)).unwrap();
    let before = laptop.db.get::<Box>(before.id).unwrap().unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for db in [&phone.db, &laptop.db] {
        assert_eq!(db.all::<Box>().unwrap(), std::slice::from_ref(&before));
        assert_sound(db);
    }
}

#[test]
fn a_read_never_sees_a_row_with_the_elements_of_another_state() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::in_file(&dir.path().join("boxes.db"), models![Box], 1).unwrap();
    let row = device.db.insert(Box { label: "0".into(), numbers: [0].into(), ..Box::default() }).unwrap();
    let (db, done) = (&device.db, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let rows = [db.get::<Box>(row.id).unwrap().unwrap(), db.all::<Box>().unwrap().remove(0)];
                        for row in rows {
                            assert_eq!(row.label, row.numbers.iter().next().unwrap().to_string());
                        }
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for n in 1..300 {
            db.update(row.id, |it: &mut Box| (it.label, it.numbers) = (n.to_string(), [n].into())).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u32>() > 0);
    });
}

mod other {
    use super::*;

    /// The same table, by an app whose developer changed his mind.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "boxes", version = 1)]
    pub(super) struct Box {
        #[synced(id)]
        pub(super) id: Uuid,
        pub(super) label: String,
        #[crdt(set)]
        pub(super) numbers: BTreeSet<String>,
        #[crdt(set)]
        pub(super) names: BTreeSet<String>,
    }
}

#[test]
fn elements_of_another_type_or_another_rule_are_passed_over_and_the_rest_is_merged() {
    let phone = Device::in_memory("phone", models![Box], 1).unwrap();
    let laptop = Device::in_memory("laptop", models![other::Box], 2).unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    let theirs = other::Box { label: "theirs".into(), numbers: ["one".to_owned()].into(), ..Default::default() };
    let theirs = laptop.db.insert(other::Box { names: ["a".to_owned()].into(), ..theirs }).unwrap();
    let ours = phone.db.insert(full()).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let shown = phone.db.get::<Box>(theirs.id).unwrap().unwrap();
    assert_eq!(shown, Box { id: theirs.id, label: "theirs".into(), ..Box::default() });
    let shown = laptop.db.get::<other::Box>(ours.id).unwrap().unwrap();
    assert_eq!(shown, other::Box { id: ours.id, label: "full".into(), ..Default::default() });
    assert_sound(&phone.db);
    assert_sound(&laptop.db);
}

mod clash {
    use super::*;

    /// Its table is the one that `Box::names` needs.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "Boxes_Names", version = 1)]
    pub(super) struct Names {
        #[synced(id)]
        pub(super) id: Uuid,
    }
}

#[test]
fn a_model_whose_table_is_the_elements_table_of_another_is_refused() {
    for models in [models![Box, clash::Names], models![clash::Names, Box]] {
        let error = Db::open_in_memory(models).unwrap_err();
        let Error::Store(StoreError::NameTaken { name, first: "Names", second: "Box" }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(name, "boxes_names");
    }
}
