//! The derives of CFOST. Use them through the `cfost` crate, whose guide shows them at work.
//!
//! The way of a derive: `attr` reads the attributes as they are written, `ir` says what they mean,
//! `check` compares fields with each other, `expand` writes the code. `keys` knows which options there
//! are. Errors are collected in `ctxt`, so that one compile shows all of them, each on its own token;
//! `fallback` then writes stubs, so that no second error follows from the first.
//!
//! What is generated is constants and thin closures: the logic is in `cfost-runtime`, compiled once.
//! Nothing outside the struct is read, and no decision hangs on how a type is spelt, so aliases,
//! newtypes and renamed crates work; traits of the runtime check that a type fits.

mod attr;
mod check;
mod ctxt;
mod expand;
mod fallback;
mod ir;
mod keys;
mod names;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct with named fields a model: a table whose rows merge across devices.
///
/// On the struct, in `#[synced(..)]`:
///
/// | option | means |
/// | --- | --- |
/// | `table = "todos"` | the table's name; without it the struct's name in `snake_case`, as it is: `TodoItem` is `todo_item` |
/// | `version = 2` | the version of the struct's shape, from 1; without it 1 |
/// | `space` | each row is a space: it can be shared with other users, and the rows that name it with it |
/// | `space = list_id` | rows live in the space that this field names for good: a `Uuid`, a newtype, or an `Option` (`None`: home) |
/// | `index(a, b)` | an index over these fields, the most significant first; may be repeated |
/// | `delete = wins` | a deleted row stays deleted; without it a later edit on another device brings it back |
/// | `history` | each row's entries are indexed, so that its history is found fast |
/// | `removed(..)` | a field of earlier versions; see below |
/// | `crate = path` | where the `cfost` crate is, if it was renamed or is re-exported |
///
/// On a field, in `#[synced(..)]`:
///
/// | option | means |
/// | --- | --- |
/// | `id` | the row's id, a `Uuid` or a newtype around one: exactly one field has it |
/// | `id(from(a, b))` | made from these fields, which are immutable then: equal values are one row on every device |
/// | `column = "name"` | the column's name; without it the field's |
/// | `index` | an index over this field; of a set, a map or a list over its elements, keys or values |
/// | `default = 0` | the value in rows that were written without this field, one of the first version: a literal |
/// | `since = 2` | the version of the model that brought this field; without it the first |
/// | `backfill = 0` | beside `since`, as `default` without it: the value in rows from before; `Option`s and what merges need none |
/// | `renamed_from("old", in = 2)` | what the column was called before version 2; may be repeated |
/// | `upgrade(old, with = f, back = g)` | the values are made of those of a column of earlier versions; see below |
/// | `immutable` | the field keeps the value that the row was inserted with |
/// | `references = Model` | the field names a row of that model, by its id or an `Option` of it |
/// | `on_delete = hide` | beside `references`: the row is not shown while the other one is deleted, which is so without the option |
/// | `on_delete = cascade` | it is deleted too |
/// | `on_delete = keep` | it stays, and names a row that is gone |
/// | `search` | the words of this `String` or `Text` are indexed, for `matches` in filters |
/// | `encrypted` | an `Encrypted<T>`, sealed: only this user's devices read it, whoever has the row |
/// | `encrypted = patient_id` | sealed for those who are in the space that this field names, which is immutable then |
/// | `skip` | not stored; a row is read with `Default::default()` here |
/// | `default = expr` beside `skip` | any expression: what a row is read with |
///
/// Clippy's `duplicated_attributes` takes the field that two indexes share for a setting made twice: a
/// struct with such indexes has `#[allow(clippy::duplicated_attributes)]`.
///
/// How a field merges when several devices change it, in `#[crdt(..)]`:
///
/// | rule | field | means |
/// | --- | --- | --- |
/// | `lww` | any that a column holds | the last writer wins; what a field without the attribute does |
/// | `counter` | signed integers | increments and decrements add up |
/// | `set` | `BTreeSet<T>` | each element is added or removed by itself |
/// | `map` | `BTreeMap<K, V>` | each key has a value of its own, whose last writer wins |
/// | `list` | `List<T>` | each element has an identity and a place: it is inserted, moved, set and removed by itself |
/// | `text` | `Text` | edits are merged character by character; needs the feature `text` |
/// | `changed_from(lww, in = 2)` | beside `counter`, `text` | before version 2 the last writer of a number or a `String` won |
///
/// # What fields were in earlier versions
///
/// Devices on earlier versions of the app go on syncing, so a field that changes says what it was. Each change is
/// made by one version of the model, `in = N`, and a field has at most one in a version. The names are those of
/// columns, which are the fields' unless `column` says otherwise.
///
/// ```ignore
/// #[derive(Synced)]
/// #[synced(version = 3, removed(done: bool = false, in = 3), removed(#[crdt(set)] labels, in = 2))]
/// struct Todo {
///     #[synced(id)]
///     id: Uuid,
///     #[synced(renamed_from("name", in = 2))]
///     title: String,
///     #[synced(since = 3, upgrade(rank, with = Priority::of_rank, back = |priority| priority.rank()))]
///     priority: Priority,
///     #[synced(upgrade(due, in = 3, with = Some, back = |due| due.unwrap_or(0)))]
///     due: Option<i64>,
///     #[crdt(counter, changed_from(lww, in = 2))]
///     votes: i64,
/// }
/// ```
///
/// | change | in its parentheses | means |
/// | --- | --- | --- |
/// | `renamed_from` | `"old"` | the name before |
/// | | `in = 2` | the version that renamed it |
/// | `upgrade` | `old` | the column before; it may have been called as now |
/// | | `with = f` | a function or a closure, `fn(Old) -> New`, pure and total: every device applies it for itself |
/// | | `back = g` | `fn(New) -> Old`, what devices on earlier versions read; may be missing if `Old` is an `Option` |
/// | | `in = 3` | the version that upgraded it; without it the field's `since` |
/// | | `since = 2` | the version that `old` came with; without it the first, or the field's `since` if that is before `in` |
/// | `changed_from` | `lww` | the rule before |
/// | | `in = 2` | the version that changed it |
/// | | `back` | of a text: every write also carries all of it for earlier versions |
/// | `removed` | `name: Type = literal` | what the column was, and what devices on earlier versions read in new rows |
/// | | `name` | one that they can do without: an `Option`, or a column with a default |
/// | | `#[crdt(set)] name` | one that merged; its type may be said, and is not needed |
/// | | `in = 3` | the first version without it |
/// | | `since = 2`, `renamed_from(..)`, `upgrade(..)` | as on the field that it was |
///
/// A closure says the type that it takes, unless the other function says it. Changes combine: their versions tell
/// the order. The name of a column that was is not used again, since devices on earlier versions would take the new
/// values for the old column's.
#[proc_macro_derive(Synced, attributes(synced, crdt))]
pub fn derive_synced(input: TokenStream) -> TokenStream {
    expand::synced(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a type one that a column can hold.
///
/// - A struct with one field, a newtype: stored as that field. Around a `Uuid` it can be a row's id,
///   if it is `Copy`; around an integer that can count, it can be a counter.
/// - An enum whose variants have no fields: stored as the variant's name, or as what
///   `#[synced(rename = "..")]` on the variant says. One variant is marked `#[synced(other)]`: it is
///   read where a newer app stored a variant that this build doesn't know.
///
/// `#[synced(crate = path)]` says where the `cfost` crate is, if it was renamed or is re-exported.
#[proc_macro_derive(SyncedValue, attributes(synced))]
pub fn derive_synced_value(input: TokenStream) -> TokenStream {
    expand::synced_value(&parse_macro_input!(input as DeriveInput)).into()
}
