//! Ops, changes and logs as bytes: how they are encoded, chained, signed and sealed.

mod id;

pub use id::{ChangeId, DeviceId, LogId, SpaceId, UserId};
