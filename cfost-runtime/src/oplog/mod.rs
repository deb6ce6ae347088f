//! Ops, changes and logs as bytes: how they are encoded, chained, signed and sealed.

mod id;
mod value;

pub use id::{ChangeId, DeviceId, LogId, SpaceId, UserId};
pub use value::{Value, ValueRef};
