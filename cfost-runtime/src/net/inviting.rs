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

use super::door::{Door, DoorEvent, Lets, Wanted, Who};
use super::event::NodeEvent;
use super::limits::{DRAIN_TIMEOUT, PAIRING_FIRST_TIMEOUT, PAIRING_LAST_TIMEOUT};
use super::node::LocalChanged;
use super::sharing::ShareOffer;
use super::swarm::{Opened, Report, ReportKind};
use super::{NetError, frame, transport};
use crate::host::Host;
use crate::identity::limits::PAIRING_MESSAGE_BYTES_MAX;
use crate::identity::pairing::{
    Greeting, Invitation, Inviter, PairingId, ShareInvitation, Sharer, SpokenCode, SpokenInviter, Visitor, refusal,
};
use crate::identity::{AddDevice, IdentityError, IdentityLog};
use crate::oplog::{DeviceId, EpochKey, SpaceId};
use crate::sync::ReplicaError;

/// How often the clock is looked at while an invitation waits for its expiry.
pub(super) const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_millis(500);

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
    /// It has stored everything.
    Joined(Who),
    /// It was a spoken code, and guessed wrong too often.
    Burnt,
    /// Nobody gets in by it any more.
    Over(&'static str),
}

/// What one offer shares with the connections that follow it.
struct Offer {
    host: Host,
    door: Mutex<Door>,
    expires_at_ms: u64,
    lets: Lets,
    stage: watch::Sender<Stage>,
    /// Messages for the device that waits.
    answers: mpsc::Sender<Vec<Vec<u8>>>,
    answer_queue: tokio::sync::Mutex<mpsc::Receiver<Vec<Vec<u8>>>>,
    events: broadcast::Sender<NodeEvent>,
    changed: LocalChanged,
}

impl Offer {
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: &'static str) {
        self.stage.send_if_modified(|stage| {
            let open = !matches!(stage, Stage::Joined(_) | Stage::Burnt | Stage::Over(_));
            if open {
                *stage = Stage::Over(why);
            }
            open
        });
    }

    fn lost(&self, peer: &[u8; 32]) {
        let tried = self.door().lost(peer);
        if let Err(error) = tried {
            self.tell_try(&error);
        }
    }

    /// Tells what became of a try at the spoken code.
    fn tell_try(&self, error: &IdentityError) {
        match error {
            IdentityError::WrongSpokenCode { tries_left } => {
                let _ = self.events.send(NodeEvent::PairingGuessed { tries_left: *tries_left });
            }
            IdentityError::SpokenCodeBurnt => {
                let burnt = self.stage.send_if_modified(|stage| {
                    let shown = *stage == Stage::Shown;
                    if shown {
                        *stage = Stage::Burnt;
                    }
                    shown
                });
                if burnt {
                    let _ = self.events.send(NodeEvent::PairingGuessed { tries_left: 0 });
                }
            }
            _ => {}
        }
    }

    /// The connection of `peer` was closed under it: matters only if the offer is its.
    fn cut_off(&self, peer: &[u8; 32]) -> &'static str {
        self.lost(peer);
        if self.door().is_closed() {
            self.end("the connection was closed");
        }
        "the connection was closed"
    }
}

/// What a node gives to each of its offers.
pub(crate) struct OfferParts {
    pub(crate) host: Host,
    pub(crate) lets: Lets,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) changed: LocalChanged,
}

/// The place of the one offer that a node can have open, known to the swarm's side of the room.
#[derive(Clone, Default)]
pub(crate) struct OfferSlot {
    offer: Arc<Mutex<Weak<Offer>>>,
    /// Whether the pairing protocol is served at all.
    pub(crate) served: Arc<AtomicBool>,
}

impl OfferSlot {
    /// Opens an offer to whoever is shown `invitation`, unless there is one.
    pub(crate) fn open(&self, invitation: Invitation, parts: OfferParts) -> Result<PairingOffer, NetError> {
        let inviter = Inviter::new(parts.host.clone(), invitation.clone());
        let pending = self.open_door(Door::Open(inviter), invitation.expires_at_ms(), parts)?;
        Ok(PairingOffer { invitation, pending })
    }

    /// Opens an offer to whoever is told the code of `spoken`, unless there is one.
    pub(crate) fn open_spoken(&self, spoken: SpokenInviter, parts: OfferParts) -> Result<SpokenOffer, NetError> {
        let (code, expires_at_ms) = (spoken.code().clone(), spoken.expires_at_ms());
        let pending = self.open_door(Door::Spoken(spoken), expires_at_ms, parts)?;
        Ok(SpokenOffer { code, pending })
    }

    /// Opens an offer to the user who is shown `invitation`, unless there is one.
    pub(crate) fn open_share(&self, invitation: ShareInvitation, parts: OfferParts) -> Result<ShareOffer, NetError> {
        let sharer = Sharer::new(parts.host.clone(), invitation.clone());
        let pending = self.open_door(Door::Shared(sharer), invitation.expires_at_ms(), parts)?;
        Ok(ShareOffer { invitation, pending })
    }

    fn open_door(&self, door: Door, expires_at_ms: u64, parts: OfferParts) -> Result<Pending, NetError> {
        let mut slot = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.strong_count() > 0 {
            return Err(NetError::PairingBusy);
        }
        let OfferParts { host, lets, events, changed } = parts;
        let (answers, answer_queue) = mpsc::channel(1);
        let offer = Arc::new(Offer {
            door: Mutex::new(door),
            expires_at_ms,
            host,
            lets,
            stage: watch::Sender::new(Stage::Shown),
            answers,
            answer_queue: tokio::sync::Mutex::new(answer_queue),
            events,
            changed,
        });
        *slot = Arc::downgrade(&offer);
        self.served.store(true, Ordering::Release);
        Ok(Pending { offer, slot: self.clone() })
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
    pending: Pending,
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
        self.pending.requested().await
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
        self.pending.confirm_device(digits).await
    }
}

/// An invitation for one new device, whose user is told a code by voice. Dropping it withdraws it.
pub struct SpokenOffer {
    code: SpokenCode,
    pending: Pending,
}

impl SpokenOffer {
    /// The eight digits to show, for the user to say or to type.
    pub fn code(&self) -> &SpokenCode {
        &self.code
    }

    /// Waits until a device has proven that its user was told the code, and returns the name it gives
    /// itself. It then shows six digits, which the user types in here: see [`SpokenOffer::confirm`].
    ///
    /// Each wrong code comes as [`NodeEvent::PairingGuessed`].
    ///
    /// # Errors
    /// [`IdentityError::SpokenCodeBurnt`] after three wrong codes, [`IdentityError::InvitationExpired`] after 300
    /// seconds, [`NetError::PairingInterrupted`] if the device is lost.
    pub async fn requested(&self) -> Result<String, NetError> {
        self.pending.requested().await
    }

    /// Lets the waiting device in, as [`PairingOffer::confirm`] does.
    ///
    /// # Errors
    /// As [`PairingOffer::confirm`].
    pub async fn confirm(&self, digits: &str) -> Result<DeviceId, NetError> {
        self.pending.confirm_device(digits).await
    }
}

/// What all kinds of offers are behind what they show.
pub(super) struct Pending {
    offer: Arc<Offer>,
    slot: OfferSlot,
}

impl Pending {
    pub(super) async fn requested(&self) -> Result<String, NetError> {
        let mut stage = self.offer.stage.subscribe();
        loop {
            match &*stage.borrow_and_update() {
                Stage::Waiting { device_name } => return Ok(device_name.clone()),
                Stage::Burnt => return Err(IdentityError::SpokenCodeBurnt.into()),
                Stage::Over(why) => return Err(NetError::PairingInterrupted(why)),
                Stage::Joined(_) => return Err(IdentityError::InvitationUsed.into()),
                Stage::Shown => {}
            }
            // The host's clock decides, which need not run like the runtime's.
            if self.offer.host.now_ms() >= self.offer.expires_at_ms {
                return Err(IdentityError::InvitationExpired.into());
            }
            let _ = timeout(EXPIRY_CHECK_INTERVAL, stage.changed()).await;
        }
    }

    /// What `of` makes of the user that waits.
    pub(super) fn visitor<T>(&self, of: impl FnOnce(&Visitor) -> T) -> Option<T> {
        self.offer.door().visitor().map(of)
    }

    async fn confirm_device(&self, digits: &str) -> Result<DeviceId, NetError> {
        match self.confirm(digits).await? {
            Who::Device(device) => Ok(device),
            Who::User(_) => Err(IdentityError::OutOfTurn.into()),
        }
    }

    pub(super) async fn confirm(&self, digits: &str) -> Result<Who, NetError> {
        if let Stage::Over(why) = &*self.offer.stage.borrow() {
            return Err(NetError::PairingInterrupted(why));
        }
        let confirmed = self.offer.door().confirm(digits);
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
                Stage::Joined(who) => return Ok(*who),
                Stage::Over(why) => return Err(NetError::PairingInterrupted(why)),
                Stage::Shown | Stage::Burnt | Stage::Waiting { .. } => {}
            }
            // The sender lives as long as this offer.
            let _ = stage.changed().await;
        }
    }

    async fn admit(&self, wanted: Wanted) -> Result<Vec<Vec<u8>>, NetError> {
        let lets = self.offer.lets.clone();
        let told = blocking(move || lets.admit(wanted)).await?;
        // The other devices are to know who is new before it calls them.
        self.offer.changed.notify_identity();
        Ok(self.offer.door().admit(&told)?)
    }

    async fn refuse(&self, why: &'static str) {
        self.offer.door().cancel();
        let _ = self.offer.answers.try_send(vec![refusal()]);
        self.offer.end(why);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.slot.clear();
        self.offer.door().cancel();
        // Reaches the device only if one waits; if not, nobody is there to be told.
        let _ = self.offer.answers.try_send(vec![refusal()]);
        self.offer.end("it was cancelled");
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairingOffer").field("stage", &*self.offer.stage.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PairingOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pending.fmt(f)
    }
}

impl fmt::Debug for SpokenOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pending.fmt(f)
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
            self.offer.lost(&self.peer);
            let _ = timeout(DRAIN_TIMEOUT, frame::write(&mut self.write, &[refusal()])).await;
            self.hang_up().await;
            return reason;
        }
        // From here on the invitation is used up, and what happens to this peer decides the pairing.
        let _ = reports.send(Report { connection, kind: ReportKind::Pairing }).await;
        match self.finish().await {
            Ok(who) => {
                self.offer.stage.send_replace(Stage::Joined(who));
                "the pairing is done".into()
            }
            Err(why) => {
                self.offer.lost(&self.peer);
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
        let first = self.read().await?;
        let pairing = match self.greet(&first)? {
            None => {
                let started = self.offer.door().receive(&self.peer, &first);
                match started.map_err(|error| error.to_string())? {
                    DoorEvent::Consume(pairing) => pairing,
                    _ => return Err("it skipped the beginning".into()),
                }
            }
            Some((greeting, offer)) => {
                let sent = timeout(PAIRING_FIRST_TIMEOUT, frame::write(&mut self.write, &[offer])).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Err("it was lost".into());
                }
                let proof = self.read().await?;
                self.prove(greeting, &proof)?
            }
        };
        // Until it is recorded nobody is told anything, and a try that can't be recorded is nobody's.
        let lets = self.offer.lets.clone();
        if let Err(error) = blocking(move || lets.consume(pairing)).await {
            self.offer.door().cancel();
            self.offer.end("the invitation could not be recorded as used up");
            return Err(error.to_string());
        }
        let answer = self.offer.door().consumed();
        let challenge = answer.map_err(|error| {
            self.offer.tell_try(&error);
            error.to_string()
        })?;
        let sent = timeout(PAIRING_FIRST_TIMEOUT, frame::write(&mut self.write, &[challenge])).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.offer.end("the new device was lost");
            return Err("it was lost".into());
        }
        Ok(())
    }

    /// What to offer to somebody who comes with a spoken code, if one is shown.
    fn greet(&self, first: &[u8]) -> Result<Option<(Greeting, Vec<u8>)>, String> {
        match &*self.offer.door() {
            Door::Spoken(spoken) => spoken.greet(&self.peer, first).map(Some).map_err(|error| error.to_string()),
            Door::Open(_) | Door::Shared(_) => Ok(None),
        }
    }

    /// Takes the proof of who was told the code: the name under which the try is to be recorded.
    fn prove(&self, greeting: Greeting, proof: &[u8]) -> Result<PairingId, String> {
        match &mut *self.offer.door() {
            Door::Spoken(spoken) => spoken.prove(greeting, proof).map_err(|error| error.to_string()),
            Door::Open(_) | Door::Shared(_) => Err(IdentityError::InvitationUsed.to_string()),
        }
    }

    async fn read(&mut self) -> Result<Vec<u8>, String> {
        let message = timeout(PAIRING_FIRST_TIMEOUT, frame::read(&mut self.read, PAIRING_MESSAGE_BYTES_MAX)).await;
        message.map_err(|_| "it said nothing in time")?.map_err(|error| error.to_string())
    }

    /// From the digits to the end.
    async fn finish(&mut self) -> Result<Who, &'static str> {
        if self.offer.door().wants_introduction() {
            self.let_introduce().await?;
        }
        let device_name = self.offer.door().waiting().unwrap_or_default().to_owned();
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
        if self.offer.door().is_closed() {
            return Err("the new device was refused");
        }
        let last = timeout(PAIRING_LAST_TIMEOUT, frame::read(&mut self.read, PAIRING_MESSAGE_BYTES_MAX)).await;
        let Ok(Ok(last)) = last else { return Err("the new device did not say that it has stored everything") };
        match self.offer.door().receive(&self.peer, &last) {
            Ok(DoorEvent::Joined(who)) => Ok(who),
            _ => Err("the new device did not finish in order"),
        }
    }

    /// Has a guest say who it is.
    async fn let_introduce(&mut self) -> Result<(), &'static str> {
        loop {
            let Ok(part) = self.read().await else { return Err("the other device was lost") };
            let heard = self.offer.door().receive(&self.peer, &part);
            match heard {
                Ok(DoorEvent::Waiting) => {}
                Ok(DoorEvent::Ask) => return Ok(()),
                Ok(DoorEvent::Consume(_) | DoorEvent::Joined(_)) => return Err("the other device skipped a step"),
                Err(error) => {
                    tracing::debug!(%error, "a guest is not who it says it is");
                    let _ = timeout(DRAIN_TIMEOUT, frame::write(&mut self.write, &[refusal()])).await;
                    return Err("the other device is not who it says it is");
                }
            }
        }
    }
}

/// Runs what may block, such as the database, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReplicaError> + Send + 'static,
) -> Result<T, NetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(NetError::Replica),
        Err(_) => Err(NetError::Stopped),
    }
}
