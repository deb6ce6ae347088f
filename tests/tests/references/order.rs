//! Any writes on several devices, delivered in any order: what is shown is what the ops mean.

use std::collections::BTreeSet;

use cfost::oplog::LogId;
use cfost::prelude::*;
use cfost::sync::Seqs;
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device};
use cfost_tests::meaning;
use proptest::prelude::*;

use crate::{Author, Comment, File, Folder, deliver, log_of, models};

#[derive(Clone, Copy, Debug)]
enum Write {
    Folder { id: u8, parent: Option<u8> },
    File { id: u8, folder: u8, original: Option<u8> },
    Comment { id: u8, file: u8 },
    Author { id: u8, mentor: Option<u8> },
    MoveFolder { id: u8, parent: Option<u8>, cover: Option<u8> },
    MoveFile { id: u8, folder: u8, original: Option<u8> },
    MoveAuthor { id: u8, mentor: Option<u8> },
    Rename { table: u8, id: u8 },
    Delete { table: u8, id: u8 },
}

#[derive(Clone, Debug)]
enum Event {
    Write { device: usize, writes: Vec<Write> },
    Sync { from: usize, to: usize },
    Wait { device: usize, ms: u64 },
}

fn write() -> impl Strategy<Value = Write> {
    let id = || 0..3_u8;
    let maybe = || proptest::option::weighted(0.8, 0..3_u8);
    prop_oneof![
        4 => (id(), maybe()).prop_map(|(id, parent)| Write::Folder { id, parent }),
        4 => (id(), id(), maybe()).prop_map(|(id, folder, original)| Write::File { id, folder, original }),
        2 => (id(), id()).prop_map(|(id, file)| Write::Comment { id, file }),
        2 => (id(), maybe()).prop_map(|(id, mentor)| Write::Author { id, mentor }),
        5 => (id(), maybe(), maybe()).prop_map(|(id, parent, cover)| Write::MoveFolder { id, parent, cover }),
        2 => (id(), id(), maybe()).prop_map(|(id, folder, original)| Write::MoveFile { id, folder, original }),
        2 => (id(), maybe()).prop_map(|(id, mentor)| Write::MoveAuthor { id, mentor }),
        4 => (0..4_u8, id()).prop_map(|(table, id)| Write::Rename { table, id }),
        4 => (0..4_u8, id()).prop_map(|(table, id)| Write::Delete { table, id }),
    ]
}

fn event(devices: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..devices, proptest::collection::vec(write(), 1..4))
            .prop_map(|(device, writes)| Event::Write { device, writes }),
        2 => (0..devices, 0..devices).prop_map(|(from, to)| Event::Sync { from, to }),
        1 => (0..devices, 0..10_000_u64).prop_map(|(device, ms)| Event::Wait { device, ms }),
    ]
}

fn uuid(id: u8) -> Uuid {
    Uuid::from_u128(u128::from(id) + 1)
}

fn perform(tx: &mut Tx<'_>, write: Write) -> Result<()> {
    match write {
        Write::Folder { id, parent } => {
            tx.insert(Folder { id: uuid(id), parent: parent.map(uuid), ..Folder::default() }).map(drop)
        }
        Write::File { id, folder, original } => {
            let (folder, original) = (uuid(folder), original.map(uuid));
            tx.insert(File { id: uuid(id), folder, original, ..File::default() }).map(drop)
        }
        Write::Comment { id, file } => {
            tx.insert(Comment { id: uuid(id), file: uuid(file), text: String::new() }).map(drop)
        }
        Write::Author { id, mentor } => tx.insert(Author { id: uuid(id), mentor: mentor.map(uuid) }).map(drop),
        Write::MoveFolder { id, parent, cover } => {
            let moved = |row: &mut Folder| (row.parent, row.cover) = (parent.map(uuid), cover.map(uuid));
            tx.update(uuid(id), moved).map(drop)
        }
        Write::MoveFile { id, folder, original } => {
            let moved = |row: &mut File| (row.folder, row.original) = (uuid(folder), original.map(uuid));
            tx.update(uuid(id), moved).map(drop)
        }
        Write::MoveAuthor { id, mentor } => {
            tx.update(uuid(id), |row: &mut Author| row.mentor = mentor.map(uuid)).map(drop)
        }
        Write::Rename { table: 0, id } => tx.update(uuid(id), |row: &mut Folder| row.name += "x").map(drop),
        Write::Rename { table: 1, id } => tx.update(uuid(id), |row: &mut File| row.name += "x").map(drop),
        Write::Rename { table, id } => {
            // Toggled, so that elements are there, are removed, and come back with their row.
            let tag = format!("tag {table}");
            let toggle = |row: &mut File| {
                if !row.tags.remove(&tag) {
                    row.tags.insert(tag);
                }
            };
            tx.update(uuid(id), toggle).map(drop)
        }
        Write::Delete { table: 0, id } => tx.delete::<Folder>(uuid(id)),
        Write::Delete { table: 1, id } => tx.delete::<File>(uuid(id)),
        Write::Delete { table: 2, id } => tx.delete::<Comment>(uuid(id)),
        Write::Delete { id, .. } => tx.delete::<Author>(uuid(id)),
    }
}

/// A refusal leaves everything as it was; any other error is one of the test.
fn is_refusal(error: &Error) -> bool {
    use Error::{Deleted, Exists, Immutable, MissingParent, NotFound};

    matches!(error, Exists { .. } | NotFound { .. } | MissingParent { .. } | Deleted { .. } | Immutable { .. })
}

fn assert_as_meant(device: &Device) -> Result<(), TestCaseError> {
    let meant = meaning::meant(&device.db, &models()).unwrap();
    prop_assert_eq!(&meaning::shown::<Folder>(&device.db).unwrap(), &meant["folders"]);
    prop_assert_eq!(&meaning::shown::<File>(&device.db).unwrap(), &meant["files"]);
    prop_assert_eq!(&meaning::shown::<Comment>(&device.db).unwrap(), &meant["comments"]);
    prop_assert_eq!(&meaning::shown::<Author>(&device.db).unwrap(), &meant["authors"]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_a_function_of_the_ops_alone_whatever_their_order(
        seed in any::<u32>(),
        events in proptest::collection::vec(event(3), 1..60),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 256),
    ) {
        // The fourth device hears nothing until the end.
        let devices = fleet::devices(4, &models(), u64::from(seed)).unwrap();
        for event in &events {
            match *event {
                Event::Write { device, ref writes } => {
                    devices[device].db.write(|tx| {
                        for &write in writes {
                            match perform(tx, write) {
                                Err(error) if !is_refusal(&error) => return Err(error),
                                _ => {}
                            }
                        }
                        Ok(())
                    }).unwrap();
                    // Signed, so that it can be delivered by itself.
                    let replica = devices[device].db.replica().unwrap();
                    replica.runs_after(replica.spaces(replica.device()).unwrap()[0], &Seqs::new(), 0).unwrap();
                    assert_as_meant(&devices[device])?;
                }
                Event::Sync { from, to } if from != to => {
                    fleet::sync(&devices[from].db, &devices[to].db).unwrap();
                    assert_as_meant(&devices[from])?;
                    assert_as_meant(&devices[to])?;
                }
                Event::Sync { .. } => {}
                Event::Wait { device, ms } => devices[device].clock.advance(ms),
            }
        }
        // Some changes in an order in which no session would bring them, then the rest.
        let mut logs: BTreeSet<(usize, LogId)> = (0..3).map(|n| (n, log_of(&devices[n]))).collect();
        for index in order {
            if logs.is_empty() {
                break;
            }
            let next = *index.get(&logs.iter().copied().collect::<Vec<_>>());
            if deliver(&devices[next.0], &devices[3], next.1) {
                assert_as_meant(&devices[3])?;
            } else {
                logs.remove(&next);
            }
        }
        for _ in 0..2 {
            for device in &devices[1..] {
                fleet::sync(&devices[0].db, &device.db).unwrap();
            }
        }
        let rows = |device: &Device| {
            let db = &device.db;
            (db.all::<Folder>().unwrap(), db.all::<File>().unwrap(), db.all::<Comment>().unwrap(), db.all::<Author>().unwrap())
        };
        for device in &devices {
            assert_as_meant(device)?;
            prop_assert_eq!(rows(device), rows(&devices[0]));
            let verification = device.db.verify().unwrap();
            prop_assert!(verification.is_sound(), "{:?}", verification.differences);
        }
    }
}
