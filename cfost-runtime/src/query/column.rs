//! Typed columns: what the closures of filters and orders are given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::ast::{ElementColumn, Node, Term};
use super::{ComparableTo, Expr, Filter, Operand};
use crate::schema::{Column, List, Refer, Search, Synced, SyncedValue};

/// A column of the model `M` that holds a `T`.
pub struct Col<M, T> {
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

impl<M: Synced, T> Col<M, T> {
    /// The column with this name; the derive writes it.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// The column's name in the table.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<M: Synced, T: Search> Col<M, T> {
    /// All of these words are in it, in any order, whatever is in upper or lower case and has accents. A word
    /// with `*` at its end stands for all that begin so, and `"words in quotes"` must follow each other.
    ///
    /// The field needs `#[synced(search)]`, which keeps an index of its words; else the query fails with
    /// [`Error::NotSearchable`](crate::Error::NotSearchable).
    pub fn matches(self, words: impl Into<String>) -> Filter<M> {
        Filter::new(Node::Words { column: self.name, words: words.into() })
    }
}

/// A column of the model `M` that names a row of the model `P`; it has all that a [`Col`] of ids has.
pub struct RefCol<M, T, P> {
    col: Col<M, T>,
    of: PhantomData<fn() -> P>,
}

impl<M: Synced, T, P> RefCol<M, T, P> {
    /// The column with this name; the derive writes it.
    pub const fn new(name: &'static str) -> Self {
        Self { col: Col::new(name), of: PhantomData }
    }
}

impl<M: Synced, T: Refer<P::Id>, P: Synced> RefCol<M, T, P> {
    /// The row that it names is there, and the condition holds of it.
    pub fn matches(self, condition: impl FnOnce(P::Columns) -> Filter<P>) -> Filter<M> {
        let node = Box::new(condition(P::MAPPING.columns).node);
        Filter::new(Node::Parent { column: self.col.name, parent: P::SCHEMA, node })
    }

    /// The row that it names is there.
    pub fn exists(self) -> Filter<M> {
        self.matches(|_| Filter::all([]))
    }

    /// A column of the row that it names, to compare it or to order by it; null if there is no such row.
    pub fn field<U: Column>(self, column: impl FnOnce(P::Columns) -> Col<P, U>) -> Expr<M, U> {
        let term = Box::new(Term::Column(column(P::MAPPING.columns).name));
        Expr::new(Term::Parent { column: self.col.name, parent: P::SCHEMA, term })
    }
}

impl<M, T, P> Deref for RefCol<M, T, P> {
    type Target = Col<M, T>;

    fn deref(&self) -> &Col<M, T> {
        &self.col
    }
}

/// A column of the model `M` whose text merges by characters; it has all that a [`Col`] of text has.
pub struct TextCol<M> {
    col: Col<M, String>,
}

impl<M: Synced> TextCol<M> {
    /// The column with this name; the derive writes it.
    pub const fn new(name: &'static str) -> Self {
        Self { col: Col::new(name) }
    }
}

impl<M> Deref for TextCol<M> {
    type Target = Col<M, String>;

    fn deref(&self) -> &Col<M, String> {
        &self.col
    }
}

/// A field of the model `M` that holds a set `T`.
pub struct SetCol<M, T> {
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

/// A field of the model `M` that holds a map `T`.
pub struct MapCol<M, T> {
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

/// A field of the model `M` that holds a list `T`.
pub struct ListCol<M, T> {
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

macro_rules! collection {
    ($column:ident) => {
        impl<M: Synced, T> $column<M, T> {
            /// The field with this name; the derive writes it.
            pub const fn new(name: &'static str) -> Self {
                Self { name, of: PhantomData }
            }

            /// How many elements there are.
            pub fn len(self) -> Expr<M, i64> {
                Expr::new(Term::Count(self.name))
            }

            /// There are no elements.
            pub fn is_empty(self) -> Filter<M> {
                self.len().eq(0)
            }

            /// The field's name in the oplog, and after the model's table and `_` its own table's.
            pub const fn name(self) -> &'static str {
                self.name
            }
        }
    };
}

collection!(SetCol);
collection!(MapCol);
collection!(ListCol);

/// A collection has an element with this value.
fn has<M>(collection: &'static str, column: ElementColumn, value: Operand) -> Filter<M> {
    Filter::new(Node::Element { collection, column, value: value.term(collection) })
}

impl<M: Synced, T: SyncedValue + Ord> SetCol<M, BTreeSet<T>> {
    /// The element is in the set.
    pub fn contains(self, element: impl ComparableTo<T, M>) -> Filter<M> {
        has(self.name, ElementColumn::Element, element.operand())
    }

    /// One of the elements is in the set, or several.
    pub fn contains_any<V: ComparableTo<T, M>>(self, elements: impl IntoIterator<Item = V>) -> Filter<M> {
        Filter::any(elements.into_iter().map(|element| self.contains(element)))
    }

    /// All of the elements are in the set.
    pub fn contains_all<V: ComparableTo<T, M>>(self, elements: impl IntoIterator<Item = V>) -> Filter<M> {
        Filter::all(elements.into_iter().map(|element| self.contains(element)))
    }
}

impl<M: Synced, K: SyncedValue + Ord, V: Column> MapCol<M, BTreeMap<K, V>> {
    /// The map has a value under the key.
    pub fn contains_key(self, key: impl ComparableTo<K, M>) -> Filter<M> {
        has(self.name, ElementColumn::Key, key.operand())
    }

    /// The value under the key, to compare it or to order by it; null if there is none.
    pub fn key(self, key: impl ComparableTo<K, M>) -> Expr<M, V> {
        Expr::new(Term::Key { map: self.name, key: Box::new(key.operand().term(self.name)) })
    }
}

impl<M: Synced, T: Column> ListCol<M, List<T>> {
    /// The value is in the list.
    pub fn contains(self, value: impl ComparableTo<T, M>) -> Filter<M> {
        has(self.name, ElementColumn::Value, value.operand())
    }
}

macro_rules! copied {
    ($($column:ident <$($of:ident),+>)+) => {
        $(impl<$($of),+> Clone for $column<$($of),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($of),+> Copy for $column<$($of),+> {})+
    };
}

copied!(Col<M, T> RefCol<M, T, P> TextCol<M> SetCol<M, T> MapCol<M, T> ListCol<M, T>);

macro_rules! printed {
    ($($column:ident <$($of:ident),+> $name:ident$(.$inner:ident)?)+) => {
        $(impl<$($of),+> fmt::Debug for $column<$($of),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($column)).field(&self.$name$(.$inner)?).finish()
            }
        })+
    };
}

printed!(Col<M, T> name RefCol<M, T, P> col.name TextCol<M> col.name SetCol<M, T> name MapCol<M, T> name ListCol<M, T> name);
