//! Two databases with one device's keys are found at first contact; both histories are kept, and the copy pairs again.

use std::fs;

use cfost::identity::DeviceKeys;
use cfost::identity::pairing::{Invitation, Inviter, InviterEvent, Joiner, JoinerEvent};
use cfost::sync::Event;
use cfost::sync::pipe::{End, Pipe};

use super::*;

fn marker(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-marker");
    name.into()
}

/// Copies a database that no process has open.
fn copy(folder: &Folder, from: &str, to: &str) {
    for (from, to) in [(folder.path(from), folder.path(to)), (marker(&folder.path(from)), marker(&folder.path(to)))] {
        fs::copy(from, to).unwrap();
    }
}

/// One session; returns whether the dialer was told that its database has a twin, and that it is the one to pair again.
fn told(dialer: &Db, listener: &Db) -> Option<bool> {
    let mut pipe = Pipe::connect(dialer.replica().unwrap(), listener.replica().unwrap(), START_MS).unwrap();
    pipe.run();
    pipe.take_events(End::Dialer).into_iter().find_map(|event| match event {
        Event::Copied(copied) => Some(copied.pairs_again),
        _ => None,
    })
}

/// Pairs a database with an inviting one as a new device of its user, with new keys.
fn pair_again(inviter: &Db, copy: &Db, host: &Host) {
    let (inviting, keys) = (inviter.device_keys().unwrap(), DeviceKeys::generate(host));
    let invitation = Invitation::create(host, inviter.user().unwrap().id, &inviting.public(), []);
    let mut authorised = Inviter::new(host.clone(), invitation.clone());
    let mut new = Joiner::new(host.clone(), invitation, keys.clone(), "the copy").unwrap();
    let request = new.start(&inviting.public().transport).unwrap();
    let consume = authorised.receive(&keys.public().transport, &request).unwrap();
    let InviterEvent::Consume(pairing) = consume else { panic!("{consume:?}") };
    inviter.consume_pairing(pairing).unwrap();
    let shown = new.receive(&authorised.consumed().unwrap()).unwrap();
    let JoinerEvent::ShowDigits(digits) = shown else { panic!("no digits") };
    let admitted = inviter.admit(authorised.confirm(&digits.to_string()).unwrap()).unwrap();
    let space_keys: Vec<_> = admitted.space_keys.iter().map(|(space, key)| (*space, key)).collect();
    for message in authorised.admit(&admitted.log, &space_keys).unwrap() {
        if let JoinerEvent::Joined(joined) = new.receive(&message).unwrap() {
            copy.become_device_with(&joined, &keys).unwrap();
        }
    }
}

fn assert_alike(dbs: &[&Db], expected: &[&str]) {
    for db in dbs {
        assert_eq!(titles(db), expected);
        assert_sound(db);
        assert_eq!(db.oplog().unwrap().count(), dbs[0].oplog().unwrap().count());
    }
}

#[test]
fn a_copied_folder_is_found_at_first_contact_and_the_copy_pairs_again() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    phone.insert(todo("before")).unwrap();
    meet(&phone, &laptop);
    drop(phone);
    copy(&folder, "phone", "copy");
    let (copied, phone) = (folder.open("copy"), folder.open("phone"));
    copied.insert(todo("on the copy")).unwrap();
    phone.insert(todo("on the phone")).unwrap();
    assert_eq!((copied.must_pair_again().unwrap(), phone.must_pair_again().unwrap()), (None, None));

    assert_eq!(told(&phone, &laptop), None, "nobody can know yet");
    assert_eq!(told(&copied, &laptop), Some(true));
    assert_eq!(told(&phone, &laptop), Some(false));
    assert!(copied.must_pair_again().unwrap().is_some());
    assert_eq!(phone.must_pair_again().unwrap(), None);
    // Both histories count, everywhere.
    assert_alike(&[&phone, &laptop, &copied], &["before", "on the copy", "on the phone"]);

    copied.insert(todo("not sent yet")).unwrap();
    let host = folder.host();
    pair_again(&laptop, &copied, &host);
    assert_eq!(copied.must_pair_again().unwrap(), None);
    let devices = copied.devices().unwrap();
    assert_eq!(devices.len(), 3);
    copied.insert(todo("as a new device")).unwrap();
    // It and the phone are two devices now, which meet directly.
    meet(&copied, &phone);
    meet(&phone, &laptop);
    assert_eq!(told(&copied, &laptop), None);
    let all = ["as a new device", "before", "not sent yet", "on the copy", "on the phone"];
    assert_alike(&[&phone, &laptop, &copied], &all);
    drop(copied);
    let copied = folder.open("copy");
    assert_eq!(copied.must_pair_again().unwrap(), None);
    assert_alike(&[&phone, &copied], &all);
}

#[test]
fn two_copies_that_meet_directly_are_told_apart_from_devices() {
    let mut folder = Folder::new();
    let [phone, _laptop] = folder.devices(["phone", "laptop"]);
    drop(phone);
    copy(&folder, "phone", "copy");
    let (copied, phone) = (folder.open("copy"), folder.open("phone"));
    let mut pipe = Pipe::connect(copied.replica().unwrap(), phone.replica().unwrap(), START_MS).unwrap();
    pipe.run();
    let events = pipe.take_events(End::Dialer);
    let [Event::Closed { reason }] = &events[..] else { panic!("{events:?}") };
    assert!(format!("{reason:?}").contains("OwnDevice"), "{reason:?}");
}

#[test]
fn a_database_that_went_back_in_time_is_no_copy() {
    let mut folder = Folder::new();
    let [phone, laptop] = folder.devices(["phone", "laptop"]);
    phone.insert(todo("before")).unwrap();
    meet(&phone, &laptop);
    drop(phone);
    copy(&folder, "phone", "backup");
    let phone = folder.open("phone");
    phone.insert(todo("lost here, and known to the laptop")).unwrap();
    meet(&phone, &laptop);
    drop(phone);
    copy(&folder, "backup", "phone");
    let phone = folder.open("phone");
    phone.insert(todo("after the restore")).unwrap();
    for _ in 0..3 {
        assert_eq!(told(&phone, &laptop), None);
    }
    assert_eq!(phone.must_pair_again().unwrap(), None);
    assert_alike(&[&phone, &laptop], &["after the restore", "before", "lost here, and known to the laptop"]);
}

#[test]
fn a_machine_that_was_cloned_with_its_files_is_found_too() {
    let mut folder = Folder::new();
    let [phone, laptop, tablet] = folder.devices(["phone", "laptop", "tablet"]);
    phone.insert(todo("before")).unwrap();
    meet(&phone, &laptop);
    drop(phone);
    copy(&folder, "phone", "saved");
    // The clone and the original take turns at the same files, as two machines with the same inodes would.
    let phone = folder.open("phone");
    phone.insert(todo("on the original")).unwrap();
    meet(&phone, &laptop);
    drop(phone);
    let swap = |folder: &Folder, out: &str, into: &str| {
        let place = |name: &str| [folder.path(name), marker(&folder.path(name))];
        for ((now, out), into) in place("phone").iter().zip(place(out)).zip(place(into)) {
            fs::write(out, fs::read(now).unwrap()).unwrap();
            // The same file, with other content: the inode stays.
            fs::write(now, fs::read(into).unwrap()).unwrap();
        }
    };
    swap(&folder, "original", "saved");
    let clone = folder.open("phone");
    clone.insert(todo("on the clone")).unwrap();
    // The clone learns from the laptop that it is behind; that may be all there is to it.
    meet(&clone, &laptop);
    assert_eq!(clone.must_pair_again().unwrap(), None);
    drop(clone);
    swap(&folder, "clone", "original");
    let phone = folder.open("phone");
    phone.insert(todo("on the original, again")).unwrap();
    assert_eq!(told(&phone, &laptop), Some(false));
    drop(phone);
    swap(&folder, "original", "clone");
    let clone = folder.open("phone");
    assert_eq!(told(&clone, &laptop), Some(true));
    let host = folder.host();
    pair_again(&laptop, &clone, &host);
    for _ in 0..2 {
        meet(&clone, &laptop);
        meet(&laptop, &tablet);
    }
    assert_alike(&[&laptop, &tablet, &clone], &["before", "on the clone", "on the original", "on the original, again"]);
}
