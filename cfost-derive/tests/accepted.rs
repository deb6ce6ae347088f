//! What the derives accept: odd but valid structs of an app, with their schema and a row there and
//! back. The lints are those of a strict app.
#![deny(warnings, clippy::pedantic)]
#![allow(unreachable_pub, reason = "what an app exports is tried here in private modules")]

#[path = "accepted/defaults.rs"]
mod defaults;
#[path = "accepted/names.rs"]
mod names;
#[path = "accepted/shadowed.rs"]
mod shadowed;
#[path = "accepted/types.rs"]
mod types;
#[path = "accepted/values.rs"]
mod values;

use cfost::Synced;
use cfost::schema::{RowDecoder, RowEncoder, Value, ValueRef};

/// The values that a row is stored as.
fn stored<M: Synced>(row: &M) -> Vec<Value> {
    let mut encoder = RowEncoder::new(M::SCHEMA);
    (M::MAPPING.encode)(row, &mut encoder);
    encoder.finish().expect("the row can be stored").into_iter().map(ValueRef::into_owned).collect()
}

/// The row that is read from these values.
fn read<M: Synced>(id: M::Id, values: &[Value]) -> M {
    let mut decoder = RowDecoder::new(values.iter().map(Value::as_ref).collect());
    (M::MAPPING.decode)(id, &mut decoder).expect("the row can be read")
}

/// The names of a model's columns, without its id.
fn columns<M: Synced>() -> Vec<&'static str> {
    M::SCHEMA.columns.iter().map(|column| column.name).collect()
}
