use proptest::prelude::*;

use super::{add, at, host, phone_user, rename, root_key};
use crate::identity::{Body, Entry, EntryId, EpochGrant, Frontiers, IdentityError, IdentityLog, Profile, new_epoch};
use crate::oplog::{ChangeId, DeviceId, Head, LogId, SpaceId};

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

/// Promise: the bytes of what an entry can say about devices and keys never change.
#[test]
fn the_bytes_of_ends_re_rootings_and_epochs_are_pinned() {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    let space = SpaceId::home_of(log.user_id());
    let mut counted = Frontiers::new();
    counted.advance(space, LogId::from_bytes([7; 16]), Head { seq: 300, id: ChangeId::from_bytes([9; 32]) });
    let body = |entry: &Entry| {
        let kind = 58 + 32 * entry.parents().len();
        hex(&entry.as_bytes()[kind..entry.as_bytes().len() - 64])
    };

    let more = Body::Counted(counted.clone());
    let pinned = [
        "07",                                                               // kind
        "4c00",                                                             // body length
        "0100",                                                             // spaces
        "22ae0e99f51e8b7f8a4c78e47156ffe6",                                 // space
        "0100",                                                             // logs
        "07070707070707070707070707070707",                                 // log
        "2c01000000000000",                                                 // seq
        "0909090909090909090909090909090909090909090909090909090909090909", // change
    ];
    let entry = log.author(&phone, more, at(20)).expect("signs");
    assert_eq!(body(&entry), pinned.concat());
    assert_eq!(Entry::decode(entry.as_bytes()), Ok(entry));

    let end = Body::EndDevice { device: laptop.id(), counted: counted.clone() };
    let pinned = [
        "04",                                                               // kind
        "5c00",                                                             // body length
        "eb3f5c6a307b8a8c827dcc5cdad29427",                                 // device
        "0100",                                                             // spaces
        "22ae0e99f51e8b7f8a4c78e47156ffe6",                                 // space
        "0100",                                                             // logs
        "07070707070707070707070707070707",                                 // log
        "2c01000000000000",                                                 // seq
        "0909090909090909090909090909090909090909090909090909090909090909", // change
    ];
    assert_eq!(body(&log.author(&phone, end, at(20)).expect("signs")), pinned.concat());

    let re_root = Body::ReRoot { kept: [laptop.id(), phone.id()].into(), counted };
    let pinned = [
        "05",                                                               // kind
        "6e00",                                                             // body length
        "0200",                                                             // devices
        "1e4a8076b3488dc3aa274d6461feceb3",                                 // device
        "eb3f5c6a307b8a8c827dcc5cdad29427",                                 // device
        "0100",                                                             // spaces
        "22ae0e99f51e8b7f8a4c78e47156ffe6",                                 // space
        "0100",                                                             // logs
        "07070707070707070707070707070707",                                 // log
        "2c01000000000000",                                                 // seq
        "0909090909090909090909090909090909090909090909090909090909090909", // change
    ];
    assert_eq!(body(&log.author_as_root(&root_key(1), re_root, at(20)).expect("signs")), pinned.concat());

    let key = new_epoch(&host(7));
    let grant = EpochGrant::seal(&host(8), log.user_id(), space, &key, [&laptop.public()]).expect("one device");
    let pinned = [
        "06",                                                               // kind
        "9600",                                                             // body length
        "22ae0e99f51e8b7f8a4c78e47156ffe6",                                 // space
        "44a1920a",                                                         // epoch
        "44a152998492350596d750482ebc6289190f1c540a0cede7e7cff971d9457d16", // commitment
        "0100",                                                             // keys
        "eb3f5c6a307b8a8c827dcc5cdad29427",                                 // device
        "442162babc2018b22be96949ddf98015d3dfb4700f49e1db758b9db0bf763c59", // encapsulated key
        "4f923201b62053c6c491dc4cc23fb0df64a6b2d113a9975bf7f79aa47fc73d92", // sealed key
        "9fcd0c7913115cbbefb1c1910ee6a949",                                 // its tag
    ];
    assert_eq!(body(&log.author(&phone, Body::Epoch(grant), at(20)).expect("signs")), pinned.concat());
}

/// Promise: frontiers, and lists of devices, have one form: sorted, each once, none empty, not too many.
#[test]
fn lists_in_an_entry_are_in_order() {
    let (_, phone, log) = phone_user(1);
    let decode = |kind: u8, bytes: &[u8]| {
        let body = Body::Unknown { kind, bytes: bytes.to_vec() };
        let entry = log.author(&phone, body, at(1)).expect("signs");
        Entry::decode(entry.as_bytes()).map(drop)
    };
    let space = |space: u8, logs: &[(u8, u64)]| {
        let mut bytes = [space; 16].to_vec();
        bytes.extend_from_slice(&(logs.len() as u16).to_le_bytes());
        for (log, seq) in logs {
            bytes.extend_from_slice(&[*log; 16]);
            bytes.extend_from_slice(&seq.to_le_bytes());
            bytes.extend_from_slice(&[1; 32]);
        }
        bytes
    };
    let end = |spaces: &[Vec<u8>]| {
        let count = (spaces.len() as u16).to_le_bytes();
        decode(4, &[&[5; 16], count.as_slice(), &spaces.concat()].concat())
    };
    let malformed = |problem| Err(IdentityError::Malformed { what: "identity entry body", problem });
    assert_eq!(end(&[]), Ok(()));
    assert_eq!(end(&[space(1, &[(1, 1), (2, 9)]), space(2, &[(1, 1)])]), Ok(()));
    let not_sorted = malformed("its spaces are not sorted, or doubled");
    assert_eq!(end(&[space(2, &[(1, 1)]), space(1, &[(1, 1)])]), not_sorted);
    assert_eq!(end(&[space(1, &[(1, 1)]), space(1, &[(2, 1)])]), not_sorted);
    let logs = malformed("its logs are not sorted, or doubled, or empty");
    assert_eq!(end(&[space(1, &[(2, 1), (1, 1)])]), logs);
    assert_eq!(end(&[space(1, &[(1, 1), (1, 2)])]), logs);
    assert_eq!(end(&[space(1, &[(1, 0)])]), logs);
    let count = malformed("it names a space without logs, or more than 1000 logs");
    assert_eq!(end(&[space(1, &[])]), count);
    let many: Vec<_> = (0..=250).map(|log| (log, 1)).collect();
    assert_eq!(end(&(0..4).map(|number| space(number, &many)).collect::<Vec<_>>()), count);

    let keep = |kept: &[u8]| {
        let devices: Vec<u8> = kept.iter().flat_map(|device| [*device; 16]).collect();
        decode(5, &[(kept.len() as u16).to_le_bytes().as_slice(), &devices, &[0, 0]].concat())
    };
    assert_eq!(keep(&[1, 2]), Ok(()));
    assert_eq!(keep(&[2, 1]), malformed("its devices are not sorted, or doubled"));
    assert_eq!(keep(&[1, 1]), malformed("its devices are not sorted, or doubled"));
    assert_eq!(keep(&[]), malformed("it keeps no device, or more than 256"));
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
        kind in 8..=255_u8,
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
