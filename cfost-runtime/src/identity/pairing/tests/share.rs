//! Stories of users who are invited to a space, and of those who were not.

use std::sync::Arc;

use proptest::prelude::*;

use super::{hex, other_than};
use crate::host::{Host, ManualClock};
use crate::identity::limits::{
    CONFIRMATION_MS_MAX, INVITATION_CLOCK_ERROR_MS, INVITATION_MS, PAIRING_MESSAGE_BYTES_MAX,
};
use crate::identity::pairing::shown::Code as _;
use crate::identity::pairing::{
    Card, Digits, GuestEvent, Invitation, Papers, ShareGuest, ShareInvitation, Sharer, SharerEvent, refusal,
};
use crate::identity::tests::{START_MS, at, author, phone_user};
use crate::identity::{Body, DeviceKeys, Frontiers, IdentityError, IdentityLog, Role, SpaceBody, SpaceLog, Users};

/// The owner of a space, showing an invitation to it.
struct Owner {
    clock: ManualClock,
    keys: DeviceKeys,
    users: Users,
    log: SpaceLog,
    sharer: Sharer,
}

impl Owner {
    fn new() -> Self {
        let clock = ManualClock::at(START_MS);
        let host = Host::simulated(clock.clone(), 80);
        let (_, keys, identity) = phone_user(1);
        let (log, _) = SpaceLog::found(&host, &identity, &keys, at(10)).expect("a device of the founder");
        let hints = ["/ip4/192.168.1.20/tcp/4001".to_owned()];
        let (space, user) = (log.space(), identity.user_id());
        let invitation = ShareInvitation::create(&host, (space, Role::Writer), user, &keys.public(), hints);
        let sharer = Sharer::new(host, invitation);
        Self { clock, keys, users: Users::new(Arc::new(identity)), log, sharer }
    }

    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    /// Somebody who has read the invitation off the screen, on a device of a user of its own.
    fn reader(&self, seed: u8) -> Guest {
        let (_, keys, identity) = phone_user(seed);
        self.reader_with(keys, identity)
    }

    fn reader_with(&self, keys: DeviceKeys, identity: IdentityLog) -> Guest {
        let invitation = ShareInvitation::from_text(&self.sharer.invitation().to_text()).expect("as it was shown");
        let host = Host::simulated(self.clock.clone(), 81);
        let own = Arc::new(identity);
        let guest = ShareGuest::new(host, invitation, keys.clone(), own.clone()).expect("a fresh invitation");
        Guest { keys, own, guest }
    }

    /// Takes a first message; the challenge to answer with.
    fn start(&mut self, peer: &[u8; 32], message: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let event = self.sharer.receive(peer, message)?;
        assert_eq!(event, SharerEvent::Consume(self.sharer.invitation().pairing()));
        self.sharer.consumed()
    }

    /// From the first message of a guest to the digits that it shows.
    fn meet(&mut self, guest: &mut Guest) -> Result<Digits, IdentityError> {
        let visit = guest.guest.start(&self.transport())?;
        let challenge = self.start(&guest.transport(), &visit)?;
        let GuestEvent::ShowDigits(digits, introduction) = guest.guest.receive(&challenge)? else {
            panic!("a challenge is answered by digits");
        };
        let (last, first) = introduction.split_last().expect("somebody");
        for part in first {
            assert_eq!(self.sharer.receive(&guest.transport(), part)?, SharerEvent::Waiting);
        }
        assert_eq!(self.sharer.receive(&guest.transport(), last)?, SharerEvent::AskDigits);
        Ok(digits)
    }

    /// The user types `digits`; on success, the guest's user is made a member and let in.
    fn confirm(&mut self, digits: &str) -> Result<Vec<Vec<u8>>, IdentityError> {
        let visitor = self.sharer.confirm(digits)?;
        let root = visitor.log.root();
        self.users.put(Arc::new(visitor.log));
        let body = SpaceBody::Member { root, role: self.sharer.invitation().role(), counted: Frontiers::new() };
        let entry = self.log.author(&self.users, &self.keys, body, at(60))?;
        self.log.insert(entry.as_bytes())?;
        self.sharer.admit(&self.log, &self.users)
    }
}

/// A user with an invitation in hand.
struct Guest {
    keys: DeviceKeys,
    own: Arc<IdentityLog>,
    guest: ShareGuest,
}

impl Guest {
    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    fn admitted(&mut self, messages: &[Vec<u8>]) -> Result<Papers, IdentityError> {
        for message in messages {
            if let GuestEvent::Joined(papers) = self.guest.receive(message)? {
                return Ok(*papers);
            }
        }
        panic!("the admission is complete");
    }
}

/// Promise: scan, compare six digits, done: another user is a member of the space, with all devices, and knows who
/// else is; its devices stay its own, and it learns nothing of the owner's other devices' keys.
#[test]
fn another_user_is_let_into_a_space_by_code_and_digits() {
    let mut owner = Owner::new();
    let mut guest = owner.reader(2);
    let digits = owner.meet(&mut guest).expect("the right code");
    let visitor = owner.sharer.visitor().expect("it waits");
    assert_eq!((visitor.log.user_id(), visitor.device.id), (guest.own.user_id(), guest.keys.id()));

    let messages = owner.confirm(&digits.to_string()).expect("the right digits");
    let papers = guest.admitted(&messages).expect("all of it");
    let done = guest.guest.done().expect("after storing");
    let user = guest.own.user_id();
    assert_eq!(owner.sharer.receive(&guest.transport(), &done), Ok(SharerEvent::Joined(user)));
    assert!(owner.sharer.is_closed());

    assert_eq!(papers.role, Role::Writer);
    assert_eq!(papers.log.digest(), owner.log.digest());
    assert_eq!(papers.sharer.id, owner.keys.id());
    let members: Vec<_> = papers.log.members(&papers.users).iter().map(|(_, role)| role).collect();
    assert_eq!(members.len(), 2);
    assert_eq!(papers.log.members(&papers.users).owner(), Some(owner.users.own().user_id()));
    assert!(!owner.users.own().is_device(guest.keys.id()), "it is no device of the owner");
}

/// Promise: a user with a long history can be invited: what does not fit one message takes several, both ways.
#[test]
fn a_long_identity_log_takes_several_messages() {
    let mut owner = Owner::new();
    let (_, keys, mut identity) = phone_user(2);
    for number in 0..12 {
        author(&mut identity, &keys, Body::Unknown { kind: 99, bytes: vec![number; 20_000] }, 10 + u64::from(number));
    }
    let mut guest = owner.reader_with(keys, identity);
    let digits = owner.meet(&mut guest).expect("the right code");
    let messages = owner.confirm(&digits.to_string()).expect("the right digits");
    assert!(messages.len() > 3 && messages.iter().all(|message| message.len() <= PAIRING_MESSAGE_BYTES_MAX));
    guest.admitted(&messages).expect("all of it");
}

/// Promise: a photograph of the code is worth nothing. The thief is faster than who was invited and knows the secret;
/// but the one who was invited, refused, shows no digits, and whatever the owner types is not what the thief sees.
#[test]
fn a_photographed_invitation_lets_nobody_in() {
    let mut owner = Owner::new();
    let mut thief = owner.reader(66);
    let mut guest = owner.reader(2);
    let seen_by_thief = owner.meet(&mut thief).expect("the secret is right");
    assert_eq!(owner.meet(&mut guest).err(), Some(IdentityError::InvitationUsed));
    assert!(matches!(guest.guest.receive(&refusal()), Err(IdentityError::PairingRefused)));
    for tries_left in [2, 1] {
        let wrong = Err(IdentityError::WrongDigits { tries_left });
        assert_eq!(owner.confirm(&other_than(seen_by_thief)), wrong);
    }
    assert_eq!(owner.confirm(&other_than(seen_by_thief)), Err(IdentityError::ConfirmationFailed));
    assert_eq!(owner.confirm(&seen_by_thief.to_string()), Err(IdentityError::OutOfTurn), "too late even if right");
    assert_eq!(owner.log.members(&owner.users).iter().count(), 1);
}

/// Promise: a wrong code lets nobody in, and does not use up the right one; an expired one is worth nothing; one that
/// was used is good for nobody else.
#[test]
fn wrong_expired_and_used_invitations_are_refused() {
    const PAIRING: std::ops::Range<usize> = 66..82;
    const SECRET: std::ops::Range<usize> = 82..98;
    let mut owner = Owner::new();
    for (field, refused) in [(SECRET, IdentityError::WrongSecret), (PAIRING, IdentityError::InvitationUnknown)] {
        let mut bytes = owner.sharer.invitation().to_bytes();
        bytes[field].iter_mut().for_each(|byte| *byte ^= 0x55);
        let forged = ShareInvitation::from_bytes(&bytes).expect("still follows the format");
        let (_, keys, identity) = phone_user(66);
        let host = Host::simulated(owner.clock.clone(), 66);
        let mut guest = ShareGuest::new(host, forged, keys.clone(), Arc::new(identity)).expect("fresh");
        let visit = guest.start(&owner.transport()).expect("the right phone");
        assert_eq!(owner.sharer.receive(&keys.public().transport, &visit), Err(refused));
    }
    let mut guest = owner.reader(2);
    owner.meet(&mut guest).expect("the right code");
    owner.sharer.lost(&[9; 32]);
    assert!(!owner.sharer.is_closed(), "somebody else's connection does not matter");
    owner.sharer.lost(&guest.transport());
    assert_eq!(owner.meet(&mut Owner::new().reader(3)).err(), Some(IdentityError::InvitationUsed));

    let mut owner = Owner::new();
    let mut guest = owner.reader(2);
    let visit = guest.guest.start(&owner.transport()).expect("the right phone");
    owner.clock.advance(INVITATION_MS);
    let expired = IdentityError::InvitationExpired;
    assert_eq!(owner.start(&guest.transport(), &visit), Err(expired.clone()));
    owner.clock.advance(INVITATION_CLOCK_ERROR_MS);
    let (_, keys, identity) = phone_user(2);
    let host = Host::simulated(owner.clock.clone(), 2);
    let late = ShareGuest::new(host, owner.sharer.invitation().clone(), keys, Arc::new(identity));
    assert_eq!(late.err(), Some(expired));

    let mut owner = Owner::new();
    let digits = owner.meet(&mut owner.reader(2)).expect("in time");
    owner.clock.advance(CONFIRMATION_MS_MAX);
    assert_eq!(owner.confirm(&digits.to_string()), Err(IdentityError::ConfirmationExpired));
}

/// Promise: who a guest is was fixed before it knew the digits, and is what it says: another log than the announced
/// one, a longer one, and somebody else's are refused, and that ends the pairing.
#[test]
fn a_guest_is_who_it_said_it_is() {
    let begin = || {
        let mut owner = Owner::new();
        let mut guest = owner.reader(2);
        let visit = guest.guest.start(&owner.transport()).expect("the right phone");
        let challenge = owner.start(&guest.transport(), &visit).expect("the right code");
        let Ok(GuestEvent::ShowDigits(_, parts)) = guest.guest.receive(&challenge) else { panic!("digits") };
        (owner, guest.transport(), parts)
    };
    let (mut owner, peer, parts) = begin();
    let mut altered = parts[0].clone();
    *altered.last_mut().expect("some bytes") ^= 1;
    assert_eq!(owner.sharer.receive(&peer, &altered), Err(IdentityError::WrongSecret));
    assert!(owner.sharer.is_closed());
    let (mut owner, peer, parts) = begin();
    let longer = [parts[0].as_slice(), &[0]].concat();
    assert!(matches!(owner.sharer.receive(&peer, &longer), Err(IdentityError::Malformed { .. })));
    let (mut owner, peer, _) = begin();
    assert!(owner.sharer.receive(&peer, &[13]).is_err(), "an empty part");

    // Somebody else's log, on a connection of a device that is not in it.
    let mut owner = Owner::new();
    let (_, _, other) = phone_user(3);
    let (_, keys, _) = phone_user(2);
    let own = Arc::new(other);
    let host = Host::simulated(owner.clock.clone(), 2);
    let refused = ShareGuest::new(host, owner.sharer.invitation().clone(), keys.clone(), own.clone());
    assert_eq!(refused.err(), Some(IdentityError::UnknownDevice { device: keys.id() }));
    let mut impostor = owner.reader(3);
    let mallory = phone_user(66).1.public().transport;
    let visit = impostor.guest.start(&owner.transport()).expect("the right phone");
    assert_eq!(owner.start(&mallory, &visit), Err(IdentityError::WrongSecret), "passed on by somebody");
}

/// Promise: what a guest is told is believed only if it holds: the members log of that very space, with the guest and
/// the one that invited in it.
#[test]
fn an_owner_that_lies_is_not_believed() {
    let mut owner = Owner::new();
    let mut guest = owner.reader(2);
    let digits = owner.meet(&mut guest).expect("the right code");
    let visitor = owner.sharer.confirm(&digits.to_string()).expect("the right digits");
    let not_in = IdentityError::NotMember { space: owner.log.space(), user: visitor.log.user_id() };
    assert_eq!(owner.sharer.admit(&owner.log, &owner.users), Err(not_in), "make it a member first");

    // Another space of the same owner, in the place of the one that the code names.
    let host = Host::simulated(owner.clock.clone(), 90);
    let (mut other, _) = SpaceLog::found(&host, owner.users.own(), &owner.keys, at(20)).expect("a device");
    owner.users.put(Arc::new(visitor.log.clone()));
    let body = SpaceBody::Member { root: visitor.log.root(), role: Role::Writer, counted: Frontiers::new() };
    let entry = other.author(&owner.users, &owner.keys, body, at(30)).expect("the owner");
    other.insert(entry.as_bytes()).expect("it holds");
    let messages = owner.sharer.admit(&other, &owner.users).expect("sealed");
    assert!(matches!(guest.admitted(&messages), Err(IdentityError::WrongSpace { .. })));
}

/// Promise: nobody follows an own invitation, nothing is said to the wrong peer, and steps can't be taken out of order.
#[test]
fn steps_out_of_turn_are_refused() {
    let mut owner = Owner::new();
    let (_, keys, identity) = phone_user(1);
    let host = Host::simulated(owner.clock.clone(), 2);
    let own = ShareGuest::new(host, owner.sharer.invitation().clone(), keys, Arc::new(identity));
    assert_eq!(own.err(), Some(IdentityError::OwnSpace));
    let mut guest = owner.reader(2);
    assert_eq!(guest.guest.start(&[9; 32]), Err(IdentityError::WrongPeer));
    assert_eq!(guest.guest.done(), Err(IdentityError::OutOfTurn));
    assert_eq!(owner.sharer.consumed(), Err(IdentityError::OutOfTurn));
    assert_eq!(owner.sharer.confirm("123456").err(), Some(IdentityError::OutOfTurn));
    let visit = guest.guest.start(&owner.transport()).expect("the right phone");
    owner.start(&guest.transport(), &visit).expect("the right code");
    let early = owner.sharer.confirm("123456").err();
    assert_eq!(early, Some(IdentityError::OutOfTurn), "it has not said who it is");
    assert!(owner.sharer.admit(&owner.log, &owner.users).is_err());
    owner.sharer.cancel();
    assert!(owner.sharer.is_closed());
}

/// Promise: each kind of code is refused in the place of another, and the error says where it belongs.
#[test]
fn an_invitation_to_a_space_is_no_invitation_of_a_device() {
    let owner = Owner::new();
    let text = owner.sharer.invitation().to_text();
    for refused in [Invitation::from_text(&text).err(), Card::from_text(&text).err()] {
        let refused = refused.expect("another kind").to_string();
        assert!(refused.contains("accept it there"), "{refused}");
    }
    let devices = super::Phone::new().inviter.invitation().to_text();
    let refused = ShareInvitation::from_text(&devices).expect_err("another kind").to_string();
    assert!(refused.contains("follow it on the device that is new"), "{refused}");
    let read = ShareInvitation::from_text(&format!(" {}\n", text.to_lowercase()));
    assert_eq!(read.as_ref(), Ok(owner.sharer.invitation()));
    let printed = format!("{:?}", owner.sharer.invitation());
    assert!(!printed.contains("secret") && printed.contains("Writer"), "{printed}");
}

/// Promise: the bytes on the wire, the code and the digits are the same in every release.
#[test]
fn the_bytes_of_an_invitation_to_a_space_are_pinned() {
    let mut owner = Owner::new();
    let mut guest = owner.reader(2);
    let text = owner.sharer.invitation().to_text();
    let hash = |bytes: &[u8]| hex(&blake3::hash(bytes).as_bytes()[..8]);
    let visit = guest.guest.start(&owner.transport()).expect("the right phone");
    let challenge = owner.start(&guest.transport(), &visit).expect("the right code");
    let Ok(GuestEvent::ShowDigits(digits, parts)) = guest.guest.receive(&challenge) else { panic!("digits") };
    owner.sharer.receive(&guest.transport(), &parts[0]).expect("who it is");
    let messages = owner.confirm(&digits.to_string()).expect("the right digits");
    let bytes = [&visit, &challenge, &parts[0], &messages[0]].map(|message| (message.len(), hash(message)));
    let pinned_text = [
        "CFOST-SHARE:0708X3BVGP98194WHYGMAECQRBGG51048QJ1GP48GJ5C3KJ8W7WQCZJ731F0E0EGCBF9241QWBDV1G1VZPMF29JTA",
        "8A10SPJY5G1KCSZRM8C1HR28XDEMDPBBTXP7VBVTSWS624QPB2ZQ4EFV67K9RDXQPYEKR1VVXV9P080000HMBV9E0T2YC9S68Q32D",
        "HR5RRJWCHG5XT66W1F6GR30CB5ZTKYE",
    ];
    assert_eq!(text, pinned_text.concat());
    assert_eq!(digits.to_string(), "507 151");
    let pinned =
        [(118, "e4965ea07a4e4d77"), (65, "86fc8aab258cc4ba"), (397, "b36753426fc0909e"), (1582, "85c4e402bb0a88f3")];
    assert_eq!(bytes.each_ref().map(|(length, hash)| (*length, hash.as_str())), pinned);
}

proptest! {
    /// Promise: whatever a stranger sends is refused without a panic, and changes nothing.
    #[test]
    fn garbage_is_refused(kind in 0..15_u8, rest in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut owner = Owner::new();
        let mut guest = owner.reader(2);
        let garbage = [&[kind], rest.as_slice()].concat();
        prop_assert!(owner.sharer.receive(&guest.transport(), &garbage).is_err());
        let digits = owner.meet(&mut guest).expect("garbage has changed nothing");
        prop_assert!(guest.guest.receive(&garbage).is_err());
        prop_assert!(owner.sharer.receive(&guest.transport(), &garbage).is_err());
        prop_assert!(owner.sharer.is_closed() && owner.confirm(&digits.to_string()).is_err());
    }
}
