//! The authorised device's side of a pairing.

use super::admission;
use super::confirmation::Confirmation;
use super::invitation::{Invitation, PairingId};
use super::message::{Challenge, Message, Start};
use super::transcript::{Proof, Transcript};
use crate::host::Host;
use crate::identity::entry::AddDevice;
use crate::identity::error::{IdentityError, Result};
use crate::identity::log::IdentityLog;
use crate::oplog::{DeviceId, EpochKey, SpaceId};

/// What the driver of an [`Inviter`] has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviterEvent {
    /// Record durably that this pairing is used up, making sure that it was not before; then call
    /// [`Inviter::consumed`] and send the message that it gives.
    Consume(PairingId),
    /// The new device has stored everything: the pairing is over.
    Joined(DeviceId),
}

/// Waits for the device that was invited, and lets it in once the user has confirmed the digits.
///
/// One machine serves one invitation, on however many connections: strangers that dial are refused
/// and change nothing. The first peer that proves to know the secret uses the invitation up; from
/// then on, a mistake of that peer ends the pairing.
pub struct Inviter {
    host: Host,
    invitation: Invitation,
    state: State,
}

enum State {
    Open,
    Busy(Box<Session>),
    Closed,
}

/// The one peer that has proved to know the secret.
struct Session {
    peer: [u8; 32],
    transcript: Transcript,
    request: AddDevice,
    stage: Stage,
}

enum Stage {
    Consuming,
    Confirming(Confirmation),
    Confirmed,
    Admitted,
}

impl Inviter {
    /// Waits for whoever has seen `invitation`.
    pub fn new(host: Host, invitation: Invitation) -> Self {
        Self { host, invitation, state: State::Open }
    }

    /// The invitation to show.
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// The name that the new device gives itself, while it waits for its digits to be typed here.
    pub fn waiting(&self) -> Option<&str> {
        match &self.state {
            State::Busy(session) if matches!(session.stage, Stage::Confirming(_)) => Some(session.request.name()),
            _ => None,
        }
    }

    /// Takes a message that came over a connection authenticated by the transport key `peer`.
    ///
    /// # Errors
    /// Why the peer is refused: [`IdentityError::InvitationExpired`],
    /// [`IdentityError::InvitationUsed`], [`IdentityError::InvitationUnknown`],
    /// [`IdentityError::WrongSecret`], [`IdentityError::WrongPeer`], [`IdentityError::Signature`],
    /// [`IdentityError::Malformed`] and the like. Answer the peer with [`super::refusal`].
    pub fn receive(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<InviterEvent> {
        match &self.state {
            State::Open => self.start(peer, message),
            State::Busy(session) if session.peer == *peer => {
                let outcome = session.receive(message);
                // Either it was the last message, or a wrong one: both end the pairing.
                self.state = State::Closed;
                outcome
            }
            State::Busy(_) | State::Closed => Err(IdentityError::InvitationUsed),
        }
    }

    fn start(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<InviterEvent> {
        let start = match Message::decode(message)? {
            Message::Start(start) => start,
            other => return Err(other.unexpected()),
        };
        let transcript = self.check(peer, &start)?;
        let session = Session { peer: *peer, transcript, request: start.request, stage: Stage::Consuming };
        self.state = State::Busy(Box::new(session));
        Ok(InviterEvent::Consume(self.invitation.pairing()))
    }

    fn check(&self, peer: &[u8; 32], start: &Start) -> Result<Transcript> {
        if start.pairing != self.invitation.pairing() {
            return Err(IdentityError::InvitationUnknown);
        }
        if self.host.now_ms() >= self.invitation.expires_at_ms() && !planted!("accept-a-code-from-yesterday") {
            return Err(IdentityError::InvitationExpired);
        }
        let mut transcript = Transcript::new(&self.invitation, peer);
        transcript.absorb(&start.statement());
        transcript.check(Proof::Start, &start.mac)?;
        if start.request.keys().transport != *peer {
            return Err(IdentityError::WrongPeer);
        }
        start.request.verify(self.invitation.user())?;
        Ok(transcript)
    }

    /// The pairing has been recorded as used up: the message to send to the peer, which then shows the
    /// digits. The user has 300 seconds.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] unless [`InviterEvent::Consume`] was the last event.
    pub fn consumed(&mut self) -> Result<Vec<u8>> {
        let confirmation = Confirmation::begin(&self.host);
        let mut message = Challenge::statement(&self.host.random());
        let session = self.session()?;
        if !matches!(session.stage, Stage::Consuming) {
            return Err(IdentityError::OutOfTurn);
        }
        session.transcript.absorb(&message);
        session.stage = Stage::Confirming(confirmation);
        message.extend_from_slice(&session.transcript.mac(Proof::Challenge));
        Ok(message)
    }

    /// The user has typed the digits that the new device shows. If they are right: the request to be
    /// added to the identity log and stored, after which [`Self::admit`] follows.
    ///
    /// # Errors
    /// [`IdentityError::DigitsForm`] for anything but six digits, which does not count;
    /// [`IdentityError::WrongDigits`] while there are tries left; then
    /// [`IdentityError::ConfirmationFailed`], and [`IdentityError::ConfirmationExpired`]: send
    /// [`super::refusal`], and make a new invitation.
    pub fn confirm(&mut self, typed: &str) -> Result<AddDevice> {
        let host = self.host.clone();
        let session = self.session()?;
        let Stage::Confirming(confirmation) = &mut session.stage else {
            return Err(IdentityError::OutOfTurn);
        };
        if let Err(error) = confirmation.check(&host, session.transcript.digits(), typed) {
            if Confirmation::is_over(&error) {
                self.state = State::Closed;
            }
            return Err(error);
        }
        session.stage = Stage::Confirmed;
        Ok(session.request.clone())
    }

    /// The digits were confirmed before this machine began: the request, as [`Self::confirm`] gives it.
    pub(super) fn confirmed(&mut self) -> Result<AddDevice> {
        let session = self.session()?;
        if !matches!(session.stage, Stage::Confirming(_)) {
            return Err(IdentityError::OutOfTurn);
        }
        session.stage = Stage::Confirmed;
        Ok(session.request.clone())
    }

    /// Lets the confirmed device in: the messages to send, in order. `log` must already have the
    /// device, and be stored; `space_keys` are the keys of all epochs that the device may read.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] before the digits were confirmed,
    /// [`IdentityError::UnknownDevice`] if the device is not in `log` with these keys,
    /// [`IdentityError::AdmissionTooLarge`], [`IdentityError::Admission`].
    pub fn admit(&mut self, log: &IdentityLog, space_keys: &[(SpaceId, &EpochKey)]) -> Result<Vec<Vec<u8>>> {
        let State::Busy(session) = &mut self.state else {
            return Err(IdentityError::OutOfTurn);
        };
        if !matches!(session.stage, Stage::Confirmed) {
            return Err(IdentityError::OutOfTurn);
        }
        let keys = session.request.keys();
        if log.device(keys.id()).is_none_or(|device| device.keys != *keys) {
            return Err(IdentityError::UnknownDevice { device: keys.id() });
        }
        let plain = admission::encode(log, space_keys);
        let messages = admission::seal(&self.host, &session.transcript, self.invitation.pairing(), keys, &plain)?;
        session.stage = Stage::Admitted;
        Ok(messages)
    }

    /// The connection with `peer` was lost. If `peer` is the device that has used the invitation up,
    /// the pairing is over; anyone else does not matter.
    pub fn lost(&mut self, peer: &[u8; 32]) {
        if matches!(&self.state, State::Busy(session) if session.peer == *peer) {
            self.state = State::Closed;
        }
    }

    /// The user has changed their mind: nobody gets in.
    pub fn cancel(&mut self) {
        self.state = State::Closed;
    }

    /// Whether the pairing is over, one way or the other.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn session(&mut self) -> Result<&mut Session> {
        match &mut self.state {
            State::Busy(session) => Ok(session),
            State::Open | State::Closed => Err(IdentityError::OutOfTurn),
        }
    }
}

impl Session {
    /// After its first message, this peer has only one more to send: that it has stored everything.
    fn receive(&self, message: &[u8]) -> Result<InviterEvent> {
        match (&self.stage, Message::decode(message)?) {
            (Stage::Admitted, Message::Done { mac }) => {
                self.transcript.check(Proof::Done, &mac)?;
                Ok(InviterEvent::Joined(self.request.keys().id()))
            }
            (_, other) => Err(other.unexpected()),
        }
    }
}
