//! The one task that owns the swarm.
//!
//! Commands and the sessions' reports come in over bounded channels; streams go out to whoever
//! serves them, each in a task of its own; what the app may want to know goes out as events and as
//! the latest state. This task never touches the database and never waits for anybody: whatever
//! takes time happens in the tasks that it starts. Built rarely, as it takes long to compile: the
//! policy is in [`dial`](super::dial) and [`links`](super::links).

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns, memory_connection_limits, ping};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::NetError;
use super::dial::Dialler;
use super::event::{NodeEvent, PeerStatus};
use super::gate::{Authorised, Gate};
use super::known::Known;
use super::limits::{COMMANDS_MAX, LISTEN_TIMEOUT, MEMORY_SHARE_MAX, PORT_RETRY_INTERVAL, REPORTS_MAX};
use super::streams::{Purpose, Served, Streams, Substream};
use super::task::{Parts, Task};
use super::transport;
use crate::oplog::{DeviceId, UserId};
use crate::sync::Build;

/// How often the LAN is asked again; who arrives asks at once.
const LAN_QUERY_INTERVAL: Duration = Duration::from_secs(60);
/// What `identify` says of us, to authorised devices only.
const IDENTIFY_PROTOCOL: &str = "/cfost/1";

/// A device that may be dialled, and that gets more than a stranger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// `None` for the inviter that a new device dials: it is trusted with nothing but the pairing.
    pub(crate) id: Option<(UserId, DeviceId)>,
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// What the swarm's task is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// These devices are authorised, and nobody else.
    Devices(Vec<Device>),
    /// The network changed or the user asked: dial without waiting.
    Hurry,
    /// End every session in order, then the task.
    Stop(oneshot::Sender<()>),
}

/// What a session tells the swarm's task about the connection it runs on.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) connection: ConnectionId,
    pub(crate) kind: ReportKind,
}

#[derive(Debug)]
pub(crate) enum ReportKind {
    /// The peer has proven to be this device of this user.
    Ready(UserId, DeviceId),
    /// What runs on the peer, which is this device.
    Runs(DeviceId, Build),
    /// The peer is alive: the answer to [`Control::prove`].
    Heard,
    /// A pairing is under way, which has deadlines of its own.
    Pairing,
    /// The stream is closed.
    Ended(String),
}

/// A stream with all that its server needs.
pub(crate) struct Opened {
    pub(crate) peer: PeerId,
    /// Where the peer is.
    pub(crate) address: Multiaddr,
    pub(crate) connection: ConnectionId,
    /// Whether this side opened the stream.
    pub(crate) speaks_first: bool,
    pub(crate) stream: Substream,
    pub(crate) control: Control,
    pub(crate) reports: mpsc::Sender<Report>,
}

/// How the swarm's task steers a session.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// Set: report [`ReportKind::Heard`] as soon as bytes arrive, and clear it.
    pub(crate) prove: Arc<AtomicBool>,
    /// Whether to go on. A closed channel means [`Stop::Now`].
    pub(crate) stop: watch::Receiver<Stop>,
}

/// Whether a session may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It may.
    No,
    /// It is to send what is there, and end.
    Drained,
    /// Its connection is closed. yamux does not wake whoever still reads from a stream of it.
    Now,
}

impl Control {
    /// Returns once the connection is closed.
    pub(crate) async fn closed(&mut self) {
        // An error means that the connection is forgotten: closed as well.
        let _ = self.stop.wait_for(|stop| *stop == Stop::Now).await;
    }
}

/// Who serves the streams. Must not block: it starts a task.
pub(crate) trait Serve: Send {
    fn serve(&self, purpose: Purpose, opened: Opened);
}

/// What the swarm is made of.
pub(crate) struct SwarmConfig {
    pub(crate) keypair: Keypair,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) lan: bool,
    /// The stream opened on every connection that we dial.
    pub(crate) opens: Purpose,
    pub(crate) served: Served,
    /// Whom to dial.
    pub(crate) dialler: Dialler,
}

/// The ends of the channels that the rest of the room holds.
pub(crate) struct SwarmHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) listening: watch::Receiver<Vec<Multiaddr>>,
    pub(crate) peers: watch::Receiver<Arc<[PeerStatus]>>,
    /// Answers once every listener is bound, or has failed.
    pub(crate) bound: oneshot::Receiver<()>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    gate: Gate,
    memory: memory_connection_limits::Behaviour,
    pub(super) streams: Streams,
    identify: Known<identify::Behaviour>,
    ping: Known<ping::Behaviour>,
    lan: Toggle<mdns::tokio::Behaviour>,
}

/// Binds the listeners and starts the task.
pub(crate) async fn start(
    config: SwarmConfig,
    serve: Box<dyn Serve>,
    events: broadcast::Sender<NodeEvent>,
) -> Result<SwarmHandle, NetError> {
    let local = config.keypair.public().to_peer_id();
    let authorised = Authorised::default();
    let behaviour = behaviour(&config, &authorised)?;
    let transport = transport::transport(&config.keypair)?;
    let mut swarm = Swarm::new(transport, behaviour, local, transport::swarm_config());
    let mut unbound = HashSet::new();
    for address in config.listen {
        unbound.insert(listen(&mut swarm, address).await?);
    }
    let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
    let (report_sender, reports) = mpsc::channel(REPORTS_MAX);
    let (listening_sender, listening) = watch::channel(Vec::new());
    let (peers_sender, peers) = watch::channel(Arc::default());
    let (bound_sender, bound) = oneshot::channel();
    let task = Task::new(
        swarm,
        Parts {
            authorised,
            serve,
            events,
            opens: config.opens,
            dialler: config.dialler,
            unbound,
            reports: report_sender,
            listening: listening_sender,
            peers: peers_sender,
            bound: bound_sender,
        },
    );
    let task = tokio::spawn(task.run(command_queue, reports));
    Ok(SwarmHandle { commands, listening, peers, bound, task })
}

/// Binds one address. A port that this device has just given up may take a moment to get free: QUIC
/// lets its connections end in order.
async fn listen(swarm: &mut Swarm<Behaviour>, address: Multiaddr) -> Result<ListenerId, NetError> {
    let deadline = Instant::now() + LISTEN_TIMEOUT;
    loop {
        match swarm.listen_on(address.clone()) {
            Ok(listener) => return Ok(listener),
            Err(_) if transport::is_port_in_use(&address) && Instant::now() < deadline => {
                sleep(PORT_RETRY_INTERVAL).await;
            }
            Err(error) => return Err(NetError::Listen { address, reason: chain(&error) }),
        }
    }
}

/// An error with all that caused it: libp2p says the essential last.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = if text.is_empty() { said } else { format!("{text}: {said}") };
        }
        cause = error.source();
    }
    text
}

fn behaviour(config: &SwarmConfig, authorised: &Authorised) -> Result<Behaviour, NetError> {
    let identify = identify::Config::new(IDENTIFY_PROTOCOL.into(), config.keypair.public())
        .with_agent_version(concat!("cfost/", env!("CARGO_PKG_VERSION")).into())
        .with_push_listen_addr_updates(true)
        .with_cache_size(0);
    let lan = config.lan.then(|| {
        let search = mdns::Config { query_interval: LAN_QUERY_INTERVAL, ..mdns::Config::default() };
        mdns::tokio::Behaviour::new(search, config.keypair.public().to_peer_id())
    });
    Ok(Behaviour {
        gate: Gate::new(authorised.clone()),
        memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
        streams: Streams::new(config.served.clone()),
        identify: Known::new(identify::Behaviour::new(identify), authorised.clone()),
        ping: Known::new(ping::Behaviour::default(), authorised.clone()),
        lan: lan.transpose().map_err(NetError::Lan)?.into(),
    })
}
