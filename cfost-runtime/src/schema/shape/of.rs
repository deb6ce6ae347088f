//! The shapes that a model's attributes tell.

use super::{
    CollectionShape, ColumnDetails, ColumnShape, ColumnType, ElementsShape, EncryptedShape, Shape, SpaceShape,
};
use crate::schema::{
    Change, CollectionSchema, ColumnSchema, EncryptedFor, ModelSchema, Past, PastCollection, Placement,
    RemovedCollection, SqlType, ValueRef,
};

impl Shape {
    /// The shape that the model had in a version, as far as its attributes tell; its own if it has no later one.
    pub fn of(schema: &ModelSchema, version: u32) -> Self {
        let version = version.min(schema.version);
        let is_newest = version == schema.version;
        let forms = schema.columns.iter().filter_map(|column| form(schema, column, version));
        let (placed, others): (Vec<_>, Vec<_>) = forms.partition(|column| column.details.is_some());
        let removed =
            schema.removed.iter().filter_map(|forms| past_form(forms, version).map(|(_, past)| shape_of(past)));
        let elements = schema.collections.iter().filter_map(|collection| elements(collection, version, is_newest));
        let gone = schema.removed_collections.iter().filter_map(|gone| removed_elements(gone, version));
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Self {
            id: schema.id_column.to_owned(),
            columns: placed.into_iter().chain(others).chain(removed).collect(),
            collections: elements.chain(gone).collect(),
            id_from: schema.id_from.iter().map(|name| name_in(schema, name, version)).collect(),
            space: match schema.space {
                Placement::Home => SpaceShape::Home,
                Placement::Row => SpaceShape::Row,
                Placement::Column(name) => SpaceShape::Column(name_in(schema, name, version)),
            },
            delete: schema.delete,
            indexes: is_newest.then(|| schema.indexes.iter().map(|index| owned(index.columns)).collect()),
        }
    }

    /// The versions of a model in which something of its shape begins, as far as its attributes tell, and its own.
    pub fn versions(schema: &ModelSchema) -> Vec<u32> {
        let of_past = |past: &Past| [past.since, past.until];
        let columns = schema.columns.iter();
        let collections = schema.collections.iter();
        let mut versions: Vec<u32> = (columns.clone().map(|column| column.since))
            .chain(columns.flat_map(|column| column.past.iter().flat_map(of_past)))
            .chain(collections.clone().map(|collection| collection.since))
            .chain(collections.flat_map(|collection| collection.past.iter().map(|past| past.until)))
            .chain(schema.removed.iter().flat_map(|past| past.iter().flat_map(of_past)))
            .chain(schema.removed_collections.iter().flat_map(|gone| [gone.since, gone.until]))
            .chain(schema.removed_collections.iter().flat_map(|gone| gone.past.iter().map(|past| past.until)))
            .chain([schema.version])
            .collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

/// What a column was in a version; `None` before there was one.
fn form(schema: &ModelSchema, column: &ColumnSchema, version: u32) -> Option<ColumnShape> {
    let begins = column.form_since();
    let default = column.encrypted.map_or(column.default, |encrypted| encrypted.default);
    let details = || ColumnDetails {
        immutable: column.immutable,
        default: default.map(|constant| ValueRef::from(constant).into_owned()),
        encrypted: column.encrypted.map(|encrypted| EncryptedShape {
            space: match encrypted.key {
                EncryptedFor::Home => None,
                EncryptedFor::Column(name) => Some(name_in(schema, name, version)),
            },
            kind: ColumnType { sql_type: encrypted.sql_type, nullable: encrypted.nullable },
        }),
        reference: column.reference.map(|reference| (reference.table.to_owned(), reference.on_delete)),
    };
    if version >= begins {
        let kind = ColumnType { sql_type: column.sql_type, nullable: column.nullable };
        return Some(ColumnShape {
            name: column.name.to_owned(),
            op_name: column.op_name.to_owned(),
            kind: Some(kind),
            rule: column.rule,
            details: Some(details()),
        });
    }
    let (place, past) = past_form(column.past, version)?;
    // A rename keeps all that the attributes say of the column; of what it was before another change they say less.
    let is_renamed = column.past[..=place].iter().all(|past| matches!(past.change, Change::Renamed));
    Some(ColumnShape { details: is_renamed.then(details), ..shape_of(past) })
}

fn past_form(forms: &[Past], version: u32) -> Option<(usize, &Past)> {
    forms.iter().enumerate().find(|(_, past)| (past.since..past.until).contains(&version))
}

fn shape_of(past: &Past) -> ColumnShape {
    ColumnShape {
        name: past.name.to_owned(),
        op_name: past.op_name.to_owned(),
        kind: past.typed.then_some(ColumnType { sql_type: past.sql_type, nullable: past.nullable }),
        rule: past.rule,
        details: None,
    }
}

/// What a field with elements was in a version; `None` before there was one.
fn elements(collection: &CollectionSchema, version: u32, is_newest: bool) -> Option<CollectionShape> {
    if version < collection.since {
        return None;
    }
    Some(CollectionShape {
        name: collection_name(collection.name, collection.past, version),
        op_name: collection.op_name.to_owned(),
        rule: collection.rule,
        elements: Some(elements_of(collection.key, collection.value)),
        indexed: is_newest.then_some(collection.indexed),
    })
}

/// What a field with elements that is gone was in a version; `None` if it wasn't there.
fn removed_elements(gone: &RemovedCollection, version: u32) -> Option<CollectionShape> {
    (gone.since..gone.until).contains(&version).then(|| CollectionShape {
        name: collection_name(gone.name, gone.past, version),
        op_name: gone.op_name.to_owned(),
        rule: gone.rule,
        elements: gone.elements.map(|elements| elements_of(elements.key, elements.value)),
        indexed: None,
    })
}

fn collection_name(last: &str, past: &[PastCollection], version: u32) -> String {
    let before = past.iter().rev().find(|past| version < past.until);
    before.map_or(last, |past| past.name).to_owned()
}

fn elements_of(key: SqlType, value: Option<(SqlType, bool)>) -> ElementsShape {
    ElementsShape { key, value: value.map(|(sql_type, nullable)| ColumnType { sql_type, nullable }) }
}

/// The name that a column of the model had in a version.
fn name_in(schema: &ModelSchema, name: &str, version: u32) -> String {
    let column = schema.columns.iter().find(|column| column.name == name);
    column.and_then(|column| form(schema, column, version)).map_or_else(|| name.to_owned(), |form| form.name)
}
