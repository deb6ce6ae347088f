//! Devices, names and profiles: the identity logs of both sides, brought together before any change.

use std::collections::BTreeSet;

use super::super::limits::{IDENTITY_FRAME_BYTES_TARGET, IDENTITY_FRAMES_FUTILE_MAX, IDENTITY_IDS_MAX};
use super::super::message::{Message, put_identity};
use super::super::{Replica, SyncError};
use super::{Event, OrFail, Session};
use crate::identity::{Entry, EntryId, IdentityLog, Standing};

/// What both sides know of each other's identity log.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// The digest of this side's log when it was looked at last.
    digest: [u8; 32],
    /// Entries that the peer holds, with all that they build on.
    held: BTreeSet<EntryId>,
    /// The peer has everything that it lacked when it greeted; changes may follow.
    told: bool,
    /// `Identity` frames in a row that told nothing new.
    futile: u32,
}

impl Identities {
    /// This side has just told the digest of `log`.
    pub(super) fn said(&mut self, log: &IdentityLog) {
        self.digest = log.digest();
        self.held = log.heads().collect();
    }

    /// The peer's log was the same when it greeted.
    pub(super) fn are_equal(&mut self) {
        self.told = true;
    }

    /// Whether changes may be sent.
    pub(super) fn are_told(&self) -> bool {
        self.told
    }
}

impl Session {
    /// Asks for what the peer has and this side lacks.
    pub(super) fn ask_identities(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let log = replica.identity().or_fail("read the identity log")?;
        let mut have: Vec<_> = log.heads().take(IDENTITY_IDS_MAX).map(|id| *id.as_bytes()).collect();
        have.sort_unstable();
        self.send(&Message::RequestIdentity { have });
        Ok(())
    }

    /// The peer says what it has: it gets the rest, and changes may follow.
    pub(super) fn identities_asked(&mut self, replica: &dyn Replica, have: Vec<[u8; 32]>) -> Result<(), SyncError> {
        if self.identities.told {
            return Err(SyncError::Unexpected { message: "RequestIdentity", why: "it was told everything already" });
        }
        self.identities.told = true;
        self.identities.held = have.into_iter().map(EntryId::from_bytes).collect();
        self.tell_identities(replica)
    }

    /// Sends what the peer lacks.
    fn tell_identities(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let log = replica.identity().or_fail("read the identity log")?;
        self.identities.digest = log.digest();
        let have: Vec<EntryId> = self.identities.held.iter().copied().collect();
        let missing: Vec<&[u8]> = log.missing_from(&have).into_iter().map(Entry::as_bytes).collect();
        put_identity(&mut self.output.bytes, &missing, IDENTITY_FRAME_BYTES_TARGET);
        // The heads stand for all that was known and sent; what only the peer knows stays listed.
        self.identities.held.retain(|id| log.entry(id).is_none());
        self.identities.held.extend(log.heads());
        Ok(())
    }

    /// The peer tells entries: those that hold are learned.
    pub(super) fn identities_told(&mut self, replica: &dyn Replica, entries: &[&[u8]]) -> Result<(), SyncError> {
        let entries: Vec<Vec<u8>> = entries.iter().map(|entry| entry.to_vec()).collect();
        let new = replica.learn_identity(&entries).or_fail("store identity entries")?;
        if new == 0 {
            self.identities.futile += 1;
            if self.identities.futile > IDENTITY_FRAMES_FUTILE_MAX {
                return Err(SyncError::NoProgress { rounds: self.identities.futile });
            }
            return Ok(());
        }
        self.identities.futile = 0;
        self.check_peer(replica)?;
        // What came from the peer need not go back to it. An entry that this version can't read is
        // not known here either.
        self.identities
            .held
            .extend(entries.iter().filter_map(|entry| Entry::decode(entry).ok()).map(|entry| entry.id()));
        if let Some(device) = self.peer {
            self.output.events.push(Event::IdentitiesLearned { device, entries: new });
        }
        Ok(())
    }

    /// The replica changed: tells the peer of entries that are new.
    pub(super) fn identities_changed(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let log = replica.identity().or_fail("read the identity log")?;
        if self.identities.told && log.digest() != self.identities.digest {
            self.tell_identities(replica)?;
        }
        // An honest peer learns so what became of it.
        self.check_peer(replica)
    }

    /// Ends the session if the peer is a device of the user no more. One that retires has said so itself, and may
    /// still give away what it holds.
    fn check_peer(&self, replica: &dyn Replica) -> Result<(), SyncError> {
        let Some(device) = self.peer else { return Ok(()) };
        let log = replica.identity().or_fail("read the identity log")?;
        match log.known_device(device).map(|device| device.standing) {
            None | Some(Standing::Active | Standing::Retired) => Ok(()),
            Some(Standing::Revoked { .. } | Standing::LeftOut | Standing::Void) => Err(SyncError::Revoked { device }),
        }
    }
}
