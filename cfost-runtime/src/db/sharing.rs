//! Inviting another user to a space over the network, and following such an invitation.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::Db;
use super::node::{Node, SyncOptions};
use super::pairing::consume;
use super::spaces::Space;
use crate::error::{Error, Result};
use crate::identity::pairing::{Digits, PairingId, ShareInvitation, Visitor};
use crate::identity::{IdentityError, Role};
use crate::net::{self, ShareOffer, Welcome, Welcomer};
use crate::oplog::SpaceId;
use crate::store::Store;
use crate::sync::ReplicaError;

impl Node {
    /// Invites another user to the space that the row with this id is, as a writer or a reader: show the invitation as
    /// QR code or text, wait for the user's device, and type the digits that it shows into [`ShareOffer::confirm`].
    /// Only the owner of the space can.
    ///
    /// # Errors
    /// [`IdentityError::NotMember`], [`IdentityError::NotOwner`], [`IdentityError::OwnerInvited`];
    /// [`NetError::PairingBusy`](net::NetError::PairingBusy) while another invitation is open.
    pub async fn invite_to(&self, row: Uuid, role: Role) -> Result<ShareOffer> {
        let store = Arc::clone(self.store());
        let space = Space::of_row(&store, row)?.to_invite_to()?;
        let welcomer = Arc::new(StoreWelcomer { store, space, role });
        Ok(self.net().invite_to(space, role, welcomer).await?)
    }
}

impl SyncOptions {
    /// Follows another user's invitation to a space, by its text. Returns once the digits can be shown, for the owner
    /// of the space to type them in there.
    ///
    /// # Errors
    /// [`IdentityError`] for a text that is no such invitation, an expired one, or one that is refused;
    /// [`NetError`](net::NetError) when the owner's device can't be reached;
    /// [`Error::LoggedOut`].
    pub async fn accept(self, invitation: &str) -> Result<Accepting> {
        let invitation = ShareInvitation::from_text(invitation)?;
        let (db, config) = self.into_parts();
        let (keys, own) = (db.store.device_keys()?, db.store.identity()?);
        if !own.is_device(keys.id()) {
            return Err(IdentityError::Revoked { device: keys.id() }.into());
        }
        let accepting = net::accept(config, invitation, &keys, own).await?;
        Ok(Accepting { db, accepting })
    }
}

/// An invitation to a space that was followed, and waits for its digits to be typed into the owner's device. Dropping it
/// ends it.
pub struct Accepting {
    db: Db,
    accepting: net::Accepting,
}

impl Accepting {
    /// The six digits to show.
    pub fn digits(&self) -> Digits {
        self.accepting.digits()
    }

    /// Waits until the digits have been typed into the owner's device. The user of this database is then a member of
    /// the space; its rows come with the next sync.
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`] if they were other digits,
    /// [`NetError::PairingInterrupted`](net::NetError::PairingInterrupted) if the device was lost.
    pub async fn finish(mut self) -> Result<Space> {
        let papers = self.accepting.admitted().await?;
        let space = self.db.enter(&papers)?;
        let addresses: Vec<_> = self.accepting.sharer_addresses().iter().map(ToString::to_string).collect();
        self.db.store.remember_addresses(papers.sharer.id, &addresses)?;
        if let Err(error) = self.accepting.stored().await {
            tracing::warn!(%error, "this user is in the space, but the owner's device could not be told");
        }
        Ok(space)
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.accepting.fmt(f)
    }
}

/// Lets a user into one space, for the network.
struct StoreWelcomer {
    store: Arc<Store>,
    space: SpaceId,
    role: Role,
}

impl Welcomer for StoreWelcomer {
    fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError> {
        Ok(consume(&self.store, pairing)?)
    }

    fn welcome(&self, visitor: Visitor) -> Result<Welcome, ReplicaError> {
        self.store.welcome(self.space, &visitor.log, self.role)?;
        let logs = self.store.entry_logs()?;
        let user = visitor.log.user_id();
        let not_in = || Error::from(IdentityError::NotMember { space: self.space, user });
        let log = logs.spaces.get(&self.space).cloned().ok_or_else(not_in)?;
        Ok(Welcome { log, users: logs.users })
    }
}
