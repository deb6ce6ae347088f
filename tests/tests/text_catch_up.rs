//! Catching up on what others have typed: what comes in as many edits is written as one row.
#![cfg(feature = "text")]

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "folders", version = 1)]
struct Folder {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Folder)]
    folder: Option<Uuid>,
    #[synced(search)]
    #[crdt(text)]
    body: Text,
    #[crdt(text)]
    summary: Text,
    edited: i64,
    #[crdt(set)]
    tags: std::collections::BTreeSet<String>,
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

/// How often the file's notes were written: an app may keep tables and triggers of its own.
fn count_writes(path: &std::path::Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch(
        "CREATE TABLE writes (bytes INTEGER NOT NULL);
         CREATE TRIGGER count_writes AFTER UPDATE ON notes BEGIN
           INSERT INTO writes VALUES (length(new.body) + length(new.summary));
         END;",
    )
    .unwrap();
    conn
}

#[test]
fn a_thousand_keystrokes_in_a_long_note_write_it_once() {
    const KEYSTROKES: usize = 1000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let phone = Device::in_memory("phone", models![Folder, Note], 1).unwrap();
    let laptop = Device::in_file(&path, models![Folder, Note], 2).unwrap();
    fleet::pair(&phone.db, &laptop.db, &laptop.host).unwrap();
    let body = "lorem ipsum ".repeat(100 * 1024 / 12);
    let id = phone.db.insert(Note { body: body.as_str().into(), ..Note::default() }).unwrap().id;
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for n in 0..KEYSTROKES {
        phone.clock.advance(150);
        phone
            .db
            .update(id, |note: &mut Note| {
                note.body.insert(6000 + n, "x");
                note.edited += 1;
                if n % 100 == 0 {
                    note.summary.push_str("typed ");
                    note.tags.insert(n.to_string());
                }
            })
            .unwrap();
    }
    let counted = count_writes(&path);
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let (writes, bytes): (i64, i64) =
        counted.query_row("SELECT count(*), sum(bytes) FROM writes", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert!(writes <= 2 && bytes < 2 * (body.len() + 2 * KEYSTROKES) as i64, "{writes} writes of {bytes} bytes in all");
    let note = laptop.db.get::<Note>(id).unwrap().unwrap();
    assert_eq!(note, phone.db.get::<Note>(id).unwrap().unwrap());
    assert_eq!((note.edited, note.tags.len()), (KEYSTROKES as i64, 10));
    assert_sound(&laptop.db);
}

#[test]
fn edits_of_a_text_and_what_hides_its_row_come_at_once_and_nothing_is_lost() {
    let devices = fleet::devices(2, &models![Folder, Note], 3).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let folder = phone.db.insert(Folder { name: "work".into(), ..Folder::default() }).unwrap().id;
    let note = Note { folder: Some(folder), body: "one".into(), ..Note::default() };
    let id = phone.db.insert(note).unwrap().id;
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let edit = |text: &str| phone.db.update(id, |note: &mut Note| note.body.push_str(text)).unwrap();
    edit(" two");
    edit(" three");
    phone.db.update(id, |note: &mut Note| note.edited = 7).unwrap();
    phone.db.delete::<Folder>(folder).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.get::<Note>(id).unwrap(), None, "it isn't shown without its folder");
    assert_sound(&laptop.db);
    phone.db.insert(Folder { id: folder, name: "work".into() }).unwrap();
    edit(" four");
    phone.db.update(id, |note: &mut Note| note.folder = None).unwrap();
    edit(" five");
    phone.db.delete::<Folder>(folder).unwrap();
    edit(" six");
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let shown = laptop.db.get::<Note>(id).unwrap().unwrap();
    assert_eq!((shown.body.as_str(), shown.edited), ("one two three four five six", 7));
    let found = Note::query().filter(|note| note.body.matches("six")).all(&laptop.db).unwrap();
    assert_eq!(found, [shown], "its words are found");
    edit(" seven");
    phone.db.delete::<Note>(id).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.get::<Note>(id).unwrap(), None);
    assert_sound(&laptop.db);
    laptop.clock.advance(1000);
    laptop.db.undo().unwrap_err();
    for device in &devices {
        assert_sound(&device.db);
    }
}
