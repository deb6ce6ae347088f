//! What the swarm's task does: reacts to events, commands and reports, one at a time, and never waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::futures::StreamExt as _;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns, ping};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::dial::Dialler;
use super::event::{NodeEvent, PeerConnection, PeerStatus};
use super::gate::Authorised;
use super::limits::{ADDRESSES_PER_SOURCE_MAX, DRAIN_TIMEOUT, PROOF_TIMEOUT};
use super::links::{Link, Links};
use super::streams::{Purpose, StreamEvent};
use super::swarm::{Behaviour, BehaviourEvent, Command, Control, Device, Opened, Report, ReportKind, Serve, Stop};
use super::transport;
use crate::oplog::{DeviceId, UserId};
use crate::sync::{Build, Outdated};

/// Refusals are told to the app at most this often; the log has them all.
const REFUSALS_INTERVAL: Duration = Duration::from_secs(1);

/// One established connection.
struct Open {
    peer: PeerId,
    address: Multiaddr,
    outbound: bool,
    link: Link,
    /// When it is closed unless the peer proves itself, or once it drains.
    deadline: Option<Duration>,
    ready: Option<DeviceId>,
    round_trip: Option<Duration>,
    /// Streams of ours that are being served.
    sessions: usize,
    /// Somebody pairs on it, or has.
    pairing: bool,
    reason: Option<String>,
    prove: Arc<AtomicBool>,
    stop: watch::Sender<Stop>,
}

/// The state of the swarm's task.
pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    local: PeerId,
    authorised: Authorised,
    serve: Box<dyn Serve>,
    events: broadcast::Sender<NodeEvent>,
    opens: Purpose,
    started: Instant,
    dialler: Dialler,
    links: Links,
    open: HashMap<ConnectionId, Open>,
    devices: HashMap<PeerId, (UserId, DeviceId)>,
    /// What runs on the devices that were connected.
    builds: HashMap<PeerId, Build>,
    /// The addresses of devices that the app was told of.
    told: HashMap<PeerId, Vec<Multiaddr>>,
    /// Listeners that have no address yet.
    unbound: HashSet<ListenerId>,
    bound: Option<oneshot::Sender<()>>,
    /// When a refusal was last told: strangers must not drown what matters.
    refusal_told: Option<Duration>,
    listening: watch::Sender<Vec<Multiaddr>>,
    peers: watch::Sender<Arc<[PeerStatus]>>,
    report_sender: mpsc::Sender<Report>,
    stopping: Option<oneshot::Sender<()>>,
}

/// What a [`Task`] is made of, beside its swarm.
pub(super) struct Parts {
    pub(super) authorised: Authorised,
    pub(super) serve: Box<dyn Serve>,
    pub(super) events: broadcast::Sender<NodeEvent>,
    pub(super) opens: Purpose,
    pub(super) dialler: Dialler,
    pub(super) unbound: HashSet<ListenerId>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) listening: watch::Sender<Vec<Multiaddr>>,
    pub(super) peers: watch::Sender<Arc<[PeerStatus]>>,
    pub(super) bound: oneshot::Sender<()>,
}

impl Task {
    pub(super) fn new(swarm: Swarm<Behaviour>, parts: Parts) -> Self {
        Self {
            local: *swarm.local_peer_id(),
            swarm,
            authorised: parts.authorised,
            serve: parts.serve,
            events: parts.events,
            opens: parts.opens,
            started: Instant::now(),
            dialler: parts.dialler,
            links: Links::default(),
            open: HashMap::new(),
            devices: HashMap::new(),
            builds: HashMap::new(),
            told: HashMap::new(),
            unbound: parts.unbound,
            bound: Some(parts.bound),
            refusal_told: None,
            listening: parts.listening,
            peers: parts.peers,
            report_sender: parts.reports,
            stopping: None,
        }
    }

    /// Runs until it is told to stop, or the node is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut reports: mpsc::Receiver<Report>) {
        loop {
            if self.stopping.is_some() && self.open.is_empty() {
                break;
            }
            let wake = self.started + self.next_wake();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    // The node was dropped: nobody is left to wait for an orderly end.
                    None => break,
                },
                Some(report) = reports.recv() => self.on_report(report),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.close_overdue();
            self.dial_due();
            self.publish();
        }
        if let Some(stopped) = self.stopping.take() {
            // Nobody waits any longer if this fails.
            let _ = stopped.send(());
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn next_wake(&self) -> Duration {
        let deadlines = self.open.values().filter_map(|open| open.deadline);
        let dial = self.dialler.next_due().filter(|_| self.stopping.is_none());
        // Without anything due, an hour is as good as forever.
        deadlines.chain(dial).min().unwrap_or_else(|| self.now() + Duration::from_secs(3600))
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Devices(devices) => self.set_devices(devices),
            Command::Hurry => self.dialler.hurry(self.now()),
            Command::Stop(stopped) => {
                // The listeners stay until the end: to close a QUIC one closes its connections too.
                self.stopping = Some(stopped);
                let open: Vec<_> = self.open.keys().copied().collect();
                open.into_iter().for_each(|connection| self.drain(connection));
            }
        }
    }

    fn set_devices(&mut self, devices: Vec<Device>) {
        let devices: Vec<_> = devices.into_iter().filter(|d| d.peer != self.local).collect();
        self.devices = devices.iter().filter_map(|device| Some((device.peer, device.id?))).collect();
        self.told.retain(|peer, _| self.devices.contains_key(peer));
        self.builds.retain(|peer, _| self.devices.contains_key(peer));
        self.authorised.replace(self.devices.keys().copied().collect());
        let list = devices.into_iter().map(|device| (device.peer, device.addresses));
        let gone = self.dialler.allow(list, self.now());
        let connected = self.open.values().map(|open| open.peer).collect::<Vec<_>>();
        connected.iter().for_each(|peer| self.dialler.connected(peer));
        let left = self.open.iter().filter(|(_, open)| gone.contains(&open.peer));
        let left: Vec<_> = left.map(|(connection, _)| *connection).collect();
        left.into_iter().for_each(|connection| self.drain(connection));
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                let cause = cause.map(|cause| cause.to_string());
                self.on_closed(peer_id, connection_id, cause);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "dial failed");
                self.dialler.failed(&peer, self.now());
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(%send_back_addr, %error, "inbound connection refused");
            }
            SwarmEvent::NewListenAddr { address, listener_id } => {
                self.unbound.remove(&listener_id);
                self.listening.send_modify(|all| all.push(address.clone()));
                self.tell(NodeEvent::Listening { address });
                // A new address means a new network: whoever was out of reach may not be now.
                self.dialler.hurry(self.now());
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.send_modify(|all| all.retain(|known| *known != address));
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener failed"),
            SwarmEvent::ListenerClosed { addresses, listener_id, .. } => {
                self.unbound.remove(&listener_id);
                self.listening.send_modify(|all| all.retain(|known| !addresses.contains(known)));
            }
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Streams(event) => self.on_stream(event),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, connection_id, info }) => {
                self.on_identified(peer_id, connection_id, info.listen_addrs);
            }
            BehaviourEvent::Ping(ping::Event { connection, result: Ok(round_trip), .. }) => {
                if let Some(open) = self.open.get_mut(&connection) {
                    open.round_trip = Some(round_trip);
                }
            }
            BehaviourEvent::Lan(mdns::Event::Discovered(found)) => {
                let now = self.now();
                for (peer, address) in found {
                    let (address, _) = transport::split_peer(address);
                    if transport::dialable(&address) {
                        self.dialler.found(&peer, address, now);
                    }
                }
            }
            BehaviourEvent::Lan(mdns::Event::Expired(lost)) => {
                for (peer, address) in lost {
                    self.dialler.lost(&peer, &transport::split_peer(address).0);
                }
            }
            _ => {}
        }
    }

    fn on_established(&mut self, peer: PeerId, connection: ConnectionId, point: &ConnectedPoint) {
        let link = Link::of(connection, point, self.local, peer);
        let outbound = point.is_dialer();
        let (address, _) = transport::split_peer(point.get_remote_address().clone());
        let open = Open {
            peer,
            address,
            outbound,
            link,
            deadline: Some(self.now() + PROOF_TIMEOUT),
            ready: None,
            round_trip: None,
            sessions: 0,
            pairing: false,
            reason: None,
            prove: Arc::new(AtomicBool::new(false)),
            stop: watch::Sender::new(Stop::No),
        };
        self.open.insert(connection, open);
        self.links.established(peer, link);
        self.dialler.connected(&peer);
        self.decide(&peer);
        if self.stopping.is_some() {
            self.drain(connection);
        } else if outbound {
            self.swarm.behaviour_mut().streams.open(peer, connection, self.opens);
        }
    }

    fn on_closed(&mut self, peer: PeerId, connection: ConnectionId, cause: Option<String>) {
        let last = self.links.closed(&peer, connection);
        let Some(open) = self.open.remove(&connection) else { return };
        if !last {
            return;
        }
        self.dialler.disconnected(&peer, self.now());
        let reason = open.reason.or(cause).unwrap_or_else(|| "the connection was closed".into());
        match open.ready {
            Some(device) => self.tell(NodeEvent::PeerDisconnected { device, reason }),
            None if open.pairing => {}
            // The app was told why, when it first turned out.
            None if self.outdated(&peer).is_some() => {}
            None => self.tell_refusal(peer, reason),
        }
    }

    fn on_stream(&mut self, event: StreamEvent) {
        let (connection, purpose, stream, opened) = match event {
            StreamEvent::Opened { connection, purpose, stream } => (connection, purpose, stream, true),
            StreamEvent::Accepted { connection, purpose, stream } => (connection, purpose, stream, false),
            StreamEvent::Failed { connection, error } => {
                if let Some(open) = self.open.get_mut(&connection) {
                    open.reason = Some(error);
                    self.close(connection);
                }
                return;
            }
        };
        let Some(open) = self.open.get_mut(&connection) else { return };
        open.sessions += 1;
        let control = Control { prove: Arc::clone(&open.prove), stop: open.stop.subscribe() };
        let reports = self.report_sender.clone();
        let (peer, address) = (open.peer, open.address.clone());
        let opened = Opened { peer, address, connection, speaks_first: opened, stream, control, reports };
        self.serve.serve(purpose, opened);
    }

    fn on_report(&mut self, Report { connection, kind }: Report) {
        let now = self.now();
        let Some(open) = self.open.get_mut(&connection) else { return };
        let peer = open.peer;
        match kind {
            ReportKind::Ready(user, device) => {
                let first = open.ready.replace(device).is_none();
                if *open.stop.borrow() == Stop::No {
                    open.deadline = None;
                }
                let event = NodeEvent::PeerConnected { user, device, transport: open.link.transport };
                let others = self
                    .open
                    .iter()
                    .any(|(other, open)| *other != connection && open.peer == peer && open.ready.is_some());
                if first && !others {
                    self.tell(event);
                }
                self.dialler.ready(&peer, now);
                self.links.heard(&peer, connection);
                self.decide(&peer);
            }
            ReportKind::Runs(device, build) => {
                let outdated = build.outdated();
                let before = self.builds.insert(peer, build.clone());
                if let Some(outdated) = outdated.filter(|_| before.as_ref() != Some(&build)) {
                    tracing::warn!(%device, %build, ?outdated, "an app has to be updated before the two can sync");
                    self.tell(NodeEvent::UpdateNeeded { device, outdated, theirs: build });
                }
            }
            ReportKind::Heard => {
                self.links.heard(&peer, connection);
                self.decide(&peer);
            }
            ReportKind::Pairing => {
                open.pairing = true;
                open.deadline = None;
            }
            ReportKind::Ended(reason) => {
                open.sessions = open.sessions.saturating_sub(1);
                open.reason.get_or_insert(reason);
                if open.sessions == 0 {
                    self.close(connection);
                }
            }
        }
    }

    fn on_identified(&mut self, peer: PeerId, connection: ConnectionId, told: Vec<Multiaddr>) {
        let Some(open) = self.open.get(&connection) else { return };
        let Some((_, device)) = self.devices.get(&peer).copied() else { return };
        // An address of the peer's own machine leads nowhere but on that machine.
        let near = transport::is_loopback(&open.address);
        let mut addresses: Vec<_> = open.outbound.then(|| open.address.clone()).into_iter().collect();
        for address in told {
            let (address, _) = transport::split_peer(address);
            let usable = transport::dialable(&address) && (near || !transport::is_loopback(&address));
            if usable && !addresses.contains(&address) && addresses.len() < ADDRESSES_PER_SOURCE_MAX {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return;
        }
        self.dialler.learned(&peer, addresses.clone());
        if self.told.get(&peer) != Some(&addresses) {
            self.told.insert(peer, addresses.clone());
            let named = addresses.into_iter().filter_map(|address| address.with_p2p(peer).ok());
            self.tell(NodeEvent::AddressesLearned { device, addresses: named.collect() });
        }
    }

    /// Applies the rule for several connections with one peer.
    fn decide(&mut self, peer: &PeerId) {
        for loser in self.links.losers(peer) {
            self.drain(loser);
        }
        if let Some(winner) = self.links.unproven_winner(peer)
            && let Some(open) = self.open.get(&winner)
        {
            open.prove.store(true, Ordering::Release);
        }
    }

    /// Lets the sessions of a connection finish what they are sending, then closes it.
    fn drain(&mut self, connection: ConnectionId) {
        let now = self.now();
        let Some(open) = self.open.get_mut(&connection) else { return };
        if open.sessions == 0 {
            self.close(connection);
        } else if *open.stop.borrow() == Stop::No {
            open.stop.send_replace(Stop::Drained);
            open.deadline = Some(now + DRAIN_TIMEOUT);
        }
    }

    /// Closes a connection, whatever its sessions are doing.
    fn close(&mut self, connection: ConnectionId) {
        if let Some(open) = self.open.get(&connection) {
            open.stop.send_replace(Stop::Now);
        }
        self.swarm.close_connection(connection);
    }

    fn close_overdue(&mut self) {
        let now = self.now();
        let mut overdue = Vec::new();
        for (connection, open) in &mut self.open {
            if open.deadline.is_some_and(|deadline| deadline <= now) {
                open.deadline = None;
                if open.ready.is_none() {
                    open.reason.get_or_insert_with(|| "it did not prove who it is in time".into());
                }
                overdue.push(*connection);
            }
        }
        overdue.into_iter().for_each(|connection| self.close(connection));
    }

    fn dial_due(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        while let Some(dial) = self.dialler.due(self.now()) {
            let options = DialOpts::peer_id(dial.peer)
                .condition(PeerCondition::NotDialing)
                .addresses(dial.addresses)
                // From the listening port, two devices that dial each other at once can end up in
                // one TCP connection that both believe to have opened.
                .allocate_new_port()
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(peer = %dial.peer, %error, "can't dial");
                self.dialler.failed(&dial.peer, self.now());
            }
        }
    }

    /// Where the app has to be updated before this device and a peer can sync.
    fn outdated(&self, peer: &PeerId) -> Option<Outdated> {
        self.builds.get(peer).and_then(Build::outdated)
    }

    fn tell(&self, event: NodeEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    fn tell_refusal(&mut self, peer: PeerId, reason: String) {
        tracing::info!(%peer, %reason, "peer refused");
        let now = self.now();
        if self.refusal_told.is_none_or(|told| now.saturating_sub(told) >= REFUSALS_INTERVAL) {
            self.refusal_told = Some(now);
            self.tell(NodeEvent::PeerRefused { peer, reason });
        }
    }

    /// Shows the app how things stand, if that has changed.
    fn publish(&mut self) {
        if self.unbound.is_empty()
            && let Some(bound) = self.bound.take()
        {
            let _ = bound.send(());
        }
        let now = self.now();
        let status = |peer: &PeerId| {
            let (user, device) = *self.devices.get(peer)?;
            let winner = self.links.winner(peer).and_then(|link| self.open.get(&link.id));
            Some(PeerStatus {
                user,
                device,
                peer: *peer,
                connection: winner.map(|open| PeerConnection {
                    transport: open.link.transport,
                    address: open.address.clone(),
                    outbound: open.outbound,
                    ready: open.ready.is_some(),
                    round_trip: open.round_trip,
                }),
                connections: self.open.values().filter(|open| open.peer == *peer).count(),
                failures: self.dialler.waiting(peer, now).map_or(0, |(failures, _)| failures),
                build: self.builds.get(peer).cloned(),
                outdated: self.outdated(peer),
            })
        };
        let peers: Vec<_> = self.dialler.peers().filter_map(status).collect();
        self.peers.send_if_modified(|shown| {
            let changed = **shown != *peers;
            if changed {
                *shown = peers.into();
            }
            changed
        });
    }
}
