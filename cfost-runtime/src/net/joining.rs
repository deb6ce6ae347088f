//! The new device's side of a pairing: it dials the device that made the invitation, shows six digits,
//! and is let in. What comes before the digits when it shows the code itself is in `offering`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fmt, io};

use libp2p::Multiaddr;
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::swarm::Stream;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::dial::Dialler;
use super::limits::{
    DRAIN_TIMEOUT, EVENTS_MAX, PAIRING_ASKED_MAX, PAIRING_CONFIRM_TIMEOUT, PAIRING_DIAL_TIMEOUT, PAIRING_FIRST_TIMEOUT,
    PAIRING_LAST_TIMEOUT, PAIRING_OTHERS_TIMEOUT, PAIRING_STARTS_MAX,
};
use super::node::{NodeConfig, by_peer};
use super::streams::{Purpose, Served};
use super::swarm::{self, Command, Device, Opened, Report, ReportKind, Serve, SwarmConfig, SwarmHandle};
use super::{NetError, frame, transport};
use crate::identity::limits::PAIRING_MESSAGE_BYTES_MAX;
use crate::identity::pairing::{
    BearerEvent, CardBearer, Digits, Invitation, Joined, Joiner, JoinerEvent, SpokenCode, SpokenJoiner, refusal,
};
use crate::identity::{DeviceKeys, IdentityError};
use crate::oplog::UserId;

/// Follows an invitation as a new device that calls itself `name`: dials the inviter, by the addresses in
/// the invitation, those in `config` and, with [`NodeConfig::lan`], wherever it is found on the LAN.
/// Returns once the digits can be shown. Does not listen.
///
/// # Errors
/// [`NetError::InviterUnreachable`] after a minute, [`NetError::Identity`] with
/// [`IdentityError::PairingRefused`] if the invitation is used up, expired or withdrawn,
/// [`IdentityError::InvitationExpired`], [`IdentityError::Text`] for a name that can't be accepted, and
/// what [`Node::start`](super::Node::start) fails with.
pub async fn join(
    config: NodeConfig,
    invitation: Invitation,
    keys: &DeviceKeys,
    name: &str,
) -> Result<Joining, NetError> {
    tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
    let mut joiner = Joiner::new(config.host.clone(), invitation, keys.clone(), name)?;
    let inviter = device_of(joiner.invitation().inviter_transport(), joiner.invitation().hints(), &config.addresses)?;
    let (swarm, mut opened) = dial(&config, keys, vec![inviter], 0).await?;
    let deadline = Instant::now() + PAIRING_DIAL_TIMEOUT;
    for _ in 0..PAIRING_STARTS_MAX {
        let next = timeout_at(deadline, opened.recv()).await.map_err(|_| NetError::InviterUnreachable)?;
        let opened = next.ok_or(NetError::Stopped)?;
        if let Some((digits, line)) = start(&mut joiner, opened).await? {
            return Ok(Joining::new(Machine::Joiner(Box::new(joiner)), digits, line, swarm));
        }
        // The connection was lost before the digits: the swarm dials again.
    }
    // It is there, and hangs up: the pairing protocol is served only while an invitation is shown.
    Err(IdentityError::PairingRefused.into())
}

/// Joins whoever shows `code`, as a new device that calls itself `name`: dials the peers in `config` and, with
/// [`NodeConfig::lan`], whoever is found on the LAN and serves pairings. At most three of them are given a proof that
/// the code is known here. Returns once the digits can be shown. Does not listen. `only` is the user whose device this
/// is already, if it is: no other is joined.
///
/// # Errors
/// [`NetError::InviterUnreachable`] after a minute, or at once if there is nowhere to look;
/// [`NetError::Identity`] with [`IdentityError::SpokenCodeRefused`] if it is another code, burnt, expired or
/// withdrawn, with [`IdentityError::OtherUser`] if nobody but other users' devices showed one,
/// [`IdentityError::Text`] for a name that can't be accepted; and what
/// [`Node::start`](super::Node::start) fails with.
pub async fn join_spoken(
    mut config: NodeConfig,
    code: SpokenCode,
    keys: &DeviceKeys,
    name: &str,
    only: Option<UserId>,
) -> Result<Joining, NetError> {
    tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
    let mut spoken = SpokenJoiner::new(config.host.clone(), code, keys.clone(), name)?;
    if let Some(user) = only {
        spoken = spoken.only(user);
    }
    let known = by_peer(std::mem::take(&mut config.addresses))?;
    if known.is_empty() && !config.lan {
        return Err(NetError::InviterUnreachable);
    }
    let known: Vec<_> = known.into_iter().map(|(peer, addresses)| Device { id: None, peer, addresses }).collect();
    let known_count = known.len();
    let (swarm, mut opened) = dial(&config, keys, known, if config.lan { PAIRING_ASKED_MAX } else { 0 }).await?;
    let mut deadline = Instant::now() + PAIRING_DIAL_TIMEOUT;
    let (mut refused, mut of_others) = (BTreeSet::new(), 0);
    while let Ok(next) = timeout_at(deadline, opened.recv()).await {
        let line = Line::new(next.ok_or(NetError::Stopped)?).await?;
        if refused.contains(&line.peer) {
            line.end("it has refused before").await;
            continue;
        }
        match prove(&mut spoken, line).await? {
            Proof::Accepted(accepted) => {
                let (joiner, digits, line) = *accepted;
                return Ok(Joining::new(Machine::Joiner(Box::new(joiner)), digits, line, swarm));
            }
            // The swarm dials again.
            Proof::NotMade => {}
            Proof::Refused { peer, other_user } => {
                refused.insert(peer);
                of_others += usize::from(other_user);
                if !config.lan && refused.len() == known_count {
                    break;
                }
                // Somebody else may be the one who shows the code.
                deadline = deadline.min(Instant::now() + PAIRING_OTHERS_TIMEOUT);
            }
        }
    }
    match refused.len() {
        0 => Err(NetError::InviterUnreachable),
        all if all == of_others => Err(IdentityError::OtherUser.into()),
        _ => Err(IdentityError::SpokenCodeRefused.into()),
    }
}

/// What became of a connection to somebody who may be showing the code.
enum Proof {
    /// It is the right one.
    Accepted(Box<(Joiner, Digits, Line)>),
    /// It was lost before the proof was sent.
    NotMade,
    /// This peer takes no code, or not this one; or it is not one that this device may join.
    Refused { peer: [u8; 32], other_user: bool },
}

/// Proves to one peer that the code is known here, once.
async fn prove(spoken: &mut SpokenJoiner, mut line: Line) -> Result<Proof, NetError> {
    let Ok(offer) = line.exchange(spoken.greet()).await else {
        line.end("it was lost").await;
        return Ok(Proof::NotMade);
    };
    let (mut joiner, proof) = match spoken.prove(&line.peer, &offer) {
        Ok(proven) => proven,
        Err(error @ IdentityError::SpokenCodeRefused) => return Err(error.into()),
        Err(error) => return Ok(line.refused(&error).await),
    };
    // Whoever has got a proof gets no second one, not even if it was lost on the way.
    let answer = match line.exchange(proof).await {
        Ok(answer) => joiner.receive(&answer),
        Err(_) => Err(IdentityError::PairingRefused),
    };
    match answer {
        Ok(JoinerEvent::ShowDigits(digits)) => Ok(Proof::Accepted(Box::new((joiner, digits, line)))),
        Ok(JoinerEvent::Waiting | JoinerEvent::Joined(_)) => Ok(line.refused(&IdentityError::OutOfTurn).await),
        Err(error) => Ok(line.refused(&error).await),
    }
}

/// Starts to dial `devices`, and up to `strangers_max` peers that are found on the LAN; the streams that come about.
pub(super) async fn dial(
    config: &NodeConfig,
    keys: &DeviceKeys,
    devices: Vec<Device>,
    strangers_max: usize,
) -> Result<(SwarmHandle, mpsc::Receiver<Opened>), NetError> {
    // Each peer has a connection: those that come up while one is asked wait for their turn.
    let (opened_sender, opened) = mpsc::channel(devices.len().max(strangers_max));
    let swarm = SwarmConfig {
        keypair: transport::keypair(&keys.transport_secret())?,
        listen: Vec::new(),
        lan: config.lan,
        opens: Purpose::Pair,
        served: Served { sync: false, pair: Arc::new(AtomicBool::new(false)) },
        dialler: Dialler::of_anybody(u64::from_le_bytes(config.host.random()), strangers_max),
    };
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let swarm = swarm::start(swarm, Box::new(Guests(opened_sender)), events).await?;
    swarm.commands.send(Command::Devices(devices)).await.map_err(|_| NetError::Stopped)?;
    Ok((swarm, opened))
}

/// Whom to dial, and where: the device with this transport key, by the hints of its code and the addresses that are
/// known.
pub(super) fn device_of(transport_key: &[u8; 32], hints: &[String], known: &[Multiaddr]) -> Result<Device, NetError> {
    let peer = transport::peer_id(transport_key).ok_or(NetError::TransportKey)?;
    let hints = hints.iter().filter_map(|hint| hint.parse::<Multiaddr>().ok());
    let addresses = hints.chain(known.iter().cloned()).filter_map(|address| {
        // An address of somebody else leads nowhere; one without a name may be right.
        let (address, named) = transport::split_peer(address);
        (named.is_none_or(|named| named == peer) && transport::dialable(&address)).then_some(address)
    });
    Ok(Device { id: None, peer, addresses: addresses.collect() })
}

/// Begins on a fresh connection. `None` if it was lost.
async fn start(joiner: &mut Joiner, opened: Opened) -> Result<Option<(Digits, Line)>, NetError> {
    let mut line = Line::new(opened).await?;
    let first = joiner.start(&line.peer)?;
    let Ok(challenge) = line.exchange(first).await else {
        line.end("the inviter was lost").await;
        return Ok(None);
    };
    match joiner.receive(&challenge)? {
        JoinerEvent::ShowDigits(digits) => Ok(Some((digits, line))),
        JoinerEvent::Waiting | JoinerEvent::Joined(_) => {
            Err(NetError::PairingInterrupted("the inviter skipped the digits"))
        }
    }
}

/// Hands the streams to the task that joins.
pub(super) struct Guests(pub(super) mpsc::Sender<Opened>);

impl Serve for Guests {
    fn serve(&self, _: Purpose, opened: Opened) {
        // What finds no room is closed in time, and dialled again.
        let _ = self.0.try_send(opened);
    }
}

/// The stream to the other device.
pub(super) struct Line {
    pub(super) peer: [u8; 32],
    address: Multiaddr,
    dialled: bool,
    pub(super) stream: Stream,
    connection: libp2p::swarm::ConnectionId,
    reports: mpsc::Sender<Report>,
}

impl Line {
    /// A stream on which this device pairs.
    pub(super) async fn new(opened: Opened) -> Result<Self, NetError> {
        let mut line = Self::of(opened)?;
        line.report(ReportKind::Pairing).await;
        Ok(line)
    }

    /// A stream of somebody who has proven nothing yet.
    pub(super) fn of(opened: Opened) -> Result<Self, NetError> {
        let peer = transport::transport_key(&opened.peer).ok_or(NetError::TransportKey)?;
        let Opened { address, connection, reports, speaks_first: dialled, .. } = opened;
        Ok(Self { peer, address, dialled, stream: opened.stream.stream, connection, reports })
    }

    pub(super) async fn report(&mut self, kind: ReportKind) {
        // The swarm's task is gone only when this whole attempt is.
        let _ = self.reports.send(Report { connection: self.connection, kind }).await;
    }

    /// Sends an early message and reads the answer.
    pub(super) async fn exchange(&mut self, message: Vec<u8>) -> io::Result<Vec<u8>> {
        let answer = timeout(PAIRING_FIRST_TIMEOUT, async {
            frame::write(&mut self.stream, &[message]).await?;
            frame::read(&mut self.stream, PAIRING_MESSAGE_BYTES_MAX).await
        });
        answer.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Reads an early message.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let message = timeout(PAIRING_FIRST_TIMEOUT, frame::read(&mut self.stream, PAIRING_MESSAGE_BYTES_MAX));
        message.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Sends an early message.
    pub(super) async fn send(&mut self, message: Vec<u8>) -> io::Result<()> {
        let messages = [message];
        let sent = timeout(PAIRING_FIRST_TIMEOUT, frame::write(&mut self.stream, &messages));
        sent.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Sends the last message.
    pub(super) async fn last(&mut self, message: Vec<u8>) -> io::Result<()> {
        let told = timeout(PAIRING_LAST_TIMEOUT, async {
            frame::write(&mut self.stream, &[message]).await?;
            // The other side hangs up once it has read it: until then it may not have arrived.
            let _ = frame::read(&mut self.stream, PAIRING_MESSAGE_BYTES_MAX).await;
            Ok(())
        });
        told.await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Where the other device is to be found: the addresses that it has told, and that of this connection, if this
    /// device has dialled.
    pub(super) fn addresses(&self, hints: &[String]) -> Vec<Multiaddr> {
        let Some(peer) = transport::peer_id(&self.peer) else { return Vec::new() };
        let mut addresses: Vec<Multiaddr> = hints.iter().filter_map(|hint| hint.parse::<Multiaddr>().ok()).collect();
        if self.dialled && !addresses.contains(&self.address) {
            addresses.push(self.address.clone());
        }
        addresses.into_iter().filter_map(|address| address.with_p2p(peer).ok()).collect()
    }

    async fn refused(self, why: &IdentityError) -> Proof {
        tracing::debug!(error = %why, "a peer takes no code, or not this one");
        let (peer, other_user) = (self.peer, *why == IdentityError::OtherUser);
        self.end("it refused").await;
        Proof::Refused { peer, other_user }
    }

    /// Lets the last message arrive: a QUIC connection that is closed forgets what is on its way.
    pub(super) async fn hang_up(&mut self) {
        let _ = timeout(DRAIN_TIMEOUT, async {
            self.stream.close().await?;
            self.stream.read(&mut [0]).await
        })
        .await;
    }

    pub(super) async fn end(mut self, reason: &str) {
        self.report(ReportKind::Ended(reason.into())).await;
    }
}

/// A pairing that waits for the user to type this device's digits into the inviting one. Dropping it
/// ends the pairing.
pub struct Joining {
    machine: Machine,
    digits: Digits,
    line: Line,
    _swarm: SwarmHandle,
}

/// Which of the two devices showed the code.
pub(super) enum Machine {
    /// The authorised one did.
    Joiner(Box<Joiner>),
    /// This one did.
    Bearer(Box<CardBearer>),
}

/// What a message of the other device makes this one do.
enum Step {
    Wait,
    Answer(Vec<u8>),
    Joined(Box<Joined>),
}

impl Machine {
    fn receive(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<Step, IdentityError> {
        match self {
            Self::Joiner(joiner) => match joiner.receive(message)? {
                JoinerEvent::Joined(joined) => Ok(Step::Joined(joined)),
                JoinerEvent::Waiting => Ok(Step::Wait),
                JoinerEvent::ShowDigits(_) => Err(IdentityError::OutOfTurn),
            },
            Self::Bearer(bearer) => match bearer.receive(peer, message)? {
                BearerEvent::Joined(joined) => Ok(Step::Joined(joined)),
                BearerEvent::Waiting => Ok(Step::Wait),
                BearerEvent::Answer(answer) => Ok(Step::Answer(answer)),
                BearerEvent::Called { .. } => Err(IdentityError::OutOfTurn),
            },
        }
    }

    fn done(&self) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::Joiner(joiner) => joiner.done(),
            Self::Bearer(bearer) => bearer.done(),
        }
    }
}

impl Joining {
    pub(super) fn new(machine: Machine, digits: Digits, line: Line, swarm: SwarmHandle) -> Self {
        Self { machine, digits, line, _swarm: swarm }
    }

    /// The six digits to show.
    pub fn digits(&self) -> Digits {
        self.digits
    }

    /// Where the authorised device was to be found, with its peer id: what [`NodeConfig::addresses`] wants.
    pub fn inviter_addresses(&self) -> Vec<Multiaddr> {
        self.line.addresses(match &self.machine {
            Machine::Joiner(joiner) => joiner.invitation().hints(),
            Machine::Bearer(bearer) => bearer.reader_hints(),
        })
    }

    /// Waits until the user has confirmed the digits, and returns all that this device has to store.
    /// Store it durably, then call [`Joining::stored`].
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`] if the user typed other digits or cancelled,
    /// [`NetError::PairingInterrupted`] if the inviter is lost or took more than five minutes, and
    /// [`NetError::Identity`] if what it sent does not hold: then nothing may be stored.
    pub async fn admitted(&mut self) -> Result<Box<Joined>, NetError> {
        let deadline = Instant::now() + PAIRING_CONFIRM_TIMEOUT;
        loop {
            let message = timeout_at(deadline, frame::read(&mut self.line.stream, PAIRING_MESSAGE_BYTES_MAX));
            let message = match message.await {
                Ok(Ok(message)) => message,
                Ok(Err(_)) => return Err(NetError::PairingInterrupted("the inviting device was lost")),
                Err(_) => return Err(NetError::PairingInterrupted("the digits were not confirmed in time")),
            };
            match self.machine.receive(&self.line.peer, &message) {
                Ok(Step::Joined(joined)) => return Ok(joined),
                Ok(Step::Wait) => {}
                Ok(Step::Answer(answer)) => {
                    let sent = self.line.send(answer).await;
                    sent.map_err(|_| NetError::PairingInterrupted("the inviting device was lost"))?;
                }
                Err(error) => {
                    // It may be waiting for an answer.
                    let _ = self.line.send(refusal()).await;
                    return Err(error.into());
                }
            }
        }
    }

    /// Tells the inviter that everything is stored, and ends.
    ///
    /// # Errors
    /// [`NetError::PairingInterrupted`] if that can't be told. This device belongs to the user all the same.
    pub async fn stored(mut self) -> Result<(), NetError> {
        let done = self.machine.done()?;
        let lost = NetError::PairingInterrupted("the inviting device was lost after the pairing");
        self.line.last(done).await.map_err(|_| lost)
    }
}

impl fmt::Debug for Joining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").finish_non_exhaustive()
    }
}
