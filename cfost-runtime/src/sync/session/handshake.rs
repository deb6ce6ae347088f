//! Who is at the other end, and whether anything differs.

use std::collections::BTreeSet;

use super::super::limits::{HEADS_UNASKED_MAX, HELLO_BYTES_MAX};
use super::super::message::{Heads, Hello, Message, digest_of};
use super::super::{Build, Replica, SyncError};
use super::{Event, OrFail, Session, Shared, State};
use crate::identity::{IdentityError, Standing};
use crate::oplog::DeviceId;

/// What this side said of itself in its `Hello`. Both sides compare what was *said*, so that they agree
/// on whether it differs, whatever is written meanwhile.
#[derive(Debug)]
pub(super) struct Greeting {
    identity: [u8; 32],
    holds: [u8; 32],
    heads: Heads,
}

impl Session {
    /// The dialer's first flight.
    pub(super) fn greet_first(&mut self, replica: &dyn Replica) -> Result<(), SyncError> {
        let identity = replica.identity().or_fail("read the identity log")?;
        let device = identity
            .known_device_by_transport_key(&self.peer_key)
            .ok_or_else(|| SyncError::NotAuthorised { key: hex(&self.peer_key) })?;
        if device.standing != Standing::Active {
            return Err(SyncError::Revoked { device: device.id });
        }
        if device.id == replica.device() {
            return Err(SyncError::OwnDevice { device: device.id });
        }
        let device = device.id;
        self.dialled = Some(device);
        self.greet(replica, device)?;
        self.state = State::Greeting;
        let heads: usize = self.greeting.iter().flat_map(|told| told.heads.values()).map(|space| space.len()).sum();
        if heads <= HEADS_UNASKED_MAX {
            let all: BTreeSet<_> = self.spaces.keys().copied().collect();
            self.request(replica, &all)?;
        }
        Ok(())
    }

    /// Sends `Hello`, with digests of what this device shares with `peer`.
    fn greet(&mut self, replica: &dyn Replica, peer: DeviceId) -> Result<(), SyncError> {
        let identity = replica.identity().or_fail("read the identity log")?;
        self.cuts = replica.cuts();
        let mut heads = Heads::new();
        for space in replica.spaces(peer).or_fail("list the shared spaces")? {
            heads.insert(space, replica.frontier(space).or_fail("read a frontier")?);
            self.spaces.entry(space).or_default();
        }
        let certificate = replica.certificate().or_fail("read this device's certificate")?;
        let hello = Hello {
            device: replica.device(),
            identity: identity.digest(),
            holds: digest_of(&heads),
            certificate: certificate.iter().map(Vec::as_slice).collect(),
            build: Build::here(&replica.app_version()),
        };
        let bytes = hello.certificate.iter().map(|entry| entry.len() + 4).sum::<usize>() + 256;
        if bytes > HELLO_BYTES_MAX {
            return Err(SyncError::TooLargeToSend { what: "certificate", bytes, max: HELLO_BYTES_MAX });
        }
        self.identities.said(&identity);
        self.greeting = Some(Greeting { identity: hello.identity, holds: hello.holds, heads });
        self.send(&Message::Hello(hello));
        Ok(())
    }

    /// The peer's `Hello`: checks who it is before anything is said to a listener's peer, then compares.
    pub(super) fn greeted(&mut self, replica: &dyn Replica, hello: &Hello<'_>) -> Result<(), SyncError> {
        // Which build a peer needs is told to the user's devices alone.
        let device = self.authenticate(replica, hello)?;
        self.peer = Some(device);
        self.peer_build = Some(hello.build.clone());
        if hello.build.outdated().is_some() {
            return Err(SyncError::Version { device, theirs: Box::new(hello.build.clone()) });
        }
        if self.state == State::Listening {
            self.greet(replica, device)?;
        }
        self.state = State::Open;
        replica.seen(device).or_fail("note that the device was seen")?;
        self.output.events.push(Event::PeerReady { device });

        let Some(told) = self.greeting.take() else { return Ok(()) };
        if told.identity != hello.identity {
            self.ask_identities(replica)?;
        } else {
            self.identities.are_equal();
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

    fn authenticate(&self, replica: &dyn Replica, hello: &Hello<'_>) -> Result<DeviceId, SyncError> {
        let identity = replica.identity().or_fail("read the identity log")?;
        let behind_key = identity.known_device_by_transport_key(&self.peer_key).map(|device| device.id);
        let was_a_device = |device: DeviceId| behind_key == Some(device);
        let certified = identity.authenticate(&hello.certificate, &self.peer_key).map_err(|error| match error {
            IdentityError::WrongPeer => SyncError::Impostor { claimed: hello.device, what: "connection" },
            // Whoever has another key than that device learns nothing of it.
            IdentityError::Revoked { device } if was_a_device(device) => SyncError::Revoked { device },
            source => SyncError::Stranger { source },
        })?;
        if certified.id != hello.device {
            return Err(SyncError::Impostor { claimed: hello.device, what: "certificate" });
        }
        if certified.id == replica.device() {
            return Err(SyncError::OwnDevice { device: certified.id });
        }
        Ok(certified.id)
    }

    /// The digests are equal: the peer holds what this side held when it greeted.
    fn holds_the_same(&mut self, heads: &Heads) {
        for (space, frontier) in heads {
            let shared: &mut Shared = self.spaces.entry(*space).or_default();
            shared.peer_told(frontier);
        }
        self.incoming.needs_no_asking();
    }
}

fn hex(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
