//! A reference goes on naming the same rows when its field gets another name or another type.

use cfost::prelude::*;
use cfost_tests::fleet::{Device, pair, sync};

mod v1 {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "projects")]
    pub(super) struct Project {
        #[synced(id)]
        pub id: Uuid,
        pub name: String,
    }

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos")]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(references = Project, index)]
        pub project: Uuid,
    }
}

mod v2 {
    use super::*;

    pub(super) use super::v1::Project;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(references = Project, index, renamed_from("project", in = 2))]
        pub folder: Uuid,
    }
}

mod v3 {
    use super::*;

    pub(super) use super::v1::Project;

    /// A todo need not be in a folder any more.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "todos", version = 3)]
    pub(super) struct Todo {
        #[synced(id)]
        pub id: Uuid,
        pub title: String,
        #[synced(references = Project, index, renamed_from("project", in = 2))]
        #[synced(upgrade(folder, in = 3, with = Some, back = Option::unwrap_or_default))]
        pub folder: Option<Uuid>,
    }
}

/// A device on each version, all of one user.
fn devices() -> [Device; 3] {
    let first = Device::in_memory("one", models![v1::Project, v1::Todo], 1).unwrap();
    let second = Device::in_memory("two", models![v2::Project, v2::Todo], 2).unwrap();
    let third = Device::in_memory("three", models![v3::Project, v3::Todo], 3).unwrap();
    pair(&first.db, &second.db, &second.host).unwrap();
    pair(&first.db, &third.db, &third.host).unwrap();
    [first, second, third]
}

fn meet(devices: &[Device; 3]) {
    for (a, b) in [(0, 1), (1, 2), (0, 2), (0, 1)] {
        sync(&devices[a].db, &devices[b].db).unwrap();
    }
}

/// The titles of the todos in the house, as each device finds them.
fn in_the_house([first, second, third]: &[Device; 3]) -> [Vec<String>; 3] {
    let of_first = v1::Todo::query().filter(|t| t.project.matches(|p| p.name.eq("House"))).all(&first.db).unwrap();
    let of_second = v2::Todo::query().filter(|t| t.folder.matches(|p| p.name.eq("House"))).all(&second.db).unwrap();
    let of_third = v3::Todo::query().filter(|t| t.folder.matches(|p| p.name.eq("House"))).all(&third.db).unwrap();
    let mut titles = [
        of_first.into_iter().map(|todo| todo.title).collect::<Vec<_>>(),
        of_second.into_iter().map(|todo| todo.title).collect(),
        of_third.into_iter().map(|todo| todo.title).collect(),
    ];
    titles.iter_mut().for_each(|titles| titles.sort());
    titles
}

#[test]
fn a_reference_names_the_same_row_on_devices_of_all_versions() {
    let devices = devices();
    let [first, second, third] = &devices;
    let house = first.db.insert(v1::Project { name: "House".into(), ..v1::Project::default() }).unwrap().id;
    first.db.insert(v1::Todo { title: "a".into(), project: house, ..v1::Todo::default() }).unwrap();
    meet(&devices);
    second.db.insert(v2::Todo { title: "b".into(), folder: house, ..v2::Todo::default() }).unwrap();
    third.db.insert(v3::Todo { title: "c".into(), folder: Some(house), ..v3::Todo::default() }).unwrap();
    meet(&devices);
    assert_eq!(in_the_house(&devices), [["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c"]]);
}

#[test]
fn rows_hide_with_the_row_that_they_name_on_devices_of_all_versions() {
    let devices = devices();
    let [first, second, third] = &devices;
    let house = first.db.insert(v1::Project { name: "House".into(), ..v1::Project::default() }).unwrap().id;
    let todo = first.db.insert(v1::Todo { title: "a".into(), project: house, ..v1::Todo::default() }).unwrap().id;
    third.db.insert(v3::Todo { title: "loose".into(), ..v3::Todo::default() }).unwrap();
    meet(&devices);
    devices.iter().for_each(|device| device.clock.advance(1000));
    third.db.delete::<v3::Project>(house).unwrap();
    meet(&devices);
    assert_eq!(first.db.get::<v1::Todo>(todo).unwrap(), None);
    assert_eq!(second.db.get::<v2::Todo>(todo).unwrap(), None);
    assert_eq!(third.db.get::<v3::Todo>(todo).unwrap(), None);
    assert_eq!(third.db.count::<v3::Todo>().unwrap(), 1, "what is in no folder stays");
    devices.iter().for_each(|device| device.clock.advance(1000));
    let again = v1::Project { id: house, name: "House".into() };
    first.db.insert(again).unwrap();
    meet(&devices);
    assert_eq!(in_the_house(&devices), [["a"], ["a"], ["a"]]);
    for device in &devices {
        assert!(device.db.verify().unwrap().is_sound());
    }
}
