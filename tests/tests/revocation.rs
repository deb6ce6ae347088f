//! Devices that were lost, stolen or given away: what they write after is kept, relayed and shown by nobody, whoever
//! learns of it when.

use cfost::Error;
use cfost::identity::{IdentityError, Standing};
use cfost::oplog::DeviceId;
use cfost::prelude::*;
use cfost::sync::pipe::{End, Pipe};
use cfost::sync::{CloseReason, ErrorCode, Event, Seqs, SyncError};
use cfost_tests::fleet::{self, Device, START_MS, sync};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
    #[crdt(set)]
    tags: BTreeSet<String>,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn titles(device: &Device) -> Vec<String> {
    let mut titles: Vec<_> = device.db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    titles.sort();
    titles
}

fn id(device: &Device) -> DeviceId {
    device
        .db
        .devices()
        .unwrap()
        .into_iter()
        .chain(device.db.former_devices().unwrap())
        .find(|it| it.is_this)
        .unwrap()
        .id
}

fn family(seed: u64) -> [Device; 3] {
    fleet::devices(3, &models![Todo], seed).unwrap().try_into().unwrap()
}

fn assert_sound(devices: &[&Device]) {
    for device in devices {
        let found = device.db.verify().unwrap();
        assert!(found.is_sound(), "{found:?}");
    }
}

/// How a session between two devices ends, as each side has it.
fn closed(dialer: &Device, listener: &Device) -> [Option<CloseReason>; 2] {
    let mut pipe = Pipe::connect(dialer.db.replica().unwrap(), listener.db.replica().unwrap(), START_MS).unwrap();
    pipe.run();
    End::BOTH.map(|end| {
        pipe.take_events(end).into_iter().find_map(|event| match event {
            Event::Closed { reason, .. } => Some(reason),
            _ => None,
        })
    })
}

/// Promise: nothing is exchanged with a revoked device, whoever dials; it is told so if it dials, and nobody else is.
#[test]
fn a_revoked_device_is_refused_on_both_sides() {
    let [phone, laptop, tablet] = family(1);
    sync(&phone.db, &laptop.db).unwrap();
    let revoked = id(&laptop);
    phone.db.revoke_device(revoked).unwrap();
    phone.db.insert(todo("not for thieves")).unwrap();
    laptop.db.insert(todo("from the thief")).unwrap();

    let [ours, theirs] = closed(&phone, &laptop);
    assert!(matches!(ours, Some(CloseReason::Failed(SyncError::Revoked { device })) if device == revoked), "{ours:?}");
    assert!(!matches!(theirs, Some(CloseReason::ByPeer(_))), "the dialer says nothing to it: {theirs:?}");
    let [theirs, ours] = closed(&laptop, &phone);
    assert!(matches!(ours, Some(CloseReason::Failed(SyncError::Revoked { device })) if device == revoked), "{ours:?}");
    assert!(matches!(theirs, Some(CloseReason::ByPeer(ErrorCode::REVOKED))), "{theirs:?}");
    assert_eq!((titles(&phone), titles(&laptop)), (vec!["not for thieves".into()], vec!["from the thief".into()]));

    let devices = phone.db.devices().unwrap();
    assert_eq!(devices.iter().map(|device| device.id).collect::<Vec<_>>(), [id(&phone), id(&tablet)]);
    let former = phone.db.former_devices().unwrap();
    assert_eq!(former.len(), 1);
    assert_eq!((former[0].id, former[0].standing), (revoked, Standing::Revoked { by: id(&phone) }));
}

/// Promise: what a revoked device had written before stays; what it goes on writing is shown nowhere for long: a device
/// that did not know of the revocation yet, and had shown it, takes it out of its rows again.
#[test]
fn a_revoked_device_continues_and_is_shown_no_more() {
    let [phone, laptop, tablet] = family(2);
    let milk = phone.db.insert(Todo { votes: 1, ..todo("milk") }).unwrap();
    let rope = phone.db.insert(todo("rope")).unwrap();
    sync(&phone.db, &laptop.db).unwrap();
    laptop.db.insert(todo("in time")).unwrap();
    laptop.db.update(milk.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    sync(&laptop.db, &phone.db).unwrap();
    phone.db.revoke_device(id(&laptop)).unwrap();

    laptop.clock.advance(5000);
    laptop.db.insert(todo("too late")).unwrap();
    let stolen = |todo: &mut Todo| {
        todo.title = "gone".into();
        todo.votes += 100;
        todo.tags.insert("stolen".into());
    };
    laptop.db.update(milk.id, stolen).unwrap();
    laptop.db.delete::<Todo>(rope.id).unwrap();
    sync(&laptop.db, &tablet.db).unwrap();
    assert_eq!(titles(&tablet), ["gone", "in time", "too late"]);

    tablet.db.update(milk.id, |todo: &mut Todo| todo.votes += 10).unwrap();
    sync(&tablet.db, &phone.db).unwrap();
    for device in [&phone, &tablet] {
        assert_eq!(titles(device), ["in time", "milk", "rope"]);
        let shown = device.db.get::<Todo>(milk.id).unwrap().unwrap();
        assert_eq!((shown.votes, shown.tags.len()), (12, 0));
    }
    assert_sound(&[&phone, &tablet]);
    // Both hold it all the same, and say so: nothing is asked for again and again.
    assert_eq!(sync(&phone.db, &tablet.db).unwrap().changes, 0);
    // Nor does it come back by being written over.
    tablet.db.update(milk.id, |todo: &mut Todo| todo.title = "oat milk".into()).unwrap();
    sync(&phone.db, &tablet.db).unwrap();
    assert_eq!(titles(&phone), ["in time", "oat milk", "rope"]);
    assert_sound(&[&phone, &tablet]);
}

/// Promise: a thief gains nothing by setting back the clock.
#[test]
fn a_revoked_device_backdates_and_is_not_shown() {
    let [phone, laptop, tablet] = family(3);
    phone.clock.advance(3_600_000);
    tablet.clock.advance(3_600_000);
    phone.db.insert(todo("milk")).unwrap();
    sync(&phone.db, &tablet.db).unwrap();
    phone.db.revoke_device(id(&laptop)).unwrap();
    sync(&phone.db, &tablet.db).unwrap();

    // An hour behind, so all of this claims to have been before the revocation.
    laptop.db.insert(todo("forged")).unwrap();
    let runs = laptop.db.replica().unwrap();
    let space = runs.spaces(id(&phone)).unwrap()[0];
    let served = runs.runs_after(space, &Seqs::new(), 1 << 20).unwrap();
    let applied = tablet.db.replica().unwrap().apply(served.into_iter().map(|served| served.run).collect()).unwrap();
    assert_eq!((applied.changes, applied.refused.len()), (1, 0), "kept, so that it can be relayed");
    sync(&tablet.db, &phone.db).unwrap();
    assert_eq!((titles(&phone), titles(&tablet)), (vec!["milk".to_owned()], vec!["milk".to_owned()]));
    assert_sound(&[&phone, &tablet]);
}

/// Promise: who learns of a revocation last, a year later and through a third device, shows the same.
#[test]
fn a_revocation_is_learned_of_late_through_a_third_device() {
    let [phone, laptop, tablet] = family(4);
    let watch = Device::in_memory("watch", models![Todo], 44).unwrap();
    fleet::pair(&phone.db, &watch.db, &watch.host).unwrap();
    sync(&watch.db, &laptop.db).unwrap();
    sync(&watch.db, &tablet.db).unwrap();
    phone.db.revoke_device(id(&laptop)).unwrap();
    sync(&phone.db, &tablet.db).unwrap();
    for n in 0..20 {
        laptop.db.insert(todo(&format!("late {n}"))).unwrap();
    }
    sync(&laptop.db, &watch.db).unwrap();
    assert_eq!(titles(&watch).len(), 20);
    for device in [&watch, &tablet, &phone] {
        device.clock.advance(365 * 86_400_000);
    }
    watch.db.insert(todo("mine")).unwrap();
    sync(&watch.db, &tablet.db).unwrap();
    sync(&tablet.db, &phone.db).unwrap();
    for device in [&watch, &tablet, &phone] {
        assert_eq!(titles(device), ["mine"]);
    }
    assert_sound(&[&watch, &tablet, &phone]);
}

/// Promise: what is written by those that know of a revocation can't be read by the revoked device, whoever hands it
/// on; the other devices read it, also one that was added meanwhile by a device that knew nothing.
#[test]
fn what_is_written_after_a_revocation_is_sealed_for_those_that_stay() {
    let [phone, laptop, tablet] = family(5);
    phone.db.insert(todo("before")).unwrap();
    sync(&phone.db, &laptop.db).unwrap();
    phone.db.revoke_device(id(&laptop)).unwrap();
    let watch = Device::in_memory("watch", models![Todo], 45).unwrap();
    fleet::pair(&tablet.db, &watch.db, &watch.host).unwrap();
    phone.db.insert(todo("after")).unwrap();

    let replica = phone.db.replica().unwrap();
    let space = replica.spaces(id(&tablet)).unwrap()[0];
    let served = replica.runs_after(space, &Seqs::new(), 1 << 20).unwrap();
    let runs = || served.iter().map(|served| served.run.clone()).collect::<Vec<_>>();
    let applied = laptop.db.replica().unwrap().apply(runs()).unwrap();
    assert_eq!((applied.changes, applied.refused.len()), (1, 0));
    assert_eq!(titles(&laptop), ["before"], "it has the change, and can't open it");

    sync(&tablet.db, &phone.db).unwrap();
    sync(&watch.db, &tablet.db).unwrap();
    sync(&watch.db, &phone.db).unwrap();
    for device in [&phone, &tablet, &watch] {
        assert_eq!(titles(device), ["after", "before"]);
    }
    watch.db.insert(todo("from the watch")).unwrap();
    sync(&watch.db, &phone.db).unwrap();
    assert_eq!(titles(&phone), ["after", "before", "from the watch"]);
    assert_sound(&[&phone, &tablet, &watch]);
}

/// Promise: a device that learns that it was revoked can be read and not written, and says why.
#[test]
fn a_device_that_knows_that_it_was_revoked_writes_no_more() {
    let [phone, laptop, tablet] = family(6);
    laptop.db.insert(todo("milk")).unwrap();
    sync(&laptop.db, &phone.db).unwrap();
    laptop.db.insert(todo("never sent")).unwrap();
    phone.db.revoke_device(id(&laptop)).unwrap();
    let entries: Vec<_> = {
        let log = phone.db.replica().unwrap().identity().unwrap();
        log.entries().map(|entry| entry.as_bytes().to_vec()).collect()
    };
    laptop.db.replica().unwrap().learn_identity(&entries).unwrap();
    let refused = laptop.db.insert(todo("more")).unwrap_err();
    let this = id(&laptop);
    assert!(matches!(refused, Error::Identity(IdentityError::Revoked { device }) if device == this), "{refused}");
    let refused = laptop.db.revoke_device(id(&tablet)).unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::Revoked { .. })), "{refused}");
    // It shows what all others show.
    assert_eq!(titles(&laptop), ["milk"]);
    assert_sound(&[&laptop]);
}

/// Promise: of two devices that revoke each other the one that was added first stays, on every device, in whatever
/// order they learn of it.
#[test]
fn of_two_that_revoke_each_other_the_first_stays_everywhere() {
    for phone_first in [true, false] {
        let [phone, laptop, tablet] = family(7);
        laptop.db.insert(todo("before")).unwrap();
        sync(&laptop.db, &phone.db).unwrap();
        laptop.db.revoke_device(id(&phone)).unwrap();
        phone.db.revoke_device(id(&laptop)).unwrap();
        phone.db.insert(todo("from the phone")).unwrap();
        laptop.db.insert(todo("from the laptop")).unwrap();
        let learn = |from: &Device| {
            let log = from.db.replica().unwrap().identity().unwrap();
            let entries: Vec<_> = log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
            for device in [&tablet, &phone, &laptop] {
                device.db.replica().unwrap().learn_identity(&entries).unwrap();
            }
        };
        let order = if phone_first { [&phone, &laptop] } else { [&laptop, &phone] };
        order.into_iter().for_each(learn);
        sync(&tablet.db, &phone.db).unwrap();
        assert_eq!((titles(&tablet), titles(&phone)), (titles(&phone), vec!["before".into(), "from the phone".into()]));
        assert_eq!(titles(&laptop), ["before"]);
        let standing = Standing::Revoked { by: id(&phone) };
        for device in [&phone, &laptop, &tablet] {
            let former = device.db.former_devices().unwrap();
            assert_eq!((former.len(), former[0].id, former[0].standing), (1, id(&laptop), standing));
        }
        assert_sound(&[&phone, &laptop, &tablet]);
    }
}

/// Promise: when the first device is stolen and revokes all others, the phrase brings those back that the user names;
/// what they wrote meanwhile is shown, and what the thief wrote is not.
#[test]
fn the_phrase_undoes_a_stolen_first_device() {
    let [phone, laptop, tablet] = family(8);
    let phrase = phone.db.recovery_phrase().unwrap().unwrap();
    phone.db.insert(todo("before")).unwrap();
    sync(&phone.db, &laptop.db).unwrap();
    sync(&phone.db, &tablet.db).unwrap();
    let (laptop_id, tablet_id) = (id(&laptop), id(&tablet));
    phone.db.revoke_device(tablet_id).unwrap();
    sync(&phone.db, &laptop.db).unwrap();
    phone.db.revoke_device(laptop_id).unwrap();
    phone.db.insert(todo("from the thief")).unwrap();
    tablet.db.insert(todo("from the tablet")).unwrap();
    assert!(sync(&laptop.db, &tablet.db).is_err(), "the laptop believes the thief");

    laptop.db.keep_devices(&phrase, &[laptop_id, tablet_id]).unwrap();
    sync(&laptop.db, &tablet.db).unwrap();
    assert!(sync(&laptop.db, &phone.db).is_err());
    tablet.db.insert(todo("after")).unwrap();
    sync(&tablet.db, &laptop.db).unwrap();
    for device in [&laptop, &tablet] {
        assert_eq!(titles(device), ["after", "before", "from the tablet"]);
        let former = device.db.former_devices().unwrap();
        assert_eq!((former.len(), former[0].id, former[0].standing), (1, id(&phone), Standing::LeftOut));
    }
    assert_sound(&[&laptop, &tablet]);
}

/// Promise: a device that is given away says so itself; what it wrote stays. The last one can't.
#[test]
fn a_device_retires() {
    let [phone, laptop, tablet] = family(9);
    tablet.db.insert(todo("milk")).unwrap();
    sync(&tablet.db, &phone.db).unwrap();
    tablet.db.retire().unwrap();
    sync(&tablet.db, &laptop.db).unwrap();
    sync(&laptop.db, &phone.db).unwrap();
    assert_eq!((titles(&phone), titles(&laptop)), (vec!["milk".to_owned()], vec!["milk".to_owned()]));
    assert_eq!(phone.db.former_devices().unwrap()[0].standing, Standing::Retired);
    assert!(sync(&tablet.db, &phone.db).is_err());
    laptop.db.retire().unwrap();
    sync(&laptop.db, &phone.db).unwrap();
    let refused = phone.db.retire().unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::LastDevice { .. })), "{refused}");
    let gone = phone.db.revoke_device(id(&laptop)).unwrap_err();
    assert!(matches!(gone, Error::Identity(IdentityError::UnknownDevice { .. })), "{gone}");
    phone.db.insert(todo("still here")).unwrap();
    assert_sound(&[&phone, &laptop]);
}

/// Promise: a database that is opened again shows and hides the same.
#[test]
fn what_is_hidden_stays_hidden_when_the_app_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("phone.db");
    let phone = Device::in_file(&path, models![Todo], 10).unwrap();
    let laptop = Device::in_memory("laptop", models![Todo], 11).unwrap();
    let tablet = Device::in_memory("tablet", models![Todo], 12).unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    fleet::pair(&phone.db, &tablet.db, &tablet.host).unwrap();
    sync(&tablet.db, &laptop.db).unwrap();
    laptop.db.insert(todo("in time")).unwrap();
    sync(&laptop.db, &tablet.db).unwrap();
    tablet.db.revoke_device(id(&laptop)).unwrap();
    // In one transaction of several changes, of which none counts.
    laptop.db.write(|tx| (0..9000).try_for_each(|n| tx.insert(todo(&format!("late {n}"))).map(drop))).unwrap();
    sync(&laptop.db, &phone.db).unwrap();
    assert_eq!(titles(&phone).len(), 9001);
    sync(&tablet.db, &phone.db).unwrap();
    assert_eq!(titles(&phone), ["in time"]);
    drop(phone);
    let phone = Device::in_file(&path, models![Todo], 10).unwrap();
    assert_eq!(titles(&phone), ["in time"]);
    phone.db.insert(todo("new")).unwrap();
    sync(&tablet.db, &phone.db).unwrap();
    assert_eq!(titles(&tablet), ["in time", "new"]);
    assert_sound(&[&phone, &tablet]);
}

/// What a fleet does in one step.
#[derive(Debug, Clone)]
enum Step {
    Insert(usize),
    Edit(usize, usize),
    Delete(usize, usize),
    Sync(usize, usize),
    Revoke(usize, usize),
    Retire(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let device = || 0..4_usize;
    prop_oneof![
        4 => device().prop_map(Step::Insert),
        4 => (device(), 0..8_usize).prop_map(|(device, row)| Step::Edit(device, row)),
        2 => (device(), 0..8_usize).prop_map(|(device, row)| Step::Delete(device, row)),
        6 => (device(), device()).prop_map(|(a, b)| Step::Sync(a, b)),
        1 => (device(), device()).prop_map(|(a, b)| Step::Revoke(a, b)),
        1 => device().prop_map(Step::Retire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Promise: whatever four devices write, revoke and tell each other, those that are still devices in the end show
    /// the same rows, each its oplog's.
    #[test]
    fn devices_that_stay_agree(steps in prop::collection::vec(step(), 1..40), seed in 100..200_u64) {
        let devices = fleet::devices(4, &models![Todo], seed).unwrap();
        for (n, step) in steps.iter().enumerate() {
            let row = |device: &Device, row: usize| {
                let all = device.db.all::<Todo>().unwrap();
                (!all.is_empty()).then(|| all[row % all.len()].id)
            };
            // A device that knows that it is one no more is refused, and so are sessions with it: that is no failure.
            match *step {
                Step::Insert(at) => drop(devices[at].db.insert(todo(&format!("{n}")))),
                Step::Edit(at, of) => if let Some(id) = row(&devices[at], of) {
                    drop(devices[at].db.update(id, |todo: &mut Todo| {
                        todo.title.push('+');
                        todo.votes += 1;
                        todo.tags.insert(format!("{n}"));
                    }));
                },
                Step::Delete(at, of) => if let Some(id) = row(&devices[at], of) {
                    drop(devices[at].db.delete::<Todo>(id));
                },
                Step::Sync(a, b) if a != b => drop(sync(&devices[a].db, &devices[b].db)),
                Step::Revoke(a, b) if a != b => drop(devices[a].db.revoke_device(id(&devices[b]))),
                Step::Retire(at) => drop(devices[at].db.retire()),
                _ => {}
            }
            devices.iter().for_each(|device| device.clock.advance(1));
        }
        // All identity entries get to all, as through peers that are gone by now; then all changes to those that stay.
        for _ in 0..2 {
            for from in &devices {
                let log = from.db.replica().unwrap().identity().unwrap();
                let entries: Vec<_> = log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
                for device in &devices {
                    device.db.replica().unwrap().learn_identity(&entries).unwrap();
                }
            }
        }
        let staying: BTreeSet<_> = devices[0].db.devices().unwrap().into_iter().map(|device| device.id).collect();
        let staying: Vec<&Device> = devices.iter().filter(|device| staying.contains(&id(device))).collect();
        prop_assert!(!staying.is_empty());
        for _ in 0..2 {
            for a in &staying {
                for b in &staying {
                    if id(a) != id(b) {
                        sync(&a.db, &b.db).unwrap();
                    }
                }
            }
        }
        for device in &staying {
            let rows = |device: &Device| {
                let mut rows = device.db.all::<Todo>().unwrap();
                rows.sort_by_key(|todo| todo.id);
                rows
            };
            prop_assert_eq!(rows(device), rows(staying[0]));
            prop_assert!(device.db.verify().unwrap().is_sound());
        }
    }
}
