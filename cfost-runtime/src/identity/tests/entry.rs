use proptest::prelude::*;

use super::{add, at, phone_user, rename};
use crate::identity::{Body, Entry, EntryId, IdentityError, IdentityLog, Profile};
use crate::oplog::DeviceId;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Promise: the bytes of an entry never change.
#[test]
fn the_bytes_of_an_entry_are_pinned() {
    let (_, phone, log) = phone_user(1);
    let entry = log.author(&phone, rename(&phone, "phone"), at(1)).expect("signs");
    let pinned = [
        "01",                                                               // version
        "840445e4185888848ac1ce48e1f9767e",                                 // user
        "af5fe4a1b95a13215815939916bdf8f9a54a25c38c2062c78db1d71f38615911", // author
        "0000e8abda769b01",                                                 // time
        "01",                                                               // parents
        "2762bd9314426925976d1dc5834f1f7a7412836294de59fafbda408c9eea5ed0", // parent
        "02",                                                               // kind
        "1600",                                                             // body length
        "1e4a8076b3488dc3aa274d6461feceb3",                                 // body: device
        "0570686f6e65",                                                     // body: name
        "ec7e46c1c1498d8c55aefc6f68484e1ca64a8f255f68afe96b974518bdb29779", // signature
        "0cdce9a370fb1788efd5bcf8921cda22966ce9e673b03735de9faa3c98834a08",
    ];
    assert_eq!(hex(entry.as_bytes()), pinned.concat());
    assert_eq!(entry.id().to_string(), "f8f89d4890e3e866bf07405aa31a1b3a5a5cbb185a8322916ec0f71abc684173");
    assert_eq!(Entry::decode(entry.as_bytes()), Ok(entry));
}

/// Promise: no bit of an entry can be altered, and no byte cut off or added.
#[test]
fn an_altered_entry_is_refused() {
    let (_, phone, mut log) = phone_user(1);
    add(&mut log, &phone, 2, "laptop");
    let entry = log.entries().last().expect("the laptop's").as_bytes().to_vec();
    for bit in 0..entry.len() * 8 {
        let mut altered = entry.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(Entry::decode(&altered).is_err(), "bit {bit} was flipped unnoticed");
    }
    for length in 0..entry.len() {
        assert!(Entry::decode(&entry[..length]).is_err(), "cut to {length} bytes unnoticed");
    }
    let longer = [entry.as_slice(), &[0]].concat();
    let problem = "bytes follow its end";
    assert_eq!(Entry::decode(&longer), Err(IdentityError::Malformed { what: "identity entry", problem }));
}

/// Promise: an entry has one form: parents in another order, or doubled, or too many are refused even
/// if a device of the user has signed them so.
#[test]
fn parents_are_in_order() {
    let (_, phone, mut log) = phone_user(1);
    add(&mut log, &phone, 2, "laptop");
    let mut parents: Vec<EntryId> = log.entries().map(Entry::id).collect();
    parents.sort();
    let decode = |parents: Vec<EntryId>| {
        let entry = Entry::sign(phone.signing(), log.user_id(), at(1), parents, rename(&phone, "x")).expect("signs");
        Entry::decode(entry.as_bytes()).map(drop)
    };
    let malformed = |problem| Err(IdentityError::Malformed { what: "identity entry", problem });
    assert_eq!(decode(parents.clone()), Ok(()));
    let not_sorted = malformed("its parents are not sorted, or doubled");
    assert_eq!(decode(vec![parents[1], parents[0]]), not_sorted);
    assert_eq!(decode(vec![parents[0], parents[0]]), not_sorted);
    let many = (0..65).map(|number| EntryId::from_bytes([number; 32])).collect();
    assert_eq!(decode(many), malformed("it has more than 64 parents"));
}

/// Promise: a newer format is told apart from damage.
#[test]
fn a_newer_format_asks_for_an_update() {
    let (_, _, log) = phone_user(1);
    let mut newer = log.entries().next().expect("one entry").as_bytes().to_vec();
    newer[0] = 2;
    let error = IdentityError::Version { what: "identity entry", found: 2, supported: 1 };
    assert_eq!(Entry::decode(&newer), Err(error));
}

/// Promise: what would confuse a screen, or fill it, is neither signed nor accepted.
#[test]
fn names_that_steer_the_screen_are_refused() {
    let (_, phone, log) = phone_user(1);
    let long = "x".repeat(65);
    for name in ["", "  ", "two\nlines", "\u{1b}[2Jphone", "enohp\u{202e}", "zero\u{200b}width", long.as_str()] {
        let error = log.author(&phone, rename(&phone, name), at(1)).expect_err("no such name");
        assert!(matches!(error, IdentityError::Text { field: "device name", .. }), "{name:?}: {error}");
    }
    for email in ["", "ana", "@example.org", "ana@", "ana @example.org", "a\u{7}@b"] {
        let body = Body::Profile(Profile { name: "Ana".to_owned(), email: email.to_owned() });
        let error = log.author(&phone, body, at(1)).expect_err("no such address");
        assert!(matches!(error, IdentityError::Text { field: "e-mail address", .. }), "{email:?}: {error}");
    }
    for name in ["Telefon von Jürgen 📱", "电话", "naïve café"] {
        log.author(&phone, rename(&phone, name), at(1)).expect("people's names are theirs");
    }
}

proptest! {
    /// Promise: garbage is refused, by an error and not by a panic.
    #[test]
    fn garbage_is_not_an_entry(bytes in prop::collection::vec(any::<u8>(), 0..400), versioned in any::<bool>()) {
        let mut bytes = bytes;
        if versioned && let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        prop_assert!(Entry::decode(&bytes).is_err());
        let (_, _, mut log) = phone_user(1);
        prop_assert!(log.insert(&bytes).is_err());
    }

    /// Promise: what is signed is read back as it was, any body.
    #[test]
    fn an_entry_is_read_back_as_it_was_signed(
        name in "[a-zA-Z0-9 ]{0,20}[a-z]",
        device in any::<[u8; 16]>(),
        kind in 4..=255_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let (_, phone, log) = phone_user(1);
        let log: &IdentityLog = &log;
        for body in [
            Body::RenameDevice { device: DeviceId::from_bytes(device), name: name.clone() },
            Body::Profile(Profile { name: name.clone(), email: "ana@example.org".to_owned() }),
            Body::Unknown { kind, bytes },
        ] {
            let entry = log.author(&phone, body, at(1)).expect("signs");
            prop_assert_eq!(Entry::decode(entry.as_bytes()), Ok(entry));
        }
    }
}
