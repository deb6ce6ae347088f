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
//! Where there is no camera, and nobody wants to type the text, a [`SpokenCode`] of eight digits takes the place of
//! the invitation: [`SpokenInviter`] and [`SpokenJoiner`] agree on a secret by it, and then the two machines above
//! take over, at the challenge.
//!
//! Where the new device has no camera, it may show the code, its [`Card`], and the authorised one reads it: then the
//! [`CardReader`] dials, and the [`CardBearer`] answers. Its digits are typed into the authorised device as ever.
//!
//! Another user is invited to a space in the same way, by a [`ShareInvitation`]: the [`Sharer`] shows it, the
//! [`ShareGuest`] dials, and the digits that it shows are typed in here. It becomes no device, but its user a member.
//!
//! A peer that is refused learns one byte, the same for every reason. Whoever drives a machine answers
//! each of its errors with [`refusal`] and closes the connection.
//!
//! Both sides in one place, where an app has a connection between them:
//!
//! ```
//! use cfost_runtime::clock::Timestamp;
//! use cfost_runtime::host::Host;
//! use cfost_runtime::identity::pairing::{Invitation, Inviter, InviterEvent, Joiner, JoinerEvent};
//! use cfost_runtime::identity::{Body, DeviceKeys, IdentityLog, RecoveryPhrase, RootKey};
//!
//! # fn main() -> cfost_runtime::identity::Result<()> {
//! let host = Host::system();
//! let now = || Timestamp::from_ms(host.now_ms());
//!
//! // The phone has a user: its phrase is written on paper, its root key certified the phone.
//! let root = RootKey::from_phrase(&RecoveryPhrase::generate(&host));
//! let phone = DeviceKeys::generate(&host);
//! let mut log = IdentityLog::found(&root, &phone, "Ana's phone", now())?;
//! drop(root);
//!
//! // It shows an invitation, which the laptop reads.
//! let hints = ["/ip4/192.168.1.20/tcp/4001".to_owned()];
//! let invitation = Invitation::create(&host, log.user_id(), &phone.public(), hints);
//! println!("{}\n{}", invitation.qr_terminal(), invitation.to_text());
//! let text = invitation.to_text();
//! let mut inviter = Inviter::new(host.clone(), invitation);
//!
//! let laptop = DeviceKeys::generate(&host);
//! let mut joiner = Joiner::new(host.clone(), Invitation::from_text(&text)?, laptop.clone(), "Ana's laptop")?;
//!
//! // The laptop dials. Each side knows the other's transport key from the connection.
//! let (phone_peer, laptop_peer) = (phone.public().transport, laptop.public().transport);
//! let start = joiner.start(&phone_peer)?;
//! let InviterEvent::Consume(_pairing) = inviter.receive(&laptop_peer, &start)? else { unreachable!() };
//! // Here the phone records the pairing as used up, durably.
//! let challenge = inviter.consumed()?;
//! let JoinerEvent::ShowDigits(digits) = joiner.receive(&challenge)? else { unreachable!() };
//!
//! // The user reads the digits on the laptop and types them into the phone, which adds the laptop,
//! // stores the entry, and lets it in.
//! let request = inviter.confirm(&digits.to_string())?;
//! let entry = log.author(&phone, Body::AddDevice(request), now())?;
//! log.insert(entry.as_bytes())?;
//! for message in inviter.admit(&log, &[])? {
//!     if let JoinerEvent::Joined(joined) = joiner.receive(&message)? {
//!         // Here the laptop stores the log and the keys.
//!         assert_eq!(joined.log.device_count(), 2);
//!     }
//! }
//! assert_eq!(inviter.receive(&laptop_peer, &joiner.done()?)?, InviterEvent::Joined(laptop.id()));
//! # Ok(())
//! # }
//! ```

mod admission;
mod card;
mod code;
mod confirmation;
mod invitation;
mod inviter;
mod joiner;
mod message;
mod pake;
mod share;
mod shown;
mod spoken;
#[cfg(test)]
mod tests;
mod transcript;

pub use admission::Joined;
pub use card::{BearerEvent, Card, CardBearer, CardReader, ReaderEvent};
pub use invitation::{Invitation, PairingId};
pub use inviter::{Inviter, InviterEvent};
pub use joiner::{Joiner, JoinerEvent};
pub use message::refusal;
pub use share::{GuestEvent, Papers, ShareGuest, ShareInvitation, Sharer, SharerEvent, Visitor};
pub use spoken::{Greeting, SpokenCode, SpokenInviter, SpokenJoiner};
pub use transcript::Digits;
