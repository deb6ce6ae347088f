//! Members logs of fleets whose devices say things behind each other's back.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::clock::Timestamp;
use crate::identity::{Body, Ended, Limit, Standing};
use crate::oplog::{ChangeId, DeviceId, Head, LogId};

/// What one device does in one step.
#[derive(Debug, Clone)]
enum Step {
    Set(Index, bool, u8),
    End(Index, u8),
    Leave(u8),
    HandOver(Index),
    Epoch,
    Keys,
    Newer,
    /// Ends another device of its own user.
    Revoke(u8),
    /// Takes over all that another device knows of the space.
    Learn(Index),
    /// Takes over all that another device knows of users.
    Meet(Index),
}

fn step() -> impl Strategy<Value = (Index, Step)> {
    let step = prop_oneof![
        4 => (any::<Index>(), any::<bool>(), 0..3_u8).prop_map(|(of, writes, seq)| Step::Set(of, writes, seq)),
        2 => (any::<Index>(), 0..3_u8).prop_map(|(of, seq)| Step::End(of, seq)),
        1 => (0..3_u8).prop_map(Step::Leave),
        2 => any::<Index>().prop_map(Step::HandOver),
        4 => Just(Step::Epoch),
        1 => Just(Step::Keys),
        1 => Just(Step::Newer),
        1 => (0..3_u8).prop_map(Step::Revoke),
        6 => any::<Index>().prop_map(Step::Learn),
        2 => any::<Index>().prop_map(Step::Meet),
    ];
    (any::<Index>(), step)
}

const LOGS: [LogId; 2] = [LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16])];

fn up_to(log: &SpaceLog, seq: u8) -> Frontiers {
    let mut counted = Frontiers::new();
    for id in LOGS {
        counted.advance(log.space(), id, Head { seq: seq.into(), id: ChangeId::from_bytes([seq; 32]) });
    }
    counted
}

/// A device, and what it knows.
struct Replica {
    keys: DeviceKeys,
    users: Users,
    log: SpaceLog,
}

impl Replica {
    fn act(&mut self, step: &Step, others: &[UserId], roots: &[RootPublic], number: usize) -> Option<Vec<u8>> {
        let (space, at) = (self.log.space(), at(number as u64));
        let seal = |key: &EpochKey, devices: &[_]| {
            EpochGrant::seal(&host(number as u64), self.users.own().user_id(), space, key, devices)
        };
        let of = |index: &Index| index.index(others.len());
        let body = match step {
            Step::Set(whom, writes, seq) => {
                let (role, counted) = match writes {
                    true => (Role::Writer, Frontiers::new()),
                    false => (Role::Reader, up_to(&self.log, *seq)),
                };
                SpaceBody::Member { root: roots[of(whom)], role, counted }
            }
            Step::End(whom, seq) => SpaceBody::EndMember { user: others[of(whom)], counted: up_to(&self.log, *seq) },
            Step::Leave(seq) => {
                SpaceBody::EndMember { user: self.users.own().user_id(), counted: up_to(&self.log, *seq) }
            }
            Step::HandOver(whom) => SpaceBody::HandOver { user: others[of(whom)] },
            Step::Epoch => {
                let devices = self.log.members(&self.users).devices();
                SpaceBody::Epoch(seal(&new_epoch(&host(1000 + number as u64)), &devices).ok()?)
            }
            Step::Keys => {
                // It makes no difference here which key is sealed.
                let members = self.log.members(&self.users);
                let (epoch, owed) =
                    members.epochs().keys().map(|epoch| (*epoch, members.without_key(*epoch))).next()?;
                let mut grant = seal(&new_epoch(&host(1)), &owed).ok()?;
                (grant.epoch, grant.commitment) = (epoch, members.commitment(epoch)?);
                if owed.is_empty() {
                    return None;
                }
                SpaceBody::Keys(grant)
            }
            Step::Newer => SpaceBody::Unknown { kind: 200, bytes: vec![number as u8] },
            Step::Revoke(_) | Step::Learn(_) | Step::Meet(_) => return None,
        };
        let entry = self.log.author(&self.users, &self.keys, body, at).ok()?;
        self.log.insert(entry.as_bytes()).expect("its own entry");
        Some(entry.as_bytes().to_vec())
    }

    /// Ends a device of the own user: what is held here counts of what it said, and of its changes as many as `seq`.
    fn revoke(&mut self, device: DeviceId, seq: u8, at: Timestamp) {
        let mut counted = up_to(&self.log, seq);
        counted.advance(self.log.space(), LogId::MEMBERS, self.log.head_of(device));
        let mut own = IdentityLog::clone(self.users.own());
        if let Ok(entry) = own.author(&self.keys, Body::EndDevice { device, counted }, at) {
            own.insert(entry.as_bytes()).expect("its own entry");
            self.users.put(Arc::new(own));
        }
    }

    fn meet(&mut self, others: &Users) {
        for theirs in others.iter() {
            let mut held = self
                .users
                .get(theirs.user_id())
                .map_or_else(|| IdentityLog::new(theirs.root()), |log| IdentityLog::clone(log));
            for entry in theirs.entries() {
                held.insert(entry.as_bytes()).expect("an entry of the same user");
            }
            self.users.put(Arc::new(held));
        }
    }
}

/// All that a members log says.
#[derive(Debug, PartialEq)]
struct Says {
    roles: Vec<(UserId, Role)>,
    ended: Vec<(UserId, Option<Ended>)>,
    named: Vec<UserId>,
    current: Current,
    epochs: Vec<(u32, [u8; 32], Vec<DeviceId>)>,
    limits: Vec<Limit>,
    told: Vec<(UserId, Option<usize>)>,
    digest: [u8; 32],
}

fn says(log: &SpaceLog, users: &Users) -> Says {
    let members = log.members(users);
    let ids: Vec<UserId> = users.iter().map(|log| log.user_id()).collect();
    let devices = users.iter().flat_map(|log| log.known_devices().map(|device| device.id));
    let triples = devices.flat_map(|device| LOGS.map(|log| (device, log)));
    Says {
        roles: members.iter().collect(),
        ended: ids.iter().map(|user| (*user, members.ended(*user))).collect(),
        named: members.named().map(|(user, _)| user).collect(),
        current: members.current_epoch(),
        epochs: members
            .epochs()
            .iter()
            .map(|(number, epoch)| (*number, *epoch.commitment(), epoch.holders().collect()))
            .collect(),
        limits: triples
            .flat_map(|(device, log)| {
                let members = &members;
                members.epochs().keys().map(move |epoch| members.limit(device, log, *epoch)).collect::<Vec<_>>()
            })
            .collect(),
        told: ids.iter().map(|user| (*user, log.told_to(users, *user).map(|told| told.len()))).collect(),
        digest: log.digest(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Promise: who is a member, under which key to write and what counts is a pure function of the set of entries, and
    /// of the identity logs: any order, any duplication. There is one owner, whatever anybody says.
    #[test]
    fn what_a_members_log_says_is_a_function_of_the_set_of_its_entries(
        steps in prop::collection::vec(step(), 1..40),
        order in prop::collection::vec(any::<Index>(), 80),
    ) {
        let people: [Person; 3] = people();
        let (ids, roots): (Vec<_>, Vec<_>) = people.iter().map(|person| (person.id(), person.root())).unzip();
        let (log, _) = found(&people[0]);
        let mut made: Vec<Vec<u8>> = log.entries().map(|entry| entry.as_bytes().to_vec()).collect();
        let mut fleet: Vec<Replica> = people
            .iter()
            .flat_map(|person| person.devices.iter().map(|keys| (keys.clone(), person.users.clone())))
            .map(|(keys, users)| Replica { keys, users, log: log.clone() })
            .collect();
        for (number, (who, step)) in steps.iter().enumerate() {
            let who = who.index(fleet.len());
            match step {
                Step::Learn(from) => {
                    let other = fleet[from.index(fleet.len())].log.clone();
                    for entry in other.entries() {
                        fleet[who].log.insert(entry.as_bytes()).expect("an entry of the same space");
                    }
                }
                Step::Meet(from) => {
                    let other = fleet[from.index(fleet.len())].users.clone();
                    fleet[who].meet(&other);
                }
                Step::Revoke(seq) => {
                    let sibling = fleet[who ^ 1].keys.id();
                    fleet[who].revoke(sibling, *seq, at(number as u64));
                }
                step => made.extend(fleet[who].act(step, &ids, &roots, number)),
            }
        }
        let mut all = fleet.swap_remove(0);
        fleet.iter().for_each(|other| all.meet(&other.users));
        let mut shuffled = SpaceLog::new(log.space());
        for index in order {
            shuffled.insert(&made[index.index(made.len())]).expect("a random one of them, perhaps again");
        }
        for bytes in made.iter().rev() {
            shuffled.insert(bytes).expect("the rest, backwards");
        }
        let in_order = SpaceLog::from_entries(log.space(), &made).expect("all ancestors are there");
        prop_assert_eq!(says(&shuffled, &all.users), says(&in_order, &all.users));
        let owners = in_order.members(&all.users).iter().filter(|(_, role)| *role == Role::Owner).count();
        prop_assert_eq!(owners, 1);
        let stored = in_order.entries().map(|entry| (entry.id(), entry.as_bytes()));
        let read = SpaceLog::from_stored(log.space(), stored).expect("its own entries");
        prop_assert_eq!(says(&read, &all.users), says(&in_order, &all.users));
        prop_assert!(all.users.own().known_devices().any(|device| device.standing == Standing::Active));
        for fleet_log in fleet.iter().map(|replica| &replica.log) {
            for entry in fleet_log.entries() {
                prop_assert!(in_order.entry(&entry.id()).is_some());
            }
        }
    }
}
