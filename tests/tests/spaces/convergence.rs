//! Two users with two devices each, and two lists that they share: whatever they write, whoever may, and in whatever
//! order, parts and numbers it comes to whom, all show the same in the end.

use cfost::Db;
use cfost::identity::Role;
use cfost_tests::fleet::{self, Device};

use super::people::{end, meet, person, role, runs, set_role, share, tell_entries};
use super::{List, Note, Todo, assert_sound, list, note, todo};
use cfost::Uuid;

/// A generator that follows a seed: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// What a database shows of a list.
type Shown = (Option<List>, Vec<Todo>, Vec<Note>);

fn shown(db: &Db, list: Uuid) -> Shown {
    let mut todos: Vec<Todo> = db.all::<Todo>().unwrap().into_iter().filter(|todo| todo.list_id == list).collect();
    todos.sort_by_key(|todo| todo.id);
    let notes = db.all::<Note>().unwrap().into_iter().filter(|note| note.list_id == Some(list)).collect();
    (db.get::<List>(list).unwrap(), todos, notes)
}

/// A write to a list, if its user may.
fn write(db: &Db, list: Uuid, random: &mut Random) {
    let todos = shown(db, list).1;
    let n = random.below(1000);
    // Who may not write at the moment is told so.
    let _refused = db.write(|tx| {
        match (random.below(6), todos.get(random.below(todos.len().max(1)))) {
            (0, Some(todo)) => tx.delete::<Todo>(todo.id)?,
            (1, Some(todo)) => _ = tx.update(todo.id, |todo: &mut Todo| todo.title = format!("edited {n}"))?,
            (2, Some(todo)) => {
                tx.update(todo.id, |todo: &mut Todo| {
                    todo.votes += n as i64;
                    todo.tags.insert(format!("tag {}", n % 3));
                })?;
            }
            (3, _) => _ = tx.insert(note(Some(list), &format!("note {n}")))?,
            (4, _) => _ = tx.update(list, |list: &mut List| list.name = format!("list {n}"))?,
            _ => _ = tx.insert(todo(list, &format!("todo {n}")))?,
        }
        Ok(())
    });
}

/// Some of what one device holds of a list comes to another, in any order, doubled, and in parts.
fn deliver(from: &Db, to: &Db, list: Uuid, random: &mut Random) {
    if random.below(4) > 0 {
        tell_entries(from, to);
    }
    let mut all = runs(from, list);
    let doubled: Vec<_> = all.iter().filter(|_| random.below(3) == 0).cloned().collect();
    all.extend(doubled);
    for n in (1..all.len()).rev() {
        all.swap(n, random.below(n + 1));
    }
    all.truncate(random.below(all.len() + 1));
    while !all.is_empty() {
        let part = all.split_off(all.len() - 1 - random.below(all.len()));
        // What doesn't follow yet, or is of somebody who isn't known yet, comes again.
        to.replica().unwrap().apply(part).unwrap();
    }
}

fn play(seed: u64) {
    let mut random = Random(seed);
    let (alice, bob) = (person(2, 2 * seed + 1), person(2, 2 * seed + 2));
    let owners = [(&alice, &bob), (&bob, &alice)];
    let lists: Vec<Uuid> = owners.iter().map(|(owner, _)| owner[0].db.insert(list("List")).unwrap().id).collect();
    for ((owner, guest), list) in owners.iter().zip(&lists) {
        share(&owner[0].db, &guest[0].db, *list, Role::Writer);
        fleet::sync(&owner[0].db, &owner[1].db).unwrap();
        fleet::sync(&guest[0].db, &guest[1].db).unwrap();
    }
    let devices: Vec<&Device> = alice.iter().chain(&bob).collect();
    for _ in 0..60 {
        let (device, other) = (random.below(4), random.below(4));
        let n = random.below(2);
        devices[device].clock.advance(1 + random.next() % 2000);
        match random.below(12) {
            0 => {
                let now = if random.below(2) == 0 { Role::Reader } else { Role::Writer };
                set_role(&owners[n].0[0].db, &owners[n].1[0].db, lists[n], now);
            }
            1 if role(&owners[n].0[0].db, &owners[n].1[0].db, lists[n]).is_none() => {}
            1 => end(&owners[n].0[0].db, &owners[n].1[0].db, lists[n]),
            2..7 => write(&devices[device].db, lists[n], &mut random),
            _ if device != other => deliver(&devices[device].db, &devices[other].db, lists[n], &mut random),
            _ => {}
        }
    }
    for ((owner, guest), list) in owners.iter().zip(&lists) {
        share(&owner[0].db, &guest[0].db, *list, Role::Writer);
    }
    for _ in 0..2 {
        for (a, b) in [(0, 1), (2, 3), (0, 2), (0, 1), (2, 3)] {
            lists.iter().for_each(|list| meet(&devices[a].db, &devices[b].db, *list));
        }
    }
    for list in &lists {
        let expected = shown(&devices[0].db, *list);
        assert!(expected.0.is_some(), "seed {seed}");
        for (n, device) in devices.iter().enumerate() {
            assert_eq!(shown(&device.db, *list), expected, "seed {seed}: device {n} shows something else");
        }
    }
    devices.iter().for_each(|device| assert_sound(&device.db));
}

#[test]
fn two_users_with_two_devices_each_show_the_same_whatever_comes_to_whom_in_which_order() {
    match std::env::var("CFOST_SEED") {
        Ok(seed) => play(seed.parse().expect("CFOST_SEED is a number")),
        Err(_) => (0..12).for_each(play),
    }
}
