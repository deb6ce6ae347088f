//! Fields that were renamed, removed and upgraded: each version has its own view of the same writes.

use cfost::host::WallClock;
use cfost::oplog::{OpKind, Value};
use cfost::prelude::*;
use cfost::store::OpData;
use proptest::prelude::*;

use super::app::{Edit, NEWEST, Peer, meet, meet_all, models, ring, v1, v2, v3, v4, with_version};

const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

#[derive(Clone, Debug)]
enum Step {
    Insert { device: usize },
    Edit { device: usize, row: usize, edit: Edit, to: u8 },
    Delete { device: usize, row: usize },
    Revive { device: usize, row: usize },
    Sync { from: usize, to: usize },
    Upgrade { device: usize },
    Reopen { device: usize },
    Undo { device: usize },
    Wait { device: usize, ms: i32 },
}

/// So many devices: one more than there are versions.
const DEVICES: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    let (device, row) = (0..DEVICES, 0..4_usize);
    prop_oneof![
        4 => device.clone().prop_map(|device| Step::Insert { device }),
        16 => (device.clone(), row.clone(), prop::sample::select(&Edit::ALL[..]), 0..4_u8)
            .prop_map(|(device, row, edit, to)| Step::Edit { device, row, edit, to }),
        2 => (device.clone(), row.clone()).prop_map(|(device, row)| Step::Delete { device, row }),
        2 => (device.clone(), row).prop_map(|(device, row)| Step::Revive { device, row }),
        7 => (device.clone(), device.clone()).prop_map(|(from, to)| Step::Sync { from, to }),
        2 => device.clone().prop_map(|device| Step::Upgrade { device }),
        1 => device.clone().prop_map(|device| Step::Reopen { device }),
        1 => device.clone().prop_map(|device| Step::Undo { device }),
        2 => (device, -5_000..60_000_i32).prop_map(|(device, ms)| Step::Wait { device, ms }),
    ]
}

fn play(peers: &mut [Peer], steps: &[Step]) {
    let mut ids: Vec<Uuid> = Vec::new();
    for step in steps {
        match *step {
            Step::Insert { device } => ids.extend(peers[device].insert(Uuid::nil())),
            Step::Edit { device, row, edit, to } => {
                ids.get(row).into_iter().for_each(|&id| peers[device].edit(id, edit, to));
            }
            Step::Delete { device, row } => ids.get(row).into_iter().for_each(|&id| peers[device].delete(id)),
            Step::Revive { device, row } => {
                ids.get(row).into_iter().for_each(|&id| _ = peers[device].insert(id));
            }
            Step::Sync { from, to } if from != to => meet(&peers[from], &peers[to]),
            Step::Sync { .. } => {}
            Step::Upgrade { device } => {
                let version = peers[device].version + 1;
                peers[device].upgrade(version.min(NEWEST));
            }
            Step::Reopen { device } => {
                let version = peers[device].version;
                peers[device].upgrade(version);
            }
            // There may be nothing to undo.
            Step::Undo { device } => _ = peers[device].db().undo(),
            Step::Wait { device, ms } => {
                let clock = &peers[device].clock;
                clock.set(clock.now_ms().saturating_add_signed(i64::from(ms)));
            }
        }
    }
}

/// What version 3 shows of the rows of version 4, but for what version 4 has no more.
fn as_v3(row: &v4::Todo, own: &v3::Todo) -> v3::Todo {
    let v4::Todo { id, caption, progress, effort, place, labels, likes, author } = row.clone();
    let progress = (progress * 100.0).round() as i64;
    let (note, rank) = (own.note.clone(), Some(place));
    v3::Todo { id, title: caption, progress, duration: effort, rank, labels, likes, author, note }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn apps_of_four_versions_agree_after_any_story_each_on_its_own_view(
        seed in any::<u32>(),
        versions in Just([1, 2, 3, 4, 1]).prop_shuffle(),
        steps in proptest::collection::vec(step(), 1..50),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut peers = ring(dir.path(), &versions, u64::from(seed));
        play(&mut peers, &steps);
        meet_all(&peers);
        for peer in &peers {
            peer.assert_right();
        }
        for (n, peer) in peers.iter().enumerate() {
            for other in peers[..n].iter().filter(|other| other.version == peer.version) {
                prop_assert_eq!(peer.shown(), other.shown());
            }
        }
        // Converting what was merged, and merging what was converted, is the same.
        let newest = peers.iter().find(|peer| peer.version == NEWEST).unwrap().shown();
        for peer in &mut peers {
            peer.upgrade(NEWEST);
            prop_assert_eq!(&peer.shown(), &newest);
            peer.assert_right();
        }
    }
}

#[test]
fn a_row_of_any_version_is_a_row_of_every_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let peers = ring(dir.path(), &[1, 2, 3, 4], 1);
    let ids: Vec<Uuid> = (1..).map(Uuid::from_u128).zip(&peers).filter_map(|(id, peer)| peer.insert(id)).collect();
    meet_all(&peers);
    let author = |version: u32| format!("version {version}");
    let v1: Vec<_> = peers[0].all::<v1::Todo>().into_iter().map(|row| (row.minutes, row.done, row.urgent)).collect();
    assert_eq!(v1, [(10, false, false), (20, false, true), (30, false, true), (40, false, true)]);
    let v2: Vec<_> = peers[1].all::<v2::Todo>().into_iter().map(|row| (row.minutes, row.progress)).collect();
    assert_eq!(v2, [(10, 0), (20, 30), (30, 0), (40, 50)]);
    let v4: Vec<v4::Todo> = peers[3].all();
    let row = |n: usize, progress, likes| v4::Todo {
        id: ids[n],
        caption: format!("by version {}", n + 1),
        progress,
        effort: format!("{}0 min", n + 1),
        likes,
        author: author(n as u32 + 1),
        ..v4::Todo::default()
    };
    assert_eq!(v4, [row(0, 0.0, 1), row(1, 0.3, 0), row(2, 0.0, 3), row(3, 0.5, 0)]);
    let v3: Vec<v3::Todo> = peers[2].all();
    let led_back: Vec<v3::Todo> = v4.iter().zip(&v3).map(|(row, own)| as_v3(row, own)).collect();
    // The third version's own row has no rank, which the fourth knows as 0.
    assert_eq!(v3[2].rank, None);
    assert_eq!(led_back.len(), 4);
    for (n, (v3, led_back)) in v3.into_iter().zip(led_back).enumerate() {
        assert_eq!(v3, v3::Todo { rank: if n == 2 { None } else { led_back.rank }, ..led_back });
    }
    peers.iter().for_each(Peer::assert_right);
}

#[test]
fn an_edit_in_one_version_is_an_edit_in_all_others_and_the_latest_wins_in_each() {
    let dir = tempfile::tempdir().unwrap();
    let peers = ring(dir.path(), &[1, 2, 3, 4], 2);
    let id = peers[0].insert(Uuid::nil()).unwrap();
    meet_all(&peers);
    for (writer, to) in [(3, 1), (0, 2), (1, 3), (2, 1), (3, 2), (0, 3)] {
        for edit in [Edit::Title, Edit::Duration, Edit::Rank, Edit::Tag] {
            peers[writer].edit(id, edit, to);
        }
        meet_all(&peers);
        let (old, new) = (&peers[0].all::<v1::Todo>()[0], &peers[3].all::<v4::Todo>()[0]);
        assert_eq!((old.minutes, old.rank, &old.name), (to.into(), to.into(), &format!("{to}")));
        assert_eq!((new.effort.as_str(), new.place), (format!("{to} min").as_str(), to.into()));
        assert_eq!((&new.caption, &new.labels), (&old.name, &old.tags));
        peers.iter().for_each(Peer::assert_right);
    }
}

#[test]
fn what_an_old_device_wrote_comes_a_year_late_through_a_third_one_and_is_as_old_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = ring(dir.path(), &[1, 1, 1], 3);
    let (early, late) = (peers[0].insert(Uuid::nil()).unwrap(), peers[0].insert(Uuid::nil()).unwrap());
    meet_all(&peers);
    // The third device goes offline with two edits. Of one row, the duration is edited elsewhere after that.
    for id in [early, late] {
        peers[2].edit(id, Edit::Duration, 3);
        peers[2].edit(id, Edit::Done, 2);
    }
    for peer in &mut peers {
        peer.clock.set(peer.clock.now_ms() + YEAR_MS);
    }
    peers[0].upgrade(4);
    peers[0].edit(late, Edit::Duration, 2);
    meet(&peers[0], &peers[1]);
    peers[1].upgrade(2);
    let before = peers[1].shown();
    // It meets a device of version 2 alone, which meets one of version 4.
    meet(&peers[2], &peers[1]);
    assert_ne!(peers[1].shown(), before);
    meet(&peers[1], &peers[0]);
    let rows: Vec<v4::Todo> = peers[0].all();
    assert_eq!((rows[0].id, rows[0].effort.as_str(), rows[0].progress), (early, "3 min", 1.0));
    assert_eq!((rows[1].id, rows[1].effort.as_str(), rows[1].progress), (late, "2 min", 1.0));
    meet_all(&peers);
    peers.iter().for_each(Peer::assert_right);
    peers[2].upgrade(4);
    assert_eq!(peers[2].all::<v4::Todo>(), rows);
}

#[test]
fn a_write_that_cannot_be_upgraded_has_no_effect_on_those_beyond_it_whoever_converts_it_when() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = ring(dir.path(), &[1, 2, 4, 1], 8);
    let [id, other] = [1, 2].map(Uuid::from_u128);
    for id in [id, other] {
        peers[0].insert(id).unwrap();
        peers[0].edit(id, Edit::Duration, 3);
    }
    meet_all(&peers);
    // The function that makes a duration of it panics; the one that makes a share of it makes no number.
    peers[0].db().update(id, |row: &mut v1::Todo| row.minutes = -5).unwrap();
    peers[1].db().update(id, |row: &mut v2::Todo| row.progress = 300).unwrap();
    // A row of which no write can be upgraded is not there beyond it, until somebody writes it.
    let hopeless = Uuid::from_u128(3);
    peers[0].db().insert(v1::Todo { id: hopeless, minutes: -1, ..v1::Todo::default() }).unwrap();
    meet_all(&peers);
    assert_eq!(peers[3].all::<v1::Todo>()[0].minutes, -5);
    assert_eq!(peers[3].all::<v1::Todo>().len(), 3);
    let newest: Vec<v4::Todo> = peers[2].all();
    let shown: Vec<_> = newest.iter().map(|row| (row.id, row.effort.as_str(), row.progress)).collect();
    assert_eq!(shown, [(id, "3 min", 0.0), (other, "3 min", 0.0)]);
    for peer in &mut peers {
        peer.assert_right();
        peer.upgrade(4);
        assert_eq!(peer.all::<v4::Todo>(), newest, "upgraded after the merge");
        peer.assert_right();
    }
}

#[test]
fn a_value_that_older_apps_cannot_be_given_stays_what_it_was_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let peers = ring(dir.path(), &[1, 4], 4);
    let id = peers[0].insert(Uuid::nil()).unwrap();
    meet_all(&peers);
    peers[1].edit(id, Edit::Duration, 0);
    meet_all(&peers);
    // "a day" are no minutes: the function that leads back says -1, as an app may.
    assert_eq!(peers[0].all::<v1::Todo>()[0].minutes, -1);
    peers[1].edit(id, Edit::Title, 3);
    meet_all(&peers);
    assert_eq!(peers[0].all::<v1::Todo>()[0].name, "3");
    assert_eq!(peers[1].all::<v4::Todo>()[0].effort, "a day");
}

#[test]
fn the_oplog_tells_an_op_as_it_was_written_and_an_explanation_as_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let peers = ring(dir.path(), &[1, 4], 5);
    let id = peers[0].insert(Uuid::nil()).unwrap();
    meet_all(&peers);
    peers[1].edit(id, Edit::Duration, 2);
    peers[0].edit(id, Edit::Duration, 3);
    meet_all(&peers);

    let history = peers[1].db().history::<v4::Todo>(id).unwrap();
    let versions: Vec<_> = history.iter().map(|entry| (entry.op_type, entry.schema_version)).collect();
    assert_eq!(versions, [(OpKind::Create, 1), (OpKind::Update, 4), (OpKind::Update, 1)]);
    let text = |text: &str| OpData::Write(Value::Text(text.into()));
    let minutes = |value| OpData::Write(Value::Integer(value));
    assert_eq!(history[1].data, [("duration".to_owned(), text("2 min")), ("minutes".to_owned(), minutes(2))]);
    assert_eq!(history[2].data, [("minutes".to_owned(), minutes(3))]);
    let in_sql: Vec<(u32, String)> = peers[1]
        .db()
        .sql("SELECT schema_version, data FROM cfost_oplog WHERE op_type = 'update' ORDER BY timestamp")
        .rows()
        .unwrap();
    assert_eq!(in_sql[0], (4, r#"{"duration":"2 min","minutes":2}"#.to_owned()));

    for (peer, column, value, lost) in [
        (&peers[1], "effort", Value::Text("3 min".into()), Value::Text("2 min".into())),
        (&peers[0], "minutes", Value::Integer(3), Value::Integer(2)),
    ] {
        let explained = with_version!(peer.version, T => peer.db().explain::<T>(id)).unwrap();
        let explained = explained.column(column).unwrap();
        assert_eq!(explained.value, value);
        assert_eq!(explained.lost.iter().map(|lost| &lost.value).collect::<Vec<_>>(), [&lost]);
        assert_eq!(explained.written.as_ref().unwrap().device, history[0].device_id);
    }
}

#[test]
fn an_undo_takes_an_edit_back_for_all_versions_also_one_from_before_the_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = ring(dir.path(), &[1, 1, 3], 6);
    let id = peers[0].insert(Uuid::nil()).unwrap();
    peers[0].edit(id, Edit::Rank, 2);
    peers[0].edit(id, Edit::Duration, 3);
    meet_all(&peers);
    peers[0].upgrade(4);
    let undone = peers[0].db().undo().unwrap();
    assert_eq!(undone.rows[0].columns, ["effort"]);
    meet_all(&peers);
    assert_eq!(peers[0].all::<v4::Todo>()[0].effort, "10 min");
    assert_eq!((peers[1].all::<v1::Todo>()[0].minutes, peers[1].all::<v1::Todo>()[0].rank), (10, 2));
    assert_eq!(peers[2].all::<v3::Todo>()[0].duration, "10 min");
    // Another device has written it since: nothing is taken back.
    peers[0].edit(id, Edit::Duration, 1);
    meet_all(&peers);
    peers[1].edit(id, Edit::Duration, 2);
    meet_all(&peers);
    let undone = peers[0].db().undo().unwrap();
    assert_eq!((undone.rows[0].columns.len(), undone.rows[0].kept.as_slice()), (0, &["effort".to_owned()][..]));
    meet_all(&peers);
    assert_eq!(peers[1].all::<v1::Todo>()[0].minutes, 2);
    peers.iter().for_each(Peer::assert_right);
}

#[test]
fn tables_as_they_were_are_told_in_the_terms_of_the_newest_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = ring(dir.path(), &[1, 2], 7);
    let id = peers[0].insert(Uuid::nil()).unwrap();
    let written = peers[0].db().history::<v1::Todo>(id).unwrap()[0].timestamp;
    peers[0].edit(id, Edit::Duration, 3);
    meet_all(&peers);
    peers[0].upgrade(4);
    let then = peers[0].db().at(written).unwrap();
    let row: Vec<v4::Todo> = v4::Todo::query().all(&then).unwrap();
    assert_eq!(row[0].effort, "10 min");
    assert_eq!(peers[0].all::<v4::Todo>()[0].effort, "3 min");
    assert_eq!(models(4).len(), 1);
}
