//! What the stories in `tests/` share.

pub mod fleet;
pub mod fuzz;
pub mod meaning;
pub mod process;
