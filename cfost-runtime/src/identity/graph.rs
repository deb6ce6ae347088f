//! Entries that name the entries which their author knew: a graph that every holder can have a copy of.
//!
//! What is in it is a set: neither the order in which entries arrive nor how often makes a difference. An entry that
//! arrives before one of its ancestors waits until that one has.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::entry::EntryId;
use super::error::{IdentityError, Result};
use super::limits::{ENTRY_PARENTS_MAX, WAITING_BYTES_MAX};
use crate::clock::Timestamp;

/// An entry of a graph.
pub(super) trait Linked {
    fn id(&self) -> EntryId;
    fn parents(&self) -> &[EntryId];
    fn at(&self) -> Timestamp;
    fn as_bytes(&self) -> &[u8];
}

/// Entries with all their ancestors, and what their log remembers of each.
#[derive(Clone)]
pub(super) struct Graph<E, X> {
    nodes: HashMap<EntryId, Node<E, X>>,
    /// Of all entries together.
    bytes: usize,
    /// Causal order, and the same on every device.
    order: BTreeSet<(u32, EntryId)>,
    heads: BTreeSet<EntryId>,
    waiting: Waiting<E>,
}

#[derive(Clone)]
pub(super) struct Node<E, X> {
    pub(super) entry: E,
    /// 1 for an entry without parents, else one more than its deepest parent.
    pub(super) depth: u32,
    pub(super) extra: X,
}

/// Entries whose ancestors have not all arrived, each filed under one that is missing.
#[derive(Clone)]
struct Waiting<E> {
    entries: HashMap<EntryId, E>,
    by_missing: HashMap<EntryId, Vec<EntryId>>,
    bytes: usize,
}

impl<E, X> Default for Graph<E, X> {
    fn default() -> Self {
        let waiting = Waiting { entries: HashMap::new(), by_missing: HashMap::new(), bytes: 0 };
        Self { nodes: HashMap::new(), bytes: 0, order: BTreeSet::new(), heads: BTreeSet::new(), waiting }
    }
}

impl<E: Linked> Waiting<E> {
    fn add(&mut self, entry: E, missing: EntryId) -> Result<()> {
        let bytes = self.bytes + entry.as_bytes().len();
        if bytes > WAITING_BYTES_MAX {
            return Err(IdentityError::WaitingFull);
        }
        self.bytes = bytes;
        self.by_missing.entry(missing).or_default().push(entry.id());
        self.entries.insert(entry.id(), entry);
        Ok(())
    }

    fn take_those_missing(&mut self, arrived: &EntryId) -> Vec<E> {
        let ids = self.by_missing.remove(arrived).unwrap_or_default();
        let entries: Vec<_> = ids.iter().filter_map(|id| self.entries.remove(id)).collect();
        self.bytes -= entries.iter().map(|entry| entry.as_bytes().len()).sum::<usize>();
        entries
    }
}

impl<E: Linked, X> Graph<E, X> {
    /// Whether the entry is here, or waits.
    pub(super) fn knows(&self, id: &EntryId) -> bool {
        self.nodes.contains_key(id) || self.waiting.entries.contains_key(id)
    }

    /// Has an entry wait if one of its parents is missing, else gives it back.
    pub(super) fn wait_for_parents(&mut self, entry: E) -> Result<Option<E>> {
        match entry.parents().iter().find(|parent| !self.nodes.contains_key(parent)).copied() {
            Some(missing) => self.waiting.add(entry, missing).map(|()| None),
            None => Ok(Some(entry)),
        }
    }

    /// The entries that waited for the one which has arrived, and now for no other.
    pub(super) fn released_by(&mut self, arrived: &EntryId) -> Result<Vec<E>> {
        let mut released = Vec::new();
        for entry in self.waiting.take_those_missing(arrived) {
            released.extend(self.wait_for_parents(entry)?);
        }
        Ok(released)
    }

    /// How deep an entry is that has these parents, all of which are here.
    pub(super) fn depth_upon(&self, parents: &[EntryId]) -> u32 {
        1 + parents.iter().map(|parent| self.nodes[parent].depth).max().unwrap_or(0)
    }

    /// Adds an entry whose parents are all here.
    pub(super) fn add(&mut self, entry: E, extra: X) {
        let (id, depth) = (entry.id(), self.depth_upon(entry.parents()));
        for parent in entry.parents() {
            self.heads.remove(parent);
        }
        self.bytes += entry.as_bytes().len();
        self.heads.insert(id);
        self.order.insert((depth, id));
        self.nodes.insert(id, Node { entry, depth, extra });
    }

    pub(super) fn get(&self, id: &EntryId) -> Option<&Node<E, X>> {
        self.nodes.get(id)
    }

    /// All entries, every one after its ancestors.
    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node<E, X>> + '_ {
        self.order.iter().map(|(_, id)| &self.nodes[id])
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.entries.len()
    }

    /// The bytes of all entries together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entries that no other builds on: they stand for the whole graph.
    pub(super) fn heads(&self) -> impl ExactSizeIterator<Item = EntryId> + '_ {
        self.heads.iter().copied()
    }

    /// A time later than all that the heads have, so that what replaces a name always wins over that name.
    pub(super) fn later_than_heads(&self, at: Timestamp) -> Timestamp {
        let newest = self.heads.iter().filter_map(|id| self.nodes.get(id)).map(|head| head.entry.at()).max();
        newest.map_or(at, |newest| at.max(newest.plus(1)))
    }

    /// The heads; if there are too many, the deepest of them and `needed`.
    pub(super) fn parents_for(&self, needed: &[EntryId]) -> Vec<EntryId> {
        let mut parents: Vec<_> = self.heads.iter().copied().collect();
        if parents.len() > ENTRY_PARENTS_MAX {
            parents.sort_by_key(|id| Reverse((self.nodes.get(id).map(|head| head.depth), *id)));
            parents.truncate(ENTRY_PARENTS_MAX - needed.len());
            parents.extend(needed);
            parents.sort();
            parents.dedup();
        }
        parents
    }

    /// The entries, and all that they build on.
    pub(super) fn with_ancestors(&self, entries: impl IntoIterator<Item = EntryId>) -> HashSet<EntryId> {
        let mut seen = HashSet::new();
        let mut to_visit: Vec<EntryId> = entries.into_iter().collect();
        while let Some(id) = to_visit.pop() {
            if let Some(node) = self.nodes.get(&id)
                && seen.insert(id)
            {
                to_visit.extend_from_slice(node.entry.parents());
            }
        }
        seen
    }

    /// What someone lacks who holds `have` and everything those build on.
    pub(super) fn missing_from(&self, have: &[EntryId]) -> Vec<&E> {
        let held = self.with_ancestors(have.iter().copied());
        self.nodes().map(|node| &node.entry).filter(|entry| !held.contains(&entry.id())).collect()
    }

    /// One of the entries that waiting ones need, if any wait.
    pub(super) fn missing(&self) -> Option<EntryId> {
        self.waiting.by_missing.keys().filter(|id| !self.waiting.entries.contains_key(id)).min().copied()
    }

    /// A hash of the set of entries of `owner`'s log.
    pub(super) fn digest(&self, context: &str, owner: &[u8; 16]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(owner);
        for head in &self.heads {
            hasher.update(head.as_bytes());
        }
        hasher.finalize().into()
    }
}
