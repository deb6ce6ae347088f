//! What an insider can send who has a device's keys and writes what he likes: signed, sealed and in place, and still
//! of no effect.

use cfost::clock::Timestamp;
use cfost::identity::pairing::Invitation;
use cfost::identity::{AddDevice, DeviceKeys, IdentityError};
use cfost::oplog::{
    Chain, ChangeFlags, EpochKey, LogId, OpKind, PackedChange, RuleTag, Run, Sealer, SegmentWriter, SpaceId, Value,
    sign_change,
};
use cfost::prelude::*;
use cfost::sync::pipe::{End, Pipe};
use cfost::sync::{Applied, Refusal, Seqs};
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device, START_MS};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn phone(seed: u64) -> Device {
    Device::in_memory("phone", models![Todo], seed).unwrap()
}

/// Somebody with the keys of one of the user's devices, and no scruples.
struct Insider {
    keys: DeviceKeys,
    epoch: EpochKey,
    space: SpaceId,
    nonce: u8,
}

impl Insider {
    fn of(device: &Device) -> Self {
        let keys = DeviceKeys::generate(&device.host);
        let user = device.db.user().unwrap().id;
        let admitted = device.db.admit(AddDevice::new(user, &keys, "stolen").unwrap()).unwrap();
        let (space, epoch) = admitted.space_keys.into_iter().next().unwrap();
        Self { keys, epoch, space, nonce: 0 }
    }

    fn chain(&self, log: u8) -> Chain {
        Chain::new(self.space, self.keys.public().signing, LogId::from_bytes([log; 16]))
    }

    /// The next change of a log, of one segment, sealed as it should be.
    fn seal(&mut self, chain: &mut Chain, payload: &[u8]) -> Vec<u8> {
        self.nonce += 1;
        let nonce = [self.nonce; 24];
        Sealer::new().seal(chain, ChangeFlags::NONE, &self.epoch, &nonce, &[], &[payload]).unwrap().0
    }

    /// A run of changes, signed as it should be at `head`.
    fn run(&self, head: &Chain, changes: Vec<Vec<u8>>) -> Run {
        let first_seq = head.head.seq + 1 - changes.len() as u64;
        Run {
            space: head.space,
            log: head.log,
            origin: None,
            author: head.author,
            first_seq,
            epochs: vec![(self.epoch.epoch(), *self.epoch.commitment())],
            changes,
            signatures: vec![(head.head.seq, sign_change(self.keys.signing(), &head.head.id))],
        }
    }
}

/// An op that creates a row with these columns.
fn create(table: &str, columns: &[&str], id: u128) -> Vec<u8> {
    let mut segment = SegmentWriter::new(table, 1, Timestamp::from_ms(START_MS));
    let named: Vec<_> = columns.iter().map(|column| (RuleTag::LWW, *column)).collect();
    let shape = segment.shape(OpKind::Create, &named).unwrap();
    let value = Value::Text("by the insider".into());
    segment.push(shape, &Uuid::from_u128(id), columns.iter().map(|_| value.as_ref())).unwrap();
    segment.payload().to_vec()
}

fn apply(db: &Db, run: Run) -> Applied {
    db.replica().unwrap().apply(vec![run]).unwrap()
}

fn served(db: &Db) -> Run {
    let replica = db.replica().unwrap();
    let space = replica.spaces(replica.device()).unwrap()[0];
    replica.runs_after(space, &Seqs::new(), 1 << 20).unwrap().remove(0).run
}

fn assert_sound(db: &Db) {
    let found = db.verify().unwrap();
    assert!(found.is_sound(), "{:?}", found.differences);
}

fn titles(db: &Db) -> Vec<String> {
    db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect()
}

/// Moves all bytes of a session, and returns them.
fn record(pipe: &mut Pipe) -> Vec<u8> {
    let mut seen = Vec::new();
    loop {
        let woke = End::BOTH.into_iter().fold(false, |woke, end| woke | pipe.wake(end));
        let passed = End::BOTH.into_iter().fold(false, |passed, end| {
            let bytes = pipe.intercept(end);
            seen.extend_from_slice(&bytes);
            pipe.inject(end, &bytes);
            passed | (pipe.deliver(end, bytes.len()) > 0)
        });
        if !woke && !passed {
            return seen;
        }
    }
}

#[test]
fn a_table_name_that_is_sql_and_an_internal_table_are_no_tables_of_the_app() {
    let phone = phone(1);
    phone.db.insert(todo("mine")).unwrap();
    let mut insider = Insider::of(&phone);
    let mut chain = insider.chain(7);
    let tables =
        ["users; DROP TABLE todos", "todos\" --", "cfost_meta", "cfost_identity", "sqlite_schema", "TODOS", ""];
    let before = phone.db.sql("SELECT count(*), total(length(value)) FROM cfost_meta").rows::<(i64, f64)>().unwrap();
    let mut changes = Vec::new();
    for table in tables {
        let payload = create(table, &["value"], 7);
        changes.push(insider.seal(&mut chain, &payload));
    }
    // A column that is SQL, and one that the app never names.
    for column in ["title\" = 'x', \"title", "rowid", "id", "cfost_clock"] {
        let payload = create("todos", &["title", column], 8);
        changes.push(insider.seal(&mut chain, &payload));
    }
    let applied = apply(&phone.db, insider.run(&chain, changes));
    assert!(applied.refused.is_empty(), "they are an insider's, and kept: {:?}", applied.refused);
    let after = phone.db.sql("SELECT count(*), total(length(value)) FROM cfost_meta").rows::<(i64, f64)>().unwrap();
    assert_eq!(before, after);
    let mut shown = titles(&phone.db);
    shown.sort();
    assert_eq!(shown, ["by the insider", "mine"], "a device may write rows of the app, and nothing else");
    assert_sound(&phone.db);
}

#[test]
fn anothers_ciphertext_that_is_signed_again_opens_to_nothing() {
    let phone = phone(2);
    phone.db.insert(todo("mine")).unwrap();
    let insider = Insider::of(&phone);
    let stolen = served(&phone.db).changes.remove(0);
    let mut chain = insider.chain(7);
    chain.next(&PackedChange::decode(&stolen).unwrap(), insider.epoch.commitment()).unwrap();
    phone.db.delete::<Todo>(phone.db.all::<Todo>().unwrap()[0].id).unwrap();
    let applied = apply(&phone.db, insider.run(&chain, vec![stolen]));
    assert!(applied.refused.is_empty(), "its chain and its signature are right: {:?}", applied.refused);
    assert_eq!(applied.ops, 0);
    assert_eq!(titles(&phone.db), [""; 0], "what was sealed for another log opens in no other place");
    assert_sound(&phone.db);
}

#[test]
fn a_change_replayed_into_another_space_is_refused() {
    let (phone, other) = (phone(3), Device::in_memory("another user's", models![Todo], 4).unwrap());
    phone.db.insert(todo("mine")).unwrap();
    let run = served(&phone.db);
    let replica = other.db.replica().unwrap();
    let space = replica.spaces(replica.device()).unwrap()[0];
    let moved = Run { space, ..run.clone() };
    for run in [run, moved] {
        let applied = apply(&other.db, run);
        assert_eq!(applied.refused.iter().map(|refused| &refused.why).collect::<Vec<_>>(), [&Refusal::Author]);
        assert_eq!(applied.changes, 0);
    }
    // By an insider of both, who can at least get past the door.
    let insider = Insider::of(&phone);
    let into_home = Run { author: insider.keys.public().signing, ..served(&phone.db) };
    let renamed = Run { log: LogId::from_bytes([9; 16]), ..into_home };
    let applied = apply(&phone.db, renamed);
    assert!(matches!(applied.refused[0].why, Refusal::Invalid(_)), "{:?}", applied.refused);
    assert_sound(&phone.db);
}

#[test]
fn a_flood_of_changes_whose_predecessors_are_missing_takes_no_room() {
    let phone = phone(5);
    let mut insider = Insider::of(&phone);
    let payload = create("todos", &["title"], 7);
    let logs = || phone.db.sql("SELECT count(*), 0 FROM cfost_logs").rows::<(i64, i64)>().unwrap();
    let before = logs();
    for log in 0..200 {
        let mut chain = insider.chain(log);
        insider.nonce = 0;
        insider.seal(&mut chain, &payload);
        let second = insider.seal(&mut chain, &payload);
        let applied = apply(&phone.db, insider.run(&chain, vec![second]));
        assert!(matches!(applied.refused[0].why, Refusal::Gap), "{:?}", applied.refused);
    }
    assert_eq!(logs(), before, "nothing of them is kept, not even that there were logs");
    assert_eq!(titles(&phone.db), [""; 0]);
    assert_sound(&phone.db);
}

#[test]
fn two_changes_never_share_a_nonce() {
    let phone = phone(6);
    for n in 0..200 {
        phone.db.insert(todo(&format!("{n}"))).unwrap();
    }
    let run = served(&phone.db);
    let nonces: std::collections::BTreeSet<_> =
        run.changes.iter().map(|change| PackedChange::decode(change).unwrap().nonce.to_vec()).collect();
    assert_eq!(nonces.len(), run.changes.len());
    assert!(run.changes.len() > 60);
}

#[test]
fn a_code_stays_used_when_the_app_is_killed_before_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let phone = Device::in_file(&path, models![Todo], 8).unwrap();
    let user = phone.db.user().unwrap().id;
    let keys = phone.db.device_keys().unwrap().public();
    let pairing = Invitation::create(&phone.host, user, &keys, []).pairing();
    phone.db.consume_pairing(pairing).unwrap();
    // The answer was never sent: what is not committed is gone, as after a kill, and what is stays.
    std::mem::forget(phone.db);
    let again = Device::in_file(&path, models![Todo], 9).unwrap();
    match again.db.consume_pairing(pairing) {
        Err(Error::Identity(IdentityError::InvitationUsed)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_goes_over_the_wire_shows_nothing_that_was_written() -> Result<()> {
    const CANARY: &str = "canary-7f3a-plaintext";
    let mut devices = fleet::devices(2, &models![Todo], 10)?;
    let (laptop, phone) = (devices.pop().unwrap(), devices.pop().unwrap());
    phone.db.insert(todo(CANARY))?;
    let mut pipe = Pipe::connect(phone.db.replica()?, laptop.db.replica()?, START_MS).map_err(Error::abort)?;
    let seen = record(&mut pipe);
    assert_eq!(titles(&laptop.db), [CANARY]);
    let shows = |what: &[u8]| seen.windows(what.len()).any(|window| window == what);
    assert!(!shows(CANARY.as_bytes()) && !shows(b"todos") && !shows(b"title"), "of {} bytes", seen.len());
    assert!(seen.len() > 200);
    Ok(())
}
