//! Runs a behaviour on the connections of authorised peers only.
//!
//! libp2p's `identify` tells every peer our protocols and addresses, and `ping` answers anybody. A
//! peer that has not proven to be an authorised device is told nothing, so on its connections these
//! two are not there at all.

use std::collections::HashSet;
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::gate::Authorised;

/// `B`, present on the connections of authorised peers and absent on all others.
pub(crate) struct Known<B> {
    inner: B,
    authorised: Authorised,
    /// The connections whose handler is `B`'s.
    served: HashSet<(PeerId, ConnectionId)>,
}

/// What the swarm is to do on behalf of `B`.
type Action<B> = ToSwarm<<B as NetworkBehaviour>::ToSwarm, Either<THandlerInEvent<B>, Infallible>>;

impl<B: NetworkBehaviour> Known<B> {
    pub(crate) fn new(inner: B, authorised: Authorised) -> Self {
        Self { inner, authorised, served: HashSet::new() }
    }

    fn admit(&mut self, id: ConnectionId, peer: PeerId) -> bool {
        let admitted = self.authorised.contains(&peer);
        if admitted {
            self.served.insert((peer, id));
        }
        admitted
    }

    /// Sends an event of `B` to a handler of `B`, or drops it if there is none.
    fn direct(&self, peer_id: PeerId, handler: NotifyHandler, event: THandlerInEvent<B>) -> Option<Action<B>> {
        let id = match handler {
            NotifyHandler::One(id) => self.served.get(&(peer_id, id)).map(|(_, id)| *id),
            NotifyHandler::Any => self.served.iter().find(|(peer, _)| *peer == peer_id).map(|(_, id)| *id),
        }?;
        Some(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(id), event: Either::Left(event) })
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Known<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admit(id, peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self.inner.handle_established_inbound_connection(id, peer, local, remote)?;
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admit(id, peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let inner = &mut self.inner;
        Ok(Either::Left(inner.handle_established_outbound_connection(id, peer, address, role, port)?))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.served.remove(&(peer_id, connection_id));
            }
            // Another behaviour may deny a connection after this one has made its handler.
            FromSwarm::DialFailure(failure) => {
                self.served.retain(|(_, id)| *id != failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.served.retain(|(_, id)| *id != failure.connection_id);
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, id, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            match self.inner.poll(cx) {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event }) => {
                    if let Some(directed) = self.direct(peer_id, handler, event) {
                        return Poll::Ready(directed);
                    }
                }
                Poll::Ready(other) => return Poll::Ready(other.map_in(Either::Left)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
