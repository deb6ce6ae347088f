//! Pairing: how a new device becomes one of the user's.
//!
//! The authorised device (the [`Inviter`]) shows an [`Invitation`] as a QR code or as text. The new
//! device (the [`Joiner`]) reads it and dials. Both ends are state machines: messages in, messages and
//! events out; whoever drives them carries the messages over an authenticated connection.
//!
//! ```text
//! joiner                                                             inviter
//!   start: pairing id, nonce, its keys, its name, MAC      ───────▶   checks; consumes the pairing id,
//!                                                                     durably, before it answers
//!   shows six digits                  ◀───────   challenge: nonce, MAC
//!              the user reads them on the new device, and types them into the authorised one
//!   checks all of it; stores it       ◀───────   admit: identity log and space keys, sealed
//!   done: MAC                                              ───────▶   knows that it is over
//! ```
//!
//! Each MAC is keyed by the invitation's secret and covers everything said so far, and the transport
//! keys with which both ends of the connection are authenticated. A code that someone else has
//! photographed is worth nothing: he can make the inviter ask for digits, but the digits that he sees
//! depend on keys and nonces of his own, and the user reads digits off the *real* new device.
//!
//! A peer that is refused learns one byte, the same for every reason. Whoever drives a machine answers
//! each of its errors with [`refusal`] and closes the connection.

mod admission;
mod code;
mod invitation;
mod inviter;
mod joiner;
mod message;
#[cfg(test)]
mod tests;
mod transcript;

pub use admission::Joined;
pub use invitation::{Invitation, PairingId};
pub use inviter::{Inviter, InviterEvent};
pub use joiner::{Joiner, JoinerEvent};
pub use message::refusal;
pub use transcript::Digits;
