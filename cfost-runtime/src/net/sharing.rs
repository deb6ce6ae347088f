//! The owner's side of an invitation to a space: what is shown, and what it needs from the database. The connections
//! are served as those of new devices are.

use std::fmt;
use std::sync::Arc;

use super::NetError;
use super::door::Who;
use super::inviting::Pending;
use crate::identity::pairing::{PairingId, ShareInvitation, Visitor};
use crate::identity::{IdentityError, SpaceLog, Users};
use crate::oplog::UserId;
use crate::sync::ReplicaError;

/// What inviting a user needs from the database. All of it is durable when it returns.
pub trait Welcomer: Send + Sync {
    /// Records that this pairing is used up. An error if it was already: then nobody gets in by it.
    fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError>;

    /// Makes the user, whose digits the owner has confirmed, a member of the space that it was invited to, and returns
    /// what it has to know.
    fn welcome(&self, visitor: Visitor) -> Result<Welcome, ReplicaError>;
}

/// What a user is told once it is let into a space, sealed to the device that asked.
#[derive(Debug)]
pub struct Welcome {
    /// The members log, with the user in it.
    pub log: Arc<SpaceLog>,
    /// The identity logs of all that it names.
    pub users: Users,
}

/// Who waits for its digits to be typed in. The names are its own choice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guest {
    /// The user.
    pub user: UserId,
    /// What the user is called; `None` for one that hasn't registered.
    pub name: Option<String>,
    /// The user's address; `None` for one that hasn't registered.
    pub email: Option<String>,
    /// What the device is called that asks.
    pub device_name: String,
}

/// An invitation of another user to a space. Dropping it withdraws it.
pub struct ShareOffer {
    pub(super) invitation: ShareInvitation,
    pub(super) pending: Pending,
}

impl ShareOffer {
    /// What to show: as a QR code or as text.
    pub fn invitation(&self) -> &ShareInvitation {
        &self.invitation
    }

    /// Waits until a user's device has proven that it was shown the invitation, and tells whose it says it is. It shows
    /// six digits, which the owner types in here: see [`ShareOffer::confirm`].
    ///
    /// # Errors
    /// [`IdentityError::InvitationExpired`] once nobody can follow the invitation any more,
    /// [`NetError::PairingInterrupted`] if the device is lost.
    pub async fn requested(&self) -> Result<Guest, NetError> {
        self.pending.requested().await?;
        let lost = NetError::PairingInterrupted("the other device was lost");
        self.pending
            .visitor(|Visitor { log, device }| Guest {
                user: log.user_id(),
                name: log.profile().map(|profile| profile.name.clone()),
                email: log.profile().map(|profile| profile.email.clone()),
                device_name: device.name.clone(),
            })
            .ok_or(lost)
    }

    /// Makes the waiting user a member of the space, if `digits` are those that its device shows; spaces and hyphens
    /// don't matter. Returns once that device has stored everything.
    ///
    /// # Errors
    /// As [`PairingOffer::confirm`](super::PairingOffer::confirm). If the device is lost after the digits were right,
    /// its user is a member and learns of it when the two meet.
    pub async fn confirm(&self, digits: &str) -> Result<UserId, NetError> {
        match self.pending.confirm(digits).await? {
            Who::User(user) => Ok(user),
            Who::Device(_) => Err(IdentityError::OutOfTurn.into()),
        }
    }
}

impl fmt::Debug for ShareOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pending.fmt(f)
    }
}
