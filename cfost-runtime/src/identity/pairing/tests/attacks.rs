use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{Phone, other_than};
use crate::host::{Host, ManualClock};
use crate::identity::limits::{INVITATION_CLOCK_ERROR_MS, INVITATION_MS};
use crate::identity::pairing::admission::{decode, encode};
use crate::identity::pairing::shown::Code as _;
use crate::identity::pairing::transcript::{MAC_BYTES, Proof, Transcript};
use crate::identity::pairing::{Invitation, Inviter, Joiner, refusal};
use crate::identity::tests::{START_MS, add, phone_user};
use crate::identity::{DeviceKeys, DevicePublic, IdentityError};
use crate::oplog::{EpochKey, SpaceId};

/// An invitation like the phone's but for one field, as someone would make up who has seen a part of it.
fn forged(phone: &Phone, field: std::ops::Range<usize>) -> Invitation {
    let mut bytes = phone.inviter.invitation().to_bytes();
    bytes[field].iter_mut().for_each(|byte| *byte ^= 0x55);
    Invitation::from_bytes(&bytes).expect("still follows the format")
}

const PAIRING: std::ops::Range<usize> = 49..65;
const SECRET: std::ops::Range<usize> = 65..81;

/// Promise: a wrong code lets nobody in, and does not use up the right one.
#[test]
fn a_wrong_code_is_refused_and_the_right_one_still_works() {
    let mut phone = Phone::new();
    let host = Host::simulated(phone.clock.clone(), 66);
    for (field, refused) in [(SECRET, IdentityError::WrongSecret), (PAIRING, IdentityError::InvitationUnknown)] {
        let keys = DeviceKeys::generate(&host);
        let mut joiner = Joiner::new(host.clone(), forged(&phone, field), keys.clone(), "thief").expect("fresh");
        let start = joiner.start(&phone.transport()).expect("the right phone");
        assert_eq!(phone.inviter.receive(&keys.public().transport, &start), Err(refused));
    }
    let mut laptop = phone.reader(2, "laptop");
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    phone.start(&laptop.transport(), &start).expect("the right code");
}

/// Promise: after 300 seconds by the phone's clock a code is worth nothing. The laptop's clock may be
/// wrong, so it gives up only when the code is too old by any clock.
#[test]
fn an_expired_code_is_refused() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    phone.clock.advance(INVITATION_MS);
    let expired = Err(IdentityError::InvitationExpired);
    assert_eq!(phone.inviter.receive(&laptop.transport(), &start), expired);
    phone.reader(3, "a laptop whose clock may be fast");

    phone.clock.advance(INVITATION_CLOCK_ERROR_MS);
    let invitation = phone.inviter.invitation().clone();
    let late = Joiner::new(phone.host.clone(), invitation, laptop.keys.clone(), "laptop");
    assert_eq!(late.err(), Some(IdentityError::InvitationExpired));
}

/// Promise: a code is good for one device: not for a second while the first waits for its digits, nor
/// after it has joined, nor after it has failed.
#[test]
fn a_code_is_good_for_one_device() {
    for ends_by in ["waiting", "lost", "joined"] {
        let mut phone = Phone::new();
        let mut laptop = phone.reader(2, "laptop");
        let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
        let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
        let digits = laptop.digits(&challenge).expect("the right phone");
        match ends_by {
            "lost" => phone.inviter.lost(&laptop.transport()),
            "joined" => drop(phone.confirm(&digits.to_string()).expect("the right digits")),
            _ => {}
        }
        let mut second = phone.reader(3, "second");
        let again = second.joiner.start(&phone.transport()).expect("the right phone");
        let used = Err(IdentityError::InvitationUsed);
        assert_eq!(phone.inviter.receive(&second.transport(), &again), used, "{ends_by}");
        if ends_by == "waiting" {
            phone.confirm(&digits.to_string()).expect("the first is not disturbed");
        }
    }
}

/// Promise: a photograph of the code is worth nothing. The thief is faster than the owner and knows
/// the secret; but the owner's laptop, refused, shows no digits, and whatever the owner types is not
/// what the thief sees.
#[test]
fn a_photographed_code_lets_nobody_in() {
    let mut phone = Phone::new();
    let mut thief = phone.reader(66, "laptop");
    let mut laptop = phone.reader(2, "laptop");
    let start = thief.joiner.start(&phone.transport()).expect("dials the real phone");
    let challenge = phone.start(&thief.transport(), &start).expect("the secret is right");
    let seen_by_thief = thief.digits(&challenge).expect("the real phone");

    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    assert_eq!(phone.inviter.receive(&laptop.transport(), &start), Err(IdentityError::InvitationUsed));
    assert!(matches!(laptop.joiner.receive(&refusal()), Err(IdentityError::PairingRefused)));

    for guess in [2, 1] {
        let wrong = Err(IdentityError::WrongDigits { tries_left: guess });
        assert_eq!(phone.confirm(&other_than(seen_by_thief)), wrong);
    }
    assert_eq!(phone.confirm(&other_than(seen_by_thief)), Err(IdentityError::ConfirmationFailed));
    assert_eq!(phone.confirm(&seen_by_thief.to_string()), Err(IdentityError::OutOfTurn), "too late even if right");
    assert!(phone.inviter.is_closed());
    assert_eq!(phone.log.device_count(), 1);
}

/// Promise: the digits depend on a nonce that the phone chooses last, so a thief who replays a session,
/// or tries out keys until the digits fit, gains nothing.
#[test]
fn the_same_first_message_gives_other_digits() {
    let mut shown = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut phone = Phone::new();
        let mut laptop = phone.reader(2, "laptop");
        let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
        let invitation = phone.inviter.invitation().clone();
        phone.inviter = Inviter::new(Host::simulated(phone.clock.clone(), seed), invitation);
        let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
        shown.insert(laptop.digits(&challenge).expect("the right phone").to_string());
    }
    assert_eq!(shown.len(), 20);
}

/// Promise: the laptop says nothing to anyone but the device that the code names.
#[test]
fn nothing_is_said_to_the_wrong_peer() {
    let phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    assert_eq!(laptop.joiner.start(&[9; 32]), Err(IdentityError::WrongPeer));
    assert_eq!(laptop.joiner.start(&laptop.transport()), Err(IdentityError::WrongPeer));
}

/// A captured start message with altered keys, under a MAC made with a photographed secret.
fn forged_start(
    invitation: &Invitation,
    peer: &[u8; 32],
    captured: &[u8],
    alter: impl FnOnce(&mut DevicePublic),
) -> Vec<u8> {
    const KEYS: std::ops::Range<usize> = 50..146;
    let mut statement = captured[..captured.len() - MAC_BYTES].to_vec();
    let mut keys = DevicePublic::from_bytes(statement[KEYS].try_into().expect("96 bytes"));
    alter(&mut keys);
    statement[KEYS].copy_from_slice(&keys.to_bytes());
    let mut transcript = Transcript::new(invitation, peer);
    transcript.absorb(&statement);
    [statement.as_slice(), &transcript.mac(Proof::Start)].concat()
}

/// Promise: a man in the middle who passes messages on over a connection of his own is noticed, even
/// if the laptop could be brought to talk to him, and even if he has photographed the code.
#[test]
fn a_man_in_the_middle_is_noticed() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    let mallory = DeviceKeys::generate(&Host::simulated(phone.clock.clone(), 66));
    let start = laptop.joiner.start(&phone.transport()).expect("brought to it somehow");

    // Passed on as it is: the phone's end of the connection is authenticated by another key.
    let passed_on = phone.inviter.receive(&mallory.public().transport, &start);
    assert_eq!(passed_on, Err(IdentityError::WrongSecret));

    // The laptop's keys, under a MAC made anew with the photographed secret for Mallory's connection.
    let mallory = mallory.public();
    let invitation = phone.inviter.invitation().clone();
    let laptops_keys = forged_start(&invitation, &mallory.transport, &start, |_| {});
    assert_eq!(phone.inviter.receive(&mallory.transport, &laptops_keys), Err(IdentityError::WrongPeer));

    // The laptop's signing key beside Mallory's transport key: the proofs are for other keys.
    let mixed = forged_start(&invitation, &mallory.transport, &start, |keys| keys.transport = mallory.transport);
    let no_proof = IdentityError::Signature { what: "a device's proof of its keys" };
    assert_eq!(phone.inviter.receive(&mallory.transport, &mixed), Err(no_proof));

    // The other way: a challenge that the phone made for a session of Mallory's own.
    let mut own = phone.reader(68, "laptop");
    let own_start = own.joiner.start(&phone.transport()).expect("dials the real phone");
    let challenge = phone.start(&own.transport(), &own_start).expect("the secret is right");
    assert!(matches!(laptop.joiner.receive(&challenge), Err(IdentityError::WrongSecret)));
}

/// Promise: no bit of any message can be altered on the way without being noticed by whom it is for;
/// and an altered first message leaves the code usable.
#[test]
fn an_altered_message_is_noticed() {
    let flips = |message: &[u8]| {
        let message = message.to_vec();
        (0..message.len() * 8).map(move |bit| {
            let mut altered = message.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            altered
        })
    };
    let through = |from: usize| {
        let mut phone = Phone::new();
        let mut laptop = phone.reader(2, "laptop");
        let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
        let mut messages = vec![start.clone()];
        if from > 0 {
            messages.push(phone.start(&laptop.transport(), &start).expect("the right code"));
        }
        if from > 1 {
            let digits = laptop.digits(&messages[1]).expect("the right phone");
            messages.extend(phone.confirm(&digits.to_string()).expect("the right digits"));
        }
        if from > 2 {
            laptop.admitted(&messages[2..]).expect("all of it");
            messages.push(laptop.joiner.done().expect("after storing"));
        }
        (phone, laptop, messages)
    };

    let (mut phone, laptop, messages) = through(0);
    for altered in flips(&messages[0]) {
        assert!(phone.inviter.receive(&laptop.transport(), &altered).is_err());
    }
    phone.start(&laptop.transport(), &messages[0]).expect("the code was not used up");

    for altered in flips(&through(1).2[1]) {
        assert!(through(1).1.joiner.receive(&altered).is_err());
    }
    // Every 31st bit of the longest message: each try is a whole pairing.
    for altered in flips(&through(2).2[2]).step_by(31) {
        assert!(through(2).1.joiner.receive(&altered).is_err());
    }
    for altered in flips(&through(3).2[3]) {
        let (mut phone, laptop, _) = through(3);
        assert!(phone.inviter.receive(&laptop.transport(), &altered).is_err());
        assert!(phone.inviter.is_closed());
    }
}

/// Promise: what an inviter sends is not believed because of who sent it: the user, the log and both
/// devices must be what the code and the laptop's own keys say.
#[test]
fn a_lying_inviter_is_not_believed() {
    let phone = Phone::new();
    let invitation = phone.inviter.invitation();
    let laptop = DeviceKeys::generate(&Host::simulated(ManualClock::at(START_MS), 2));
    let refused = |plain: &[u8]| decode(plain, invitation, &laptop.public()).expect_err("must be refused");
    let admission = |problem| IdentityError::Admission { problem };

    let (_, _, other_users) = phone_user(2);
    assert_eq!(refused(&encode(&other_users, &[])), admission("its root key is not that of the inviting user"));
    assert_eq!(refused(&encode(&phone.log, &[])), admission("this device is not in the identity log"));

    let mut with_laptop = phone.log.clone();
    let same_laptop = add(&mut with_laptop, &phone.keys, 2, "laptop");
    assert_eq!(same_laptop.public(), laptop.public());
    let key = EpochKey::new(1, Zeroizing::new([1; 32]));
    let good = encode(&with_laptop, &[(SpaceId::home_of(with_laptop.user_id()), &key)]);
    decode(&good, invitation, &laptop.public()).expect("this one is true");

    let by_stranger =
        Invitation::create(&phone.host, phone.log.user_id(), &DeviceKeys::generate(&phone.host).public(), []);
    let error = decode(&good, &by_stranger, &laptop.public()).expect_err("the inviter is nobody");
    assert_eq!(error, admission("the inviting device is not one of the user's"));

    for length in 0..good.len() {
        refused(&good[..length]);
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert!(matches!(refused(&longer), IdentityError::Malformed { .. }));
    let mut altered = good.to_vec();
    altered[60] ^= 1;
    refused(&altered);
}

/// Promise: a peer that is refused cannot tell a wrong secret from an expired or a used code.
#[test]
fn every_refusal_looks_the_same() {
    assert_eq!(refusal(), [255]);
    let phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    laptop.joiner.start(&phone.transport()).expect("the right phone");
    assert!(matches!(laptop.joiner.receive(&refusal()), Err(IdentityError::PairingRefused)));
    assert_eq!(laptop.joiner.start(&phone.transport()), Err(IdentityError::OutOfTurn));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Promise: garbage is refused, by an error and not by a panic, and changes nothing.
    #[test]
    fn garbage_is_refused(kind in 0..8_u8, rest in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut phone = Phone::new();
        let mut laptop = phone.reader(2, "laptop");
        let garbage = [&[kind], rest.as_slice()].concat();
        prop_assert!(phone.inviter.receive(&laptop.transport(), &garbage).is_err());
        prop_assert!(phone.inviter.receive(&laptop.transport(), &rest).is_err());
        let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
        phone.start(&laptop.transport(), &start).expect("garbage has changed nothing");
        prop_assert!(laptop.joiner.receive(&garbage).is_err());
        prop_assert!(phone.inviter.receive(&laptop.transport(), &garbage).is_err());
        prop_assert!(phone.inviter.is_closed());
    }
}
