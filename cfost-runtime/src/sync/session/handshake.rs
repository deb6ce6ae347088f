//! Who is at the other end, and whether anything differs.

use std::collections::BTreeSet;

use super::super::limits::{ENTRY_LOGS_VERSION, HEADS_UNASKED_MAX, HELLO_BYTES_MAX, PROTOCOL_VERSION};
use super::super::message::{Heads, Hello, Message, digest_of};
use super::super::{Build, Replica, SyncError};
use super::{Event, OrFail, Session, Shared, State};
use crate::identity::{IdentityError, Standing, user_of_certificate};
use crate::oplog::{DeviceId, SpaceId, UserId};

/// What this side said of itself in its `Hello`. Both sides compare what was *said*, so that they agree
/// on whether it differs, whatever is written meanwhile.
#[derive(Debug)]
pub(super) struct Greeting {
    identity: [u8; 32],
    entries: [u8; 32],
    holds: [u8; 32],
    heads: Heads,
}

impl Session {
    /// The dialer's first flight.
    pub(super) fn greet_first(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let logs = replica.logs().or_fail("read the logs of entries")?;
        let not_authorised = || SyncError::NotAuthorised { key: hex(&self.peer_key) };
        let (user, device) = logs.users.by_transport_key(&self.peer_key).ok_or_else(not_authorised)?;
        let (standing, device) = (device.standing, device.id);
        if user != logs.users.own().user_id() && logs.told_to(user).is_nothing() {
            return Err(not_authorised());
        }
        if standing != Standing::Active {
            return Err(SyncError::Revoked { device });
        }
        if device == replica.device() {
            return Err(SyncError::OwnDevice { device });
        }
        self.dialled = Some((user, device));
        self.greet(replica, user)?;
        self.state = State::Greeting;
        let heads: usize = self.greeting.iter().flat_map(|told| told.heads.values()).map(|space| 1 + space.len()).sum();
        if heads <= HEADS_UNASKED_MAX {
            let all: BTreeSet<_> = self.spaces.keys().copied().collect();
            self.request(replica, &all)?;
        }
        Ok(())
    }

    /// Sends `Hello`, with digests of what this device shares with the devices of `peer`.
    fn greet(&mut self, replica: &dyn Replica, peer: UserId) -> Result<(), SyncError> {
        self.look_at_entries(replica, peer)?;
        self.cuts = replica.cuts();
        let told = &self.entries.told;
        let heads: Heads = replica.frontiers(told.spaces()).or_fail("read frontiers")?;
        self.spaces.extend(told.spaces().iter().map(|space| (*space, Shared::default())));
        let own = self.entries.logs().map(|logs| logs.users.own()).filter(|own| own.user_id() == peer);
        let (identity, entries) = (own.map_or([0; 32], |own| own.digest()), told.digest());
        let certificate = replica.certificate().or_fail("read this device's certificate")?;
        let hello = Hello {
            device: replica.device(),
            identity,
            holds: digest_of(&heads),
            certificate: certificate.iter().map(Vec::as_slice).collect(),
            build: Build::here(&replica.app_version()),
            entries: Some(entries),
        };
        let bytes = hello.certificate.iter().map(|entry| entry.len() + 4).sum::<usize>() + 256;
        if bytes > HELLO_BYTES_MAX {
            return Err(SyncError::TooLargeToSend { what: "certificate", bytes, max: HELLO_BYTES_MAX });
        }
        self.greeting = Some(Greeting { identity, entries, holds: hello.holds, heads });
        self.send(&Message::Hello(hello));
        Ok(())
    }

    /// The peer's `Hello`: checks who it is before anything is said to a listener's peer, then compares.
    pub(super) fn greeted(&mut self, replica: &dyn Replica, hello: &Hello<'_>) -> Result<(), SyncError> {
        // Which build a peer needs is told to the devices alone that there is any business with.
        let (user, device) = self.authenticate(replica, hello)?;
        self.peer = Some(device);
        self.peer_user = Some(user);
        self.peer_build = Some(hello.build.clone());
        self.speak(replica, user, hello)?;
        if self.state == State::Listening {
            self.greet(replica, user)?;
        }
        self.state = State::Open;
        replica.seen(device).or_fail("note that the device was seen")?;
        self.output.events.push(Event::PeerReady { user, device });

        let Some(told) = self.greeting.take() else { return Ok(()) };
        let same = hello.entries.map_or(told.identity == hello.identity, |entries| entries == told.entries);
        if same {
            self.entries.are_equal();
        } else {
            self.ask_entries();
        }
        if told.holds == hello.holds {
            self.holds_the_same(&told.heads);
        } else if !self.incoming.has_asked() {
            let all: BTreeSet<_> = self.spaces.keys().copied().collect();
            self.request(replica, &all)?;
        }
        // What was written since this side said Hello.
        self.replica_changed(replica)
    }

    /// Settles the version of the protocol that both speak.
    fn speak(&mut self, replica: &dyn Replica, user: UserId, hello: &Hello<'_>) -> Result<(), SyncError> {
        let own = replica.identity().or_fail("read the identity log")?.user_id();
        self.version = hello.build.newest.min(PROTOCOL_VERSION);
        // Before spaces were shared there was nobody to talk to but the own user's devices.
        if self.version < ENTRY_LOGS_VERSION && user != own {
            return Err(SyncError::NothingShared { user, device: hello.device });
        }
        if hello.build.outdated().is_some() {
            return Err(SyncError::Version { device: hello.device, theirs: Box::new(hello.build.clone()) });
        }
        if self.version < ENTRY_LOGS_VERSION {
            self.only_of_one_user(own);
            self.spaces.retain(|space, _| *space == SpaceId::home_of(own));
        }
        Ok(())
    }

    fn authenticate(&self, replica: &dyn Replica, hello: &Hello<'_>) -> Result<(UserId, DeviceId), SyncError> {
        let logs = replica.logs().or_fail("read the logs of entries")?;
        // Of which user the peer claims to be a device; that it is one is checked against that user's root key.
        let claimed = user_of_certificate(&hello.certificate);
        let log = claimed.and_then(|user| logs.users.get(user)).unwrap_or(logs.users.own());
        let user = log.user_id();
        let behind_key = log.known_device_by_transport_key(&self.peer_key).map(|device| device.id);
        let was_a_device = |device: DeviceId| behind_key == Some(device);
        let certified = log.authenticate(&hello.certificate, &self.peer_key).map_err(|error| match error {
            IdentityError::WrongPeer => SyncError::Impostor { claimed: hello.device, what: "connection" },
            // Whoever has another key than that device learns nothing of it.
            IdentityError::Revoked { device } if was_a_device(device) => SyncError::Revoked { device },
            source => SyncError::Stranger { source },
        })?;
        if certified.id != hello.device || self.dialled.is_some_and(|(dialled, _)| dialled != user) {
            return Err(SyncError::Impostor { claimed: hello.device, what: "certificate" });
        }
        if certified.id == replica.device() {
            return Err(SyncError::OwnDevice { device: certified.id });
        }
        if user != logs.users.own().user_id() && logs.told_to(user).is_nothing() {
            return Err(SyncError::NothingShared { user, device: certified.id });
        }
        Ok((user, certified.id))
    }

    /// The digests are equal: the peer holds what this side held when it greeted.
    fn holds_the_same(&mut self, heads: &Heads) {
        for (space, frontier) in heads {
            if let Some(shared) = self.spaces.get_mut(space) {
                shared.peer_told(frontier);
            }
        }
        self.incoming.needs_no_asking();
    }
}

fn hex(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
