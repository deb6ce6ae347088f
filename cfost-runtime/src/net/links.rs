//! Which of several connections with one peer stays: one rule that both sides come to alone.
//!
//! Two devices that find each other at the same instant dial each other at the same instant. Both
//! connections come up, and both sides must drop the same one. The rule compares, in this order:
//!
//! 1. a direct connection beats a relayed one,
//! 2. QUIC beats TCP,
//! 3. the one dialled by the lower peer id beats the other,
//! 4. among equals the newer one stays: who dials again has lost the older one.
//!
//! The winner replaces the others only once it is proven alive, that is once bytes of its session
//! arrived after the last rival came up. A connection whose peer vanished without a word would
//! otherwise win against the one that the peer came back with.

use std::cmp::Ordering;
use std::collections::HashMap;

use libp2p::PeerId;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// TCP with Noise and yamux.
    Tcp,
    /// QUIC with TLS 1.3.
    Quic,
}

/// What the rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    pub(crate) relayed: bool,
    pub(crate) transport: Transport,
    pub(crate) dialled_by: PeerId,
}

impl Link {
    /// The facts of a connection between `local` and `remote`.
    pub(crate) fn of(id: ConnectionId, point: &ConnectedPoint, local: PeerId, remote: PeerId) -> Self {
        let address = match point {
            ConnectedPoint::Dialer { address, .. } => address,
            // The remote address of an inbound relayed connection says nothing of the transport.
            ConnectedPoint::Listener { local_addr, .. } => local_addr,
        };
        let quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        Self {
            id,
            relayed: point.is_relayed(),
            transport: if quic { Transport::Quic } else { Transport::Tcp },
            dialled_by: if point.is_dialer() { local } else { remote },
        }
    }
}

/// Orders two connections with the same peer: the greater one stays. `Equal` leaves it to age.
pub(crate) fn compare(a: &Link, b: &Link) -> Ordering {
    b.relayed.cmp(&a.relayed).then(a.transport.cmp(&b.transport)).then(b.dialled_by.cmp(&a.dialled_by))
}

#[derive(Debug)]
struct Rival {
    link: Link,
    proven: bool,
}

/// The established connections of every peer, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Links(HashMap<PeerId, Vec<Rival>>);

impl Links {
    /// A connection came up: whoever was proven before has to prove itself again.
    pub(crate) fn established(&mut self, peer: PeerId, link: Link) {
        let rivals = self.0.entry(peer).or_default();
        rivals.iter_mut().for_each(|rival| rival.proven = false);
        rivals.push(Rival { link, proven: false });
    }

    /// A connection is gone; returns whether it was the last one with this peer.
    pub(crate) fn closed(&mut self, peer: &PeerId, id: ConnectionId) -> bool {
        let Some(rivals) = self.0.get_mut(peer) else { return true };
        rivals.retain(|rival| rival.link.id != id);
        let last = rivals.is_empty();
        if last {
            self.0.remove(peer);
        }
        last
    }

    /// Bytes of the session on this connection arrived.
    pub(crate) fn heard(&mut self, peer: &PeerId, id: ConnectionId) {
        let rivals = self.0.get_mut(peer).into_iter().flatten();
        rivals.filter(|rival| rival.link.id == id).for_each(|rival| rival.proven = true);
    }

    /// The connections with `peer` that have lost, if the winner is proven.
    pub(crate) fn losers(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let Some(rivals) = self.0.get(peer) else { return Vec::new() };
        match best(rivals) {
            Some(winner) if winner.proven => {
                rivals.iter().map(|rival| rival.link.id).filter(|id| *id != winner.link.id).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The connection that would win if it proved itself; `None` if there is nothing to decide.
    pub(crate) fn unproven_winner(&self, peer: &PeerId) -> Option<ConnectionId> {
        let rivals = self.0.get(peer).filter(|rivals| rivals.len() > 1)?;
        best(rivals).filter(|winner| !winner.proven).map(|winner| winner.link.id)
    }

    /// The connection with `peer` that is in use, or will be.
    pub(crate) fn winner(&self, peer: &PeerId) -> Option<&Link> {
        best(self.0.get(peer)?).map(|rival| &rival.link)
    }
}

/// `max_by` returns the last of equals, and the list is in order of age: the newest.
fn best(rivals: &[Rival]) -> Option<&Rival> {
    rivals.iter().max_by(|a, b| compare(&a.link, &b.link))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: usize, relayed: bool, transport: Transport, dialled_by: PeerId) -> Link {
        Link { id: ConnectionId::new_unchecked(id), relayed, transport, dialled_by }
    }

    /// Two peers, the lower id first.
    fn pair() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        if a < b { (a, b) } else { (b, a) }
    }

    #[test]
    fn direct_beats_relayed_then_quic_beats_tcp_then_the_lower_dialler_wins() {
        let (low, high) = pair();
        let order = [
            link(1, true, Transport::Tcp, high),
            link(2, true, Transport::Tcp, low),
            link(3, true, Transport::Quic, high),
            link(4, true, Transport::Quic, low),
            link(5, false, Transport::Tcp, high),
            link(6, false, Transport::Tcp, low),
            link(7, false, Transport::Quic, high),
            link(8, false, Transport::Quic, low),
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a:?} against {b:?}");
            }
        }
    }

    #[test]
    fn both_sides_keep_the_same_connection_in_whatever_order_they_saw_them() {
        let (low, high) = pair();
        let ours = link(1, false, Transport::Tcp, low);
        let theirs = link(2, false, Transport::Tcp, high);
        for order in [[ours, theirs], [theirs, ours]] {
            let mut links = Links::default();
            order.iter().for_each(|link| links.established(high, *link));
            links.heard(&high, ours.id);
            links.heard(&high, theirs.id);
            assert_eq!(links.losers(&high), [theirs.id]);
            assert_eq!(links.winner(&high), Some(&ours));
        }
    }

    #[test]
    fn a_dead_connection_does_not_beat_the_one_the_peer_came_back_with() {
        let (low, high) = pair();
        let (dead, back) = (link(1, false, Transport::Quic, low), link(2, false, Transport::Tcp, low));
        let mut links = Links::default();
        links.established(high, dead);
        links.heard(&high, dead.id);
        links.established(high, back);
        links.heard(&high, back.id);
        assert!(links.losers(&high).is_empty(), "nobody goes before the winner shows life");
        assert_eq!(links.unproven_winner(&high), Some(dead.id));
        assert!(!links.closed(&high, dead.id));
        assert_eq!(links.winner(&high), Some(&back));
        assert!(links.closed(&high, back.id));
    }

    #[test]
    fn of_two_equal_connections_the_newer_one_stays() {
        let (low, high) = pair();
        let (old, new) = (link(1, false, Transport::Quic, low), link(2, false, Transport::Quic, low));
        let mut links = Links::default();
        links.established(high, old);
        links.established(high, new);
        links.heard(&high, new.id);
        assert_eq!(links.losers(&high), [old.id]);
    }
}
