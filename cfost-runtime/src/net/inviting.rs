//! The authorised device's side of a pairing: an invitation is shown, a device comes, the user types
//! its digits, the device is let in.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use libp2p::futures::io::{ReadHalf, WriteHalf};
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::swarm::Stream;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::timeout;

use super::event::NodeEvent;
use super::limits::{DRAIN_TIMEOUT, PAIRING_FIRST_TIMEOUT, PAIRING_LAST_TIMEOUT};
use super::node::LocalChanged;
use super::swarm::{Opened, Report, ReportKind};
use super::{NetError, frame, transport};
use crate::host::Host;
use crate::identity::limits::PAIRING_MESSAGE_BYTES_MAX;
use crate::identity::pairing::{Invitation, Inviter, InviterEvent, PairingId, refusal};
use crate::identity::{AddDevice, IdentityError, IdentityLog};
use crate::oplog::{DeviceId, EpochKey, SpaceId};
use crate::sync::ReplicaError;

/// How often the clock is looked at while an invitation waits for its expiry.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What a pairing needs from the database. All of it is durable when it returns.
pub trait Admitter: Send + Sync {
    /// Records that this pairing is used up. An error if it was already: then nobody gets in by it.
    fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError>;

    /// Signs and stores the entry that adds the new device, whose digits the user has confirmed, and
    /// returns what the device has to know.
    fn admit(&self, request: AddDevice) -> Result<Admission, ReplicaError>;
}

/// What a new device is told once it is let in, sealed to it.
#[derive(Debug)]
pub struct Admission {
    /// The identity log, with the new device in it.
    pub log: Arc<IdentityLog>,
    /// The keys of all epochs of the spaces that it may read.
    pub space_keys: Vec<(SpaceId, EpochKey)>,
}

/// How far an invitation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Shown; nobody has proven to have seen it.
    Shown,
    /// A device has, and shows its digits.
    Waiting { device_name: String },
    /// The device has stored everything.
    Joined(DeviceId),
    /// Nobody gets in by it any more.
    Over(&'static str),
}

/// What one offer shares with the connections that follow it.
struct Offer {
    host: Host,
    inviter: Mutex<Inviter>,
    admitter: Arc<dyn Admitter>,
    stage: watch::Sender<Stage>,
    /// Messages for the device that waits.
    answers: mpsc::Sender<Vec<Vec<u8>>>,
    answer_queue: tokio::sync::Mutex<mpsc::Receiver<Vec<Vec<u8>>>>,
    events: broadcast::Sender<NodeEvent>,
    changed: LocalChanged,
}

impl Offer {
    fn inviter(&self) -> MutexGuard<'_, Inviter> {
        self.inviter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: &'static str) {
        self.stage.send_if_modified(|stage| {
            let open = !matches!(stage, Stage::Joined(_) | Stage::Over(_));
            if open {
                *stage = Stage::Over(why);
            }
            open
        });
    }
}

impl Offer {
    /// The connection of `peer` was closed under it: matters only if the offer is its.
    fn cut_off(&self, peer: &[u8; 32]) -> &'static str {
        let over = {
            let mut inviter = self.inviter();
            inviter.lost(peer);
            inviter.is_closed()
        };
        if over {
            self.end("the connection was closed");
        }
        "the connection was closed"
    }
}

/// The place of the one offer that a node can have open, known to the swarm's side of the room.
#[derive(Clone, Default)]
pub(crate) struct OfferSlot {
    offer: Arc<Mutex<Weak<Offer>>>,
    /// Whether the pairing protocol is served at all.
    pub(crate) served: Arc<AtomicBool>,
}

impl OfferSlot {
    /// Opens an offer, unless there is one.
    pub(crate) fn open(
        &self,
        host: Host,
        invitation: Invitation,
        admitter: Arc<dyn Admitter>,
        events: broadcast::Sender<NodeEvent>,
        changed: LocalChanged,
    ) -> Result<PairingOffer, NetError> {
        let mut slot = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.strong_count() > 0 {
            return Err(NetError::PairingBusy);
        }
        let (answers, answer_queue) = mpsc::channel(1);
        let offer = Arc::new(Offer {
            inviter: Mutex::new(Inviter::new(host.clone(), invitation.clone())),
            host,
            admitter,
            stage: watch::Sender::new(Stage::Shown),
            answers,
            answer_queue: tokio::sync::Mutex::new(answer_queue),
            events,
            changed,
        });
        *slot = Arc::downgrade(&offer);
        self.served.store(true, Ordering::Release);
        Ok(PairingOffer { invitation, offer, slot: self.clone() })
    }

    /// Makes room for the next offer, also while somebody who followed this one is still connected.
    fn clear(&self) {
        self.served.store(false, Ordering::Release);
        *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
    }

    fn current(&self) -> Option<Arc<Offer>> {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

/// An invitation for one new device. Dropping it withdraws it.
pub struct PairingOffer {
    invitation: Invitation,
    offer: Arc<Offer>,
    slot: OfferSlot,
}

impl PairingOffer {
    /// What to show: as a QR code or as text.
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Waits until a device has proven that it was shown the invitation, and returns the name it gives
    /// itself. It then shows six digits, which the user types in here: see [`PairingOffer::confirm`].
    ///
    /// # Errors
    /// [`IdentityError::InvitationExpired`] once nobody can follow the invitation any more,
    /// [`NetError::PairingInterrupted`] if the device is lost.
    pub async fn requested(&self) -> Result<String, NetError> {
        let mut stage = self.offer.stage.subscribe();
        loop {
            match &*stage.borrow_and_update() {
                Stage::Waiting { device_name } => return Ok(device_name.clone()),
                Stage::Over(why) => return Err(NetError::PairingInterrupted(why)),
                Stage::Joined(_) => return Err(IdentityError::InvitationUsed.into()),
                Stage::Shown => {}
            }
            // The host's clock decides, which need not run like the runtime's.
            if self.offer.host.now_ms() >= self.invitation.expires_at_ms() {
                return Err(IdentityError::InvitationExpired.into());
            }
            let _ = timeout(EXPIRY_CHECK_INTERVAL, stage.changed()).await;
        }
    }

    /// Lets the waiting device in, if `digits` are those that it shows; spaces and hyphens don't
    /// matter. Returns once the device has stored everything.
    ///
    /// # Errors
    /// [`IdentityError::DigitsForm`] and [`IdentityError::WrongDigits`], after which the user may try
    /// again; [`IdentityError::ConfirmationFailed`] after the third wrong try and
    /// [`IdentityError::ConfirmationExpired`], which end the pairing; [`NetError::Replica`] if the
    /// database fails; [`NetError::PairingInterrupted`] if the device is lost. If that happens after
    /// the digits were right, the device is in the identity log and may or may not know it.
    pub async fn confirm(&self, digits: &str) -> Result<DeviceId, NetError> {
        if let Stage::Over(why) = &*self.offer.stage.borrow() {
            return Err(NetError::PairingInterrupted(why));
        }
        let confirmed = self.offer.inviter().confirm(digits);
        let request = match confirmed {
            Ok(request) => request,
            Err(error @ (IdentityError::ConfirmationFailed | IdentityError::ConfirmationExpired)) => {
                self.refuse("the digits were not confirmed").await;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        let messages = match self.admit(request).await {
            Ok(messages) => messages,
            Err(error) => {
                self.refuse("this device could not let the other one in").await;
                return Err(error);
            }
        };
        let mut stage = self.offer.stage.subscribe();
        let _ = self.offer.answers.send(messages).await;
        loop {
            match &*stage.borrow_and_update() {
                Stage::Joined(device) => return Ok(*device),
                Stage::Over(why) => return Err(NetError::PairingInterrupted(why)),
                Stage::Shown | Stage::Waiting { .. } => {}
            }
            // The sender lives as long as this offer.
            let _ = stage.changed().await;
        }
    }

    async fn admit(&self, request: AddDevice) -> Result<Vec<Vec<u8>>, NetError> {
        let admitter = Arc::clone(&self.offer.admitter);
        let admission = blocking(move || admitter.admit(request)).await?;
        // The other devices are to know the new one before it calls them.
        self.offer.changed.notify_identity();
        let keys: Vec<_> = admission.space_keys.iter().map(|(space, key)| (*space, key)).collect();
        Ok(self.offer.inviter().admit(&admission.log, &keys)?)
    }

    async fn refuse(&self, why: &'static str) {
        self.offer.inviter().cancel();
        let _ = self.offer.answers.try_send(vec![refusal()]);
        self.offer.end(why);
    }
}

impl Drop for PairingOffer {
    fn drop(&mut self) {
        self.slot.clear();
        self.offer.inviter().cancel();
        // Reaches the device only if one waits; if not, nobody is there to be told.
        let _ = self.offer.answers.try_send(vec![refusal()]);
        self.offer.end("it was cancelled");
    }
}

impl fmt::Debug for PairingOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairingOffer").field("stage", &*self.offer.stage.borrow()).finish_non_exhaustive()
    }
}

/// Serves one stream of somebody who wants to pair.
pub(crate) async fn serve(slot: OfferSlot, mut opened: Opened) {
    let reason = match (slot.current(), transport::transport_key(&opened.peer)) {
        (Some(offer), Some(peer)) => {
            let (read, write) = opened.stream.stream.split();
            let guest = Guest { offer: Arc::clone(&offer), peer, read, write };
            tokio::select! {
                reason = guest.serve(&opened.reports, opened.connection) => reason,
                () = opened.control.closed() => offer.cut_off(&peer).into(),
            }
        }
        _ => "no invitation is open".into(),
    };
    let _ = opened.reports.send(Report { connection: opened.connection, kind: ReportKind::Ended(reason) }).await;
}

/// A connection of somebody who wants to pair.
struct Guest {
    offer: Arc<Offer>,
    peer: [u8; 32],
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
}

impl Guest {
    async fn serve(mut self, reports: &mpsc::Sender<Report>, connection: libp2p::swarm::ConnectionId) -> String {
        if let Err(reason) = self.let_start().await {
            self.offer.inviter().lost(&self.peer);
            let _ = timeout(DRAIN_TIMEOUT, frame::write(&mut self.write, &[refusal()])).await;
            self.hang_up().await;
            return reason;
        }
        // From here on the invitation is used up, and what happens to this peer decides the pairing.
        let _ = reports.send(Report { connection, kind: ReportKind::Pairing }).await;
        match self.finish().await {
            Ok(device) => {
                self.offer.stage.send_replace(Stage::Joined(device));
                "the pairing is done".into()
            }
            Err(why) => {
                self.offer.inviter().lost(&self.peer);
                self.offer.end(why);
                self.hang_up().await;
                why.into()
            }
        }
    }

    /// Lets the last message arrive: a QUIC connection that is closed forgets what is on its way.
    async fn hang_up(&mut self) {
        let _ = timeout(DRAIN_TIMEOUT, async {
            self.write.close().await?;
            self.read.read(&mut [0]).await
        })
        .await;
    }

    /// From the first message to the digits on the other device.
    async fn let_start(&mut self) -> Result<(), String> {
        let first = timeout(PAIRING_FIRST_TIMEOUT, frame::read(&mut self.read, PAIRING_MESSAGE_BYTES_MAX)).await;
        let first = first.map_err(|_| "it said nothing in time")?.map_err(|error| error.to_string())?;
        let started = self.offer.inviter().receive(&self.peer, &first);
        let InviterEvent::Consume(pairing) = started.map_err(|error| error.to_string())? else {
            return Err("it skipped the beginning".into());
        };
        let admitter = Arc::clone(&self.offer.admitter);
        if let Err(error) = blocking(move || admitter.consume(pairing)).await {
            self.offer.inviter().cancel();
            self.offer.end("the invitation could not be recorded as used up");
            return Err(error.to_string());
        }
        let challenge = self.offer.inviter().consumed().map_err(|error| error.to_string())?;
        let sent = timeout(PAIRING_FIRST_TIMEOUT, frame::write(&mut self.write, &[challenge])).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.offer.end("the new device was lost");
            return Err("it was lost".into());
        }
        Ok(())
    }

    /// From the digits to the end.
    async fn finish(&mut self) -> Result<DeviceId, &'static str> {
        let device_name = self.offer.inviter().waiting().unwrap_or_default().to_owned();
        let _ = self.offer.events.send(NodeEvent::PairingRequested { device_name: device_name.clone() });
        self.offer.stage.send_if_modified(|stage| {
            let shown = *stage == Stage::Shown;
            if shown {
                *stage = Stage::Waiting { device_name };
            }
            shown
        });
        let offer = Arc::clone(&self.offer);
        let mut answers = offer.answer_queue.lock().await;
        let mut unexpected = [0];
        let messages = tokio::select! {
            messages = answers.recv() => messages.ok_or("it was cancelled")?,
            // The device has nothing to say until it is let in: either it hung up or it misbehaves.
            _ = self.read.read(&mut unexpected) => return Err("the new device was lost"),
        };
        let sent = timeout(PAIRING_LAST_TIMEOUT, frame::write(&mut self.write, &messages)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err("the new device was lost");
        }
        if self.offer.inviter().is_closed() {
            return Err("the new device was refused");
        }
        let last = timeout(PAIRING_LAST_TIMEOUT, frame::read(&mut self.read, PAIRING_MESSAGE_BYTES_MAX)).await;
        let Ok(Ok(last)) = last else { return Err("the new device did not say that it has stored everything") };
        match self.offer.inviter().receive(&self.peer, &last) {
            Ok(InviterEvent::Joined(device)) => Ok(device),
            _ => Err("the new device did not finish in order"),
        }
    }
}

/// Runs what may block, such as the database, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReplicaError> + Send + 'static,
) -> Result<T, NetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(NetError::Replica),
        Err(_) => Err(NetError::Stopped),
    }
}
