//! A device of an older app beside one of a newer app, whose formats it does not know.

use uuid::Uuid;

use super::Db;
use crate::error::Result;
use crate::oplog::OplogError;
use crate::oplog::newest::pretended::{with_newer_changes, with_newer_segments};
use crate::schema::{ColumnSchema, DeletePolicy, Model, ModelSchema, Placement, RowValues, ValueRef};
use crate::store::WaitsFor;
use crate::sync::pipe::{End, Pipe};
use crate::sync::{Event, Seqs};
use crate::testing::{TestDevice, devices, sync};

static SCHEMA: ModelSchema = ModelSchema {
    model: "Todo",
    table: "todos",
    version: 1,
    id_column: "id",
    columns: &[ColumnSchema::lww::<String>("title", "title")],
    collections: &[],
    indexes: &[],
    delete: DeletePolicy::Latest,
    id_from: &[],
    search: &[],
    history: false,
    space: Placement::Home,
    removed: &[],
    removed_collections: &[],
};

/// What runs `work` as a newer app does.
type AsNewerApp = fn(&mut dyn FnMut());

fn newer_segments(work: &mut dyn FnMut()) {
    with_newer_segments(work);
}

fn newer_changes(work: &mut dyn FnMut()) {
    with_newer_changes(work);
}

fn insert(db: &Db, title: &str) {
    let values = RowValues::new(vec![ValueRef::Text(title.into())], Vec::new());
    db.write(|tx| tx.inner().insert(0, Uuid::nil(), &values)).unwrap();
}

fn titles(db: &Db) -> Vec<String> {
    let rows: Vec<(String,)> = db.sql("SELECT title FROM todos ORDER BY title").rows().unwrap();
    rows.into_iter().map(|(title,)| title).collect()
}

/// Every change that a device holds, as it would send it.
fn held(device: &TestDevice) -> Vec<Vec<u8>> {
    let replica = device.db.replica().unwrap();
    let spaces = replica.spaces(replica.device()).unwrap();
    let runs = spaces.iter().flat_map(|space| replica.runs_after(*space, &Seqs::new(), usize::MAX).unwrap());
    let mut changes: Vec<Vec<u8>> = runs.flat_map(|served| served.run.changes).collect();
    changes.sort();
    changes
}

/// What three devices show and hold while the app on the first one is newer than on the second, and the third
/// hears of it through the second alone.
fn tell(as_newer_app: AsNewerApp) -> Result<()> {
    let all = devices(3, &[Model { schema: &SCHEMA }], 7)?;
    let [newer, older, last] = &all[..] else { unreachable!("three were asked for") };
    insert(&newer.db, "before");
    as_newer_app(&mut || insert(&newer.db, "of the newer app"));
    insert(&newer.db, "after");
    insert(&older.db, "of the older app");
    as_newer_app(&mut || assert_eq!(titles(&newer.db), ["after", "before", "of the newer app"]));

    sync(&older.db, &newer.db)?;
    assert_eq!(titles(&older.db), ["before", "of the older app"], "what isn't known waits, and what is behind it");
    let [waiting] = &older.db.waiting()?[..] else { panic!("one log waits") };
    assert_eq!((waiting.first_seq, waiting.changes), (2, 2));
    assert!(waiting.to_string().ends_with("this app reads up to 1: update the app"), "{waiting}");
    let entries: Vec<_> = older.db.oplog()?.collect::<Result<_>>()?;
    assert_eq!(entries.len(), 3, "of what a newer app wrote there is nothing to tell");
    let verified = older.db.verify()?;
    assert!(verified.is_sound() && verified.changes == 4, "{verified:?}");

    sync(&last.db, &older.db)?;
    assert_eq!(titles(&last.db), ["before", "of the older app"]);
    assert_eq!(held(older), held(newer), "all is kept as it was written");
    assert_eq!(held(last), held(newer), "and relayed as it was kept");

    as_newer_app(&mut || {
        for device in [older, last] {
            // What a start of the upgraded app does.
            device.clock.advance(2_000);
            device.db.store.apply_waiting().unwrap();
            assert_eq!(titles(&device.db), ["after", "before", "of the newer app", "of the older app"]);
            assert_eq!(device.db.waiting().unwrap(), []);
            assert!(device.db.verify().unwrap().is_sound());
        }
    });
    Ok(())
}

#[test]
fn segments_of_a_newer_format_are_kept_and_relayed_and_shown_after_the_upgrade() {
    tell(newer_segments).unwrap();
}

#[test]
fn changes_of_a_newer_kind_are_kept_and_relayed_and_shown_after_the_upgrade() {
    tell(newer_changes).unwrap();
}

#[test]
fn a_restart_of_the_upgraded_app_shows_what_waited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("todo.db");
    let models = [Model { schema: &SCHEMA }];
    let newer = devices(1, &models, 9).unwrap().remove(0);
    with_newer_segments(|| insert(&newer.db, "of the newer app"));
    let host = newer.host.clone();
    {
        let older = Db::options().host(host.clone()).open(&path, models).unwrap();
        crate::testing::pair(&newer.db, &older, &host).unwrap();
        sync(&older, &newer.db).unwrap();
        assert!(titles(&older).is_empty());
    }
    with_newer_segments(|| {
        let upgraded = Db::options().host(host).open(&path, models).unwrap();
        assert_eq!(titles(&upgraded), ["of the newer app"]);
        assert!(upgraded.verify().unwrap().is_sound());
    });
}

#[test]
fn an_app_is_told_once_a_session_that_changes_wait_for_its_update() {
    let all = devices(2, &[Model { schema: &SCHEMA }], 11).unwrap();
    let [newer, older] = &all[..] else { unreachable!("two were asked for") };
    let mut pipe = Pipe::connect(older.db.replica().unwrap(), newer.db.replica().unwrap(), 0).unwrap();
    pipe.run();
    let mut told = Vec::new();
    for title in ["one", "two", "three"] {
        with_newer_segments(|| insert(&newer.db, title));
        pipe.changed(End::Listener);
        pipe.run();
        told.extend(pipe.take_events(End::Dialer).into_iter().filter_map(|event| match event {
            Event::LogWaits { log, why, .. } => Some((log, why)),
            _ => None,
        }));
    }
    let [waiting] = &older.db.waiting().unwrap()[..] else { panic!("one log waits") };
    assert_eq!((waiting.device, waiting.first_seq, waiting.changes), (newer.db.replica().unwrap().device(), 1, 3));
    let why = OplogError::Newer { what: "segment", version: 2, known: 1 };
    assert_eq!(told, [(waiting.log, why.clone())]);
    assert_eq!(waiting.until, WaitsFor::Update(why));
}

#[test]
fn changes_of_a_clock_that_is_ahead_are_told_to_wait_for_it() {
    let all = devices(2, &[Model { schema: &SCHEMA }], 12).unwrap();
    let [ahead, here] = &all[..] else { unreachable!("two were asked for") };
    ahead.clock.advance(3_600_000);
    insert(&ahead.db, "from the future");
    sync(&here.db, &ahead.db).unwrap();
    let [waiting] = &here.db.waiting().unwrap()[..] else { panic!("one log waits") };
    let WaitsFor::Clock { at } = waiting.until else { panic!("{waiting}") };
    assert_eq!(at.ms(), ahead.host.now_ms());
    here.clock.advance(3_600_000);
    assert_eq!(titles(&here.db), ["from the future"]);
    assert_eq!(here.db.waiting().unwrap(), []);
}
