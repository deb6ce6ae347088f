//! A replica in memory: real identities, real chains, real signatures, and no SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use cfost_runtime::clock::Timestamp;
use cfost_runtime::host::{Host, ManualClock};
use cfost_runtime::identity::{AddDevice, Body, DeviceKeys, IdentityLog, Inserted, RecoveryPhrase, RootKey};
use cfost_runtime::oplog::limits::{SIGNATURE_BYTES_MAX, SIGNATURE_CHANGES_MAX};
use cfost_runtime::oplog::{
    Chain, ChangeFlags, ChangeId, DeviceId, EpochKey, Frontier, Head, LogId, OpKind, RuleTag, Run, Sealer,
    SegmentWriter, SpaceId, UserId, ValueRef, sign_change,
};
use cfost_runtime::sync::{Applied, Refusal, Refused, Replica, ReplicaError, Seqs, Served};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a test begins with: the wall clock's time, in milliseconds.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A device of the model: one database.
pub(crate) struct Device {
    host: Host,
    keys: DeviceKeys,
    user: UserId,
    state: Mutex<State>,
    /// Makes the next `apply` fail, as a full disk would.
    pub(crate) disk_full: AtomicBool,
    /// How often `runs_after` was called.
    pub(crate) reads: AtomicUsize,
    /// How often `apply` was called.
    pub(crate) applies: AtomicUsize,
}

#[derive(Clone)]
struct State {
    identity: Arc<IdentityLog>,
    spaces: BTreeMap<SpaceId, Space>,
    seen: BTreeSet<DeviceId>,
    rows: u64,
}

#[derive(Clone, Default)]
struct Space {
    own: Option<LogId>,
    logs: BTreeMap<LogId, Log>,
}

#[derive(Clone)]
struct Log {
    chain: Chain,
    changes: Vec<(Vec<u8>, ChangeId)>,
    signatures: BTreeMap<u64, [u8; 64]>,
}

/// The first device of a new user.
pub(crate) fn first_device(seed: u64) -> Arc<Device> {
    let host = Host::simulated(ManualClock::at(START_MS), seed);
    let root = RootKey::from_phrase(&RecoveryPhrase::generate(&host));
    let keys = DeviceKeys::generate(&host);
    let identity = IdentityLog::found(&root, &keys, "first", Timestamp::from_ms(START_MS)).unwrap();
    Device::with(host, keys, identity, &[SpaceId::home_of(root.user_id())])
}

impl Device {
    fn with(host: Host, keys: DeviceKeys, identity: IdentityLog, spaces: &[SpaceId]) -> Arc<Self> {
        let user = identity.user_id();
        let spaces = spaces.iter().map(|space| (*space, Space::default())).collect();
        let state = State { identity: Arc::new(identity), spaces, seen: BTreeSet::new(), rows: 0 };
        Arc::new(Self {
            host,
            keys,
            user,
            state: Mutex::new(state),
            disk_full: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            applies: AtomicUsize::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Pairs a new device, which starts with this one's identity log and spaces, and no change.
    pub(crate) fn pair(&self, name: &str) -> Arc<Self> {
        let keys = DeviceKeys::generate(&self.host);
        let mut state = self.state();
        let add = AddDevice::new(self.user, &keys, name).unwrap();
        let entry = state.identity.author(&self.keys, Body::AddDevice(add), Timestamp::from_ms(START_MS)).unwrap();
        Arc::make_mut(&mut state.identity).insert(entry.as_bytes()).unwrap();
        let spaces: Vec<SpaceId> = state.spaces.keys().copied().collect();
        let host = Host::simulated(ManualClock::at(START_MS), u64::from_le_bytes(self.host.random()));
        Self::with(host, keys, IdentityLog::clone(&state.identity), &spaces)
    }

    /// A copy of the whole database, as a backup makes it.
    pub(crate) fn copy(&self) -> Arc<Self> {
        let keys = DeviceKeys::from_secret_bytes(self.keys.to_secret_bytes().as_ref()).unwrap();
        let host = Host::simulated(ManualClock::at(START_MS), u64::from_le_bytes(self.host.random()));
        let copy = Self::with(host, keys, IdentityLog::clone(&self.state().identity), &[]);
        *copy.state() = self.state().clone();
        copy
    }

    /// The home space.
    pub(crate) fn home(&self) -> SpaceId {
        SpaceId::home_of(self.user)
    }

    /// This device joins another space.
    pub(crate) fn join(&self, space: SpaceId) {
        self.state().spaces.entry(space).or_default();
    }

    /// The public transport key.
    pub(crate) fn transport_key(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    /// Renames itself, in its identity log.
    pub(crate) fn rename(&self, name: &str) {
        let mut state = self.state();
        let body = Body::RenameDevice { device: self.keys.id(), name: name.into() };
        let entry = state.identity.author(&self.keys, body, Timestamp::from_ms(START_MS)).unwrap();
        Arc::make_mut(&mut state.identity).insert(entry.as_bytes()).unwrap();
    }

    /// The names of all devices that this one knows.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.state().identity.devices().map(|device| device.name).collect()
    }

    /// Makes one change with one op in the home space.
    pub(crate) fn write(&self, title: &str) {
        self.write_in(self.home(), title);
    }

    /// Makes `count` changes with one op each.
    pub(crate) fn write_many(&self, count: usize) {
        (0..count).for_each(|row| self.write(&format!("todo {row}")));
    }

    /// Makes `count` changes of 18 kB each, which don't compress.
    pub(crate) fn write_notes(&self, count: u64) {
        for number in 0..count {
            let mut letters = vec![0; 18_000];
            blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut letters);
            self.write(&letters.into_iter().map(|letter| char::from(32 + letter % 90)).collect::<String>());
        }
    }

    /// Makes one change with one op.
    pub(crate) fn write_in(&self, space: SpaceId, title: &str) {
        let nonce = self.host.random();
        let mut state = self.state();
        state.rows += 1;
        let row = Uuid::from_u128(u128::from(state.rows));
        let own =
            *state.spaces.get_mut(&space).unwrap().own.get_or_insert_with(|| LogId::from_bytes(self.host.random()));
        let log = state.spaces.get_mut(&space).unwrap().logs.entry(own).or_insert_with(|| Log {
            chain: Chain::new(space, self.keys.public().signing, own),
            changes: Vec::new(),
            signatures: BTreeMap::new(),
        });
        let mut writer = SegmentWriter::new("todos", 1, Timestamp::from_ms(START_MS));
        let shape = writer.shape(OpKind::Create, &[(RuleTag::LWW, "title")]).unwrap();
        writer.push(shape, &row, [ValueRef::Text(title.into())]).unwrap();
        let epoch = epoch_of(space);
        let (packed, id) =
            Sealer::new().seal(&mut log.chain, ChangeFlags::NONE, &epoch, &nonce, &[], &[writer.payload()]).unwrap();
        log.changes.push((packed, id));
    }

    /// Makes this device's log one of many: from now on it writes to a new one.
    pub(crate) fn new_log(&self) {
        self.state().spaces.values_mut().for_each(|space| space.own = None);
    }

    /// Everything that is held, to be compared.
    pub(crate) fn contents(&self) -> BTreeMap<(SpaceId, LogId), Vec<Vec<u8>>> {
        let state = self.state();
        let logs =
            state.spaces.iter().flat_map(|(space, held)| held.logs.iter().map(move |(log, of)| ((*space, *log), of)));
        logs.map(|(name, log)| (name, log.changes.iter().map(|(packed, _)| packed.clone()).collect())).collect()
    }

    /// How many changes are held.
    pub(crate) fn changes(&self) -> usize {
        self.contents().values().map(Vec::len).sum()
    }

    /// The devices that this one has met.
    pub(crate) fn met(&self) -> BTreeSet<DeviceId> {
        self.state().seen.clone()
    }
}

/// Everyone in a test has the key of every space.
fn epoch_of(space: SpaceId) -> EpochKey {
    EpochKey::new(1, Zeroizing::new(blake3::derive_key("cfost test epoch", space.as_bytes())))
}

impl Log {
    /// Signs the head, and as many changes before it as there must be signatures along a log.
    fn expose(&mut self, keys: &DeviceKeys) {
        let signed = self.signatures.keys().next_back().copied().unwrap_or(0);
        let mut bytes = 0;
        for (seq, (packed, id)) in (1..).zip(&self.changes).skip(signed as usize) {
            bytes += packed.len();
            if seq % SIGNATURE_CHANGES_MAX == 0 || bytes >= SIGNATURE_BYTES_MAX || seq == self.chain.head.seq {
                self.signatures.insert(seq, sign_change(keys.signing(), id));
                bytes = 0;
            }
        }
    }

    /// The run from after `held` to the first signature, or further while it stays under `bytes_max`.
    fn run_after(&self, held: u64, bytes_max: usize) -> Option<Served> {
        let mut run = Run {
            space: self.chain.space,
            log: self.chain.log,
            author: self.chain.author,
            first_seq: held + 1,
            epochs: vec![(1, *epoch_of(self.chain.space).commitment())],
            changes: Vec::new(),
            signatures: Vec::new(),
        };
        let mut bytes = 0;
        for (seq, signature) in self.signatures.range(held + 1..) {
            let next = &self.changes[run.last_seq() as usize..*seq as usize];
            bytes += next.iter().map(|(packed, _)| packed.len() + 3).sum::<usize>();
            if !run.changes.is_empty() && bytes > bytes_max {
                break;
            }
            run.changes.extend(next.iter().map(|(packed, _)| packed.clone()));
            run.signatures = vec![(*seq, *signature)];
        }
        let (seq, _) = *run.signatures.last()?;
        Some(Served { head: Head { seq, id: self.changes[seq as usize - 1].1 }, run })
    }

    /// Appends what of `run` is new. Returns the number of changes.
    fn append(&mut self, mut run: Run) -> Result<u64, Refusal> {
        let head = self.chain.head.seq;
        if run.last_seq() <= head {
            return Ok(0);
        }
        if run.first_seq > head + 1 {
            return Err(Refusal::Gap);
        }
        run.changes.drain(..(head + 1 - run.first_seq) as usize);
        run.signatures.retain(|(seq, _)| *seq > head);
        run.first_seq = head + 1;
        let verified = run.verify(&mut self.chain).map_err(Refusal::Invalid)?;
        let added: Vec<_> = verified.iter().map(|change| (change.packed.to_vec(), change.id)).collect();
        self.signatures.extend(run.signatures.iter().copied());
        self.changes.extend(added);
        Ok(run.changes.len() as u64)
    }
}

impl Replica for Device {
    fn device(&self) -> DeviceId {
        self.keys.id()
    }

    fn identity(&self) -> Result<Arc<IdentityLog>, ReplicaError> {
        Ok(Arc::clone(&self.state().identity))
    }

    fn learn_identity(&self, entries: &[Vec<u8>]) -> Result<usize, ReplicaError> {
        let mut state = self.state();
        let log = Arc::make_mut(&mut state.identity);
        let inserted = entries.iter().filter_map(|entry| log.insert(entry).ok());
        Ok(inserted.map(|inserted| if let Inserted::Accepted(ids) = inserted { ids.len() } else { 0 }).sum())
    }

    fn certificate(&self) -> Result<Vec<Vec<u8>>, ReplicaError> {
        self.state().identity.certificate(self.device()).map_err(ReplicaError::new)
    }

    fn spaces(&self, _: DeviceId) -> Result<Vec<SpaceId>, ReplicaError> {
        Ok(self.state().spaces.keys().copied().collect())
    }

    fn frontier(&self, space: SpaceId) -> Result<Frontier, ReplicaError> {
        Ok(self.state().spaces[&space].logs.iter().map(|(log, of)| (*log, of.chain.head)).collect())
    }

    fn change_id(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Option<ChangeId>, ReplicaError> {
        let state = self.state();
        Ok(state.spaces[&space].logs.get(&log).and_then(|log| log.changes.get(seq as usize - 1)).map(|(_, id)| *id))
    }

    fn own_log(&self, space: SpaceId) -> Result<Option<LogId>, ReplicaError> {
        Ok(self.state().spaces[&space].own)
    }

    fn own_log_is_behind(&self, space: SpaceId, log: LogId, _: Head) -> Result<(), ReplicaError> {
        let mut state = self.state();
        let space = state.spaces.get_mut(&space).unwrap();
        assert_eq!(space.own.take(), Some(log), "told of a log that isn't its own");
        Ok(())
    }

    fn runs_after(&self, space: SpaceId, held: &Seqs, bytes_max: usize) -> Result<Vec<Served>, ReplicaError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let space = state.spaces.get_mut(&space).unwrap();
        let author = self.keys.public().signing;
        space.logs.values_mut().filter(|log| log.chain.author == author).for_each(|log| log.expose(&self.keys));
        let mut served = Vec::new();
        let mut bytes = 0;
        for (id, log) in &space.logs {
            let held = held.get(id).copied().unwrap_or(0);
            if held < log.chain.head.seq
                && let Some(run) = log.run_after(held, bytes_max - bytes)
            {
                bytes += run.run.encode().len();
                if bytes > bytes_max && !served.is_empty() {
                    break;
                }
                served.push(run);
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        Ok(served)
    }

    fn apply(&self, runs: Vec<Run>) -> Result<Applied, ReplicaError> {
        self.applies.fetch_add(1, Ordering::Relaxed);
        if self.disk_full.load(Ordering::Relaxed) {
            return Err(ReplicaError::new("the disk is full"));
        }
        let mut state = self.state();
        let identity = Arc::clone(&state.identity);
        let mut applied = Applied::default();
        for run in runs {
            let (space, log) = (run.space, run.log);
            let logs = &mut state.spaces.get_mut(&space).expect("only shared spaces are applied").logs;
            let held = logs.entry(log).or_insert_with(|| Log {
                chain: Chain::new(space, run.author, log),
                changes: Vec::new(),
                signatures: BTreeMap::new(),
            });
            let outcome = match identity.device_by_signing_key(&run.author) {
                None => Err(Refusal::Author),
                Some(_) => held.append(run),
            };
            match outcome {
                Ok(changes) => {
                    applied.changes += changes;
                    applied.ops += changes;
                }
                Err(why) => applied.refused.push(Refused { space, log, why }),
            }
            let head = held.chain.head;
            if head.seq == 0 {
                logs.remove(&log);
            }
            applied.heads.entry(space).or_default().advance(log, head);
        }
        Ok(applied)
    }

    fn seen(&self, peer: DeviceId) -> Result<(), ReplicaError> {
        self.state().seen.insert(peer);
        Ok(())
    }
}
