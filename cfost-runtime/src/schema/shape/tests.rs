//! Shapes as text and back, what attributes tell of earlier versions, and differences in sentences.

use proptest::prelude::*;

use super::{
    CollectionShape, ColumnDetails, ColumnShape, ColumnType, ElementsShape, EncryptedShape, Shape, SpaceShape, diff,
};
use crate::schema::{
    Change, ColumnSchema, Constant, DeletePolicy, IndexSchema, MergeRule, ModelSchema, OnDelete, Past, Placement,
    RemovedCollection, SqlType, Value, ValueError, ValueRef,
};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-z_][a-z0-9_]{0,5}", 1 => "[a-z]{1,3}@[1-9]", 1 => any::<String>()]
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(name(), 0..3)
}

fn sql_type() -> impl Strategy<Value = SqlType> {
    prop::sample::select(vec![SqlType::Integer, SqlType::Real, SqlType::Text, SqlType::Blob])
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    (sql_type(), any::<bool>()).prop_map(|(sql_type, nullable)| ColumnType { sql_type, nullable })
}

fn rule() -> impl Strategy<Value = MergeRule> {
    use MergeRule::{Counter, List, Lww, Map, Set, Text};
    prop::sample::select(vec![Lww, Counter, Set, Map, List, Text])
}

fn literal() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        prop::num::f64::NORMAL.prop_map(Value::Real),
        any::<String>().prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(Value::Blob),
    ]
}

fn details() -> impl Strategy<Value = ColumnDetails> {
    let on_delete = prop::sample::select(vec![OnDelete::Hide, OnDelete::Cascade, OnDelete::Keep]);
    let reference = prop::option::of((name(), on_delete));
    let encrypted = (prop::option::of(name()), column_type()).prop_map(|(space, kind)| EncryptedShape { space, kind });
    let encrypted = prop::option::of(encrypted);
    (any::<bool>(), prop::option::of(literal()), reference, encrypted).prop_map(
        |(immutable, default, reference, encrypted)| ColumnDetails { immutable, default, reference, encrypted },
    )
}

fn column() -> impl Strategy<Value = ColumnShape> {
    (name(), name(), prop::option::of(column_type()), rule(), prop::option::of(details()))
        .prop_map(|(name, op_name, kind, rule, details)| ColumnShape { name, op_name, kind, rule, details })
}

fn collection() -> impl Strategy<Value = CollectionShape> {
    let elements = (sql_type(), prop::option::of(column_type())).prop_map(|(key, value)| ElementsShape { key, value });
    (name(), name(), rule(), prop::option::of(elements), prop::option::of(any::<bool>()))
        .prop_map(|(name, op_name, rule, elements, indexed)| CollectionShape { name, op_name, rule, elements, indexed })
}

fn shape() -> impl Strategy<Value = Shape> {
    let columns = prop::collection::vec(column(), 0..5);
    let collections = prop::collection::vec(collection(), 0..3);
    let space = prop_oneof![Just(SpaceShape::Home), Just(SpaceShape::Row), name().prop_map(SpaceShape::Column)];
    let delete = prop::sample::select(vec![DeletePolicy::Latest, DeletePolicy::Wins]);
    let indexes = prop::option::of(prop::collection::vec(prop::collection::vec(name(), 1..3), 0..3));
    (name(), columns, collections, names(), space, delete, indexes).prop_map(
        |(id, mut columns, mut collections, id_from, space, delete, indexes)| {
            columns.sort_by(|a, b| a.name.cmp(&b.name));
            columns.dedup_by(|a, b| a.name == b.name);
            collections.sort_by(|a, b| a.name.cmp(&b.name));
            collections.dedup_by(|a, b| a.name == b.name);
            Shape { id, columns, collections, id_from, space, delete, indexes }
        },
    )
}

const LINES: &str =
    "(id [a-c]{1,2}\n)((column|elements|index|id from|space|space in|delete) [a-z\"?0-9 ]{0,12}\n){0,3}";

proptest! {
    #[test]
    fn every_shape_is_read_from_its_text_as_it_was(shape in shape()) {
        let text = shape.to_string();
        prop_assert_eq!(text.parse::<Shape>(), Ok(shape.clone()), "{}", text);
        prop_assert_eq!(diff(&shape, &shape), vec![]);
    }

    #[test]
    fn no_text_is_read_but_one_that_is_written(text in LINES) {
        if let Ok(shape) = text.parse::<Shape>() {
            prop_assert_eq!(shape.to_string().parse::<Shape>(), Ok(shape));
        }
    }
}

fn numbered(value: ValueRef<'_>) -> Result<Value, ValueError> {
    Ok(value.into_owned())
}

const UPGRADED: Change = Change::Upgraded { with: numbered, back: None };

/// A model with a past: `heading` became `title`, a text `rank` a number and then required, `note` and `tags` went.
static GROWN: ModelSchema = ModelSchema {
    model: "Todo",
    table: "todos",
    version: 4,
    id_column: "id",
    columns: &[
        ColumnSchema::lww::<String>("title", "title")
            .was("heading", &[Past::column::<String>(("heading", "heading"), MergeRule::Lww, (1, 2), Change::Renamed)])
            .default_to::<String>("", Constant::Text("")),
        ColumnSchema::lww::<i64>("done", "done").since(2).default_to::<i64>(0, Constant::Integer(0)),
        ColumnSchema::lww::<i64>("rank", "rank").since(4).was(
            "rank@4",
            &[
                Past::column::<Option<i64>>(("rank", "rank@3"), MergeRule::Lww, (3, 4), UPGRADED),
                Past::column::<String>(("rank", "rank"), MergeRule::Lww, (1, 3), UPGRADED),
            ],
        ),
    ],
    collections: &[],
    indexes: &[IndexSchema { columns: &["done", "title"] }],
    delete: DeletePolicy::Latest,
    id_from: &["title"],
    search: &[],
    history: false,
    space: Placement::Home,
    removed: &[&[Past::untyped(("note", "note"), MergeRule::Lww, (1, 3), Change::Removed { filler: None })]],
    removed_collections: &[RemovedCollection::untyped(("tags", "tags"), MergeRule::Set, (2, 4))],
};

#[test]
fn attributes_tell_what_each_version_was() {
    let shapes: Vec<String> = (1..=4).map(|version| Shape::of(&GROWN, version).to_string()).collect();
    let expected = [
        "id id\ncolumn heading TEXT NOT NULL lww default \"\"\ncolumn rank TEXT NOT NULL lww ?\ncolumn note ? lww ?\n\
         id from heading\nindex ?\n",
        "id id\ncolumn title TEXT NOT NULL lww called heading default \"\"\ncolumn done INTEGER NOT NULL lww default 0\n\
         column rank TEXT NOT NULL lww ?\ncolumn note ? lww ?\nelements tags set ? ?\nid from title\nindex ?\n",
        "id id\ncolumn title TEXT NOT NULL lww called heading default \"\"\ncolumn done INTEGER NOT NULL lww default 0\n\
         column rank INTEGER lww called rank@3 ?\nelements tags set ? ?\nid from title\nindex ?\n",
        "id id\ncolumn title TEXT NOT NULL lww called heading default \"\"\ncolumn done INTEGER NOT NULL lww default 0\n\
         column rank INTEGER NOT NULL lww called rank@4\nid from title\nindex done title\n",
    ];
    assert_eq!(shapes, expected);
    assert_eq!(Shape::versions(&GROWN), [1, 2, 3, 4]);
}

#[test]
fn what_attributes_do_not_say_equals_everything() {
    let file = "id id\ncolumn note TEXT lww\ncolumn heading TEXT NOT NULL lww default \"\"\n\
                column rank TEXT NOT NULL lww default \"low\"\nid from heading\nindex note\n";
    assert_eq!(diff(&file.parse().unwrap(), &Shape::of(&GROWN, 1)), vec![]);
}

#[test]
fn differences_are_told_in_sentences() {
    let was = "id id\ncolumn title TEXT NOT NULL lww\ncolumn rank INTEGER lww default 7\ncolumn votes INTEGER NOT NULL lww\n\
               column list BLOB lww references lists hide\ncolumn note TEXT lww\nelements tags set TEXT\nindex rank\nindex title\n";
    let is = "id key\ncolumn rank INTEGER NOT NULL lww\ncolumn name TEXT NOT NULL lww called title immutable\n\
              column votes INTEGER NOT NULL counter\ncolumn list BLOB lww\ncolumn open INTEGER lww\n\
              elements tags set INTEGER indexed\nelements steps list BLOB TEXT\nid from name\ndelete wins\nindex name\nindex name rank\n";
    let sentences: Vec<String> =
        diff(&was.parse().unwrap(), &is.parse().unwrap()).iter().map(ToString::to_string).collect();
    let expected = [
        "the id's column was 'id' and is 'key'",
        "column 'note' is gone: `note TEXT lww`",
        "column 'open' is new: `open INTEGER lww`",
        "column 'name' was 'title', is now immutable",
        "column 'rank' was INTEGER and is INTEGER NOT NULL, had the default 7 and has none",
        "column 'votes' merged as lww and merges as counter",
        "column 'list' named a row of 'lists' (on_delete = hide) and names no row",
        "the columns are in another order: rank, name, votes, list, which was name, rank, votes, list",
        "field 'steps' is new: `steps list BLOB TEXT`",
        "field 'tags' was a set of TEXT and is a set of INTEGER, is now indexed",
        "the id was minted and is made from name",
        "a delete is now final",
        "the index over rank is gone",
        "the index over name, rank is new",
    ];
    assert_eq!(sentences, expected);
}

#[test]
fn where_rows_live_is_a_fact_of_the_shape_and_a_renamed_column_names_the_same_space() {
    let told = |was: &str, is: &str| -> Vec<String> {
        let shape = |lines: &str| format!("id id\n{lines}").parse::<Shape>().unwrap();
        diff(&shape(was), &shape(is)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told("", "space\n"), ["its rows lived in the home space and live each in a space of its own"]);
    let list = "column list BLOB NOT NULL lww immutable\nspace in list\n";
    assert_eq!(told(list, list), [""; 0]);
    let home = list.replace("space in list\n", "");
    assert_eq!(told(list, &home), ["its rows lived in the space that list names and live in the home space"]);
    let renamed = "column of BLOB NOT NULL lww called list immutable\nspace in of\n";
    assert_eq!(told(list, renamed), ["column 'of' was 'list'"]);
}

#[test]
fn what_is_in_an_encrypted_column_and_whose_key_it_needs_are_facts_of_the_shape() {
    let told = |was: &str, is: &str| -> Vec<String> {
        let shape = |line: &str| format!("id id\ncolumn note BLOB lww{line}\n").parse::<Shape>().unwrap();
        diff(&shape(was), &shape(is)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(" encrypted TEXT NOT NULL", " encrypted TEXT NOT NULL"), [""; 0]);
    assert_eq!(told("", " encrypted TEXT"), ["column 'note' was not encrypted and is `encrypted TEXT`"]);
    assert_eq!(
        told(" encrypted for patient TEXT", " encrypted INTEGER"),
        ["column 'note' was `encrypted for patient TEXT` and is `encrypted INTEGER`"]
    );
}

#[test]
fn a_line_that_is_of_no_shape_is_refused_with_what_is_wrong() {
    let refused = |line: &str| format!("id id\n{line}\n").parse::<Shape>().unwrap_err().to_string();
    assert_eq!(refused("column"), "`column` is no line of a shape: the name is missing");
    assert_eq!(refused("column a TEXT"), "`column a TEXT` is no line of a shape: the merge rule is missing");
    assert_eq!(refused("row a"), "`row a` is no line of a shape: it is of no kind that this version of CFOST knows");
    assert_eq!(refused("index \"a"), "`index \"a` is no line of a shape: a quoted name or text isn't closed");
    assert_eq!(
        refused("column a TEXT lww lww"),
        "`column a TEXT lww lww` is no line of a shape: it goes on after its end"
    );
    let twice = refused("column a TEXT lww\ncolumn a TEXT lww");
    assert_eq!(twice, "`column a TEXT lww` is no line of a shape: the column is there twice");
    assert!("".parse::<Shape>().is_err());
}
