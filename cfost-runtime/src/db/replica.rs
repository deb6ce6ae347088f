//! The database as sync sessions see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::oplog::{ChangeId, DeviceId, Frontier, Head, LogId, Run, SpaceId};
use crate::store::Store;
use crate::sync::{Applied, EntryLogs, LogKey, Replica, ReplicaError, Seqs, Served};

/// Gives sync sessions the store.
pub(crate) struct StoreReplica {
    store: Arc<Store>,
    device: DeviceId,
    app_version: String,
    /// The logs of entries when they were asked for last: sessions tell by it that nothing has changed.
    seen_logs: Mutex<Option<Arc<EntryLogs>>>,
}

impl StoreReplica {
    pub(crate) fn new(store: Arc<Store>) -> Result<Self, Error> {
        let device = store.device()?;
        Ok(Self { store, device, app_version: String::new(), seen_logs: Mutex::default() })
    }

    /// Tells peers what the app calls its version.
    #[cfg(feature = "net")]
    pub(crate) fn of_app(self, app_version: String) -> Self {
        Self { app_version, ..self }
    }
}

impl From<Error> for ReplicaError {
    fn from(error: Error) -> Self {
        Self::new(error)
    }
}

impl Replica for StoreReplica {
    fn device(&self) -> DeviceId {
        self.device
    }

    fn app_version(&self) -> String {
        self.app_version.clone()
    }

    fn logs(&self) -> Result<Arc<EntryLogs>, ReplicaError> {
        let logs = self.store.entry_logs()?;
        let mut seen = self.seen_logs.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some(seen) if seen.is_same_as(&logs) => Ok(Arc::clone(seen)),
            _ => Ok(Arc::clone(seen.insert(Arc::new(logs)))),
        }
    }

    fn learn(&self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Result<usize, ReplicaError> {
        Ok(self.store.learn(entries, own_device)?)
    }

    fn certificate(&self) -> Result<Vec<Vec<u8>>, ReplicaError> {
        Ok(self.store.identity()?.certificate(self.device).map_err(Error::from)?)
    }

    fn frontiers(&self, spaces: &BTreeSet<SpaceId>) -> Result<BTreeMap<SpaceId, Frontier>, ReplicaError> {
        Ok(self.store.frontiers(spaces)?)
    }

    fn frontier(&self, space: SpaceId) -> Result<Frontier, ReplicaError> {
        Ok(self.store.frontier(space)?)
    }

    fn change_id(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Option<ChangeId>, ReplicaError> {
        Ok(self.store.change_id(space, log, seq)?)
    }

    fn is_split(&self, space: SpaceId, log: LogId) -> Result<bool, ReplicaError> {
        Ok(self.store.is_split(space, log)?)
    }

    fn own_log(&self, space: SpaceId) -> Result<Option<LogId>, ReplicaError> {
        Ok(self.store.own_log(space)?)
    }

    fn own_log_is_behind(&self, _space: SpaceId, log: LogId, head: Head) -> Result<(), ReplicaError> {
        if let Some(new) = self.store.give_up_log(log)? {
            tracing::warn!(%log, seq = head.seq, %new, "a peer holds more of this device's log than it does");
        }
        Ok(())
    }

    fn runs_after(&self, space: SpaceId, held: &Seqs, bytes_max: usize) -> Result<Vec<Served>, ReplicaError> {
        Ok(self.store.runs_after(space, held, bytes_max)?)
    }

    fn cuts(&self) -> u64 {
        self.store.cuts()
    }

    fn apply(&self, runs: Vec<Run>) -> Result<Applied, ReplicaError> {
        Ok(self.store.take_in(&runs)?)
    }

    fn seen(&self, peer: DeviceId) -> Result<(), ReplicaError> {
        Ok(self.store.seen(peer)?)
    }
}
