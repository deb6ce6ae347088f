//! What a node tells its app.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

pub use super::links::Transport;
use crate::oplog::{DeviceId, Frontier, LogId, OplogError, SpaceId, UserId};
use crate::sync::{Build, Outdated, Refusal, Tally};

/// Something happened between this device and others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The node can be reached here.
    Listening {
        /// The address, without the peer id.
        address: Multiaddr,
    },
    /// A device has proven who it is; both now exchange what they lack.
    PeerConnected {
        /// Whose device it is: the own user, or one that shares a space.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// What carries the connection.
        transport: Transport,
    },
    /// A peer holds these changes durably.
    Acknowledged {
        /// The peer.
        device: DeviceId,
        /// Per space, the newest change of the logs that it speaks of.
        heads: BTreeMap<SpaceId, Frontier>,
    },
    /// Both devices hold the same, durably, and know it. Comes once after they have met, and again
    /// after every exchange.
    CaughtUp {
        /// The peer.
        device: DeviceId,
        /// What came in since the last time.
        received: Tally,
        /// What went out since the last time.
        sent: Tally,
        /// From when there was something to exchange until now.
        elapsed: Duration,
    },
    /// Changes of a peer are durable here.
    Applied {
        /// The peer that sent them; their authors may be others.
        device: DeviceId,
        /// Changes that were new here.
        changes: u64,
        /// Ops in these changes.
        ops: u64,
    },
    /// The peer told of devices, names, profiles or members that were new here.
    IdentitiesLearned {
        /// The peer's user.
        user: UserId,
        /// The peer.
        device: DeviceId,
        /// How many entries of identity logs and members logs were new.
        entries: usize,
    },
    /// The changes of one log can't be applied here; the session goes on without them.
    LogSkipped {
        /// The space of the log.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// Why.
        why: Refusal,
    },
    /// Changes of one log are kept and relayed, and can't be shown before this app is updated: a newer one wrote
    /// them. [`Db::waiting`](crate::db::Db::waiting) tells of them for as long as it lasts.
    LogWaits {
        /// The space of the log.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// What is too new in it.
        why: OplogError,
    },
    /// A peer holds changes of this device that its own database does not: it was restored or copied.
    /// From now on it writes to a new log.
    OwnLogBehind {
        /// The space of the log.
        space: SpaceId,
        /// The log that is not written to any more.
        log: LogId,
    },
    /// Changes came that another database has written with this device's keys: one of the two is a copy, of a folder or
    /// of a machine. What both wrote is kept on all devices. Tell the user where `pairs_again` is true:
    /// [`Db::must_pair_again`](crate::db::Db::must_pair_again) says so until it is done.
    CopiedDevice {
        /// The log that the other one writes to.
        log: LogId,
        /// Whether it is this database that has to be paired again, as a device of its own.
        pairs_again: bool,
    },
    /// This device and another one of the user can't sync before an app is updated: they have no version of the
    /// protocol in common. Tell the user; [`PeerStatus::outdated`] says so for as long as it lasts.
    UpdateNeeded {
        /// The other device.
        device: DeviceId,
        /// Where the app has to be updated.
        outdated: Outdated,
        /// What runs on the other device.
        theirs: Build,
    },
    /// The last connection with a device is gone. The node dials it again by itself.
    PeerDisconnected {
        /// The device.
        device: DeviceId,
        /// Why, for a log.
        reason: String,
    },
    /// A peer was turned away: it is no device of this user, nor of one that shares a space, or it broke the protocol.
    PeerRefused {
        /// The peer, by the key it proved.
        peer: PeerId,
        /// Why, for a log.
        reason: String,
    },
    /// A device has told where it can be reached. Store it, and give it to the next node.
    AddressesLearned {
        /// The device.
        device: DeviceId,
        /// Its addresses, each with its peer id: as [`NodeConfig::addresses`] wants them.
        ///
        /// [`NodeConfig::addresses`]: super::NodeConfig::addresses
        addresses: Vec<Multiaddr>,
    },
    /// Somebody came with another code than the one that is shown.
    PairingGuessed {
        /// How many more wrong ones are forgiven; after the last the code is worth nothing.
        tries_left: u32,
    },
    /// A new device has proven that it was shown the invitation, and now shows its digits.
    PairingRequested {
        /// The name it gives itself.
        device_name: String,
    },
}

/// How things stand with one device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Whose device it is: the own user, or one that shares a space.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// Its peer id, made of its transport key.
    pub peer: PeerId,
    /// How it is connected, if it is.
    pub connection: Option<PeerConnection>,
    /// Connections that are up: more than one only until both sides have agreed which one stays.
    pub connections: usize,
    /// Dials that failed in a row.
    pub failures: u32,
    /// What runs on the device, as it said when it was last connected.
    pub build: Option<Build>,
    /// Where the app has to be updated before the two can sync; `None` if they can, as far as is known.
    pub outdated: Option<Outdated>,
}

/// The connection in use with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerConnection {
    /// What carries it.
    pub transport: Transport,
    /// Where the peer is.
    pub address: Multiaddr,
    /// Whether this device dialled.
    pub outbound: bool,
    /// Whether the peer has proven who it is.
    pub ready: bool,
    /// The latest round trip, if one was measured.
    pub round_trip: Option<Duration>,
}
