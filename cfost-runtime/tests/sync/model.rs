//! A replica in memory: real identities, real chains, real signatures, and no SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use cfost_runtime::clock::Timestamp;
use cfost_runtime::host::{Host, ManualClock};
use cfost_runtime::identity::{
    AddDevice, Body, DeviceKeys, Frontiers, IdentityLog, RecoveryPhrase, Role, RootKey, SpaceBody, SpaceLog, Standing,
};
use cfost_runtime::oplog::limits::{SIGNATURE_BYTES_MAX, SIGNATURE_CHANGES_MAX};
use cfost_runtime::oplog::{
    Chain, ChangeFlags, ChangeId, DeviceId, EpochKey, Frontier, Head, LogId, OpKind, RuleTag, Run, Sealer,
    SegmentWriter, SpaceId, UserId, ValueRef, sign_change,
};
use cfost_runtime::sync::{Applied, EntryLogs, LogKey, Refusal, Refused, Replica, ReplicaError, Seqs, Served};
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
    /// What happens elsewhere while `runs_after` reads, once.
    pub(crate) while_reading: Mutex<Option<Meanwhile>>,
}

/// Something that another session or the app does.
type Meanwhile = Box<dyn FnOnce(&Device) + Send>;

#[derive(Clone)]
struct State {
    logs: Arc<EntryLogs>,
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
    Device::with(host, keys, EntryLogs::of(Arc::new(identity)))
}

impl Device {
    fn with(host: Host, keys: DeviceKeys, logs: EntryLogs) -> Arc<Self> {
        let user = logs.users.own().user_id();
        let state = State { logs: Arc::new(logs), spaces: BTreeMap::new(), seen: BTreeSet::new(), rows: 0 };
        Arc::new(Self {
            host,
            keys,
            user,
            state: Mutex::new(state),
            disk_full: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            applies: AtomicUsize::new(0),
            while_reading: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Says something in the own user's identity log.
    fn say(&self, body: Body) {
        let mut state = self.state();
        let mut own = IdentityLog::clone(state.logs.users.own());
        let entry = own.author(&self.keys, body, Timestamp::from_ms(START_MS)).unwrap();
        own.insert(entry.as_bytes()).unwrap();
        Arc::make_mut(&mut state.logs).users.put(Arc::new(own));
    }

    /// Pairs a new device, which starts with this one's logs of entries, and no change.
    pub(crate) fn pair(&self, name: &str) -> Arc<Self> {
        let keys = DeviceKeys::generate(&self.host);
        self.say(Body::AddDevice(AddDevice::new(self.user, &keys, name).unwrap()));
        let host = Host::simulated(ManualClock::at(START_MS), u64::from_le_bytes(self.host.random()));
        Self::with(host, keys, EntryLogs::clone(&self.state().logs))
    }

    /// A copy of the whole database, as a backup makes it.
    pub(crate) fn copy(&self) -> Arc<Self> {
        let keys = DeviceKeys::from_secret_bytes(self.keys.to_secret_bytes().as_ref()).unwrap();
        let host = Host::simulated(ManualClock::at(START_MS), u64::from_le_bytes(self.host.random()));
        let copy = Self::with(host, keys, EntryLogs::clone(&self.state().logs));
        *copy.state() = self.state().clone();
        copy
    }

    /// The home space.
    pub(crate) fn home(&self) -> SpaceId {
        SpaceId::home_of(self.user)
    }

    /// The user whose device this is.
    pub(crate) fn user(&self) -> UserId {
        self.user
    }

    /// Founds a space, which this user owns.
    pub(crate) fn found(&self) -> SpaceId {
        let mut state = self.state();
        let at = Timestamp::from_ms(START_MS);
        let (log, _) = SpaceLog::found(&self.host, state.logs.users.own(), &self.keys, at).unwrap();
        let space = log.space();
        Arc::make_mut(&mut state.logs).spaces.insert(space, Arc::new(log));
        space
    }

    /// Says something in the members log of a space.
    fn say_in(&self, space: SpaceId, body: SpaceBody) {
        let mut state = self.state();
        let logs = Arc::make_mut(&mut state.logs);
        let mut log = SpaceLog::clone(&logs.spaces[&space]);
        let entry = log.author(&logs.users, &self.keys, body, Timestamp::from_ms(START_MS)).unwrap();
        log.insert(entry.as_bytes()).unwrap();
        logs.spaces.insert(space, Arc::new(log));
    }

    /// Makes a user, who is known here, a member of a space.
    pub(crate) fn add(&self, space: SpaceId, user: &Self, role: Role) {
        let root = user.identity().unwrap().root();
        self.say_in(space, SpaceBody::Member { root, role, counted: Frontiers::new() });
    }

    /// Adds a user to a space, and brings both devices the logs of entries that they need of each other: what
    /// inviting somebody brings about.
    pub(crate) fn invite(&self, space: SpaceId, other: &Self, role: Role) {
        self.add(space, other, role);
        self.learn(&own_entries(other), false).unwrap();
        let logs = self.logs().unwrap();
        let members = logs.spaces[&space].entries().map(|entry| (LogKey::Space(space), entry.as_bytes().to_vec()));
        let mut entries: Vec<_> = members.collect();
        entries.extend(logs.users.iter().flat_map(|log| {
            let key = LogKey::User(log.user_id());
            log.entries().map(move |entry| (key, entry.as_bytes().to_vec())).collect::<Vec<_>>()
        }));
        other.learn(&entries, false).unwrap();
    }

    /// Ends a user's membership: removes it, or leaves.
    pub(crate) fn end(&self, space: SpaceId, user: UserId) {
        self.say_in(space, SpaceBody::EndMember { user, counted: Frontiers::new() });
    }

    /// The role of a user in a space, as this device knows it.
    pub(crate) fn role(&self, space: SpaceId, user: UserId) -> Option<Role> {
        let logs = self.logs().unwrap();
        logs.spaces.get(&space)?.members(&logs.users).role(user)
    }

    /// The public transport key.
    pub(crate) fn transport_key(&self) -> [u8; 32] {
        self.keys.public().transport
    }

    /// Renames itself, in its identity log.
    pub(crate) fn rename(&self, name: &str) {
        self.say(Body::RenameDevice { device: self.keys.id(), name: name.into() });
    }

    /// The names of all devices that this one knows.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.state().logs.users.own().devices().map(|device| device.name).collect()
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
        let held = state.spaces.entry(space).or_default();
        let own = *held.own.get_or_insert_with(|| LogId::from_bytes(self.host.random()));
        let log = held.logs.entry(own).or_insert_with(|| Log {
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

/// What a device says of its user.
pub(crate) fn own_entries(device: &Device) -> Vec<(LogKey, Vec<u8>)> {
    let log = device.identity().unwrap();
    log.entries().map(|entry| (LogKey::User(log.user_id()), entry.as_bytes().to_vec())).collect()
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
            origin: None,
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
        let held = self.changes.iter().skip(run.first_seq as usize - 1).map(|(packed, _)| packed);
        if held.zip(&run.changes).any(|(ours, theirs)| ours != theirs) {
            // This model keeps no branches.
            return Err(Refusal::Forked);
        }
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

    fn logs(&self) -> Result<Arc<EntryLogs>, ReplicaError> {
        Ok(Arc::clone(&self.state().logs))
    }

    fn learn(&self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Result<usize, ReplicaError> {
        let mut logs = EntryLogs::clone(&self.state().logs);
        let new = logs.learn(entries, own_device).len();
        if new > 0 {
            self.state().logs = Arc::new(logs);
        }
        Ok(new)
    }

    fn certificate(&self) -> Result<Vec<Vec<u8>>, ReplicaError> {
        self.state().logs.users.own().certificate(self.device()).map_err(ReplicaError::new)
    }

    fn frontier(&self, space: SpaceId) -> Result<Frontier, ReplicaError> {
        let held = self.state().spaces.get(&space).cloned().unwrap_or_default();
        Ok(held.logs.iter().map(|(log, of)| (*log, of.chain.head)).collect())
    }

    fn change_id(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Option<ChangeId>, ReplicaError> {
        let mut state = self.state();
        let held = state.spaces.entry(space).or_default();
        Ok(held.logs.get(&log).and_then(|log| log.changes.get(seq as usize - 1)).map(|(_, id)| *id))
    }

    fn own_log(&self, space: SpaceId) -> Result<Option<LogId>, ReplicaError> {
        Ok(self.state().spaces.entry(space).or_default().own)
    }

    fn own_log_is_behind(&self, space: SpaceId, log: LogId, _: Head) -> Result<(), ReplicaError> {
        let mut state = self.state();
        let space = state.spaces.entry(space).or_default();
        assert_eq!(space.own.take(), Some(log), "told of a log that isn't its own");
        Ok(())
    }

    fn runs_after(&self, space: SpaceId, held: &Seqs, bytes_max: usize) -> Result<Vec<Served>, ReplicaError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let meanwhile = self.while_reading.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile(self);
        }
        let mut state = self.state();
        let space = state.spaces.entry(space).or_default();
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
        let logs = Arc::clone(&state.logs);
        let mut applied = Applied::default();
        for run in runs {
            let (space, log) = (run.space, run.log);
            let spaces = &mut state.spaces.entry(space).or_default().logs;
            let held = spaces.entry(log).or_insert_with(|| Log {
                chain: Chain::new(space, run.author, log),
                changes: Vec::new(),
                signatures: BTreeMap::new(),
            });
            let author = DeviceId::of_key(&run.author);
            let outcome = match logs.users.of_device(author).any(|(_, device)| device.standing == Standing::Active) {
                false => Err(Refusal::Author),
                true => held.append(run),
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
                spaces.remove(&log);
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
