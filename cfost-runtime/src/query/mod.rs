//! Reading: rows as models, and SQL as tuples.

mod column;
mod sql;

pub use column::Col;
pub use sql::{FromRow, Sql};
