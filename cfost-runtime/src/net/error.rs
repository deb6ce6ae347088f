//! What can go wrong between devices.

use std::io;

use libp2p::Multiaddr;

use crate::identity::IdentityError;
use crate::sync::ReplicaError;

/// Reaching other devices failed: what, on what, and what to do.
///
/// Losing a connection is no error: the node dials again by itself and tells it by
/// [`NodeEvent`](super::NodeEvent).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The node was started outside of a tokio runtime.
    #[error("the network needs a tokio runtime: start the node inside of one (`#[tokio::main]`)")]
    NoRuntime,
    /// The device's transport key is no Ed25519 key.
    #[error("the device's transport key is damaged: restore the device from a backup or pair it again")]
    TransportKey,
    /// An address to listen on is of no kind that is known here, or can't be bound.
    #[error("can't listen on {address}: {reason}; choose another address, or port 0 for any free port")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system says.
        reason: String,
    },
    /// The search for devices on the LAN can't start.
    #[error("can't search the LAN for devices: {0}; start the node without it")]
    Lan(#[source] io::Error),
    /// An address to dial does not name one host, one port and one peer.
    #[error(
        "{address} is not the address of a device: expected something like \
         /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3..."
    )]
    Address {
        /// The address.
        address: Multiaddr,
    },
    /// The node is stopped.
    #[error("the node is stopped: start a new one")]
    Stopped,
    /// Another invitation is open; one device is paired at a time.
    #[error("another pairing is under way: finish or cancel it first")]
    PairingBusy,
    /// The inviting device could not be reached in time.
    #[error("the inviting device can't be reached: are both on the same network, is its invitation still shown?")]
    InviterUnreachable,
    /// The new device could not be reached in time.
    #[error("the new device can't be reached: are both on the same network, is its code still shown?")]
    BearerUnreachable,
    /// The other device hung up or said nothing in time, or the invitation expired meanwhile.
    #[error("the pairing was interrupted ({0}): show a new invitation and try again")]
    PairingInterrupted(&'static str),
    /// What the other device says in the pairing does not hold.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database failed while a device was let in.
    #[error("the database failed while it let a device in: {0}")]
    Replica(#[source] ReplicaError),
}
