//! The authorised device's side.

use super::Card;
use crate::host::Host;
use crate::identity::entry::AddDevice;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DevicePublic;
use crate::identity::limits::{CONFIRMATION_TRIES, INVITATION_CLOCK_ERROR_MS};
use crate::identity::log::IdentityLog;
use crate::identity::pairing::inviter::{Inviter, InviterEvent};
use crate::identity::pairing::message::{self, Call, Message};
use crate::identity::pairing::pake::{CARD, ELEMENT_BYTES, Exchange, Parties, Side};
use crate::identity::pairing::shown;
use crate::identity::pairing::transcript::{Digits, MAC_BYTES, Proof, Transcript};
use crate::oplog::{DeviceId, EpochKey, SpaceId, UserId};

/// What the driver of a [`CardReader`] has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderEvent {
    /// The new device shows its digits: have the user type them in, and call [`CardReader::confirm`].
    AskDigits,
    /// The digits are those that the new device shows. Add it to the identity log and store it, after which
    /// [`CardReader::admit`] follows.
    Confirmed(Box<AddDevice>),
    /// The new device has stored everything: the pairing is over.
    Joined(DeviceId),
}

/// Dials the new device whose [`Card`] was read, and lets it in once the user has typed the digits that it shows.
pub struct CardReader {
    host: Host,
    card: Card,
    user: UserId,
    transport: [u8; 32],
    hints: Vec<String>,
    tries_left: u32,
    state: State,
}

enum State {
    Ready,
    Called(Box<Transcript>),
    Asking { said: [u8; 32] },
    Trying { said: [u8; 32], exchange: Box<Exchange>, element: [u8; ELEMENT_BYTES] },
    Confirmed { inviter: Box<Inviter>, challenge: Vec<u8> },
    Closed,
}

impl CardReader {
    /// Prepares the device of `user` with the keys `own` for letting in the one that shows `card`. The new device is
    /// told the first four `hints` that are printable ASCII and no longer than 128 bytes: where this one can be found
    /// later on.
    ///
    /// # Errors
    /// [`IdentityError::InvitationExpired`] if the card is too old by any clock, [`IdentityError::WrongPeer`] if it is
    /// this device's own.
    pub fn new(
        host: Host,
        card: Card,
        user: UserId,
        own: &DevicePublic,
        hints: impl IntoIterator<Item = String>,
    ) -> Result<Self> {
        if host.now_ms() >= card.expires_at_ms().saturating_add(INVITATION_CLOCK_ERROR_MS) {
            return Err(IdentityError::InvitationExpired);
        }
        if own.transport == *card.bearer_transport() {
            return Err(IdentityError::WrongPeer);
        }
        Ok(Self {
            host,
            card,
            user,
            transport: own.transport,
            hints: shown::choose_hints(hints),
            tries_left: CONFIRMATION_TRIES,
            state: State::Ready,
        })
    }

    /// The card that was read.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Begins, over a connection authenticated by the transport key `peer`: the message to send. If the connection is
    /// lost before it is answered, it may begin again on another.
    ///
    /// # Errors
    /// [`IdentityError::WrongPeer`] if `peer` is not the device that the card names: then nothing may be sent.
    /// [`IdentityError::OutOfTurn`] once the digits were asked for.
    pub fn start(&mut self, peer: &[u8; 32]) -> Result<Vec<u8>> {
        if !matches!(self.state, State::Ready | State::Called(_)) {
            return Err(IdentityError::OutOfTurn);
        }
        if peer != self.card.bearer_transport() {
            return Err(IdentityError::WrongPeer);
        }
        let mut transcript = Transcript::new(&self.card, &self.transport);
        let call = Call {
            pairing: self.card.pairing(),
            nonce: self.host.random(),
            user: self.user,
            hints: self.hints.clone(),
            mac: [0; MAC_BYTES],
        };
        let mut message = call.statement();
        transcript.absorb(&message);
        message.extend_from_slice(&transcript.mac(Proof::Call));
        self.state = State::Called(Box::new(transcript));
        Ok(message)
    }

    /// The user has typed the digits that the new device shows: the message to send. Whether they are right is known
    /// by what comes back.
    ///
    /// # Errors
    /// [`IdentityError::DigitsForm`] for anything but six digits, which does not count;
    /// [`IdentityError::OutOfTurn`] unless the digits were asked for.
    pub fn confirm(&mut self, typed: &str) -> Result<Vec<u8>> {
        let State::Asking { said } = self.state else {
            return Err(IdentityError::OutOfTurn);
        };
        let digits = Digits::parse(typed)?;
        let parties = Parties {
            purpose: CARD,
            user: self.user,
            pairing: self.card.pairing(),
            expires_at_ms: u64::MAX,
            inviter: self.transport,
            joiner: *self.card.bearer_transport(),
            said: Some(said),
        };
        let (exchange, element) = Exchange::begin(&self.host, digits.to_ascii().as_slice(), parties, Side::Inviter);
        self.state = State::Trying { said, exchange: Box::new(exchange), element };
        Ok(message::try_digits(&element))
    }

    /// Takes a message from the new device.
    ///
    /// # Errors
    /// [`IdentityError::WrongDigits`] while there are tries left: have the user look again, and call
    /// [`Self::confirm`]. All others end the pairing: [`IdentityError::ConfirmationFailed`],
    /// [`IdentityError::PairingRefused`], [`IdentityError::WrongSecret`], [`IdentityError::Signature`],
    /// [`IdentityError::Malformed`] and the like. Answer the peer with
    /// [`refusal`](crate::identity::pairing::refusal).
    pub fn receive(&mut self, bytes: &[u8]) -> Result<ReaderEvent> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, Message::decode(bytes)?) {
            (State::Called(mut transcript), Message::Ready { nonce, mac }) => {
                transcript.absorb(&message::ready_statement(&nonce));
                transcript.check(Proof::Ready, &mac)?;
                self.state = State::Asking { said: transcript.hash() };
                Ok(ReaderEvent::AskDigits)
            }
            (State::Trying { said, exchange, element }, Message::Prove { element: theirs, start }) => {
                if element[1..] == theirs[1..] {
                    return Err(IdentityError::WrongPeer);
                }
                self.proved(said, *exchange, &theirs, start)
            }
            (State::Confirmed { mut inviter, .. }, Message::Done { .. }) => {
                match inviter.receive(self.card.bearer_transport(), bytes)? {
                    InviterEvent::Joined(device) => Ok(ReaderEvent::Joined(device)),
                    InviterEvent::Consume(_) => Err(IdentityError::OutOfTurn),
                }
            }
            (_, other) => Err(other.unexpected()),
        }
    }

    fn proved(
        &mut self,
        said: [u8; 32],
        exchange: Exchange,
        theirs: &[u8; ELEMENT_BYTES],
        start: &[u8],
    ) -> Result<ReaderEvent> {
        let mut inviter = Inviter::new(self.host.clone(), exchange.finish(theirs)?);
        match inviter.receive(self.card.bearer_transport(), start) {
            Ok(_) => {}
            // Other digits give another key.
            Err(IdentityError::WrongSecret) => {
                self.tries_left = self.tries_left.saturating_sub(1);
                return match self.tries_left {
                    0 => Err(IdentityError::ConfirmationFailed),
                    tries_left => {
                        self.state = State::Asking { said };
                        Err(IdentityError::WrongDigits { tries_left })
                    }
                };
            }
            Err(error) => return Err(error),
        }
        let challenge = inviter.consumed()?;
        let request = inviter.confirmed()?;
        self.state = State::Confirmed { inviter: Box::new(inviter), challenge };
        Ok(ReaderEvent::Confirmed(Box::new(request)))
    }

    /// Lets the confirmed device in: the messages to send, in order. `log` must already have the device, and be
    /// stored; `space_keys` are the keys of all epochs that the device may read.
    ///
    /// # Errors
    /// As [`Inviter::admit`].
    pub fn admit(&mut self, log: &IdentityLog, space_keys: &[(SpaceId, &EpochKey)]) -> Result<Vec<Vec<u8>>> {
        let State::Confirmed { inviter, challenge } = &mut self.state else {
            return Err(IdentityError::OutOfTurn);
        };
        let mut messages = vec![challenge.clone()];
        messages.extend(inviter.admit(log, space_keys)?);
        Ok(messages)
    }

    /// The user has changed their mind: nobody gets in.
    pub fn cancel(&mut self) {
        self.state = State::Closed;
    }
}
