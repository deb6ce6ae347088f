//! Tests for an app's own models, to be called from the app's tests.
//!
//! [`merge_laws`] is the one line that every model deserves; [`devices()`] and [`sync`] are for stories of the
//! app's own, with several devices in one process.
//!
//! The module is a part of every build, since the linker leaves out what nobody calls, and a test then needs
//! neither a feature nor another dependency.

mod devices;
mod laws;
mod random;
mod story;

pub use devices::{TestDevice, devices, pair, sync};
pub use laws::{merge_laws, merge_laws_of};
