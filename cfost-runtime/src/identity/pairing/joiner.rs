//! The new device's side of a pairing.

use super::admission::{self, Joined, Opening};
use super::invitation::Invitation;
use super::message::{self, Challenge, Message, Start};
use super::transcript::{Digits, MAC_BYTES, Proof, Transcript};
use crate::host::Host;
use crate::identity::entry::AddDevice;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DeviceKeys;
use crate::identity::limits::INVITATION_CLOCK_ERROR_MS;

/// What the driver of a [`Joiner`] has to do.
pub enum JoinerEvent {
    /// Show these to the user, who types them into the authorised device.
    ShowDigits(Digits),
    /// A part of the admission has arrived; wait for the rest.
    Waiting,
    /// This device belongs to the user. Store all of it durably, then send [`Joiner::done`].
    Joined(Box<Joined>),
}

/// Asks the device that made an invitation for admission.
pub struct Joiner {
    host: Host,
    invitation: Invitation,
    keys: DeviceKeys,
    request: AddDevice,
    state: State,
}

enum State {
    Ready,
    Started(Transcript),
    Challenged(Transcript),
    Opening { opening: Opening, done: [u8; MAC_BYTES] },
    Joined { done: [u8; MAC_BYTES] },
    Closed,
}

impl Joiner {
    /// Prepares the device that holds `keys`, and calls itself `name`, for joining.
    ///
    /// # Errors
    /// [`IdentityError::Text`] for a name that cannot be accepted,
    /// [`IdentityError::InvitationExpired`] if it is too late by any clock.
    pub fn new(host: Host, invitation: Invitation, keys: DeviceKeys, name: &str) -> Result<Self> {
        if host.now_ms() >= invitation.expires_at_ms().saturating_add(INVITATION_CLOCK_ERROR_MS) {
            return Err(IdentityError::InvitationExpired);
        }
        let request = AddDevice::new(invitation.user(), &keys, name)?;
        Ok(Self { host, invitation, keys, request, state: State::Ready })
    }

    /// The invitation that is being followed.
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Begins, over a connection authenticated by the transport key `peer`: the message to send. If
    /// the connection is lost before the digits are shown, it may begin again on another.
    ///
    /// # Errors
    /// [`IdentityError::WrongPeer`] if `peer` is not the device that the invitation names: then
    /// nothing may be sent. [`IdentityError::OutOfTurn`] once the digits were shown.
    pub fn start(&mut self, peer: &[u8; 32]) -> Result<Vec<u8>> {
        if !matches!(self.state, State::Ready | State::Started(_)) {
            return Err(IdentityError::OutOfTurn);
        }
        if peer != self.invitation.inviter_transport() {
            return Err(IdentityError::WrongPeer);
        }
        let mut transcript = Transcript::new(&self.invitation, &self.request.keys().transport);
        let start = Start {
            pairing: self.invitation.pairing(),
            nonce: self.host.random(),
            request: self.request.clone(),
            mac: [0; MAC_BYTES],
        };
        let mut message = start.statement();
        transcript.absorb(&message);
        message.extend_from_slice(&transcript.mac(Proof::Start));
        self.state = State::Started(transcript);
        Ok(message)
    }

    /// Takes a message from the inviter.
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`] if it was refused; why the inviter is not believed:
    /// [`IdentityError::WrongSecret`], [`IdentityError::Admission`], what an identity log refuses,
    /// [`IdentityError::Malformed`] and the like. The pairing is then over, and nothing of it counts.
    pub fn receive(&mut self, message: &[u8]) -> Result<JoinerEvent> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, Message::decode(message)?) {
            (State::Started(transcript), Message::Challenge(challenge)) => self.challenged(transcript, &challenge),
            (State::Challenged(transcript), Message::Admit { encapsulated, parts, sealed }) => {
                let secret = self.keys.sealing_secret();
                let opening = Opening::new(&transcript, self.invitation.pairing(), secret, &encapsulated, parts)?;
                self.open(opening, transcript.mac(Proof::Done), sealed)
            }
            (State::Opening { opening, done }, Message::AdmitMore { sealed }) => self.open(opening, done, sealed),
            (_, other) => Err(other.unexpected()),
        }
    }

    fn challenged(&mut self, mut transcript: Transcript, challenge: &Challenge) -> Result<JoinerEvent> {
        transcript.absorb(&Challenge::statement(&challenge.nonce));
        transcript.check(Proof::Challenge, &challenge.mac)?;
        let digits = transcript.digits();
        self.state = State::Challenged(transcript);
        Ok(JoinerEvent::ShowDigits(digits))
    }

    fn open(&mut self, mut opening: Opening, done: [u8; MAC_BYTES], sealed: &[u8]) -> Result<JoinerEvent> {
        let Some(plain) = opening.add(sealed)? else {
            self.state = State::Opening { opening, done };
            return Ok(JoinerEvent::Waiting);
        };
        let joined = admission::decode(&plain, &self.invitation, self.request.keys())?;
        self.state = State::Joined { done };
        Ok(JoinerEvent::Joined(Box::new(joined)))
    }

    /// Everything has been stored: the last message to send.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] before [`JoinerEvent::Joined`].
    pub fn done(&self) -> Result<Vec<u8>> {
        match &self.state {
            State::Joined { done } => Ok(message::done(done)),
            _ => Err(IdentityError::OutOfTurn),
        }
    }
}
