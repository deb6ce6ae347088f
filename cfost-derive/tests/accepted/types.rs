//! The types of fields.

use cfost::prelude::*;
use cfost::schema::{MergeRule, SqlType, Value};

use crate::{kept, read, stored};

#[derive(Synced, Debug, Clone, PartialEq)]
struct Every {
    #[synced(id)]
    id: Uuid,
    flag: bool,
    small: i8,
    int: i64,
    unsigned: u64,
    size: usize,
    single: f32,
    double: f64,
    text: String,
    bytes: Vec<u8>,
    link: Uuid,
    maybe: Option<f64>,
    name: std::option::Option<std::string::String>,
    #[crdt(counter)]
    votes: i32,
    #[crdt(lww)]
    plain: i64,
}

#[test]
fn every_column_type_goes_there_and_back() {
    let row = Every {
        id: Uuid::from_u128(1),
        flag: true,
        small: -8,
        int: i64::MIN,
        unsigned: 7,
        size: 8,
        single: 0.1,
        double: -0.5,
        text: "Übung".into(),
        bytes: vec![0, 255],
        link: Uuid::from_u128(2),
        maybe: None,
        name: Some(String::new()),
        votes: -3,
        plain: 9,
    };
    assert_eq!(read::<Every>(row.id, &stored(&row)), row);
    assert_eq!(kept(row.clone()), row);
    let kinds = |kind| Every::SCHEMA.columns.iter().filter(|column| column.sql_type == kind).count();
    assert_eq!(
        [kinds(SqlType::Integer), kinds(SqlType::Real), kinds(SqlType::Text), kinds(SqlType::Blob)],
        [7, 3, 2, 2]
    );
    let nullable: Vec<_> = Every::SCHEMA.columns.iter().filter(|column| column.nullable).map(|c| c.name).collect();
    assert_eq!(nullable, ["maybe", "name"]);
    let counters: Vec<_> =
        Every::SCHEMA.columns.iter().filter(|c| c.rule == MergeRule::Counter).map(|c| c.name).collect();
    assert_eq!(counters, ["votes"]);
}

#[test]
fn a_value_that_cant_be_stored_is_an_error_with_its_field() {
    let row = Every { double: f64::NAN, ..read(Uuid::nil(), &zeros()) };
    let mut encoder = cfost::schema::RowEncoder::new(Every::SCHEMA);
    (Every::MAPPING.encode)(&row, &mut encoder);
    let (field, error) = encoder.finish().unwrap_err();
    assert_eq!((field, error), ("double", cfost::schema::ValueError::Nan));
}

#[test]
fn a_counter_that_the_devices_drove_beyond_its_type_is_still_read() {
    let mut values = zeros();
    values[12] = Value::Integer(i64::MAX);
    assert_eq!(read::<Every>(Uuid::nil(), &values).votes, i32::MAX);
}

/// The stored values of a row of zeros.
fn zeros() -> Vec<Value> {
    let (int, real) = (Value::Integer(0), Value::Real(0.0));
    let (text, bytes, id) = (Value::Text(String::new()), Value::Blob(vec![]), Value::Blob(vec![0; 16]));
    let ints = std::iter::repeat_n(int.clone(), 5);
    ints.chain([real.clone(), real, text, bytes, id, Value::Null, Value::Null, int.clone(), int]).collect()
}

#[derive(SyncedValue, Debug, Clone, Copy, PartialEq, Eq)]
struct ProjectId(Uuid);

#[derive(SyncedValue, Debug, Clone, Copy, PartialEq, Eq)]
struct Votes {
    count: i64,
}

#[derive(SyncedValue, Debug, Clone, PartialEq)]
struct Title(String);

#[derive(Synced, Debug, Clone, PartialEq)]
struct Project {
    #[synced(id)]
    id: ProjectId,
    parent: Option<ProjectId>,
    title: Title,
    #[crdt(counter)]
    votes: Votes,
}

#[test]
fn newtypes_are_columns_ids_and_counters() {
    let row = Project {
        id: ProjectId(Uuid::from_u128(1)),
        parent: Some(ProjectId(Uuid::from_u128(2))),
        title: Title("House".into()),
        votes: Votes { count: 4 },
    };
    let values = stored(&row);
    assert_eq!(values[0], Value::Blob(Uuid::from_u128(2).as_bytes().to_vec()));
    assert_eq!(values[2], Value::Integer(4));
    assert_eq!(read::<Project>(row.id, &values), row);
    assert_eq!(kept(row.clone()), row);
    assert_eq!(Project::SCHEMA.columns[2].rule, MergeRule::Counter);
}
