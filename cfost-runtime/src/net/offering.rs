//! The new device's side of a pairing by card: it shows the code and listens, an authorised device dials, six digits
//! are shown.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::NetError;
use super::dial::Dialler;
use super::inviting::{EXPIRY_CHECK_INTERVAL, blocking};
use super::joining::{Guests, Joining, Line, Machine};
use super::limits::{EVENTS_MAX, LISTEN_TIMEOUT, OFFERED_MAX};
use super::node::{NodeConfig, choose_port, hints};
use super::streams::{Purpose, Served};
use super::swarm::{self, Opened, ReportKind, SwarmConfig, SwarmHandle};
use super::transport;
use crate::host::Host;
use crate::identity::pairing::{BearerEvent, Card, CardBearer, PairingId, refusal};
use crate::identity::{DeviceKeys, IdentityError};
use crate::oplog::UserId;
use crate::sync::ReplicaError;

/// What showing a card needs from the database.
pub trait Newcomer: Send + Sync {
    /// Makes sure that this device may become one of `user`'s, and records that this pairing is used up, durably. An
    /// error if it was already, or may not: then nobody lets it in by it.
    fn consume(&self, user: UserId, pairing: PairingId) -> Result<(), ReplicaError>;
}

/// A card that is shown, and a device that listens for who has read it. Dropping it ends both.
pub struct CardOffer {
    host: Host,
    bearer: CardBearer,
    newcomer: Arc<dyn Newcomer>,
    opened: mpsc::Receiver<Opened>,
    port: Option<u16>,
    swarm: SwarmHandle,
}

/// Listens as a new device that calls itself `name`, and makes the card to show. Dials nobody.
///
/// # Errors
/// What [`Node::start`](super::Node::start) fails with; [`IdentityError::Text`] for a name that can't be accepted.
pub async fn offer(
    config: NodeConfig,
    keys: &DeviceKeys,
    name: &str,
    newcomer: Arc<dyn Newcomer>,
) -> Result<CardOffer, NetError> {
    tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
    let host = config.host.clone();
    let (sender, opened) = mpsc::channel(OFFERED_MAX);
    let swarm = SwarmConfig {
        keypair: transport::keypair(&keys.transport_secret())?,
        listen: choose_port(&config.listen, config.port, &host).await,
        lan: config.lan,
        opens: Purpose::Pair,
        served: Served { sync: false, pair: Arc::new(AtomicBool::new(true)) },
        dialler: Dialler::new(u64::from_le_bytes(host.random())),
    };
    let (events, _) = broadcast::channel(EVENTS_MAX);
    let mut swarm = swarm::start(swarm, Box::new(Guests(sender)), events).await?;
    // A listener without any interface up is no reason to give up: interfaces come and go.
    let _ = timeout(LISTEN_TIMEOUT, &mut swarm.bound).await;
    let listening = swarm.listening.borrow().clone();
    let bearer = CardBearer::new(host.clone(), keys.clone(), name, hints(&listening))?;
    Ok(CardOffer { host, bearer, newcomer, opened, port: listening.iter().find_map(transport::port), swarm })
}

impl CardOffer {
    /// What to show: as a QR code or as text.
    pub fn card(&self) -> &Card {
        self.bearer.card()
    }

    /// The port that this device listens on, to be given to its node as [`NodeConfig::port`].
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Waits until an authorised device has read the card. The digits can be shown then, for its user to type in there.
    ///
    /// # Errors
    /// [`IdentityError::InvitationExpired`] after 300 seconds, [`NetError::Replica`] if this device may not become one
    /// of that user's, [`NetError::PairingInterrupted`] if the other device is lost.
    pub async fn called(mut self) -> Result<Joining, NetError> {
        // Whoever says nothing must not hold up who does.
        let mut first = JoinSet::new();
        loop {
            if self.host.now_ms() >= self.bearer.card().expires_at_ms() {
                return Err(IdentityError::InvitationExpired.into());
            }
            let read = tokio::select! {
                opened = self.opened.recv() => {
                    first.spawn(listen(opened.ok_or(NetError::Stopped)?));
                    continue;
                }
                Some(read) = first.join_next() => read,
                () = tokio::time::sleep(EXPIRY_CHECK_INTERVAL) => continue,
            };
            let Ok(Some((line, message))) = read else { continue };
            match self.bearer.receive(&line.peer, &message) {
                Ok(BearerEvent::Called { user, pairing }) => return self.show(line, user, pairing).await,
                Ok(_) => return Err(IdentityError::OutOfTurn.into()),
                Err(error) => {
                    tracing::debug!(%error, "a peer has not seen the card that is shown");
                    tokio::spawn(refuse(line));
                }
            }
        }
    }

    /// Uses the card up, and answers.
    async fn show(mut self, mut line: Line, user: UserId, pairing: PairingId) -> Result<Joining, NetError> {
        line.report(ReportKind::Pairing).await;
        let newcomer = Arc::clone(&self.newcomer);
        if let Err(error) = blocking(move || newcomer.consume(user, pairing)).await {
            self.bearer.cancel();
            refuse(line).await;
            return Err(error);
        }
        let (digits, ready) = self.bearer.consumed()?;
        if line.send(ready).await.is_err() {
            return Err(NetError::PairingInterrupted("the authorised device was lost"));
        }
        // The card is used up: whoever else comes is told so at once.
        let mut opened = self.opened;
        tokio::spawn(async move {
            while let Some(late) = opened.recv().await {
                if let Ok(line) = Line::of(late) {
                    tokio::spawn(refuse(line));
                }
            }
        });
        Ok(Joining::new(Machine::Bearer(Box::new(self.bearer)), digits, line, self.swarm))
    }
}

/// Reads the first message of whoever dialled.
async fn listen(opened: Opened) -> Option<(Line, Vec<u8>)> {
    let mut line = Line::of(opened).ok()?;
    match line.receive().await {
        Ok(message) => Some((line, message)),
        Err(_) => {
            line.end("it said nothing in time").await;
            None
        }
    }
}

/// Tells a peer that it is refused, and lets that arrive.
async fn refuse(mut line: Line) {
    if line.send(refusal()).await.is_ok() {
        line.hang_up().await;
    }
    line.end("it was refused").await;
}

impl fmt::Debug for CardOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardOffer").field("card", self.bearer.card()).finish_non_exhaustive()
    }
}
