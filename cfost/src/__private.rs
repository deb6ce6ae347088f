//! What the derives' code stands on: no part of the API. The names of the standard library are here
//! because a module of the app may have its own `Ok` or `Result`.

pub use cfost_runtime::query::{Col, EncryptedCol, ListCol, MapCol, RefCol, SetCol, TextCol};
pub use cfost_runtime::schema::{
    Change, CollectAs, CollectionSchema, Column, ColumnSchema, Constant, Counter, DeletePolicy, EncryptedField,
    EncryptedFor, IndexSchema, Mapping, MergeAs, MergeRule, ModelSchema, NamesSpace, NoLiteral, OnDelete, Past,
    PastCollection, Placement, RemovedCollection, RowId, Search, SqlType, Synced, SyncedValue, ValueError, ValueRef,
    convert, rule,
};
pub use core::assert;
pub use core::clone::Clone;
pub use core::default::Default;
pub use core::marker::{Copy, Send};
pub use core::option::Option::{self, None, Some};
pub use core::primitive::{i64, str, u8};
pub use core::result::Result::{self, Ok};
pub use std::string::String;
pub use std::vec::Vec;
pub use uuid::Uuid;

/// The text that an enum's variant is stored as.
pub const fn text(text: &'static str) -> ValueRef<'static> {
    ValueRef::Text(std::borrow::Cow::Borrowed(text))
}

/// The text of a stored variant.
///
/// # Errors
/// When something else is stored.
pub fn text_of<'v>(value: &'v ValueRef<'_>) -> Result<&'v str, ValueError> {
    match value {
        ValueRef::Text(text) => Ok(text),
        other => Err(ValueError::Kind { expected: "text", found: other.kind() }),
    }
}

/// The typed columns that fields of this type have.
///
/// A way to write `Col<Todo, String>` without `String` among generic arguments: there rustc would say of an
/// unknown type, beside that it is unknown, that the struct may lack a parameter, and so say it twice.
pub trait Typed {
    /// Of a field with one value.
    type Col<M>;
    /// Of an encrypted field.
    type EncryptedCol<M>;
    /// Of a set.
    type SetCol<M>;
    /// Of a map.
    type MapCol<M>;
    /// Of a list.
    type ListCol<M>;
    /// Of a text.
    type TextCol<M>;
}

impl<T> Typed for T {
    type Col<M> = Col<M, T>;
    type EncryptedCol<M> = EncryptedCol<M, T>;
    type SetCol<M> = SetCol<M, T>;
    type MapCol<M> = MapCol<M, T>;
    type ListCol<M> = ListCol<M, T>;
    type TextCol<M> = TextCol<M>;
}

/// As [`Typed`], for the tuple of a reference's type and the model that it refers to.
pub trait TypedRef {
    /// Of a reference.
    type RefCol<M>;
}

impl<T, P> TypedRef for (T, P) {
    type RefCol<M> = RefCol<M, T, P>;
}

/// A function that upgrades a column.
pub const fn one<Old, New>(function: fn(Old) -> New) -> fn(Old) -> New {
    function
}

/// A function that upgrades a column, and the one back.
pub type Both<Old, New> = (fn(Old) -> New, fn(New) -> Old);

/// A function that upgrades a column, and the one back: each may say the types of the other.
pub const fn both<Old, New>(with: fn(Old) -> New, back: fn(New) -> Old) -> Both<Old, New> {
    (with, back)
}

/// Whether an upgrade takes what the one before makes, as far as the database tells types apart.
pub const fn chained<A, B: Column, C: Column, D>(_: fn(A) -> B, _: fn(C) -> D) -> bool {
    B::TYPE as u8 == C::TYPE as u8 && B::NULLABLE == C::NULLABLE
}

/// A column whose words are searched. The type is there for rustc to say what has none.
pub const fn searched<T: Search>(column: &'static str) -> &'static str {
    column
}

/// A column that names the space of its row. The type is there for rustc to say what names none.
pub const fn names_space<T: NamesSpace>(column: &'static str) -> Placement {
    Placement::Column(column)
}

/// Stands for a value in the code of a derive that failed, which is never run.
///
/// # Panics
/// Always.
pub fn stub<T>() -> T {
    unreachable!("the derive of this type reported an error")
}

/// The mapping of a model whose derive failed.
pub const fn stub_mapping<M: Synced>(columns: M::Columns) -> Mapping<M> {
    Mapping {
        schema: &ModelSchema {
            model: "",
            table: "",
            version: 1,
            id_column: "",
            columns: &[],
            collections: &[],
            indexes: &[],
            delete: DeletePolicy::Latest,
            id_from: &[],
            search: &[],
            history: false,
            space: Placement::Home,
            removed: &[],
            removed_collections: &[],
        },
        columns,
        id: |_| stub(),
        set_id: |_, _| stub(),
        encode: |_, _| stub(),
        decode: |_, _| stub(),
    }
}
