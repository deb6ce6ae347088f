//! The column of an encrypted field: it has a name, and there is nothing to ask of it.

use std::fmt;
use std::marker::PhantomData;

use super::{Filter, Order};
use crate::schema::Synced;

/// A column of the model `M` that holds an encrypted `T`.
///
/// The database has bytes that say nothing of the value, so no filter and no order can look into it: its methods are
/// there for the compiler to say so. Read the rows, and compare what [`open`](crate::schema::Encrypted::open) gives.
pub struct EncryptedCol<M, T> {
    name: &'static str,
    of: PhantomData<fn() -> (M, T)>,
}

/// What filters and orders can look into. Nothing that is encrypted is.
#[diagnostic::on_unimplemented(
    message = "an encrypted field can't be compared or ordered by: the database has no more than sealed bytes of it",
    label = "this needs the value",
    note = "read the rows, and compare what `open()` of the field gives; or keep what is looked for in a field of its own"
)]
pub trait Readable: Sized {
    /// What the method would give.
    #[doc(hidden)]
    fn asked<T>(self) -> T;
}

impl<M: Synced, T> EncryptedCol<M, T> {
    /// The column with this name; the derive writes it.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// The column's name in the table.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

macro_rules! refused {
    ($($method:ident($($value:ident)?) -> $out:ident),+ $(,)?) => {
        impl<M: Synced, T> EncryptedCol<M, T> {
            $(
                /// Not of an encrypted field.
                pub fn $method$(<$value>)?(self $(, _: $value)?) -> $out<M>
                where
                    Self: Readable,
                {
                    self.asked()
                }
            )+
        }
    };
}

refused! {
    eq(V) -> Filter,
    ne(V) -> Filter,
    lt(V) -> Filter,
    le(V) -> Filter,
    gt(V) -> Filter,
    ge(V) -> Filter,
    in_(V) -> Filter,
    like(V) -> Filter,
    contains(V) -> Filter,
    starts_with(V) -> Filter,
    ends_with(V) -> Filter,
    matches(V) -> Filter,
    is_null() -> Filter,
    is_not_null() -> Filter,
    asc() -> Order,
    desc() -> Order,
}

impl<M, T> Clone for EncryptedCol<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for EncryptedCol<M, T> {}

impl<M, T> fmt::Debug for EncryptedCol<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncryptedCol").field(&self.name).finish()
    }
}
