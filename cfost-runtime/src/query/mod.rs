//! Reading: rows as models, and SQL as tuples.

mod sql;

pub use sql::{FromRow, Sql};
