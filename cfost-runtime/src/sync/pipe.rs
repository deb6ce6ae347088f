//! Two sessions joined by memory instead of a network: every byte and every millisecond moves by hand.

use std::fmt;
use std::sync::Arc;

use super::limits::INPUT_BYTES_MAX;
use super::{Event, Input, Output, Replica, ReplicaError, Session};
use crate::identity::IdentityError;

/// An end of a [`Pipe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The end that opened the connection.
    Dialer = 0,
    /// The end that was dialled.
    Listener = 1,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Dialer, Self::Listener];

    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// A connection between two replicas within one process, with a session at each end.
///
/// Nothing moves unless told to, so that a test can stop at every byte, lose the rest, and let time pass.
pub struct Pipe {
    now_ms: u64,
    sides: [Side; 2],
}

struct Side {
    session: Session,
    replica: Arc<dyn Replica>,
    /// Sent by the other end and not yet delivered.
    arriving: Vec<u8>,
    events: Vec<Event>,
    sent: u64,
}

impl Pipe {
    /// A connection that `dialer` has just opened to `listener`, each authenticated by the transport key
    /// that its identity log has for it.
    ///
    /// # Errors
    /// When a replica can't be read, or is no device of its own user.
    pub fn connect(dialer: Arc<dyn Replica>, listener: Arc<dyn Replica>, now_ms: u64) -> Result<Self, ReplicaError> {
        let keys = (transport_key(&*dialer)?, transport_key(&*listener)?);
        Ok(Self::with_keys(dialer, keys.0, listener, keys.1, now_ms))
    }

    /// Like [`Pipe::connect`], with transport keys that may be other ones than the replicas'.
    pub fn with_keys(
        dialer: Arc<dyn Replica>,
        dialer_key: [u8; 32],
        listener: Arc<dyn Replica>,
        listener_key: [u8; 32],
        now_ms: u64,
    ) -> Self {
        let side = |session, replica| Side { session, replica, arriving: Vec::new(), events: Vec::new(), sent: 0 };
        let sides =
            [side(Session::dial(listener_key, now_ms), dialer), side(Session::listen(dialer_key, now_ms), listener)];
        Self { now_ms, sides }
    }

    /// The session at one end.
    pub fn session(&self, end: End) -> &Session {
        &self.sides[end as usize].session
    }

    /// What has happened at one end since it was last asked.
    pub fn take_events(&mut self, end: End) -> Vec<Event> {
        std::mem::take(&mut self.sides[end as usize].events)
    }

    /// Bytes that one end has sent since the connection opened.
    pub fn bytes_sent(&self, end: End) -> u64 {
        self.sides[end as usize].sent
    }

    /// Bytes on their way to one end.
    pub fn bytes_arriving(&self, end: End) -> usize {
        self.sides[end as usize].arriving.len()
    }

    /// Delivers up to `bytes_max` of the bytes on their way to `end`, and returns how many.
    pub fn deliver(&mut self, end: End, bytes_max: usize) -> usize {
        let side = &mut self.sides[end as usize];
        let rest = side.arriving.split_off(bytes_max.min(side.arriving.len()));
        let now = std::mem::replace(&mut side.arriving, rest);
        self.sides[end.other() as usize].session.written(now.len());
        if !now.is_empty() {
            self.input(end, Input::Bytes(&now));
        }
        now.len()
    }

    /// Puts bytes in front of `end` that the other end did not send.
    pub fn inject(&mut self, end: End, bytes: &[u8]) {
        self.sides[end as usize].arriving.extend_from_slice(bytes);
    }

    /// Loses everything on its way to `end`, and returns it.
    pub fn intercept(&mut self, end: End) -> Vec<u8> {
        std::mem::take(&mut self.sides[end as usize].arriving)
    }

    /// Tells one end that its replica has changed.
    pub fn changed(&mut self, end: End) {
        self.input(end, Input::Changed);
    }

    /// Lets `ms` milliseconds pass, and wakes whoever is due.
    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        End::BOTH.into_iter().for_each(|end| {
            self.wake(end);
        });
    }

    /// Wakes one end if it is due, and returns whether it was.
    pub fn wake(&mut self, end: End) -> bool {
        let due = self.session(end).wakes_at() <= self.now_ms;
        if due {
            self.input(end, Input::Tick);
        }
        due
    }

    /// Moves bytes to and fro until nothing is on its way and nobody is due.
    pub fn run(&mut self) {
        while End::BOTH.into_iter().fold(false, |moved, end| moved | self.turn(end)) {}
    }

    /// Moves one end as far as it goes without the other, and returns whether it moved at all.
    pub fn turn(&mut self, end: End) -> bool {
        self.wake(end) | (self.deliver(end, INPUT_BYTES_MAX) > 0)
    }

    /// The connection breaks; what is on its way is lost.
    pub fn disconnect(&mut self) {
        for end in End::BOTH {
            self.intercept(end);
            self.input(end, Input::Disconnected);
        }
    }

    fn input(&mut self, end: End, input: Input<'_>) {
        let side = &mut self.sides[end as usize];
        let Output { bytes, events } = side.session.handle(&*side.replica, self.now_ms, input);
        side.events.extend(events);
        side.sent += bytes.len() as u64;
        self.sides[end.other() as usize].arriving.extend_from_slice(&bytes);
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("now_ms", &self.now_ms)
            .field("dialer", &self.sides[0].session)
            .field("listener", &self.sides[1].session)
            .finish()
    }
}

fn transport_key(replica: &dyn Replica) -> Result<[u8; 32], ReplicaError> {
    let device = replica.device();
    let log = replica.identity()?;
    let device = log.known_device(device).ok_or(IdentityError::UnknownDevice { device });
    Ok(device.map_err(ReplicaError::new)?.keys.transport)
}
