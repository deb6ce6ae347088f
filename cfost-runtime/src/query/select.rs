//! A query that is being put together.

use std::fmt;
use std::marker::PhantomData;

use super::ast::{Given, Node, Spec};
use super::filter::Filter;
use super::order::{self, Orders};
use super::{Col, RefCol};
use crate::schema::{Refer, RowEncoder, RowId, Synced, Value, ValueRef};

/// Starts a query: `Todo::query()`.
pub trait Queryable: Synced {
    /// All rows, by ascending id; filters, an order and limits come next.
    fn query() -> Query<Self> {
        Query { spec: Spec::new(Self::SCHEMA), of: PhantomData }
    }
}

impl<M: Synced> Queryable for M {}

/// A query of the rows of the model `M`.
///
/// It is a value of its own, tied to no database: make it once, and run it where and as often as needed.
/// Rows come in the order asked for, and where that leaves it open by their ids, so in the same order each
/// time.
#[must_use = "a query does nothing until `all`, `first`, `count` or `watch` runs it"]
pub struct Query<M> {
    spec: Spec,
    of: PhantomData<fn() -> M>,
}

impl<M: Synced> Query<M> {
    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Only the rows of which the condition holds; of several conditions, all must.
    pub fn filter(mut self, condition: impl FnOnce(M::Columns) -> Filter<M>) -> Self {
        self.spec.filters.push(condition(M::MAPPING.columns).node);
        self
    }

    /// The rows in this order; a second order counts where the first leaves it open.
    pub fn order_by<O: Orders<M>>(mut self, order: impl FnOnce(M::Columns) -> O) -> Self {
        self.spec.order.extend(order::keys(order(M::MAPPING.columns)));
        self
    }

    /// At most this many rows.
    pub const fn limit(mut self, rows: u64) -> Self {
        self.spec.limit = Some(rows);
        self
    }

    /// Without the first rows. To go through many pages [`Query::after`] is faster, and doesn't skip or repeat
    /// rows when others come and go.
    pub const fn offset(mut self, rows: u64) -> Self {
        self.spec.offset = rows;
        self
    }

    /// Only what follows a row in the query's order: the next page, after the last row of the one before.
    ///
    /// It goes by the row's values, so the row need not be there any more.
    pub fn after(mut self, row: &M) -> Self {
        let mut encoder = RowEncoder::new(M::SCHEMA);
        (M::MAPPING.encode)(row, &mut encoder);
        let columns = encoder.finish().map(|row| row.columns.into_iter().map(ValueRef::into_owned).collect());
        let id = Value::Blob((M::MAPPING.id)(row).to_uuid().as_bytes().to_vec());
        self.spec.after = Some(Given { id, columns });
        self
    }

    /// Together with the row that a reference names: pairs of the two. A row whose reference names none is left
    /// out.
    pub fn with<T: Refer<P::Id>, P: Synced>(self, reference: impl FnOnce(M::Columns) -> RefCol<M, T, P>) -> With<M, P> {
        let column = reference(M::MAPPING.columns);
        With { query: self.filter(|_| column.exists()), column: column.name(), of: PhantomData }
    }
}

impl<M> Clone for Query<M> {
    fn clone(&self) -> Self {
        Self { spec: self.spec.clone(), of: PhantomData }
    }
}

impl<M> fmt::Debug for Query<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.spec).finish()
    }
}

/// A query of rows of `M`, each together with the row of `P` that it refers to; made by [`Query::with`].
#[must_use = "a query does nothing until `all` or `first` runs it"]
pub struct With<M, P> {
    query: Query<M>,
    column: &'static str,
    of: PhantomData<fn() -> P>,
}

impl<M: Synced, P: Synced> With<M, P> {
    pub(crate) const fn query(&self) -> &Query<M> {
        &self.query
    }

    /// The place of the reference among the model's columns.
    pub(crate) fn reference(&self) -> Option<usize> {
        M::SCHEMA.columns.iter().position(|column| column.name == self.column)
    }

    /// The same, at most this many pairs.
    pub(crate) fn limited(&self, rows: u64) -> Query<M> {
        self.query.clone().limit(rows)
    }
}

impl<M, P> Clone for With<M, P> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), column: self.column, of: PhantomData }
    }
}

impl<M, P> fmt::Debug for With<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("With").field(&self.query).field(&self.column).finish()
    }
}

impl<M: Synced, T: Refer<M::Id>> Col<M, T> {
    /// For the column of the id: a row that `query` finds refers to this one, by its column `by`.
    pub fn referenced_by<C: Synced, R: Refer<M::Id>>(
        self,
        query: Query<C>,
        by: impl FnOnce(C::Columns) -> RefCol<C, R, M>,
    ) -> Filter<M> {
        let column = by(C::MAPPING.columns).name();
        Filter::new(Node::Children { id: self.name(), column, spec: Box::new(query.spec) })
    }
}
