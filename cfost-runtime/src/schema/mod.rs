//! What a model is: the constants that the derive writes, and the values that rows are made of.

mod collection;
mod column;
mod encrypted;
mod id;
pub mod lock;
mod model;
mod past;
mod row;
pub mod rule;
pub mod shape;
mod value;

pub use collection::{CollectAs, CollectionSchema, Element, List};
pub use column::{Column, MergeAs, NamesSpace, NoLiteral, Refer, RowId, Search, SyncedValue};
pub use encrypted::{Encrypted, EncryptedField, EncryptedFor, EncryptedSchema, Locked, WhyLocked};
pub use id::{ROW_ID_CONTEXT, derived_id};
pub use model::{
    ColumnSchema, Constant, DeletePolicy, IndexSchema, Mapping, MergeRule, Model, ModelSchema, OnDelete, Placement,
    Reference, Synced,
};
pub use past::{Change, Convert, Elements, Past, PastCollection, RemovedCollection, convert};
pub use row::{RowDecoder, RowEncoder, RowValues};
pub use rule::{Counter, Lww};
pub use shape::Shape;
pub use value::{SqlType, ValueError};

#[cfg(feature = "text")]
pub use crate::crdt::text::Text;
#[cfg(feature = "text")]
pub use column::{MergeText, TextValue};

pub use crate::oplog::{Value, ValueRef};

pub(crate) use encrypted::{Form, locked_form, open_form, opened_form, plain_of};
