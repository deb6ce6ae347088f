//! Pairing the other way round: the new device shows the code, its [`Card`], and the authorised device reads it. For
//! where only the authorised device has a camera.
//!
//! The authorised device (the [`CardReader`]) dials the new one (the [`CardBearer`]):
//!
//! ```text
//! reader                                                             bearer
//!   call: pairing id, nonce, user, MAC                    ───────▶   checks; consumes the pairing id, durably,
//!                                                                    before it answers; makes up six digits
//!                                     ◀───────   ready: nonce, MAC
//!              the user reads the digits on the new device, and types them into the authorised one
//!   try: an element                                       ───────▶   counts the try
//!                                     ◀───────   prove: an element, start under the agreed key
//!   checks; adds the device; challenge, admit             ───────▶   checks all of it; stores it
//!                                     ◀───────   done: MAC
//! ```
//!
//! Whoever has photographed the card can make the new device show digits, and then has to know them: they are made up
//! by the new device and depend on nothing that was said, and both ends run SPAKE2 with them, in which each guess takes
//! a try, of which there are three. The user reads them off the *real* new device, and types them into the *real*
//! authorised one: so the one knows that it lets in what the user sees, and the other one that it is let in by whom the
//! user holds in hand. Neither would be known if the digits came from the transcript: whoever has photographed the card
//! and dials first would know them too, and admit the new device to a user of his own, with all rows in it.
//!
//! From the agreed key on it is the pairing by an [`Invitation`](super::Invitation), from start to done; its digits
//! are confirmed already.

mod bearer;
mod reader;
mod shown;

pub use bearer::{BearerEvent, CardBearer};
pub use reader::{CardReader, ReaderEvent};
pub use shown::Card;
