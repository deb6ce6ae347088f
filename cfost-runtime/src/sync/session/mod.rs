//! One end of one connection: its states, and what goes in and out. The parts of the work are in the
//! modules beside: who the peer is, logs of entries, changes in, changes out, time.

mod entries;
mod handshake;
mod incoming;
mod liveness;
mod outgoing;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use self::entries::Entries;
use self::handshake::Greeting;
use self::incoming::Incoming;
use self::liveness::Liveness;
use self::outgoing::Outgoing;
use self::shared::Shared;
use super::limits::{ENTRY_LOGS_VERSION, FRAME_BYTES_MAX, HELLO_BYTES_MAX, OUTBOX_BYTES_MAX, PROTOCOL_VERSION};
use super::message::{FRAME_HEAD_BYTES, Heads, Inbox, Message, first_frame};
use super::{Build, Copied, ErrorCode, Refusal, Replica, ReplicaError, SyncError};
use crate::oplog::{DeviceId, Frontier, LogId, OplogError, SpaceId, UserId};

/// What a driver gives to a [`Session`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Bytes arrived. Give all that have, up to [`INPUT_BYTES_MAX`](super::limits::INPUT_BYTES_MAX): the
    /// changes in them are applied together.
    Bytes(&'a [u8]),
    /// The replica changed otherwise than through this session: a local write, another session, another
    /// process, a new identity entry.
    Changed,
    /// Time passed: due at [`Session::wakes_at`].
    Tick,
    /// The connection is gone, whichever side closed it.
    Disconnected,
}

/// What a [`Session`] gives back: write the bytes, flush once, hand out the events.
#[derive(Debug, Default)]
#[must_use]
pub struct Output {
    /// Bytes to send, whole frames.
    pub bytes: Vec<u8>,
    /// What happened, in this order.
    pub events: Vec<Event>,
}

/// What a [`Session`] has to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer proved that it is this device of this user.
    PeerReady {
        /// Whose device it is: the own user, or one that shares a space.
        user: UserId,
        /// The peer.
        device: DeviceId,
    },
    /// Changes from the peer are applied and durable.
    Applied {
        /// The peer.
        device: DeviceId,
        /// How many were new.
        changes: u64,
        /// Ops in them.
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
    /// The peer holds these changes durably.
    Acknowledged {
        /// The peer.
        device: DeviceId,
        /// Per space, the newest change of the logs that it speaks of.
        heads: BTreeMap<SpaceId, Frontier>,
    },
    /// Both sides hold the same and know it: what was sent is acknowledged, what the peer told of is
    /// here. Comes once after the handshake, and again after every exchange.
    CaughtUp {
        /// The peer.
        device: DeviceId,
        /// What came in since the last `CaughtUp`.
        received: Tally,
        /// What went out since the last `CaughtUp`.
        sent: Tally,
    },
    /// One log can't be applied here; the session goes on without it.
    LogSkipped {
        /// Its space.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// Why: never [`Refusal::Gap`] or [`Refusal::Invalid`].
        why: Refusal,
    },
    /// Changes of a log are kept and relayed, and can't be shown before this app is updated: a newer one wrote them.
    /// Comes once per session and log.
    LogWaits {
        /// Its space.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// What is too new in it.
        why: OplogError,
    },
    /// The peer holds changes of this device that this database does not: it was restored or copied.
    /// The replica has been told to start a new log.
    OwnLogBehind {
        /// The space.
        space: SpaceId,
        /// The log that this device must not write to any more.
        log: LogId,
    },
    /// Changes came that another database has written with this device's keys: one of the two is a copy.
    Copied(Copied),
    /// The session is over, always the last event: write the bytes that came with it and disconnect.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// An amount of changes that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changes; of received ones only those that were new.
    pub changes: u64,
    /// Ops in them, as far as known: changes are sent sealed, so what was sent counts none.
    pub ops: u64,
    /// Bytes of frames with changes.
    pub bytes: u64,
}

/// Why a session is over.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The connection ended.
    Disconnected,
    /// The peer closed and said why.
    ByPeer(ErrorCode),
    /// This side closed.
    Failed(SyncError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Dialer: nothing sent yet.
    Dialing,
    /// Dialer: `Hello` sent, the listener's awaited.
    Greeting,
    /// Listener: nothing sent, the dialer's `Hello` awaited.
    Listening,
    /// Both know who the other is.
    Open,
    /// Over.
    Closed,
}

/// One end of one connection between two devices. See the [module](super) for how it goes.
///
/// The driver calls [`Session::handle`] where it may block, writes what it gives back, reports that with
/// [`Session::written`], and ticks at [`Session::wakes_at`] (at once for a new session). It always goes
/// on reading, also while bytes wait to be written: the bounds are kept here.
pub struct Session {
    state: State,
    peer_key: [u8; 32],
    /// The device that was dialled, by its key.
    dialled: Option<(UserId, DeviceId)>,
    peer: Option<DeviceId>,
    peer_user: Option<UserId>,
    /// The version of the protocol that both speak.
    version: u16,
    peer_build: Option<Build>,
    greeting: Option<Greeting>,
    inbox: Inbox,
    unwritten: usize,
    liveness: Liveness,
    entries: Entries,
    spaces: BTreeMap<SpaceId, Shared>,
    /// Spaces that were shared in this session, and are not now.
    ended: BTreeMap<SpaceId, Shared>,
    /// What the peer asked for in spaces that it does not share, as far as is known here yet.
    unshared: Heads,
    incoming: Incoming,
    outgoing: Outgoing,
    settled: bool,
    /// How often changes had been taken out of the replica when it was asked last.
    cuts: u64,
    output: Output,
}

impl Session {
    /// The dialing end of a connection whose peer has authenticated itself by `peer_key`, its Ed25519
    /// transport key. `now_ms` is in milliseconds of any monotonic clock, the same for all calls.
    pub fn dial(peer_key: [u8; 32], now_ms: u64) -> Self {
        Self::new(State::Dialing, peer_key, now_ms)
    }

    /// The listening end of a connection: like [`Session::dial`], but it waits to be greeted.
    pub fn listen(peer_key: [u8; 32], now_ms: u64) -> Self {
        Self::new(State::Listening, peer_key, now_ms)
    }

    fn new(state: State, peer_key: [u8; 32], now_ms: u64) -> Self {
        Self {
            state,
            peer_key,
            dialled: None,
            peer: None,
            peer_user: None,
            version: PROTOCOL_VERSION,
            peer_build: None,
            greeting: None,
            inbox: Inbox::default(),
            unwritten: 0,
            liveness: Liveness::new(now_ms),
            entries: Entries::default(),
            spaces: BTreeMap::new(),
            ended: BTreeMap::new(),
            unshared: Heads::new(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            settled: false,
            cuts: 0,
            output: Output::default(),
        }
    }

    /// Deals with one input and with everything that is due. Blocks on `replica`.
    pub fn handle(&mut self, replica: &dyn Replica, now_ms: u64, input: Input<'_>) -> Output {
        if self.state != State::Closed {
            self.liveness.wake(now_ms);
            let outcome = self.take_in(replica, input).and_then(|()| self.turn(replica));
            if let Err(error) = outcome {
                self.fail(replica, error);
            }
        }
        std::mem::take(&mut self.output)
    }

    /// When to tick next, in milliseconds of the same clock: at once, if that is in the past. Any call
    /// of [`Session::handle`] changes it.
    pub fn wakes_at(&self) -> u64 {
        match self.state {
            State::Closed => u64::MAX,
            State::Dialing => 0,
            State::Open if self.can_send() => 0,
            state => self.liveness.deadline(state != State::Open, self.is_behind()),
        }
    }

    /// Reports that `bytes` of the bytes given out are written to the connection.
    pub fn written(&mut self, bytes: usize) {
        self.unwritten = self.unwritten.saturating_sub(bytes);
    }

    /// The peer, once it has proved who it is.
    pub fn peer(&self) -> Option<DeviceId> {
        self.peer
    }

    /// The peer's user, once the peer has proved who it is.
    pub fn peer_user(&self) -> Option<UserId> {
        self.peer_user
    }

    /// What runs on the peer, once it has proved who it is.
    pub fn peer_build(&self) -> Option<&Build> {
        self.peer_build.as_ref()
    }

    /// Whether both sides hold the same, as far as is known here.
    pub fn is_caught_up(&self) -> bool {
        self.settled
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Bytes of changes that are sent and not yet acknowledged.
    pub fn bytes_in_flight(&self) -> usize {
        self.outgoing.window.bytes()
    }

    fn take_in(&mut self, replica: &dyn Replica, input: Input<'_>) -> Result<(), SyncError> {
        match input {
            Input::Bytes(bytes) => self.receive(replica, bytes),
            Input::Changed if self.state == State::Open => self.replica_changed(replica),
            Input::Changed | Input::Tick => Ok(()),
            Input::Disconnected => {
                self.close(replica, CloseReason::Disconnected);
                Ok(())
            }
        }
    }

    fn receive(&mut self, replica: &dyn Replica, input: &[u8]) -> Result<(), SyncError> {
        let bytes = self.inbox.open(input);
        let mut dealt_with = 0;
        let mut outcome = Ok(());
        while outcome.is_ok() && self.state != State::Closed {
            // Until it is known who sends, only a small frame is waited for.
            let frame_bytes_max = if self.state == State::Open { FRAME_BYTES_MAX } else { HELLO_BYTES_MAX };
            outcome = match first_frame(&bytes[dealt_with..], frame_bytes_max) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    dealt_with += 4 + frame.len();
                    self.liveness.frame_done();
                    self.frame(replica, frame)
                }
                Err(error) => Err(error),
            };
        }
        self.inbox.close(bytes, dealt_with);
        self.liveness.heard(self.inbox.has_begun());
        // What came before a bad frame was good: keep it, then fail.
        let applied = if self.state == State::Open { self.apply(replica) } else { Ok(()) };
        outcome.and(applied)
    }

    fn frame(&mut self, replica: &dyn Replica, frame: &[u8]) -> Result<(), SyncError> {
        match (self.state, Message::decode(frame)?) {
            (State::Listening | State::Greeting, Message::Hello(hello)) => self.greeted(replica, &hello),
            (State::Open, message) | (State::Greeting, message @ Message::Error { .. }) => {
                self.message(replica, frame.len() + FRAME_HEAD_BYTES - 1, message)
            }
            (_, message) => Err(SyncError::Unexpected { message: message.name(), why: "it has not said Hello yet" }),
        }
    }

    fn message(&mut self, replica: &dyn Replica, bytes: usize, message: Message<'_>) -> Result<(), SyncError> {
        match message {
            Message::RequestIdentity { have } => self.identities_asked(replica, have),
            Message::Identity { entries } => self.identities_told(replica, &entries),
            Message::RequestEntries { .. } | Message::Entries { .. } if self.version < ENTRY_LOGS_VERSION => {
                Err(SyncError::Unexpected { message: message.name(), why: "it is of a newer version than is spoken" })
            }
            Message::RequestEntries { have } => self.entries_asked(replica, "RequestEntries", have),
            Message::Entries { more, entries } => self.entries_told(replica, more, &entries),
            Message::RequestOps { round, more, spaces } => self.ops_asked(replica, round, more, spaces),
            Message::SendOps { round, runs } => self.ops_told(replica, bytes, round, &runs),
            Message::Ack { frames, heads } => self.acknowledged(frames, heads),
            Message::Fork { space, log, head } => self.fork_told(replica, space, log, head),
            Message::Ping(number) => {
                self.liveness.count_ping()?;
                self.send(&Message::Pong(number));
                Ok(())
            }
            Message::Pong(_) => Ok(()),
            Message::Hello(_) => {
                Err(SyncError::Unexpected { message: "Hello", why: "it has introduced itself already" })
            }
            Message::Error { code, build } => {
                self.closed_by_peer(replica, ErrorCode(code), build);
                Ok(())
            }
        }
    }

    /// What is due whatever came in: the first flight, changes to send, deadlines, a heartbeat.
    fn turn(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        if self.state == State::Closed {
            return Ok(());
        }
        if self.state == State::Dialing {
            self.greet_first(replica)?;
        }
        self.liveness.check(self.state != State::Open)?;
        if self.state == State::Open {
            self.ask_again(replica)?;
            self.send_ops(replica)?;
            self.check_business()?;
            self.settle();
            if self.output.bytes.is_empty() && self.liveness.heartbeat_is_due() {
                let number = self.liveness.next_ping();
                self.send(&Message::Ping(number));
            }
        }
        if !self.output.bytes.is_empty() {
            self.liveness.sent();
        }
        self.unwritten += self.output.bytes.len();
        if self.unwritten > OUTBOX_BYTES_MAX {
            return Err(SyncError::NotReading { bytes: self.unwritten });
        }
        Ok(())
    }

    /// The replica changed behind the session's back.
    fn replica_changed(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        self.entries_changed(replica)?;
        self.look_for_changes(replica)?;
        self.catch_up_elsewhere(replica)?;
        self.ask_for_what_was_cut(replica)
    }

    /// Asks for everything beyond what is held, if that has become less.
    fn ask_for_what_was_cut(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        if std::mem::replace(&mut self.cuts, replica.cuts()) == replica.cuts() {
            return Ok(());
        }
        let all = self.spaces.keys().copied().collect();
        self.request(replica, &all)
    }

    /// Starts with spaces that are shared since just now, and stops with those that are shared no more.
    fn spaces_changed(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let now = self.entries.told.spaces();
        let gone: Vec<SpaceId> = self.spaces.keys().filter(|space| !now.contains(space)).copied().collect();
        let new: BTreeSet<SpaceId> = now.iter().filter(|space| !self.spaces.contains_key(space)).copied().collect();
        for space in gone {
            let shared = self.spaces.remove(&space).unwrap_or_default();
            self.ended.insert(space, shared);
        }
        if new.is_empty() {
            return Ok(());
        }
        for space in &new {
            let shared = self.ended.remove(space).map(Shared::resumed).unwrap_or_default();
            self.spaces.insert(*space, shared);
            if let Some(frontier) = self.unshared.remove(space) {
                self.space_asked(replica, *space, &frontier)?;
            }
        }
        self.request(replica, &new)
    }

    /// Tells, once per exchange, that nothing is left to do.
    fn settle(&mut self) {
        let settled = self.entries.are_exchanged()
            && (self.incoming.is_equal() || self.outgoing.was_asked())
            && self.outgoing.is_done()
            && self.spaces.values().all(|shared| shared.is_done());
        if settled
            && !self.settled
            && let Some(device) = self.peer
        {
            let received = std::mem::take(&mut self.incoming.tally);
            let sent = std::mem::take(&mut self.outgoing.tally);
            self.output.events.push(Event::CaughtUp { device, received, sent });
        }
        self.settled = settled;
    }

    fn send(&mut self, message: &Message<'_>) -> usize {
        message.put(&mut self.output.bytes)
    }

    /// The peer closes. If that is for its version, it is the same error on both sides.
    fn closed_by_peer(&mut self, replica: &dyn Replica, code: ErrorCode, build: Build) {
        let told = |device| SyncError::Version { device, theirs: Box::new(build.clone()) };
        let mismatch = self
            .peer
            .or(self.dialled.map(|(_, device)| device))
            .filter(|_| code == ErrorCode::VERSION && build.outdated().is_some());
        let reason = mismatch.map_or(CloseReason::ByPeer(code), |device| CloseReason::Failed(told(device)));
        self.close(replica, reason);
    }

    /// Ends the session because of an error, and tells the peer its kind and what runs here; a peer that has not
    /// shown who it is gets nothing, but one that has shown that it was a device learns that it is one no more.
    fn fail(&mut self, replica: &dyn Replica, error: SyncError) {
        let was_a_device = matches!(error, SyncError::Revoked { .. }) && self.state == State::Listening;
        if matches!(self.state, State::Open | State::Greeting) || self.peer.is_some() || was_a_device {
            self.send(&Message::Error { code: error.code().0, build: Build::here(&replica.app_version()) });
        }
        self.close(replica, CloseReason::Failed(error));
    }

    fn close(&mut self, replica: &dyn Replica, reason: CloseReason) {
        if let (State::Open, Some(peer)) = (self.state, self.peer)
            && let Err(error) = replica.seen(peer)
        {
            tracing::warn!(%peer, %error, "could not note when the device was last seen");
        }
        self.state = State::Closed;
        self.settled = false;
        self.output.events.push(Event::Closed { reason });
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("peer", &self.peer)
            .field("spaces", &self.spaces.len())
            .field("settled", &self.settled)
            .field("outgoing", &self.outgoing)
            .field("incoming", &self.incoming)
            .finish()
    }
}

/// Says what the replica was doing when it failed.
trait OrFail<T> {
    fn or_fail(self, doing: &'static str) -> Result<T, SyncError>;
}

impl<T> OrFail<T> for Result<T, ReplicaError> {
    fn or_fail(self, doing: &'static str) -> Result<T, SyncError> {
        self.map_err(|source| SyncError::Replica { doing, source })
    }
}
