//! The database on the network.

use std::fmt;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::Db;
use super::pairing::{admit, consume};
use super::replica::StoreReplica;
use crate::error::{Error, Result};
use crate::identity::pairing::{Card, Digits, Invitation, PairingId, SpokenCode};
use crate::identity::{AddDevice, DeviceKeys};
use crate::net::{
    self, Admission, Admitter, LocalChanged, Multiaddr, NetError, Newcomer, NodeConfig, NodeEvent, PairingOffer,
    PeerStatus, SpokenOffer,
};
use crate::oplog::{DeviceId, UserId};
use crate::store::Store;
use crate::sync::ReplicaError;

/// How this device meets the network; made by [`Db::sync`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `start` or `join`"]
pub struct SyncOptions {
    db: Db,
    config: NodeConfig,
    app_version: String,
}

impl Db {
    /// Sync with the user's other devices. It begins with [`SyncOptions::start`], and needs a tokio runtime.
    pub fn sync(&self) -> SyncOptions {
        let config = NodeConfig { lan: false, host: self.store.host().clone(), ..NodeConfig::default() };
        SyncOptions { db: self.clone(), config, app_version: String::new() }
    }
}

impl SyncOptions {
    pub(super) fn into_parts(self) -> (Db, NodeConfig) {
        (self.db, self.config)
    }

    /// Also searches the local network for the user's devices, by mDNS. It tells everybody on the LAN
    /// this device's peer id, which does not change, and nothing else.
    pub fn lan(mut self) -> Self {
        self.config.lan = true;
        self
    }

    /// Only talks with processes on this machine: for tests and demos.
    pub fn loopback(mut self) -> Self {
        self.config = NodeConfig { host: self.config.host, ..NodeConfig::loopback() };
        self
    }

    /// What the app calls its version: `env!("CARGO_PKG_VERSION")`, for most. The user's other devices are told it, and
    /// show it when one of the two is too old to sync ([`NodeEvent::UpdateNeeded`]). Its first 64 bytes count.
    pub fn app_version(mut self, version: impl Into<String>) -> Self {
        self.app_version = version.into();
        self
    }

    /// Listens here, instead of on any free port of every interface. May be called several times.
    pub fn listen(mut self, addresses: impl IntoIterator<Item = Multiaddr>) -> Self {
        self.config.listen = addresses.into_iter().collect();
        self
    }

    /// A place where one of the user's devices may be found, with its peer id: what
    /// [`Node::listen_addresses`] says there. Addresses where a device was reached before are known.
    pub fn peer(mut self, address: Multiaddr) -> Self {
        self.config.addresses.push(address);
        self
    }

    /// Starts to find the user's other devices and to keep all of them level, until the node is stopped.
    ///
    /// # Errors
    /// [`NetError`] when the network can't be used,
    /// [`Error::LoggedOut`] when the device's keys are locked.
    pub async fn start(mut self) -> Result<Node> {
        let store = Arc::clone(&self.db.store);
        let keys = store.device_keys()?;
        for address in store.peers()?.into_iter().flat_map(|peer| peer.addresses) {
            self.config.addresses.extend(address.parse::<Multiaddr>().ok());
        }
        // Remembered addresses stay right when the port stays the same.
        self.config.port = self.config.port.or(store.port()?);
        let replica = Arc::new(StoreReplica::new(Arc::clone(&store))?.of_app(self.app_version));
        let mut commits = self.db.commits()?;
        let node = net::Node::start(self.config, &keys.transport_secret(), replica).await?;
        if let Some(port) = node.port() {
            store.remember_port(port)?;
        }
        let changed = node.local_changed();
        let tell = tokio::spawn(async move {
            while commits.next().await.is_some() {
                // A commit may be rows or devices, of this process or another: the sessions find out.
                LocalChanged::notify_identity(&changed);
            }
        });
        let remember = tokio::spawn(remember_addresses(Arc::clone(&store), node.events()));
        Ok(Node { node, store, tasks: Tasks([tell, remember]) })
    }

    /// Follows another device's invitation, by its text: becomes one of that user's devices. Returns once
    /// the digits can be shown.
    ///
    /// # Errors
    /// [`IdentityError`](crate::identity::IdentityError) for a text that is no invitation, an expired
    /// one, or one that is refused; [`NetError`] when the other device can't be reached.
    pub async fn join(self, invitation: &str) -> Result<Joining> {
        let invitation = Invitation::from_text(invitation)?;
        self.db.check_can_join(invitation.user())?;
        let (keys, name) = self.db.who_joins()?;
        let joining = net::join(self.config, invitation, &keys, &name).await?;
        Ok(Joining { db: self.db, keys, joining })
    }

    /// Joins the device that shows this code of eight digits, as [`SyncOptions::join`] does by an invitation: for
    /// where there is no camera. The code does not say where that device is: it is looked for at each
    /// [`SyncOptions::peer`] and, with [`SyncOptions::lan`], everywhere on the local network.
    ///
    /// # Errors
    /// [`IdentityError`](crate::identity::IdentityError): `SpokenCodeForm` for what are not eight digits,
    /// `SpokenCodeRefused` for another code than is shown there; [`NetError`] when nobody who shows
    /// one can be reached.
    pub async fn join_spoken(self, code: &str) -> Result<Joining> {
        let code = SpokenCode::parse(code)?;
        let (keys, name) = self.db.who_joins()?;
        let only = self.db.joins_only()?;
        let joining = net::join_spoken(self.config, code, &keys, &name, only).await?;
        Ok(Joining { db: self.db, keys, joining })
    }

    /// Shows a code on this device, the new one, for an authorised device to read with [`Node::admit`]: where this one
    /// has no camera, or its user would rather not type the other one's code. Listens while it is shown.
    ///
    /// # Errors
    /// [`NetError`] when the network can't be used,
    /// [`Error::LoggedOut`] when the device's keys are locked.
    pub async fn offer(mut self) -> Result<CardOffer> {
        let (keys, name) = self.db.who_joins()?;
        // The other device will look for this one where it finds it now.
        self.config.port = self.config.port.or(self.db.store.port()?);
        let offer = net::offer(self.config, &keys, &name, Arc::new(DbNewcomer(self.db.clone()))).await?;
        if let Some(port) = offer.port() {
            self.db.store.remember_port(port)?;
        }
        Ok(CardOffer { db: self.db, keys, offer })
    }
}

/// This device on the network, until it is stopped or dropped.
pub struct Node {
    node: net::Node,
    store: Arc<Store>,
    tasks: Tasks,
}

impl Node {
    pub(super) fn net(&self) -> &net::Node {
        &self.node
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Invites one new device: show the invitation as QR code or text, wait for the device, and type the
    /// digits that it shows into [`PairingOffer::confirm`].
    ///
    /// # Errors
    /// [`NetError::PairingBusy`] while another invitation is open.
    pub async fn invite(&self) -> Result<PairingOffer> {
        Ok(self.node.invite(Arc::new(StoreAdmitter(Arc::clone(&self.store)))).await?)
    }

    /// Invites one new device by a code of eight digits, for where there is no camera: show the code, type it in
    /// there, wait for the device, and type the digits that it shows into [`SpokenOffer::confirm`]. The code is
    /// good for five minutes, one device and two typing mistakes.
    ///
    /// While it is open, whoever dials this device learns the user's id.
    ///
    /// # Errors
    /// [`NetError::PairingBusy`] while another invitation is open.
    pub async fn invite_spoken(&self) -> Result<SpokenOffer> {
        Ok(self.node.invite_spoken(Arc::new(StoreAdmitter(Arc::clone(&self.store)))).await?)
    }

    /// Lets in a new device by the code that it shows, its [`Card`], as text: dials
    /// it. It then shows six digits; type them into [`Admitting::confirm`].
    ///
    /// # Errors
    /// [`IdentityError`](crate::identity::IdentityError) for a text that is no such code, and for one that is expired,
    /// used up or withdrawn; [`NetError::BearerUnreachable`] if it can't be reached.
    pub async fn admit(&self, card: &str) -> Result<Admitting> {
        let card = Card::from_text(card)?;
        let keys = self.store.device_keys()?;
        let admitter = Arc::new(StoreAdmitter(Arc::clone(&self.store)));
        let admitting = self.node.admit(card, &keys, admitter).await?;
        Ok(Admitting { store: Arc::clone(&self.store), admitting })
    }

    /// What happens from now on. A subscriber that falls 256 events behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.node.events()
    }

    /// How things stand with each of the user's other devices, and with those of users that share a space.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.node.peers()
    }

    /// Where this device can be reached now, with its peer id.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.node.listen_addresses()
    }

    /// Dials every device that is away at once: the user asked, or the network has changed.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn hurry(&self) -> Result<()> {
        Ok(self.node.hurry().await?)
    }

    /// Sends what is not sent yet, and leaves the network; takes three seconds at the most.
    ///
    /// # Errors
    /// None so far; a network that is gone is left all the same.
    pub async fn stop(self) -> Result<()> {
        drop(self.tasks);
        self.node.stop().await;
        Ok(())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

/// A pairing that waits for its digits to be typed into the inviting device. Dropping it ends it.
pub struct Joining {
    db: Db,
    /// The keys that are admitted: new ones, if this database is a copy.
    keys: DeviceKeys,
    joining: net::Joining,
}

impl fmt::Debug for Joining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Joining").field(&self.joining).finish()
    }
}

impl Joining {
    /// The six digits to show.
    pub fn digits(&self) -> Digits {
        self.joining.digits()
    }

    /// Waits until the digits have been typed into the other device, and makes this database a device of
    /// its user. Rows that are in it already become that user's.
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`](crate::identity::IdentityError::PairingRefused) if they were
    /// other digits, [`NetError::PairingInterrupted`] if the device
    /// was lost.
    pub async fn finish(mut self) -> Result<()> {
        let joined = self.joining.admitted().await?;
        self.db.become_device_with(&joined, &self.keys)?;
        let addresses: Vec<_> = self.joining.inviter_addresses().iter().map(ToString::to_string).collect();
        self.db.store.remember_addresses(joined.inviter.id, &addresses)?;
        if let Err(error) = self.joining.stored().await {
            tracing::warn!(%error, "this device is paired, but the other one could not be told");
        }
        Ok(())
    }
}

/// A code that this device, the new one, shows, while it listens for who has read it. Dropping it withdraws the code.
pub struct CardOffer {
    db: Db,
    keys: DeviceKeys,
    offer: net::CardOffer,
}

impl CardOffer {
    /// What to show: as a QR code or as text. It is good for five minutes.
    pub fn card(&self) -> &Card {
        self.offer.card()
    }

    /// Waits until an authorised device has read the code. Then show [`Joining::digits`], for the user to type them in
    /// there.
    ///
    /// # Errors
    /// [`IdentityError::InvitationExpired`](crate::identity::IdentityError::InvitationExpired) once nobody can use the
    /// code any more; an error if it was read by another user's device than this database can belong to.
    pub async fn called(self) -> Result<Joining> {
        let joining = self.offer.called().await.map_err(|error| match error {
            // The database did not fail: it belongs to another user.
            NetError::Replica(error) => match error.into_inner().downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => NetError::Replica(ReplicaError::new(error)).into(),
            },
            error => error.into(),
        })?;
        Ok(Joining { db: self.db, keys: self.keys, joining })
    }
}

impl fmt::Debug for CardOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.offer.fmt(f)
    }
}

/// A new device that shows six digits. Dropping it ends the pairing.
#[derive(Debug)]
pub struct Admitting {
    store: Arc<Store>,
    admitting: net::Admitting,
}

impl Admitting {
    /// Lets the new device in, if `digits` are those that it shows; spaces and hyphens don't matter.
    ///
    /// # Errors
    /// As [`net::Admitting::confirm`]; after
    /// [`IdentityError::WrongDigits`](crate::identity::IdentityError::WrongDigits) the user may try again.
    pub async fn confirm(&mut self, digits: &str) -> Result<DeviceId> {
        let device = self.admitting.confirm(digits).await?;
        let addresses: Vec<_> = self.admitting.addresses().iter().map(ToString::to_string).collect();
        self.store.remember_addresses(device, &addresses)?;
        Ok(device)
    }
}

/// Ends tasks with the node that they belong to.
struct Tasks([JoinHandle<()>; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn remember_addresses(store: Arc<Store>, mut events: broadcast::Receiver<NodeEvent>) {
    loop {
        match events.recv().await {
            Ok(NodeEvent::AddressesLearned { device, addresses }) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let store = Arc::clone(&store);
                let kept = tokio::task::spawn_blocking(move || store.remember_addresses(device, &addresses));
                if let Ok(Err(error)) = kept.await {
                    tracing::warn!(%error, "the addresses of a device could not be remembered");
                }
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Has this device let in by whoever has read its card, for the network.
struct DbNewcomer(Db);

impl Newcomer for DbNewcomer {
    fn consume(&self, user: UserId, pairing: PairingId) -> Result<(), ReplicaError> {
        self.0.check_can_join(user)?;
        Ok(consume(&self.0.store, pairing)?)
    }
}

/// Lets devices in, for the network.
struct StoreAdmitter(Arc<Store>);

impl Admitter for StoreAdmitter {
    fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError> {
        Ok(consume(&self.0, pairing)?)
    }

    fn admit(&self, request: AddDevice) -> Result<Admission, ReplicaError> {
        let admitted = admit(&self.0, request)?;
        Ok(Admission { log: admitted.log, space_keys: admitted.space_keys })
    }
}
