//! Reading: rows as models, and SQL as tuples.

mod column;
mod sql;

pub use column::{Col, ListCol, MapCol, RefCol, SetCol, TextCol};
pub use sql::{FromRow, Sql};
