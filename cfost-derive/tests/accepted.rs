//! What the derives accept: odd but valid structs of an app, with their schema and a row there and
//! back. The lints are those of a strict app.
#![deny(warnings, clippy::pedantic)]
#![allow(unreachable_pub, reason = "what an app exports is tried here in private modules")]

#[path = "accepted/collections.rs"]
mod collections;
#[path = "accepted/defaults.rs"]
mod defaults;
#[path = "accepted/encrypted.rs"]
mod encrypted;
#[path = "accepted/names.rs"]
mod names;
#[path = "accepted/past.rs"]
mod past;
#[path = "accepted/shadowed.rs"]
mod shadowed;
#[path = "accepted/spaces.rs"]
mod spaces;
#[path = "accepted/types.rs"]
mod types;
#[path = "accepted/values.rs"]
mod values;

use cfost::schema::{RowDecoder, RowEncoder, RowValues, Value, ValueRef};
use cfost::{Db, Synced, models};

/// The values that a row is stored as.
fn stored<M: Synced>(row: &M) -> Vec<Value> {
    let mut encoder = RowEncoder::new(M::SCHEMA);
    (M::MAPPING.encode)(row, &mut encoder);
    encoder.finish().expect("the row can be stored").columns.into_iter().map(ValueRef::into_owned).collect()
}

/// The row that is read from these values.
fn read<M: Synced>(id: M::Id, values: &[Value]) -> M {
    let columns = values.iter().map(Value::as_ref).collect();
    let mut decoder = RowDecoder::new(M::SCHEMA, RowValues { columns, ..RowValues::default() });
    (M::MAPPING.decode)(id, &mut decoder).expect("the row can be read")
}

/// The names of a model's columns, without its id.
fn columns<M: Synced>() -> Vec<&'static str> {
    M::SCHEMA.columns.iter().map(|column| column.name).collect()
}

/// The row as a database of its own gives it back.
fn kept<M: Synced>(row: M) -> M {
    let db = Db::open_in_memory(models![M]).expect("SQLite takes the table");
    let row = db.insert(row).expect("the row is stored");
    let id = (M::MAPPING.id)(&row);
    let all = db.all::<M>().expect("the rows are read");
    assert_eq!((all.len(), db.count::<M>().unwrap()), (1, 1));
    db.get(id).expect("the row is read").expect("the row is there")
}
