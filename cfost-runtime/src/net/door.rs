//! The machine that listens to whoever wants to pair: one for an invitation, two in turn for a spoken code.

use crate::identity::pairing::{Inviter, InviterEvent, SpokenInviter};
use crate::identity::{AddDevice, IdentityError, IdentityLog};
use crate::oplog::{EpochKey, SpaceId};

/// Who is at the door: until the spoken code was proven, the machine that listens for it.
pub(super) enum Door {
    Spoken(SpokenInviter),
    Open(Inviter),
}

impl Door {
    pub(super) fn confirm(&mut self, typed: &str) -> Result<AddDevice, IdentityError> {
        match self {
            Self::Spoken(_) => Err(IdentityError::OutOfTurn),
            Self::Open(inviter) => inviter.confirm(typed),
        }
    }

    pub(super) fn admit(
        &mut self,
        log: &IdentityLog,
        keys: &[(SpaceId, &EpochKey)],
    ) -> Result<Vec<Vec<u8>>, IdentityError> {
        match self {
            Self::Spoken(_) => Err(IdentityError::OutOfTurn),
            Self::Open(inviter) => inviter.admit(log, keys),
        }
    }

    pub(super) fn receive(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<InviterEvent, IdentityError> {
        match self {
            Self::Spoken(_) => Err(IdentityError::OutOfTurn),
            Self::Open(inviter) => inviter.receive(peer, message),
        }
    }

    pub(super) fn consumed(&mut self) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::Spoken(spoken) => {
                let (inviter, challenge) = spoken.tried()?;
                *self = Self::Open(inviter);
                Ok(challenge)
            }
            Self::Open(inviter) => inviter.consumed(),
        }
    }

    pub(super) fn waiting(&self) -> Option<&str> {
        match self {
            Self::Spoken(_) => None,
            Self::Open(inviter) => inviter.waiting(),
        }
    }

    /// A connection was lost. Tells what became of a try at the code, if one was being recorded.
    pub(super) fn lost(&mut self, peer: &[u8; 32]) -> Result<(), IdentityError> {
        match self {
            Self::Spoken(spoken) => spoken.lost(peer),
            Self::Open(inviter) => {
                inviter.lost(peer);
                Ok(())
            }
        }
    }

    pub(super) fn cancel(&mut self) {
        match self {
            Self::Spoken(spoken) => spoken.cancel(),
            Self::Open(inviter) => inviter.cancel(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Spoken(spoken) => spoken.is_closed(),
            Self::Open(inviter) => inviter.is_closed(),
        }
    }
}
