//! By what rows are ordered.

use std::fmt;
use std::marker::PhantomData;

use super::ast::Key;

/// An order of the rows of the model `M`; `asc` and `desc` of its columns make them.
#[must_use = "an order does nothing until it is given to `Query::order_by`"]
pub struct Order<M> {
    key: Key,
    of: PhantomData<fn() -> M>,
}

impl<M> Order<M> {
    pub(super) const fn new(key: Key) -> Self {
        Self { key, of: PhantomData }
    }
}

impl<M> Clone for Order<M> {
    fn clone(&self) -> Self {
        Self::new(self.key.clone())
    }
}

impl<M> fmt::Debug for Order<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Order").field(&self.key).finish()
    }
}

/// What [`Query::order_by`](super::Query::order_by) takes: an [`Order`], a tuple of up to six, or a list.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no order of the rows of `{M}`",
    label = "not an order",
    note = "say in which direction: `|t| t.title.asc()`, or `|t| (t.done.asc(), t.title.desc())`"
)]
pub trait Orders<M> {
    /// The orders, the first one most significant.
    fn orders(self) -> Vec<Order<M>>;
}

impl<M> Orders<M> for Order<M> {
    fn orders(self) -> Vec<Order<M>> {
        vec![self]
    }
}

impl<M> Orders<M> for Vec<Order<M>> {
    fn orders(self) -> Vec<Order<M>> {
        self
    }
}

impl<M, const N: usize> Orders<M> for [Order<M>; N] {
    fn orders(self) -> Vec<Order<M>> {
        self.into()
    }
}

macro_rules! tuple {
    ($($order:ident: $model:ident),+) => {
        impl<M> Orders<M> for ($(Order<$model>,)+) {
            fn orders(self) -> Vec<Order<M>> {
                let ($($order,)+) = self;
                vec![$($order),+]
            }
        }
    };
}

tuple!(a: M);
tuple!(a: M, b: M);
tuple!(a: M, b: M, c: M);
tuple!(a: M, b: M, c: M, d: M);
tuple!(a: M, b: M, c: M, d: M, e: M);
tuple!(a: M, b: M, c: M, d: M, e: M, f: M);

/// The orders without their model's type.
pub(super) fn keys<M>(orders: impl Orders<M>) -> impl Iterator<Item = Key> {
    orders.orders().into_iter().map(|order| order.key)
}
