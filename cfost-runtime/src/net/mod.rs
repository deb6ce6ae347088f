//! Devices that find and reach each other: the only room with sockets.
//!
//! ```text
//!            remembered addresses, mDNS, the network changed, the user asked
//!                                      │
//!   identity log ── who may be dialled ┴▶ dial: whom, where, when        links: which of two
//!                                      │                                   connections stays
//!                                      ▼                                         ▲
//!   other devices ◀── TCP, QUIC ──▶ swarm: one task, owns every socket ──────────┘
//!                                      │ one stream a session, on a known connection
//!                                      ▼
//!                   session: reader │ state machine, off the async threads │ writer
//!                                      │
//!                                      ▼
//!                                  the database, by `sync::Replica`
//! ```
//!
//! - A [`Node`] dials the devices that the identity log names and nobody else, and goes on trying.
//! - Whoever dials in has five seconds to prove that it is such a device. Until then
//!   it is told nothing, and the places that strangers can take are few and not those of devices.
//! - Two connections with one device become one, by a rule to which both come alone (`links`).
//! - The swarm's task never waits for the database or the app; a session never runs where it would
//!   hold up another.
//! - Every queue, place and wait has a bound, in `limits`. `docs/network.md` lists them with reasons.

mod accepting;
mod admitting;
mod dial;
mod door;
mod error;
mod event;
mod frame;
mod gate;
mod inviting;
mod joining;
mod known;
mod limits;
mod links;
mod node;
mod offering;
mod session;
mod sharing;
mod streams;
mod swarm;
mod task;
mod transport;

#[cfg(test)]
mod tests;

pub use accepting::{Accepting, accept};
pub use admitting::Admitting;
pub use error::NetError;
pub use event::{NodeEvent, PeerConnection, PeerStatus, Transport};
pub use inviting::{Admission, Admitter, PairingOffer, SpokenOffer};
pub use joining::{Joining, join, join_spoken};
pub use libp2p::{Multiaddr, PeerId};
pub use node::{LocalChanged, Node, NodeConfig};
pub use offering::{CardOffer, Newcomer, offer};
pub use sharing::{Guest, ShareOffer, Welcome, Welcomer};
