//! What goes wrong during a migration: the file is as before it or as after it, and nothing is lost.

use std::process::Command;
use std::thread;
use std::time::Duration;

use cfost::prelude::*;
use cfost::store::StoreError;
use cfost::{Error, Model};
use cfost_tests::fleet;
use cfost_tests::process::{child, tell, told, work};
use rusqlite::Connection;

use super::apps::{App, copy, fill, models, v1, v5};

/// The version of the file's table, and whether its columns are those of version 1, or of version 5.
fn state(path: &std::path::Path) -> (u32, bool, bool) {
    let conn = Connection::open(path).unwrap();
    let version = conn.query_row("SELECT version FROM cfost_models", [], |row| row.get(0)).unwrap();
    let old = conn.prepare("SELECT title, due, rank, secret, parent FROM todos").is_ok();
    (version, old, conn.prepare("SELECT heading, due, rank, effort FROM todos").is_ok())
}

#[test]
#[ignore = "runs as a child of a_rewrite_that_is_killed_is_made_by_the_next_start"]
fn migrates_until_killed() {
    let Some(path) = work() else { return };
    drop(Db::open(path, models(5)).unwrap());
}

#[test]
fn a_rewrite_that_is_killed_is_made_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("v1.db");
    let mut app = App::new(first.clone(), models(1));
    fill(app.db());
    app.db().insert_all((0..8000).map(|n| v1::Todo { title: format!("{n}"), ..v1::Todo::default() })).unwrap();
    let shown = app.db().count::<v1::Todo>().unwrap();
    app.close();
    let path = dir.path().join("todo.db");
    copy(&first, &path);
    let mut killed = 0;
    for kill in 0..14 {
        let mut process = child("faults::migrates_until_killed", path.to_str().unwrap()).unwrap().spawn().unwrap();
        thread::sleep(Duration::from_millis(10 + 25 * kill));
        process.kill().unwrap();
        process.wait().unwrap();
        match state(&path) {
            (1, true, false) => killed += 1,
            (5, false, true) => break,
            other => panic!("half-way: {other:?}"),
        }
    }
    assert!(killed > 0, "it was never killed in time");
    let mut app = App::reopened(path, models(5));
    app.assert_sound();
    // Five rows are shown that waited for their parent.
    assert!(app.db().count::<v5::Todo>().unwrap() >= shown);
    app.close();
}

#[test]
#[ignore = "runs as a child of a_disk_that_is_full_is_told_and_the_file_is_as_it_was"]
fn migrates_on_a_full_disk() {
    let Some(path) = work() else { return };
    match Db::open(path, models(5)) {
        Ok(_) => tell("migrated").unwrap(),
        Err(Error::Store(StoreError::DiskFull | StoreError::DiskFailed { .. })) => tell("full").unwrap(),
        Err(error) => tell(&format!("{error:?}")).unwrap(),
    }
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_is_told_and_the_file_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    app.db().insert_all((0..3000).map(|n| v1::Todo { left: format!("{n:0>1500}"), ..v1::Todo::default() })).unwrap();
    app.close();
    let template = child("faults::migrates_on_a_full_disk", app.path.to_str().unwrap()).unwrap();
    // Each limit is in blocks of 512 bytes; the signal that would end the process is ignored.
    for blocks in [2000, 6000] {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")])
            .arg(template.get_program());
        shell.args(template.get_args());
        shell.envs(template.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.lines().find_map(told), Some("full"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(state(&app.path), (1, true, false));
    }
    // With room again, it is made.
    app.open(models(1));
    app.assert_sound();
    app.open(models(5));
    app.assert_sound();
    assert_eq!(app.db().count::<v5::Todo>().unwrap(), 3000);
}

#[test]
fn of_two_that_open_an_older_file_at_once_one_migrates_it_and_both_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    fill(app.db());
    app.db().insert_all((0..3000).map(|_| v1::Todo::default())).unwrap();
    app.close();
    let opened = thread::scope(|scope| {
        let open = || Db::open(&app.path, models(5)).unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<Db>>()
    });
    for db in &opened {
        db.insert(v5::Todo::default()).unwrap();
    }
    let counts: Vec<u64> = opened.iter().map(|db| db.count::<v5::Todo>().unwrap()).collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    assert!(opened[3].verify().unwrap().is_sound());
}

mod fragile {
    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "sizes", version = 1)]
    pub(super) struct Size {
        #[synced(id)]
        pub(super) id: Uuid,
        pub(super) size: String,
        pub(super) note: Option<String>,
    }

    pub(super) mod upgraded {
        use cfost::prelude::*;

        /// A function that isn't total, as it should be: it panics on what isn't a number, and NaN can't be stored.
        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "sizes", version = 2)]
        pub(in super::super) struct Size {
            #[synced(id)]
            pub(in super::super) id: Uuid,
            #[synced(upgrade(size, in = 2, with = |size: String| size.parse().unwrap(), back = |size: f64| size.to_string()))]
            pub(in super::super) size: f64,
            pub(in super::super) note: Option<String>,
        }
    }
}

use fragile::Size;
use fragile::upgraded::Size as Upgraded;

/// A row whose last write has no meaning to the next version, and one that only ever had such writes.
fn odd_sizes(db: &Db) -> [Uuid; 2] {
    let size = |size: &str| db.insert(Size { size: size.into(), ..Size::default() }).unwrap().id;
    let (fine, odd) = (size("1.5"), size("large"));
    for to in ["2.5", "NaN", "huge"] {
        db.update(fine, |row: &mut Size| row.size = to.into()).unwrap();
    }
    [fine, odd]
}

#[test]
fn a_write_that_a_function_fails_on_counts_as_none_and_the_one_before_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("sizes.db"), models![Size]);
    let [fine, odd] = odd_sizes(app.db());
    app.open(models![Upgraded]);
    assert_eq!(app.db().get::<Upgraded>(fine).unwrap().unwrap().size, 2.5);
    // A row whose required field has no value isn't shown.
    assert_eq!(app.db().get::<Upgraded>(odd).unwrap(), None);
    app.assert_sound();
    app.db().insert(Upgraded { id: odd, size: 3.0, ..Upgraded::default() }).unwrap();
    app.assert_sound();
}

#[test]
fn a_device_that_is_logged_out_migrates_its_file_and_makes_at_the_login_what_needs_the_oplog() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("sizes.db"), models![Size]);
    let other = fleet::Device::in_memory("other", models![Upgraded], 9).unwrap();
    fleet::pair(app.db(), &other.db, &other.host).unwrap();
    let [fine, _] = odd_sizes(app.db());
    app.db().register_user("Anna", "anna@example.org", "correct horse battery").unwrap();
    // What the newer app writes can't be shown yet.
    let new = other.db.insert(Upgraded { size: 7.5, ..Upgraded::default() }).unwrap();
    fleet::sync(app.db(), &other.db).unwrap();
    let logged_out = |app: &mut App, models: [Model; 1]| {
        app.db().logout().unwrap();
        app.open(models);
        assert!(matches!(app.db().insert(Upgraded::default()), Err(Error::LoggedOut)));
    };
    logged_out(&mut app, models![Upgraded]);
    app.open(models![Upgraded]);
    app.db().login("anna@example.org", "correct horse battery").unwrap();
    assert_eq!(app.db().get::<Upgraded>(fine).unwrap().unwrap().size, 2.5);
    assert_eq!(app.db().get::<Upgraded>(new.id).unwrap().unwrap().size, 7.5);
    app.assert_sound();
}

#[test]
fn rows_that_need_nothing_but_themselves_are_shown_while_the_device_is_logged_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    fill(app.db());
    let shown = app.db().count::<v1::Todo>().unwrap();
    app.db().register_user("Anna", "anna@example.org", "correct horse battery").unwrap();
    app.db().logout().unwrap();
    app.open(models(4));
    assert_eq!(app.db().count::<super::apps::v4::Todo>().unwrap(), shown);
    app.open(models(5));
    app.db().login("anna@example.org", "correct horse battery").unwrap();
    assert!(app.db().count::<v5::Todo>().unwrap() > shown);
    app.assert_sound();
}
