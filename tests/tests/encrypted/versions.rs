//! Encrypted fields on devices of several versions of an app.

use cfost::prelude::*;
use cfost::schema::WhyLocked;
use cfost::schema::lock::Lock;
use cfost::testing::{self, Fleet};

/// As it was released.
mod v1 {
    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "diary", version = 1)]
    pub(super) struct Day {
        #[synced(id)]
        pub(super) id: Uuid,
        pub(super) title: String,
        #[synced(encrypted)]
        pub(super) text: Encrypted<String>,
    }
}

/// The text has another name, and two more fields have come.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "diary", version = 2)]
struct Day {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[synced(encrypted, renamed_from("text", in = 2))]
    entry: Encrypted<String>,
    #[synced(encrypted, since = 2)]
    mood: Encrypted<Option<i64>>,
    #[synced(encrypted, since = 2, backfill = "nowhere")]
    place: Encrypted<String>,
}

/// The text is gone.
mod v3 {
    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "diary", version = 3)]
    #[synced(removed(entry: Option<Vec<u8>> = b"", in = 3, renamed_from("text", in = 2)))]
    pub(super) struct Day {
        #[synced(id)]
        pub(super) id: Uuid,
        pub(super) title: String,
        #[synced(encrypted, since = 2)]
        pub(super) mood: Encrypted<Option<i64>>,
        #[synced(encrypted, since = 2, backfill = "nowhere")]
        pub(super) place: Encrypted<String>,
    }
}

#[test]
fn a_field_that_is_gone_is_locked_in_new_rows_on_devices_that_still_have_it() {
    let mut fleet =
        Fleet::of(&[&models![v1::Day], &models![Day], &models![v3::Day]]).installed([0, 2]).start().unwrap();
    let day = v1::Day { title: "monday".into(), text: "rain".to_owned().into(), ..v1::Day::default() };
    let monday = fleet.device(0).insert(day).unwrap();
    let tuesday = fleet.device(1).insert(v3::Day { title: "tuesday".into(), ..v3::Day::default() }).unwrap();
    fleet.sync(0, 1).unwrap();
    fleet.sync(1, 0).unwrap();
    let old = fleet.device(0).get::<v1::Day>(tuesday.id).unwrap().unwrap();
    assert_eq!((old.title.as_str(), old.text.why_locked()), ("tuesday", Some(WhyLocked::Damaged)));
    assert_eq!(fleet.device(1).get::<v3::Day>(monday.id).unwrap().unwrap().title, "monday");
    fleet.upgrade(0, 2).unwrap();
    assert_eq!(fleet.device(0).all::<v3::Day>().unwrap(), fleet.device(1).all::<v3::Day>().unwrap());
    fleet.check().unwrap();
}

#[test]
fn a_renamed_field_opens_on_both_versions_and_a_new_one_is_what_it_says_in_rows_from_before() {
    let mut fleet = Fleet::of(&[&models![v1::Day], &models![Day]]).installed([0, 1]).start().unwrap();
    let day = v1::Day { title: "monday".into(), text: "rain".to_owned().into(), ..v1::Day::default() };
    let monday = fleet.device(0).insert(day).unwrap();
    fleet.sync(0, 1).unwrap();
    let seen = fleet.device(1).get::<Day>(monday.id).unwrap().unwrap();
    assert_eq!((seen.entry.open(), seen.mood.open()), (Some(&"rain".to_owned()), Some(&None)));
    assert_eq!(seen.place.open(), Some(&"nowhere".to_owned()));
    let edited = fleet.device(1).update(monday.id, |day: &mut Day| {
        day.entry.open_mut().unwrap().push_str(", then sun");
        day.mood = Some(7).into();
    });
    let edited = edited.unwrap();
    fleet.sync(1, 0).unwrap();
    let old = fleet.device(0).get::<v1::Day>(monday.id).unwrap().unwrap();
    assert_eq!(old.text.open(), Some(&"rain, then sun".to_owned()));
    fleet.upgrade(0, 1).unwrap();
    assert_eq!(fleet.device(0).get::<Day>(monday.id).unwrap(), Some(edited));
    fleet.check().unwrap();
}

#[test]
fn devices_of_both_versions_agree_whatever_they_write() {
    testing::fleet(&[&models![v1::Day], &models![Day], &models![v3::Day]]);
}

#[test]
fn what_was_readable_by_all_can_not_become_encrypted_and_the_lock_says_what_to_write() {
    /// The title was text that every device reads.
    #[derive(Synced)]
    #[synced(table = "diary", version = 1)]
    struct Hidden {
        #[synced(id)]
        id: Uuid,
        #[synced(encrypted)]
        title: Encrypted<String>,
        #[synced(encrypted)]
        text: Encrypted<String>,
    }
    /// The text is one that every device reads.
    #[derive(Synced)]
    #[synced(table = "diary", version = 1)]
    struct Shown {
        #[synced(id)]
        id: Uuid,
        title: String,
        text: String,
    }
    let recorded = Lock::of(&models![v1::Day]);
    assert_eq!(recorded.to_string().parse::<Lock>().unwrap(), recorded);
    assert!(recorded.to_string().contains("column text BLOB lww encrypted TEXT NOT NULL"), "{recorded}");
    let problems = recorded.compare(&Lock::of(&models![Hidden]));
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("was not encrypted and is `encrypted TEXT NOT NULL`"), "{}", told[0]);
    assert!(told[0].contains("can't be converted; write: the field `title` as it was"), "{}", told[0]);
    let shown = recorded.compare(&Lock::of(&models![Shown]));
    assert_eq!(shown.len(), 1, "{shown:?}");
    let told = shown[0].to_string();
    assert!(told.contains("`removed(text: Option<Vec<u8>> = b\"\", in = 2)`"), "{told}");
}
