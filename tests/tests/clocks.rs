//! Wall clocks jump; what was written stays in order, and a clock that is wrong misleads nobody else.

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device, START_MS};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
}

const HOUR_MS: u64 = 3_600_000;

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn devices(count: usize, seed: u64) -> Vec<Device> {
    fleet::devices(count, &models![Todo], seed).unwrap()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

fn last_ms(db: &Db) -> u64 {
    db.oplog().unwrap().last().unwrap().unwrap().timestamp.ms()
}

#[test]
fn a_clock_that_jumps_back_leaves_later_edits_later() {
    let devices = devices(2, 1);
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let milk = phone.db.insert(todo("milk")).unwrap();
    phone.clock.set(START_MS - 24 * HOUR_MS);
    phone.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for db in [&phone.db, &laptop.db] {
        assert_eq!(db.all::<Todo>().unwrap()[0].title, "oat milk");
        assert_sound(db);
    }
}

#[test]
fn what_was_written_while_the_clock_was_ahead_stays_sound_after_it_is_set_right() {
    let devices = devices(1, 2);
    let [phone] = &devices[..] else { panic!("one device") };
    phone.clock.advance(HOUR_MS);
    let milk = phone.db.insert(todo("milk")).unwrap();
    phone.clock.set(START_MS);
    assert_sound(&phone.db);
    phone.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    assert_eq!(phone.db.all::<Todo>().unwrap()[0].title, "oat milk");
    assert_sound(&phone.db);
}

#[test]
fn a_restart_with_a_clock_set_back_does_not_go_back_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let milk = {
        let phone = Device::in_file(&path, models![Todo], 3).unwrap();
        phone.clock.advance(HOUR_MS);
        phone.db.insert(todo("milk")).unwrap()
    };
    let phone = Device::in_file(&path, models![Todo], 4).unwrap();
    phone.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    assert_eq!(phone.db.all::<Todo>().unwrap()[0].title, "oat milk");
    assert_sound(&phone.db);
}

#[test]
fn a_change_from_the_future_is_kept_and_relayed_and_shown_when_its_time_comes() {
    let devices = devices(3, 5);
    let [phone, laptop, tablet] = &devices[..] else { panic!("three devices") };
    let milk = phone.db.insert(todo("milk")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    // The phone's clock is an hour ahead.
    phone.clock.advance(HOUR_MS);
    phone.db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    phone.db.insert(todo("from the future")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.all::<Todo>().unwrap(), std::slice::from_ref(&milk));
    assert_sound(&laptop.db);
    // It doesn't move the laptop's clock, and the laptop passes it on.
    laptop.db.insert(todo("now")).unwrap();
    let own = laptop.db.oplog().unwrap().map(Result::unwrap).find(|entry| entry.data_json().contains("now")).unwrap();
    assert!(own.timestamp.ms() < START_MS + 60_000, "the clock moved to {}", own.timestamp.ms());
    fleet::sync(&laptop.db, &tablet.db).unwrap();
    assert_eq!(tablet.db.count::<Todo>().unwrap(), 2);
    assert!(last_ms(&tablet.db) >= START_MS + HOUR_MS, "the change from the future was not relayed");

    for device in [laptop, tablet] {
        device.clock.advance(HOUR_MS - 4 * 60_000);
        assert_eq!(device.db.count::<Todo>().unwrap(), 3);
        assert_eq!(device.db.get::<Todo>(milk.id).unwrap().unwrap().votes, 1);
        assert_sound(&device.db);
    }
    fleet::sync(&laptop.db, &phone.db).unwrap();
    assert_eq!(laptop.db.all::<Todo>().unwrap(), phone.db.all::<Todo>().unwrap());
    // And once it was shown, a clock set back takes nothing away.
    laptop.clock.set(START_MS);
    assert_sound(&laptop.db);
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 3);
}

#[test]
fn a_change_from_the_future_is_shown_in_time_also_where_others_keep_coming_in() {
    let devices = devices(3, 9);
    let [phone, laptop, tablet] = &devices[..] else { panic!("three devices") };
    phone.clock.advance(HOUR_MS);
    phone.db.insert(todo("from the future")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.count::<Todo>().unwrap(), 0);
    // Every 400 ms the tablet tells the laptop something.
    laptop.clock.advance(HOUR_MS);
    tablet.clock.advance(HOUR_MS);
    for told in 1..=5 {
        laptop.clock.advance(400);
        tablet.db.insert(todo("now")).unwrap();
        fleet::sync(&laptop.db, &tablet.db).unwrap();
        assert_eq!(laptop.db.count::<Todo>().unwrap(), told + 1);
    }
}

#[test]
fn a_change_from_the_future_is_shown_after_a_restart_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("laptop.db");
    let phone = Device::in_memory("phone", models![Todo], 6).unwrap();
    let milk = {
        let laptop = Device::in_file(&path, models![Todo], 7).unwrap();
        fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
        let milk = phone.db.insert(todo("milk")).unwrap();
        fleet::sync(&phone.db, &laptop.db).unwrap();
        phone.clock.advance(HOUR_MS);
        phone.db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
        fleet::sync(&phone.db, &laptop.db).unwrap();
        assert_eq!(laptop.db.all::<Todo>().unwrap()[0].votes, 0);
        milk
    };
    // An app without the model relays it; one that has it again shows it once.
    Db::open(&path, models![]).unwrap();
    let clock = cfost::host::ManualClock::at(START_MS + 2 * HOUR_MS);
    let host = cfost::host::Host::simulated(clock, 8);
    let db = Db::options().host(host).open(&path, models![Todo]).unwrap();
    assert_eq!(db.get::<Todo>(milk.id).unwrap().unwrap().votes, 1);
    assert_sound(&db);
}
