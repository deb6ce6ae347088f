//! Who the members of a space are, and what each of them may do there.
//!
//! A space other than a user's home has a *members log*: signed entries that name the entries their author knew, as
//! those of an identity log do. An entry is made by a device, which speaks for its user. Of the set of entries, and of
//! the identity logs of the users involved, it is a pure function who the [`Members`] are, which keys the space has,
//! and [how far](Limit) a log of a device counts.
//!
//! Data flows in through [`SpaceLog::insert`], which checks what an entry can show by itself: its form, its signature,
//! its bounds. What entries mean is decided by `say` and told by [`SpaceLog::members`]. `docs/security.md` has the
//! formats as tables, and the rules with their reasons.

mod entry;
mod epochs;
mod log;
mod members;
mod say;

pub use entry::{Role, SpaceBody, SpaceEntry};
pub use epochs::SpaceEpoch;
pub use log::SpaceLog;
pub use members::{Ended, Limit, Members};
#[cfg(test)]
pub(super) use say::{Act, Fact, Say};
