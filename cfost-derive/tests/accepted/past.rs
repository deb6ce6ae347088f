//! What fields were in earlier versions.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost::schema::{Change, Constant, MergeRule, Past, SqlType, Value, ValueRef};

use super::{kept, read, stored};

#[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq)]
pub enum Level {
    Low,
    High,
    #[default]
    #[synced(other)]
    Other,
}

fn level(rank: i64) -> Level {
    if rank > 9 { Level::High } else { Level::Low }
}

fn rank(level: Level) -> i64 {
    match level {
        Level::High => 10,
        Level::Low | Level::Other => 0,
    }
}

/// A model that has changed in all ways that there are.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 5, index(title, level))]
#[synced(removed(done: bool = false, in = 3), removed(note, in = 4, since = 2, renamed_from("remark", in = 3)))]
#[synced(removed(#[crdt(set)] labels, in = 2), removed(#[crdt(map)] marks: BTreeMap<String, Option<i64>>, in = 5))]
#[synced(removed(#[crdt(counter)] likes, in = 3), removed(#[crdt(text)] body, in = 3, since = 2))]
#[synced(removed(weight: f64 = 1.0, in = 5, upgrade(weight, in = 3, with = |kg: i32| f64::from(kg), back = |_| 0)))]
pub struct Todo {
    #[synced(id)]
    pub id: Uuid,
    #[synced(renamed_from("name", in = 2), renamed_from("caption", in = 4))]
    pub title: String,
    #[synced(since = 3, upgrade(rank, with = level, back = rank))]
    pub level: Level,
    #[synced(upgrade(rating, in = 4, with = Some, back = |rating| rating.unwrap_or(-1)))]
    pub rating: Option<i64>,
    #[synced(since = 2, backfill = "", upgrade(r#type, in = 3, with = |kind: Option<String>| kind.unwrap_or_default()))]
    pub r#type: String,
    #[synced(index, references = Self, renamed_from("above", in = 2))]
    pub parent: Option<Uuid>,
    #[crdt(counter, changed_from(lww, in = 3))]
    pub votes: i32,
    #[crdt(changed_from(lww, in = 5), text)]
    #[synced(search, renamed_from("description", in = 2))]
    pub text: Text,
    #[crdt(set)]
    #[synced(index, renamed_from("flags", in = 2), renamed_from("words", in = 3))]
    pub tags: BTreeSet<String>,
    #[synced(renamed_from("size", in = 2))]
    #[synced(upgrade(length, in = 3, with = |size: i64| size.to_string(), back = |size: String| size.parse().unwrap_or(0)))]
    #[synced(upgrade(length, in = 5, with = |size: String| Some(size), back = Option::unwrap_or_default))]
    pub length: Option<String>,
}

/// A form, in a line: its names, its versions, its type and rule, and what became of it.
fn told(past: &Past) -> String {
    let null = if past.nullable { " NULL" } else { "" };
    let of = if past.typed { format!("{}{null}", past.sql_type.name()) } else { "?".into() };
    let (name, op_name, since, until) = (past.name, past.op_name, past.since, past.until);
    format!("{name}/{op_name} {since}..{until} {of} {} {:?} {}", past.rule, past.change, past.functions)
}

fn past_of(field: &str) -> (&'static str, Vec<String>) {
    let column = Todo::SCHEMA.columns.iter().find(|column| column.field == field).expect("the field is a column");
    (column.op_name, column.past.iter().map(told).collect())
}

#[test]
fn a_renamed_column_is_called_by_its_first_name_in_ops() {
    let (op_name, past) = past_of("title");
    assert_eq!(op_name, "name");
    assert_eq!(past, ["caption/name 2..4 TEXT lww Renamed ", "name/name 1..2 TEXT lww Renamed "]);
    let (op_name, past) = past_of("parent");
    assert_eq!((op_name, past), ("above", vec!["above/above 1..2 BLOB NULL lww Renamed ".into()]));
}

#[test]
fn an_upgraded_column_begins_another_one_in_ops() {
    let (op_name, past) = past_of("level");
    assert_eq!(op_name, "level");
    assert_eq!(past, ["rank/rank 1..3 INTEGER lww Upgraded { back: true } with = level, back = rank"]);
    let (op_name, past) = past_of("rating");
    assert_eq!(op_name, "rating@4");
    assert_eq!(
        past,
        ["rating/rating 1..4 INTEGER lww Upgraded { back: true } with = Some, back = |rating| rating.unwrap_or(-1)"]
    );
    let (op_name, past) = past_of("type");
    assert_eq!(op_name, "type@3");
    assert_eq!(
        past,
        ["type/type 2..3 TEXT NULL lww Upgraded { back: false } \
          with = |kind: Option<String>| kind.unwrap_or_default()"]
    );
}

#[test]
fn renames_and_upgrades_go_together() {
    let (op_name, past) = past_of("length");
    assert_eq!(op_name, "length@5");
    assert_eq!(
        past,
        [
            "length/length 3..5 TEXT lww Upgraded { back: true } \
             with = |size: String| Some(size), back = Option::unwrap_or_default",
            "length/size 2..3 INTEGER lww Upgraded { back: true } \
             with = |size: i64| size.to_string(), back = |size: String| size.parse().unwrap_or(0)",
            "size/size 1..2 INTEGER lww Renamed ",
        ]
    );
}

#[test]
fn a_changed_rule_keeps_what_ops_call_the_column() {
    assert_eq!(past_of("votes"), ("votes", vec!["votes/votes 1..3 INTEGER lww Rule { back: false } ".into()]));
    let (op_name, past) = past_of("text");
    assert_eq!(op_name, "description");
    assert_eq!(
        past,
        ["text/description 2..5 TEXT lww Rule { back: false } ", "description/description 1..2 TEXT lww Renamed "]
    );
}

#[test]
fn what_was_removed_is_known_with_what_older_versions_read() {
    let removed: Vec<Vec<String>> = Todo::SCHEMA.removed.iter().map(|forms| forms.iter().map(told).collect()).collect();
    assert_eq!(
        removed,
        [
            vec!["done/done 1..3 INTEGER lww Removed { filler: Some(Integer(0)) } "],
            vec!["note/remark 3..4 ? lww Removed { filler: None } ", "remark/remark 2..3 ? lww Renamed "],
            vec!["likes/likes 1..3 INTEGER counter Removed { filler: None } "],
            vec!["body/body 2..3 TEXT text Removed { filler: None } "],
            vec![
                "weight/weight@3 3..5 REAL lww Removed { filler: Some(Real(1.0)) } ",
                "weight/weight 1..3 INTEGER lww Upgraded { back: true } with = |kg: i32| f64::from(kg), back = |_| 0"
            ],
        ]
    );
    let [labels, marks] = Todo::SCHEMA.removed_collections else { panic!("two collections were removed") };
    assert_eq!((labels.name, labels.op_name, labels.rule), ("labels", "labels", MergeRule::Set));
    assert_eq!((labels.since, labels.until, labels.elements), (1, 2, None));
    let elements = marks.elements.expect("the attribute says the type");
    assert_eq!((elements.key, elements.value), (SqlType::Text, Some((SqlType::Integer, true))));
}

#[test]
fn a_renamed_collection_is_called_by_its_first_name_in_ops() {
    let [tags] = Todo::SCHEMA.collections else { panic!("there is one collection") };
    assert_eq!((tags.name, tags.op_name), ("tags", "flags"));
    let past: Vec<(&str, u32)> = tags.past.iter().map(|past| (past.name, past.until)).collect();
    assert_eq!(past, [("words", 3), ("flags", 2)]);
}

#[test]
fn upgrades_convert_stored_values_both_ways() {
    let converted = |field: &str, at: usize, value: Value| {
        let column = Todo::SCHEMA.columns.iter().find(|column| column.field == field).expect("the field is a column");
        let Change::Upgraded { with, back } = column.past[at].change else { panic!("{field} was upgraded") };
        let new = with(value.as_ref()).expect("the value is converted");
        let old = back.map(|back| back(new.as_ref()).expect("the value is converted back"));
        (new, old)
    };
    assert_eq!(converted("level", 0, Value::Integer(12)), (Value::Text("High".into()), Some(Value::Integer(10))));
    assert_eq!(converted("rating", 0, Value::Integer(3)), (Value::Integer(3), Some(Value::Integer(3))));
    assert_eq!(converted("type", 0, Value::Null), (Value::Text(String::new()), None));
    assert_eq!(converted("length", 1, Value::Integer(3)), (Value::Text("3".into()), Some(Value::Integer(3))));
    let Change::Upgraded { with, .. } =
        Todo::SCHEMA.columns.iter().find(|column| column.field == "level").unwrap().past[0].change
    else {
        panic!("it was upgraded")
    };
    assert!(with(ValueRef::Text("x".into())).is_err());
}

#[test]
fn columns_are_after_those_of_the_versions_before_whatever_they_were() {
    let since: Vec<(&str, u32, u32)> =
        Todo::SCHEMA.columns.iter().map(|column| (column.name, column.since, column.form_since())).collect();
    assert_eq!(
        since,
        [
            ("title", 1, 4),
            ("level", 1, 3),
            ("rating", 1, 4),
            ("parent", 1, 2),
            ("votes", 1, 3),
            ("text", 1, 5),
            ("length", 1, 5),
            ("type", 2, 3),
        ]
    );
    let row = Todo { title: "a".into(), level: Level::High, ..Todo::default() };
    assert_eq!(stored(&row)[1], Value::Text("High".into()));
    assert_eq!(read::<Todo>(row.id, &stored(&row)), row);
    let filler = Todo::SCHEMA.removed[0][0].change;
    assert!(matches!(filler, Change::Removed { filler: Some(Constant::Integer(0)) }));
}

/// What devices on earlier versions read may be an enum's variant, as text.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(version = 3, removed(level: Level = "High", in = 3), removed(#[crdt(set)] labels, in = 2))]
#[synced(removed(late: i64, since = 2, in = 3), removed(data: Vec<u8> = b"\x00", in = 2), removed(low: i8 = -1, in = 2))]
pub struct Task {
    #[synced(id)]
    pub id: Uuid,
    #[synced(renamed_from("name", in = 2))]
    pub title: String,
}

#[test]
fn a_database_keeps_what_has_a_past() {
    let tags = BTreeSet::from(["a".to_owned()]);
    let row = Todo { title: "a".into(), level: Level::High, votes: 3, text: "b".into(), tags, ..Todo::default() };
    let todo = kept(row);
    assert_eq!((todo.title.as_str(), todo.level, todo.votes), ("a", Level::High, 3));
    assert_eq!((todo.text.as_str(), todo.tags.len(), todo.length), ("b", 1, None));
    let task = kept(Task { title: "a".into(), ..Task::default() });
    assert_eq!(task.title, "a");
    let fillers: Vec<Constant> = Task::SCHEMA
        .removed
        .iter()
        .filter_map(|forms| match forms[0].change {
            Change::Removed { filler } => filler,
            _ => None,
        })
        .collect();
    assert_eq!(fillers, [Constant::Text("High"), Constant::Blob(b"\x00"), Constant::Integer(-1)]);
}
