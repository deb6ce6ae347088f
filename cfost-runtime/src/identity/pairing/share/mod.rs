//! Inviting another user to a space, by a code.
//!
//! The owner's device (the [`Sharer`]) shows a [`ShareInvitation`], which a device of the other user (the
//! [`ShareGuest`]) reads, and dials:
//!
//! ```text
//! guest                                                              sharer
//!   visit: pairing id, nonce, hash of who it is, MAC      ───────▶   checks; consumes the pairing id, durably,
//!                                                                    before it answers
//!   shows six digits                  ◀───────   challenge: nonce, MAC
//!   introduce: its user's identity log                    ───────▶   checks; asks its user for the digits
//!              the user reads them on the guest's device, and types them into this one
//!   checks all of it; stores it       ◀───────   admit: members log, and the members' identity logs, sealed
//!   done: MAC                                             ───────▶   knows that it is over
//! ```
//!
//! It is the pairing by an [`Invitation`](super::Invitation), with the same proofs over the same transcript; but what
//! asks for admission is a user with all devices that it has, and not a new device. Who the guest is, is fixed by its
//! first message, so the digits cover it. The keys of the space are in the members log, sealed to the guest's devices;
//! all that is missing after that comes by sync.

mod guest;
mod papers;
mod sharer;
mod shown;

pub use guest::{GuestEvent, ShareGuest};
pub use papers::{Papers, Visitor};
pub use sharer::{Sharer, SharerEvent};
pub use shown::ShareInvitation;
