//! Who a user is, which devices are the user's, and how a new one becomes one of them.
//!
//! A user is a root key, which comes from 24 words. The root key certifies the user's first device
//! and is then erased; from there on a device certifies the next. These certifications, and the names
//! of things, are the user's [identity log](IdentityLog), of which every device holds a copy. A
//! device proves who it is by the [certificate](verify_certificate) cut out of that log, and by
//! holding the keys that the certificate names.
//!
//! Everything here is a pure value: no file, no socket, no clock but the one handed in. What must
//! last is bytes that the store keeps.

mod attempts;
mod authority;
mod certificate;
mod devices;
mod entry;
mod envelope;
mod epoch;
mod epochs;
mod error;
mod frontiers;
mod graph;
mod hpke;
mod keyring;
mod keys;
pub mod limits;
mod log;
mod master;
pub mod pairing;
mod password;
mod phrase;
mod space;
#[cfg(feature = "keyring")]
mod system_keyring;
#[cfg(test)]
mod tests;
mod text;
mod users;
mod vault;
mod wire;

pub use attempts::LoginAttempts;
pub use certificate::{user_of_certificate, verify_certificate};
pub use devices::{Device, Standing};
pub use entry::{AddDevice, Body, Entry, EntryId, Profile};
pub use epoch::{EpochGrant, new_epoch};
pub use epochs::{Current, Grants};
pub use error::{IdentityError, Result};
pub use frontiers::Frontiers;
pub(crate) use keyring::SharedKeyring;
pub use keyring::{Keyring, KeyringError};
pub use keys::{DeviceKeys, DevicePublic, RootKey, RootPublic};
pub use log::{IdentityLog, Inserted};
pub use master::MasterKey;
pub use password::check_password;
pub use phrase::RecoveryPhrase;
pub use space::{Ended, Limit, Members, Role, SpaceBody, SpaceEntry, SpaceEpoch, SpaceLog};
#[cfg(feature = "keyring")]
pub use system_keyring::SystemKeyring;
pub use users::Users;
pub use vault::{PasswordCost, Vault};
