//! Rows that refer to others: what becomes of them when the others are deleted, brought back, or come later.

mod order;
#[cfg(feature = "text")]
mod texts;

use std::collections::{BTreeMap, BTreeSet};

use cfost::oplog::{LogId, OpKind};
use cfost::prelude::*;
use cfost::schema::Model;
use cfost::store::StoreError;
use cfost::sync::Seqs;
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device};
use cfost_tests::meaning;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "folders", version = 1)]
struct Folder {
    #[synced(id)]
    id: Uuid,
    name: String,
    #[synced(references = Folder)]
    parent: Option<Uuid>,
    #[synced(references = File)]
    cover: Option<Uuid>,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "files", version = 1)]
struct File {
    #[synced(id)]
    id: Uuid,
    name: String,
    #[synced(references = Folder, on_delete = cascade)]
    folder: Uuid,
    #[synced(references = File)]
    original: Option<Uuid>,
    #[synced(references = Author, on_delete = keep)]
    author: Option<Uuid>,
    #[crdt(set)]
    tags: BTreeSet<String>,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "comments", version = 1, delete = wins)]
struct Comment {
    #[synced(id)]
    id: Uuid,
    #[synced(references = File, immutable)]
    file: Uuid,
    text: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "authors", version = 1)]
struct Author {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Author, on_delete = cascade, index)]
    mentor: Option<Uuid>,
}

fn models() -> [Model; 4] {
    models![Comment, File, Author, Folder]
}

fn two_devices(seed: u64) -> (Device, Device) {
    let mut devices = fleet::devices(2, &models(), seed).unwrap();
    let laptop = devices.remove(1);
    (devices.remove(0), laptop)
}

fn folder(db: &Db, parent: Option<Uuid>) -> Uuid {
    db.insert(Folder { name: "folder".into(), parent, ..Folder::default() }).unwrap().id
}

fn file(db: &Db, folder: Uuid) -> File {
    db.insert(File { name: "file".into(), folder, ..File::default() }).unwrap()
}

fn comment(db: &Db, file: Uuid) -> Comment {
    db.insert(Comment { file, text: "comment".into(), ..Comment::default() }).unwrap()
}

fn assert_sound(devices: &[&Device]) {
    for device in devices {
        let verification = device.db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
    }
}

#[test]
fn a_child_that_is_added_while_its_parent_is_deleted_elsewhere_is_shown_once_the_parent_is_back() {
    let (phone, laptop) = two_devices(1);
    let work = folder(&phone.db, None);
    fleet::sync(&phone.db, &laptop.db).unwrap();

    phone.db.delete::<Folder>(work).unwrap();
    let inner = folder(&laptop.db, Some(work));
    let plan = file(&laptop.db, inner);
    let plan = laptop.db.update(plan.id, |file: &mut File| file.tags.extend(["urgent".to_owned()])).unwrap();
    let note = comment(&laptop.db, plan.id);
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.count::<Folder>().unwrap(), 0);
        assert_eq!(device.db.all::<File>().unwrap(), []);
        assert_eq!(device.db.all::<Comment>().unwrap(), []);
        let tags: Vec<(i64,)> = device.db.sql("SELECT count(*) FROM files_tags").rows().unwrap();
        assert_eq!(tags, [(0,)]);
    }
    assert_sound(&[&phone, &laptop]);

    phone.db.insert(Folder { id: work, name: "back".into(), parent: None, ..Folder::default() }).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.count::<Folder>().unwrap(), 2);
        assert_eq!(device.db.all::<File>().unwrap(), std::slice::from_ref(&plan));
        assert_eq!(device.db.all::<Comment>().unwrap(), std::slice::from_ref(&note));
    }
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn what_a_delete_cascades_to_stays_deleted_when_the_parent_comes_back() {
    let (phone, laptop) = two_devices(2);
    let work = folder(&phone.db, None);
    let (plan, draft) = (file(&phone.db, work), file(&phone.db, work));
    comment(&phone.db, plan.id);
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.delete::<Folder>(work).unwrap();
    let deletes = phone.db.oplog().unwrap().map(Result::unwrap).filter(|entry| entry.op_type == OpKind::Delete);
    // One change: the files first, then the folder. The comment is only hidden.
    let deletes: Vec<_> = deletes.map(|entry| (entry.seq, entry.table, entry.row_id)).collect();
    let tables: BTreeMap<_, _> = deletes.iter().map(|(_, table, id)| (*id, table.as_str())).collect();
    assert_eq!(tables, BTreeMap::from([(plan.id, "files"), (draft.id, "files"), (work, "folders")]));
    assert!(deletes.iter().all(|(seq, ..)| *seq == deletes[0].0));

    // The draft is edited later than it is deleted.
    laptop.clock.advance(1000);
    laptop.db.update(draft.id, |file: &mut File| file.name = "final".into()).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    assert_eq!(phone.db.all::<File>().unwrap(), []);
    phone.clock.advance(2000);
    phone.db.insert(Folder { id: work, name: "back".into(), parent: None, ..Folder::default() }).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.all::<File>().unwrap(), [File { name: "final".into(), ..draft.clone() }]);
        assert_eq!(device.db.all::<Comment>().unwrap(), []);
    }
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn a_row_may_name_one_that_is_gone_if_its_reference_says_keep() {
    let (phone, laptop) = two_devices(3);
    let work = folder(&phone.db, None);
    let ann = phone.db.insert(Author::default()).unwrap().id;
    let plan = phone.db.insert(File { author: Some(ann), folder: work, ..File::default() }).unwrap();
    phone.db.delete::<Author>(ann).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    assert_eq!(laptop.db.all::<File>().unwrap(), std::slice::from_ref(&plan));
    let nobody = Some(Uuid::from_u128(1));
    laptop.db.update(plan.id, |file: &mut File| file.author = nobody).unwrap();
}

#[test]
fn a_write_that_names_a_row_that_is_not_there_is_refused_and_says_which() {
    let db = Db::open_in_memory(models()).unwrap();
    let nowhere = Uuid::from_u128(7);
    let error = db.insert(File { folder: nowhere, ..File::default() }).unwrap_err();
    let Error::MissingParent { model: "File", field: "folder", table: "folders", id } = error else {
        panic!("{error}")
    };
    assert_eq!(id, nowhere);
    assert!(error.to_string().contains("'File.folder' names row"), "{error}");
    let work = folder(&db, None);
    let plan = file(&db, work);
    let moved = db.update(plan.id, |file: &mut File| file.folder = nowhere).unwrap_err();
    assert!(matches!(moved, Error::MissingParent { field: "folder", .. }), "{moved}");
    // Nothing was written by either, and the transaction goes on.
    db.write(|tx| {
        assert!(tx.update(plan.id, |file: &mut File| file.original = Some(nowhere)).is_err());
        tx.update(plan.id, |file: &mut File| file.name = "renamed".into())
    })
    .unwrap();
    // A row may name itself.
    let own = Uuid::from_u128(8);
    db.insert(Folder { id: own, parent: Some(own), ..Folder::default() }).unwrap();
    db.delete::<Folder>(own).unwrap();
    assert_eq!(db.count::<Folder>().unwrap(), 1);
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn deleting_any_row_of_a_circle_that_cascades_deletes_the_circle() {
    let (phone, laptop) = two_devices(4);
    let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
    phone
        .db
        .write(|tx| {
            ids.iter().try_for_each(|&id| tx.insert(Author { id, mentor: None }).map(drop))?;
            (0..3).try_for_each(|n| tx.update(ids[n], |row: &mut Author| row.mentor = Some(ids[(n + 1) % 3])).map(drop))
        })
        .unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.count::<Author>().unwrap(), 3);
    laptop.db.delete::<Author>(ids[1]).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(phone.db.count::<Author>().unwrap(), 0);
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn a_circle_of_rows_is_shown_when_its_last_row_arrives_and_hidden_when_one_leaves() {
    let (phone, laptop) = two_devices(5);
    let ids: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
    phone
        .db
        .write(|tx| {
            ids.iter().try_for_each(|&id| tx.insert(Folder { id, ..Folder::default() }).map(drop))?;
            (0..4).try_for_each(|n| tx.update(ids[n], |row: &mut Folder| row.parent = Some(ids[(n + 1) % 4])).map(drop))
        })
        .unwrap();
    let outside = folder(&phone.db, Some(ids[0]));
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!(laptop.db.count::<Folder>().unwrap(), 5);
    laptop.db.delete::<Folder>(ids[2]).unwrap();
    assert_eq!(laptop.db.count::<Folder>().unwrap(), 0);
    // A later edit brings the row back, and with it the circle.
    phone.clock.advance(1000);
    phone.db.update(ids[2], |row: &mut Folder| row.name = "edited".into()).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!((phone.db.count::<Folder>().unwrap(), laptop.db.count::<Folder>().unwrap()), (5, 5));

    phone.db.delete::<Folder>(ids[2]).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    assert_eq!((phone.db.count::<Folder>().unwrap(), laptop.db.count::<Folder>().unwrap()), (0, 0));
    // An insert names rows that are there: the row is inserted outside of the circle, and then closes it.
    let closed = phone.db.insert(Folder { id: ids[2], parent: Some(ids[3]), ..Folder::default() }).unwrap_err();
    assert!(matches!(closed, Error::MissingParent { .. }), "{closed}");
    phone.db.insert(Folder { id: ids[2], ..Folder::default() }).unwrap();
    phone.db.update(ids[2], |row: &mut Folder| row.parent = Some(ids[3])).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.count::<Folder>().unwrap(), 5);
        assert!(device.db.get::<Folder>(outside).unwrap().is_some());
    }
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn a_row_in_two_circles_brings_both_back() {
    let (phone, laptop) = two_devices(10);
    let outer = folder(&phone.db, None);
    let cover = Some(file(&phone.db, outer).id);
    let inner = phone.db.insert(Folder { parent: Some(outer), cover, ..Folder::default() }).unwrap().id;
    phone.db.update(outer, |row: &mut Folder| row.parent = Some(inner)).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    laptop.db.delete::<Folder>(inner).unwrap();
    assert_eq!((laptop.db.count::<Folder>().unwrap(), laptop.db.count::<File>().unwrap()), (0, 0));
    phone.clock.advance(1000);
    phone.db.update(inner, |row: &mut Folder| row.name = "edited".into()).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!((device.db.count::<Folder>().unwrap(), device.db.count::<File>().unwrap()), (2, 1));
    }
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn an_app_that_lists_a_model_without_the_one_it_refers_to_is_told_which_is_missing() {
    let error = Db::open_in_memory(models![File, Author]).unwrap_err();
    let Error::Store(StoreError::UnknownReference { model: "File", field: "folder", table: "folders" }) = error else {
        panic!("{error}")
    };
    // Whose rows are shown whatever becomes of the other model's, that needs no other model.
    Db::open_in_memory(models![File, Folder]).unwrap();
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "shelves", version = 1)]
struct Shelf {
    #[synced(id)]
    id: Uuid,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "books", version = 1)]
struct Book {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Shelf)]
    shelf: Uuid,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "pages", version = 1)]
struct Page {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Book)]
    book: Uuid,
}

#[test]
fn what_an_app_without_the_model_did_not_hide_is_hidden_once_an_app_has_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("library.db");
    let db = Db::open(&path, models![Page, Book, Shelf]).unwrap();
    let shelf = db.insert(Shelf::default()).unwrap().id;
    let book = db.insert(Book { shelf, ..Book::default() }).unwrap().id;
    db.insert(Page { book, ..Page::default() }).unwrap();
    drop(db);
    let db = Db::open(&path, models![Shelf]).unwrap();
    db.delete::<Shelf>(shelf).unwrap();
    drop(db);
    let db = Db::open(&path, models![Page, Book, Shelf]).unwrap();
    assert_eq!((db.count::<Book>().unwrap(), db.count::<Page>().unwrap()), (0, 0));
    assert!(db.verify().unwrap().is_sound());
    db.insert(Shelf { id: shelf }).unwrap();
    assert_eq!((db.count::<Book>().unwrap(), db.count::<Page>().unwrap()), (1, 1));
    assert!(db.verify().unwrap().is_sound());
}

/// Files as an app sees them that doesn't know that a folder's bytes name a folder.
mod another {
    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "files", version = 1)]
    pub(crate) struct File {
        #[synced(id)]
        pub(crate) id: Uuid,
        pub(crate) name: String,
        pub(crate) folder: Vec<u8>,
    }
}

#[test]
fn bytes_that_name_no_row_hide_theirs_on_every_device() {
    let (phone, laptop) = two_devices(8);
    let other = Device::in_memory("other app", models![another::File], 9).unwrap();
    fleet::pair(&phone.db, &other.db, &other.host).unwrap();
    let broken = another::File { name: "broken".into(), folder: vec![1, 2, 3], ..another::File::default() };
    let broken = other.db.insert(broken).unwrap();
    fleet::sync(&phone.db, &other.db).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.count::<File>().unwrap(), 0);
        assert_eq!(
            device.db.count::<File>().unwrap(),
            meaning::meant(&device.db, &models()).unwrap()["files"].len() as u64
        );
    }
    // Once they name a folder, the file is shown in it.
    let work = folder(&phone.db, None);
    other.db.update(broken.id, |file: &mut another::File| file.folder = work.as_bytes().to_vec()).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    fleet::sync(&laptop.db, &other.db).unwrap();
    assert_eq!(laptop.db.get::<File>(broken.id).unwrap().unwrap().folder, work);
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn rows_written_before_the_device_was_paired_keep_what_they_refer_to() {
    let (phone, _) = two_devices(11);
    let tablet = Device::in_memory("tablet", models(), 12).unwrap();
    // Rows are written anew by table and id, so the comment comes first and the inner folder last.
    let id = Uuid::from_u128(9);
    let outer = tablet.db.insert(Folder { id, name: "outer".into(), ..Folder::default() }).unwrap().id;
    let inner = Folder { id: Uuid::from_u128(3), parent: Some(outer), ..Folder::default() };
    let inner = tablet.db.insert(inner).unwrap().id;
    let plan = file(&tablet.db, inner);
    let plan = tablet.db.update(plan.id, |file: &mut File| file.tags.extend(["urgent".to_owned()])).unwrap();
    let note = comment(&tablet.db, plan.id);
    fleet::pair(&phone.db, &tablet.db, &tablet.host).unwrap();
    fleet::sync(&phone.db, &tablet.db).unwrap();
    for device in [&phone, &tablet] {
        assert_eq!(device.db.count::<Folder>().unwrap(), 2);
        assert_eq!(device.db.all::<File>().unwrap(), std::slice::from_ref(&plan));
        assert_eq!(device.db.all::<Comment>().unwrap(), std::slice::from_ref(&note));
    }
    assert_sound(&[&phone, &tablet]);
}

#[test]
fn an_undo_brings_back_all_that_a_delete_cascaded_to() {
    let db = Db::open_in_memory(models()).unwrap();
    let work = folder(&db, None);
    let (plan, draft) = (file(&db, work), file(&db, work));
    let note = comment(&db, draft.id);
    db.delete::<Folder>(work).unwrap();
    assert_eq!((db.count::<File>().unwrap(), db.count::<Comment>().unwrap()), (0, 0));
    db.undo().unwrap();
    assert_eq!(db.all::<File>().unwrap(), [plan, draft]);
    assert_eq!(db.all::<Comment>().unwrap(), [note]);
    db.undo().unwrap();
    assert_eq!((db.count::<Folder>().unwrap(), db.count::<File>().unwrap()), (0, 0));
    assert!(db.verify().unwrap().is_sound());
}

#[test]
fn the_rows_that_name_a_row_are_found_by_an_index() {
    let db = Db::open_in_memory(models()).unwrap();
    for (table, column) in
        [("files", "folder"), ("files", "original"), ("files", "author"), ("comments", "file"), ("authors", "mentor")]
    {
        let sql = format!("EXPLAIN QUERY PLAN SELECT id FROM {table} WHERE {column} = ?");
        let plan: Vec<(i64, i64, i64, String)> = db.sql(&sql).bind(Uuid::nil()).rows().unwrap();
        assert!(plan[0].3.contains(&format!("{table}_by_{column}")), "{plan:?}");
    }
}

#[test]
fn a_long_chain_of_rows_that_arrive_from_its_end_is_shown_at_once_when_its_beginning_does() {
    let devices = fleet::devices(3, &models(), 6).unwrap();
    let ids: Vec<Uuid> = (1..=2000).map(Uuid::from_u128).collect();
    // The beginning in the log of one device, the rest in that of another, from the end.
    let first = Folder { id: ids[0], ..Folder::default() };
    devices[0].db.insert(first.clone()).unwrap();
    fleet::sync(&devices[0].db, &devices[1].db).unwrap();
    let rest = ids.windows(2).map(|pair| Folder { id: pair[1], parent: Some(pair[0]), ..Folder::default() });
    devices[1].db.insert_all(rest).unwrap();
    devices[1]
        .db
        .write(|tx| {
            ids[1..].iter().rev().try_for_each(|&id| tx.update(id, |row: &mut Folder| row.name = "x".into()).map(drop))
        })
        .unwrap();
    let (writer, reader) = (log_of(&devices[1]), &devices[2]);
    deliver(&devices[1], reader, writer);
    assert_eq!(reader.db.count::<Folder>().unwrap(), 0);
    deliver(&devices[1], reader, log_of(&devices[0]));
    assert_eq!(reader.db.count::<Folder>().unwrap(), 2000);
    reader.db.delete::<Folder>(ids[0]).unwrap();
    assert_eq!(reader.db.count::<Folder>().unwrap(), 0);
    reader.db.insert(first).unwrap();
    assert_eq!(reader.db.count::<Folder>().unwrap(), 2000);
    assert_sound(&[reader]);
}

fn log_of(device: &Device) -> LogId {
    let replica = device.db.replica().unwrap();
    let space = replica.spaces(replica.device()).unwrap()[0];
    replica.own_log(space).unwrap().unwrap()
}

/// Brings the next run of one log from a device to another, and nothing else; says whether there was one.
fn deliver(from: &Device, to: &Device, log: LogId) -> bool {
    let (from, to) = (from.db.replica().unwrap(), to.db.replica().unwrap());
    let space = from.spaces(to.device()).unwrap()[0];
    let held = to.frontier(space).unwrap().head(log).seq;
    let mut all: Seqs = from.frontier(space).unwrap().iter().map(|(log, head)| (log, head.seq)).collect();
    all.insert(log, held);
    let served = from.runs_after(space, &all, 1).unwrap();
    let runs: Vec<_> = served.into_iter().map(|served| served.run).collect();
    if runs.is_empty() {
        return false;
    }
    let applied = to.apply(runs).unwrap();
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
    true
}
