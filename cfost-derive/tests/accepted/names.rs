//! Names: of tables, columns and indexes.

use cfost::prelude::*;

use crate::{columns, kept, read, stored};

#[derive(Synced, Debug, PartialEq)]
struct HTTPLogEntry {
    #[synced(id)]
    r#type: Uuid,
    r#fn: String,
    größe: i64,
    #[synced(column = "select", index)]
    r#match: Option<bool>,
}

#[test]
fn a_table_is_the_struct_in_snake_case_and_a_raw_name_loses_its_mark() {
    let schema = HTTPLogEntry::SCHEMA;
    assert_eq!((schema.model, schema.table, schema.version), ("HTTPLogEntry", "http_log_entry", 1));
    assert_eq!(schema.id_column, "type");
    assert_eq!(columns::<HTTPLogEntry>(), ["fn", "größe", "select"]);
    let fields: Vec<_> = schema.columns.iter().map(|column| column.field).collect();
    assert_eq!(fields, ["fn", "größe", "match"]);
    assert_eq!(schema.indexes[0].columns, ["select"]);
    let row = HTTPLogEntry { r#type: Uuid::from_u128(1), r#fn: "main".into(), größe: -3, r#match: Some(true) };
    assert_eq!(read::<HTTPLogEntry>(row.r#type, &stored(&row)), row);
    let copy = HTTPLogEntry { r#fn: row.r#fn.clone(), ..row };
    assert_eq!(kept(copy), row);
}

#[derive(Synced)]
#[synced(table = "Pages", version = 4)]
#[synced(index(parent, id), index(title, parent))]
#[synced(index(title))]
#[allow(clippy::duplicated_attributes, reason = "the lint takes the names of fields for settings")]
struct Page {
    #[synced(id, column = "page_id")]
    id: Uuid,
    #[synced(index)]
    title: String,
    #[synced(column = "above")]
    parent: Option<Uuid>,
}

#[test]
fn an_index_names_fields_and_has_their_columns_and_the_same_index_is_made_once() {
    let schema = Page::SCHEMA;
    assert_eq!((schema.table, schema.version, schema.id_column), ("Pages", 4, "page_id"));
    let indexes: Vec<_> = schema.indexes.iter().map(|index| index.columns).collect();
    assert_eq!(indexes, [&["title"][..], &["above", "page_id"], &["title", "above"]]);
    let page = Page { id: Uuid::nil(), title: String::new(), parent: None };
    assert_eq!((page.title.as_str(), page.parent), ("", None));
    assert_eq!((Page::MAPPING.id)(&page), Uuid::nil());
    assert_ne!((Page::MAPPING.id)(&kept(page)), Uuid::nil(), "an id was minted");
}

mod private {
    //! A model whose fields only its module sees, and that the app reaches by another name.

    use cfost::prelude::*;

    /// A note.
    #[derive(Synced)]
    pub struct Note {
        #[synced(id)]
        id: Uuid,
        text: String,
    }

    impl Note {
        /// A note with this text.
        pub fn new(text: &str) -> Self {
            Self { id: Uuid::nil(), text: text.into() }
        }
    }
}

type Remark = private::Note;

#[test]
fn a_model_with_private_fields_is_used_from_outside_and_by_an_alias() {
    let models = models![Remark, Page,];
    assert_eq!([models[0].schema.table, models[1].schema.table], ["note", "Pages"]);
    let mut note = Remark::new("hi");
    (Remark::MAPPING.set_id)(&mut note, Uuid::from_u128(9));
    assert_eq!((Remark::MAPPING.id)(&note), Uuid::from_u128(9));
    assert_eq!(stored(&note), [cfost::schema::Value::Text("hi".into())]);
}

/// Fields that have the names of what the derive's code calls its own.
#[derive(Synced, Debug, Clone, PartialEq)]
struct Locals {
    #[synced(id)]
    model: Uuid,
    id: i64,
    row: i64,
    value: i64,
    literal: i64,
}

#[test]
fn a_field_may_be_called_what_the_derive_calls_its_own() {
    let row = Locals { model: Uuid::from_u128(3), id: 1, row: 2, value: 3, literal: 4 };
    assert_eq!(read::<Locals>(row.model, &stored(&row)), row);
    assert_eq!(kept(row.clone()), row);
}

macro_rules! model {
    ($name:ident, $table:literal, $field:ident: $type:ty = $default:literal) => {
        #[derive(Synced, Debug, PartialEq)]
        #[synced(table = $table, index($field))]
        struct $name {
            #[synced(id)]
            id: Uuid,
            #[synced(default = $default)]
            $field: $type,
        }
    };
}

model!(FromMacro, "made", rank: i64 = 5);

#[test]
fn a_macro_may_write_the_model() {
    assert_eq!(FromMacro::SCHEMA.table, "made");
    let row = FromMacro { id: Uuid::nil(), rank: 7 };
    assert_eq!(read::<FromMacro>(row.id, &stored(&row)), row);
}

/// One field and it is the id.
#[derive(Synced)]
struct Marker {
    #[synced(id)]
    id: Uuid,
}

#[test]
fn a_model_may_have_no_columns_but_its_id() {
    assert!(Marker::SCHEMA.columns.is_empty());
    let marker: Marker = read(Uuid::from_u128(4), &[]);
    assert_eq!(marker.id, Uuid::from_u128(4));
    assert!(stored(&marker).is_empty());
}

#[derive(Synced)]
struct Old {
    #[synced(id)]
    id: Uuid,
    #[deprecated]
    gone: i64,
}

#[test]
fn a_deprecated_field_warns_where_the_app_uses_it_and_not_in_the_derive() {
    assert_eq!(columns::<Old>(), ["gone"]);
    let old: Old = read(Uuid::nil(), &[cfost::schema::Value::Integer(1)]);
    assert_eq!(old.id, Uuid::nil());
    #[allow(deprecated)]
    let gone = old.gone;
    assert_eq!(gone, 1);
}

/// Named as in another language, with the app's leave.
#[derive(Synced)]
#[allow(non_camel_case_types, non_snake_case)]
struct java_class {
    #[synced(id)]
    ID: Uuid,
    firstName: String,
}

#[test]
fn an_odd_style_that_the_app_allows_is_not_warned_of_in_the_derive() {
    assert_eq!((java_class::SCHEMA.table, java_class::SCHEMA.id_column), ("java_class", "ID"));
    let row = java_class { ID: Uuid::nil(), firstName: "Ada".into() };
    assert_eq!(stored(&row), [cfost::schema::Value::Text("Ada".into())]);
    let row: java_class = read(row.ID, &stored(&row));
    assert_eq!(row.firstName, "Ada");
}
