//! The simulator that an app tests its own versions with finds nothing in ours, and finds what is wrong.

mod grown;
mod ruled;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cfost::Error;
use cfost::prelude::*;
use cfost::schema::Model;
use cfost::store::StoreError;
use cfost::testing::{Fleet, FleetDevice, FleetFailure, FleetOptions, fleet};

mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[crdt(counter)]
        pub votes: i64,
    }
}

mod v2 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[crdt(counter)]
        pub votes: i64,
    }

    /// A model that came with version 2.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "lists", version = 1)]
    pub(super) struct List {
        #[synced(id(from(name)))]
        pub id: Uuid,
        pub name: String,
        #[synced(immutable)]
        pub colour: Option<i64>,
        pub note: Option<String>,
    }
}

mod v3 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(since = 2, backfill = 7)]
        pub rank: i64,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[crdt(counter)]
        pub votes: i64,
        #[synced(since = 3)]
        #[crdt(map)]
        pub scores: BTreeMap<String, i64>,
        #[synced(since = 3)]
        #[crdt(list)]
        pub lines: List<String>,
        #[synced(since = 3, references = List_, on_delete = keep)]
        pub list: Option<Uuid>,
    }

    pub(super) use super::v2::List as List_;
}

#[test]
fn three_versions_of_an_app_agree_after_every_story() {
    fleet(&[&models![v1::Todo], &models![v2::Todo, v2::List], &models![v3::Todo, v2::List]]);
}

/// An app whose models have changed in every way.
fn grown() -> FleetOptions {
    Fleet::of(&grown::versions().each_ref().map(Vec::as_slice))
}

#[test]
fn renamed_removed_and_upgraded_fields_and_models_agree_after_every_story() {
    grown().run();
}

#[test]
fn values_that_become_counters_and_texts_agree_after_every_story() {
    Fleet::of(&ruled::versions().each_ref().map(Vec::as_slice)).run();
}

/// Texts that merge, also ones that come with a later version and get another name.
#[cfg(feature = "text")]
mod noted {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "notes", version = 1)]
    pub(super) struct Note {
        #[synced(id)]
        pub id: Uuid,
        #[crdt(text)]
        pub body: Text,
    }

    pub(super) mod v2 {
        use super::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "notes", version = 2)]
        pub(in super::super) struct Note {
            #[synced(id)]
            pub id: Uuid,
            #[synced(since = 2)]
            #[crdt(text)]
            pub summary: Text,
            #[crdt(text)]
            #[synced(renamed_from("body", in = 2), search)]
            pub content: Text,
        }
    }

    pub(super) mod v3 {
        use super::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "notes", version = 3, removed(#[crdt(text)] summary, since = 2, in = 3))]
        pub(in super::super) struct Note {
            #[synced(id)]
            pub id: Uuid,
            #[crdt(text)]
            #[synced(renamed_from("body", in = 2), search)]
            pub content: Text,
        }
    }
}

#[cfg(feature = "text")]
#[test]
fn texts_agree_after_every_story() {
    fleet(&[&models![noted::Note], &models![noted::v2::Note], &models![noted::v3::Note]]);
}

/// Versions 1 to 3, each with the models that it had.
fn app() -> FleetOptions {
    Fleet::of(&[&models![v1::Todo], &models![v2::Todo, v2::List], &models![v3::Todo, v2::List]])
}

#[test]
fn a_story_of_two_hundred_steps_and_five_devices_is_soon_played() {
    let began = Instant::now();
    let report = app().devices(5).steps(200).seed(7).run();
    let took = began.elapsed();
    assert!(report.steps > 100 && report.changes > 50, "{report:?}");
    // A tenth of that on a machine that does nothing else.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn the_same_seed_plays_the_same_story_byte_for_byte() {
    let play = |seed| app().devices(3).steps(60).seed(seed).run();
    let (once, again, another) = (play(11), play(11), play(12));
    assert_eq!(once, again);
    assert_ne!(once.digest, another.digest);
}

#[test]
fn one_device_alone_is_a_fleet_and_so_is_one_version() {
    Fleet::of(&[&models![v1::Todo]]).devices(1).seed(1).run();
    Fleet::of(&[&models![v1::Todo]]).devices(3).seed(2).run();
    Fleet::of(&[&models![]]).seed(3).run();
}

#[test]
fn a_story_of_the_apps_own_is_told_with_devices_on_chosen_versions() -> cfost::Result<()> {
    let mut fleet = app().installed([0, 2, 1]).start()?;
    let names: Vec<&str> = fleet.devices().iter().map(FleetDevice::name).collect();
    assert_eq!(names, ["phone", "laptop", "tablet"]);
    let milk = fleet.device(0).insert(v1::Todo { title: "Buy milk".into(), ..v1::Todo::default() })?;
    fleet.sync(0, 1)?;
    fleet.device(1).update(milk.id, |todo: &mut v3::Todo| {
        todo.rank = 3;
        todo.lines.push("two bottles".into());
    })?;
    fleet.device(2).clock().advance(1000);
    fleet.meet()?;
    assert_eq!(fleet.device(2).get::<v2::Todo>(milk.id)?.unwrap().rank, 3);
    fleet.check()?;
    // It goes on after a check, and what was written before a restart and an upgrade is there.
    fleet.device(0).update(milk.id, |todo: &mut v1::Todo| todo.votes += 2)?;
    fleet.restart(0)?;
    fleet.upgrade(0, 2)?;
    assert_eq!(fleet.device(0).version(), 2);
    let shown = fleet.device(0).get::<v3::Todo>(milk.id)?.unwrap();
    assert_eq!((shown.rank, shown.votes, shown.lines.len()), (3, 2, 1));
    fleet.check()?;
    assert_eq!(fleet.device(1).get::<v3::Todo>(milk.id)?, Some(shown));
    Ok(())
}

#[test]
fn an_upgrade_that_is_refused_leaves_the_device_as_it_was() -> cfost::Result<()> {
    let mut fleet = app().installed([1]).start()?;
    fleet.device(0).insert(v2::Todo::default())?;
    let newer = fleet.upgrade(0, 0).unwrap_err();
    assert!(matches!(newer, Error::Store(StoreError::NewerModel { found: 2, known: 1, .. })), "{newer}");
    assert!(fleet.upgrade(0, 3).unwrap_err().to_string().contains("version 4 was asked for, the fleet has 3"));
    assert_eq!((fleet.device(0).version(), fleet.device(0).count::<v2::Todo>()?), (1, 1));
    fleet.check()
}

mod careless {
    use super::*;

    /// The field's first release said `backfill = 7`: rows from before show 7 there, and 8 here.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(since = 2, backfill = 8)]
        pub rank: i64,
        #[synced(since = 2)]
        #[crdt(set)]
        pub tags: BTreeSet<u8>,
        #[crdt(counter)]
        pub votes: i64,
    }
}

#[test]
fn a_version_that_rewrites_the_one_before_is_found_without_a_story() {
    let found = Fleet::of(&[&models![v1::Todo], &models![v2::Todo], &models![careless::Todo]]).try_run().unwrap_err();
    // No device needs to have written anything for that.
    assert!(found.story.is_empty() && found.what.contains("can't upgrade to v3"), "{found}");
    assert!(found.what.contains("column 'rank' had the default 7 and has 8"), "{found}");
    assert!(found.to_string().contains(&format!("CFOST_SEED={} cargo test", found.seed)), "{found}");
}

mod planted {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 1)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        pub minutes: i64,
        pub done: bool,
        #[crdt(counter)]
        pub votes: i64,
    }

    /// Gives another value each time that it is asked.
    fn counted(minutes: i64) -> i64 {
        static ASKED: AtomicI64 = AtomicI64::new(0);
        minutes.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) mod impure {
        use super::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "todos", version = 2)]
        pub(in super::super) struct Todo {
            #[synced(id)]
            pub id: Uuid,
            pub title: String,
            #[synced(since = 2, upgrade(minutes, with = counted, back = |seconds| seconds))]
            pub seconds: i64,
            pub done: bool,
            #[crdt(counter)]
            pub votes: i64,
        }
    }

    pub(super) mod partial {
        use super::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "todos", version = 2)]
        pub(in super::super) struct Todo {
            #[synced(id)]
            pub id: Uuid,
            pub title: String,
            #[synced(since = 2, upgrade(minutes, with = |minutes: i64| minutes.checked_mul(60).unwrap(), back = |s| s / 60))]
            pub seconds: i64,
            pub done: bool,
            #[crdt(counter)]
            pub votes: i64,
        }
    }
}

/// The failure that a fleet of two versions comes to.
fn found(newer: &[Model]) -> FleetFailure {
    let failure = Fleet::of(&[&models![planted::Todo], newer]).devices(5).try_run().unwrap_err();
    assert!(failure.to_string().contains(&format!("CFOST_SEED={} cargo test", failure.seed)), "{failure}");
    failure
}

#[test]
fn an_upgrade_that_is_not_a_function_of_the_value_alone_is_found_and_told_in_a_few_steps() {
    let failure = found(&models![planted::impure::Todo]);
    assert!((1..=5).contains(&failure.story.len()), "{failure}");
    assert!(failure.what.contains("Todo "), "{failure}");
}

#[test]
fn an_upgrade_that_is_not_for_every_value_is_found_and_told_in_a_few_steps() {
    let failure = found(&models![planted::partial::Todo]);
    assert!((1..=5).contains(&failure.story.len()), "{failure}");
    assert!(failure.what.contains("the upgrade of 'seconds' panics when it is given "), "{failure}");
}

#[test]
fn an_upgrade_is_tried_on_the_values_that_the_app_gives_for_a_field() {
    let fleet = || Fleet::of(&[&models![planted::Todo], &models![planted::partial::Todo]]);
    let report = fleet().values("todos", "minutes", [1_i64, 5, 60]).steps(60).run();
    assert!(report.steps > 100, "{report:?}");
    assert!(fleet().values("todos", "minutes", [i64::MAX]).try_run().is_err());
}
