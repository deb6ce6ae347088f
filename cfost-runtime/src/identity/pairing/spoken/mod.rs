//! Pairing without a camera: eight digits, said aloud.
//!
//! The authorised device (the [`SpokenInviter`]) shows a [`SpokenCode`], which the user types into the new device
//! (the [`SpokenJoiner`]). Eight digits are few: whoever could try them out would find them in seconds. So both
//! ends run SPAKE2 (RFC 9382), in which each guess takes an exchange of its own with somebody who knows the
//! code, and three wrong ones burn it:
//!
//! ```text
//! joiner                                                             inviter
//!   greet                                                 ───────▶
//!                                     ◀───────   offer: user, pairing id, expiry, an element
//!   prove: an element, start under the agreed key         ───────▶   counts the try, durably, before it answers
//!                                     ◀───────   challenge, or refused
//! ```
//!
//! The agreed key takes the place of the secret in an [`Invitation`](super::Invitation), and from the challenge on
//! it is the pairing by one: six digits to type, admission, done. Code, user, pairing and both transport keys, as
//! the connection has them, go into the key, so nothing that was said on one connection means anything on another.
//! The two roles are not symmetric: what one side sent is refused by itself.

mod code;
mod inviter;
mod joiner;

pub use code::SpokenCode;
pub use inviter::{Greeting, SpokenInviter};
pub use joiner::SpokenJoiner;
