//! Whose word counts in a space: a pure function of a set of facts.
//!
//! A *fact* is an entry of the members log. Each knows the facts that its author knew: its ancestors. Nothing here
//! depends on when anything was made, or arrived.
//!
//! 1. A fact is *sound* if its author is a device of the user it speaks for, and said it before it was cut off there;
//!    that is for the identity logs to say. To found a space is sound by itself: the space's id proves it.
//! 2. The founder is the *owner* until a hand-over: of the sound hand-overs by the owner to a member, that know the one
//!    before, the one with the least (depth, id) counts. What the former owner said counts if that knows it, and what
//!    the new one said if it knows that.
//! 3. The owner adds members, gives them roles and ends them; a member that is not the owner may end itself. Facts
//!    that do so, and the hand-overs that count, have an *effect*.
//! 4. Of those about one user, the ones count that no other of them knows, and the narrowest of these wins.

use std::collections::BTreeMap;

use super::super::authority::FactSet;
use super::super::entry::EntryId;
use super::entry::Role;
use crate::oplog::{DeviceId, UserId};

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Act {
    /// The user founds the space.
    Found(UserId),
    /// Makes the user a reader or a writer.
    Set(UserId, Role),
    /// Ends the user's membership.
    End(UserId),
    /// Makes the user the owner.
    HandOver(UserId),
    /// Begins an epoch.
    Epoch(u32),
    /// Hands keys on, or something newer.
    Other,
}

/// An entry of a members log, as far as it matters to who has a say.
#[derive(Clone, Debug)]
pub(in crate::identity) struct Fact {
    pub(in crate::identity) id: EntryId,
    /// One more than its deepest ancestor's.
    pub(in crate::identity) depth: u32,
    pub(in crate::identity) user: UserId,
    pub(in crate::identity) device: DeviceId,
    pub(in crate::identity) act: Act,
    /// Its ancestors.
    pub(in crate::identity) knows: FactSet,
}

impl Fact {
    pub(super) fn rank(&self) -> (u32, EntryId) {
        (self.depth, self.id)
    }
}

/// The time that a user owns the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenure {
    owner: UserId,
    /// The hand-over that it began with; `None` for the founder.
    since: Option<usize>,
}

/// Whose word counts.
#[derive(Clone, Debug)]
pub(in crate::identity) struct Say {
    owners: Vec<Tenure>,
    /// For each user, the facts about that user which have an effect, and what they make of the user: a role, or
    /// none.
    about: BTreeMap<UserId, Vec<(usize, Option<Role>)>>,
}

impl Say {
    /// Decides by all `facts`, of which those that are sound may count.
    pub(in crate::identity) fn of(facts: &[Fact], is_sound: &dyn Fn(usize) -> bool) -> Self {
        let mut ranked: Vec<usize> = (0..facts.len()).collect();
        ranked.sort_by_key(|&fact| facts[fact].rank());
        let founder = ranked.iter().find_map(|&fact| match facts[fact].act {
            Act::Found(founder) => Some(founder),
            _ => None,
        });
        let owners = founder.map(|owner| Tenure { owner, since: None }).into_iter().collect();
        let mut say = Self { owners, about: BTreeMap::new() };
        say.hear(facts, &ranked, is_sound);
        while let Some(next) = say.next_tenure(facts, &ranked, is_sound) {
            say.owners.push(next);
            say.hear(facts, &ranked, is_sound);
        }
        say
    }

    /// The first hand-over by the last owner that counts.
    fn next_tenure(&self, facts: &[Fact], ranked: &[usize], is_sound: &dyn Fn(usize) -> bool) -> Option<Tenure> {
        let last = *self.owners.last()?;
        ranked.iter().find_map(|&fact| match facts[fact].act {
            Act::HandOver(owner)
                if facts[fact].user == last.owner
                    && owner != last.owner
                    && is_sound(fact)
                    && last.since.is_none_or(|since| facts[fact].knows.contains(since))
                    && self.role(facts, owner, Some(&facts[fact].knows)).is_some() =>
            {
                Some(Tenure { owner, since: Some(fact) })
            }
            _ => None,
        })
    }

    /// Finds the facts that have an effect, by the owners as far as they are known.
    fn hear(&mut self, facts: &[Fact], ranked: &[usize], is_sound: &dyn Fn(usize) -> bool) {
        self.about.clear();
        // Every fact comes after all that it knows.
        for &fact in ranked {
            let user = facts[fact].user;
            let by_owner = || is_sound(fact) && self.is_owners(facts, fact);
            let effects = match facts[fact].act {
                Act::Found(founder) => vec![(founder, Some(Role::Writer))],
                Act::HandOver(to) if self.owners.iter().any(|tenure| tenure.since == Some(fact)) => {
                    vec![(user, Some(Role::Writer)), (to, Some(Role::Writer))]
                }
                Act::Set(of, role) if of != user && by_owner() => vec![(of, Some(role))],
                Act::End(of) if of != user && by_owner() => vec![(of, None)],
                Act::End(of) if of == user && is_sound(fact) && self.may_leave(facts, fact) => vec![(of, None)],
                _ => continue,
            };
            for (user, role) in effects {
                self.about.entry(user).or_default().push((fact, role));
            }
        }
    }

    /// Whether a fact was said by the owner, while it was that.
    fn is_owners(&self, facts: &[Fact], fact: usize) -> bool {
        self.owners.iter().enumerate().any(|(n, tenure)| {
            tenure.owner == facts[fact].user
                && tenure.since.is_none_or(|since| facts[fact].knows.contains(since))
                && (planted!("hear-the-former-owner")
                    || self
                        .owners
                        .get(n + 1)
                        .and_then(|next| next.since)
                        .is_none_or(|end| facts[end].knows.contains(fact)))
        })
    }

    /// Whether the user who ends its own membership had one to end, and does not own the space.
    fn may_leave(&self, facts: &[Fact], fact: usize) -> bool {
        let role = self.role(facts, facts[fact].user, Some(&facts[fact].knows));
        matches!(role, Some(Role::Reader | Role::Writer))
    }

    /// The owner by the facts in `within`, or by all.
    pub(in crate::identity) fn owner(&self, within: Option<&FactSet>) -> Option<UserId> {
        let known = |tenure: &&Tenure| match (tenure.since, within) {
            (Some(since), Some(within)) => within.contains(since),
            _ => true,
        };
        self.owners.iter().rev().find(known).map(|tenure| tenure.owner)
    }

    /// The role of a user by those facts in `within`, or of all, that have an effect by all facts.
    pub(in crate::identity) fn role(&self, facts: &[Fact], user: UserId, within: Option<&FactSet>) -> Option<Role> {
        let (_, role) = self.latest(facts, user, within).min_by_key(|(_, role)| *role)?;
        if self.owner(within) == Some(user) { Some(Role::Owner) } else { role }
    }

    /// The facts about a user that no other one about it knows.
    pub(super) fn latest<'s>(
        &'s self,
        facts: &'s [Fact],
        user: UserId,
        within: Option<&'s FactSet>,
    ) -> impl Iterator<Item = (usize, Option<Role>)> + 's {
        let about = self.about.get(&user).map(Vec::as_slice).unwrap_or_default();
        let seen = move |fact: usize| within.is_none_or(|within| within.contains(fact));
        about.iter().copied().filter(move |&(fact, _)| {
            let known = |&(other, _): &(usize, _)| seen(other) && facts[other].knows.contains(fact);
            seen(fact) && !about.iter().any(known)
        })
    }

    /// The users that any fact with an effect is about.
    pub(super) fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.about.keys().copied()
    }

    /// Whether any fact with an effect is about a user.
    pub(super) fn is_about(&self, user: UserId) -> bool {
        self.about.contains_key(&user)
    }

    /// The facts that have narrowed what a user may do.
    pub(in crate::identity) fn narrowings(&self, user: UserId) -> impl Iterator<Item = usize> + '_ {
        let about = self.about.get(&user).into_iter().flatten();
        about.filter(|(_, role)| role.is_none_or(|role| role == Role::Reader)).map(|(fact, _)| *fact)
    }
}
