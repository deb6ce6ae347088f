//! The authorised device's side, up to the challenge.

use super::SpokenCode;
use crate::host::Host;
use crate::identity::error::{IdentityError, Result};
use crate::identity::keys::DevicePublic;
use crate::identity::limits::{INVITATION_MS, SPOKEN_TRIES};
use crate::identity::pairing::invitation::{Invitation, PairingId};
use crate::identity::pairing::inviter::Inviter;
use crate::identity::pairing::message::{Message, Offer};
use crate::identity::pairing::pake::{ELEMENT_BYTES, Exchange, Parties, SPOKEN, Side};
use crate::oplog::UserId;

const TRY_CONTEXT: &str = "cfost spoken try v1";

/// Waits for the device whose user was told the code.
///
/// One machine serves one code, on however many connections. To ask for an offer costs nobody anything; each
/// proof is a try, and used up durably before it is answered, right or wrong. Three wrong ones burn the code,
/// and a right one ends this machine's work: an [`Inviter`] goes on.
pub struct SpokenInviter {
    host: Host,
    code: SpokenCode,
    user: UserId,
    transport: [u8; 32],
    pairing: PairingId,
    expires_at_ms: u64,
    tries: u32,
    state: State,
}

enum State {
    Open,
    /// A try waits to be recorded; its outcome is known, and told to nobody.
    Trying {
        peer: [u8; 32],
        outcome: Result<Box<(Inviter, Vec<u8>)>>,
    },
    Burnt,
    Closed,
}

/// What one peer was offered: good for one proof.
pub struct Greeting {
    peer: [u8; 32],
    exchange: Exchange,
    element: [u8; ELEMENT_BYTES],
}

impl SpokenInviter {
    /// A new code, which is good for 300 seconds, by the device of `user` with the keys `inviter`.
    pub fn new(host: Host, user: UserId, inviter: &DevicePublic) -> Self {
        Self {
            code: SpokenCode::generate(&host),
            user,
            transport: inviter.transport,
            pairing: PairingId::from_bytes(host.random()),
            expires_at_ms: host.now_ms().saturating_add(INVITATION_MS),
            tries: 0,
            state: State::Open,
            host,
        }
    }

    /// The code to show.
    pub fn code(&self) -> &SpokenCode {
        &self.code
    }

    /// When the code ends, in Unix milliseconds.
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// Takes the first message of a connection that is authenticated by the transport key `peer`; also returns the
    /// offer to send.
    ///
    /// # Errors
    /// [`IdentityError::SpokenCodeBurnt`], [`IdentityError::InvitationExpired`],
    /// [`IdentityError::InvitationUsed`], [`IdentityError::WrongPeer`] for this device itself,
    /// [`IdentityError::UnexpectedMessage`], [`IdentityError::Malformed`]. Answer the peer with
    /// [`refusal`](super::super::refusal).
    pub fn greet(&self, peer: &[u8; 32], message: &[u8]) -> Result<(Greeting, Vec<u8>)> {
        self.check_open()?;
        match Message::decode(message)? {
            Message::Greet => {}
            other => return Err(other.unexpected()),
        }
        if *peer == self.transport {
            return Err(IdentityError::WrongPeer);
        }
        let parties = Parties {
            purpose: SPOKEN,
            user: self.user,
            pairing: self.pairing,
            expires_at_ms: self.expires_at_ms,
            inviter: self.transport,
            joiner: *peer,
            said: None,
        };
        let (exchange, element) = Exchange::begin(&self.host, self.code.as_bytes(), parties, Side::Inviter);
        let Self { user, pairing, expires_at_ms, .. } = *self;
        let offer = Offer { user, pairing, expires_at_ms, element };
        Ok((Greeting { peer: *peer, exchange, element }, offer.encode()))
    }

    /// Takes the peer's proof: a try. Record durably that it was made, under the name returned, making sure that it
    /// was not before; then call [`Self::tried`]. If it can't be recorded, [`Self::cancel`].
    ///
    /// # Errors
    /// What [`Self::greet`] fails with; then it was no try.
    pub fn prove(&mut self, greeting: Greeting, message: &[u8]) -> Result<PairingId> {
        self.check_open()?;
        let (element, start) = match Message::decode(message)? {
            Message::Prove { element, start } => (element, start),
            other => return Err(other.unexpected()),
        };
        let Greeting { peer, exchange, element: own } = greeting;
        if element[1..] == own[1..] {
            return Err(IdentityError::WrongPeer);
        }
        let invitation = exchange.finish(&element)?;
        let outcome = self.judge(invitation, &peer, start);
        let name =
            blake3::derive_key(TRY_CONTEXT, &[self.pairing.as_bytes().as_slice(), &self.tries.to_le_bytes()].concat());
        self.tries += 1;
        self.state = State::Trying { peer, outcome: outcome.map(Box::new) };
        let mut id = [0; 16];
        id.copy_from_slice(&name[..16]);
        Ok(PairingId::from_bytes(id))
    }

    fn judge(&self, invitation: Invitation, peer: &[u8; 32], start: &[u8]) -> Result<(Inviter, Vec<u8>)> {
        let mut inviter = Inviter::new(self.host.clone(), invitation);
        inviter.receive(peer, start)?;
        let challenge = inviter.consumed()?;
        Ok((inviter, challenge))
    }

    /// The try has been recorded. If the peer knew the code: the machine that goes on with it, and the challenge to
    /// send. The code is then used up.
    ///
    /// # Errors
    /// [`IdentityError::WrongSpokenCode`] while tries are left, then [`IdentityError::SpokenCodeBurnt`];
    /// [`IdentityError::OutOfTurn`] unless [`Self::prove`] came before. Answer the peer with
    /// [`refusal`](super::super::refusal), whatever it was.
    pub fn tried(&mut self) -> Result<(Inviter, Vec<u8>)> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Trying { outcome: Ok(proven), .. } => Ok(*proven),
            // Whatever was wrong with it, it was made by somebody who does not know the code or does not keep to the
            // protocol.
            State::Trying { .. } if self.tries < SPOKEN_TRIES || planted!("guess-a-spoken-code-forever") => {
                self.state = State::Open;
                Err(IdentityError::WrongSpokenCode { tries_left: SPOKEN_TRIES - self.tries })
            }
            State::Trying { .. } => {
                self.state = State::Burnt;
                Err(IdentityError::SpokenCodeBurnt)
            }
            other => {
                self.state = other;
                Err(IdentityError::OutOfTurn)
            }
        }
    }

    /// The connection with `peer` was lost. If a try of its was about to be recorded, it counts all the same; if that
    /// was the right one, the code is used up. Anyone else's connection does not matter.
    ///
    /// # Errors
    /// What [`Self::tried`] would have told.
    pub fn lost(&mut self, peer: &[u8; 32]) -> Result<()> {
        match &self.state {
            State::Trying { peer: trying, .. } if trying == peer => self.tried().map(drop),
            _ => Ok(()),
        }
    }

    /// The user has changed their mind, or a try could not be recorded: nobody gets in.
    pub fn cancel(&mut self) {
        self.state = State::Closed;
    }

    /// Whether nobody gets in by this code any more.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Burnt | State::Closed)
    }

    fn check_open(&self) -> Result<()> {
        match self.state {
            State::Open if self.host.now_ms() >= self.expires_at_ms => Err(IdentityError::InvitationExpired),
            State::Open => Ok(()),
            State::Burnt => Err(IdentityError::SpokenCodeBurnt),
            // While one try is recorded the next has to wait, and whoever made it to dial again.
            State::Trying { .. } | State::Closed => Err(IdentityError::InvitationUsed),
        }
    }
}
