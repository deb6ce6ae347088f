//! Who had a say: a pure function of a set of facts.
//!
//! A *fact* is an entry of the identity log that adds or ends devices. Each knows the facts that its author knew:
//! its ancestors. Facts that do not know each other are concurrent, and one that was made late by somebody who left
//! out what had happened meanwhile looks just the same: so nothing here depends on when anything was made.
//!
//! [`Authority::of`] decides, for any set of facts that has the ancestors of all its members, in this order:
//!
//! 1. **The phrase comes first.** Of all re-rootings the deepest counts, by (depth, id). It names the devices that
//!    stay. What it knew is settled by it: a device that it leaves out is gone, and an end that it, or somebody who
//!    did not know it, had put to a device that it names is void.
//! 2. **Seniors come before juniors.** A device's rank is the (depth, id) of the entry that added it. From the most
//!    senior device on, what each has said counts, unless it did not know of an end that was put to its author and
//!    that counts already, which only a more senior device, or the author itself, can have said. So of two devices
//!    that end each other, neither knowing of it, the senior one stays.
//! 3. **An end cuts off all that did not precede it.** What else a device said (the devices that it added) counts if
//!    every end that was put to it knew of it; a device that only void entries added was never one.
//! 4. **Somebody stays.** If everybody has ended everybody, the deepest of these ends is void, and so on; first those
//!    by which a device gave itself up.
//!
//! An entry is taken into the log at all only if its author had a say as far as its ancestors go, so by this very
//! function: a device that knows that it was ended has nothing more to say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::entry::EntryId;
use crate::oplog::DeviceId;

/// What an entry does to the set of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Adds a device.
    Add(DeviceId),
    /// Ends a device; one that ends itself retires.
    End(DeviceId),
    /// Says who stays. By the root key alone.
    ReRoot(BTreeSet<DeviceId>),
    /// Something else whose author must have had a say.
    Other,
}

/// An entry that matters to who has a say.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) id: EntryId,
    /// One more than its deepest ancestor's.
    pub(super) depth: u32,
    /// `None` for the root key.
    pub(super) author: Option<DeviceId>,
    pub(super) act: Act,
    /// Its ancestors.
    pub(super) knows: FactSet,
}

impl Fact {
    fn rank(&self) -> Rank {
        (self.depth, self.id)
    }

    fn is_retirement(&self) -> bool {
        matches!(self.act, Act::End(device) if self.author == Some(device))
    }
}

/// The smaller, the more senior.
pub(super) type Rank = (u32, EntryId);

/// Some of a log's facts, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FactSet(Vec<u64>);

impl FactSet {
    pub(super) fn contains(&self, fact: usize) -> bool {
        self.0.get(fact / 64).is_some_and(|word| word >> (fact % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, fact: usize) {
        if self.0.len() <= fact / 64 {
            self.0.resize(fact / 64 + 1, 0);
        }
        self.0[fact / 64] |= 1 << (fact % 64);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    fn has_all_of(&self, other: &Self) -> bool {
        let words = other.0.iter().enumerate();
        words.into_iter().all(|(n, word)| word & !self.0.get(n).copied().unwrap_or(0) == 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let bits = |word: u64| (0..64).filter(move |bit| word >> bit & 1 == 1);
        self.0.iter().enumerate().flat_map(move |(n, word)| bits(*word).map(move |bit| n * 64 + bit))
    }
}

/// A set of facts, and who has a say by it. Shared by all entries that know the same facts: most know no others
/// than the entry before.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) facts: FactSet,
    authority: OnceLock<Authority>,
}

impl View {
    pub(super) fn of(facts: FactSet) -> Arc<Self> {
        Arc::new(Self { facts, authority: OnceLock::new() })
    }

    /// All facts that any of `views` has.
    pub(super) fn union<'v>(views: impl IntoIterator<Item = &'v Arc<Self>>) -> Arc<Self> {
        let mut union: Option<Arc<Self>> = None;
        for view in views {
            union = match union {
                Some(held) if held.facts.has_all_of(&view.facts) => Some(held),
                Some(held) if !view.facts.has_all_of(&held.facts) => {
                    let mut facts = held.facts.clone();
                    facts.merge(&view.facts);
                    Some(Self::of(facts))
                }
                _ => Some(Arc::clone(view)),
            };
        }
        union.unwrap_or_default()
    }

    /// These facts and one more.
    pub(super) fn with(&self, fact: usize) -> Arc<Self> {
        let mut facts = self.facts.clone();
        facts.insert(fact);
        Self::of(facts)
    }

    pub(super) fn authority(&self, facts: &[Fact]) -> &Authority {
        self.authority.get_or_init(|| Authority::of(facts, &self.facts))
    }
}

/// Who has a say, by some set of facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Authority {
    /// The re-rooting that counts.
    pub(super) re_rooted: Option<usize>,
    /// Every device that was rightly added and not left out by the phrase, also if it was ended since.
    pub(super) members: BTreeMap<DeviceId, Member>,
}

/// A device that was rightly added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The first entry that rightly added it.
    pub(super) added_by: usize,
    /// The ends that count; none for a device that has a say.
    pub(super) ended_by: Vec<usize>,
}

impl Authority {
    /// Whether the device has a say.
    pub(super) fn has(&self, device: DeviceId) -> bool {
        self.members.get(&device).is_some_and(|member| member.ended_by.is_empty())
    }

    /// Who has a say by the facts in `within`, which has the ancestors of all its members.
    pub(super) fn of(facts: &[Fact], within: &FactSet) -> Self {
        let mut settling = Settling::begin(facts, within);
        settling.hear_all();
        loop {
            let members = settling.members();
            let somebody_stays = members.values().any(|member| member.ended_by.is_empty());
            if somebody_stays || !settling.take_back() {
                return Self { re_rooted: settling.re_rooted, members };
            }
        }
    }
}

/// The decision under way.
struct Settling<'f> {
    facts: &'f [Fact],
    re_rooted: Option<usize>,
    /// The devices that the re-rooting names, with the first entry that added each.
    kept: BTreeMap<DeviceId, usize>,
    /// The devices that it knew and does not name.
    left_out: BTreeSet<DeviceId>,
    /// What came beside or after the re-rooting: entries that add, by rank, and what each device said.
    adds: Vec<usize>,
    said: BTreeMap<DeviceId, Vec<usize>>,
    /// Entries by which devices were added, as far as is settled.
    admitting: BTreeMap<DeviceId, Vec<usize>>,
    /// The ends that count, in the order in which that was settled.
    ends: Vec<usize>,
}

impl<'f> Settling<'f> {
    fn begin(facts: &'f [Fact], within: &FactSet) -> Self {
        let mut ranked: Vec<usize> = within.iter().collect();
        ranked.sort_by_key(|&fact| facts[fact].rank());
        let re_roots = ranked.iter().rev().copied().filter(|&fact| matches!(facts[fact].act, Act::ReRoot(_)));
        let re_rooted = re_roots.into_iter().find(|_| !planted!("do-not-hear-the-phrase"));
        let mut this = Self {
            facts,
            re_rooted,
            kept: BTreeMap::new(),
            left_out: BTreeSet::new(),
            adds: Vec::new(),
            said: BTreeMap::new(),
            admitting: BTreeMap::new(),
            ends: Vec::new(),
        };
        let named = re_rooted.and_then(|fact| match &facts[fact].act {
            Act::ReRoot(named) => Some(named),
            _ => None,
        });
        for &fact in &ranked {
            let settled = re_rooted.is_some_and(|re_rooted| fact == re_rooted || facts[re_rooted].knows.contains(fact));
            match (&facts[fact].act, settled) {
                (Act::Add(device), true) if named.is_some_and(|named| named.contains(device)) => {
                    this.kept.entry(*device).or_insert(fact);
                }
                (Act::Add(device), true) => {
                    this.left_out.insert(*device);
                }
                (_, true) => {}
                (act, false) => {
                    if let Act::Add(_) = act {
                        this.adds.push(fact);
                    }
                    if let Some(author) = facts[fact].author {
                        this.said.entry(author).or_default().push(fact);
                    }
                }
            }
        }
        // That a device gave itself up goes before what it said without knowing that.
        for said in this.said.values_mut() {
            said.sort_by_key(|&fact| (Reverse(facts[fact].is_retirement()), facts[fact].rank()));
        }
        this
    }

    /// Hears the devices out, seniors first. Whom a device adds is junior to it.
    fn hear_all(&mut self) {
        let (mut waiting, mut heard) = (BTreeSet::new(), BTreeSet::new());
        waiting.extend(self.kept.iter().map(|(device, &fact)| (self.facts[fact].rank(), *device)));
        for fact in self.adds.clone() {
            if self.facts[fact].author.is_none() {
                waiting.extend(self.admit(fact));
            }
        }
        while let Some((_, device)) = waiting.pop_first() {
            if !heard.insert(device) {
                continue;
            }
            for fact in self.said.get(&device).cloned().unwrap_or_default() {
                if !self.counts(fact, device) {
                    continue;
                }
                match self.facts[fact].act {
                    Act::Add(_) => waiting.extend(self.admit(fact)),
                    Act::End(ended) if self.can_end(ended, fact) => self.ends.push(fact),
                    _ => {}
                }
            }
        }
    }

    /// Takes note that an entry adds a device; returns the device and the rank that this would give it.
    fn admit(&mut self, fact: usize) -> Option<(Rank, DeviceId)> {
        let Act::Add(device) = self.facts[fact].act else { return None };
        if self.left_out.contains(&device) {
            return None;
        }
        self.admitting.entry(device).or_default().push(fact);
        Some((self.facts[fact].rank(), device))
    }

    /// What the phrase says stays until somebody who knows it says otherwise.
    fn can_end(&self, device: DeviceId, by: usize) -> bool {
        let knows = self.re_rooted.is_some_and(|re_rooted| self.facts[by].knows.contains(re_rooted));
        !self.kept.contains_key(&device) || knows
    }

    /// Whether what `author` said counts: an entry that it knew made it a device, and every end of it knew the entry.
    fn counts(&self, fact: usize, author: DeviceId) -> bool {
        let knows = &self.facts[fact].knows;
        let is_member = self.kept.contains_key(&author)
            || self.admitting.get(&author).is_some_and(|adds| adds.iter().any(|&add| knows.contains(add)));
        let hears_all = planted!("hear-who-was-ended-behind-its-back");
        is_member && self.ends_of(author).all(|end| hears_all || end == fact || self.facts[end].knows.contains(fact))
    }

    fn ends_of(&self, device: DeviceId) -> impl Iterator<Item = usize> + '_ {
        self.ends.iter().copied().filter(move |&end| self.facts[end].act == Act::End(device))
    }

    /// The members, now that it is known which ends count: what a junior ended has no say in whom it added either.
    fn members(&mut self) -> BTreeMap<DeviceId, Member> {
        let mut added: BTreeMap<DeviceId, usize> = self.kept.clone();
        self.admitting.clear();
        // An entry that adds is deeper than the one that made its author a device, so that one is settled before.
        for fact in self.adds.clone() {
            let author = self.facts[fact].author;
            if author.is_none_or(|author| self.counts(fact, author))
                && let Some((_, device)) = self.admit(fact)
            {
                added.entry(device).or_insert(fact);
            }
        }
        let member = |(device, added_by)| (device, Member { added_by, ended_by: self.ends_of(device).collect() });
        added.into_iter().map(member).collect()
    }

    /// Makes the last end void, that is the deepest; says whether there was one.
    fn take_back(&mut self) -> bool {
        let rank = |end: &usize| (self.facts[*end].is_retirement(), self.facts[*end].rank());
        let Some(last) = self.ends.iter().copied().max_by_key(rank) else { return false };
        self.ends.retain(|end| *end != last);
        true
    }
}
