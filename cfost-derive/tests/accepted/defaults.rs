//! `default`, with and without `skip`.

use std::collections::HashMap;

use cfost::prelude::*;
use cfost::schema::{Constant, Value};

use crate::read;

#[derive(SyncedValue, Debug, PartialEq)]
enum State {
    Draft,
    #[synced(other)]
    Other,
}

#[derive(Synced)]
struct Page {
    #[synced(id)]
    id: Uuid,
    #[synced(default = -7)]
    rank: i32,
    #[synced(default = "Draft")]
    state: State,
    #[synced(default = "none")]
    author: Option<String>,
    #[synced(default = true)]
    visible: bool,
    #[synced(default = 1.5)]
    zoom: f32,
    #[synced(default = b"\x00\x01")]
    blob: Vec<u8>,
    #[synced(default = 0x10_u8)]
    hex: u8,
    #[synced(skip)]
    cache: Vec<String>,
    #[synced(skip, default = HashMap::<u8, u8>::from([(1, 2)]))]
    map: HashMap<u8, u8>,
    #[synced(skip, default = { let row = 20; row + 1 })]
    block: i64,
    #[synced(skip, default = if cfg!(test) { "test" } else { "app" })]
    text: &'static str,
}

#[test]
fn a_literal_is_in_the_schema_as_what_the_database_stores() {
    let defaults: Vec<_> = Page::SCHEMA.columns.iter().map(|column| column.default.unwrap()).collect();
    let expected = [
        Constant::Integer(-7),
        Constant::Text("Draft"),
        Constant::Text("none"),
        Constant::Integer(1),
        Constant::Real(1.5),
        Constant::Blob(&[0, 1]),
        Constant::Integer(16),
    ];
    assert_eq!(defaults, expected);
    // And each is a value of its field.
    let values: Vec<Value> =
        defaults.into_iter().map(|default| cfost::schema::ValueRef::from(default).into_owned()).collect();
    let page = read::<Page>(Uuid::nil(), &values);
    assert_eq!((page.rank, page.state, page.author.as_deref()), (-7, State::Draft, Some("none")));
    assert!(page.visible);
    assert_eq!((page.zoom.to_bits(), page.blob, page.hex), (1.5_f32.to_bits(), vec![0, 1], 16));
    assert_ne!(State::Draft, State::Other);
}

#[test]
fn a_skipped_field_is_read_as_its_default_and_has_no_column() {
    let blank = [
        Value::Integer(0),
        Value::Text("x".into()),
        Value::Null,
        Value::Integer(0),
        Value::Real(0.0),
        Value::Blob(vec![]),
        Value::Integer(0),
    ];
    let page = read::<Page>(Uuid::from_u128(5), &blank);
    assert_eq!(crate::stored(&page).len(), 7);
    assert_eq!(page.id, Uuid::from_u128(5));
    assert!(page.cache.is_empty());
    assert_eq!((&page.map, page.block, page.text), (&HashMap::from([(1, 2)]), 21, "test"));
    let page = crate::kept(Page { block: 5, cache: vec!["x".into()], ..page });
    assert_eq!((page.cache.len(), page.block, page.rank), (0, 21, 0));
}
