//! Texts that several devices edit: nobody's characters are lost, and all see the same.
#![cfg(feature = "text")]

use cfost::prelude::*;
use cfost::schema::ValueError;
use cfost::text::TextError;
use cfost_tests::fleet::{self, Device};
use proptest::prelude::*;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(text)]
    body: Text,
    #[crdt(counter)]
    edits: i64,
    #[crdt(text)]
    summary: Text,
}

fn note(body: &str) -> Note {
    Note { title: "note".into(), body: body.into(), ..Note::default() }
}

fn in_memory() -> Db {
    Db::open_in_memory(models![Note]).unwrap()
}

fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

/// A step of a story; rows are named by the order of their inserts, places by thousandths.
#[derive(Clone, Debug)]
enum Step {
    Insert { device: usize },
    Type { device: usize, row: usize, at: usize, text: String },
    Take { device: usize, row: usize, at: usize, len: usize },
    Replace { device: usize, row: usize, text: String },
    Mark { device: usize, row: usize, at: usize, len: usize, value: Option<i64> },
    Delete { device: usize, row: usize },
    Revive { device: usize, row: usize },
    Sync { from: usize, to: usize },
}

fn step(devices: usize) -> impl Strategy<Value = Step> {
    let (device, row, at) = (0..devices, 0..3_usize, 0..1000_usize);
    let text = "[a-d \né👍]{1,5}";
    prop_oneof![
        2 => device.clone().prop_map(|device| Step::Insert { device }),
        6 => (device.clone(), row.clone(), at.clone(), text)
            .prop_map(|(device, row, at, text)| Step::Type { device, row, at, text }),
        3 => (device.clone(), row.clone(), at.clone(), 0..400_usize)
            .prop_map(|(device, row, at, len)| Step::Take { device, row, at, len }),
        1 => (device.clone(), row.clone(), text).prop_map(|(device, row, text)| Step::Replace { device, row, text }),
        2 => (device.clone(), row.clone(), at, 0..600_usize, any::<Option<i64>>())
            .prop_map(|(device, row, at, len, value)| Step::Mark { device, row, at, len, value }),
        1 => (device.clone(), row.clone()).prop_map(|(device, row)| Step::Delete { device, row }),
        1 => (device.clone(), row).prop_map(|(device, row)| Step::Revive { device, row }),
        4 => (device.clone(), device).prop_map(|(from, to)| Step::Sync { from, to }),
    ]
}

fn place(text: &str, thousandths: usize) -> usize {
    let at = text.len() * thousandths.min(1000) / 1000;
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap()
}

fn play(devices: &[Device], steps: &[Step]) -> cfost::Result<()> {
    let mut ids: Vec<Uuid> = Vec::new();
    let edit = |device: usize, row: usize, ids: &[Uuid], edit: &dyn Fn(&mut Text)| match ids.get(row) {
        None => Ok(()),
        Some(id) => match devices[device].db.update(*id, |note: &mut Note| edit(&mut note.body)) {
            Ok(_) | Err(cfost::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        },
    };
    let gone = |result: cfost::Result<()>| match result {
        Err(cfost::Error::NotFound { .. } | cfost::Error::Exists { .. }) => Ok(()),
        result => result,
    };
    for step in steps {
        match step {
            Step::Insert { device } => ids.push(devices[*device].db.insert(note("The beginning.\n"))?.id),
            Step::Type { device, row, at, text } => {
                edit(*device, *row, &ids, &|body| body.insert(place(body, *at), text))?;
            }
            Step::Take { device, row, at, len } => {
                edit(*device, *row, &ids, &|body| body.delete(place(body, *at)..place(body, at + len)))?;
            }
            Step::Replace { device, row, text } => edit(*device, *row, &ids, &|body| body.replace(text))?,
            Step::Mark { device, row, at, len, value } => edit(*device, *row, &ids, &|body| {
                let range = place(body, *at)..place(body, at + len);
                match value {
                    Some(value) => body.mark(range, "m", *value),
                    None => body.unmark(range, "m"),
                }
            })?,
            Step::Delete { device, row } => {
                let id = ids.get(*row);
                id.map_or(Ok(()), |id| gone(devices[*device].db.delete::<Note>(*id)))?;
            }
            Step::Revive { device, row } => {
                let note = ids.get(*row).map(|id| Note { id: *id, ..note("Begun again.") });
                note.map_or(Ok(()), |note| gone(devices[*device].db.insert(note).map(drop)))?;
            }
            Step::Sync { from, to } if from != to => {
                fleet::sync(&devices[*from].db, &devices[*to].db)?;
            }
            Step::Sync { .. } => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_devices_read_the_same_after_any_story(
        seed in any::<u32>(),
        steps in proptest::collection::vec(step(3), 1..40),
    ) {
        let devices = fleet::devices(3, &models![Note], u64::from(seed)).unwrap();
        play(&devices, &steps).unwrap();
        for _ in 0..2 {
            for device in &devices[1..] {
                fleet::sync(&devices[0].db, &device.db).unwrap();
            }
        }
        let notes: Vec<Vec<Note>> = devices.iter().map(|device| device.db.all().unwrap()).collect();
        for device in &devices {
            assert_sound(&device.db);
            let other: Vec<Note> = device.db.all().unwrap();
            prop_assert_eq!(&other, &notes[0]);
            for (one, other) in notes[0].iter().zip(&other) {
                prop_assert_eq!(one.body.marks(), other.body.marks());
            }
        }
    }
}

#[test]
fn two_who_edit_at_once_keep_all_that_both_wrote() {
    let devices = fleet::devices(2, &models![Note], 1).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let id = phone.db.insert(note("Hello world")).unwrap().id;
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.update(id, |note: &mut Note| note.body.insert(5, ", wide")).unwrap();
    laptop
        .db
        .update(id, |note: &mut Note| {
            note.body.replace("Hello world!");
            note.body.mark(0..5, "bold", true);
        })
        .unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [phone, laptop] {
        let note = device.db.get::<Note>(id).unwrap().unwrap();
        assert_eq!(note.body, "Hello, wide world!");
        let marks = note.body.marks();
        assert_eq!((marks.len(), marks[0].range.start, marks[0].key.as_str()), (1, 0, "bold"));
        let found: Vec<(String,)> = device.db.sql("SELECT body FROM notes WHERE body LIKE '%wide%'").rows().unwrap();
        assert_eq!(found, [("Hello, wide world!".to_owned(),)], "SQL reads the plain text");
        assert_sound(&device.db);
    }
}

#[test]
fn an_edit_where_there_is_nothing_is_an_error_that_names_the_field_and_the_place() {
    let db = in_memory();
    let id = db.insert(note("né")).unwrap().id;
    let error = db.update(id, |note: &mut Note| note.body.insert(2, "x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "can't store 'Note.body': position 2 is inside a character; the edit was not made: use positions of \
         `char_indices`"
    );
    let error = db.update(id, |note: &mut Note| note.body.delete(1..7)).unwrap_err();
    let cfost::Error::Unstorable { field: "body", source: ValueError::Text(source), .. } = error else {
        panic!("{error}")
    };
    assert_eq!(source, TextError::BeyondEnd { position: 7, len: 3 });
    assert_eq!(db.get::<Note>(id).unwrap().unwrap().body, "né");
    assert_sound(&db);
}

#[test]
fn emoji_and_accents_can_be_edited_at_every_boundary() {
    let text = "e\u{301}👩‍👩‍👧🇩🇪ñ\u{200d}x";
    let db = in_memory();
    for (at, _) in text.char_indices().chain([(text.len(), ' ')]) {
        let id = db.insert(note(text)).unwrap().id;
        db.update(id, |note: &mut Note| note.body.insert(at, "🙂")).unwrap();
        db.update(id, |note: &mut Note| note.body.mark(at..at + 4, "m", true)).unwrap();
        let mut expected = text.to_owned();
        expected.insert(at, '🙂');
        let read = db.get::<Note>(id).unwrap().unwrap();
        assert_eq!(read.body, expected.as_str());
        assert_eq!(read.body.marks()[0].range, at..at + 4);
        db.update(id, |note: &mut Note| note.body.replace(text)).unwrap();
        assert_eq!(db.get::<Note>(id).unwrap().unwrap().body, text);
    }
    assert_sound(&db);
}

#[test]
fn what_is_rolled_back_was_never_written() {
    let db = in_memory();
    let id = db.insert(note("kept")).unwrap().id;
    db.update(id, |note: &mut Note| note.body.push_str(" too")).unwrap();
    let failed = db.write(|tx| {
        tx.update(id, |note: &mut Note| note.body.push_str(" lost"))?;
        Err::<(), _>(cfost::Error::abort("no"))
    });
    assert!(failed.is_err());
    db.write(|tx| {
        let undone = tx.savepoint(|tx| {
            tx.update(id, |note: &mut Note| note.body.push_str(" lost"))?;
            Err::<(), _>(cfost::Error::abort("no"))
        });
        assert!(undone.is_err());
        tx.update(id, |note: &mut Note| note.body.push_str(", and more"))
    })
    .unwrap();
    assert_eq!(db.get::<Note>(id).unwrap().unwrap().body, "kept too, and more");
    assert_sound(&db);
}

#[test]
fn a_text_that_is_assigned_from_elsewhere_becomes_equal_by_the_smallest_edit() {
    let devices = fleet::devices(2, &models![Note], 3).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let id = phone.db.insert(note("one two three")).unwrap().id;
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let mut elsewhere = Text::from("one 2 three");
    elsewhere.mark(4..5, "number", true);
    phone.db.update(id, |note: &mut Note| note.body = elsewhere.clone()).unwrap();
    laptop.db.update(id, |note: &mut Note| note.body.insert(13, " four")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [phone, laptop] {
        let body = device.db.get::<Note>(id).unwrap().unwrap().body;
        assert_eq!(body, "one 2 three four");
        assert_eq!(body.marks().len(), 1);
    }
    let copy = phone.db.get::<Note>(id).unwrap().unwrap().body;
    let other = phone.db.insert(Note { body: copy, ..Note::default() }).unwrap().id;
    let read = phone.db.get::<Note>(other).unwrap().unwrap().body;
    assert_eq!((read.as_str(), read.marks().len()), ("one 2 three four", 1));
    assert_sound(&phone.db);
}

#[test]
fn a_row_brought_back_has_its_text_and_the_edits_of_others() {
    let devices = fleet::devices(2, &models![Note], 4).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let id = phone.db.insert(note("draft")).unwrap().id;
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.delete::<Note>(id).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(id, |note: &mut Note| note.body.push_str(", revised")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(phone.db.get::<Note>(id).unwrap().unwrap().body, "draft, revised");
    phone.clock.advance(2000);
    phone.db.delete::<Note>(id).unwrap();
    phone.db.insert(Note { id, ..note("draft, again") }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [phone, laptop] {
        assert_eq!(device.db.get::<Note>(id).unwrap().unwrap().body, "draft, again");
        assert_sound(&device.db);
    }
}

#[test]
fn an_undo_takes_an_edit_back_and_leaves_what_others_have_typed_since() {
    let devices = fleet::devices(2, &models![Note], 8).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let id = phone.db.insert(note("one two")).unwrap().id;
    phone.db.update(id, |note: &mut Note| note.body.insert(3, " and a half,")).unwrap();
    phone.db.undo().unwrap();
    assert_eq!(phone.db.get::<Note>(id).unwrap().unwrap().body, "one two");
    phone.db.update(id, |note: &mut Note| note.body.push_str(" three")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(id, |note: &mut Note| note.body.push_str(" four")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let undone = phone.db.undo().unwrap();
    assert_eq!((undone.rows[0].columns.len(), undone.rows[0].kept.len()), (1, 0));
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in &devices {
        assert_eq!(device.db.get::<Note>(id).unwrap().unwrap().body, "one two four");
        assert_sound(&device.db);
    }
    phone.db.undo().unwrap();
    assert_eq!(phone.db.get::<Note>(id).unwrap().unwrap().body, "one two three four");
    assert_sound(&phone.db);
}

#[test]
fn an_undo_takes_marks_back_too_and_leaves_a_text_alone_that_the_transaction_did_not_edit() {
    let db = in_memory();
    let id = db.insert(Note { summary: "short".into(), ..note("one two three") }).unwrap().id;
    db.update(id, |note: &mut Note| note.body.mark(0..7, "bold", true)).unwrap();
    let marked = db.get::<Note>(id).unwrap().unwrap();
    db.update(id, |note: &mut Note| {
        note.body.unmark(4..7, "bold");
        note.body.delete(7..13);
        note.edits += 1;
    })
    .unwrap();
    let edited = db.get::<Note>(id).unwrap().unwrap();
    for expected in [&marked, &edited, &marked] {
        assert_eq!(db.undo().unwrap().rows[0].columns, ["edits", "body"]);
        let now = db.get::<Note>(id).unwrap().unwrap();
        assert_eq!((&now, now.body.marks()), (expected, expected.body.marks()));
    }
    db.delete::<Note>(id).unwrap();
    db.undo().unwrap();
    assert_eq!(db.get::<Note>(id).unwrap().unwrap().body.marks(), marked.body.marks());
    assert_sound(&db);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_one_device_an_undo_gives_back_the_text_and_its_marks(
        edits in proptest::collection::vec((0..100_usize, 0..30_usize, "[abé👍]{0,4}", any::<Option<bool>>()), 1..12),
    ) {
        let db = in_memory();
        let id = db.insert(note("one two three four five")).unwrap().id;
        let seen = || {
            let body = db.get::<Note>(id).unwrap().unwrap().body;
            (body.to_string(), body.marks())
        };
        for (at, len, text, mark) in edits {
            let (before, entries) = (seen(), db.oplog().unwrap().count());
            db.update(id, |note: &mut Note| {
                let boundary = |at: usize| (0..=at.min(note.body.len())).rev().find(|at| note.body.is_char_boundary(*at));
                let (start, end) = (boundary(at).unwrap_or(0), boundary(at + len).unwrap_or(0));
                match mark {
                    Some(value) => note.body.mark(start..end, "bold", value),
                    None => note.body.splice(start..end, &text),
                }
            })
            .unwrap();
            if db.oplog().unwrap().count() == entries {
                continue;
            }
            let after = seen();
            db.undo().unwrap();
            prop_assert_eq!(&seen(), &before);
            db.undo().unwrap();
            prop_assert_eq!(&seen(), &after);
        }
        assert_sound(&db);
    }
}

#[test]
fn the_oplog_tells_what_was_edited() {
    let db = in_memory();
    let id = db.insert(note("one")).unwrap().id;
    db.update(id, |note: &mut Note| {
        note.body.insert(3, "!");
        note.body.delete(0..1);
        note.body.mark(0..2, "bold", true);
    })
    .unwrap();
    let entries: Vec<_> = db.oplog().unwrap().collect::<Result<_, _>>().unwrap();
    let expected = r#"{"body":[{"at":3,"insert":"!"},{"at":0,"delete":1},{"at":0,"len":2,"mark":"bold","value":1}]}"#;
    assert_eq!(entries.last().unwrap().data_json(), expected);
    assert!(entries[0].data_json().contains(r#""body":[{"at":0,"insert":"one"}]"#), "{}", entries[0].data_json());
}

#[test]
fn notes_merge_by_the_laws() {
    cfost::testing::merge_laws::<Note>();
}

#[test]
fn a_text_of_ten_megabytes_is_written_and_synced() {
    let devices = fleet::devices(2, &models![Note], 5).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let long = "A line of a very long text, é.\n".repeat(10 * 1024 * 1024 / 32);
    let id = phone.db.insert(note(&long)).unwrap().id;
    phone.db.update(id, |note: &mut Note| note.body.insert(5_000_008 / 32 * 32, "!")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let (here, there) = (phone.db.get::<Note>(id).unwrap(), laptop.db.get::<Note>(id).unwrap());
    assert_eq!(here.unwrap().body.len(), long.len() + 1);
    assert_eq!(there.unwrap().body.len(), long.len() + 1);
}

#[test]
fn a_file_that_two_handles_write_keeps_the_edits_of_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let here = Db::open(&path, models![Note]).unwrap();
    let there = Db::open(&path, models![Note]).unwrap();
    let id = here.insert(note("")).unwrap().id;
    for n in 0..40 {
        let db = if n % 3 == 0 { &here } else { &there };
        db.update(id, |note: &mut Note| note.body.push_str(&n.to_string())).unwrap();
    }
    let expected: String = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(here.get::<Note>(id).unwrap().unwrap().body, expected.as_str());
    assert_sound(&there);
}

#[test]
fn a_keystroke_a_transaction_takes_at_most_120_bytes_on_the_wire() {
    const KEYSTROKES: usize = 1000;
    let devices = fleet::devices(2, &models![Note], 6).unwrap();
    let [phone, laptop] = &devices[..] else { panic!("two devices") };
    let id = phone.db.insert(note(&"lorem ipsum ".repeat(1000))).unwrap().id;
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for n in 0..KEYSTROKES {
        phone.clock.advance(150);
        phone.db.update(id, |note: &mut Note| note.body.insert(6000 + n, "x")).unwrap();
    }
    let bytes = fleet::sync(&phone.db, &laptop.db).unwrap().bytes as usize;
    assert!(bytes <= 120 * KEYSTROKES, "{} bytes a keystroke", bytes as f64 / KEYSTROKES as f64);
    assert_eq!(laptop.db.get::<Note>(id).unwrap(), phone.db.get::<Note>(id).unwrap());
}
