//! The side of the user that was invited.

use std::sync::Arc;

use super::papers::{self, Papers};
use super::shown::ShareInvitation;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DeviceKeys;
use crate::identity::limits::INVITATION_CLOCK_ERROR_MS;
use crate::identity::log::IdentityLog;
use crate::identity::pairing::admission::Opening;
use crate::identity::pairing::message::{self, Challenge, INTRODUCTION_PART_BYTES, Message, Visit};
use crate::identity::pairing::transcript::{Digits, MAC_BYTES, Proof, Transcript};

/// What the driver of a [`ShareGuest`] has to do.
pub enum GuestEvent {
    /// Send these messages, in order, and show the digits to the user, who has them typed into the owner's device.
    ShowDigits(Digits, Vec<Vec<u8>>),
    /// A part of the admission has arrived; wait for the rest.
    Waiting,
    /// The user is a member. Store all of it durably, then send [`ShareGuest::done`].
    Joined(Box<Papers>),
}

/// Asks the device that made an invitation to let this device's user into a space.
pub struct ShareGuest {
    host: Host,
    invitation: ShareInvitation,
    keys: DeviceKeys,
    own: Arc<IdentityLog>,
    introduction: Vec<u8>,
    state: State,
}

enum State {
    Ready,
    Started(Box<Transcript>),
    Challenged(Box<Transcript>),
    Opening { opening: Box<Opening>, done: [u8; MAC_BYTES] },
    Joined { done: [u8; MAC_BYTES] },
    Closed,
}

impl ShareGuest {
    /// Prepares the user with the identity log `own`, on its device that holds `keys`, for being let in.
    ///
    /// # Errors
    /// [`IdentityError::InvitationExpired`] if it is too late by any clock, [`IdentityError::OwnSpace`] if it is the
    /// user's own invitation, [`IdentityError::UnknownDevice`] if `keys` are no device's of the user,
    /// [`IdentityError::AdmissionTooLarge`] if the identity log is longer than 4 MiB.
    pub fn new(host: Host, invitation: ShareInvitation, keys: DeviceKeys, own: Arc<IdentityLog>) -> Result<Self> {
        if host.now_ms() >= invitation.expires_at_ms().saturating_add(INVITATION_CLOCK_ERROR_MS) {
            return Err(IdentityError::InvitationExpired);
        }
        if own.user_id() == invitation.user() {
            return Err(IdentityError::OwnSpace);
        }
        if !own.is_device(keys.id()) {
            return Err(IdentityError::UnknownDevice { device: keys.id() });
        }
        let introduction = papers::introduction(&own)?;
        Ok(Self { host, invitation, keys, own, introduction, state: State::Ready })
    }

    /// The invitation that is being followed.
    pub fn invitation(&self) -> &ShareInvitation {
        &self.invitation
    }

    /// Begins, over a connection authenticated by the transport key `peer`: the message to send. If the connection is
    /// lost before the digits are shown, it may begin again on another.
    ///
    /// # Errors
    /// [`IdentityError::WrongPeer`] if `peer` is not the device that the invitation names: then nothing may be sent.
    /// [`IdentityError::OutOfTurn`] once the digits were shown.
    pub fn start(&mut self, peer: &[u8; 32]) -> Result<Vec<u8>> {
        if !matches!(self.state, State::Ready | State::Started(_)) {
            return Err(IdentityError::OutOfTurn);
        }
        if peer != self.invitation.sharer_transport() {
            return Err(IdentityError::WrongPeer);
        }
        let mut transcript = Transcript::new(&self.invitation, &self.keys.public().transport);
        let visit = Visit {
            pairing: self.invitation.pairing(),
            nonce: self.host.random(),
            introduction_bytes: self.introduction.len() as u32,
            introduction: papers::hash(&self.introduction),
            mac: [0; MAC_BYTES],
        };
        let mut message = visit.statement();
        transcript.absorb(&message);
        message.extend_from_slice(&transcript.mac(Proof::Start));
        self.state = State::Started(Box::new(transcript));
        Ok(message)
    }

    /// Takes a message from the owner's device.
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`] if it was refused; why the other side is not believed:
    /// [`IdentityError::WrongSecret`], [`IdentityError::Admission`], what an identity log or a members log refuses,
    /// [`IdentityError::Malformed`] and the like. The pairing is then over, and nothing of it counts.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<GuestEvent> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, Message::decode(bytes)?) {
            (State::Started(mut transcript), Message::Challenge(challenge)) => {
                transcript.absorb(&Challenge::statement(&challenge.nonce));
                transcript.check(Proof::Challenge, &challenge.mac)?;
                let digits = transcript.digits();
                self.state = State::Challenged(transcript);
                let parts = self.introduction.chunks(INTRODUCTION_PART_BYTES).map(message::introduce);
                Ok(GuestEvent::ShowDigits(digits, parts.collect()))
            }
            (State::Challenged(transcript), Message::Admit { encapsulated, parts, sealed }) => {
                let secret = self.keys.sealing_secret();
                let opening = Opening::new(&transcript, self.invitation.pairing(), secret, &encapsulated, parts)?;
                self.open(Box::new(opening), transcript.mac(Proof::Done), sealed)
            }
            (State::Opening { opening, done }, Message::AdmitMore { sealed }) => self.open(opening, done, sealed),
            (_, other) => Err(other.unexpected()),
        }
    }

    fn open(&mut self, mut opening: Box<Opening>, done: [u8; MAC_BYTES], sealed: &[u8]) -> Result<GuestEvent> {
        let Some(plain) = opening.add(sealed)? else {
            self.state = State::Opening { opening, done };
            return Ok(GuestEvent::Waiting);
        };
        let papers = papers::decode(&plain, &self.invitation, &self.own)?;
        self.state = State::Joined { done };
        Ok(GuestEvent::Joined(Box::new(papers)))
    }

    /// Everything has been stored: the last message to send.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] before [`GuestEvent::Joined`].
    pub fn done(&self) -> Result<Vec<u8>> {
        match &self.state {
            State::Joined { done } => Ok(message::done(done)),
            _ => Err(IdentityError::OutOfTurn),
        }
    }
}
