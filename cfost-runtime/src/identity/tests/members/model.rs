//! Who has a say in a space, model-checked: a founder, a writer and a reader say all that they may say, knowing all that
//! they can know, or pretending to know less.
//!
//! A state of the model is a set of entries with all their ancestors. Every such set is what some replica may hold, so
//! what holds in every state holds on every replica. Which devices somebody speaks by is for the identity logs, which
//! have a model of their own.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, Model, Property};

use crate::identity::authority::FactSet;
use crate::identity::space::{Act, Fact, Say};
use crate::identity::{EntryId, Role};
use crate::oplog::{DeviceId, UserId};

const ANA: u8 = 0;
const BEN: u8 = 1;
const CARL: u8 = 2;
const USERS: [u8; 3] = [ANA, BEN, CARL];

fn user(number: u8) -> UserId {
    UserId::from_bytes([number + 1; 16])
}

/// An entry of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Said {
    depth: u32,
    /// A hash of all else, as that of an entry is.
    id: [u8; 32],
    author: u8,
    what: What,
    knows: BTreeSet<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum What {
    Found,
    Write(u8),
    Read(u8),
    End(u8),
    HandOver(u8),
    Epoch,
}

impl Said {
    fn new(author: u8, what: What, knows: &[&Self]) -> Self {
        let depth = 1 + knows.iter().map(|said| said.depth).max().unwrap_or(0);
        let knows: BTreeSet<_> = knows.iter().map(|said| said.id).collect();
        let id = blake3::hash(format!("{author:?} {what:?} {knows:?}").as_bytes()).into();
        Self { depth, id, author, what, knows }
    }
}

/// What some replica holds.
type Held = BTreeSet<Said>;

struct Heard {
    facts: Vec<Fact>,
    say: Say,
}

impl Heard {
    /// What `held` says, each fact with the number that `number` gives it.
    fn of(held: &Held, number: impl Fn(usize) -> usize) -> Self {
        let numbers = |ids: &BTreeSet<[u8; 32]>| {
            let mut facts = FactSet::default();
            let known = held.iter().enumerate().filter(|(_, said)| ids.contains(&said.id));
            known.for_each(|(n, _)| facts.insert(number(n)));
            facts
        };
        let mut facts: Vec<(usize, Fact)> = held
            .iter()
            .enumerate()
            .map(|(n, said)| {
                let act = match said.what {
                    What::Found => Act::Found(user(said.author)),
                    What::Write(of) => Act::Set(user(of), Role::Writer),
                    What::Read(of) => Act::Set(user(of), Role::Reader),
                    What::End(of) => Act::End(user(of)),
                    What::HandOver(to) => Act::HandOver(user(to)),
                    What::Epoch => Act::Epoch(1),
                };
                let (id, device) = (EntryId::from_bytes(said.id), DeviceId::from_bytes([said.author; 16]));
                let (user, knows) = (user(said.author), numbers(&said.knows));
                (number(n), Fact { id, depth: said.depth, user, device, act, knows })
            })
            .collect();
        facts.sort_by_key(|(number, _)| *number);
        let facts: Vec<Fact> = facts.into_iter().map(|(_, fact)| fact).collect();
        let say = Say::of(&facts, &|_| true);
        Self { facts, say }
    }

    fn in_order(held: &Held) -> Self {
        Self::of(held, |n| n)
    }

    fn role(&self, of: u8) -> Option<Role> {
        self.say.role(&self.facts, user(of), None)
    }

    fn roles(&self) -> Vec<Option<Role>> {
        USERS.map(|of| self.role(of)).to_vec()
    }

    /// Who may write under each epoch, by the entry that begins it.
    fn writers(&self) -> BTreeMap<EntryId, Vec<UserId>> {
        let epochs = self.facts.iter().filter(|fact| matches!(fact.act, Act::Epoch(_)));
        let writes =
            |fact: &Fact, of: u8| self.say.role(&self.facts, user(of), Some(&fact.knows)) >= Some(Role::Writer);
        epochs.map(|fact| (fact.id, USERS.into_iter().filter(|of| writes(fact, *of)).map(user).collect())).collect()
    }
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

struct Club {
    entries_max: usize,
}

impl Model for Club {
    type State = Held;
    type Action = Said;

    fn init_states(&self) -> Vec<Held> {
        let mut held: Vec<Said> = Vec::new();
        for what in [What::Found, What::Write(BEN), What::Read(CARL)] {
            held.push(Said::new(ANA, what, &held.iter().collect::<Vec<_>>()));
        }
        vec![held.into_iter().collect()]
    }

    /// Whoever has a say as far as he admits to know may say it: he may pretend to know less than he does.
    fn actions(&self, held: &Held, actions: &mut Vec<Said>) {
        if held.len() >= self.entries_max {
            return;
        }
        for known in parts(held) {
            let heard = Heard::in_order(&known);
            let knows: Vec<&Said> = known.iter().collect();
            for author in USERS {
                let mut say = |what| actions.push(Said::new(author, what, &knows));
                match heard.role(author) {
                    Some(Role::Owner) => {
                        for other in USERS.into_iter().filter(|other| *other != author) {
                            [What::Write(other), What::Read(other), What::End(other)].into_iter().for_each(&mut say);
                            if heard.role(other).is_some() {
                                say(What::HandOver(other));
                            }
                        }
                        say(What::Epoch);
                    }
                    Some(Role::Writer) => [What::End(author), What::Epoch].into_iter().for_each(say),
                    Some(Role::Reader) => say(What::End(author)),
                    None => {}
                }
            }
        }
    }

    fn next_state(&self, held: &Held, said: Said) -> Option<Held> {
        let mut next = held.clone();
        next.insert(said).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("replicas that hold the same agree", |_, held| numbers_mean_nothing(held)),
            Property::always("there is exactly one owner", |_, held| {
                let heard = Heard::in_order(held);
                let owners = USERS.into_iter().filter(|of| heard.role(*of) == Some(Role::Owner)).map(user);
                owners.collect::<Vec<_>>() == heard.say.owner(None).into_iter().collect::<Vec<_>>()
            }),
            Property::always("nobody writes under an epoch that was not made a writer before it", |_, held| {
                writers_were_made(held)
            }),
            Property::always("only the owner says who is in, and who leaves", |_, held| only_owners_say(held)),
            Property::sometimes("a reader becomes the owner", |_, held| {
                Heard::in_order(held).role(CARL) == Some(Role::Owner)
            }),
            Property::sometimes("the founder is removed by an heir", |_, held| {
                let heard = Heard::in_order(held);
                heard.role(ANA).is_none() && heard.role(BEN) == Some(Role::Owner)
            }),
            Property::sometimes("somebody who was removed writes again", |_, held| {
                let heard = Heard::in_order(held);
                let was_ended = heard.say.narrowings(user(BEN)).next().is_some();
                was_ended && heard.writers().values().any(|writers| writers.contains(&user(BEN)))
            }),
        ]
    }
}

/// In which order entries arrived, by which they are numbered, makes no difference.
fn numbers_mean_nothing(held: &Held) -> bool {
    let last = held.len() - 1;
    let (one, other) = (Heard::in_order(held), Heard::of(held, |n| last - n));
    one.roles() == other.roles() && one.writers() == other.writers()
}

/// Whoever may write under an epoch was made a writer or the owner by an entry that the epoch knows, and every entry
/// that counts and took that away, and that the epoch knows, is known by such an entry.
fn writers_were_made(held: &Held) -> bool {
    let heard = Heard::in_order(held);
    let facts = &heard.facts;
    facts.iter().filter(|epoch| matches!(epoch.act, Act::Epoch(_))).all(|epoch| {
        let known = || (0..facts.len()).filter(|fact| epoch.knows.contains(*fact));
        USERS.into_iter().map(user).all(|of| {
            if heard.say.role(facts, of, Some(&epoch.knows)) < Some(Role::Writer) {
                return true;
            }
            let makes = |fact: &usize| match facts[*fact].act {
                Act::Found(founder) => founder == of,
                Act::Set(set, role) => set == of && role == Role::Writer,
                Act::HandOver(to) => to == of || facts[*fact].user == of,
                _ => false,
            };
            let takes: Vec<usize> = heard.say.narrowings(of).filter(|fact| epoch.knows.contains(*fact)).collect();
            let is_owner = heard.say.owner(Some(&epoch.knows)) == Some(of);
            let undone = |took: &usize| known().filter(makes).any(|made| facts[made].knows.contains(*took));
            known().any(|fact| makes(&fact)) && (is_owner || takes.iter().all(undone))
        })
    })
}

/// An entry that nobody builds on changes a role only if the owner made it, or a user of itself by leaving; or a former
/// owner, who hands the space over behind the back of the heir.
fn only_owners_say(held: &Held) -> bool {
    let after = Heard::in_order(held);
    let newest = held.iter().filter(|said| !held.iter().any(|other| other.knows.contains(&said.id)));
    newest.filter(|said| said.what != What::Found).all(|newest| {
        let mut held_before = held.clone();
        held_before.remove(newest);
        let before = Heard::in_order(&held_before);
        let was_owner = before.role(newest.author) == Some(Role::Owner);
        let former = matches!(newest.what, What::HandOver(_)) && !was_owner;
        let left = |of: u8| newest.what == What::End(of) && newest.author == of;
        was_owner || former || USERS.into_iter().all(|of| before.role(of) == after.role(of) || left(of))
    })
}

/// Promise: whatever three users say in six entries, replicas agree, there is one owner, whose word counts, and nobody
/// writes who was a reader where the epoch began.
#[test]
fn who_has_a_say_in_a_space_is_sound_for_three_users_and_six_entries() {
    let checker = Club { entries_max: 6 }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done() && checker.unique_state_count() > 1000, "{} states", checker.unique_state_count());
}
