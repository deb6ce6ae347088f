//! Typed columns: what the closures of filters and orders are given.

use std::fmt;
use std::marker::PhantomData;

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

impl<M, T> Clone for Col<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for Col<M, T> {}

impl<M, T> fmt::Debug for Col<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Col").field(&self.name).finish()
    }
}
