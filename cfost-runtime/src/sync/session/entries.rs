//! Devices, names, profiles, members: the logs of entries of both sides, brought together before any change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::limits::{
    ENTRIES_BYTES_MAX, ENTRY_LOGS_MAX, ENTRY_LOGS_VERSION, FRAME_BYTES_MAX, IDENTITY_FRAME_BYTES_TARGET,
    IDENTITY_FRAMES_FUTILE_MAX, IDENTITY_IDS_MAX,
};
use super::super::message::{LogHeads, Message, put_entries, put_identity};
use super::super::{EntryLogs, LogKey, Replica, SyncError, Told};
use super::{Event, OrFail, Session};
use crate::identity::{Entry, EntryId, SpaceEntry, Standing};
use crate::oplog::UserId;

/// What an entry takes in memory beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// What both sides know of each other's logs of entries.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// This side's logs when they were looked at last, and what of them the peer may know.
    seen: Option<Arc<EntryLogs>>,
    pub(super) told: Told,
    /// What the peer holds.
    held: BTreeMap<LogKey, Held>,
    /// The peer has everything that it lacked when it greeted; changes may follow.
    asked: bool,
    /// The peer has answered what this side asked for.
    answered: bool,
    /// Both sides held the same when they greeted.
    equal: bool,
    /// Entries that arrived and wait for the rest of their answer.
    arrived: Vec<(LogKey, Vec<u8>)>,
    arrived_bytes: usize,
    /// Frames in a row that told nothing new.
    futile: u32,
}

/// What the peer holds of one log.
#[derive(Debug, Default)]
struct Held {
    /// Entries, with all that they build on.
    ids: BTreeSet<EntryId>,
    /// The digest of this side's log when the peer was told all of it.
    level_at: Option<[u8; 32]>,
}

impl Entries {
    /// Both sides held the same when they greeted.
    pub(super) fn are_equal(&mut self) {
        (self.asked, self.answered, self.equal) = (true, true, true);
        for (key, log) in self.told.entry_logs() {
            let held = Held { ids: log.heads().into_iter().collect(), level_at: Some(log.digest()) };
            self.held.insert(key, held);
        }
    }

    /// Whether changes may be sent.
    pub(super) fn are_told(&self) -> bool {
        self.asked
    }

    /// Whether each side has told the other what it lacked.
    pub(super) fn are_exchanged(&self) -> bool {
        self.asked && self.answered
    }

    /// This side's logs as they were looked at last.
    pub(super) fn logs(&self) -> Option<&Arc<EntryLogs>> {
        self.seen.as_ref()
    }
}

impl Session {
    /// Looks at the logs as they are now, and says whether they have changed.
    pub(super) fn look_at_entries(&mut self, replica: &dyn Replica, peer: UserId) -> Result<bool, SyncError> {
        let logs = replica.logs().or_fail("read the logs of entries")?;
        if self.entries.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &logs) || seen.is_same_as(&logs)) {
            return Ok(false);
        }
        self.entries.told = match self.version {
            ENTRY_LOGS_VERSION.. => logs.told_to(peer),
            _ => logs.told_to(peer).of_one_user(logs.users.own().user_id()),
        };
        self.entries.seen = Some(logs);
        Ok(true)
    }

    /// The peer speaks a version of the protocol that knows of one user only.
    pub(super) fn only_of_one_user(&mut self, own: UserId) {
        self.entries.told = std::mem::take(&mut self.entries.told).of_one_user(own);
    }

    /// Asks for what the peer has and this side lacks.
    pub(super) fn ask_entries(&mut self) {
        let (mut have, mut bytes, mut count) = (LogHeads::new(), 0, 0);
        for (key, log) in self.entries.told.entry_logs().take(ENTRY_LOGS_MAX) {
            let mut ids: Vec<_> = log.heads().iter().map(|id| *id.as_bytes()).collect();
            ids.truncate(IDENTITY_IDS_MAX - count);
            ids.sort_unstable();
            bytes += 21 + 32 * ids.len();
            count += ids.len();
            // Of a log that isn't named the peer sends all.
            if bytes + 64 > FRAME_BYTES_MAX || count >= IDENTITY_IDS_MAX {
                break;
            }
            have.insert(key, ids);
        }
        if self.version < ENTRY_LOGS_VERSION {
            let have = have.into_values().next().unwrap_or_default();
            // In this version nobody says when all is told; changes just follow.
            self.entries.answered = true;
            self.send(&Message::RequestIdentity { have });
        } else {
            self.send(&Message::RequestEntries { have });
        }
    }

    /// The peer says what it has of the own user's identity log.
    pub(super) fn identities_asked(&mut self, replica: &dyn Replica, have: Vec<[u8; 32]>) -> Result<(), SyncError> {
        let own = self.one_user("RequestIdentity")?;
        self.entries_asked(replica, "RequestIdentity", LogHeads::from([(own, have)]))
    }

    /// The peer tells entries of the own user's identity log.
    pub(super) fn identities_told(&mut self, replica: &dyn Replica, entries: &[&[u8]]) -> Result<(), SyncError> {
        let own = self.one_user("Identity")?;
        let entries: Vec<_> = entries.iter().map(|entry| (own, *entry)).collect();
        self.entries_told(replica, false, &entries)
    }

    /// The log that the messages of the first version are about.
    fn one_user(&self, message: &'static str) -> Result<LogKey, SyncError> {
        match (self.version, &self.entries.seen) {
            (..ENTRY_LOGS_VERSION, Some(logs)) => Ok(LogKey::User(logs.users.own().user_id())),
            _ => Err(SyncError::Unexpected { message, why: "it is of an older version than is spoken" }),
        }
    }

    /// The peer says what it has: it gets the rest, and changes may follow.
    pub(super) fn entries_asked(
        &mut self,
        replica: &dyn Replica,
        message: &'static str,
        have: LogHeads,
    ) -> Result<(), SyncError> {
        if self.entries.asked {
            return Err(SyncError::Unexpected { message, why: "it was told everything already" });
        }
        self.entries.asked = true;
        for (key, ids) in have {
            self.entries.held.entry(key).or_default().ids.extend(ids.into_iter().map(EntryId::from_bytes));
        }
        self.entries_changed(replica)?;
        self.tell_entries(true);
        Ok(())
    }

    /// Sends what the peer lacks and may know.
    fn tell_entries(&mut self, is_answer: bool) {
        let Entries { told, held, .. } = &mut self.entries;
        let mut missing = Vec::new();
        for (key, log) in told.entry_logs() {
            let held = held.entry(key).or_default();
            let digest = log.digest();
            if held.level_at == Some(digest) {
                continue;
            }
            let have: Vec<EntryId> = held.ids.iter().copied().collect();
            missing.extend(log.missing_from(&have).into_iter().map(|entry| (key, entry)));
            // The heads stand for all that was known and sent; what only the peer knows stays listed.
            held.ids.retain(|id| !log.has(id));
            held.ids.extend(log.heads());
            held.level_at = Some(digest);
        }
        if self.version < ENTRY_LOGS_VERSION {
            let missing: Vec<&[u8]> = missing.into_iter().map(|(_, entry)| entry).collect();
            put_identity(&mut self.output.bytes, &missing, IDENTITY_FRAME_BYTES_TARGET);
        } else if is_answer || !missing.is_empty() {
            put_entries(&mut self.output.bytes, &missing, IDENTITY_FRAME_BYTES_TARGET);
        }
    }

    /// The peer tells entries: those that hold are learned, once all of the answer is there.
    pub(super) fn entries_told(
        &mut self,
        replica: &dyn Replica,
        more: bool,
        entries: &[(LogKey, &[u8])],
    ) -> Result<(), SyncError> {
        if more && entries.is_empty() {
            return Err(SyncError::Unexpected { message: "Entries", why: "it is a part without content" });
        }
        self.entries.arrived_bytes +=
            entries.iter().map(|(_, entry)| entry.len() + ENTRY_OVERHEAD_BYTES).sum::<usize>();
        self.entries.arrived.extend(entries.iter().map(|(key, entry)| (*key, entry.to_vec())));
        if more && self.entries.arrived_bytes < ENTRIES_BYTES_MAX {
            return Ok(());
        }
        self.entries.arrived_bytes = 0;
        let arrived = std::mem::take(&mut self.entries.arrived);
        let answers = !more && !std::mem::replace(&mut self.entries.answered, true);
        let own_device = self.entries.logs().map(|logs| logs.users.own().user_id()) == self.peer_user;
        let new = match arrived.is_empty() {
            true => 0,
            false => replica.learn(&arrived, own_device).or_fail("store entries")?,
        };
        if new == 0 {
            self.entries.futile += u32::from(!answers);
            if self.entries.futile > IDENTITY_FRAMES_FUTILE_MAX {
                return Err(SyncError::NoProgress { rounds: self.entries.futile });
            }
            return Ok(());
        }
        self.entries.futile = 0;
        let (Some(device), Some(user)) = (self.peer, self.peer_user) else { return Ok(()) };
        self.output.events.push(Event::IdentitiesLearned { user, device, entries: new });
        self.look_at_entries(replica, user)?;
        self.note_held(&arrived);
        self.follow_entries(replica)
    }

    /// What came from the peer need not go back to it. An entry that this version can't read is not known here either.
    fn note_held(&mut self, arrived: &[(LogKey, Vec<u8>)]) {
        let Entries { told, held, .. } = &mut self.entries;
        for (key, entry) in arrived.iter().filter(|(key, _)| told.log(*key).is_some()) {
            let id = match key {
                LogKey::User(_) => Entry::decode(entry).ok().map(|entry| entry.id()),
                LogKey::Space(_) => SpaceEntry::decode(entry).ok().map(|entry| entry.id()),
            };
            held.entry(*key).or_default().ids.extend(id);
        }
    }

    /// The replica may have changed: tells the peer of entries that are new, begins and ends with spaces.
    pub(super) fn entries_changed(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let Some(user) = self.peer_user else { return Ok(()) };
        if self.look_at_entries(replica, user)? { self.follow_entries(replica) } else { Ok(()) }
    }

    fn follow_entries(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        if self.entries.asked {
            self.tell_entries(false);
        }
        // An honest peer learns so what became of it.
        self.check_peer()?;
        self.spaces_changed(replica)
    }

    /// Ends the session if the peer is a device of its user no more. One that retires has said so itself, and may
    /// still give away what it holds.
    fn check_peer(&self) -> Result<(), SyncError> {
        let (Some(device), Some(user), Some(logs)) = (self.peer, self.peer_user, self.entries.logs()) else {
            return Ok(());
        };
        let standing = logs.users.get(user).and_then(|log| log.known_device(device)).map(|device| device.standing);
        match standing {
            None | Some(Standing::Active | Standing::Retired) => Ok(()),
            Some(Standing::Revoked { .. } | Standing::LeftOut | Standing::Void) => Err(SyncError::Revoked { device }),
        }
    }

    /// Ends the session once both sides have been told all, and nothing else is there to share.
    pub(super) fn check_business(&self) -> Result<(), SyncError> {
        let (Some(device), Some(user), Some(logs)) = (self.peer, self.peer_user, self.entries.logs()) else {
            return Ok(());
        };
        let is_own = logs.users.own().user_id() == user;
        if is_own || !self.entries.are_exchanged() || !self.entries.told.spaces().is_empty() {
            return Ok(());
        }
        Err(SyncError::NothingShared { user, device })
    }
}
