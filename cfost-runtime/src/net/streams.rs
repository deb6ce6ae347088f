//! Streams of our own protocols, each on a connection that its opener chose.
//!
//! The behaviour opens a stream on the connection it is told, never on another one of the same
//! peer, and says of every inbound stream which connection it came on. So a session knows what it
//! runs over, and the rule for duplicate connections has something to decide on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::iter::Chain;
use std::option;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::limits::{STREAM_TIMEOUT, STREAMS_PER_PROTOCOL_MAX};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// `/cfost/sync/1`: frames of a sync session, the dialler speaks first.
    Sync,
    /// `/cfost/pair/1`: the messages of a pairing, the joining device speaks first.
    Pair,
}

impl Purpose {
    const fn protocol(self) -> StreamProtocol {
        match self {
            Self::Sync => StreamProtocol::new("/cfost/sync/1"),
            Self::Pair => StreamProtocol::new("/cfost/pair/1"),
        }
    }
}

/// Which protocols are served to peers that open a stream.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) sync: bool,
    /// On only while an invitation is shown: otherwise the protocol does not exist.
    pub(crate) pair: Arc<AtomicBool>,
}

/// A stream that takes one of its connection's places until it is dropped.
#[derive(Debug)]
pub(crate) struct Substream {
    pub(crate) stream: Stream,
    _place: Option<Arc<()>>,
}

/// What happened to the streams of one connection.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// The stream that we asked for is open.
    Opened { connection: ConnectionId, purpose: Purpose, stream: Substream },
    /// The peer opened a stream.
    Accepted { connection: ConnectionId, purpose: Purpose, stream: Substream },
    /// The stream that we asked for did not come about.
    Failed { connection: ConnectionId, error: String },
}

/// Asks a handler for a stream of this purpose.
#[derive(Debug)]
pub(crate) struct Open(Purpose);

/// The behaviour: a queue in each direction between the swarm's task and the handlers.
pub(crate) struct Streams {
    served: Served,
    queue: VecDeque<ToSwarm<StreamEvent, Open>>,
    waker: Option<Waker>,
}

impl Streams {
    pub(crate) fn new(served: Served) -> Self {
        Self { served, queue: VecDeque::new(), waker: None }
    }

    /// Opens a stream on exactly this connection; a [`StreamEvent`] tells the outcome.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId, purpose: Purpose) {
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open(purpose),
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.served.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.served.clone()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.queue.push_back(ToSwarm::GenerateEvent(match event {
            HandlerEvent::Opened(purpose, stream) => StreamEvent::Opened { connection, purpose, stream },
            HandlerEvent::Accepted(purpose, stream) => StreamEvent::Accepted { connection, purpose, stream },
            HandlerEvent::Failed(error) => StreamEvent::Failed { connection, error },
        }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<StreamEvent, THandlerInEvent<Self>>> {
        match self.queue.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// What the handler of one connection tells the behaviour.
#[derive(Debug)]
pub(crate) enum HandlerEvent {
    Opened(Purpose, Substream),
    Accepted(Purpose, Substream),
    Failed(String),
}

/// The streams of one connection.
pub(crate) struct Handler {
    served: Served,
    /// One owner more than there are inbound streams alive.
    sync_places: Arc<()>,
    pair_places: Arc<()>,
    queue: VecDeque<ConnectionHandlerEvent<Only, Purpose, HandlerEvent>>,
}

impl Handler {
    fn new(served: Served) -> Self {
        Self { served, sync_places: Arc::new(()), pair_places: Arc::new(()), queue: VecDeque::new() }
    }

    fn accept(&mut self, purpose: Purpose, stream: Stream) {
        let places = match purpose {
            Purpose::Sync => &self.sync_places,
            Purpose::Pair => &self.pair_places,
        };
        // A peer that opens more streams than a protocol needs loses the surplus.
        if Arc::strong_count(places) <= STREAMS_PER_PROTOCOL_MAX {
            let stream = Substream { stream, _place: Some(Arc::clone(places)) };
            let event = HandlerEvent::Accepted(purpose, stream);
            self.queue.push_back(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = HandlerEvent;
    type InboundProtocol = AnyOf;
    type OutboundProtocol = Only;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Purpose;

    fn listen_protocol(&self) -> SubstreamProtocol<AnyOf> {
        let upgrade = AnyOf { sync: self.served.sync, pair: self.served.pair.load(Ordering::Relaxed) };
        SubstreamProtocol::new(upgrade, ()).with_timeout(STREAM_TIMEOUT)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Only, Purpose, HandlerEvent>> {
        // Whatever fills the queue runs on the connection's task, right before it polls again.
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn on_behaviour_event(&mut self, Open(purpose): Open) {
        let protocol = SubstreamProtocol::new(Only(purpose), purpose).with_timeout(STREAM_TIMEOUT);
        self.queue.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, AnyOf, Only, (), Purpose>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: (purpose, stream), .. }) => {
                self.accept(purpose, stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info: purpose }) => {
                let event = HandlerEvent::Opened(purpose, Substream { stream, _place: None });
                self.queue.push_back(ConnectionHandlerEvent::NotifyBehaviour(event));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let event = HandlerEvent::Failed(error.to_string());
                self.queue.push_back(ConnectionHandlerEvent::NotifyBehaviour(event));
            }
            _ => {}
        }
    }
}

/// Accepts a stream of any protocol that is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnyOf {
    sync: bool,
    pair: bool,
}

impl UpgradeInfo for AnyOf {
    type Info = StreamProtocol;
    type InfoIter = Chain<option::IntoIter<StreamProtocol>, option::IntoIter<StreamProtocol>>;

    fn protocol_info(&self) -> Self::InfoIter {
        let sync = self.sync.then(|| Purpose::Sync.protocol());
        sync.into_iter().chain(self.pair.then(|| Purpose::Pair.protocol()))
    }
}

impl InboundUpgrade<Stream> for AnyOf {
    type Output = (Purpose, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        let pair = protocol == Purpose::Pair.protocol();
        ready(Ok((if pair { Purpose::Pair } else { Purpose::Sync }, stream)))
    }
}

/// Opens a stream of exactly one protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Only(Purpose);

impl UpgradeInfo for Only {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(self.0.protocol())
    }
}

impl OutboundUpgrade<Stream> for Only {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
