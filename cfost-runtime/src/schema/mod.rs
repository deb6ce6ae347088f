//! What a model is: the constants that the derive writes, and the values that rows are made of.

mod column;
mod model;
mod row;
mod value;

pub use column::{Column, Counter, Lww, MergeAs, NoLiteral, RowId, SyncedValue};
pub use model::{ColumnSchema, Constant, IndexSchema, Mapping, MergeRule, Model, ModelSchema, Synced};
pub use row::{RowDecoder, RowEncoder};
pub use value::{SqlType, ValueError};

pub use crate::oplog::{Value, ValueRef};
