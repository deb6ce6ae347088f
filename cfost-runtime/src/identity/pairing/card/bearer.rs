//! The new device's side.

use super::Card;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DeviceKeys;
use crate::identity::limits::{CONFIRMATION_MS_MAX, CONFIRMATION_TRIES};
use crate::identity::pairing::admission::Joined;
use crate::identity::pairing::invitation::PairingId;
use crate::identity::pairing::joiner::{Joiner, JoinerEvent};
use crate::identity::pairing::message::{self, Call, Message};
use crate::identity::pairing::pake::{CARD, ELEMENT_BYTES, Exchange, Parties, Side};
use crate::identity::pairing::transcript::{Digits, Proof, Transcript};
use crate::identity::text::check_device_name;
use crate::oplog::UserId;

/// What the driver of a [`CardBearer`] has to do.
pub enum BearerEvent {
    /// A device that says it is one of `user`'s has read the card. Make sure that this device may become one of that
    /// user's, and record durably that the pairing is used up, and was not before; then call
    /// [`CardBearer::consumed`]. If either is not so, [`CardBearer::cancel`].
    Called {
        /// The user, as the other device says.
        user: UserId,
        /// The name of the pairing.
        pairing: PairingId,
    },
    /// Digits were typed into the other device, right ones or wrong ones: send this.
    Answer(Vec<u8>),
    /// The digits were right. The admission is on its way.
    Waiting,
    /// This device belongs to the user. Store all of it durably, then send [`CardBearer::done`].
    Joined(Box<Joined>),
}

/// Shows a [`Card`], and then six digits, and waits for an authorised device whose user has typed them.
///
/// One machine serves one card, on however many connections: strangers that dial are refused and change nothing. The
/// first peer that proves to have seen the card uses it up; it then has three tries at the digits.
pub struct CardBearer {
    host: Host,
    card: Card,
    keys: DeviceKeys,
    name: String,
    digits: Digits,
    state: State,
}

enum State {
    Open,
    Called { caller: Caller, transcript: Box<Transcript> },
    Confirming { caller: Caller, said: [u8; 32], tries_left: u32, until_ms: u64, joiner: Option<Box<Joiner>> },
    Closed,
}

/// The one peer that has proved to have seen the card.
struct Caller {
    peer: [u8; 32],
    user: UserId,
    hints: Vec<String>,
}

impl CardBearer {
    /// Prepares the device that holds `keys`, and calls itself `name`, for being let in by whoever reads its card.
    /// `hints` are addresses at which it can be dialled.
    ///
    /// # Errors
    /// [`IdentityError::Text`] for a name that can't be accepted.
    pub fn new(host: Host, keys: DeviceKeys, name: &str, hints: impl IntoIterator<Item = String>) -> Result<Self> {
        check_device_name(name)?;
        Ok(Self {
            card: Card::create(&host, &keys.public(), hints),
            digits: Digits::random(&host),
            host,
            keys,
            name: name.to_owned(),
            state: State::Open,
        })
    }

    /// The card to show.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Where the device that has read the card can be reached, as it says; nowhere before that.
    pub fn reader_hints(&self) -> &[String] {
        match &self.state {
            State::Called { caller, .. } | State::Confirming { caller, .. } => &caller.hints,
            State::Open | State::Closed => &[],
        }
    }

    /// Takes a message that came over a connection authenticated by the transport key `peer`.
    ///
    /// # Errors
    /// Why the peer is refused: [`IdentityError::InvitationExpired`], [`IdentityError::InvitationUsed`],
    /// [`IdentityError::InvitationUnknown`], [`IdentityError::WrongSecret`], [`IdentityError::WrongPeer`]; after three
    /// tries [`IdentityError::ConfirmationFailed`], after 300 seconds [`IdentityError::ConfirmationExpired`]; and what
    /// [`Joiner::receive`] fails with. Answer the peer with [`refusal`](crate::identity::pairing::refusal).
    pub fn receive(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<BearerEvent> {
        match &self.state {
            State::Open => self.called(peer, message),
            State::Called { caller, .. } if caller.peer == *peer => {
                // It has nothing to say before it is answered.
                self.state = State::Closed;
                Err(Message::decode(message)?.unexpected())
            }
            State::Confirming { caller, .. } if caller.peer == *peer => {
                let outcome = self.confirming(message);
                if outcome.is_err() {
                    self.state = State::Closed;
                }
                outcome
            }
            State::Called { .. } | State::Confirming { .. } | State::Closed => Err(IdentityError::InvitationUsed),
        }
    }

    fn called(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<BearerEvent> {
        let call = match Message::decode(message)? {
            Message::Call(call) => call,
            other => return Err(other.unexpected()),
        };
        let transcript = Box::new(self.check(peer, &call)?);
        let Call { user, hints, .. } = *call;
        self.state = State::Called { caller: Caller { peer: *peer, user, hints }, transcript };
        Ok(BearerEvent::Called { user, pairing: self.card.pairing() })
    }

    fn check(&self, peer: &[u8; 32], call: &Call) -> Result<Transcript> {
        if call.pairing != self.card.pairing() {
            return Err(IdentityError::InvitationUnknown);
        }
        if self.host.now_ms() >= self.card.expires_at_ms() {
            return Err(IdentityError::InvitationExpired);
        }
        if peer == self.card.bearer_transport() {
            return Err(IdentityError::WrongPeer);
        }
        let mut transcript = Transcript::new(&self.card, peer);
        transcript.absorb(&call.statement());
        transcript.check(Proof::Call, &call.mac)?;
        Ok(transcript)
    }

    /// The pairing has been recorded as used up: the digits to show, and the message to send. The user has 300
    /// seconds.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] unless [`BearerEvent::Called`] was the last event.
    pub fn consumed(&mut self) -> Result<(Digits, Vec<u8>)> {
        let (caller, mut transcript) = match std::mem::replace(&mut self.state, State::Closed) {
            State::Called { caller, transcript } => (caller, transcript),
            other => {
                self.state = other;
                return Err(IdentityError::OutOfTurn);
            }
        };
        let mut message = message::ready_statement(&self.host.random());
        transcript.absorb(&message);
        message.extend_from_slice(&transcript.mac(Proof::Ready));
        self.state = State::Confirming {
            caller,
            said: transcript.hash(),
            tries_left: CONFIRMATION_TRIES,
            until_ms: self.host.now_ms().saturating_add(CONFIRMATION_MS_MAX),
            joiner: None,
        };
        Ok((self.digits, message))
    }

    fn confirming(&mut self, bytes: &[u8]) -> Result<BearerEvent> {
        let State::Confirming { caller, said, tries_left, until_ms, joiner } = &mut self.state else {
            return Err(IdentityError::OutOfTurn);
        };
        let element = match (Message::decode(bytes)?, joiner.as_deref_mut()) {
            (Message::Try { element }, _) => element,
            (_, Some(joiner)) => return next(joiner, bytes),
            (other, None) => return Err(other.unexpected()),
        };
        if self.host.now_ms() >= *until_ms {
            return Err(IdentityError::ConfirmationExpired);
        }
        *tries_left = tries_left.checked_sub(1).ok_or(IdentityError::ConfirmationFailed)?;
        let parties = Parties {
            purpose: CARD,
            user: caller.user,
            pairing: self.card.pairing(),
            expires_at_ms: u64::MAX,
            inviter: caller.peer,
            joiner: *self.card.bearer_transport(),
            said: Some(*said),
        };
        let peer = caller.peer;
        let (mut next, own) = answer(&self.host, self.digits, parties, &element, &self.keys, &self.name)?;
        let start = next.start(&peer)?;
        *joiner = Some(Box::new(next));
        Ok(BearerEvent::Answer(message::prove(&own, &start)))
    }

    /// Everything has been stored: the last message to send.
    ///
    /// # Errors
    /// [`IdentityError::OutOfTurn`] before [`BearerEvent::Joined`].
    pub fn done(&self) -> Result<Vec<u8>> {
        match &self.state {
            State::Confirming { joiner: Some(joiner), .. } => joiner.done(),
            _ => Err(IdentityError::OutOfTurn),
        }
    }

    /// The connection with `peer` was lost. If `peer` is the device that has used the card up, the pairing is over;
    /// anyone else does not matter.
    pub fn lost(&mut self, peer: &[u8; 32]) {
        if let State::Called { caller, .. } | State::Confirming { caller, .. } = &self.state
            && caller.peer == *peer
        {
            self.state = State::Closed;
        }
    }

    /// The user has changed their mind, or this device may not become one of the user's: nobody lets it in.
    pub fn cancel(&mut self) {
        self.state = State::Closed;
    }

    /// Whether the pairing is over without this device having been let in.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

/// Answers one try: the machine that goes on if it was the right one, and the element to send.
fn answer(
    host: &Host,
    digits: Digits,
    parties: Parties,
    element: &[u8; ELEMENT_BYTES],
    keys: &DeviceKeys,
    name: &str,
) -> Result<(Joiner, [u8; ELEMENT_BYTES])> {
    let (exchange, own) = Exchange::begin(host, digits.to_ascii().as_slice(), parties, Side::Joiner);
    let invitation = exchange.finish(element)?;
    Ok((Joiner::new(host.clone(), invitation, keys.clone(), name)?, own))
}

/// Goes on as in a pairing by invitation. That the challenge holds says that the digits were right.
fn next(joiner: &mut Joiner, bytes: &[u8]) -> Result<BearerEvent> {
    Ok(match joiner.receive(bytes)? {
        JoinerEvent::ShowDigits(_) | JoinerEvent::Waiting => BearerEvent::Waiting,
        JoinerEvent::Joined(joined) => BearerEvent::Joined(joined),
    })
}
