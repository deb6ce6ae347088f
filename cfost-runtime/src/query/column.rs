//! Typed columns: what the closures of filters and orders are given.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::schema::Synced;

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
