//! Comparing columns with values.

use std::fmt;
use std::marker::PhantomData;

use super::ast::{Comparison, Key, Node, Place, Term};
use super::{Col, Filter, Operand, Order, RefCol};
use crate::schema::{Column, Search, Synced, SyncedValue, Value};

/// What a column of type `T` of the model `M` can be compared with: a `T`, a reference to one, `&str` for
/// text, `&[u8]` for bytes, another column of the model; and for an `Option`, also what is inside.
#[diagnostic::on_unimplemented(
    message = "a column of `{T}` can't be compared with `{Self}`",
    label = "not a `{T}`",
    note = "compare it with a `{T}`, or with another column of `{M}` that holds one"
)]
pub trait ComparableTo<T, M> {
    /// The value as the database has it.
    #[doc(hidden)]
    fn operand(self) -> Operand;
}

fn value<T: Column>(value: &T) -> Operand {
    Operand(value.encode().map(|value| Term::Value(value.into_owned())))
}

impl<T: Column, M> ComparableTo<T, M> for T {
    fn operand(self) -> Operand {
        value(&self)
    }
}

impl<T: Column, M> ComparableTo<T, M> for &T {
    fn operand(self) -> Operand {
        value(self)
    }
}

impl<T: SyncedValue, M> ComparableTo<Option<T>, M> for T {
    fn operand(self) -> Operand {
        value(&self)
    }
}

impl<T: SyncedValue, M> ComparableTo<Option<T>, M> for &T {
    fn operand(self) -> Operand {
        value(self)
    }
}

macro_rules! borrowed {
    ($borrowed:ty, $owned:ty, $value:path) => {
        impl<M> ComparableTo<$owned, M> for $borrowed {
            fn operand(self) -> Operand {
                Operand(Ok(Term::Value($value(self.into()))))
            }
        }

        impl<M> ComparableTo<Option<$owned>, M> for $borrowed {
            fn operand(self) -> Operand {
                Operand(Ok(Term::Value($value(self.into()))))
            }
        }
    };
}

borrowed!(&str, String, Value::Text);
borrowed!(&[u8], Vec<u8>, Value::Blob);

macro_rules! column {
    ($column:ident, $type:ty $(, $of:ident)*) => {
        impl<M: Synced, T $(, $of)*> ComparableTo<T, M> for $column<M, $type $(, $of)*> {
            fn operand(self) -> Operand {
                Operand(Ok(self.into_term()))
            }
        }
    };
}

column!(Col, T);
column!(Col, Option<T>);
column!(Expr, T);
column!(Expr, Option<T>);
column!(RefCol, T, P);
column!(RefCol, Option<T>, P);

impl<M: Synced, T> ComparableTo<Option<T>, M> for Col<M, T> {
    fn operand(self) -> Operand {
        Operand(Ok(self.into_term()))
    }
}

/// A value of a row of the model `M` that isn't in a column of its own: what a map has under a key, how many
/// elements a collection has, a column of the row that a reference names.
pub struct Expr<M, T> {
    term: Term,
    of: PhantomData<fn() -> (M, T)>,
}

impl<M, T> Expr<M, T> {
    pub(super) const fn new(term: Term) -> Self {
        Self { term, of: PhantomData }
    }

    fn into_term(self) -> Term {
        self.term
    }

    const fn about(&self) -> &'static str {
        match &self.term {
            Term::Column(name)
            | Term::Key { map: name, .. }
            | Term::Count(name)
            | Term::Parent { column: name, .. }
            | Term::Unstorable { column: name, .. } => name,
            Term::Value(_) => "",
        }
    }
}

impl<M, T> Clone for Expr<M, T> {
    fn clone(&self) -> Self {
        Self::new(self.term.clone())
    }
}

impl<M, T> fmt::Debug for Expr<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.term).finish()
    }
}

impl<M: Synced, T> Col<M, T> {
    fn into_term(self) -> Term {
        Term::Column(self.name())
    }

    fn about(&self) -> &'static str {
        self.name()
    }
}

impl<M: Synced, T, P> RefCol<M, T, P> {
    fn into_term(self) -> Term {
        Term::Column(self.name())
    }
}

macro_rules! comparisons {
    ($of:ident) => {
        impl<M: Synced, T: Column> $of<M, T> {
            fn compare(self, comparison: Comparison, value: impl ComparableTo<T, M>) -> Filter<M> {
                let value = value.operand().term(self.about());
                Filter::new(Node::Compare(self.into_term(), comparison, value))
            }

            /// It is the same; `None` is the same as `None`.
            pub fn eq(self, value: impl ComparableTo<T, M>) -> Filter<M> {
                self.compare(Comparison::Equal, value)
            }

            /// It is another one; `None` differs from every value.
            pub fn ne(self, value: impl ComparableTo<T, M>) -> Filter<M> {
                self.compare(Comparison::Different, value)
            }

            /// It is less. Text compares by its UTF-8 bytes, so upper case comes first.
            pub fn lt(self, value: impl ComparableTo<T, M>) -> Filter<M> {
                self.compare(Comparison::Less, value)
            }

            /// It is less or the same.
            pub fn le(self, value: impl ComparableTo<T, M>) -> Filter<M> {
                self.compare(Comparison::LessOrEqual, value)
            }

            /// It is greater.
            pub fn gt(self, value: impl ComparableTo<T, M>) -> Filter<M> {
                self.compare(Comparison::Greater, value)
            }

            /// It is greater or the same.
            pub fn ge(self, value: impl ComparableTo<T, M>) -> Filter<M> {
                self.compare(Comparison::GreaterOrEqual, value)
            }

            /// It is from `low` to `high`, both included.
            pub fn between(self, low: impl ComparableTo<T, M>, high: impl ComparableTo<T, M>) -> Filter<M> {
                let (low, high) = (low.operand().term(self.about()), high.operand().term(self.about()));
                Filter::new(Node::Between(self.into_term(), low, high))
            }

            /// It is one of these; of none, if there are none. A query compares with up to 32,000 values in
            /// all.
            pub fn in_<V: ComparableTo<T, M>>(self, values: impl IntoIterator<Item = V>) -> Filter<M> {
                let (mut known, mut nodes) = (Vec::new(), Vec::new());
                for value in values {
                    match value.operand().term(self.about()) {
                        Term::Value(value) => known.push(value),
                        term => nodes.push(Node::Compare(self.clone().into_term(), Comparison::Equal, term)),
                    }
                }
                nodes.push(Node::In(self.into_term(), known));
                Filter::new(Node::Any(nodes))
            }

            /// It is `None`.
            pub fn is_null(self) -> Filter<M> {
                Filter::new(Node::Null(self.into_term()))
            }

            /// It is not `None`.
            pub fn is_not_null(self) -> Filter<M> {
                self.is_null().not()
            }

            /// It is like an SQL pattern, in which `%` stands for any text and `_` for any character; upper and
            /// lower case of ASCII letters are alike.
            pub fn like(self, pattern: impl Into<String>) -> Filter<M>
            where
                T: Search,
            {
                Filter::new(Node::Like(self.into_term(), pattern.into()))
            }

            /// This text is in it.
            pub fn contains(self, text: impl Into<String>) -> Filter<M>
            where
                T: Search,
            {
                Filter::new(Node::Contains(self.into_term(), Place::Anywhere, text.into()))
            }

            /// This text is in it, whatever is in upper or lower case. To look for words, with an index, see
            /// [`Col::matches`].
            pub fn contains_ignore_case(self, text: impl Into<String>) -> Filter<M>
            where
                T: Search,
            {
                Filter::new(Node::Contains(self.into_term(), Place::AnywhereIgnoringCase, text.into()))
            }

            /// It begins with this text. An index over the column serves that.
            pub fn starts_with(self, text: impl Into<String>) -> Filter<M>
            where
                T: Search,
            {
                Filter::new(Node::Contains(self.into_term(), Place::Start, text.into()))
            }

            /// It ends with this text.
            pub fn ends_with(self, text: impl Into<String>) -> Filter<M>
            where
                T: Search,
            {
                Filter::new(Node::Contains(self.into_term(), Place::End, text.into()))
            }

            /// Ordered by it, the least first; `None` before all others.
            pub fn asc(self) -> Order<M> {
                Order::new(Key { term: self.into_term(), descending: false })
            }

            /// Ordered by it, the greatest first; `None` after all others.
            pub fn desc(self) -> Order<M> {
                Order::new(Key { term: self.into_term(), descending: true })
            }
        }
    };
}

comparisons!(Col);
comparisons!(Expr);
