use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{add, at, author, host, phone_user, rename, root_key};
use crate::identity::entry::{PROOF_DOMAIN, proof_statement};
use crate::identity::keys::sign;
use crate::identity::limits::ENTRY_PARENTS_MAX;
use crate::identity::wire::Reader;
use crate::identity::{
    AddDevice, Body, DeviceKeys, DevicePublic, Entry, EpochGrant, Frontiers, IdentityError, IdentityLog, Inserted,
    Profile, new_epoch,
};
use crate::oplog::{ChangeId, Head, LogId, SpaceId};

fn profile(name: &str) -> Body {
    Body::Profile(Profile { name: name.to_owned(), email: "ana@example.org".to_owned() })
}

/// Everything that a log says.
fn says(log: &IdentityLog) -> String {
    let entries: Vec<_> = log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
    let devices: Vec<_> = log.known_devices().collect();
    let by_transport: Vec<_> =
        devices.iter().map(|device| log.device_by_transport_key(&device.keys.transport)).collect();
    let (space, logs) = (SpaceId::home_of(log.user_id()), [1, 2].map(|byte| LogId::from_bytes([byte; 16])));
    let counted: Vec<_> = devices.iter().map(|device| logs.map(|of| log.counted(device.id, space, of))).collect();
    let certificates: Vec<_> = devices.iter().map(|device| log.certificate(device.id)).collect();
    format!(
        "{devices:?}{counted:?}{:?}{by_transport:?}{:?}{:?}{entries:?}{certificates:?}",
        log.current_epoch(space),
        log.profile(),
        log.digest()
    )
}

/// Promise: a new user has one device, certified by the root key, and nothing else.
#[test]
fn a_new_user_has_one_device() {
    let (_, phone, log) = phone_user(1);
    let device = log.device_by_signing_key(&phone.public().signing).expect("the first device");
    assert_eq!((device.name.as_str(), device.added_by, device.added_at), ("phone", None, at(0)));
    assert_eq!(log.device_by_transport_key(&phone.public().transport), Some(device));
    assert_eq!((log.device_count(), log.entry_count(), log.profile()), (1, 1, None));
}

/// Promise: the latest name wins; a name given in knowledge of another always wins over it, even by
/// a device whose clock is behind.
#[test]
fn the_latest_name_wins() {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    author(&mut log, &phone, rename(&laptop, "big laptop"), 3600);
    author(&mut log, &laptop, rename(&laptop, "old laptop"), 1);
    assert_eq!(log.device(laptop.id()).map(|device| device.name).as_deref(), Some("old laptop"));

    author(&mut log, &laptop, profile("Ana"), 1);
    author(&mut log, &phone, profile("Ana María"), 0);
    assert_eq!(log.profile().map(|profile| profile.name.as_str()), Some("Ana María"));
}

/// Promise: who is not a device of the user changes nothing: not by signing well, not with entries
/// of a user of its own, and not by being added later by someone else who had no say.
#[test]
fn a_stranger_changes_nothing() {
    let (_, phone, mut log) = phone_user(1);
    let before = says(&log);
    let stranger = DeviceKeys::generate(&host(66));

    assert_eq!(
        log.author(&stranger, profile("Eve"), at(1)),
        Err(IdentityError::NotAuthorised { device: stranger.id() })
    );

    // A stranger who gets the format right, and even names the real heads.
    let request = AddDevice::new(log.user_id(), &stranger, "phone").expect("a good name");
    let heads = log.heads().collect();
    let forged = Entry::sign(stranger.signing(), log.user_id(), at(1), heads, Body::AddDevice(request)).expect("signs");
    assert_eq!(log.insert(forged.as_bytes()), Err(IdentityError::NotAuthorised { device: stranger.id() }));

    // An entry of another user.
    let (other_root, _, other_log) = phone_user(2);
    let foreign = other_log.entries().next().expect("one entry");
    let wrong_user = IdentityError::WrongUser { found: other_root.user_id(), expected: log.user_id() };
    assert_eq!(log.insert(foreign.as_bytes()), Err(wrong_user.clone()));
    assert_eq!(log.author_as_root(&other_root, profile("Eve"), at(1)), Err(wrong_user));
    assert_eq!(says(&log), before);

    // A device that signed before it was added: authority is a matter of ancestors, not of arrival.
    let early = DeviceKeys::generate(&host(67));
    let heads = log.heads().collect();
    let too_early = Entry::sign(early.signing(), log.user_id(), at(1), heads, profile("Eve")).expect("signs");
    let request = AddDevice::new(log.user_id(), &early, "tablet").expect("a good name");
    author(&mut log, &phone, Body::AddDevice(request), 2);
    assert_eq!(log.insert(too_early.as_bytes()), Err(IdentityError::NotAuthorised { device: early.id() }));
}

/// Promise: nobody can make a device of someone who did not ask, or of another's transport key.
#[test]
fn a_device_is_added_only_with_its_own_proof() {
    let (_, phone, mut log) = phone_user(1);
    let (other_root, ..) = phone_user(2);
    let victim = DeviceKeys::generate(&host(5));

    // The victim asked to join another user, not this one.
    let request = AddDevice::new(other_root.user_id(), &victim, "tablet").expect("a good name");
    let entry = log.author(&phone, Body::AddDevice(request), at(1)).expect("signs");
    assert_eq!(log.insert(entry.as_bytes()), Err(IdentityError::Signature { what: "a device's proof of its keys" }));

    // The phone's transport key beside a signing key of the attacker's own: one proof is missing.
    let attacker = DeviceKeys::generate(&host(6));
    let keys = DevicePublic { transport: phone.public().transport, ..attacker.public() };
    let proof = sign(attacker.signing(), PROOF_DOMAIN, &proof_statement(log.user_id(), &keys));
    let body = [keys.to_bytes().as_slice(), &proof, &proof, b"\x06tablet"].concat();
    let request = AddDevice::read(&mut Reader::new("test", &body)).expect("follows the format");
    let entry = log.author(&phone, Body::AddDevice(request), at(1)).expect("signs");
    assert_eq!(log.insert(entry.as_bytes()), Err(IdentityError::Signature { what: "a device's proof of its keys" }));
    assert_eq!(log.device_count(), 1);
}

/// Promise: the phrase brings a user back when all devices are lost.
#[test]
fn the_phrase_adds_a_device_when_all_others_are_lost() {
    let (_, _, mut log) = phone_user(1);
    let tablet = DeviceKeys::generate(&host(3));
    let request = AddDevice::new(log.user_id(), &tablet, "tablet").expect("a good name");
    let entry = log.author_as_root(&root_key(1), Body::AddDevice(request), at(9)).expect("the same user");
    log.insert(entry.as_bytes()).expect("the root key has a say");
    assert_eq!(log.device(tablet.id()).and_then(|device| device.added_by), None);
    author(&mut log, &tablet, profile("Ana"), 10);
}

/// Promise: an entry that comes before its ancestors waits and has no effect; then it counts.
#[test]
fn early_entries_wait_for_their_ancestors() {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    author(&mut log, &laptop, rename(&phone, "Ana's phone"), 20);
    let entries: Vec<Entry> = log.entries().cloned().collect();

    let mut late = IdentityLog::new(log.root());
    assert_eq!(late.insert(entries[2].as_bytes()), Ok(Inserted::Waiting));
    assert_eq!(late.insert(entries[2].as_bytes()), Ok(Inserted::Known));
    assert_eq!(late.insert(entries[1].as_bytes()), Ok(Inserted::Waiting));
    assert_eq!((late.device_count(), late.entry_count()), (0, 0));
    assert_eq!(late.missing(), Some(entries[0].id()));
    let all = entries.iter().map(Entry::id).collect();
    assert_eq!(late.insert(entries[0].as_bytes()), Ok(Inserted::Accepted(all)));
    assert_eq!((says(&late), late.missing()), (says(&log), None));

    let incomplete = IdentityLog::from_entries(log.root(), entries[1..].iter().map(Entry::as_bytes));
    assert_eq!(incomplete.err(), Some(IdentityError::MissingEntry { missing: entries[0].id() }));
}

/// Promise: what waits is bounded; a sender who keeps the order is never refused.
#[test]
fn what_waits_is_bounded() {
    let (_, phone, mut log) = phone_user(1);
    let held_back = author(&mut log, &phone, rename(&phone, "held back"), 1);
    let mut late = IdentityLog::new(log.root());
    late.insert(log.entries().next().expect("the first").as_bytes()).expect("the first entry");

    let body = Body::Unknown { kind: 200, bytes: vec![7; 60_000] };
    let mut refused = None;
    for second in 0..100 {
        let entry = log.author(&phone, body.clone(), at(100 + second)).expect("signs");
        if let Err(error) = late.insert(entry.as_bytes()) {
            refused = Some((second, error));
            break;
        }
    }
    assert_eq!(refused, Some((69, IdentityError::WaitingFull)));
    assert!(matches!(late.insert(held_back.as_bytes()), Ok(Inserted::Accepted(released)) if released.len() == 70));
}

/// Promise: a device of the user that writes without end is stopped, and the log stays usable.
#[test]
fn a_log_is_bounded() {
    let (_, phone, mut log) = phone_user(1);
    let body = Body::Unknown { kind: 200, bytes: vec![7; 65_000] };
    let refused = (1..2000).find_map(|second| {
        let entry = log.author(&phone, body.clone(), at(second)).expect("signs");
        log.insert(entry.as_bytes()).err().map(|error| (second, error))
    });
    assert_eq!(refused, Some((1030, IdentityError::LogFull)));
    let read = IdentityLog::from_entries(log.root(), log.entries().map(Entry::as_bytes)).expect("its own entries");
    assert_eq!((read.device_count(), read.digest()), (1, log.digest()));
}

/// Promise: what a newer app says is kept, counted and passed on, and disturbs nothing.
#[test]
fn what_a_newer_app_says_is_kept_and_passed_on() {
    let (_, phone, mut log) = phone_user(1);
    let newer = author(&mut log, &phone, Body::Unknown { kind: 77, bytes: b"from the future".to_vec() }, 5);
    author(&mut log, &phone, rename(&phone, "old phone"), 6);
    let read = IdentityLog::from_entries(log.root(), log.entries().map(Entry::as_bytes)).expect("its own entries");
    assert_eq!(read.entry(&newer.id()).map(Entry::as_bytes), Some(newer.as_bytes()));
    assert_eq!(says(&read), says(&log));
}

/// Promise: two devices find out cheaply what the other lacks, and send just that.
#[test]
fn only_what_is_missing_is_sent() {
    let (_, phone, mut log) = phone_user(1);
    let mut other = log.clone();
    let laptop = add(&mut log, &phone, 2, "laptop");
    author(&mut log, &laptop, profile("Ana"), 20);
    assert_ne!(log.digest(), other.digest());

    let heads: Vec<_> = other.heads().collect();
    let missing: Vec<_> = log.missing_from(&heads).into_iter().map(|entry| entry.as_bytes().to_vec()).collect();
    assert_eq!(missing.len(), 2);
    for bytes in &missing {
        other.insert(bytes).expect("in causal order");
    }
    assert_eq!(other.digest(), log.digest());
    assert_eq!(log.missing_from(&other.heads().collect::<Vec<_>>()), Vec::<&Entry>::new());
    assert_eq!(log.missing_from(&[]).len(), 3);
}

/// Promise: more branches than an entry can name do not lock anybody out.
#[test]
fn an_author_may_face_more_heads_than_an_entry_can_name() {
    let (_, phone, mut log) = phone_user(1);
    let start = log.clone();
    for second in 0..2 * ENTRY_PARENTS_MAX as u64 {
        let branch = start.author(&phone, profile(&format!("Ana {second}")), at(second)).expect("signs");
        log.insert(branch.as_bytes()).expect("a branch of its own");
    }
    assert_eq!(log.heads().count(), 2 * ENTRY_PARENTS_MAX);
    let join = author(&mut log, &phone, profile("Ana"), 1);
    assert_eq!(join.parents().len(), ENTRY_PARENTS_MAX);
    assert_eq!(log.profile().map(|profile| profile.name.as_str()), Some("Ana"));
}

/// What one device of a random fleet does in one step.
#[derive(Debug, Clone)]
enum Step {
    Add,
    AddAgain(Index),
    Rename(Index),
    Profile,
    Newer,
    End(Index, u8),
    /// Says a part of what counts by the end, or the re-rooting, that its author says next, if it does.
    Counted(u8),
    ReRoot(Vec<Index>),
    Epoch,
    /// Everybody learns what everybody knows, halfway: one device takes over another's entries.
    Learn(Index),
}

fn step() -> impl Strategy<Value = (Index, Step, u64)> {
    let step = prop_oneof![
        2 => Just(Step::Add),
        1 => any::<Index>().prop_map(Step::AddAgain),
        3 => any::<Index>().prop_map(Step::Rename),
        1 => Just(Step::Profile),
        1 => Just(Step::Newer),
        2 => (any::<Index>(), 0..3_u8).prop_map(|(other, counted)| Step::End(other, counted)),
        2 => (0..4_u8).prop_map(Step::Counted),
        1 => prop::collection::vec(any::<Index>(), 1..4).prop_map(Step::ReRoot),
        1 => Just(Step::Epoch),
        4 => any::<Index>().prop_map(Step::Learn),
    ];
    (any::<Index>(), step, 0..50_u64)
}

fn up_to(space: SpaceId, seq: u8) -> Frontiers {
    let mut counted = Frontiers::new();
    for log in [1, 2] {
        let id = ChangeId::from_bytes([seq; 32]);
        counted.advance(space, LogId::from_bytes([log; 16]), Head { seq: seq.into(), id });
    }
    counted
}

/// A fleet whose devices write without hearing of each other; every entry that was ever made.
fn fleet_entries(steps: &[(Index, Step, u64)]) -> (IdentityLog, Vec<Vec<u8>>) {
    let (_, phone, log) = phone_user(1);
    let mut made: Vec<Vec<u8>> = log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
    let empty = IdentityLog::new(log.root());
    let mut fleet = vec![(phone, log)];
    for (number, (who, step, second)) in steps.iter().enumerate() {
        let who = who.index(fleet.len());
        let user = empty.user_id();
        let request =
            |keys: &DeviceKeys, name: String| Body::AddDevice(AddDevice::new(user, keys, &name).expect("a good name"));
        let mut joined = None;
        let body = match step {
            Step::Add => {
                let keys = DeviceKeys::generate(&host(1000 + number as u64));
                joined = Some(keys.clone());
                request(&keys, format!("device {number}"))
            }
            Step::AddAgain(other) => request(&fleet[other.index(fleet.len())].0, format!("again {number}")),
            Step::Rename(other) => rename(&fleet[other.index(fleet.len())].0, &format!("renamed {number}")),
            Step::Profile => profile(&format!("Ana {number}")),
            Step::Newer => Body::Unknown { kind: 200, bytes: vec![number as u8] },
            Step::End(other, counted) => {
                let frontiers = up_to(SpaceId::home_of(user), *counted);
                Body::EndDevice { device: fleet[other.index(fleet.len())].0.id(), counted: frontiers }
            }
            Step::Counted(counted) => Body::Counted(up_to(SpaceId::home_of(user), *counted)),
            Step::ReRoot(kept) => {
                let kept = kept.iter().map(|other| fleet[other.index(fleet.len())].0.id()).collect();
                Body::ReRoot { kept, counted: up_to(SpaceId::home_of(user), 1) }
            }
            Step::Epoch => {
                let (host, space) = (host(2000 + number as u64), SpaceId::home_of(user));
                let devices: Vec<_> = fleet[who].1.devices().map(|device| device.keys).collect();
                if devices.is_empty() {
                    continue;
                }
                let key = new_epoch(&host);
                Body::Epoch(EpochGrant::seal(&host, user, space, &key, &devices).expect("few devices"))
            }
            Step::Learn(from) => {
                let other = fleet[from.index(fleet.len())].1.clone();
                for entry in other.entries() {
                    fleet[who].1.insert(entry.as_bytes()).expect("an entry of the same user");
                }
                continue;
            }
        };
        let (keys, log) = &mut fleet[who];
        let signed = match step {
            Step::ReRoot(_) => log.author_as_root(&root_key(1), body, at(*second)),
            _ => log.author(keys, body, at(*second)),
        };
        // One that knows that it was ended has nothing to say, nor does anybody know of those still to be told of.
        let Ok(entry) = signed else { continue };
        log.insert(entry.as_bytes()).expect("its own entry");
        made.push(entry.as_bytes().to_vec());
        if let Some(keys) = joined {
            let log = log.clone();
            fleet.push((keys, log));
        }
    }
    (empty, made)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Promise: what a log says is a pure function of the set of entries: any order, any duplication.
    #[test]
    fn a_log_is_a_function_of_the_set_of_its_entries(
        steps in prop::collection::vec(step(), 1..25),
        order in prop::collection::vec(any::<Index>(), 80),
    ) {
        let (mut in_order, made) = fleet_entries(&steps);
        let mut shuffled = in_order.clone();
        for bytes in &made {
            in_order.insert(bytes).expect("in the order in which they were made");
        }
        for index in order {
            shuffled.insert(&made[index.index(made.len())]).expect("a random one of them, perhaps again");
        }
        for bytes in made.iter().rev() {
            shuffled.insert(bytes).expect("the rest, backwards");
        }
        prop_assert_eq!(says(&shuffled), says(&in_order));
        // The phrase says the same twice where two devices know the same.
        prop_assert_eq!(shuffled.entry_count(), made.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(shuffled.missing(), None);
        for device in in_order.devices() {
            let certificate = in_order.certificate(device.id).expect("every device has one");
            let read = crate::identity::verify_certificate(in_order.root(), &certificate).expect("and it holds");
            prop_assert_eq!((read.id, read.keys, read.added_by), (device.id, device.keys, device.added_by));
        }
        prop_assert!(in_order.device_count() > 0, "somebody always has a say");
    }
}
