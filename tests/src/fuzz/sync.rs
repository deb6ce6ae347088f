//! A session that is told anything at all, at any point of its life.

use std::sync::{Arc, LazyLock};

use cfost_runtime::clock::Timestamp;
use cfost_runtime::host::{Host, ManualClock};
use cfost_runtime::identity::{Body, DeviceKeys, SpaceLog};
use cfost_runtime::oplog::Run;
use cfost_runtime::oplog::{ChangeId, DeviceId, Frontier, Head, LogId, SpaceId};
use cfost_runtime::sync::{
    Applied, EntryLogs, Event, Input, LogKey, Refusal, Refused, Replica, ReplicaError, Seqs, Served, Session,
};

use super::identity::{NOW_MS, USER};
use super::oplog::{empty_chain, run_of};

/// A replica that remembers nothing: each run is verified, and then forgotten.
struct Forgetful {
    keys: &'static DeviceKeys,
    logs: Arc<EntryLogs>,
    space: SpaceId,
    holds: Option<Run>,
}

impl Forgetful {
    fn head(&self) -> Option<Head> {
        let run = self.holds.as_ref()?;
        let mut chain = empty_chain(self.space);
        run.verify(&mut chain).expect("a seed is valid");
        Some(chain.head)
    }
}

impl Replica for Forgetful {
    fn device(&self) -> DeviceId {
        self.keys.id()
    }

    fn logs(&self) -> Result<Arc<EntryLogs>, ReplicaError> {
        Ok(Arc::clone(&self.logs))
    }

    fn learn(&self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Result<usize, ReplicaError> {
        Ok(EntryLogs::clone(&self.logs).learn(entries, own_device).len())
    }

    fn certificate(&self) -> Result<Vec<Vec<u8>>, ReplicaError> {
        self.logs.users.own().certificate(self.keys.id()).map_err(ReplicaError::new)
    }

    fn frontier(&self, space: SpaceId) -> Result<Frontier, ReplicaError> {
        if space != self.space {
            return Ok(Frontier::new());
        }
        Ok(self.head().map(|head| (empty_chain(self.space).log, head)).into_iter().collect())
    }

    fn change_id(&self, _space: SpaceId, _log: LogId, _seq: u64) -> Result<Option<ChangeId>, ReplicaError> {
        Ok(None)
    }

    fn own_log(&self, _space: SpaceId) -> Result<Option<LogId>, ReplicaError> {
        Ok(None)
    }

    fn own_log_is_behind(&self, _space: SpaceId, _log: LogId, _head: Head) -> Result<(), ReplicaError> {
        Ok(())
    }

    fn runs_after(&self, space: SpaceId, held: &Seqs, _bytes_max: usize) -> Result<Vec<Served>, ReplicaError> {
        if space != self.space {
            return Ok(Vec::new());
        }
        let log = empty_chain(self.space).log;
        let missing = held.get(&log).copied().unwrap_or(0) == 0;
        let served = self.holds.clone().zip(self.head()).filter(|_| missing);
        Ok(served.map(|(run, head)| Served { run, head }).into_iter().collect())
    }

    fn apply(&self, runs: Vec<Run>) -> Result<Applied, ReplicaError> {
        let mut applied = Applied::default();
        for run in runs {
            let mut chain = empty_chain(self.space);
            match run.verify(&mut chain) {
                Ok(changes) => {
                    applied.changes += changes.len() as u64;
                    applied.heads.entry(run.space).or_default().advance(run.log, chain.head);
                }
                Err(error) => {
                    let why = Refusal::Invalid(error);
                    applied.refused.push(Refused { space: run.space, log: run.log, why });
                }
            }
        }
        Ok(applied)
    }

    fn seen(&self, _peer: DeviceId) -> Result<(), ReplicaError> {
        Ok(())
    }
}

/// The phone, which holds a run of changes, and the laptop, which holds nothing.
static DEVICES: LazyLock<(Forgetful, Forgetful)> = LazyLock::new(|| {
    let space = SpaceId::home_of(USER.log.user_id());
    let logs = Arc::new(EntryLogs::of(Arc::new(USER.log.clone())));
    // The phone has an entry to tell, and a space of its user's.
    let mut told = USER.log.clone();
    let at = Timestamp::from_ms(NOW_MS);
    let body = Body::RenameDevice { device: USER.phone.id(), name: "new phone".to_owned() };
    let entry = told.author(&USER.phone, body, at).expect("a seed is valid");
    told.insert(entry.as_bytes()).expect("a seed is valid");
    let host = Host::simulated(ManualClock::at(NOW_MS), 5);
    let (members, _) = SpaceLog::found(&host, &told, &USER.phone, at).expect("a seed is valid");
    let mut more = EntryLogs::of(Arc::new(told));
    more.spaces.insert(members.space(), Arc::new(members));
    let phone = Forgetful { keys: &USER.phone, logs: Arc::new(more), space, holds: Some(run_of(space, 3)) };
    (phone, Forgetful { keys: &USER.laptop, logs, space, holds: None })
});

/// A listening session that hears these bytes takes them, or closes: once, and for good. The first byte
/// says in how large pieces the others arrive.
pub(super) fn frames(bytes: &[u8]) -> bool {
    let Some((&size, bytes)) = bytes.split_first() else { return false };
    let (phone, laptop) = &*DEVICES;
    let mut session = Session::listen(phone.keys.public().transport, NOW_MS);
    let mut closed = 0;
    let mut now_ms = NOW_MS;
    for piece in bytes.chunks(usize::from(size).max(1) * 4) {
        now_ms += 1;
        let was_closed = session.is_closed();
        let output = session.handle(laptop, now_ms, Input::Bytes(piece));
        session.written(output.bytes.len());
        assert!(!was_closed || (output.bytes.is_empty() && output.events.is_empty()), "it is over");
        closed += output.events.iter().filter(|event| matches!(event, Event::Closed { .. })).count();
    }
    let good = session.is_caught_up();
    let output = session.handle(laptop, now_ms, Input::Disconnected);
    closed += output.events.iter().filter(|event| matches!(event, Event::Closed { .. })).count();
    assert_eq!(closed, 1);
    assert!(session.is_closed());
    good
}

/// All that a dialing phone says to the laptop until both have the same.
pub(super) fn frames_seeds() -> Vec<Vec<u8>> {
    let (phone, laptop) = &*DEVICES;
    let mut dialer = Session::dial(laptop.keys.public().transport, NOW_MS);
    let mut listener = Session::listen(phone.keys.public().transport, NOW_MS);
    let mut said = vec![255];
    let mut to_dialer = Vec::new();
    for round in 0..20 {
        let input = if round == 0 { Input::Tick } else { Input::Bytes(&to_dialer) };
        let output = dialer.handle(phone, NOW_MS, input);
        dialer.written(output.bytes.len());
        said.extend_from_slice(&output.bytes);
        let answer = listener.handle(laptop, NOW_MS, Input::Bytes(&output.bytes));
        listener.written(answer.bytes.len());
        to_dialer = answer.bytes;
    }
    assert!(dialer.is_caught_up() && listener.is_caught_up());
    let slowly = [&[2], &said[1..]].concat();
    vec![said, slowly]
}
