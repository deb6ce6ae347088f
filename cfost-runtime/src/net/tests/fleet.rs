//! Devices of one user with a replica in memory each, and nodes that run on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use libp2p::Multiaddr;
use tokio::sync::broadcast;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::host::{Host, ManualClock};
use crate::identity::pairing::{Joined, PairingId};
use crate::identity::{AddDevice, Body, DeviceKeys, DevicePublic, IdentityLog, RecoveryPhrase, RootKey};
use crate::net::{Admission, Admitter, Node, NodeConfig, NodeEvent};
use crate::oplog::{
    Chain, ChangeFlags, ChangeId, DeviceId, EpochKey, Frontier, Head, LogId, Run, Sealer, SpaceId, sign_change,
};
use crate::sync::{Applied, EntryLogs, LogKey, Refusal, Refused, Replica, ReplicaError, Seqs, Served};

/// How long a test waits for what must happen. Far more than it takes, for a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const RUN_CHANGES: usize = 64;

/// One log as a replica holds it.
struct Log {
    chain: Chain,
    changes: Vec<(Vec<u8>, ChangeId)>,
    signatures: BTreeMap<u64, [u8; 64]>,
}

/// A database without ops: it chains, signs, serves and verifies changes, and looks into none.
pub(super) struct MemoryReplica {
    pub(super) keys: DeviceKeys,
    pub(super) host: Host,
    space: SpaceId,
    own: LogId,
    epoch: EpochKey,
    identity: Mutex<Arc<IdentityLog>>,
    logs: Mutex<BTreeMap<LogId, Log>>,
    /// Pairings that are used up.
    consumed: Mutex<Vec<PairingId>>,
}

impl MemoryReplica {
    /// The database of a device that has just joined.
    pub(super) fn joined(keys: DeviceKeys, host: &Host, joined: Joined) -> Arc<Self> {
        let (space, epoch) = joined.space_keys.into_iter().next().unwrap();
        Arc::new(Self::new(keys, host, space, epoch, Arc::new(joined.log)))
    }

    /// The same, of a device that was let in by hand.
    pub(super) fn admitted(keys: DeviceKeys, host: &Host, admission: Admission) -> Arc<Self> {
        let (space, epoch) = admission.space_keys.into_iter().next().unwrap();
        Arc::new(Self::new(keys, host, space, epoch, admission.log))
    }

    fn new(keys: DeviceKeys, host: &Host, space: SpaceId, epoch: EpochKey, log: Arc<IdentityLog>) -> Self {
        Self {
            keys,
            space,
            own: LogId::from_bytes(host.random()),
            epoch,
            identity: Mutex::new(log),
            logs: Mutex::default(),
            consumed: Mutex::default(),
            host: host.clone(),
        }
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<LogId, Log>> {
        self.logs.lock().unwrap()
    }

    /// Makes `count` changes of `bytes` bytes each.
    pub(super) fn write(&self, count: usize, bytes: usize) {
        let mut sealer = Sealer::new();
        let mut logs = self.logs();
        let log = logs.entry(self.own).or_insert_with(|| Log {
            chain: Chain::new(self.space, self.keys.public().signing, self.own),
            changes: Vec::new(),
            signatures: BTreeMap::new(),
        });
        for _ in 0..count {
            let mut payload = vec![0; bytes];
            self.host.fill(&mut payload);
            let nonce = self.host.random();
            let flags = ChangeFlags::NONE;
            let sealed = sealer.seal(&mut log.chain, flags, &self.epoch, &nonce, &[], &[&payload]).unwrap();
            log.changes.push(sealed);
        }
    }

    /// How many devices its user has.
    pub(super) fn devices(&self) -> usize {
        self.identity.lock().unwrap().device_count()
    }

    /// Its public keys.
    pub(super) fn identity_of_self(&self) -> DevicePublic {
        self.keys.public()
    }

    /// How many changes of all logs it holds.
    pub(super) fn held(&self) -> usize {
        self.logs().values().map(|log| log.changes.len()).sum()
    }

    fn apply_run(&self, logs: &mut BTreeMap<LogId, Log>, run: &Run) -> Result<(u64, Head), Refusal> {
        let identity = self.identity.lock().unwrap().clone();
        identity.device_by_signing_key(&run.author).ok_or(Refusal::Author)?;
        let log = logs.entry(run.log).or_insert_with(|| Log {
            chain: Chain::new(run.space, run.author, run.log),
            changes: Vec::new(),
            signatures: BTreeMap::new(),
        });
        if run.last_seq() <= log.chain.head.seq {
            return Ok((0, log.chain.head));
        }
        if run.first_seq != log.chain.head.seq + 1 {
            return Err(Refusal::Gap);
        }
        let verified = run.verify(&mut log.chain).map_err(Refusal::Invalid)?;
        log.changes.extend(verified.iter().map(|change| (change.packed.to_vec(), change.id)));
        log.signatures.extend(run.signatures.iter().copied());
        Ok((verified.len() as u64, log.chain.head))
    }

    /// The next run of `log` after `held`: to a signature that is there, or a new one if it is ours.
    fn next_run(&self, id: LogId, log: &mut Log, held: u64) -> Option<Served> {
        let first = usize::try_from(held).unwrap();
        let last = if id == self.own {
            let last = log.changes.len().min(first + RUN_CHANGES);
            let (_, change) = log.changes.get(last.checked_sub(1)?)?;
            let signature = sign_change(self.keys.signing(), change);
            log.signatures.entry(last as u64).or_insert(signature);
            last as u64
        } else {
            *log.signatures.range(held + 1..).next()?.0
        };
        if last <= held {
            return None;
        }
        let changes = &log.changes[first..usize::try_from(last).unwrap()];
        let run = Run {
            space: self.space,
            log: id,
            origin: None,
            author: log.chain.author,
            first_seq: held + 1,
            epochs: vec![(1, *self.epoch.commitment())],
            changes: changes.iter().map(|(packed, _)| packed.clone()).collect(),
            signatures: vec![(last, log.signatures[&last])],
        };
        Some(Served { run, head: Head { seq: last, id: changes[changes.len() - 1].1 } })
    }
}

impl Replica for MemoryReplica {
    fn device(&self) -> DeviceId {
        self.keys.id()
    }

    fn logs(&self) -> Result<Arc<EntryLogs>, ReplicaError> {
        Ok(Arc::new(EntryLogs::of(self.identity.lock().unwrap().clone())))
    }

    fn learn(&self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Result<usize, ReplicaError> {
        let mut held = self.identity.lock().unwrap();
        let mut logs = EntryLogs::of(held.clone());
        let new = logs.learn(entries, own_device).len();
        *held = logs.users.own().clone();
        Ok(new)
    }

    fn certificate(&self) -> Result<Vec<Vec<u8>>, ReplicaError> {
        self.identity.lock().unwrap().certificate(self.device()).map_err(ReplicaError::new)
    }

    fn frontier(&self, _: SpaceId) -> Result<Frontier, ReplicaError> {
        let mut frontier = Frontier::new();
        for (id, log) in self.logs().iter() {
            frontier.advance(*id, log.chain.head);
        }
        Ok(frontier)
    }

    fn change_id(&self, _: SpaceId, log: LogId, seq: u64) -> Result<Option<ChangeId>, ReplicaError> {
        let index = usize::try_from(seq).unwrap().checked_sub(1);
        Ok(self.logs().get(&log).and_then(|log| Some(log.changes.get(index?)?.1)))
    }

    fn own_log(&self, _: SpaceId) -> Result<Option<LogId>, ReplicaError> {
        Ok(self.logs().contains_key(&self.own).then_some(self.own))
    }

    fn own_log_is_behind(&self, _: SpaceId, log: LogId, _: Head) -> Result<(), ReplicaError> {
        Err(ReplicaError::new(format!("nobody restored log {log}")))
    }

    fn runs_after(&self, _: SpaceId, held: &Seqs, bytes_max: usize) -> Result<Vec<Served>, ReplicaError> {
        let mut served = Vec::new();
        let mut bytes = 0;
        for (id, log) in self.logs().iter_mut() {
            let mut from = held.get(id).copied().unwrap_or(0);
            while let Some(next) = self.next_run(*id, log, from) {
                bytes += next.run.encode().len();
                if bytes > bytes_max && !served.is_empty() {
                    return Ok(served);
                }
                from = next.head.seq;
                served.push(next);
            }
        }
        Ok(served)
    }

    fn apply(&self, runs: Vec<Run>) -> Result<Applied, ReplicaError> {
        let mut applied = Applied::default();
        let mut logs = self.logs();
        for run in runs {
            match self.apply_run(&mut logs, &run) {
                Ok((changes, head)) => {
                    applied.changes += changes;
                    applied.ops += changes;
                    applied.heads.entry(run.space).or_default().advance(run.log, head);
                }
                Err(why) => applied.refused.push(Refused { space: run.space, log: run.log, why }),
            }
        }
        Ok(applied)
    }

    fn seen(&self, _: DeviceId) -> Result<(), ReplicaError> {
        Ok(())
    }
}

impl Admitter for MemoryReplica {
    fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError> {
        let mut consumed = self.consumed.lock().unwrap();
        if consumed.contains(&pairing) {
            return Err(ReplicaError::new("used up"));
        }
        consumed.push(pairing);
        Ok(())
    }

    fn admit(&self, request: AddDevice) -> Result<Admission, ReplicaError> {
        let mut held = self.identity.lock().unwrap();
        let mut log = (**held).clone();
        let entry = log.author(&self.keys, Body::AddDevice(request), Timestamp::from_ms(2)).unwrap();
        log.insert(entry.as_bytes()).unwrap();
        *held = Arc::new(log);
        let epoch = EpochKey::new(1, Zeroizing::new(*self.epoch.secret()));
        Ok(Admission { log: Arc::clone(&held), space_keys: vec![(self.space, epoch)] })
    }
}

/// `count` devices of one user who all know each other, made from `seed`.
pub(super) fn fleet(seed: u64, count: usize) -> Vec<Arc<MemoryReplica>> {
    println!("seed {seed}");
    let clock = ManualClock::at(1_700_000_000_000);
    let host = Host::simulated(clock, seed);
    let root = RootKey::from_phrase(&RecoveryPhrase::generate(&host));
    let keys: Vec<_> = (0..count).map(|_| DeviceKeys::generate(&host)).collect();
    let mut log = IdentityLog::found(&root, &keys[0], "device 0", Timestamp::from_ms(1)).unwrap();
    for (n, keys_of_n) in keys.iter().enumerate().skip(1) {
        let add = AddDevice::new(log.user_id(), keys_of_n, &format!("device {n}")).unwrap();
        let entry = log.author(&keys[0], Body::AddDevice(add), Timestamp::from_ms(1)).unwrap();
        log.insert(entry.as_bytes()).unwrap();
    }
    let log = Arc::new(log);
    let secret: [u8; 32] = host.random();
    let space = SpaceId::home_of(log.user_id());
    let epoch = || EpochKey::new(1, Zeroizing::new(secret));
    keys.into_iter().map(|keys| Arc::new(MemoryReplica::new(keys, &host, space, epoch(), Arc::clone(&log)))).collect()
}

/// A node of this device on loopback that knows these addresses.
pub(super) async fn node(replica: &Arc<MemoryReplica>, addresses: Vec<Multiaddr>) -> Node {
    start(replica, NodeConfig { addresses, ..NodeConfig::loopback() }).await
}

/// A node of this device.
pub(super) async fn start(replica: &Arc<MemoryReplica>, config: NodeConfig) -> Node {
    let secret = replica.keys.transport_secret();
    Node::start(config, &secret, replica.clone() as Arc<dyn Replica>).await.unwrap()
}

/// The addresses of a node that contain `carrier`.
pub(super) fn addresses(node: &Node, carrier: &str) -> Vec<Multiaddr> {
    node.listen_addresses().into_iter().filter(|address| address.to_string().contains(carrier)).collect()
}

/// Waits for an event that `wanted` turns into something.
pub(super) async fn event<T>(
    events: &mut broadcast::Receiver<NodeEvent>,
    what: &str,
    mut wanted: impl FnMut(&NodeEvent) -> Option<T>,
) -> T {
    let mut story = Vec::new();
    let found = timeout(PATIENCE, async {
        loop {
            match events.recv().await {
                Ok(event) => {
                    story.push(format!("{event:?}"));
                    if let Some(found) = wanted(&event) {
                        return found;
                    }
                }
                Err(broadcast::error::RecvError::Lagged(n)) => story.push(format!("({n} lost)")),
                Err(broadcast::error::RecvError::Closed) => panic!("the node is gone"),
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("no {what} in time; what happened: {story:#?}"))
}

/// Waits until `done` holds.
pub(super) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not in time"));
}
