//! Who has a say, model-checked: three devices and the phrase say all that they can say, knowing all that they can
//! know, in six entries. A device that is stolen says what it likes, and pretends not to know what it likes.
//!
//! A state of the model is a set of entries with all their ancestors. Every such set is what some replica may hold, so
//! what holds in every state holds on every replica.

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};

use crate::identity::EntryId;
use crate::identity::authority::{Act, Authority, Fact, FactSet};
use crate::oplog::DeviceId;

const PHONE: u8 = 0;
const LAPTOP: u8 = 1;
const TABLET: u8 = 2;
const DEVICES: [u8; 3] = [PHONE, LAPTOP, TABLET];

/// Whom the phrase keeps: the most senior, the others, the most junior.
const KEPT: [&[u8]; 3] = [&[PHONE], &[LAPTOP, TABLET], &[TABLET]];

/// The entries that the model begins with: each device was added by the one before.
const ADDS: usize = DEVICES.len();

fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number + 1; 16])
}

/// An entry of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Said {
    depth: u32,
    /// A hash of all else, as that of an entry is.
    id: [u8; 32],
    /// `None` for the phrase.
    author: Option<u8>,
    what: What,
    knows: BTreeSet<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum What {
    Add(u8),
    End(u8),
    Keep(Vec<u8>),
}

impl Said {
    fn new(author: Option<u8>, what: What, knows: &[&Self]) -> Self {
        let depth = 1 + knows.iter().map(|said| said.depth).max().unwrap_or(0);
        let knows: BTreeSet<_> = knows.iter().map(|said| said.id).collect();
        let id = blake3::hash(format!("{author:?} {what:?} {knows:?}").as_bytes()).into();
        Self { depth, id, author, what, knows }
    }
}

/// What some replica holds.
type Held = BTreeSet<Said>;

/// Who has a say by `held`, each fact with the number that `number` gives it.
fn authority(held: &Held, number: impl Fn(usize) -> usize) -> (Vec<Fact>, Authority) {
    let numbers = |ids: &BTreeSet<[u8; 32]>| {
        let mut facts = FactSet::default();
        let known = held.iter().enumerate().filter(|(_, said)| ids.contains(&said.id));
        known.for_each(|(n, _)| facts.insert(number(n)));
        facts
    };
    let mut facts: Vec<_> = held
        .iter()
        .enumerate()
        .map(|(n, said)| {
            let act = match &said.what {
                What::Add(added) => Act::Add(device(*added)),
                What::End(ended) => Act::End(device(*ended)),
                What::Keep(kept) => Act::ReRoot(kept.iter().map(|kept| device(*kept)).collect()),
            };
            let id = EntryId::from_bytes(said.id);
            (
                number(n),
                Fact { id, depth: said.depth, author: said.author.map(device), act, knows: numbers(&said.knows) },
            )
        })
        .collect();
    facts.sort_by_key(|(number, _)| *number);
    let facts: Vec<_> = facts.into_iter().map(|(_, fact)| fact).collect();
    let all = numbers(&held.iter().map(|said| said.id).collect());
    let authority = Authority::of(&facts, &all);
    (facts, authority)
}

fn in_order(held: &Held) -> (Vec<Fact>, Authority) {
    authority(held, |n| n)
}

/// Every part of `held` that has the ancestors of all its entries.
fn parts(held: &Held) -> Vec<Held> {
    let mut parts = vec![Held::new()];
    for said in held {
        let has_all = |part: &&Held| said.knows.iter().all(|id| part.iter().any(|it| it.id == *id));
        let more: Vec<Held> = parts
            .iter()
            .filter(has_all)
            .map(|part| {
                let mut part = part.clone();
                part.insert(said.clone());
                part
            })
            .collect();
        parts.extend(more);
    }
    parts
}

struct Family {
    entries_max: usize,
}

impl Model for Family {
    type State = Held;
    type Action = Said;

    fn init_states(&self) -> Vec<Held> {
        let mut held: Vec<Said> = Vec::new();
        for (number, by) in [(PHONE, None), (LAPTOP, Some(PHONE)), (TABLET, Some(LAPTOP))] {
            held.push(Said::new(by, What::Add(number), &held.iter().collect::<Vec<_>>()));
        }
        vec![held.into_iter().collect()]
    }

    fn actions(&self, held: &Held, actions: &mut Vec<Said>) {
        if held.len() >= self.entries_max {
            return;
        }
        for known in parts(held) {
            let (_, authority) = in_order(&known);
            let knows: Vec<&Said> = known.iter().collect();
            for author in DEVICES.into_iter().filter(|author| authority.has(device(*author))) {
                actions.extend(DEVICES.map(|ended| Said::new(Some(author), What::End(ended), &knows)));
            }
            let added = |number: &u8| known.iter().any(|said| said.what == What::Add(*number));
            let kept = KEPT.iter().filter(|kept| kept.iter().all(added));
            actions.extend(kept.map(|kept| Said::new(None, What::Keep(kept.to_vec()), &knows)));
        }
    }

    fn next_state(&self, held: &Held, said: Said) -> Option<Held> {
        let mut next = held.clone();
        next.insert(said).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("replicas that hold the same agree", |_, held| numbers_mean_nothing(held)),
            Property::always("somebody has a say", |_, held| {
                let (_, authority) = in_order(held);
                DEVICES.iter().any(|number| authority.has(device(*number)))
            }),
            Property::always("of two that end each other the senior stays", |_, held| senior_stays(held)),
            Property::always("the phrase always wins", |_, held| phrase_wins(held)),
            Property::always("nobody regains a say but by the phrase", |_, held| nobody_regains(held)),
            Property::sometimes("a junior ends a senior", |_, held| {
                let (_, authority) = in_order(held);
                !authority.has(device(PHONE)) && authority.re_rooted.is_none() && authority.has(device(TABLET))
            }),
            Property::sometimes("a stolen senior ends all others", |_, held| {
                let (_, authority) = in_order(held);
                authority.has(device(PHONE)) && !authority.has(device(LAPTOP)) && !authority.has(device(TABLET))
            }),
        ]
    }
}

/// In which order entries arrived, by which they are numbered, makes no difference.
fn numbers_mean_nothing(held: &Held) -> bool {
    let last = held.len() - 1;
    let members = |number: &dyn Fn(usize) -> usize| {
        let (_, authority) = authority(held, number);
        let members = authority.members.into_iter();
        let ends = |ends: Vec<usize>| ends.into_iter().map(number).collect::<Vec<_>>();
        members.map(|(id, member)| (id, number(member.added_by), ends(member.ended_by))).collect::<Vec<_>>()
    };
    members(&|n| n) == members(&|n| last - n)
}

/// Of two ends that the ended put to each other, neither knowing of the other, only the senior's may count; and it
/// does if nobody else has ended the senior.
fn senior_stays(held: &Held) -> bool {
    let (facts, authority) = in_order(held);
    let ends = |by: u8, of: u8| {
        let ends = facts.iter().enumerate().filter(move |(_, fact)| fact.author == Some(device(by)));
        ends.filter(move |(_, fact)| fact.act == Act::End(device(of))).map(|(n, _)| n)
    };
    let counts = |of: u8, end: usize| authority.members.get(&device(of)).is_some_and(|it| it.ended_by.contains(&end));
    [(PHONE, LAPTOP), (PHONE, TABLET), (LAPTOP, TABLET)].into_iter().all(|(senior, junior)| {
        ends(senior, junior).all(|by_senior| {
            ends(junior, senior)
                .filter(|by_junior| !facts[*by_junior].knows.contains(by_senior))
                .filter(|by_junior| !facts[by_senior].knows.contains(*by_junior))
                .all(|by_junior| {
                    let mut others = facts.iter().enumerate().filter(|(n, _)| *n != by_junior);
                    let undisputed = !others.any(|(_, fact)| fact.act == Act::End(device(senior)));
                    let phrase = authority.re_rooted.is_some();
                    let one_stays = !counts(senior, by_junior) || !counts(junior, by_senior);
                    one_stays && (!undisputed || phrase || authority.has(device(senior)))
                })
        })
    })
}

/// Whom the phrase keeps has a say until somebody who knows of that ends it; whom it knew and left out has none.
fn phrase_wins(held: &Held) -> bool {
    let (facts, authority) = in_order(held);
    let Some(re_rooted) = authority.re_rooted else { return true };
    let deepest = facts.iter().filter(|fact| matches!(fact.act, Act::ReRoot(_))).map(|fact| (fact.depth, fact.id));
    let Act::ReRoot(kept) = &facts[re_rooted].act else { return false };
    let ended_since =
        |id: DeviceId| facts.iter().any(|fact| fact.act == Act::End(id) && fact.knows.contains(re_rooted));
    let known = |id: DeviceId| {
        facts.iter().enumerate().any(|(n, fact)| fact.act == Act::Add(id) && facts[re_rooted].knows.contains(n))
    };
    deepest.max() == Some((facts[re_rooted].depth, facts[re_rooted].id))
        && DEVICES.map(device).into_iter().all(|id| match kept.contains(&id) {
            true => authority.has(id) || ended_since(id),
            false => !known(id) || !authority.members.contains_key(&id),
        })
}

/// Nothing that was said in knowledge of an end that counts brings the ended device back, but the phrase; nor, in
/// knowledge of all ends, one that only void entries had added.
fn nobody_regains(held: &Held) -> bool {
    let (_, after) = in_order(held);
    let newest = held.iter().filter(|said| !held.iter().any(|other| other.knows.contains(&said.id)));
    newest.filter(|said| !matches!(said.what, What::Keep(_))).all(|newest| {
        let mut held_before = held.clone();
        held_before.remove(newest);
        let (facts, before) = in_order(&held_before);
        let knows = |end: &usize| newest.knows.contains(facts[*end].id.as_bytes());
        let knows_all = before.members.values().all(|member| member.ended_by.iter().all(knows));
        DEVICES.into_iter().filter(|number| after.has(device(*number))).all(|number| {
            match before.members.get(&device(number)) {
                Some(member) => member.ended_by.is_empty() || !member.ended_by.iter().all(knows),
                None => newest.what == What::Add(number) || !knows_all,
            }
        })
    })
}

fn check(entries_max: usize) {
    let checker = Family { entries_max }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done() && checker.unique_state_count() > 1000, "{} states", checker.unique_state_count());
}

/// Promise: whatever three devices and the phrase say in six entries, replicas agree, somebody has a say, the senior
/// of two stays, the phrase wins, and nobody who was ended comes back by itself.
#[test]
fn who_has_a_say_is_sound_for_three_devices_and_six_entries() {
    check(ADDS + 3);
}
