//! Tests for an app's own models, to be called from the app's tests.
//!
//! [`merge_laws`] is the one line that every model deserves, [`fleet()`] the one that an app deserves of which several
//! versions are out there; [`devices()`] and [`sync`], and [`Fleet`], are for stories of the app's own, with several
//! devices in one process.
//!
//! The module is a part of every build, since the linker leaves out what nobody calls, and a test then needs
//! neither a feature nor another dependency.

mod devices;
mod fleet;
mod laws;
mod lock;
mod random;
mod story;
mod values;

pub use devices::{TestDevice, devices, pair, sync};
pub use fleet::{Fleet, FleetDevice, FleetFailure, FleetOptions, FleetReport, fleet};
pub use laws::{merge_laws, merge_laws_of};
pub use lock::{LockFailure, check_schema_lock, schema_lock};
