//! What the stories of CFOST's tests share.

pub mod fuzz;
