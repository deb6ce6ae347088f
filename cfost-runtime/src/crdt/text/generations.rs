//! The generations of one text: which of them is shown, and which have to be kept.
//!
//! A *base* is a write of the whole text, by a version for which it was one value; it begins a generation. An *edit*
//! is a delta, and names its generation. Shown is, of the generations whose beginning is here, the one that was
//! written last: the one with the greatest stamp of its base and its edits. So a version that writes whole texts and
//! one that edits them agree on which of two concurrent writes wins; and what doesn't show is not lost, since an
//! edit of it may come yet and make it the one that was written last.
//!
//! Kept is the shown one and each that was edited. A base that is neither needs no keeping: the oplog has it, and an
//! edit that names it fetches it from there. Which are kept is a function of the writes, not of their order.

use super::Generation;
use crate::crdt::{Stamp, Writers};

/// A generation that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its number among those of its text: the natural one, with which a text begins as one, has 0.
    pub number: u32,
    /// Its name; `None` for the natural one.
    pub generation: Option<Generation>,
    /// The greatest stamp of its base and its edits.
    pub stamp: Stamp,
    /// Whether its beginning is here. The natural one begins empty, so it always is.
    pub begun: bool,
    /// Whether it was edited.
    pub edited: bool,
}

/// The generations of a text that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations(Vec<Held>);

impl Generations {
    /// Those that a database keeps, in any order.
    pub fn new(held: Vec<Held>) -> Self {
        Self(held)
    }

    /// All that are kept.
    pub fn held(&self) -> &[Held] {
        &self.0
    }

    /// The one that is shown; `None` if nothing was written.
    pub fn shown(&self, writers: &impl Writers) -> Option<Held> {
        let begun = self.0.iter().filter(|held| held.begun);
        begun.copied().reduce(|one, other| if other.stamp.beats(one.stamp, writers) { other } else { one })
    }

    /// The one with a name, if it is kept.
    pub fn find(&self, generation: Option<Generation>) -> Option<Held> {
        self.0.iter().copied().find(|held| held.generation == generation)
    }

    /// A base with this stamp. Returns its generation if the base has to be kept.
    pub fn begin(&mut self, generation: Generation, stamp: Stamp, writers: &impl Writers) -> Option<Held> {
        let shown = self.shown(writers);
        if let Some(held) = self.0.iter_mut().find(|held| held.generation == Some(generation)) {
            held.begun = true;
            held.stamp = later(held.stamp, stamp, writers);
            return Some(*held);
        }
        if shown.is_some_and(|shown| !stamp.beats(shown.stamp, writers)) {
            return None;
        }
        let number = self.next_number();
        self.0.push(Held { number, generation: Some(generation), stamp, begun: true, edited: false });
        self.0.last().copied()
    }

    /// An edit with this stamp; returns its generation.
    pub fn edit(&mut self, generation: Option<Generation>, stamp: Stamp, writers: &impl Writers) -> Held {
        if let Some(held) = self.0.iter_mut().find(|held| held.generation == generation) {
            held.edited = true;
            held.stamp = later(held.stamp, stamp, writers);
            return *held;
        }
        let natural = generation.is_none();
        let number = if natural { 0 } else { self.next_number() };
        let held = Held { number, generation, stamp, begun: natural, edited: true };
        self.0.push(held);
        held
    }

    /// Takes out those that need no keeping, and returns their numbers.
    pub fn let_go(&mut self, writers: &impl Writers) -> Vec<u32> {
        let shown = self.shown(writers).map(|held| held.number);
        let idle = |held: &Held| !held.edited && Some(held.number) != shown;
        let numbers = self.0.iter().filter(|held| idle(held)).map(|held| held.number).collect();
        self.0.retain(|held| !idle(held));
        numbers
    }

    /// A number that none of them has, from 1: numbers of those that were let go are taken again.
    fn next_number(&self) -> u32 {
        (1..).find(|number| self.0.iter().all(|held| held.number != *number)).unwrap_or(u32::MAX)
    }
}

fn later(one: Stamp, other: Stamp, writers: &impl Writers) -> Stamp {
    if other.beats(one, writers) { other } else { one }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;
    use crate::crdt::Writer;

    struct ByNumber;

    impl Writers for ByNumber {
        fn order(&self, a: Writer, b: Writer) -> Ordering {
            a.cmp(&b)
        }
    }

    /// A write: the generation that it is of, by the stamp of its base (0 for the natural one), and its stamp if it is
    /// an edit.
    type Write = (u64, Option<u64>);

    fn stamp(at: u64) -> Stamp {
        Stamp { at: Timestamp::from_u64(at / 3 + 1), writer: Writer(at as u32 % 3) }
    }

    fn named(base: u64) -> Option<Generation> {
        let Stamp { at, writer } = stamp(base);
        (base > 0).then_some(Generation { writer: writer.0.into(), at })
    }

    fn write(generations: &mut Generations, all: &[Write], (base, edit): Write) {
        match (named(base), edit) {
            (Some(generation), None) => drop(generations.begin(generation, stamp(base), &ByNumber)),
            (_, None) => {}
            (generation, Some(edit)) => {
                let held = generations.edit(generation, stamp(edit), &ByNumber);
                // The base is in the oplog, or comes later.
                if let Some(generation) = generation.filter(|_| !held.begun && all.contains(&(base, None))) {
                    generations.begin(generation, stamp(base), &ByNumber);
                }
            }
        }
        generations.let_go(&ByNumber);
    }

    /// What is kept, and what is shown, by all writes at once.
    fn meant(all: &[Write]) -> (BTreeSet<u64>, Option<u64>) {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for (base, edit) in all {
            let newest = last.entry(*base).or_default();
            *newest = (*newest).max(edit.unwrap_or(*base));
        }
        let begun = last.iter().filter(|(base, _)| **base == 0 || all.contains(&(**base, None)));
        let shown = begun.max_by_key(|(_, newest)| **newest).map(|(base, _)| *base);
        let edited = all.iter().filter(|(_, edit)| edit.is_some()).map(|(base, _)| *base);
        (edited.chain(shown).collect(), shown)
    }

    proptest! {
        #[test]
        fn what_is_kept_and_what_is_shown_depend_on_no_order(
            bases in proptest::collection::btree_set(1..40_u64, 0..6),
            edits in proptest::collection::btree_map(1..40_u64, 0..40_u64, 0..6),
            order in any::<u64>(),
        ) {
            // No two writes have one stamp, and an edit is later than what it edits.
            let edits = edits.into_iter().map(|(base, later)| (base / 8 * 8 % (base + 1), 40 + later * 41 + base));
            let all: Vec<Write> = (bases.into_iter().map(|base| (base, None)))
                .chain(edits.map(|(base, edit)| (base, Some(edit))))
                .collect();
            let (mut rest, mut seed) = (all.clone(), order);
            let (mut generations, mut seen) = (Generations::default(), Vec::new());
            while !rest.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let next = rest.swap_remove((seed >> 33) as usize % rest.len());
                seen.push(next);
                write(&mut generations, &seen, next);
                let (kept, shown) = meant(&seen);
                let found = generations.shown(&ByNumber).map(|held| held.generation);
                prop_assert_eq!(found, shown.map(named), "{:?}", seen);
                let held: BTreeSet<_> = generations.held().iter().map(|held| held.generation).collect();
                prop_assert_eq!(held, kept.into_iter().map(named).collect(), "{:?}", seen);
                let numbers: BTreeSet<u32> = generations.held().iter().map(|held| held.number).collect();
                prop_assert_eq!(numbers.len(), generations.held().len(), "each has a number of its own");
            }
        }
    }
}
