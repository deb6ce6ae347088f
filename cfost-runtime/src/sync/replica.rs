//! What a session needs from the database it syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{EntryLogs, LogKey, ReplicaError};
use crate::identity::IdentityLog;
use crate::oplog::{ChangeId, DeviceId, Frontier, Head, LogId, OplogError, Run, SpaceId, UserId};

/// For a space: how far each log is held, by the seq of the newest change.
pub type Seqs = BTreeMap<LogId, u64>;

/// One database as its sessions see it. The store implements it; tests have one in memory.
///
/// Every method blocks until it is done, and what it wrote is durable when it returns: peers are told
/// so. Several sessions may call at once, from several threads.
pub trait Replica: Send + Sync {
    /// This device.
    fn device(&self) -> DeviceId;

    /// What the app calls its version, for peers to show if the two can't sync; empty if it doesn't say.
    fn app_version(&self) -> String {
        String::new()
    }

    /// The logs of entries as they are now: who is who, and who is in which space.
    fn logs(&self) -> Result<Arc<EntryLogs>, ReplicaError>;

    /// Adds entries that a peer tells, as [`EntryLogs::learn`] does, and returns how many were new. Entries that do
    /// not hold by themselves (forged, of another log) are left out, not an error: the others still count.
    fn learn(&self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Result<usize, ReplicaError>;

    /// The own user's identity log as it is now.
    fn identity(&self) -> Result<Arc<IdentityLog>, ReplicaError> {
        Ok(Arc::clone(self.logs()?.users.own()))
    }

    /// Adds entries to the own user's identity log and returns how many were new, as [`Replica::learn`] does.
    fn learn_identity(&self, entries: &[Vec<u8>]) -> Result<usize, ReplicaError> {
        let own = LogKey::User(self.identity()?.user_id());
        self.learn(&entries.iter().map(|entry| (own, entry.clone())).collect::<Vec<_>>(), true)
    }

    /// The identity entries that lead from the user's root key to this device.
    fn certificate(&self) -> Result<Vec<Vec<u8>>, ReplicaError>;

    /// The spaces whose changes this device shares with `peer`: for a device of the own user, all.
    fn spaces(&self, peer: DeviceId) -> Result<Vec<SpaceId>, ReplicaError> {
        let logs = self.logs()?;
        let users: BTreeSet<UserId> = logs.users.of_device(peer).map(|(user, _)| user).collect();
        let spaces: BTreeSet<SpaceId> =
            users.into_iter().flat_map(|user| logs.told_to(user).spaces().clone()).collect();
        Ok(spaces.into_iter().collect())
    }

    /// What is held of each of these spaces.
    fn frontiers(&self, spaces: &BTreeSet<SpaceId>) -> Result<BTreeMap<SpaceId, Frontier>, ReplicaError> {
        spaces.iter().map(|space| Ok((*space, self.frontier(*space)?))).collect()
    }

    /// The newest change of every log that is held in `space`.
    fn frontier(&self, space: SpaceId) -> Result<Frontier, ReplicaError>;

    /// The id of one change, if it is held: to compare with what a peer says of it.
    fn change_id(&self, space: SpaceId, log: LogId, seq: u64) -> Result<Option<ChangeId>, ReplicaError>;

    /// Whether a log took two ways: then it goes on in branches, which are logs of their own
    /// ([`LogId::of_branch`]).
    fn is_split(&self, space: SpaceId, log: LogId) -> Result<bool, ReplicaError> {
        let _ = (space, log);
        Ok(false)
    }

    /// The log that this device's next change in `space` goes to, if it has made one.
    fn own_log(&self, space: SpaceId) -> Result<Option<LogId>, ReplicaError>;

    /// A peer holds `head` of this device's own log, which this database does not: it was restored from
    /// an old copy, or copied. From now on it must write to a new [`LogId`], and treat the old one
    /// as any other log, whose missing changes may arrive from the peer. What it wrote to the old one and
    /// never signed must still be signed when it is served: nobody else can.
    fn own_log_is_behind(&self, space: SpaceId, log: LogId, head: Head) -> Result<(), ReplicaError>;

    /// Changes of `space` that go beyond `held`, as runs that each end at a signed change, in the order
    /// in which they were applied here. Signs where needed and passes the exposure barrier first.
    ///
    /// Gives at most `bytes_max` bytes of encoded runs, but one run if there is any. A log that `held`
    /// doesn't name is held up to 0; one that `held` has further than this replica has no run.
    fn runs_after(&self, space: SpaceId, held: &Seqs, bytes_max: usize) -> Result<Vec<Served>, ReplicaError>;

    /// How often changes were taken out of this database since it was opened, because they were damaged: it holds less
    /// then than it has said, and asks anew.
    fn cuts(&self) -> u64 {
        0
    }

    /// Verifies runs and applies them durably, each as far as it goes. Changes that are held already are
    /// no error. The runs are of spaces that are shared with a peer, in the order of arrival; runs of
    /// one log continue each other. An error means that the database failed, not that a run is bad.
    fn apply(&self, runs: Vec<Run>) -> Result<Applied, ReplicaError>;

    /// `peer` has just proved who it is, or has just gone: the time to note when it was last seen.
    fn seen(&self, peer: DeviceId) -> Result<(), ReplicaError>;
}

/// A run about to be sent.
#[derive(Debug)]
pub struct Served {
    /// The run.
    pub run: Run,
    /// Its last change.
    pub head: Head,
}

/// What came of runs that were given to [`Replica::apply`].
#[derive(Debug, Default)]
pub struct Applied {
    /// Changes that are new here.
    pub changes: u64,
    /// Ops in these changes.
    pub ops: u64,
    /// Per space: the newest change that is now durable of each log that the runs are of.
    pub heads: BTreeMap<SpaceId, Frontier>,
    /// Logs that the runs are of, of which something is durable and waits for an update of this app, and why.
    pub too_new: Vec<(SpaceId, LogId, OplogError)>,
    /// Another database is in use with this device's keys: some of the runs are of it.
    pub copied: Option<Copied>,
    /// Runs that were not applied, or not to their end.
    pub refused: Vec<Refused>,
}

/// Another database is in use with this device's keys: one of the two is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The log that the other one writes to.
    pub log: LogId,
    /// Whether it is this database that has to pair again, as a device of its own. If not, the other one finds that it
    /// has to, when it syncs.
    pub pairs_again: bool,
}

/// A run that could not be applied.
#[derive(Debug)]
pub struct Refused {
    /// Its space.
    pub space: SpaceId,
    /// Its log.
    pub log: LogId,
    /// Why.
    pub why: Refusal,
}

/// Why a run could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Changes between what is held and the run's first are missing; they are asked for again.
    Gap,
    /// Its author is no device that may write to this space, as far as this device knows. The log is
    /// left out of this session.
    Author,
    /// The log took two ways: the run doesn't continue the changes held. The log is left out of this
    /// session; the replica keeps whatever it needs as proof.
    Forked,
    /// The run needs more room than this device may use for it. The log is left out of this session.
    Bounded,
    /// A newer app wrote the run in a way that can't even be verified here. The log is left out of this session;
    /// an upgrade of this app will read it.
    Newer(OplogError),
    /// The run is altered or forged: the session ends.
    Invalid(OplogError),
}
