//! Who gets in: the bounds on connections, with room kept for the user's own devices.
//!
//! A stranger needs no key of ours to open a connection, so what strangers may hold is bounded
//! thrice: in all, per source address, and in time. Authorised devices, known by the key that their
//! handshake proved, have the rest to themselves.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialFailure, FromSwarm, ListenFailure, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::limits::{
    ESTABLISHED_MAX, ESTABLISHED_PER_PEER_MAX, PENDING_INBOUND_MAX, PENDING_INBOUND_PER_SOURCE_MAX,
    PENDING_OUTBOUND_MAX, STRANGERS_MAX, STRANGERS_PER_SOURCE_MAX,
};

/// The peers that the identity log authorises, shared by the behaviours of one swarm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorised(Arc<RwLock<HashSet<PeerId>>>);

impl Authorised {
    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }

    pub(crate) fn replace(&self, peers: HashSet<PeerId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = peers;
    }
}

/// Where a connection comes from, as coarse as one machine can vary it at no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(Ipv4Addr),
    /// The /64 network: one host commands all addresses in it.
    V6([u16; 4]),
    Other,
}

impl Source {
    fn of(address: &Multiaddr) -> Self {
        let v6 = |ip: Ipv6Addr| match ip.to_ipv4_mapped() {
            Some(v4) => Self::V4(v4),
            None => {
                let [a, b, c, d, ..] = ip.segments();
                Self::V6([a, b, c, d])
            }
        };
        address
            .iter()
            .find_map(|part| match part {
                Protocol::Ip4(ip) => Some(Self::V4(ip)),
                Protocol::Ip6(ip) => Some(v6(ip)),
                _ => None,
            })
            .unwrap_or(Self::Other)
    }
}

/// A connection was denied because a bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {max} {what} are allowed at a time")]
pub(crate) struct Full {
    what: &'static str,
    max: usize,
}

fn check(now: usize, max: usize, what: &'static str) -> Result<(), ConnectionDenied> {
    if now < max { Ok(()) } else { Err(ConnectionDenied::new(Full { what, max })) }
}

#[derive(Debug)]
struct Established {
    peer: PeerId,
    /// `None` for the connections that we dialled.
    inbound_from: Option<Source>,
}

/// The behaviour that enforces the bounds.
#[derive(Debug)]
pub(crate) struct Gate {
    authorised: Authorised,
    pending_inbound: HashMap<ConnectionId, Source>,
    pending_outbound: HashSet<ConnectionId>,
    established: HashMap<ConnectionId, Established>,
}

impl Gate {
    pub(crate) fn new(authorised: Authorised) -> Self {
        Self {
            authorised,
            pending_inbound: HashMap::new(),
            pending_outbound: HashSet::new(),
            established: HashMap::new(),
        }
    }

    fn check_established(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        check(self.established.len(), ESTABLISHED_MAX, "connections")?;
        let of_peer = self.established.values().filter(|other| other.peer == *peer).count();
        check(of_peer, ESTABLISHED_PER_PEER_MAX, "connections with one peer")
    }

    fn check_stranger(&self, source: Source) -> Result<(), ConnectionDenied> {
        let strangers = || {
            let inbound = self.established.values().filter(|other| other.inbound_from.is_some());
            inbound.filter(|other| !self.authorised.contains(&other.peer))
        };
        check(strangers().count(), STRANGERS_MAX, "connections of unknown peers")?;
        let alike = strangers().filter(|other| other.inbound_from == Some(source)).count();
        check(alike, STRANGERS_PER_SOURCE_MAX, "connections of unknown peers from one address")
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let source = Source::of(remote);
        check(self.pending_inbound.len(), PENDING_INBOUND_MAX, "unfinished inbound connections")?;
        let alike = self.pending_inbound.values().filter(|other| **other == source).count();
        let what = "unfinished inbound connections from one address";
        check(alike, PENDING_INBOUND_PER_SOURCE_MAX, what)?;
        self.pending_inbound.insert(id, source);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_inbound.remove(&id);
        self.check_established(&peer)?;
        if !self.authorised.contains(&peer) {
            self.check_stranger(Source::of(remote))?;
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let pending = self.pending_outbound.len();
        check(pending, PENDING_OUTBOUND_MAX, "unfinished outbound connections")?;
        self.pending_outbound.insert(id);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_outbound.remove(&id);
        self.check_established(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                let inbound_from = match endpoint {
                    ConnectedPoint::Listener { send_back_addr, .. } => Some(Source::of(send_back_addr)),
                    ConnectedPoint::Dialer { .. } => None,
                };
                self.established.insert(connection_id, Established { peer: peer_id, inbound_from });
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.established.remove(&connection_id);
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.pending_outbound.remove(&connection_id);
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.pending_inbound.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn from(ip: &str) -> Multiaddr {
        format!("{ip}/tcp/1").parse().unwrap()
    }

    fn arrive(gate: &mut Gate, n: usize, peer: PeerId, remote: &Multiaddr) -> bool {
        let local = from("/ip4/127.0.0.1");
        let admitted = gate.handle_pending_inbound_connection(id(n), &local, remote).is_ok()
            && gate.handle_established_inbound_connection(id(n), peer, &local, remote).is_ok();
        if admitted {
            let endpoint = ConnectedPoint::Listener { local_addr: local, send_back_addr: remote.clone() };
            gate.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: peer,
                connection_id: id(n),
                endpoint: &endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
        }
        admitted
    }

    #[test]
    fn strangers_never_take_the_room_of_the_users_own_devices() {
        let authorised = Authorised::default();
        let devices: Vec<_> = (0..ESTABLISHED_MAX - STRANGERS_MAX).map(|_| PeerId::random()).collect();
        authorised.replace(devices.iter().copied().collect());
        let mut gate = Gate::new(authorised);
        let mut admitted = 0;
        for n in 0..500_usize {
            let ip = format!("/ip4/10.0.{}.{}", n / 2 / 250, n / 2 % 250);
            admitted += usize::from(arrive(&mut gate, n, PeerId::random(), &from(&ip)));
        }
        assert_eq!(admitted, STRANGERS_MAX);
        for (n, device) in devices.iter().enumerate() {
            assert!(arrive(&mut gate, 1000 + n, *device, &from("/ip4/10.0.0.0")), "device {n}");
        }
        assert!(!arrive(&mut gate, 5000, devices[0], &from("/ip4/10.0.0.0")), "the house is full");
    }

    #[test]
    fn one_source_holds_few_places_and_an_ipv6_network_is_one_source() {
        let mut gate = Gate::new(Authorised::default());
        let local = from("/ip6/::1");
        let admitted = (0..100)
            .filter(|n| {
                let remote = from(&format!("/ip6/2001:db8:1:2::{n:x}"));
                gate.handle_pending_inbound_connection(id(*n), &local, &remote).is_ok()
            })
            .count();
        assert_eq!(admitted, PENDING_INBOUND_PER_SOURCE_MAX);
        let elsewhere = from("/ip6/2001:db8:1:3::1");
        assert!(gate.handle_pending_inbound_connection(id(200), &local, &elsewhere).is_ok());
        assert_eq!(Source::of(&from("/ip6/::ffff:10.1.2.3")), Source::of(&from("/ip4/10.1.2.3")));
    }

    #[test]
    fn a_peer_holds_two_connections_at_most() {
        let peer = PeerId::random();
        let authorised = Authorised::default();
        authorised.replace([peer].into());
        let mut gate = Gate::new(authorised);
        let remote = from("/ip4/10.0.0.1");
        assert!(arrive(&mut gate, 1, peer, &remote));
        assert!(arrive(&mut gate, 2, peer, &remote));
        assert!(!arrive(&mut gate, 3, peer, &remote));
    }
}
