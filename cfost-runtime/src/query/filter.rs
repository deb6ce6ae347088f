//! Conditions on rows.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{BitAnd, BitOr, Not};

use super::ast::{Node, Term};
use crate::schema::ValueError;

/// A condition on the rows of the model `M`; the methods of typed columns make them.
///
/// A comparison with a value that isn't there (a `None`) doesn't hold; but `eq` and `ne` take `None` for a
/// value like any other, as Rust does.
#[must_use = "a filter does nothing until it is given to `Query::filter`"]
pub struct Filter<M> {
    pub(super) node: Node,
    of: PhantomData<fn() -> M>,
}

impl<M> Filter<M> {
    pub(super) const fn new(node: Node) -> Self {
        Self { node, of: PhantomData }
    }

    /// Both conditions hold. The same as `&`.
    pub fn and(self, other: Self) -> Self {
        let parts = |node| if let Node::All(nodes) = node { nodes } else { vec![node] };
        Self::new(Node::All(joined(parts(self.node), parts(other.node))))
    }

    /// One of the conditions holds, or both. The same as `|`.
    pub fn or(self, other: Self) -> Self {
        let parts = |node| if let Node::Any(nodes) = node { nodes } else { vec![node] };
        Self::new(Node::Any(joined(parts(self.node), parts(other.node))))
    }

    /// The condition doesn't hold. The same as `!`.
    #[expect(clippy::should_implement_trait, reason = "it is the operator, for those who rather write a word")]
    pub fn not(self) -> Self {
        match self.node {
            Node::Not(node) => Self::new(*node),
            node => Self::new(Node::Not(Box::new(node))),
        }
    }

    /// All of the conditions hold; so with none, every row is let through.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Node::All(filters.into_iter().map(|filter| filter.node).collect()))
    }

    /// One of the conditions holds; so with none, no row is let through.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Node::Any(filters.into_iter().map(|filter| filter.node).collect()))
    }
}

/// The parts of two conditions: a long chain of them stays one flat list.
fn joined(mut nodes: Vec<Node>, more: Vec<Node>) -> Vec<Node> {
    nodes.extend(more);
    nodes
}

impl<M> BitAnd for Filter<M> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl<M> BitOr for Filter<M> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl<M> Not for Filter<M> {
    type Output = Self;

    fn not(self) -> Self {
        Self::not(self)
    }
}

impl<M> Clone for Filter<M> {
    fn clone(&self) -> Self {
        Self::new(self.node.clone())
    }
}

impl<M> fmt::Debug for Filter<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.node).finish()
    }
}

/// What a column is compared with; only [`ComparableTo`](super::ComparableTo) makes it.
#[derive(Debug)]
pub struct Operand(pub(super) Result<Term, ValueError>);

impl Operand {
    /// The value as a term; `column` is what it is compared with.
    pub(super) fn term(self, column: &'static str) -> Term {
        self.0.unwrap_or_else(|source| Term::Unstorable { column, source })
    }
}
