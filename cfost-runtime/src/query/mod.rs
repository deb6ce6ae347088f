//! Reading: queries of models by typed columns, and SQL as tuples.
//!
//! A closure is given a model's typed columns and returns a [`Filter`] or an [`Order`]: a tree of terms that
//! knows no types any more (`ast`). `render` makes SQL of the tree and binds its values; the `db` room runs
//! it and reads the rows.

mod ast;
mod column;
mod compare;
mod encrypted;
mod filter;
mod order;
mod render;
mod select;
mod sql;

pub use column::{Col, ListCol, MapCol, RefCol, SetCol, TextCol};
pub use compare::{ComparableTo, Expr};
pub use encrypted::{EncryptedCol, Readable};
pub use filter::{Filter, Operand};
pub use order::{Order, Orders};
pub use select::{Query, Queryable, With};
pub use sql::{FromRow, Sql};

pub(crate) use ast::Spec;
pub(crate) use render::{Output, Statement, statement};
