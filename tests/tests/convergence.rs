//! Devices that hold the same changes show the same rows, whatever the order in which they met.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};
use cfost_tests::meaning;
use proptest::prelude::*;

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
    #[crdt(set)]
    tags: BTreeSet<u8>,
    #[crdt(map)]
    scores: BTreeMap<String, Option<i64>>,
    #[crdt(list)]
    steps: List<u8>,
}

/// A step of a story; rows are named by the order of their inserts.
#[derive(Clone, Debug)]
enum Step {
    Insert { device: usize },
    Rename { device: usize, row: usize, to: u8 },
    Complete { device: usize, row: usize },
    Vote { device: usize, row: usize, by: i8 },
    Note { device: usize, row: usize, note: Option<u8> },
    Tag { device: usize, row: usize, tag: u8 },
    Score { device: usize, row: usize, key: u8, score: Option<Option<i64>> },
    List { device: usize, row: usize, edit: ListEdit },
    Delete { device: usize, row: usize },
    Revive { device: usize, row: usize, tag: u8 },
    Sync { from: usize, to: usize },
    Wait { device: usize, ms: i32 },
}

/// An edit of a list; places are taken modulo its length.
#[derive(Clone, Copy, Debug)]
enum ListEdit {
    Insert { at: usize, values: u8 },
    Remove { at: usize },
    Move { from: usize, to: usize },
    Set { at: usize, value: u8 },
    MakeAnew { keep: u8 },
}

fn list_edit() -> impl Strategy<Value = ListEdit> {
    let at = 0..8_usize;
    prop_oneof![
        4 => (at.clone(), 1..4_u8).prop_map(|(at, values)| ListEdit::Insert { at, values }),
        2 => at.clone().prop_map(|at| ListEdit::Remove { at }),
        3 => (at.clone(), at.clone()).prop_map(|(from, to)| ListEdit::Move { from, to }),
        2 => (at, any::<u8>()).prop_map(|(at, value)| ListEdit::Set { at, value }),
        1 => any::<u8>().prop_map(|keep| ListEdit::MakeAnew { keep }),
    ]
}

fn edit_list(steps: &mut List<u8>, edit: ListEdit) {
    let len = steps.len();
    match edit {
        ListEdit::Insert { at, values } => (0..values).for_each(|n| steps.insert(at % (len + 1), n)),
        _ if len == 0 => {}
        ListEdit::Remove { at } => _ = steps.remove(at % len),
        ListEdit::Move { from, to } => steps.move_to(from % len, to % len),
        ListEdit::Set { at, value } => steps.set(at % len, value),
        ListEdit::MakeAnew { keep } => *steps = steps.iter().copied().filter(|value| value & keep != 0).rev().collect(),
    }
}

fn step(devices: usize) -> impl Strategy<Value = Step> {
    let (device, row) = (0..devices, 0..6_usize);
    prop_oneof![
        2 => device.clone().prop_map(|device| Step::Insert { device }),
        3 => (device.clone(), row.clone(), any::<u8>()).prop_map(|(device, row, to)| Step::Rename { device, row, to }),
        2 => (device.clone(), row.clone()).prop_map(|(device, row)| Step::Complete { device, row }),
        3 => (device.clone(), row.clone(), any::<i8>()).prop_map(|(device, row, by)| Step::Vote { device, row, by }),
        1 => (device.clone(), row.clone(), any::<Option<u8>>())
            .prop_map(|(device, row, note)| Step::Note { device, row, note }),
        3 => (device.clone(), row.clone(), 0..4_u8).prop_map(|(device, row, tag)| Step::Tag { device, row, tag }),
        3 => (device.clone(), row.clone(), 0..3_u8, any::<Option<Option<i64>>>())
            .prop_map(|(device, row, key, score)| Step::Score { device, row, key, score }),
        5 => (device.clone(), row.clone(), list_edit())
            .prop_map(|(device, row, edit)| Step::List { device, row, edit }),
        2 => (device.clone(), row.clone()).prop_map(|(device, row)| Step::Delete { device, row }),
        1 => (device.clone(), row, 0..4_u8).prop_map(|(device, row, tag)| Step::Revive { device, row, tag }),
        3 => (device.clone(), device.clone()).prop_map(|(from, to)| Step::Sync { from, to }),
        1 => (device, -5_000..60_000_i32).prop_map(|(device, ms)| Step::Wait { device, ms }),
    ]
}

fn play(devices: &[Device], steps: &[Step]) -> cfost::Result<i64> {
    let mut ids: Vec<Uuid> = Vec::new();
    let mut votes = 0;
    let edit = |device: usize, row: usize, ids: &[Uuid], edit: &dyn Fn(&mut Todo)| -> cfost::Result<bool> {
        let Some(id) = ids.get(row) else { return Ok(false) };
        match devices[device].db.update(*id, |todo: &mut Todo| edit(todo)) {
            Ok(_) => Ok(true),
            Err(cfost::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    };
    for step in steps {
        match *step {
            Step::Insert { device } => {
                ids.push(devices[device].db.insert(Todo { title: "new".into(), ..Todo::default() })?.id);
            }
            Step::Rename { device, row, to } => {
                edit(device, row, &ids, &|todo| todo.title = format!("title {to}"))?;
            }
            Step::Complete { device, row } => {
                edit(device, row, &ids, &|todo| todo.completed = !todo.completed)?;
            }
            Step::Vote { device, row, by } => {
                if edit(device, row, &ids, &|todo| todo.votes += i64::from(by))? {
                    votes += i64::from(by);
                }
            }
            Step::Note { device, row, note } => {
                edit(device, row, &ids, &|todo| todo.note = note.map(|note| note.to_string()))?;
            }
            Step::Tag { device, row, tag } => {
                edit(device, row, &ids, &|todo| {
                    if !todo.tags.remove(&tag) {
                        todo.tags.insert(tag);
                    }
                })?;
            }
            Step::Score { device, row, key, score } => {
                edit(device, row, &ids, &|todo| match score {
                    Some(score) => _ = todo.scores.insert(key.to_string(), score),
                    None => _ = todo.scores.remove(&key.to_string()),
                })?;
            }
            Step::List { device, row, edit: list } => {
                edit(device, row, &ids, &|todo| edit_list(&mut todo.steps, list))?;
            }
            Step::Delete { device, row } => {
                if let Some(id) = ids.get(row) {
                    match devices[device].db.delete::<Todo>(*id) {
                        Ok(()) | Err(cfost::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Step::Revive { device, row, tag } => {
                if let Some(id) = ids.get(row) {
                    let (tags, steps) = ([tag].into(), vec![tag; 2].into());
                    let todo = Todo { id: *id, title: "back".into(), tags, steps, ..Todo::default() };
                    match devices[device].db.insert(todo) {
                        Ok(_) | Err(cfost::Error::Exists { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Step::Sync { from, to } if from != to => {
                fleet::sync(&devices[from].db, &devices[to].db)?;
            }
            Step::Sync { .. } => {}
            Step::Wait { device, ms } => {
                let clock = &devices[device].clock;
                clock.set(cfost::host::WallClock::now_ms(clock).saturating_add_signed(i64::from(ms)));
            }
        }
    }
    Ok(votes)
}

fn meet_all(devices: &[Device]) -> cfost::Result<()> {
    // The first hears of everything, then tells everyone.
    for _ in 0..2 {
        for device in &devices[1..] {
            fleet::sync(&devices[0].db, &device.db)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_devices_show_the_same_rows_after_any_story(
        seed in any::<u32>(),
        steps in proptest::collection::vec(step(3), 1..40),
    ) {
        let devices = fleet::devices(3, &models![Todo], u64::from(seed)).unwrap();
        play(&devices, &steps).unwrap();
        meet_all(&devices).unwrap();
        let rows: Vec<Vec<Todo>> = devices.iter().map(|device| device.db.all().unwrap()).collect();
        prop_assert_eq!(&rows[0], &rows[1]);
        prop_assert_eq!(&rows[0], &rows[2]);
        let meant = meaning::meant(&devices[0].db, &models![Todo]).unwrap();
        for device in &devices {
            prop_assert_eq!(&meaning::shown::<Todo>(&device.db).unwrap(), &meant["todos"]);
            let verification = device.db.verify().unwrap();
            prop_assert!(verification.is_sound(), "{:?}", verification.differences);
        }
    }
}

#[test]
fn the_last_delete_or_edit_decides_and_an_edit_brings_back_every_column() {
    let devices = fleet::devices(2, &models![Todo], 7).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let milk = phone.db.insert(Todo { title: "Buy milk".into(), votes: 3, ..Todo::default() }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();

    phone.db.delete::<Todo>(milk.id).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();

    let expected = Todo { votes: 4, ..milk };
    for device in [phone, laptop] {
        assert_eq!(device.db.all::<Todo>().unwrap(), std::slice::from_ref(&expected));
    }
}
