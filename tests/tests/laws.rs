//! The test that an app writes for its models finds nothing in ours, and finds what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost::testing;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, history)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    weight: Option<f64>,
    stamp: Vec<u8>,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "contacts", version = 1, delete = wins)]
struct Contact {
    #[synced(id(from(email)))]
    id: Uuid,
    email: String,
    #[synced(immutable)]
    first_met: Option<String>,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1, history)]
struct Note {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[crdt(map)]
    ratings: BTreeMap<i64, String>,
    #[crdt(list)]
    lines: List<String>,
}

#[test]
fn sets_maps_and_lists_keep_the_laws() {
    testing::merge_laws::<Note>();
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "folders", version = 1)]
struct Folder {
    #[synced(id)]
    id: Uuid,
    name: String,
    #[synced(references = Folder, on_delete = hide)]
    inside: Option<Uuid>,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "files", version = 1)]
struct File {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Folder, on_delete = cascade)]
    folder: Uuid,
    #[synced(references = Contact, on_delete = keep)]
    owner: Option<Uuid>,
    #[crdt(set)]
    tags: BTreeSet<String>,
}

#[test]
fn rows_that_refer_to_others_and_to_themselves_keep_the_laws() {
    testing::merge_laws::<Folder>();
    testing::merge_laws_of(models![Folder, File, Contact]);
}

#[test]
fn a_model_whose_references_lead_elsewhere_is_tested_alone() {
    testing::merge_laws::<File>();
}

#[test]
fn cells_and_counters_keep_the_laws() {
    testing::merge_laws::<Todo>();
}

#[test]
fn rows_that_are_made_from_values_and_deleted_for_good_keep_the_laws() {
    testing::merge_laws::<Contact>();
}

#[test]
fn several_models_keep_the_laws_together() {
    testing::merge_laws_of(models![Todo, Contact]);
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "boards", version = 1, space)]
struct Board {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "cards", version = 1, space = board)]
struct Card {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Board, on_delete = cascade)]
    board: Uuid,
    title: String,
}

#[test]
fn models_of_spaces_keep_the_laws_and_agree_in_fleets() {
    testing::merge_laws_of(models![Board, Card]);
    let report = testing::Fleet::of(&[&models![Board, Card]]).devices(3).steps(60).seed(7).run();
    assert!(report.changes > 0);
}
