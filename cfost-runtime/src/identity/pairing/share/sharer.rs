//! The owner's side.

use super::papers::{self, Visitor};
use super::shown::ShareInvitation;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::limits::INTRODUCTION_BYTES_MAX;
use crate::identity::pairing::admission;
use crate::identity::pairing::confirmation::Confirmation;
use crate::identity::pairing::invitation::PairingId;
use crate::identity::pairing::message::{Challenge, Message, Visit};
use crate::identity::pairing::transcript::{Proof, Transcript};
use crate::identity::space::SpaceLog;
use crate::identity::users::Users;
use crate::oplog::UserId;

/// What the driver of a [`Sharer`] has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharerEvent {
    /// Record durably that this pairing is used up, making sure that it was not before; then call
    /// [`Sharer::consumed`] and send the message that it gives.
    Consume(PairingId),
    /// A part of who the guest is has arrived; wait for the rest.
    Waiting,
    /// The guest has said who it is: [`Sharer::visitor`]. Have the user type the digits that it shows, and call
    /// [`Sharer::confirm`].
    AskDigits,
    /// The guest has stored everything: the pairing is over.
    Joined(UserId),
}

/// Waits for the user that was invited, and lets it in once the digits are confirmed.
///
/// One machine serves one invitation, on however many connections: strangers that dial are refused and change nothing.
/// The first peer that proves to know the secret uses the invitation up; from then on, a mistake of that peer ends the
/// pairing.
pub struct Sharer {
    host: Host,
    invitation: ShareInvitation,
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
    stage: Stage,
}

enum Stage {
    Consuming { bytes: usize, hash: [u8; 32] },
    Introducing { bytes: usize, hash: [u8; 32], arrived: Vec<u8> },
    Confirming { visitor: Visitor, confirmation: Confirmation },
    Confirmed { visitor: Visitor },
    Admitted { user: UserId },
}

impl Sharer {
    /// Waits for whoever has seen `invitation`.
    pub fn new(host: Host, invitation: ShareInvitation) -> Self {
        Self { host, invitation, state: State::Open }
    }

    /// The invitation to show.
    pub fn invitation(&self) -> &ShareInvitation {
        &self.invitation
    }

    /// Who waits for its digits to be typed here.
    pub fn visitor(&self) -> Option<&Visitor> {
        match &self.state {
            State::Busy(session) => match &session.stage {
                Stage::Confirming { visitor, .. } => Some(visitor),
                _ => None,
            },
            State::Open | State::Closed => None,
        }
    }

    /// Takes a message that came over a connection authenticated by the transport key `peer`.
    ///
    /// # Errors
    /// Why the peer is refused: [`IdentityError::InvitationExpired`], [`IdentityError::InvitationUsed`],
    /// [`IdentityError::InvitationUnknown`], [`IdentityError::WrongSecret`], [`IdentityError::WrongPeer`],
    /// [`IdentityError::Admission`], what an identity log refuses, [`IdentityError::Malformed`] and the like. Answer
    /// the peer with [`refusal`](crate::identity::pairing::refusal).
    pub fn receive(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<SharerEvent> {
        match &mut self.state {
            State::Open => self.start(peer, message),
            State::Busy(session) if session.peer == *peer => {
                let outcome = session.receive(&self.host, &self.invitation, message);
                // Either it was the last message, or a wrong one: both end the pairing.
                if !matches!(outcome, Ok(SharerEvent::Waiting | SharerEvent::AskDigits)) {
                    self.state = State::Closed;
                }
                outcome
            }
            State::Busy(_) | State::Closed => Err(IdentityError::InvitationUsed),
        }
    }

    fn start(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<SharerEvent> {
        let visit = match Message::decode(message)? {
            Message::Visit(visit) => visit,
            other => return Err(other.unexpected()),
        };
        let transcript = self.check(peer, &visit)?;
        let stage = Stage::Consuming { bytes: visit.introduction_bytes as usize, hash: visit.introduction };
        self.state = State::Busy(Box::new(Session { peer: *peer, transcript, stage }));
        Ok(SharerEvent::Consume(self.invitation.pairing()))
    }

    fn check(&self, peer: &[u8; 32], visit: &Visit) -> Result<Transcript> {
        if visit.pairing != self.invitation.pairing() {
            return Err(IdentityError::InvitationUnknown);
        }
        if self.host.now_ms() >= self.invitation.expires_at_ms() {
            return Err(IdentityError::InvitationExpired);
        }
        if peer == self.invitation.sharer_transport() {
            return Err(IdentityError::WrongPeer);
        }
        let mut transcript = Transcript::new(&self.invitation, peer);
        transcript.absorb(&visit.statement());
        transcript.check(Proof::Start, &visit.mac)?;
        if visit.introduction_bytes as usize > INTRODUCTION_BYTES_MAX {
            return Err(IdentityError::AdmissionTooLarge { bytes: visit.introduction_bytes as usize });
        }
        Ok(transcript)
    }

    /// The pairing has been recorded as used up: the message to send to the peer, which then says who it is.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] unless [`SharerEvent::Consume`] was the last event.
    pub fn consumed(&mut self) -> Result<Vec<u8>> {
        let mut message = Challenge::statement(&self.host.random());
        let session = self.session()?;
        let Stage::Consuming { bytes, hash } = session.stage else {
            return Err(IdentityError::OutOfTurn);
        };
        session.transcript.absorb(&message);
        session.stage = Stage::Introducing { bytes, hash, arrived: Vec::new() };
        message.extend_from_slice(&session.transcript.mac(Proof::Challenge));
        Ok(message)
    }

    /// The user has typed the digits that the guest's device shows. If they are right: who the guest is. Make its user
    /// a member, store that, and call [`Self::admit`].
    ///
    /// # Errors
    /// As [`Inviter::confirm`](crate::identity::pairing::Inviter::confirm).
    pub fn confirm(&mut self, typed: &str) -> Result<Visitor> {
        let host = self.host.clone();
        let session = self.session()?;
        let Stage::Confirming { visitor, confirmation } = &mut session.stage else {
            return Err(IdentityError::OutOfTurn);
        };
        if let Err(error) = confirmation.check(&host, session.transcript.digits(), typed) {
            if Confirmation::is_over(&error) {
                self.state = State::Closed;
            }
            return Err(error);
        }
        let visitor = visitor.clone();
        session.stage = Stage::Confirmed { visitor: visitor.clone() };
        Ok(visitor)
    }

    /// Lets the confirmed guest in: the messages to send, in order. `log` must have its user as a member already, and
    /// be stored; `users` must have the identity logs of all that it names.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] before the digits were confirmed, [`IdentityError::NotMember`],
    /// [`IdentityError::AdmissionTooLarge`], [`IdentityError::Admission`].
    pub fn admit(&mut self, log: &SpaceLog, users: &Users) -> Result<Vec<Vec<u8>>> {
        let (host, pairing) = (self.host.clone(), self.invitation.pairing());
        let session = self.session()?;
        let Stage::Confirmed { visitor } = &session.stage else {
            return Err(IdentityError::OutOfTurn);
        };
        let user = visitor.log.user_id();
        if log.members(users).role(user).is_none() {
            return Err(IdentityError::NotMember { space: log.space(), user });
        }
        let plain = papers::encode(log, users);
        let messages = admission::seal(&host, &session.transcript, pairing, &visitor.device.keys, &plain)?;
        session.stage = Stage::Admitted { user };
        Ok(messages)
    }

    /// The connection with `peer` was lost. If `peer` is the device that has used the invitation up, the pairing is
    /// over; anyone else does not matter.
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
    fn receive(&mut self, host: &Host, invitation: &ShareInvitation, message: &[u8]) -> Result<SharerEvent> {
        match (&mut self.stage, Message::decode(message)?) {
            (Stage::Introducing { bytes, hash, arrived }, Message::Introduce { part }) => {
                if part.is_empty() || arrived.len() + part.len() > *bytes {
                    let problem = "it is longer than was announced, or has an empty part";
                    return Err(IdentityError::Malformed { what: "introduction", problem });
                }
                arrived.extend_from_slice(part);
                if arrived.len() < *bytes {
                    return Ok(SharerEvent::Waiting);
                }
                if papers::hash(arrived) != *hash {
                    return Err(IdentityError::WrongSecret);
                }
                let visitor = papers::visitor(arrived, &self.peer)?;
                if visitor.log.user_id() == invitation.user() {
                    return Err(IdentityError::OwnSpace);
                }
                self.stage = Stage::Confirming { visitor, confirmation: Confirmation::begin(host) };
                Ok(SharerEvent::AskDigits)
            }
            (Stage::Admitted { user }, Message::Done { mac }) => {
                self.transcript.check(Proof::Done, &mac)?;
                Ok(SharerEvent::Joined(*user))
            }
            (_, other) => Err(other.unexpected()),
        }
    }
}
