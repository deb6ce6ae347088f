//! Stories of devices that want in: those that should get in, and those that should not.

mod attacks;
mod card;
mod invitation;
mod share;
mod spoken;
mod stories;

use zeroize::Zeroizing;

use super::{Digits, Invitation, Inviter, InviterEvent, Joined, Joiner, JoinerEvent};
use crate::host::{Host, ManualClock};
use crate::identity::tests::{START_MS, phone_user};
use crate::identity::{Body, DeviceKeys, IdentityError, IdentityLog};
use crate::oplog::{EpochKey, SpaceId};

/// The phone of a user, showing an invitation.
struct Phone {
    clock: ManualClock,
    host: Host,
    keys: DeviceKeys,
    log: IdentityLog,
    inviter: Inviter,
}

impl Phone {
    fn new() -> Self {
        let clock = ManualClock::at(START_MS);
        let host = Host::simulated(clock.clone(), 77);
        let (_, keys, log) = phone_user(1);
        let hints = ["/ip4/192.168.1.20/tcp/4001", "/ip4/192.168.1.20/udp/4001/quic-v1"].map(String::from);
        let invitation = Invitation::create(&host, log.user_id(), &keys.public(), hints);
        let inviter = Inviter::new(host.clone(), invitation);
        Self { clock, host, keys, log, inviter }
    }

    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    /// A device that has read the invitation off the screen.
    fn reader(&self, seed: u64, name: &str) -> Laptop {
        Laptop::new(Host::simulated(self.clock.clone(), seed), &self.inviter.invitation().to_text(), name)
    }

    /// Takes a first message; the challenge to answer with.
    fn start(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let event = self.inviter.receive(peer, message)?;
        assert_eq!(event, InviterEvent::Consume(self.inviter.invitation().pairing()));
        self.inviter.consumed()
    }

    /// The user types `digits`; on success, the device is added and let in.
    fn confirm(&mut self, digits: &str) -> Result<Vec<Vec<u8>>, IdentityError> {
        let request = self.inviter.confirm(digits)?;
        let entry = self.log.author(&self.keys, Body::AddDevice(request), super::super::tests::at(60))?;
        self.log.insert(entry.as_bytes())?;
        let (space, key) = home_key(&self.log);
        self.inviter.admit(&self.log, &[(space, &key)])
    }
}

fn home_key(log: &IdentityLog) -> (SpaceId, EpochKey) {
    (SpaceId::home_of(log.user_id()), EpochKey::new(1, Zeroizing::new([42; 32])))
}

/// A device with an invitation in hand.
struct Laptop {
    keys: DeviceKeys,
    joiner: Joiner,
}

impl Laptop {
    fn new(host: Host, text: &str, name: &str) -> Self {
        let keys = DeviceKeys::generate(&host);
        let invitation = Invitation::from_text(text).expect("as it was shown");
        let joiner = Joiner::new(host, invitation, keys.clone(), name).expect("a fresh invitation");
        Self { keys, joiner }
    }

    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    fn digits(&mut self, challenge: &[u8]) -> Result<Digits, IdentityError> {
        match self.joiner.receive(challenge)? {
            JoinerEvent::ShowDigits(digits) => Ok(digits),
            _ => panic!("a challenge is answered by digits"),
        }
    }

    fn admitted(&mut self, messages: &[Vec<u8>]) -> Result<Joined, IdentityError> {
        for message in messages {
            if let JoinerEvent::Joined(joined) = self.joiner.receive(message)? {
                return Ok(*joined);
            }
        }
        panic!("the admission is complete");
    }
}

/// Promise: both machines can be driven by a task that moves between threads.
#[test]
fn the_machines_can_be_sent_to_another_thread() {
    fn can_be_sent<T: Send + Sync>() {}
    can_be_sent::<Inviter>();
    can_be_sent::<Joiner>();
    can_be_sent::<IdentityLog>();
}

/// Six digits that are not `digits`.
fn other_than(digits: Digits) -> String {
    let shown = digits.to_string();
    let last = if shown.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &shown[..shown.len() - 1])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
