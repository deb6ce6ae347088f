//! Every bound of this room in one place; `docs/network.md` has the same table, with reasons.

use std::time::Duration;

use crate::identity::limits::CONFIRMATION_MS_MAX;

/// Inbound connections whose handshake is not finished.
pub(crate) const PENDING_INBOUND_MAX: usize = 32;
/// Of those, the ones that come from one IPv4 address or one IPv6 /64 network.
pub(crate) const PENDING_INBOUND_PER_SOURCE_MAX: usize = 8;
/// Outbound connections whose handshake is not finished.
pub(crate) const PENDING_OUTBOUND_MAX: usize = 32;
/// Established connections, inbound and outbound.
pub(crate) const ESTABLISHED_MAX: usize = 64;
/// Of those, the inbound ones of peers that are not (yet) known to be authorised.
pub(crate) const STRANGERS_MAX: usize = 16;
/// Of those, the ones that come from one IPv4 address or one IPv6 /64 network.
pub(crate) const STRANGERS_PER_SOURCE_MAX: usize = 4;
/// Established connections with one peer: one in use, one about to take over or to go.
pub(crate) const ESTABLISHED_PER_PEER_MAX: usize = 2;
/// Share of the machine's memory beyond which no connection is added.
pub(crate) const MEMORY_SHARE_MAX: f64 = 0.9;

/// Streams that a peer may have open on one connection, of all protocols together.
pub(crate) const STREAMS_PER_CONNECTION_MAX: usize = 16;
/// Inbound streams of one protocol of ours that a peer may have open on one connection.
pub(crate) const STREAMS_PER_PROTOCOL_MAX: usize = 2;
/// Inbound streams of one connection whose protocol is not agreed on yet.
pub(crate) const STREAMS_NEGOTIATING_MAX: usize = 8;
/// Bytes that a peer may have in flight to us on one QUIC stream.
pub(crate) const QUIC_STREAM_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Bytes that a peer may have in flight to us on one QUIC connection.
pub(crate) const QUIC_CONNECTION_BYTES_MAX: u32 = 6 * 1024 * 1024;

/// Time for the transport's handshake, inbound and outbound.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to agree on the protocol of a stream.
pub(crate) const STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// Time from an established connection to a peer that has proven who it is.
pub(crate) const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a connection without any stream is closed.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which QUIC gives a connection up.
pub(crate) const QUIC_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a write to make progress before the peer counts as gone.
pub(crate) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(12);
/// Time a session gets to send what it has when it is asked to stop.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Time [`super::Node::stop`] takes at most.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Time [`super::Node::start`] waits for its listeners.
pub(crate) const LISTEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Time that a node waits for the port it had last time, before it takes another.
pub(crate) const PORT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a port that is still in use is tried again.
pub(crate) const PORT_RETRY_INTERVAL: Duration = Duration::from_millis(25);

/// The first and the shortest pause before a device is dialled again.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest pause before a device is dialled again.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The shortest pause between two dials of a device that announcements on the LAN bring about.
pub(crate) const LAN_REDIAL_MIN: Duration = Duration::from_secs(1);
/// A session that lived shorter than this counts as one more failed attempt.
pub(crate) const SESSION_SETTLED: Duration = Duration::from_secs(5);
/// Addresses kept for one device from each source (remembered, found on the LAN).
pub(crate) const ADDRESSES_PER_SOURCE_MAX: usize = 16;
/// Addresses tried in one dial.
pub(crate) const ADDRESSES_PER_DIAL_MAX: usize = 16;
/// Devices that are dialled; a user has a handful.
pub(crate) const DEVICES_MAX: usize = 1024;

/// Commands that wait for the swarm's task.
pub(crate) const COMMANDS_MAX: usize = 64;
/// Reports of sessions that wait for the swarm's task.
pub(crate) const REPORTS_MAX: usize = 256;
/// Events that a slow subscriber may lag behind before it loses the oldest.
pub(crate) const EVENTS_MAX: usize = 256;
/// Bytes read from a stream at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Chunks of [`READ_BYTES`] that wait for a session.
pub(crate) const READ_CHUNKS_MAX: usize = 16;

/// Time for each of the first two messages of a pairing.
pub(crate) const PAIRING_FIRST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the last messages of a pairing, with the database's work in between.
pub(crate) const PAIRING_LAST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the digits to be typed, and a little more than the inviter gives.
pub(crate) const PAIRING_CONFIRM_TIMEOUT: Duration = Duration::from_millis(CONFIRMATION_MS_MAX + 30_000);
/// Connections on which a new device begins, if each is lost before it has digits to show.
pub(crate) const PAIRING_STARTS_MAX: u32 = 3;
/// Time that a new device looks for the inviter.
pub(crate) const PAIRING_DIAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Peers on the LAN that a new device with a spoken code asks, those that it was told of included.
pub(crate) const PAIRING_ASKED_MAX: usize = 32;
/// Streams of peers that wait for a new device to hear whether they have read its card.
pub(crate) const OFFERED_MAX: usize = 32;
/// Time that it gives others to answer once its code was refused.
pub(crate) const PAIRING_OTHERS_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = {
    assert!(PENDING_INBOUND_PER_SOURCE_MAX < PENDING_INBOUND_MAX);
    assert!(STRANGERS_MAX < ESTABLISHED_MAX);
    assert!(STRANGERS_PER_SOURCE_MAX < STRANGERS_MAX);
    assert!(BACKOFF_MIN.as_millis() < BACKOFF_MAX.as_millis());
    assert!(QUIC_STREAM_BYTES_MAX <= QUIC_CONNECTION_BYTES_MAX);
};
