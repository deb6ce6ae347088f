//! Targets for the decoders of identities, of what lies on disk about them, and of pairing.

use std::sync::LazyLock;

use cfost_runtime::clock::Timestamp;
use cfost_runtime::host::{Host, ManualClock};
use cfost_runtime::identity::{
    AddDevice, Body, DeviceKeys, Entry, EpochGrant, Frontiers, IdentityLog, LoginAttempts, MasterKey, PasswordCost,
    Profile, RecoveryPhrase, RootKey, Vault, new_epoch, verify_certificate,
};
use cfost_runtime::oplog::{ChangeId, Head, LogId, SpaceId};
use zeroize::Zeroizing;

pub(super) const NOW_MS: u64 = 1_700_000_000_000;

pub(super) fn host() -> Host {
    Host::simulated(ManualClock::at(NOW_MS), 1)
}

fn phrase() -> RecoveryPhrase {
    RecoveryPhrase::from_entropy(Zeroizing::new([1; 32]))
}

/// A user with a phone, and a laptop that the phone added.
pub(super) struct User {
    pub(super) log: IdentityLog,
    pub(super) phone: DeviceKeys,
    pub(super) laptop: DeviceKeys,
}

/// The user that all targets know.
pub(super) static USER: LazyLock<User> = LazyLock::new(user);

fn user() -> User {
    let (root, host) = (RootKey::from_phrase(&phrase()), host());
    let (phone, laptop) = (DeviceKeys::generate(&host), DeviceKeys::generate(&host));
    let at = Timestamp::from_ms(NOW_MS);
    let mut log = IdentityLog::found(&root, &phone, "phone", at).expect("a seed is valid");
    let add = AddDevice::new(root.user_id(), &laptop, "laptop").expect("a seed is valid");
    let profile = Profile { name: "Ada".to_owned(), email: "ada@example.org".to_owned() };
    for body in [
        Body::AddDevice(add),
        Body::Profile(profile),
        Body::RenameDevice { device: laptop.id(), name: "old laptop".to_owned() },
        Body::Unknown { kind: 200, bytes: vec![1, 2, 3] },
    ] {
        let entry = log.author(&phone, body, at).expect("a seed is valid");
        log.insert(entry.as_bytes()).expect("a seed is valid");
    }
    User { log, phone, laptop }
}

/// The log of that user later on: an epoch begins, the laptop is ended, and the phrase keeps the phone alone.
static ENDED: LazyLock<IdentityLog> = LazyLock::new(ended);

fn counted(log: u8) -> Frontiers {
    let mut counted = Frontiers::new();
    let head = Head { seq: 7, id: ChangeId::from_bytes([4; 32]) };
    counted.advance(home(), LogId::from_bytes([log; 16]), head);
    counted
}

fn home() -> SpaceId {
    SpaceId::home_of(USER.log.user_id())
}

fn ended() -> IdentityLog {
    let (mut log, at, host) = (USER.log.clone(), Timestamp::from_ms(NOW_MS), host());
    let devices = [USER.phone.public(), USER.laptop.public()];
    let grant = EpochGrant::seal(&host, log.user_id(), home(), &new_epoch(&host), &devices);
    for body in [
        Body::Epoch(grant.expect("a seed is valid")),
        Body::Counted(counted(3)),
        Body::EndDevice { device: USER.laptop.id(), counted: counted(4) },
    ] {
        let entry = log.author(&USER.phone, body, at).expect("a seed is valid");
        log.insert(entry.as_bytes()).expect("a seed is valid");
    }
    let re_root = Body::ReRoot { kept: [USER.phone.id()].into(), counted: counted(3) };
    let entry = log.author_as_root(&RootKey::from_phrase(&phrase()), re_root, at).expect("a seed is valid");
    log.insert(entry.as_bytes()).expect("a seed is valid");
    log
}

fn entries(log: &IdentityLog) -> Vec<Vec<u8>> {
    log.entries().map(|entry| entry.as_bytes().to_vec()).collect()
}

/// An entry that is accepted is kept as it is, and can be read again.
pub(super) fn entry(bytes: &[u8]) -> bool {
    let Ok(entry) = Entry::decode(bytes) else { return false };
    assert_eq!(entry.as_bytes(), bytes);
    assert_eq!(Entry::decode(entry.as_bytes()).expect("it was read before").id(), entry.id());
    true
}

pub(super) fn entry_seeds() -> Vec<Vec<u8>> {
    entries(&ENDED)
}

/// Entries, each after its length as a `u16`; what is left over is one too.
pub(super) fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (part, rest) = rest.split_at(len);
        parts.push(part);
        bytes = rest;
    }
    parts
}

pub(super) fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    let frame = |part: &Vec<u8>| [&(part.len() as u16).to_le_bytes()[..], part].concat();
    parts.iter().flat_map(frame).collect()
}

/// What devices know depends on which entries they have, not on the order in which these came; and no
/// entry makes anyone else's certificate hold.
pub(super) fn log(bytes: &[u8]) -> bool {
    let root = USER.log.root();
    let parts = split(bytes);
    let (mut forwards, mut backwards) = (IdentityLog::new(root), IdentityLog::new(root));
    for part in &parts {
        let _ = forwards.insert(part);
    }
    // Twice: what was refused for want of its ancestors gets its chance.
    for part in parts.iter().rev().chain(parts.iter().rev()) {
        let _ = backwards.insert(part);
    }
    for part in &parts {
        let _ = forwards.insert(part);
    }
    assert_eq!(forwards.digest(), backwards.digest());
    let names = |log: &IdentityLog| log.devices().map(|device| device.name).collect::<Vec<_>>();
    assert_eq!(names(&forwards), names(&backwards));
    assert_eq!(forwards.current_epoch(home()), backwards.current_epoch(home()));
    for (device, of) in [USER.phone.id(), USER.laptop.id()].into_iter().flat_map(|device| [(device, 3), (device, 4)]) {
        let counted = |log: &IdentityLog| log.counted(device, home(), LogId::from_bytes([of; 16]));
        assert_eq!(counted(&forwards), counted(&backwards));
    }
    if let Ok(device) = verify_certificate(root, &parts) {
        assert!(USER.log.device(device.id).is_some());
    }
    forwards.device_count() > 0
}

pub(super) fn log_seeds() -> Vec<Vec<u8>> {
    let certificate = USER.log.certificate(USER.laptop.id()).expect("a seed is valid");
    vec![join(&entries(&USER.log)), join(&entries(&ENDED)), join(&certificate)]
}

/// What is kept of the password and of failed attempts has one encoding.
pub(super) fn vault(bytes: &[u8]) -> bool {
    let again = [
        Vault::from_bytes(bytes).map(|vault| vault.to_bytes().to_vec()),
        LoginAttempts::from_bytes(bytes).map(|attempts| attempts.to_bytes().to_vec()),
        DeviceKeys::from_secret_bytes(bytes).map(|keys| keys.to_secret_bytes().to_vec()),
    ];
    again.into_iter().flatten().inspect(|again| assert_eq!(again, bytes)).count() > 0
}

pub(super) fn vault_seeds() -> Vec<Vec<u8>> {
    let mut attempts = LoginAttempts::default();
    attempts.begin(NOW_MS).expect("a seed is valid");
    vec![VAULT.0.to_bytes().to_vec(), attempts.to_bytes().to_vec(), USER.phone.to_secret_bytes().to_vec()]
}

static VAULT: LazyLock<(Vault, MasterKey)> = LazyLock::new(|| {
    let cost = PasswordCost::new(8, 1, 1).expect("the least there is");
    Vault::create(&host(), cost, "ada@example.org", "correct horse").expect("a seed is valid")
});

/// A wrapped secret that was altered does not open, and neither does one in another's place.
pub(super) fn wrapped_secret(bytes: &[u8]) -> bool {
    assert!(VAULT.1.unwrap("there", bytes).is_err());
    let Ok(secret) = VAULT.1.unwrap("here", bytes) else { return false };
    assert_eq!(secret.as_slice(), b"secret");
    assert_eq!(bytes, wrapped_secret_seeds()[0]);
    true
}

pub(super) fn wrapped_secret_seeds() -> Vec<Vec<u8>> {
    vec![VAULT.1.wrap(&host(), "here", b"secret")]
}

/// A phrase that is accepted means the same in its own spelling.
pub(super) fn recovery_phrase(bytes: &[u8]) -> bool {
    let Some(phrase) = std::str::from_utf8(bytes).ok().and_then(|text| RecoveryPhrase::parse(text).ok()) else {
        return false;
    };
    let again = RecoveryPhrase::parse(&phrase.words()).expect("its own words are a phrase");
    assert_eq!(**again.entropy(), **phrase.entropy());
    true
}

pub(super) fn recovery_phrase_seeds() -> Vec<Vec<u8>> {
    vec![phrase().words().as_bytes().to_vec()]
}
