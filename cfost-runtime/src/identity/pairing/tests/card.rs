//! Stories of a new device that shows the code itself, and of those who have photographed it.

use proptest::prelude::*;

use super::{hex, home_key, other_than};
use crate::host::{Host, ManualClock};
use crate::identity::limits::{CONFIRMATION_MS_MAX, INVITATION_CLOCK_ERROR_MS, INVITATION_MS};
use crate::identity::pairing::shown::Code as _;
use crate::identity::pairing::{
    BearerEvent, Card, CardBearer, CardReader, Digits, Invitation, Joined, ReaderEvent, refusal,
};
use crate::identity::tests::{START_MS, at, phone_user};
use crate::identity::{Body, DeviceKeys, IdentityError, IdentityLog};

/// A new device that shows its card.
struct Laptop {
    clock: ManualClock,
    keys: DeviceKeys,
    bearer: CardBearer,
}

impl Laptop {
    fn new() -> Self {
        let clock = ManualClock::at(START_MS);
        let host = Host::simulated(clock.clone(), 7);
        let keys = DeviceKeys::generate(&host);
        let hints = ["/ip4/192.168.1.30/tcp/4001".to_owned()];
        let bearer = CardBearer::new(host, keys.clone(), "laptop", hints).expect("a good name");
        Self { clock, keys, bearer }
    }

    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    /// Takes a call; the digits that it shows, and its answer.
    fn called(&mut self, peer: &[u8; 32], call: &[u8]) -> Result<(Digits, Vec<u8>), IdentityError> {
        match self.bearer.receive(peer, call)? {
            BearerEvent::Called { pairing, .. } => assert_eq!(pairing, self.bearer.card().pairing()),
            _ => panic!("a call is what comes first"),
        }
        self.bearer.consumed()
    }

    fn answer(&mut self, peer: &[u8; 32], tried: &[u8]) -> Result<Vec<u8>, IdentityError> {
        match self.bearer.receive(peer, tried)? {
            BearerEvent::Answer(answer) => Ok(answer),
            _ => panic!("a try is answered"),
        }
    }

    fn admitted(&mut self, peer: &[u8; 32], messages: &[Vec<u8>]) -> Result<Joined, IdentityError> {
        for message in messages {
            if let BearerEvent::Joined(joined) = self.bearer.receive(peer, message)? {
                return Ok(*joined);
            }
        }
        panic!("the admission is complete");
    }
}

/// A device of a user, which has read the card off the laptop's screen.
struct Phone {
    keys: DeviceKeys,
    log: IdentityLog,
    reader: CardReader,
}

impl Phone {
    /// The phone of the user that `seed` makes.
    fn of(seed: u8, laptop: &Laptop) -> Self {
        let (_, keys, log) = phone_user(seed);
        let host = Host::simulated(laptop.clock.clone(), 100 + u64::from(seed));
        let card = Card::from_text(&laptop.bearer.card().to_text()).expect("as it is shown");
        let hints = ["/ip4/192.168.1.20/tcp/4001".to_owned()];
        let reader = CardReader::new(host, card, log.user_id(), &keys.public(), hints).expect("a fresh card");
        Self { keys, log, reader }
    }

    fn transport(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    /// Dials, up to the digits on the laptop.
    fn dial(&mut self, laptop: &mut Laptop) -> Result<Digits, IdentityError> {
        let call = self.reader.start(&laptop.transport())?;
        let (digits, ready) = laptop.called(&self.transport(), &call)?;
        assert_eq!(self.reader.receive(&ready), Ok(ReaderEvent::AskDigits));
        Ok(digits)
    }

    /// The user types digits.
    fn confirm(&mut self, laptop: &mut Laptop, typed: &str) -> Result<Vec<Vec<u8>>, IdentityError> {
        let tried = self.reader.confirm(typed)?;
        let answer = laptop.answer(&self.transport(), &tried)?;
        let ReaderEvent::Confirmed(request) = self.reader.receive(&answer)? else { panic!("an answer to a try") };
        let entry = self.log.author(&self.keys, Body::AddDevice(*request), at(60))?;
        self.log.insert(entry.as_bytes())?;
        let (space, key) = home_key(&self.log);
        self.reader.admit(&self.log, &[(space, &key)])
    }
}

/// Promise: the new device shows the code and the digits, the authorised one reads the one and is typed the other:
/// the laptop is a device of the user, and both know where to find each other.
#[test]
fn a_laptop_shows_its_card_to_a_phone_and_is_let_in() {
    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    assert!(laptop.bearer.reader_hints().is_empty());
    let digits = phone.dial(&mut laptop).expect("the right card");
    assert_eq!(laptop.bearer.reader_hints(), ["/ip4/192.168.1.20/tcp/4001"]);
    assert_eq!(phone.reader.card().hints(), ["/ip4/192.168.1.30/tcp/4001"]);

    let messages = phone.confirm(&mut laptop, &digits.to_string()).expect("the right digits");
    let joined = laptop.admitted(&phone.transport(), &messages).expect("all of it");
    let done = laptop.bearer.done().expect("after storing");
    assert_eq!(phone.reader.receive(&done), Ok(ReaderEvent::Joined(laptop.keys.id())));
    assert_eq!(joined.log.digest(), phone.log.digest());
    assert_eq!(joined.inviter.id, phone.keys.id());
    assert_eq!(joined.space_keys[0].1.secret(), home_key(&phone.log).1.secret());
    let added = joined.log.device(laptop.keys.id()).expect("it is one of the devices now");
    assert_eq!((added.name.as_str(), added.added_by), ("laptop", Some(phone.keys.id())));
}

/// Promise: two wrong tries are forgiven, what is not six digits costs none, and the third wrong one ends it on both
/// sides.
#[test]
fn a_mistyped_digit_is_forgiven_twice() {
    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    let digits = phone.dial(&mut laptop).expect("the right card");
    for slip in ["", "12345", "1234567", "12345a"] {
        assert_eq!(phone.confirm(&mut laptop, slip), Err(IdentityError::DigitsForm), "{slip:?}");
    }
    for tries_left in [2, 1] {
        let wrong = Err(IdentityError::WrongDigits { tries_left });
        assert_eq!(phone.confirm(&mut laptop, &other_than(digits)), wrong);
    }
    let messages = phone.confirm(&mut laptop, &digits.to_string()).expect("the third try is the right one");
    laptop.admitted(&phone.transport(), &messages).expect("all of it");

    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    let digits = phone.dial(&mut laptop).expect("the right card");
    for _ in 0..2 {
        phone.confirm(&mut laptop, &other_than(digits)).expect_err("wrong");
    }
    assert_eq!(phone.confirm(&mut laptop, &other_than(digits)), Err(IdentityError::ConfirmationFailed));
    assert_eq!(phone.confirm(&mut laptop, &digits.to_string()), Err(IdentityError::OutOfTurn));
    assert_eq!(phone.log.device_count(), 1);
}

/// Promise: a photograph of the card is worth nothing. The thief is faster than the owner, and would make the laptop,
/// with all that is in it, a device of a user of his own. But he does not see its digits; whatever he was sent does
/// not tell which they are; and after three guesses it is over. The owner's phone is refused meanwhile, and asks for
/// none.
#[test]
fn a_photographed_card_takes_the_new_device_nowhere() {
    let mut laptop = Laptop::new();
    let mut thief = Phone::of(66, &laptop);
    let mut phone = Phone::of(1, &laptop);
    let digits = thief.dial(&mut laptop).expect("the secret is right");
    assert_eq!(phone.dial(&mut laptop).err(), Some(IdentityError::InvitationUsed));
    assert!(matches!(phone.reader.receive(&refusal()), Err(IdentityError::PairingRefused)));
    assert_eq!(phone.reader.confirm(&digits.to_string()), Err(IdentityError::OutOfTurn));

    for _ in 0..2 {
        thief.confirm(&mut laptop, &other_than(digits)).expect_err("wrong");
    }
    let third = thief.reader.confirm(&other_than(digits)).expect("six digits");
    laptop.answer(&thief.transport(), &third).expect("the third try");
    // A thief's device need not count its own tries: the laptop does.
    let fourth = laptop.answer(&thief.transport(), &third);
    assert_eq!(fourth, Err(IdentityError::ConfirmationFailed), "it would not be heard even if right");
    assert!(laptop.bearer.is_closed());
}

/// Promise: a card pasted over the new device's, or the new device's shown at another place, gains a man in the middle
/// nothing: what the user types for the real laptop opens nothing between him and the phone, and what the phone says
/// to him opens nothing at the laptop.
#[test]
fn a_man_in_the_middle_with_a_card_of_his_own_is_noticed() {
    let mut laptop = Laptop::new();
    // He has photographed the laptop's card, and calls it; the phone has read a card of his.
    let mut caller = Phone::of(66, &laptop);
    let digits = caller.dial(&mut laptop).expect("the secret is right");
    let host = Host::simulated(laptop.clock.clone(), 67);
    let keys = DeviceKeys::generate(&host);
    let bearer = CardBearer::new(host, keys.clone(), "laptop", []).expect("a good name");
    let mut pasted = Laptop { clock: laptop.clock.clone(), keys, bearer };
    let mut phone = Phone::of(1, &pasted);
    let his = phone.dial(&mut pasted).expect("it is his card");
    assert_ne!(digits.to_string(), his.to_string());

    // The user reads the laptop's digits and types them into the phone. To answer, he has to guess them.
    let guessed = phone.confirm(&mut pasted, &digits.to_string());
    assert_eq!(guessed, Err(IdentityError::WrongDigits { tries_left: 2 }));
    // What the laptop answers to the phone's element proves nothing on his connection.
    let tried = phone.reader.confirm(&digits.to_string()).expect("six digits");
    let passed_on = laptop.answer(&caller.transport(), &tried).expect("an element like any other");
    assert_eq!(phone.reader.receive(&passed_on), Err(IdentityError::InvitationUnknown));
    assert_eq!(phone.log.device_count(), 1);
}

/// Promise: a wrong card lets nobody near, and does not use up the right one.
#[test]
fn a_wrong_card_is_refused_and_the_right_one_still_works() {
    const PAIRING: std::ops::Range<usize> = 33..49;
    const SECRET: std::ops::Range<usize> = 49..65;
    let mut laptop = Laptop::new();
    let (_, keys, log) = phone_user(66);
    for (field, refused) in [(SECRET, IdentityError::WrongSecret), (PAIRING, IdentityError::InvitationUnknown)] {
        let mut bytes = laptop.bearer.card().to_bytes();
        bytes[field].iter_mut().for_each(|byte| *byte ^= 0x55);
        let forged = Card::from_bytes(&bytes).expect("still follows the format");
        let host = Host::simulated(laptop.clock.clone(), 66);
        let mut reader = CardReader::new(host, forged, log.user_id(), &keys.public(), []).expect("fresh");
        let call = reader.start(&laptop.transport()).expect("the right laptop");
        assert_eq!(laptop.called(&keys.public().transport, &call).err(), Some(refused));
    }
    let mut phone = Phone::of(1, &laptop);
    phone.dial(&mut laptop).expect("the right card");
}

/// Promise: after 300 seconds by the laptop's clock a card is worth nothing; digits that nobody types let nobody in.
#[test]
fn an_expired_card_is_refused_and_so_are_late_digits() {
    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    let call = phone.reader.start(&laptop.transport()).expect("the right laptop");
    laptop.clock.advance(INVITATION_MS);
    let expired = Some(IdentityError::InvitationExpired);
    assert_eq!(laptop.called(&phone.transport(), &call).err(), expired);
    Phone::of(2, &laptop);
    laptop.clock.advance(INVITATION_CLOCK_ERROR_MS);
    let (card, host) = (laptop.bearer.card().clone(), Host::simulated(laptop.clock.clone(), 1));
    let late = CardReader::new(host, card, phone.log.user_id(), &phone.keys.public(), []);
    assert_eq!(late.err(), expired);

    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    let digits = phone.dial(&mut laptop).expect("in time");
    laptop.clock.advance(CONFIRMATION_MS_MAX);
    let late = phone.confirm(&mut laptop, &digits.to_string());
    assert_eq!(late, Err(IdentityError::ConfirmationExpired));
    assert!(laptop.bearer.is_closed());
}

/// Promise: a card is good for one device, also after that has failed; and its digits are shown once the pairing is
/// recorded as used up, not before.
#[test]
fn a_card_is_good_for_one_device() {
    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    assert_eq!(laptop.bearer.consumed().err(), Some(IdentityError::OutOfTurn));
    phone.dial(&mut laptop).expect("the right card");
    laptop.bearer.lost(&[9; 32]);
    assert!(!laptop.bearer.is_closed(), "somebody else's connection does not matter");
    laptop.bearer.lost(&phone.transport());
    assert!(laptop.bearer.is_closed());
    let again = Phone::of(1, &laptop).dial(&mut laptop);
    assert_eq!(again.err(), Some(IdentityError::InvitationUsed));
}

/// Promise: neither side says anything to the wrong peer, and each refuses what it has sent itself.
#[test]
fn reflected_messages_and_wrong_peers_are_refused() {
    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    assert_eq!(phone.reader.start(&[9; 32]), Err(IdentityError::WrongPeer));
    let own = laptop.bearer.card().clone();
    let itself =
        CardReader::new(Host::simulated(laptop.clock.clone(), 1), own, phone.log.user_id(), &laptop.keys.public(), []);
    assert_eq!(itself.err(), Some(IdentityError::WrongPeer));

    let call = phone.reader.start(&laptop.transport()).expect("the right laptop");
    let (digits, ready) = laptop.called(&phone.transport(), &call).expect("the right card");
    // Passed on over a connection of somebody else's: the transcript has the keys of both ends.
    let mut elsewhere = Laptop::new();
    assert_eq!(elsewhere.called(&[9; 32], &call).err(), Some(IdentityError::WrongSecret));
    assert_eq!(phone.reader.receive(&ready), Ok(ReaderEvent::AskDigits));
    let tried = phone.reader.confirm(&digits.to_string()).expect("six digits");
    let reflected = [&[8], &tried[1..], &[0; 300]].concat();
    assert!(matches!(phone.reader.receive(&reflected), Err(IdentityError::WrongPeer)));
    let answer = laptop.answer(&phone.transport(), &tried).expect("a try");
    let reflected = [&[11], &answer[1..34]].concat();
    assert!(laptop.bearer.receive(&phone.transport(), &reflected).is_err());
}

/// Promise: no bit of any message can be altered on the way without being noticed.
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
    let ready = || {
        let mut laptop = Laptop::new();
        let mut phone = Phone::of(1, &laptop);
        let call = phone.reader.start(&laptop.transport()).expect("the right laptop");
        let (digits, ready) = laptop.called(&phone.transport(), &call).expect("the right card");
        (laptop, phone, call, digits, ready)
    };
    let (.., call, _, answer) = ready();
    for altered in flips(&call) {
        let mut laptop = Laptop::new();
        let peer = Phone::of(1, &laptop).transport();
        assert!(laptop.called(&peer, &altered).is_err());
    }
    for altered in flips(&answer) {
        let mut phone = Phone::of(1, &Laptop::new());
        phone.reader.start(&Laptop::new().transport()).expect("the right laptop");
        assert!(phone.reader.receive(&altered).is_err());
    }
    let (mut laptop, mut phone, _, digits, answer) = ready();
    phone.reader.receive(&answer).expect("unaltered");
    let tried = phone.reader.confirm(&digits.to_string()).expect("six digits");
    let proof = laptop.answer(&phone.transport(), &tried).expect("a try");
    for bit in (0..proof.len() * 8).step_by(7) {
        let (mut laptop, mut phone, _, digits, answer) = ready();
        phone.reader.receive(&answer).expect("unaltered");
        let tried = phone.reader.confirm(&digits.to_string()).expect("six digits");
        let mut proof = laptop.answer(&phone.transport(), &tried).expect("a try");
        proof[bit / 8] ^= 1 << (bit % 8);
        assert!(phone.reader.receive(&proof).is_err(), "bit {bit}");
    }
}

/// Promise: each kind of code is refused in the other's place, and the error says where it belongs.
#[test]
fn a_card_is_no_invitation() {
    let laptop = Laptop::new();
    let card = laptop.bearer.card();
    let refused = Invitation::from_text(&card.to_text()).expect_err("it is a card");
    assert!(refused.to_string().contains("a device that is the user's already"), "{refused}");
    let invitation = super::Phone::new().inviter.invitation().to_text();
    let refused = Card::from_text(&invitation.to_lowercase()).expect_err("it is an invitation");
    assert!(refused.to_string().contains("on the device that is new"), "{refused}");

    assert_eq!(Card::from_text(&format!(" {}\n", card.to_text().to_lowercase())).as_ref(), Ok(card));
    let printed = format!("{card:?}");
    let secret: Vec<String> = card.secret().iter().map(u8::to_string).collect();
    assert!(!printed.contains(&secret.join(", ")) && !printed.contains("secret"), "{printed}");
    let text = card.to_text();
    for position in 0..text.len() {
        let mut mistyped = text.clone().into_bytes();
        mistyped[position] = if mistyped[position] == b'7' { b'8' } else { b'7' };
        let mistyped = String::from_utf8(mistyped).expect("ASCII");
        assert!(matches!(Card::from_text(&mistyped), Err(IdentityError::InvitationText { .. })), "{position}");
    }
    assert!(card.qr_svg().starts_with("<?xml") && !card.qr_terminal().is_empty());
}

/// Promise: the bytes on the wire, the card and the digits are the same in every release.
#[test]
fn the_bytes_of_a_pairing_by_card_are_pinned() {
    let mut laptop = Laptop::new();
    let mut phone = Phone::of(1, &laptop);
    let hash = |bytes: &[u8]| hex(&blake3::hash(bytes).as_bytes()[..8]);
    let text = laptop.bearer.card().to_text();
    let call = phone.reader.start(&laptop.transport()).expect("the right laptop");
    let (digits, ready) = laptop.called(&phone.transport(), &call).expect("the right card");
    phone.reader.receive(&ready).expect("in order");
    let tried = phone.reader.confirm(&digits.to_string()).expect("six digits");
    let answer = laptop.answer(&phone.transport(), &tried).expect("a try");
    let bytes = [&call, &ready, &tried, &answer].map(|message| (message.len(), hash(message)));
    let pinned_text = [
        "CFOST-NEW:07M0SC8G8MET4RXQ2GYC53C89XXPZP5A29KDEFQNT370ZGKF14DDTZX3WJEEDYTA1TZCXWHDKB9QZDKP4438NJPN6ZY",
        "0PJP6WSDPPH44W0XXYXMV0400008T5XMQ0D1F64WK4BHH6RW2WC9E6CR2YX33E0QK8C1G6715YQKG",
    ];
    assert_eq!(text, pinned_text.concat());
    assert_eq!(digits.to_string(), "157 061");
    let pinned =
        [(126, "7074c406187e0562"), (65, "246ffcdea9c0ebb8"), (34, "4fdca55cf19f85ea"), (347, "8cc3313049a05dc7")];
    assert_eq!(bytes.each_ref().map(|(length, hash)| (*length, hash.as_str())), pinned);
}

proptest! {
    /// Promise: whatever a stranger sends is refused without a panic, and changes nothing.
    #[test]
    fn garbage_is_refused(kind in 0..13_u8, rest in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut laptop = Laptop::new();
        let mut phone = Phone::of(1, &laptop);
        let garbage = [&[kind], rest.as_slice()].concat();
        prop_assert!(laptop.bearer.receive(&phone.transport(), &garbage).is_err());
        phone.reader.start(&laptop.transport()).expect("the right laptop");
        prop_assert!(phone.reader.receive(&garbage).is_err());
        let mut phone = Phone::of(1, &laptop);
        let digits = phone.dial(&mut laptop).expect("garbage has changed nothing");
        prop_assert!(phone.reader.receive(&garbage).is_err());
        let mut phone = Phone::of(1, &Laptop::new());
        let _ = (digits, laptop.bearer.receive(&phone.transport(), &garbage));
        prop_assert!(phone.reader.confirm("123456").is_err());
    }
}
