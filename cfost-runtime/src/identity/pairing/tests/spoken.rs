//! Stories of a code that is said aloud, and of those who were not told it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Laptop, Phone, hex, home_key};
use crate::host::Host;
use crate::identity::limits::{INVITATION_CLOCK_ERROR_MS, INVITATION_MS, SPOKEN_PROOFS_MAX};
use crate::identity::pairing::{
    InviterEvent, Joiner, JoinerEvent, PairingId, SpokenCode, SpokenInviter, SpokenJoiner, refusal,
};
use crate::identity::{DeviceKeys, IdentityError};

/// The phone, showing a code; and the tries that it has recorded.
struct Speaker {
    phone: Phone,
    spoken: SpokenInviter,
    recorded: BTreeSet<PairingId>,
}

impl Speaker {
    fn new() -> Self {
        let phone = Phone::new();
        let spoken = SpokenInviter::new(phone.host.clone(), phone.log.user_id(), &phone.keys.public());
        Self { phone, spoken, recorded: BTreeSet::new() }
    }

    fn code(&self) -> String {
        self.spoken.code().to_string()
    }

    fn wrong_code(&self) -> String {
        let code = self.code();
        let last = if code.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &code[..code.len() - 1])
    }

    fn listener(&self, seed: u64, code: &str) -> Listener {
        Listener::new(Host::simulated(self.phone.clock.clone(), seed), code)
    }

    /// One connection from the first message to the challenge, between who the two sides believe to talk with.
    fn meet(&mut self, listener: &mut Listener) -> Result<(Joiner, Vec<u8>), IdentityError> {
        let peer = listener.transport();
        let (greeting, offer) = self.spoken.greet(&peer, &listener.spoken.greet())?;
        let (joiner, proof) = listener.spoken.prove(&self.phone.transport(), &offer)?;
        let name = self.spoken.prove(greeting, &proof)?;
        assert!(self.recorded.insert(name), "each try has a name of its own");
        let (inviter, challenge) = self.spoken.tried()?;
        self.phone.inviter = inviter;
        Ok((joiner, challenge))
    }
}

/// A device whose user has typed a code.
struct Listener {
    keys: DeviceKeys,
    spoken: SpokenJoiner,
}

impl Listener {
    fn new(host: Host, code: &str) -> Self {
        let keys = DeviceKeys::generate(&host);
        let code = SpokenCode::parse(code).expect("eight digits");
        let spoken = SpokenJoiner::new(host, code, keys.clone(), "laptop").expect("a good name");
        Self { spoken, keys }
    }

    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }
}

fn error<T>(result: Result<T, IdentityError>) -> Option<IdentityError> {
    result.err()
}

/// Promise: eight digits said aloud, six typed back: the laptop is a device of the user, as after a scan.
#[test]
fn a_laptop_joins_by_a_code_that_it_was_told() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let (joiner, challenge) = speaker.meet(&mut listener).expect("the right code");
    assert!(speaker.spoken.is_closed(), "the code is used up");
    assert_eq!(speaker.phone.inviter.waiting(), Some("laptop"));

    let mut laptop = Laptop { keys: listener.keys, joiner };
    let digits = laptop.digits(&challenge).expect("the right phone");
    let messages = speaker.phone.confirm(&digits.to_string()).expect("the right digits");
    let joined = laptop.admitted(&messages).expect("all of it");
    let done = laptop.joiner.done().expect("after storing");
    let outcome = speaker.phone.inviter.receive(&laptop.transport(), &done);
    assert_eq!(outcome, Ok(InviterEvent::Joined(laptop.keys.id())));
    assert_eq!(joined.log.digest(), speaker.phone.log.digest());
    assert_eq!(joined.space_keys[0].1.secret(), home_key(&speaker.phone.log).1.secret());
    assert_eq!(speaker.recorded.len(), 1, "it was recorded before the answer");
}

/// Promise: a typing mistake is forgiven twice. The third wrong code burns it, and then the right one is refused as
/// well, without as much as an offer.
#[test]
fn three_wrong_codes_burn_it() {
    let mut speaker = Speaker::new();
    for (seed, told) in [
        (2, IdentityError::WrongSpokenCode { tries_left: 2 }),
        (3, IdentityError::WrongSpokenCode { tries_left: 1 }),
        (4, IdentityError::SpokenCodeBurnt),
    ] {
        let mut wrong = speaker.listener(seed, &speaker.wrong_code());
        assert_eq!(error(speaker.meet(&mut wrong)), Some(told));
    }
    assert!(speaker.spoken.is_closed());
    assert_eq!(speaker.recorded.len(), 3);
    let mut right = speaker.listener(5, &speaker.code());
    assert_eq!(error(speaker.meet(&mut right)), Some(IdentityError::SpokenCodeBurnt));
    assert_eq!(speaker.recorded.len(), 3);

    let mut patient = Speaker::new();
    for seed in [2, 3] {
        let mut wrong = patient.listener(seed, &patient.wrong_code());
        patient.meet(&mut wrong).err().expect("wrong");
    }
    let mut right = patient.listener(4, &patient.code());
    patient.meet(&mut right).expect("the third try is the right one");
}

/// Promise: greeting costs no try, however often; nor does what is no proof at all.
#[test]
fn strangers_that_only_look_use_nothing_up() {
    let mut speaker = Speaker::new();
    let is_point = |bytes: &[u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(bytes).is_ok();
    let no_point = (2..).map(|byte| [byte; 32]).find(|bytes| !is_point(bytes)).expect("half of all are none");
    for number in 0..50 {
        let (greeting, _) = speaker.spoken.greet(&[number; 32], &[6, 1]).expect("an offer");
        let no_point = [&[8, 0x42], no_point.as_slice(), b"start"].concat();
        let malformed = error(speaker.spoken.prove(greeting, &no_point));
        assert!(matches!(malformed, Some(IdentityError::Malformed { .. })), "{malformed:?}");
        let (greeting, _) = speaker.spoken.greet(&[number; 32], &[6, 1]).expect("an offer");
        let out_of_turn = error(speaker.spoken.prove(greeting, &[6, 1]));
        assert_eq!(out_of_turn, Some(IdentityError::UnexpectedMessage { message: "greet" }));
    }
    let not_a_greeting = error(speaker.spoken.greet(&[1; 32], &refusal()));
    assert_eq!(not_a_greeting, Some(IdentityError::PairingRefused));
    let mut right = speaker.listener(5, &speaker.code());
    speaker.meet(&mut right).expect("all tries are left");
}

/// Promise: after 300 seconds a code is worth nothing, whenever the connection began.
#[test]
fn an_expired_code_is_refused() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("in time");
    let (_, proof) = listener.spoken.prove(&speaker.phone.transport(), &offer).expect("in time");
    speaker.phone.clock.advance(INVITATION_MS);
    assert_eq!(speaker.spoken.prove(greeting, &proof), Err(IdentityError::InvitationExpired));
    assert_eq!(error(speaker.meet(&mut listener)), Some(IdentityError::InvitationExpired));

    speaker.phone.clock.advance(INVITATION_CLOCK_ERROR_MS);
    let late = error(listener.spoken.prove(&speaker.phone.transport(), &offer));
    assert_eq!(late, Some(IdentityError::InvitationExpired));
}

/// Promise: a phone that dies between recording a try and answering it has answered nobody, and a code whose try
/// can't be recorded lets nobody in.
#[test]
fn a_try_is_recorded_before_it_is_answered() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("open");
    let (_, proof) = listener.spoken.prove(&speaker.phone.transport(), &offer).expect("an offer");
    assert_eq!(error(speaker.spoken.tried()), Some(IdentityError::OutOfTurn), "nothing was tried");
    speaker.spoken.prove(greeting, &proof).expect("a try");

    // The answer is held back until it is recorded, and meanwhile nobody else gets one.
    let other = speaker.listener(3, &speaker.code());
    let meanwhile = error(speaker.spoken.greet(&other.transport(), &other.spoken.greet()));
    assert_eq!(meanwhile, Some(IdentityError::InvitationUsed));
    speaker.spoken.cancel();
    assert_eq!(error(speaker.spoken.tried()), Some(IdentityError::OutOfTurn));
    let after = error(speaker.spoken.greet(&other.transport(), &other.spoken.greet()));
    assert_eq!(after, Some(IdentityError::InvitationUsed));
}

/// Promise: who hangs up while a try is recorded has made it all the same, and the next may try: nobody can hold
/// the code up. If it was the right code, it is used up.
#[test]
fn a_connection_lost_during_a_try_counts_as_one() {
    let mut speaker = Speaker::new();
    for (seed, told) in [
        (2, IdentityError::WrongSpokenCode { tries_left: 2 }),
        (3, IdentityError::WrongSpokenCode { tries_left: 1 }),
        (4, IdentityError::SpokenCodeBurnt),
    ] {
        let mut wrong = speaker.listener(seed, &speaker.wrong_code());
        let (greeting, offer) = speaker.spoken.greet(&wrong.transport(), &[6, 1]).expect("open");
        let (_, proof) = wrong.spoken.prove(&speaker.phone.transport(), &offer).expect("an offer");
        speaker.spoken.prove(greeting, &proof).expect("a try");
        assert_eq!(speaker.spoken.lost(&[9; 32]), Ok(()), "somebody else's");
        assert_eq!(speaker.spoken.lost(&wrong.transport()), Err(told));
        assert_eq!(speaker.spoken.lost(&wrong.transport()), Ok(()), "once");
    }
    let mut speaker = Speaker::new();
    let mut right = speaker.listener(2, &speaker.code());
    let (greeting, offer) = speaker.spoken.greet(&right.transport(), &[6, 1]).expect("open");
    let (_, proof) = right.spoken.prove(&speaker.phone.transport(), &offer).expect("an offer");
    speaker.spoken.prove(greeting, &proof).expect("a try");
    assert_eq!(speaker.spoken.lost(&right.transport()), Ok(()));
    assert!(speaker.spoken.is_closed());
}

/// Promise: who answers the new device's call in the phone's place, and passes everything on, gets nothing: the code
/// makes another key between other keys of transport. It costs the phone one try, and the thief has one guess.
#[test]
fn a_man_in_the_middle_of_the_dial_is_refused() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let thief = DeviceKeys::generate(&Host::simulated(speaker.phone.clock.clone(), 66)).public().transport;
    let (greeting, offer) = speaker.spoken.greet(&thief, &listener.spoken.greet()).expect("he may ask");
    let (mut joiner, proof) = listener.spoken.prove(&thief, &offer).expect("the laptop can't know");
    speaker.spoken.prove(greeting, &proof).expect("a try");
    let told = IdentityError::WrongSpokenCode { tries_left: 2 };
    assert_eq!(error(speaker.spoken.tried()), Some(told));
    assert!(matches!(joiner.receive(&refusal()), Err(IdentityError::PairingRefused)));
    assert_eq!(speaker.phone.log.device_count(), 1);

    // Nor does it help to stand between with the laptop's key to the phone, and one's own to the laptop.
    let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &listener.spoken.greet()).expect("open");
    let (_, proof) = listener.spoken.prove(&thief, &offer).expect("the laptop can't know");
    speaker.spoken.prove(greeting, &proof).expect("a try");
    assert_eq!(error(speaker.spoken.tried()), Some(IdentityError::WrongSpokenCode { tries_left: 1 }));
}

/// Promise: a message that comes back to who sent it is refused, in either direction.
#[test]
fn a_reflected_message_is_refused() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let phone = speaker.phone.transport();
    let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &listener.spoken.greet()).expect("open");
    let own_offer = error(speaker.spoken.prove(greeting, &offer));
    assert_eq!(own_offer, Some(IdentityError::UnexpectedMessage { message: "offer" }));
    let own_greeting = error(listener.spoken.prove(&phone, &listener.spoken.greet()));
    assert_eq!(own_greeting, Some(IdentityError::UnexpectedMessage { message: "greet" }));

    // Dressed up as an answer, an own element is told by its side, and told when that is forged as well.
    let (mut joiner, proof) = listener.spoken.prove(&phone, &offer).expect("an offer");
    assert!(matches!(joiner.receive(&proof), Err(IdentityError::UnexpectedMessage { message: "prove" })));
    let element = &offer[offer.len() - 33..];
    for side in [0x41, 0x42] {
        let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("open");
        let own = &offer[offer.len() - 32..];
        let dressed_up = [&[8, side], own, &proof[34..]].concat();
        assert!(speaker.spoken.prove(greeting, &dressed_up).is_err(), "of {element:?}");
    }
    let mut reflected = offer.clone();
    let at = reflected.len() - 33;
    reflected[at..].copy_from_slice(&proof[1..34]);
    let own_side = error(listener.spoken.prove(&phone, &reflected));
    assert!(matches!(own_side, Some(IdentityError::Malformed { .. })), "{own_side:?}");
    assert_eq!(speaker.recorded.len(), 0);
    let mut right = speaker.listener(5, &speaker.code());
    speaker.meet(&mut right).expect("no try was used up");

    // A device does not pair with itself either.
    let mut own = speaker.listener(6, "12345678");
    let itself = own.transport();
    assert_eq!(error(own.spoken.prove(&itself, &offer)), Some(IdentityError::WrongPeer));
    let speaker = Speaker::new();
    assert_eq!(error(speaker.spoken.greet(&speaker.phone.transport(), &[6, 1])), Some(IdentityError::WrongPeer));
}

/// Promise: what went well once is worth nothing again: not over the same connection, not over another one, not
/// for another pairing of the same user with the same code.
#[test]
fn a_replayed_proof_is_refused() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let peer = listener.transport();
    let (greeting, offer) = speaker.spoken.greet(&peer, &[6, 1]).expect("open");
    let (_, captured) = listener.spoken.prove(&speaker.phone.transport(), &offer).expect("an offer");
    // The connection broke before it arrived. Whoever has the bytes dials again, even with the laptop's key.
    drop(greeting);
    let (greeting, second) = speaker.spoken.greet(&peer, &[6, 1]).expect("open");
    assert_ne!(offer, second, "every offer is fresh");
    speaker.spoken.prove(greeting, &captured).expect("a try");
    assert_eq!(error(speaker.spoken.tried()), Some(IdentityError::WrongSpokenCode { tries_left: 2 }));
}

/// Promise: user, pairing, expiry and both peers are part of the key: an offer that was altered on the way, or is
/// taken over for another user, leads to no proof that holds.
#[test]
fn an_altered_offer_leads_nowhere() {
    let length = Speaker::new().spoken.greet(&[1; 32], &[6, 1]).expect("open").1.len();
    for at in 2..length {
        let mut speaker = Speaker::new();
        let mut listener = speaker.listener(2, &speaker.code());
        let (greeting, mut offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("open");
        offer[at] ^= 1;
        let Ok((_, proof)) = listener.spoken.prove(&speaker.phone.transport(), &offer) else { continue };
        if speaker.spoken.prove(greeting, &proof).is_ok() {
            let refused = error(speaker.spoken.tried());
            assert_eq!(refused, Some(IdentityError::WrongSpokenCode { tries_left: 2 }), "byte {at}");
        }
    }
}

/// Promise: no bit of a proof can be altered: it lets nobody in.
#[test]
fn an_altered_proof_lets_nobody_in() {
    let mut proven = 0;
    for at in (0..347).step_by(3) {
        let mut speaker = Speaker::new();
        let mut listener = speaker.listener(2, &speaker.code());
        let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("open");
        let (_, mut proof) = listener.spoken.prove(&speaker.phone.transport(), &offer).expect("an offer");
        assert_eq!(proof.len(), 347);
        proof[at] ^= 1 << (at % 8);
        if speaker.spoken.prove(greeting, &proof).is_ok() {
            proven += 1;
            assert!(speaker.spoken.tried().is_err(), "byte {at}");
        }
    }
    assert!(proven > 50);
}

/// Promise: a new device tells three peers whether they have guessed right, and then nobody any more.
#[test]
fn a_new_device_does_not_prove_itself_to_everybody() {
    let speaker = Speaker::new();
    let mut listener = speaker.listener(2, "1234 5678");
    for number in 1..=SPOKEN_PROOFS_MAX {
        let (_, offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("open");
        listener.spoken.prove(&[number as u8; 32], &offer).expect("not too often");
    }
    let (_, offer) = speaker.spoken.greet(&listener.transport(), &[6, 1]).expect("open");
    assert_eq!(error(listener.spoken.prove(&[9; 32], &offer)), Some(IdentityError::SpokenCodeRefused));
}

/// Promise: a code is typed as it is heard, with spaces, hyphens or neither; anything else is told apart from a
/// wrong one.
#[test]
fn a_code_is_eight_digits() {
    for typed in ["48291375", "4829 1375", " 48-29-13-75 ", "4 8 2 9 1 3 7 5"] {
        assert_eq!(SpokenCode::parse(typed).expect("eight digits").to_string(), "4829 1375");
    }
    for slip in ["", "4829137", "482913755", "4829137a", "٤٨٢٩١٣٧٥", "CFOST:06208"] {
        assert_eq!(error(SpokenCode::parse(slip)), Some(IdentityError::SpokenCodeForm), "{slip:?}");
    }
    let codes: BTreeSet<String> = (0..200)
        .map(|seed| {
            let phone = Phone::new();
            let host = Host::simulated(phone.clock.clone(), seed);
            SpokenInviter::new(host, phone.log.user_id(), &phone.keys.public()).code().to_string()
        })
        .collect();
    assert_eq!(codes.len(), 200, "a collision has a chance of one in five thousand");
    let first_digits: BTreeSet<char> = codes.iter().filter_map(|code| code.chars().next()).collect();
    assert_eq!(first_digits.len(), 10);
}

/// Promise: the bytes on the wire are the same in every release.
#[test]
fn the_bytes_of_a_spoken_pairing_are_pinned() {
    let mut speaker = Speaker::new();
    let mut listener = speaker.listener(2, &speaker.code());
    let hash = |bytes: &[u8]| hex(&blake3::hash(bytes).as_bytes()[..8]);
    assert_eq!(speaker.code(), "8932 9977");
    assert_eq!(hex(&listener.spoken.greet()), "0601");
    let (greeting, offer) = speaker.spoken.greet(&listener.transport(), &listener.spoken.greet()).expect("open");
    let pinned = [
        "07",                               // message
        "01",                               // version
        "840445e4185888848ac1ce48e1f9767e", // user
        "d630f0169e6cbc89817c8dcb31454ff7", // pairing id
        "e03bdf769b010000",                 // expiry
        "41",                               // element: the inviter's
        "4157d7b9a5fc3dc2136b5a1cbd93dc02", // element: the point
        "e10a7b6f4a3378ca71b0e10b9cff69ad",
    ];
    assert_eq!(hex(&offer), pinned.concat());
    let (joiner, proof) = listener.spoken.prove(&speaker.phone.transport(), &offer).expect("an offer");
    assert_eq!((proof.len(), hash(&proof).as_str()), (347, "b435d51976545fba"));
    speaker.spoken.prove(greeting, &proof).expect("a try");
    let (_, challenge) = speaker.spoken.tried().expect("the right code");
    let mut laptop = Laptop { keys: listener.keys, joiner };
    assert_eq!(laptop.digits(&challenge).expect("the right phone").to_string(), "872 502");
}

proptest! {
    /// Promise: garbage ends a connection, by an error and not by a panic, and shows no digits.
    #[test]
    fn garbage_is_not_a_spoken_pairing(kind in 0..=9_u8, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let message = [&[kind], bytes.as_slice()].concat();
        let mut speaker = Speaker::new();
        let mut listener = speaker.listener(2, &speaker.code());
        if let Ok((greeting, _)) = speaker.spoken.greet(&listener.transport(), &[6, 1])
            && speaker.spoken.prove(greeting, &message).is_ok()
        {
            prop_assert!(speaker.spoken.tried().is_err());
        }
        let _either = speaker.spoken.greet(&[1; 32], &message);
        if let Ok((mut joiner, _)) = listener.spoken.prove(&[1; 32], &message) {
            prop_assert!(!matches!(joiner.receive(&message), Ok(JoinerEvent::ShowDigits(_))));
        }
    }
}
