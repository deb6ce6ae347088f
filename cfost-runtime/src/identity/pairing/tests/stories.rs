use super::{Phone, hex, home_key, other_than};
use crate::identity::limits::{CONFIRMATION_MS_MAX, PAIRING_MESSAGE_BYTES_MAX};
use crate::identity::pairing::InviterEvent;
use crate::identity::tests::author;
use crate::identity::{Body, IdentityError};

/// Promise: scan, compare six digits, done: the laptop is a device of the user, has the keys to the
/// user's data, and can prove itself to a third device.
#[test]
fn a_laptop_joins_a_phone() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
    assert_eq!(phone.inviter.waiting(), Some("laptop"));

    let digits = laptop.digits(&challenge).expect("the right phone");
    let messages = phone.confirm(&digits.to_string()).expect("the right digits");
    let joined = laptop.admitted(&messages).expect("all of it");
    let done = laptop.joiner.done().expect("after storing");
    let device = laptop.keys.id();
    assert_eq!(phone.inviter.receive(&laptop.transport(), &done), Ok(InviterEvent::Joined(device)));
    assert!(phone.inviter.is_closed());

    assert_eq!(joined.log.digest(), phone.log.digest());
    assert_eq!(joined.inviter.id, phone.keys.id());
    let added = joined.log.device(device).expect("it is one of the devices now");
    assert_eq!((added.name.as_str(), added.added_by), ("laptop", Some(phone.keys.id())));
    let (space, key) = home_key(&phone.log);
    let received: Vec<_> = joined.space_keys.iter().map(|(space, key)| (*space, key.epoch(), *key.secret())).collect();
    assert_eq!(received, [(space, 1, *key.secret())]);

    let certificate = joined.log.certificate(device).expect("a device of the user");
    let seen = phone.log.authenticate(&certificate, &laptop.transport()).expect("it holds");
    assert_eq!(seen.id, device);
}

/// Promise: a user with a long history can still pair: what does not fit one message takes several.
#[test]
fn a_long_identity_log_takes_several_messages() {
    let mut phone = Phone::new();
    for number in 0..12 {
        let (log, keys) = (&mut phone.log, &phone.keys);
        author(log, keys, Body::Unknown { kind: 99, bytes: vec![number; 20_000] }, 10 + u64::from(number));
    }
    let mut laptop = phone.reader(2, "laptop");
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
    let digits = laptop.digits(&challenge).expect("the right phone");
    let messages = phone.confirm(&digits.to_string()).expect("the right digits");
    assert_eq!(messages.len(), 4);
    assert!(messages.iter().all(|message| message.len() <= PAIRING_MESSAGE_BYTES_MAX));

    let joined = laptop.admitted(&messages).expect("all of it");
    assert_eq!(joined.log.digest(), phone.log.digest());
}

/// Promise: digits may be typed with a space, a hyphen or neither; what is not six digits costs no try;
/// one wrong try is forgiven.
#[test]
fn a_mistyped_digit_is_forgiven() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
    let digits = laptop.digits(&challenge).expect("the right phone");

    for slip in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "-12345"] {
        assert_eq!(phone.confirm(slip), Err(IdentityError::DigitsForm), "{slip:?}");
    }
    assert_eq!(phone.confirm(&other_than(digits)), Err(IdentityError::WrongDigits { tries_left: 2 }));
    let hyphenated = format!(" {} ", digits.to_string().replace(' ', "-"));
    let messages = phone.confirm(&hyphenated).expect("the right digits");
    laptop.admitted(&messages).expect("all of it");
}

/// Promise: digits that nobody types let nobody in.
#[test]
fn digits_must_be_typed_in_time() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
    let digits = laptop.digits(&challenge).expect("the right phone").to_string();

    phone.clock.advance(CONFIRMATION_MS_MAX);
    assert_eq!(phone.confirm(&digits), Err(IdentityError::ConfirmationExpired));
    assert_eq!(phone.confirm(&digits), Err(IdentityError::OutOfTurn));
    assert_eq!(phone.log.device_count(), 1);
}

/// Promise: the steps cannot be taken out of order, whoever drives the machines.
#[test]
fn steps_out_of_turn_are_refused() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    assert_eq!(phone.inviter.consumed(), Err(IdentityError::OutOfTurn));
    assert_eq!(phone.confirm("123456"), Err(IdentityError::OutOfTurn));
    assert_eq!(phone.inviter.admit(&phone.log, &[]), Err(IdentityError::OutOfTurn));
    assert_eq!(laptop.joiner.done(), Err(IdentityError::OutOfTurn));

    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    phone.inviter.receive(&laptop.transport(), &start).expect("the right code");
    assert_eq!(phone.confirm("123456"), Err(IdentityError::OutOfTurn), "the pairing is not recorded as used yet");
    let challenge = phone.inviter.consumed().expect("recorded");
    assert_eq!(phone.inviter.consumed(), Err(IdentityError::OutOfTurn));
    let digits = laptop.digits(&challenge).expect("the right phone");
    assert_eq!(laptop.joiner.start(&phone.transport()), Err(IdentityError::OutOfTurn));

    let request = phone.inviter.confirm(&digits.to_string()).expect("the right digits");
    let device = request.keys().id();
    let unknown = IdentityError::UnknownDevice { device };
    assert_eq!(phone.inviter.admit(&phone.log, &[]), Err(unknown), "add it to the log first");
    author(&mut phone.log, &phone.keys, Body::AddDevice(request), 60);
    let messages = phone.inviter.admit(&phone.log, &[]).expect("now it is there");
    assert_eq!(phone.inviter.admit(&phone.log, &[]), Err(IdentityError::OutOfTurn));
    let joined = laptop.admitted(&messages).expect("all of it");
    assert!(joined.space_keys.is_empty());
}

/// Promise: a connection lost before the digits are shown costs nothing but dialling again; one lost
/// later ends the pairing, and somebody else's connection does not matter.
#[test]
fn a_lost_connection_ends_only_its_own_pairing() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    laptop.joiner.start(&phone.transport()).expect("the right phone");
    phone.inviter.lost(&laptop.transport());
    assert!(!phone.inviter.is_closed(), "nothing had arrived");

    let start = laptop.joiner.start(&phone.transport()).expect("begins again");
    phone.start(&laptop.transport(), &start).expect("the right code");
    phone.inviter.lost(&[9; 32]);
    assert!(!phone.inviter.is_closed());
    phone.inviter.lost(&laptop.transport());
    assert!(phone.inviter.is_closed());

    let mut other = Phone::new();
    other.inviter.cancel();
    assert!(other.inviter.is_closed());
}

/// Promise: the bytes on the wire, the code and the digits are the same in every release.
#[test]
fn the_bytes_of_a_pairing_are_pinned() {
    let mut phone = Phone::new();
    let mut laptop = phone.reader(2, "laptop");
    let text = phone.inviter.invitation().to_text();
    let start = laptop.joiner.start(&phone.transport()).expect("the right phone");
    let challenge = phone.start(&laptop.transport(), &start).expect("the right code");
    let digits = laptop.digits(&challenge).expect("the right phone");
    let messages = phone.confirm(&digits.to_string()).expect("the right digits");
    laptop.admitted(&messages).expect("all of it");
    let done = laptop.joiner.done().expect("after storing");
    let hash = |bytes: &[u8]| hex(&blake3::hash(bytes).as_bytes()[..8]);
    let pinned_text = [
        "CFOST:06208HF431C8H14AR774HRFSESZ4E62Y0W0X0RPYJ483FRPVP303QZD8Y4K5MMGM21KD5WB036SKZHEEZ1SPDENZ1X",
        "R8A715EK1MMMJ7ZCRTR787F11SF31KSAC5PATRSBG3QQVPKC0G000238QPJW1M5WRKJCHE64V3GBHH5RS30BVMCDR2YD1G60",
        "RJ4BV9E0T2YC9S68Q32DHR5RRJWCHG5XTP8W1F6GR30C9FE5TPJRSDERRZHVJ294",
    ];
    assert_eq!(text, pinned_text.concat());
    let pinned_challenge = [
        "02",                                                               // message
        "cecdaa6290bf6bf57cc6cf39444b9914a3f9a0409b761867eb0d16ac25ce508d", // nonce
        "8ea4b862f718cf2f058298f635209cc259455c42b5bd76e5c07e503f107093e3", // MAC
    ];
    assert_eq!(hex(&challenge), pinned_challenge.concat());
    assert_eq!(digits.to_string(), "984 685");
    assert_eq!((start.len(), hash(&start).as_str()), (313, "543376182cce78ce"));
    assert_eq!((messages[0].len(), hash(&messages[0]).as_str()), (895, "9e04344b90c1e930"));
    assert_eq!(hex(&done), "050fe6d32705f0b928e290a3de37b84bd9bd5dffc8fcbda5c834c59d3f171c1e53");
}
