//! Texts in which somebody has typed whose device was revoked: what counts can be read, and what it was typed upon.
#![cfg(feature = "text")]

use cfost::oplog::Run;
use cfost::prelude::*;
use cfost::sync::Seqs;
use cfost_tests::fleet::{self, Device, sync};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[crdt(text)]
    body: Text,
}

fn body(device: &Device, id: Uuid) -> String {
    device.db.get::<Note>(id).unwrap().unwrap().body.as_str().to_owned()
}

fn append(device: &Device, id: Uuid, text: &str) {
    device
        .db
        .update(id, |note: &mut Note| {
            let end = note.body.as_str().chars().count();
            note.body.insert(end, text);
        })
        .unwrap();
}

/// All that a device holds, as one run per log.
fn runs(device: &Device) -> Vec<Run> {
    let replica = device.db.replica().unwrap();
    let space = replica.spaces(replica.device()).unwrap()[0];
    replica.runs_after(space, &Seqs::new(), 1 << 20).unwrap().into_iter().map(|served| served.run).collect()
}

fn assert_sound(devices: &[&Device]) {
    for device in devices {
        let found = device.db.verify().unwrap();
        assert!(found.is_sound(), "{found:?}");
    }
}

/// A phone, a laptop and a tablet with a note, "milk". The phone has revoked the laptop, which types on.
fn story(seed: u64) -> ([Device; 3], Uuid) {
    let devices: [Device; 3] = fleet::devices(3, &models![Note], seed).unwrap().try_into().unwrap();
    let [phone, laptop, tablet] = &devices;
    let note = phone.db.insert(Note { body: "milk".into(), ..Note::default() }).unwrap();
    sync(&phone.db, &laptop.db).unwrap();
    sync(&phone.db, &tablet.db).unwrap();
    let revoked = laptop.db.devices().unwrap().into_iter().find(|device| device.is_this).unwrap().id;
    phone.db.revoke_device(revoked).unwrap();
    append(laptop, note.id, ", rope");
    append(laptop, note.id, ", poison");
    (devices, note.id)
}

/// Promise: what a revoked device types is taken out of a text again.
#[test]
fn what_a_revoked_device_types_is_taken_out_again() {
    let ([phone, laptop, tablet], note) = story(1);
    sync(&laptop.db, &tablet.db).unwrap();
    assert_eq!(body(&tablet, note), "milk, rope, poison");
    sync(&tablet.db, &phone.db).unwrap();
    append(&tablet, note, ", tea");
    sync(&tablet.db, &phone.db).unwrap();
    assert_eq!((body(&tablet, note), body(&phone, note)), ("milk, tea".into(), "milk, tea".into()));
    assert_sound(&[&phone, &tablet]);
}

/// Promise: nothing is lost that somebody typed who did not know: what it was typed upon stays in the text, and no
/// more of it, on every device, in whatever order it all arrived.
#[test]
fn what_visible_edits_of_a_text_build_on_stays_in_it() {
    for order in 0..6 {
        let ([phone, laptop, tablet], note) = story(2);
        let watch = Device::in_memory("watch", models![Note], 99).unwrap();
        fleet::pair(&phone.db, &watch.db, &watch.host).unwrap();
        sync(&laptop.db, &tablet.db).unwrap();
        append(&tablet, note, ", tea");
        append(&laptop, note, ", more poison");
        let others = [runs(&tablet), runs(&laptop), runs(&phone)].concat();
        // The log of each device once, as far as it goes anywhere, in every order.
        let longest = |of: &Device| {
            let own = of.db.replica().unwrap();
            let log = own.own_log(own.spaces(own.device()).unwrap()[0]).unwrap().unwrap();
            others.iter().filter(|run| run.log == log).max_by_key(|run| run.last_seq()).unwrap().clone()
        };
        let mut logs = vec![longest(&phone), longest(&laptop), longest(&tablet)];
        logs.rotate_left(order % 3);
        if order >= 3 {
            logs.swap(0, 1);
        }
        for run in logs {
            watch.db.replica().unwrap().apply(vec![run]).unwrap();
        }
        sync(&tablet.db, &phone.db).unwrap();
        for device in [&phone, &tablet, &watch] {
            assert_eq!(body(device, note), "milk, rope, poison, tea", "order {order}");
        }
        assert_sound(&[&phone, &tablet, &watch]);
    }
}
