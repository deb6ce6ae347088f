//! The README's program, as `build.rs` found it there; `tests/readme.rs` runs it.
#![allow(missing_docs, clippy::pedantic, clippy::print_stdout, reason = "the README's program is written to be read")]

include!(concat!(env!("OUT_DIR"), "/readme.rs"));
