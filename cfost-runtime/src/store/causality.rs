//! Who knew what: whether a write was made in the knowledge of another.
//!
//! Along a log every change knows those before it. Its header names the heads of other logs that it had
//! seen and its predecessor had not, and what those had seen it has seen too. Two writes of which neither
//! knew the other are concurrent: that one of them wins is then no decision of anybody's.

use std::collections::hash_map;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rusqlite::Connection;

use super::layout::{position, seq_of};
use super::{Registry, StoreError};
use crate::oplog::PackedChange;

/// A change of a log, by the log's number here and its seq.
pub(super) type ChangePlace = (u32, u64);

/// What changes knew of each other; reads of the oplog what it is asked about, and that once.
pub(super) struct Causality<'a> {
    conn: &'a Connection,
    registry: &'a Registry,
    deps: HashMap<u32, Rc<[NamedHead]>>,
    known: HashMap<ChangePlace, Rc<BTreeMap<u32, u64>>>,
}

/// That a change of a log, by its seq, named the head of another.
struct NamedHead {
    seq: u64,
    of: ChangePlace,
}

impl<'a> Causality<'a> {
    pub(super) fn new(conn: &'a Connection, registry: &'a Registry) -> Self {
        Self { conn, registry, deps: HashMap::new(), known: HashMap::new() }
    }

    /// Whether `change`, or one before it in its log, had seen `other`.
    pub(super) fn knew(&mut self, change: ChangePlace, other: ChangePlace) -> Result<bool, StoreError> {
        if change.0 == other.0 {
            return Ok(other.1 <= change.1);
        }
        Ok(self.known_to(change)?.get(&other.0).is_some_and(|seq| *seq >= other.1))
    }

    /// How far a change had seen every log.
    fn known_to(&mut self, change: ChangePlace) -> Result<Rc<BTreeMap<u32, u64>>, StoreError> {
        if let Some(known) = self.known.get(&change) {
            return Ok(Rc::clone(known));
        }
        let mut known = BTreeMap::from([change]);
        // Each entry of a log only ever rises, and not beyond what is named: this ends, whatever a
        // faulty device has named.
        let mut pending = vec![(change, 0)];
        while let Some(((log, seq), seen)) = pending.pop() {
            let named = self.named_by(log)?;
            let first = named.partition_point(|head| head.seq <= seen);
            for head in named[first..].iter().take_while(|head| head.seq <= seq) {
                let before = known.entry(head.of.0).or_insert(0);
                if head.of.1 > *before {
                    pending.push((head.of, std::mem::replace(before, head.of.1)));
                }
            }
        }
        let known = Rc::new(known);
        self.known.insert(change, Rc::clone(&known));
        Ok(known)
    }

    /// The heads that a log's changes have named, by ascending seq.
    fn named_by(&mut self, log: u32) -> Result<Rc<[NamedHead]>, StoreError> {
        let entry = match self.deps.entry(log) {
            hash_map::Entry::Occupied(known) => return Ok(Rc::clone(known.get())),
            hash_map::Entry::Vacant(entry) => entry,
        };
        let Some(row) = self.registry.get(log) else { return Ok(Rc::clone(entry.insert(Rc::from([])))) };
        let mut select = self.conn.prepare_cached(
            "SELECT position, change FROM cfost_changes WHERE position BETWEEN ?1 AND ?2 ORDER BY position",
        )?;
        let mut rows = select.query((position(log, 1), position(log, row.applied_seq)))?;
        let mut named = Vec::new();
        while let Some(change) = rows.next()? {
            let seq = seq_of(change.get(0)?);
            let packed = change.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let damaged = |error: crate::oplog::OplogError| StoreError::DamagedChange {
                log: row.id,
                seq,
                reason: error.to_string(),
            };
            let deps = PackedChange::decode(packed).map_err(damaged)?.deps;
            let heads = deps.iter().filter_map(|dep| Some((self.registry.number(dep.log)?, dep.head.seq)));
            named.extend(heads.map(|of| NamedHead { seq, of }));
        }
        Ok(Rc::clone(entry.insert(named.into())))
    }
}
