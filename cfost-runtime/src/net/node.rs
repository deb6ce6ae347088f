//! The handle that an app holds: starts the swarm, gives it the devices, stops it in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::NetError;
use super::admitting::{self, Admitting};
use super::dial::Dialler;
use super::door::Lets;
use super::event::{NodeEvent, PeerStatus};
use super::inviting::{self, Admitter, OfferParts, OfferSlot, PairingOffer, SpokenOffer};
use super::limits::{EVENTS_MAX, LISTEN_TIMEOUT, PORT_RETRY_INTERVAL, PORT_TIMEOUT, STOP_TIMEOUT};
use super::session::{self, Shared};
use super::sharing::{ShareOffer, Welcomer};
use super::streams::{Purpose, Served};
use super::swarm::{self, Command, Device, Opened, Serve, SwarmConfig, SwarmHandle};
use super::transport;
use crate::host::Host;
use crate::identity::pairing::{Card, CardReader, Invitation, ShareInvitation, SpokenInviter};
use crate::identity::{self, DeviceKeys, DevicePublic, IdentityError, Role};
use crate::oplog::{SpaceId, UserId};
use crate::sync::{EntryLogs, Replica};

/// The list of devices is read again at most this often.
const DEVICES_INTERVAL: Duration = Duration::from_millis(100);

/// The ports that nobody registers (RFC 6335, section 6).
const PORTS_PRIVATE: RangeInclusive<u16> = 49_152..=65_535;
/// How many of them are tried.
const PORT_TRIES: usize = 16;

/// How a node meets the network.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where to listen. By default every IPv4 interface, TCP and QUIC, any free port.
    pub listen: Vec<Multiaddr>,
    /// The port for those of [`Self::listen`] that leave it open, by port 0: the [`Node::port`] of last time,
    /// so that others find this device where they remember it. If it is taken, or `None`, another one.
    pub port: Option<u16>,
    /// Whether to search the LAN for this user's devices, by mDNS. It tells everybody on the LAN this
    /// device's peer id, which does not change.
    pub lan: bool,
    /// Where devices may be found, each with its peer id: what
    /// [`AddressesLearned`](NodeEvent::AddressesLearned) told earlier. Those of other peers are ignored.
    pub addresses: Vec<Multiaddr>,
    /// The randomness behind the jitter of retries, and the time of day for invitations.
    pub host: Host,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let any = |carrier: &str| format!("/ip4/0.0.0.0/{carrier}").parse();
        Self {
            listen: ["tcp/0", "udp/0/quic-v1"].into_iter().filter_map(|c| any(c).ok()).collect(),
            port: None,
            lan: true,
            addresses: Vec::new(),
            host: Host::system(),
        }
    }
}

impl NodeConfig {
    /// A node that only this machine can reach, and that looks for nobody: for tests and demos.
    pub fn loopback() -> Self {
        let local = |carrier: &str| format!("/ip4/127.0.0.1/{carrier}").parse();
        Self {
            listen: ["tcp/0", "udp/0/quic-v1"].into_iter().filter_map(|c| local(c).ok()).collect(),
            lan: false,
            ..Self::default()
        }
    }
}

/// This device on the network: finds the user's other devices and keeps the database level with them.
///
/// Runs on the tokio runtime that it is started in, with its timers and input/output enabled, of one thread
/// or many; it makes none of its own. Dropping it closes all
/// connections at once; [`Node::stop`] lets them finish what they are sending.
pub struct Node {
    peer: PeerId,
    swarm: SwarmHandle,
    shared: Shared,
    offers: OfferSlot,
    host: Host,
    lan: bool,
    directory: Directory,
    finished: mpsc::Receiver<()>,
}

impl Node {
    /// Listens, and starts to dial the user's other devices, and those of users that share a space.
    ///
    /// `transport_secret` is the secret half of the device's Ed25519 transport key.
    ///
    /// # Errors
    /// [`NetError::NoRuntime`] outside of tokio, [`NetError::Listen`] if an address can't be bound,
    /// [`NetError::Lan`] if mDNS can't start, [`NetError::Address`] if a known address names no peer,
    /// [`NetError::TransportKey`] if the key is none.
    pub async fn start(
        config: NodeConfig,
        transport_secret: &[u8; 32],
        replica: Arc<dyn Replica>,
    ) -> Result<Self, NetError> {
        tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
        let known = by_peer(config.addresses)?;
        let keypair = transport::keypair(transport_secret)?;
        let peer = keypair.public().to_peer_id();
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (alive, finished) = mpsc::channel(1);
        let shared = Shared {
            replica,
            changed: watch::Sender::new(0),
            identities: Arc::default(),
            events: events.clone(),
            started: Instant::now(),
            _alive: alive,
        };
        let offers = OfferSlot::default();
        let (host, lan) = (config.host, config.lan);
        let config = SwarmConfig {
            keypair,
            listen: choose_port(&config.listen, config.port, &host).await,
            lan,
            opens: Purpose::Sync,
            served: Served { sync: true, pair: Arc::clone(&offers.served) },
            dialler: Dialler::new(u64::from_le_bytes(host.random())),
        };
        let mut swarm =
            swarm::start(config, Box::new(Sessions { shared: shared.clone(), offers: offers.clone() }), events).await?;
        // A listener without any interface up is no reason to give up: interfaces come and go.
        let _ = timeout(LISTEN_TIMEOUT, &mut swarm.bound).await;
        let directory = keep_devices(shared.clone(), known, swarm.commands.clone());
        let directory = Directory(tokio::spawn(directory));
        Ok(Self { peer, swarm, shared, offers, host, lan, directory, finished })
    }

    /// This device's peer id, made of its transport key.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// What happens from now on. A subscriber that lags more than 256 events behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.shared.events.subscribe()
    }

    /// To be called after every change of the database that did not come through this node.
    pub fn local_changed(&self) -> LocalChanged {
        LocalChanged { changed: self.shared.changed.clone(), identities: Arc::clone(&self.shared.identities) }
    }

    /// Where this device can be reached now, with its peer id: what another one's
    /// [`NodeConfig::addresses`] wants.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        let listening = self.swarm.listening.borrow();
        listening.iter().filter_map(|address| address.clone().with_p2p(self.peer).ok()).collect()
    }

    /// The port that this device listens on, to be given to the next node as [`NodeConfig::port`].
    pub fn port(&self) -> Option<u16> {
        self.swarm.listening.borrow().iter().find_map(transport::port)
    }

    /// How things stand with each of the user's other devices, and with those of users that share a space.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.swarm.peers.borrow().to_vec()
    }

    /// Dials every device that is away now, however long it would have waited: the user asked, or the
    /// app knows that the network has changed.
    pub async fn hurry(&self) -> Result<(), NetError> {
        self.swarm.commands.send(Command::Hurry).await.map_err(|_| NetError::Stopped)
    }

    /// Invites one new device. Show the invitation, then wait for the device with
    /// [`PairingOffer::requested`]; `admitter` is the database that will let it in.
    ///
    /// # Errors
    /// [`NetError::PairingBusy`] while another offer is open, [`NetError::Replica`] if this device's
    /// own identity can't be read.
    pub async fn invite(&self, admitter: Arc<dyn Admitter>) -> Result<PairingOffer, NetError> {
        let (user, keys) = self.own_keys().await?;
        let invitation = Invitation::create(&self.host, user, &keys, self.hints());
        self.offers.open(invitation, self.offer_parts(Lets::Device(admitter)))
    }

    /// Invites one new device by eight digits, for where there is no camera. Show them, or say them, then wait
    /// for the device with [`SpokenOffer::requested`].
    ///
    /// # Errors
    /// As [`Node::invite`].
    pub async fn invite_spoken(&self, admitter: Arc<dyn Admitter>) -> Result<SpokenOffer, NetError> {
        let (user, keys) = self.own_keys().await?;
        let spoken = SpokenInviter::new(self.host.clone(), user, &keys);
        self.offers.open_spoken(spoken, self.offer_parts(Lets::Device(admitter)))
    }

    /// Invites another user to a space, in which it will have this role. Show the invitation, then wait for the user
    /// with [`ShareOffer::requested`]; `welcomer` is the database that will make it a member.
    ///
    /// # Errors
    /// As [`Node::invite`]; [`IdentityError::OwnerInvited`] for [`Role::Owner`].
    pub async fn invite_to(
        &self,
        space: SpaceId,
        role: Role,
        welcomer: Arc<dyn Welcomer>,
    ) -> Result<ShareOffer, NetError> {
        if role == Role::Owner {
            return Err(IdentityError::OwnerInvited.into());
        }
        let (user, keys) = self.own_keys().await?;
        let invitation = ShareInvitation::create(&self.host, (space, role), user, &keys, self.hints());
        self.offers.open_share(invitation, self.offer_parts(Lets::User(welcomer)))
    }

    /// Lets in the new device that shows `card`: dials it. It then shows six digits, which the user types into
    /// [`Admitting::confirm`]. `keys` are this device's own; `admitter` is the database that will let it in.
    ///
    /// # Errors
    /// [`NetError::BearerUnreachable`] after a minute; [`NetError::Identity`] with
    /// [`IdentityError::InvitationExpired`] or [`IdentityError::PairingRefused`] if the card is used up, expired or
    /// withdrawn, [`IdentityError::WrongPeer`] if it is this device's own.
    pub async fn admit(
        &self,
        card: Card,
        keys: &DeviceKeys,
        admitter: Arc<dyn Admitter>,
    ) -> Result<Admitting, NetError> {
        let (user, own) = self.own_keys().await?;
        let reader = CardReader::new(self.host.clone(), card, user, &own, self.hints())?;
        let config = NodeConfig { lan: self.lan, host: self.host.clone(), ..NodeConfig::default() };
        admitting::admit(config, reader, keys, admitter, self.local_changed()).await
    }

    async fn own_keys(&self) -> Result<(UserId, DevicePublic), NetError> {
        let replica = Arc::clone(&self.shared.replica);
        let read = tokio::task::spawn_blocking(move || Ok((replica.identity()?, replica.device())));
        let (log, device) = read.await.map_err(|_| NetError::Stopped)?.map_err(NetError::Replica)?;
        let device = log.device(device).ok_or(IdentityError::UnknownDevice { device })?;
        Ok((log.user_id(), device.keys))
    }

    fn offer_parts(&self, lets: Lets) -> OfferParts {
        let (host, events) = (self.host.clone(), self.shared.events.clone());
        OfferParts { host, lets, events, changed: self.local_changed() }
    }

    fn hints(&self) -> Vec<String> {
        hints(&self.swarm.listening.borrow())
    }

    /// Sends what is not sent yet, closes all connections, and returns once nothing of this node uses
    /// the database any more; after three seconds at the latest.
    pub async fn stop(mut self) {
        drop(self.directory);
        let (stopped, done) = oneshot::channel();
        let orderly = async {
            if self.swarm.commands.send(Command::Stop(stopped)).await.is_ok() {
                let _ = done.await;
            }
        };
        let deadline = Instant::now() + STOP_TIMEOUT;
        let _ = tokio::time::timeout_at(deadline, orderly).await;
        self.swarm.task.abort();
        drop(self.shared);
        let _ = tokio::time::timeout_at(deadline, self.finished.recv()).await;
    }
}

/// The task that keeps the list of devices, which ends with the node.
struct Directory(tokio::task::JoinHandle<()>);

impl Drop for Directory {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Tells a node that the database has changed. Cheap to clone and to call; from any thread.
#[derive(Clone, Debug)]
pub struct LocalChanged {
    changed: watch::Sender<u64>,
    identities: Arc<Notify>,
}

impl LocalChanged {
    /// Rows were written: connected devices get the change at once.
    pub fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// The identity log has changed: there may be a new device to dial.
    pub fn notify_identity(&self) {
        self.identities.notify_one();
        self.notify();
    }
}

/// Serves the streams of a node, each in a task of its own.
struct Sessions {
    shared: Shared,
    offers: OfferSlot,
}

impl Serve for Sessions {
    fn serve(&self, purpose: Purpose, opened: Opened) {
        match purpose {
            Purpose::Sync => drop(tokio::spawn(session::run(self.shared.clone(), opened))),
            Purpose::Pair => drop(tokio::spawn(inviting::serve(self.offers.clone(), opened))),
        }
    }
}

/// The addresses for a code, the most promising first: it has room for a few. Those of this machine alone are of use
/// only if there are no others.
pub(super) fn hints(listening: &[Multiaddr]) -> Vec<String> {
    let (local, mut reachable): (Vec<_>, Vec<_>) = listening.iter().cloned().partition(transport::is_loopback);
    if reachable.is_empty() {
        reachable = local;
    }
    reachable.iter().map(ToString::to_string).collect()
}

/// Gives all addresses that leave their port open the same one: `wanted` if it is free, or soon will be, or
/// any that is. If none is found to be, the system chooses, for each its own.
pub(super) async fn choose_port(listen: &[Multiaddr], wanted: Option<u16>, host: &Host) -> Vec<Multiaddr> {
    let on_port = |port| listen.iter().map(|address| transport::with_port(address, port)).collect::<Vec<_>>();
    let is_free = |chosen: &[Multiaddr]| {
        let mut changed = chosen.iter().zip(listen).filter(|(chosen, asked)| chosen != asked);
        !changed.any(|(chosen, _)| transport::is_port_in_use(chosen))
    };
    if let Some(chosen) = wanted.map(on_port) {
        // A node that has just stopped leaves its QUIC connections a moment to end in order.
        let deadline = Instant::now() + PORT_TIMEOUT;
        while !is_free(&chosen) && Instant::now() < deadline {
            sleep(PORT_RETRY_INTERVAL).await;
        }
        if is_free(&chosen) {
            return chosen;
        }
    }
    let random = || PORTS_PRIVATE.start() + u16::from_le_bytes(host.random()) % PORTS_PRIVATE.len() as u16;
    let mut candidates = std::iter::repeat_with(random).take(PORT_TRIES).map(on_port);
    candidates.find(|chosen| is_free(chosen)).unwrap_or_else(|| listen.to_vec())
}

/// Sorts addresses by the peer that each ends with.
pub(super) fn by_peer(addresses: Vec<Multiaddr>) -> Result<BTreeMap<PeerId, Vec<Multiaddr>>, NetError> {
    let mut known: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
    for address in addresses {
        match transport::split_peer(address.clone()) {
            (bare, Some(peer)) if transport::dialable(&bare) => known.entry(peer).or_default().push(bare),
            _ => return Err(NetError::Address { address }),
        }
    }
    Ok(known)
}

/// The devices of the own user, and of the users that share a space with it now; each once, whose ever it is.
fn devices_to_dial(logs: &EntryLogs) -> Vec<(UserId, identity::Device)> {
    let sharing = logs.others().filter(|log| !logs.told_to(log.user_id()).spaces().is_empty());
    let users = std::iter::once(logs.users.own()).chain(sharing);
    let mut known = BTreeSet::new();
    let devices = users.flat_map(|log| log.devices().map(|device| (log.user_id(), device)));
    devices.filter(|(_, device)| known.insert(device.keys.transport)).collect()
}

/// Gives the swarm the devices that this one may talk with, again whenever these may have changed.
async fn keep_devices(shared: Shared, known: BTreeMap<PeerId, Vec<Multiaddr>>, commands: mpsc::Sender<Command>) {
    let mut told = None;
    loop {
        let replica = Arc::clone(&shared.replica);
        let read = tokio::task::spawn_blocking(move || replica.logs().map(|logs| devices_to_dial(&logs)));
        match read.await {
            Ok(Ok(devices)) => {
                let devices: Vec<_> = devices
                    .into_iter()
                    .filter_map(|(user, device)| {
                        let peer = transport::peer_id(&device.keys.transport)?;
                        let addresses = known.get(&peer).cloned().unwrap_or_default();
                        Some(Device { id: Some((user, device.id)), peer, addresses })
                    })
                    .collect();
                if told.as_ref() != Some(&devices) {
                    if commands.send(Command::Devices(devices.clone())).await.is_err() {
                        return;
                    }
                    told = Some(devices);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the list of devices can't be read"),
            Err(_) => return,
        }
        sleep(DEVICES_INTERVAL).await;
        shared.identities.notified().await;
    }
}
