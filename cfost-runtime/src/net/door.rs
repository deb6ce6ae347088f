//! The machine that listens to whoever wants to be let in: one for an invitation, two in turn for a spoken code, one
//! for another user who is invited to a space.

use std::sync::Arc;

use super::inviting::{Admission, Admitter};
use super::sharing::{Welcome, Welcomer};
use crate::identity::pairing::{Inviter, InviterEvent, PairingId, Sharer, SharerEvent, SpokenInviter, Visitor};
use crate::identity::{AddDevice, IdentityError};
use crate::oplog::{DeviceId, UserId};
use crate::sync::ReplicaError;

/// Who is at the door: until the spoken code was proven, the machine that listens for it.
pub(super) enum Door {
    Spoken(SpokenInviter),
    Open(Inviter),
    Shared(Sharer),
}

/// Who is to be let in, now that the digits are confirmed.
pub(super) enum Wanted {
    Device(Box<AddDevice>),
    User(Box<Visitor>),
}

/// Who has been let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A new device of the user.
    Device(DeviceId),
    /// Another user, into a space.
    User(UserId),
}

/// Who lets somebody in.
#[derive(Clone)]
pub(crate) enum Lets {
    /// A new device.
    Device(Arc<dyn Admitter>),
    /// Another user.
    User(Arc<dyn Welcomer>),
}

impl Lets {
    pub(super) fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError> {
        match self {
            Self::Device(admitter) => admitter.consume(pairing),
            Self::User(welcomer) => welcomer.consume(pairing),
        }
    }

    pub(super) fn admit(&self, wanted: Wanted) -> Result<Told, ReplicaError> {
        match (self, wanted) {
            (Self::Device(admitter), Wanted::Device(request)) => admitter.admit(*request).map(Told::Device),
            (Self::User(welcomer), Wanted::User(visitor)) => welcomer.welcome(*visitor).map(Told::User),
            _ => Err(ReplicaError::new(IdentityError::OutOfTurn)),
        }
    }
}

/// What is told to who is let in.
pub(super) enum Told {
    Device(Admission),
    User(Welcome),
}

/// What a message at the door means.
pub(super) enum DoorEvent {
    /// To be recorded as used up.
    Consume(PairingId),
    /// More is to come.
    Waiting,
    /// It has said who it is, and shows its digits.
    Ask,
    Joined(Who),
}

impl Door {
    pub(super) fn confirm(&mut self, typed: &str) -> Result<Wanted, IdentityError> {
        match self {
            Self::Spoken(_) => Err(IdentityError::OutOfTurn),
            Self::Open(inviter) => inviter.confirm(typed).map(Box::new).map(Wanted::Device),
            Self::Shared(sharer) => sharer.confirm(typed).map(Box::new).map(Wanted::User),
        }
    }

    pub(super) fn admit(&mut self, told: &Told) -> Result<Vec<Vec<u8>>, IdentityError> {
        match (self, told) {
            (Self::Open(inviter), Told::Device(Admission { log, space_keys })) => {
                let keys: Vec<_> = space_keys.iter().map(|(space, key)| (*space, key)).collect();
                inviter.admit(log, &keys)
            }
            (Self::Shared(sharer), Told::User(Welcome { log, users })) => sharer.admit(log, users),
            _ => Err(IdentityError::OutOfTurn),
        }
    }

    pub(super) fn receive(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<DoorEvent, IdentityError> {
        Ok(match self {
            Self::Spoken(_) => return Err(IdentityError::OutOfTurn),
            Self::Open(inviter) => match inviter.receive(peer, message)? {
                InviterEvent::Consume(pairing) => DoorEvent::Consume(pairing),
                InviterEvent::Joined(device) => DoorEvent::Joined(Who::Device(device)),
            },
            Self::Shared(sharer) => match sharer.receive(peer, message)? {
                SharerEvent::Consume(pairing) => DoorEvent::Consume(pairing),
                SharerEvent::Waiting => DoorEvent::Waiting,
                SharerEvent::AskDigits => DoorEvent::Ask,
                SharerEvent::Joined(user) => DoorEvent::Joined(Who::User(user)),
            },
        })
    }

    pub(super) fn consumed(&mut self) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::Spoken(spoken) => {
                let (inviter, challenge) = spoken.tried()?;
                *self = Self::Open(inviter);
                Ok(challenge)
            }
            Self::Open(inviter) => inviter.consumed(),
            Self::Shared(sharer) => sharer.consumed(),
        }
    }

    /// The name that who waits for its digits gives itself.
    pub(super) fn waiting(&self) -> Option<&str> {
        match self {
            Self::Spoken(_) => None,
            Self::Open(inviter) => inviter.waiting(),
            Self::Shared(sharer) => sharer.visitor().map(|visitor| visitor.device.name.as_str()),
        }
    }

    /// The other user that waits for its digits.
    pub(super) fn visitor(&self) -> Option<&Visitor> {
        match self {
            Self::Spoken(_) | Self::Open(_) => None,
            Self::Shared(sharer) => sharer.visitor(),
        }
    }

    /// Whether who knows the secret has still to say who it is.
    pub(super) fn wants_introduction(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// A connection was lost. Tells what became of a try at the code, if one was being recorded.
    pub(super) fn lost(&mut self, peer: &[u8; 32]) -> Result<(), IdentityError> {
        match self {
            Self::Spoken(spoken) => return spoken.lost(peer),
            Self::Open(inviter) => inviter.lost(peer),
            Self::Shared(sharer) => sharer.lost(peer),
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self) {
        match self {
            Self::Spoken(spoken) => spoken.cancel(),
            Self::Open(inviter) => inviter.cancel(),
            Self::Shared(sharer) => sharer.cancel(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Spoken(spoken) => spoken.is_closed(),
            Self::Open(inviter) => inviter.is_closed(),
            Self::Shared(sharer) => sharer.is_closed(),
        }
    }
}
