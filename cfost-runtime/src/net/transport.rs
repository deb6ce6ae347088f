//! How bytes travel: TCP with Noise and yamux, QUIC with TLS 1.3, names looked up by DNS.
//!
//! Both transports prove the device's transport key in their handshake, so a connection's peer id
//! can be trusted before the first byte of ours is exchanged.

use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, Transport as _};
use libp2p::core::upgrade::Version;
use libp2p::futures::future::Either;
use libp2p::identity::{Keypair, PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, dns, noise, quic, swarm, tcp, yamux};
use zeroize::Zeroizing;

use super::NetError;
use super::limits::{
    HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, QUIC_CONNECTION_BYTES_MAX, QUIC_IDLE_TIMEOUT, QUIC_STREAM_BYTES_MAX,
    STREAMS_NEGOTIATING_MAX, STREAMS_PER_CONNECTION_MAX,
};

type Muxed = Boxed<(PeerId, StreamMuxerBox)>;

/// The libp2p key pair of a device: its Ed25519 transport key, nothing derived.
pub(crate) fn keypair(secret: &[u8; 32]) -> Result<Keypair, NetError> {
    let mut secret = Zeroizing::new(*secret);
    Keypair::ed25519_from_bytes(&mut secret[..]).map_err(|_| NetError::TransportKey)
}

/// The peer id of the device with this transport key; `None` if the bytes are no key.
pub(crate) fn peer_id(transport_key: &[u8; 32]) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(transport_key).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The transport key that `peer` proved: an Ed25519 peer id is its key, unhashed.
pub(crate) fn transport_key(peer: &PeerId) -> Option<[u8; 32]> {
    let multihash = peer.as_ref();
    // 0 is the code of the identity multihash: keys of up to 42 bytes are not hashed.
    let inline = (multihash.code() == 0).then_some(multihash.digest())?;
    Some(PublicKey::try_decode_protobuf(inline).ok()?.try_into_ed25519().ok()?.to_bytes())
}

/// TCP and QUIC as one transport, with names looked up by the system's resolver. Where the system
/// tells no resolver, addresses in numbers still work.
pub(crate) fn transport(keypair: &Keypair) -> Result<Muxed, NetError> {
    let named = match dns::tokio::Transport::system(direct(keypair)?) {
        Ok(named) => named.boxed(),
        Err(error) => {
            tracing::warn!(%error, "no DNS resolver is configured: names in addresses are not looked up");
            direct(keypair)?
        }
    };
    Ok(TransportTimeout::new(named, HANDSHAKE_TIMEOUT).boxed())
}

fn direct(keypair: &Keypair) -> Result<Muxed, NetError> {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS_PER_CONNECTION_MAX);
    let noise = noise::Config::new(keypair).map_err(|_| NetError::TransportKey)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux);

    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = HANDSHAKE_TIMEOUT;
    config.max_idle_timeout = QUIC_IDLE_TIMEOUT.as_millis() as u32;
    config.keep_alive_interval = QUIC_IDLE_TIMEOUT / 3;
    config.max_concurrent_stream_limit = STREAMS_PER_CONNECTION_MAX as u32;
    config.max_stream_data = QUIC_STREAM_BYTES_MAX;
    config.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
    let quic = quic::tokio::Transport::new(config).map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    let either = tcp.or_transport(quic).map(|output, _| match output {
        Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        Either::Right(output) => output,
    });
    Ok(either.boxed())
}

/// How the swarm treats connections in general.
pub(crate) fn swarm_config() -> swarm::Config {
    swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(STREAMS_NEGOTIATING_MAX)
        // Data goes out with the name of the protocol: a session costs no round trip to open.
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        // QUIC first, then TCP, 30 ms (LAN) or 250 ms apart: the first handshake to finish wins.
        .with_smart_dial()
}

/// What carries this address, if it is one that we can dial.
pub(crate) fn dialable(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast(),
        Some(Protocol::Ip6(ip)) => !ip.is_unspecified() && !ip.is_multicast(),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)) => true,
        _ => false,
    };
    let carrier = match parts.next() {
        Some(Protocol::Tcp(port)) => port != 0,
        Some(Protocol::Udp(port)) => port != 0 && parts.next() == Some(Protocol::QuicV1),
        _ => false,
    };
    host && carrier && parts.next().is_none()
}

/// Whether this address only means something on the machine itself.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// The address with `port` in place of a port 0, which leaves the choice open.
pub(crate) fn with_port(address: &Multiaddr, port: u16) -> Multiaddr {
    let choose = |part| match part {
        Protocol::Tcp(0) => Protocol::Tcp(port),
        Protocol::Udp(0) => Protocol::Udp(port),
        other => other,
    };
    address.iter().map(choose).collect()
}

/// The port of this address.
pub(crate) fn port(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

/// Whether the port of this address is taken. libp2p wraps the system's answer too often to tell, so
/// the system is asked once more.
pub(crate) fn is_port_in_use(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return false,
    };
    let bound = match parts.next() {
        Some(Protocol::Tcp(port)) => TcpListener::bind((ip, port)).map(drop),
        Some(Protocol::Udp(port)) => UdpSocket::bind((ip, port)).map(drop),
        _ => return false,
    };
    bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Splits `/p2p/<peer id>` off the end of an address.
pub(crate) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_the_transport_key_and_leads_back_to_it() {
        let keypair = keypair(&[7; 32]).unwrap();
        let peer = keypair.public().to_peer_id();
        let key = transport_key(&peer).unwrap();
        assert_eq!(peer_id(&key), Some(peer));
        assert_eq!(key, keypair.try_into_ed25519().unwrap().public().to_bytes());
    }

    #[test]
    fn only_addresses_that_lead_to_one_host_and_port_are_dialled() {
        for good in ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1", "/dns4/hub.example.org/tcp/4001"] {
            assert!(dialable(&good.parse().unwrap()), "{good}");
        }
        for bad in [
            "/ip4/0.0.0.0/tcp/4001",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/udp/4001",
            "/ip4/224.0.0.251/udp/5353/quic-v1",
            "/ip4/192.0.2.1/tcp/4001/ws",
            "/unix/tmp",
            "/memory/1",
        ] {
            assert!(!dialable(&bad.parse().unwrap()), "{bad}");
        }
    }
}
