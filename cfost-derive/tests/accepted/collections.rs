//! Sets, maps, lists, texts and what else a model says beside its columns.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost::schema::{DeletePolicy, MergeRule, OnDelete, Reference, RowDecoder, RowEncoder, SqlType};

#[derive(SyncedValue, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tag(String);

#[derive(SyncedValue, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Day {
    Monday,
    #[synced(other)]
    Other,
}

type Tags = BTreeSet<Tag>;
type Notes = cfost::Text;

#[derive(SyncedValue, Debug, Clone, Copy, PartialEq, Eq)]
struct ProjectId(Uuid);

#[derive(Synced, Debug, Clone, PartialEq)]
#[synced(delete = wins, history)]
struct Project {
    #[synced(id(from(owner, r#type)))]
    id: ProjectId,
    owner: String,
    r#type: i64,
    #[synced(references = Self)]
    parent: Option<ProjectId>,
}

#[derive(Synced, Debug, Clone, PartialEq)]
struct Task {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Project, on_delete = cascade, immutable)]
    project: ProjectId,
    #[synced(references = self::Project, on_delete = keep)]
    template: Option<ProjectId>,
    #[synced(search)]
    title: Option<Tag>,
    #[crdt(set)]
    #[synced(index)]
    r#in: Tags,
    #[crdt(map)]
    #[synced(column = "hours_per_day")]
    hours: BTreeMap<Day, Option<f64>>,
    #[crdt(list)]
    steps: List<Option<Tag>>,
    #[crdt(counter)]
    votes: i64,
    #[crdt(text)]
    #[synced(search, column = "body")]
    notes: Notes,
}

#[test]
fn what_has_elements_is_no_column() {
    assert_eq!(crate::columns::<Task>(), ["project", "template", "title", "votes", "body"]);
    let [tags, hours, steps] = Task::SCHEMA.collections else { panic!("three collections") };
    assert_eq!((tags.field, tags.name, tags.rule, tags.indexed), ("in", "in", MergeRule::Set, true));
    assert_eq!((tags.key, tags.value), (SqlType::Text, None));
    assert_eq!((hours.field, hours.name, hours.rule), ("hours", "hours_per_day", MergeRule::Map));
    assert_eq!((hours.key, hours.value, hours.indexed), (SqlType::Text, Some((SqlType::Real, true)), false));
    assert_eq!((steps.rule, steps.value), (MergeRule::List, Some((SqlType::Text, true))));
    assert!(Task::SCHEMA.indexes.is_empty(), "an index over elements is the collection's");
}

#[test]
fn what_a_field_refers_to_is_in_the_schema() {
    let [project, template, title, _, _] = Task::SCHEMA.columns else { panic!("five columns") };
    assert_eq!(project.reference, Some(Reference { table: "project", on_delete: OnDelete::Cascade }));
    assert_eq!(template.reference, Some(Reference { table: "project", on_delete: OnDelete::Keep }));
    assert_eq!((project.immutable, template.immutable, title.immutable), (true, false, false));
    let parent = &Project::SCHEMA.columns[2];
    assert_eq!(parent.reference, Some(Reference { table: "project", on_delete: OnDelete::Hide }));
}

#[test]
fn a_text_is_a_column_of_plain_text_and_may_be_searched() {
    let notes = &Task::SCHEMA.columns[4];
    assert_eq!((notes.field, notes.rule, notes.sql_type), ("notes", MergeRule::Text, SqlType::Text));
    assert_eq!(Task::SCHEMA.search, ["title", "body"]);
}

#[test]
fn what_an_id_is_made_from_never_changes() {
    assert_eq!(Project::SCHEMA.id_from, ["owner", "type"]);
    let immutable = Project::SCHEMA.columns.iter().map(|column| column.immutable);
    assert_eq!(immutable.collect::<Vec<_>>(), [true, true, false]);
    assert_eq!((Project::SCHEMA.delete, Project::SCHEMA.history), (DeletePolicy::Wins, true));
    assert_eq!((Task::SCHEMA.delete, Task::SCHEMA.history), (DeletePolicy::Latest, false));
}

/// A row of every kind of field.
fn task() -> Task {
    Task {
        id: Uuid::from_u128(1),
        project: ProjectId(Uuid::from_u128(2)),
        template: None,
        title: Some(Tag("Übung".into())),
        r#in: [Tag("b".into()), Tag("a".into())].into(),
        hours: [(Day::Monday, Some(1.5)), (Day::Other, None)].into(),
        steps: [Some(Tag("plan".into())), None].into(),
        votes: 3,
        notes: "Naïve".into(),
    }
}

#[test]
fn newtypes_and_enums_are_elements_and_go_there_and_back() {
    let row = task();
    let mut encoder = RowEncoder::new(Task::SCHEMA);
    (Task::MAPPING.encode)(&row, &mut encoder);
    let values = encoder.finish().expect("the row can be stored");
    assert_eq!((values.columns.len(), values.collections.len()), (5, 3));
    let mut decoder = RowDecoder::new(Task::SCHEMA, values.clone());
    assert_eq!((Task::MAPPING.decode)(row.id, &mut decoder).expect("the row can be read"), row);
}

/// As [`Task`], without a reference that would have to be there.
#[derive(Synced, Debug, Clone, PartialEq)]
struct Draft {
    #[synced(id)]
    id: Uuid,
    #[crdt(set)]
    r#type: Tags,
    #[crdt(map)]
    hours: BTreeMap<Day, Option<f64>>,
    #[crdt(list)]
    steps: List<Option<Tag>>,
    #[crdt(text)]
    notes: Notes,
}

#[test]
fn a_database_keeps_what_collections_and_texts_hold() {
    let Task { id, r#in, hours, steps, notes, .. } = task();
    let draft = Draft { id, r#type: r#in, hours, steps, notes };
    assert_eq!(crate::kept(draft.clone()), draft);
}

#[test]
fn an_element_that_cant_be_stored_is_an_error_with_its_field() {
    let row = Task { hours: [(Day::Monday, Some(f64::NAN))].into(), ..task() };
    let mut encoder = RowEncoder::new(Task::SCHEMA);
    (Task::MAPPING.encode)(&row, &mut encoder);
    assert_eq!(encoder.finish().unwrap_err(), ("hours", cfost::schema::ValueError::Nan));
}
