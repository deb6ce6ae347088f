//! The side of the user that was invited to a space: its device dials the owner's, shows six digits, and is let in.

use std::fmt;
use std::sync::Arc;

use libp2p::Multiaddr;
use tokio::time::{Instant, timeout, timeout_at};

use super::joining::{Line, device_of, dial};
use super::limits::{PAIRING_CONFIRM_TIMEOUT, PAIRING_DIAL_TIMEOUT, PAIRING_LAST_TIMEOUT, PAIRING_STARTS_MAX};
use super::node::NodeConfig;
use super::swarm::SwarmHandle;
use super::{NetError, frame};
use crate::identity::limits::PAIRING_MESSAGE_BYTES_MAX;
use crate::identity::pairing::{Digits, GuestEvent, Papers, ShareGuest, ShareInvitation, refusal};
use crate::identity::{DeviceKeys, IdentityError, IdentityLog};

/// Follows an invitation to a space, as the user with the identity log `own`, on its device with these keys: dials the
/// owner's device, by the addresses in the invitation, those in `config` and, with [`NodeConfig::lan`], wherever it is
/// found on the LAN. Returns once the digits can be shown. Does not listen.
///
/// # Errors
/// [`NetError::InviterUnreachable`] after a minute, [`NetError::Identity`] with [`IdentityError::PairingRefused`] if the
/// invitation is used up, expired or withdrawn, what [`ShareGuest::new`] refuses, and what
/// [`Node::start`](super::Node::start) fails with.
pub async fn accept(
    config: NodeConfig,
    invitation: ShareInvitation,
    keys: &DeviceKeys,
    own: Arc<IdentityLog>,
) -> Result<Accepting, NetError> {
    tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
    let sharer = device_of(invitation.sharer_transport(), invitation.hints(), &config.addresses)?;
    let mut guest = ShareGuest::new(config.host.clone(), invitation, keys.clone(), own)?;
    let (swarm, mut opened) = dial(&config, keys, vec![sharer], 0).await?;
    let deadline = Instant::now() + PAIRING_DIAL_TIMEOUT;
    for _ in 0..PAIRING_STARTS_MAX {
        let next = timeout_at(deadline, opened.recv()).await.map_err(|_| NetError::InviterUnreachable)?;
        let mut line = Line::new(next.ok_or(NetError::Stopped)?).await?;
        let visit = guest.start(&line.peer)?;
        let Ok(challenge) = line.exchange(visit).await else {
            // The connection was lost before the digits: the swarm dials again.
            line.end("the owner's device was lost").await;
            continue;
        };
        let GuestEvent::ShowDigits(digits, introduction) = guest.receive(&challenge)? else {
            return Err(NetError::PairingInterrupted("the owner's device skipped the digits"));
        };
        let sent = timeout(PAIRING_LAST_TIMEOUT, frame::write(&mut line.stream, &introduction)).await;
        return match sent {
            Ok(Ok(())) => Ok(Accepting { guest, digits, line, _swarm: swarm }),
            _ => Err(LOST),
        };
    }
    // It is there, and hangs up: the pairing protocol is served only while an invitation is shown.
    Err(IdentityError::PairingRefused.into())
}

const LOST: NetError = NetError::PairingInterrupted("the owner's device was lost");

/// An invitation that was followed, and waits for this device's digits to be typed into the owner's. Dropping it ends
/// that.
pub struct Accepting {
    guest: ShareGuest,
    digits: Digits,
    line: Line,
    _swarm: SwarmHandle,
}

impl Accepting {
    /// The six digits to show.
    pub fn digits(&self) -> Digits {
        self.digits
    }

    /// The invitation that is followed.
    pub fn invitation(&self) -> &ShareInvitation {
        self.guest.invitation()
    }

    /// Where the owner's device was to be found, with its peer id: what [`NodeConfig::addresses`] wants.
    pub fn sharer_addresses(&self) -> Vec<Multiaddr> {
        self.line.addresses(self.guest.invitation().hints())
    }

    /// Waits until the owner has confirmed the digits, and returns all that this device has to store. Store it durably,
    /// then call [`Accepting::stored`].
    ///
    /// # Errors
    /// [`IdentityError::PairingRefused`] if the owner typed other digits or cancelled, [`NetError::PairingInterrupted`]
    /// if its device is lost or took more than five minutes, and [`NetError::Identity`] if what it sent does not hold:
    /// then nothing may be stored.
    pub async fn admitted(&mut self) -> Result<Box<Papers>, NetError> {
        let deadline = Instant::now() + PAIRING_CONFIRM_TIMEOUT;
        loop {
            let message = timeout_at(deadline, frame::read(&mut self.line.stream, PAIRING_MESSAGE_BYTES_MAX));
            let message = match message.await {
                Ok(Ok(message)) => message,
                Ok(Err(_)) => return Err(LOST),
                Err(_) => return Err(NetError::PairingInterrupted("the digits were not confirmed in time")),
            };
            match self.guest.receive(&message) {
                Ok(GuestEvent::Joined(papers)) => return Ok(papers),
                Ok(GuestEvent::Waiting) => {}
                Ok(GuestEvent::ShowDigits(..)) => return Err(IdentityError::OutOfTurn.into()),
                Err(error) => {
                    // It may be waiting for an answer.
                    let _ = self.line.send(refusal()).await;
                    return Err(error.into());
                }
            }
        }
    }

    /// Tells the owner's device that everything is stored, and ends.
    ///
    /// # Errors
    /// [`NetError::PairingInterrupted`] if that can't be told. This user is a member of the space all the same.
    pub async fn stored(mut self) -> Result<(), NetError> {
        let done = self.guest.done()?;
        self.line.last(done).await.map_err(|_| LOST)
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting").field("invitation", self.guest.invitation()).finish_non_exhaustive()
    }
}
