//! The bytes of a members log, held to what `docs/security.md` says of them.

use super::*;
use crate::identity::EntryId;
use crate::oplog::{ChangeId, Head, LogId, SpaceId};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The kind, the length of the body, and the body.
fn said(entry: &SpaceEntry) -> String {
    let kind = 1 + 16 + 16 + 32 + 8 + 1 + 32 * entry.parents().len();
    hex(&entry.as_bytes()[kind..entry.as_bytes().len() - 64])
}

/// Promise: the bytes of an entry never change, nor does the id of a space.
#[test]
fn the_bytes_of_a_members_entry_are_pinned() {
    let [ana, _] = people();
    let (log, _) = found(&ana);
    let entry = log.entries().next().expect("it was founded").clone();
    let pinned = [
        "01",                                                               // version
        "c8119ad2ebed8a80a737885c7d5086b9",                                 // space
        "840445e4185888848ac1ce48e1f9767e",                                 // user
        "f3ebccf821545e7f24b023327d945dafd1afd73f0d5f9902b046dd916b894295", // author
        "0000e8abda769b01",                                                 // time
        "00",                                                               // parents
        "01",                                                               // kind
        "3000",                                                             // body length
        "4862d9156d2adeda3d2d02caba438bb9b3374d992b147a7febef6ae53e033bca", // body: root key
        "bd17256dec3c69ad1b5e3f727745f621",                                 // body: nonce
        "bdfdae4b2defc13591f5df1e4090f10d560a0907a5585ca16d8106845e26d30c", // signature
        "137dc748cb40fd4d9ff35c366642b973f6fdcc1db3d023b4aeab0f468dc40e0c",
    ];
    assert_eq!(hex(entry.as_bytes()), pinned.concat());
    assert_eq!(entry.id().to_string(), "45033f2de6ce53373659a5ffcf6004ef01c6f1b7f471a89cfedd5d43c511ea30");
    assert_eq!(entry.space().to_string(), "c8119ad2-ebed-8a80-a737-885c7d5086b9");
    assert_eq!(SpaceEntry::decode(entry.as_bytes()), Ok(entry));
}

/// Promise: the bytes of what an entry can say never change.
#[test]
fn the_bytes_of_what_is_said_of_members_are_pinned() {
    let [ana, ben] = people();
    let (mut log, key) = found(&ana);
    let mut counted = Frontiers::new();
    counted.advance(log.space(), LogId::from_bytes([7; 16]), Head { seq: 300, id: ChangeId::from_bytes([9; 32]) });
    let frontiers =
        format!("0100{}0100{}2c01000000000000{}", hex(log.space().as_bytes()), "07".repeat(16), "09".repeat(32));
    let user = hex(ben.id().as_bytes());

    let member = SpaceBody::Member { root: ben.root(), role: Role::Reader, counted: counted.clone() };
    let member = ana.say(0, &mut log, member).expect("the owner");
    assert_eq!(said(&member), format!("026d00{}01{frontiers}", hex(ben.root().as_bytes())));
    let member = ana.set(&mut log, &ben, Role::Writer);
    assert_eq!(said(&member), format!("022300{}020000", hex(ben.root().as_bytes())));
    let grant =
        EpochGrant::seal(&host(5), ana.id(), log.space(), &key, &[ben.devices[0].public()]).expect("one device");
    let sealed = {
        let keys = ana.say(0, &mut log, SpaceBody::Keys(grant.clone())).expect("a member");
        let said = said(&keys);
        let epoch = format!("06{:02x}00{}", 16 + 4 + 32 + 2 + 96, hex(log.space().as_bytes()));
        assert!(said.starts_with(&format!("{epoch}{}{}0100", hex(&key.epoch().to_le_bytes()), hex(key.commitment()))));
        said
    };
    let epoch = ana.say(0, &mut log, SpaceBody::Epoch(grant)).expect("a writer");
    assert_eq!(said(&epoch), format!("05{}", &sealed[2..]));
    let hand_over = ana.say(0, &mut log, SpaceBody::HandOver { user: ben.id() }).expect("the owner");
    assert_eq!(said(&hand_over), format!("041000{user}"));
    let leave = ana.say(0, &mut log, SpaceBody::EndMember { user: ana.id(), counted }).expect("a writer now");
    assert_eq!(said(&leave), format!("035c00{}{frontiers}", hex(ana.id().as_bytes())));
    for entry in log.entries() {
        assert_eq!(SpaceEntry::decode(entry.as_bytes()).as_ref(), Ok(entry));
    }
}

/// Promise: nobody founds another's space, begins one by anything else, or makes an owner but by handing over.
#[test]
fn what_would_claim_a_space_is_refused() {
    let [ana, ben] = people();
    let (mut log, _) = found(&ana);
    let malformed = |what, problem| Err(IdentityError::Malformed { what, problem });
    let sign = |space: SpaceId, parents: Vec<EntryId>, body| {
        SpaceEntry::sign(ben.devices[0].signing(), (space, ben.id()), at(1), parents, body)
    };
    let claim = sign(log.space(), Vec::new(), SpaceBody::Found { root: ben.root(), nonce: [7; 16] });
    assert_eq!(claim, malformed("members entry body", "the space is not the founder's"));
    let owner = SpaceBody::Member { root: ben.root(), role: Role::Owner, counted: Frontiers::new() };
    let refused = malformed("members entry body", "nobody becomes the owner but by a hand-over");
    assert_eq!(sign(log.space(), log.heads().collect(), owner), refused);
    let unfounded = sign(log.space(), Vec::new(), SpaceBody::HandOver { user: ben.id() }).expect("it signs");
    let problem = "a space begins with the entry that founds it, and with no other";
    assert_eq!(log.insert(unfounded.as_bytes()), malformed("members entry", problem).map(|_| Inserted::Known));
    let own = SpaceId::founded_by(ben.id(), &[7; 16]);
    let elsewhere = sign(own, Vec::new(), SpaceBody::Found { root: ben.root(), nonce: [7; 16] }).expect("his own");
    let wrong = IdentityError::WrongSpace { found: own, expected: log.space() };
    assert_eq!(log.insert(elsewhere.as_bytes()), Err(wrong));
    let forged = {
        let mut bytes = log.entries().next().expect("one").as_bytes().to_vec();
        *bytes.last_mut().expect("a signature") ^= 1;
        SpaceLog::new(log.space()).insert(&bytes)
    };
    assert_eq!(forged, Err(IdentityError::Signature { what: "a members entry" }));
}
