//! How two devices bring each other up to date, without any input or output: of one user in everything, of two users in
//! the spaces that both are in.
//!
//! A [`Session`] is one end of one connection. It is given what arrives ([`Input`]), asks the database
//! ([`Replica`]), and gives back what to send and what happened ([`Output`]). It has no clock, no thread
//! and no socket: libp2p, the in-memory [`pipe`] and a simulator drive the same one.
//!
//! 1. **Greeting.** The dialer knows from the identity logs which key belongs to a device of its user, or of one that
//!    shares a space; to any other it says nothing. It sends `Hello` with its certificate and digests of what it
//!    holds, and its frontiers behind. The listener sends *nothing* until that certificate holds and
//!    names the key which the connection has authenticated. With equal digests that is all: one round trip,
//!    however many devices and spaces there are.
//! 2. **Entries first.** If the identity logs or the members logs differ that both may know of, each side asks for what
//!    it lacks, and gets it before the first change: so the author of a change, and what he may do, is known when the
//!    change arrives. What a peer may know of, [`EntryLogs::told_to`] decides.
//! 3. **Changes.** `RequestOps` tells a frontier per space and means: send me everything beyond it, and
//!    keep doing so. `SendOps` carries runs of changes, several frames in flight, bounded by a
//!    window; `Ack` says that they are durable. So a session stays live after catching up, and a
//!    session that dies is resumed by the next one from the frontier.
//!
//! What holds: a peer that is no authorised device gets no byte from a listener; an acknowledged change
//! is durable; whatever a peer sends, memory stays within [`limits`] and the session ends in a
//! [`SyncError`] or goes on, it never panics. `docs/wire.md` has the messages, the states and the limits.

mod build;
mod error;
pub mod limits;
mod logs;
mod message;
pub mod pipe;
mod replica;
mod session;
#[cfg(test)]
mod tests;

pub use build::{Build, Outdated};
pub use error::{ErrorCode, ReplicaError, SyncError};
pub use logs::{EntryLogs, LogKey, Told};
pub use replica::{Applied, Copied, Refusal, Refused, Replica, Seqs, Served};
pub use session::{CloseReason, Event, Input, Output, Session, Tally};
