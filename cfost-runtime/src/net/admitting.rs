//! The authorised device's side of a pairing by card: it dials the new device that shows the code, the user types its
//! digits, the device is let in.

use std::fmt;
use std::sync::Arc;

use libp2p::Multiaddr;
use tokio::time::{Instant, timeout, timeout_at};

use super::inviting::{Admitter, blocking};
use super::joining::{Line, device_of, dial};
use super::limits::{PAIRING_DIAL_TIMEOUT, PAIRING_LAST_TIMEOUT, PAIRING_STARTS_MAX};
use super::node::{LocalChanged, NodeConfig};
use super::swarm::{ReportKind, SwarmHandle};
use super::{NetError, frame};
use crate::identity::limits::PAIRING_MESSAGE_BYTES_MAX;
use crate::identity::pairing::{CardReader, ReaderEvent, refusal};
use crate::identity::{DeviceKeys, IdentityError};
use crate::oplog::DeviceId;

/// A new device that shows its digits, and waits for them to be typed in here. Dropping it ends the pairing.
pub struct Admitting {
    reader: CardReader,
    line: Line,
    admitter: Arc<dyn Admitter>,
    changed: LocalChanged,
    _swarm: SwarmHandle,
}

/// Dials the device that shows the card of `reader`, up to the digits that it shows.
pub(super) async fn admit(
    config: NodeConfig,
    mut reader: CardReader,
    keys: &DeviceKeys,
    admitter: Arc<dyn Admitter>,
    changed: LocalChanged,
) -> Result<Admitting, NetError> {
    let bearer = device_of(reader.card().bearer_transport(), reader.card().hints(), &config.addresses)?;
    let (swarm, mut opened) = dial(&config, keys, vec![bearer], 0).await?;
    let deadline = Instant::now() + PAIRING_DIAL_TIMEOUT;
    for _ in 0..PAIRING_STARTS_MAX {
        let next = timeout_at(deadline, opened.recv()).await.map_err(|_| NetError::BearerUnreachable)?;
        let mut line = Line::new(next.ok_or(NetError::Stopped)?).await?;
        let call = reader.start(&line.peer)?;
        let Ok(answer) = line.exchange(call).await else {
            // The connection was lost before the digits were shown: the swarm dials again.
            line.end("the new device was lost").await;
            continue;
        };
        return match reader.receive(&answer)? {
            ReaderEvent::AskDigits => Ok(Admitting { reader, line, admitter, changed, _swarm: swarm }),
            ReaderEvent::Confirmed(_) | ReaderEvent::Joined(_) => {
                Err(NetError::PairingInterrupted("the new device skipped the digits"))
            }
        };
    }
    // It is there, and hangs up: the card is not shown any more.
    Err(IdentityError::PairingRefused.into())
}

impl Admitting {
    /// Lets the new device in, if `digits` are those that it shows; spaces and hyphens don't matter. Returns once the
    /// device has stored everything.
    ///
    /// # Errors
    /// [`IdentityError::DigitsForm`] and [`IdentityError::WrongDigits`], after which the user may try again;
    /// [`IdentityError::ConfirmationFailed`] after the third wrong try and [`IdentityError::PairingRefused`] if the new
    /// device gave up, which end the pairing; [`NetError::Replica`] if the database fails;
    /// [`NetError::PairingInterrupted`] if the device is lost. If that happens after the digits were right, the device
    /// is in the identity log and may or may not know it.
    pub async fn confirm(&mut self, digits: &str) -> Result<DeviceId, NetError> {
        let tried = self.reader.confirm(digits)?;
        let outcome = self.judge(tried).await;
        if !matches!(outcome, Ok(_) | Err(NetError::Identity(IdentityError::WrongDigits { .. }))) {
            self.reader.cancel();
            let _ = timeout(PAIRING_LAST_TIMEOUT, frame::write(&mut self.line.stream, &[refusal()])).await;
            self.line.report(ReportKind::Ended("the new device was not let in".into())).await;
        }
        outcome
    }

    async fn judge(&mut self, tried: Vec<u8>) -> Result<DeviceId, NetError> {
        let lost = NetError::PairingInterrupted("the new device was lost");
        let Ok(answer) = self.line.exchange(tried).await else { return Err(lost) };
        let ReaderEvent::Confirmed(request) = self.reader.receive(&answer)? else {
            return Err(IdentityError::OutOfTurn.into());
        };
        let admitter = Arc::clone(&self.admitter);
        let admission = blocking(move || admitter.admit(*request)).await?;
        // The other devices are to know the new one before it calls them.
        self.changed.notify_identity();
        let keys: Vec<_> = admission.space_keys.iter().map(|(space, key)| (*space, key)).collect();
        let messages = self.reader.admit(&admission.log, &keys)?;
        let done = timeout(PAIRING_LAST_TIMEOUT, async {
            frame::write(&mut self.line.stream, &messages).await?;
            frame::read(&mut self.line.stream, PAIRING_MESSAGE_BYTES_MAX).await
        });
        let Ok(Ok(done)) = done.await else { return Err(lost) };
        let ReaderEvent::Joined(device) = self.reader.receive(&done)? else {
            return Err(IdentityError::OutOfTurn.into());
        };
        self.line.report(ReportKind::Ended("the pairing is done".into())).await;
        Ok(device)
    }

    /// Where the new device was to be found, with its peer id: what [`NodeConfig::addresses`] wants.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.line.addresses(self.reader.card().hints())
    }
}

impl fmt::Debug for Admitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitting").finish_non_exhaustive()
    }
}
