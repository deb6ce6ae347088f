//! Databases of several users over pipes: what each receives of the others' spaces, byte for byte.

use cfost::identity::{Frontiers, Role, SpaceBody};
use cfost::oplog::SpaceId;
use cfost::sync::pipe::{End, Pipe};
use cfost::sync::{CloseReason, Event, LogKey};
use cfost::{Db, Uuid};
use cfost_tests::fleet::{self, Device, START_MS};

use super::people::{say, space, user};
use super::{List, Setting, Todo, all_models, assert_sound, list, setting, todo};

/// A user's devices, which know of each other.
fn person(seed: u64) -> [Device; 2] {
    fleet::devices(2, &all_models(), seed).unwrap().try_into().unwrap_or_else(|_| panic!("two devices were asked for"))
}

/// What is held of a list, all of which is to count.
fn held(db: &Db, list: Uuid) -> Frontiers {
    let mut held = Frontiers::new();
    for (log, head) in db.replica().unwrap().frontier(space(list)).unwrap().iter() {
        held.advance(space(list), log, head);
    }
    held
}

fn add(db: &Db, list: Uuid, other: &Db, role: Role) {
    let root = other.replica().unwrap().identity().unwrap().root();
    let counted = if role == Role::Reader { held(db, list) } else { Frontiers::new() };
    say(db, list, SpaceBody::Member { root, role, counted });
}

fn remove(db: &Db, list: Uuid, other: &Db) {
    say(db, list, SpaceBody::EndMember { user: user(other), counted: held(db, list) });
}

/// Adds a user to a list, and brings both devices the logs of entries that they need to meet: what an invitation does.
fn invite(db: &Db, list: Uuid, other: &Db, role: Role) {
    add(db, list, other, role);
    let identity = |of: &Db| {
        let log = of.replica().unwrap().identity().unwrap();
        log.entries().map(|entry| (LogKey::User(log.user_id()), entry.as_bytes().to_vec())).collect::<Vec<_>>()
    };
    db.replica().unwrap().learn(&identity(other), false).unwrap();
    let logs = db.replica().unwrap().logs().unwrap();
    let members = logs.spaces[&space(list)].entries();
    let mut told: Vec<_> = members.map(|entry| (LogKey::Space(space(list)), entry.as_bytes().to_vec())).collect();
    told.extend(identity(db));
    other.replica().unwrap().learn(&told, false).unwrap();
}

fn connect(dialer: &Db, listener: &Db) -> Pipe {
    Pipe::connect(dialer.replica().unwrap(), listener.replica().unwrap(), START_MS).unwrap()
}

/// Moves everything, and returns all bytes that went over the line.
fn run_recorded(pipe: &mut Pipe) -> Vec<u8> {
    let mut said = Vec::new();
    loop {
        let mut moved = false;
        for end in End::BOTH {
            moved |= pipe.wake(end);
            let bytes = pipe.intercept(end);
            moved |= !bytes.is_empty();
            said.extend_from_slice(&bytes);
            pipe.inject(end, &bytes);
            pipe.deliver(end, usize::MAX);
        }
        if !moved {
            return said;
        }
    }
}

/// Syncs two databases until both know that they are level, and returns how many bytes each sent.
fn meet(dialer: &Db, listener: &Db) -> [u64; 2] {
    let mut pipe = connect(dialer, listener);
    pipe.run();
    for end in End::BOTH {
        assert!(pipe.session(end).is_caught_up(), "{end:?}: {:?}\n{pipe:?}", pipe.take_events(end));
    }
    End::BOTH.map(|end| pipe.bytes_sent(end))
}

/// Whether a session is over on both sides.
fn is_over(pipe: &mut Pipe) -> bool {
    End::BOTH.into_iter().all(|end| {
        let is_end = |event: &Event| !matches!(event, Event::Closed { reason: CloseReason::Disconnected });
        pipe.session(end).is_closed() && pipe.take_events(end).last().is_some_and(is_end)
    })
}

fn titles(db: &Db, list: Uuid) -> Vec<String> {
    let todos = db.all::<Todo>().unwrap().into_iter().filter(|todo| todo.list_id == list);
    let mut titles: Vec<String> = todos.map(|todo| todo.title).collect();
    titles.sort();
    titles
}

/// What nobody must see who isn't in a space: its id, the ids and bytes of its members log, its logs and changes.
fn marks(db: &Db, space: SpaceId) -> Vec<Vec<u8>> {
    let replica = db.replica().unwrap();
    let mut marks = vec![space.as_bytes().to_vec()];
    if let Some(log) = replica.logs().unwrap().spaces.get(&space) {
        marks.extend(log.entries().flat_map(|entry| [entry.id().as_bytes().to_vec(), tail(entry.as_bytes())]));
    }
    for served in replica.runs_after(space, &Default::default(), 1 << 20).unwrap() {
        marks.extend([served.run.log.as_bytes().to_vec(), served.head.id.as_bytes().to_vec()]);
        marks.extend(served.run.changes.iter().map(|change| tail(change)));
    }
    assert!(marks.len() > 3, "something was written in {space}");
    marks
}

/// What nobody must see who has no business with a user: ids, keys, what its devices said.
fn marks_of_user(db: &Db) -> Vec<Vec<u8>> {
    let log = db.replica().unwrap().identity().unwrap();
    let mut marks = vec![log.user_id().as_bytes().to_vec(), log.root().as_bytes().to_vec()];
    marks.extend(log.entries().flat_map(|entry| [entry.id().as_bytes().to_vec(), tail(entry.as_bytes())]));
    for device in log.devices() {
        marks.extend([device.id.as_bytes().to_vec(), device.keys.signing.to_vec(), device.keys.sealing.to_vec()]);
    }
    marks
}

fn tail(bytes: &[u8]) -> Vec<u8> {
    bytes[bytes.len() - 16..].to_vec()
}

fn assert_unseen(said: &[u8], marks: &[Vec<u8>], what: &str) {
    for mark in marks {
        assert!(!said.windows(mark.len()).any(|window| window == mark), "{what}: {mark:02x?} went over the line");
    }
}

/// Anna and Bert share a list, Carla and Bert another one; each has a list of her or his own, and settings. Everybody
/// dials everybody.
#[test]
fn three_users_with_two_devices_each_receive_no_byte_of_a_space_they_are_not_in() {
    let users = [person(10), person(20), person(30)];
    let [anna, bert, carla] = &users;
    let shopping = anna[0].db.insert(list("Shopping")).unwrap().id;
    let travel = carla[0].db.insert(list("Travel")).unwrap().id;
    invite(&anna[0].db, shopping, &bert[0].db, Role::Writer);
    invite(&carla[0].db, travel, &bert[1].db, Role::Writer);
    let mut spaces = vec![(shopping, vec![0, 1]), (travel, vec![1, 2])];
    for (n, devices) in users.iter().enumerate() {
        let diary = devices[1].db.insert(list("Diary")).unwrap().id;
        devices[1].db.insert(todo(diary, "private")).unwrap();
        devices[0].db.insert(setting("private")).unwrap();
        spaces.push((diary, vec![n]));
    }

    let mut lines = Vec::new();
    for round in 0..4 {
        for (n, devices) in users.iter().enumerate() {
            for device in devices {
                for (of, _) in spaces.iter().filter(|(_, who)| round < 2 && who.contains(&n)) {
                    if device.db.get::<List>(*of).unwrap().is_some() {
                        device.db.insert(todo(*of, &format!("{n} in round {round}"))).unwrap();
                    }
                }
            }
        }
        for (a, dialing) in users.iter().enumerate() {
            for (b, listening) in users.iter().enumerate() {
                for (x, y) in [(0, 1), (1, 0)] {
                    lines.push((a, b, run_recorded(&mut connect(&dialing[x].db, &listening[y].db))));
                }
            }
        }
    }

    for (n, devices) in users.iter().enumerate() {
        for (of, who) in &spaces {
            let [one, other] = [&devices[0].db, &devices[1].db].map(|db| titles(db, *of));
            assert_eq!(one, other);
            assert_eq!(!one.is_empty(), who.contains(&n), "list {of} of user {n}: {one:?}");
        }
        assert_eq!(devices[1].db.count::<Setting>().unwrap(), 1);
        devices.iter().for_each(|device| assert_sound(&device.db));
    }
    assert_eq!(titles(&anna[0].db, shopping), titles(&bert[1].db, shopping));
    assert_eq!(titles(&carla[0].db, travel), titles(&bert[0].db, travel));
    assert!(titles(&anna[0].db, shopping).len() > 4, "both wrote");

    let mut secret: Vec<(SpaceId, Vec<usize>)> = spaces.iter().map(|(of, who)| (space(*of), who.clone())).collect();
    secret.extend((0..3).map(|n| (SpaceId::home_of(user(&users[n][0].db)), vec![n])));
    for (a, b, said) in &lines {
        for (of, who) in secret.iter().filter(|(_, who)| !(who.contains(a) && who.contains(b))) {
            assert_unseen(said, &marks(&users[who[0]][0].db, *of), &format!("space {of} between {a} and {b}"));
        }
        for (n, devices) in users.iter().enumerate() {
            let is_known_to_both = [a, b].contains(&&n) || (a == b && a.abs_diff(n) == 1);
            if !is_known_to_both {
                assert_unseen(said, &marks_of_user(&devices[0].db), &format!("user {n} between {a} and {b}"));
            }
        }
        assert!(a.abs_diff(*b) < 2 || said.is_empty(), "to a stranger nobody says anything");
    }
}

#[test]
fn what_is_removed_ends_at_once_and_comes_back_when_the_user_does() {
    let (anna, bert) = (person(1), person(2));
    let shopping = anna[0].db.insert(list("Shopping")).unwrap().id;
    anna[0].db.insert(todo(shopping, "Milk")).unwrap();
    invite(&anna[0].db, shopping, &bert[0].db, Role::Writer);
    meet(&anna[0].db, &bert[0].db);
    meet(&bert[0].db, &bert[1].db);
    bert[0].db.insert(todo(shopping, "Bread")).unwrap();
    let mut pipe = connect(&anna[0].db, &bert[0].db);
    pipe.run();
    assert_eq!(titles(&anna[0].db, shopping), ["Bread", "Milk"]);

    remove(&anna[0].db, shopping, &bert[0].db);
    anna[0].db.insert(todo(shopping, "Cake for Bert's birthday")).unwrap();
    pipe.changed(End::Dialer);
    pipe.run();
    assert!(is_over(&mut pipe));
    assert_eq!(bert[0].db.count::<List>().unwrap() + bert[0].db.count::<Todo>().unwrap(), 0);
    assert_eq!(titles(&anna[0].db, shopping).len(), 3);
    // His other device hears of it from the first.
    assert_eq!(titles(&bert[1].db, shopping), ["Milk"]);
    meet(&bert[0].db, &bert[1].db);
    assert_eq!(titles(&bert[1].db, shopping), [""; 0]);

    add(&anna[0].db, shopping, &bert[0].db, Role::Writer);
    meet(&anna[0].db, &bert[0].db);
    meet(&bert[0].db, &bert[1].db);
    bert[1].db.insert(todo(shopping, "Candles")).unwrap();
    meet(&bert[1].db, &anna[0].db);
    for db in [&anna[0].db, &bert[1].db] {
        assert_eq!(titles(db, shopping), ["Bread", "Cake for Bert's birthday", "Candles", "Milk"]);
        assert_sound(db);
    }
}

#[test]
fn what_writers_write_travels_through_a_reader() {
    let (anna, bert, carla) = (person(1), person(2), person(3));
    let shopping = anna[0].db.insert(list("Shopping")).unwrap().id;
    invite(&anna[0].db, shopping, &bert[0].db, Role::Reader);
    invite(&anna[0].db, shopping, &carla[0].db, Role::Writer);
    // Anna and Carla never meet.
    for title in ["Milk", "Bread"] {
        anna[0].db.insert(todo(shopping, title)).unwrap();
        meet(&anna[0].db, &bert[0].db);
        meet(&bert[0].db, &bert[1].db);
        meet(&bert[1].db, &carla[0].db);
        carla[0].db.insert(todo(shopping, &format!("{title}, organic"))).unwrap();
        meet(&carla[0].db, &bert[0].db);
        meet(&bert[0].db, &anna[0].db);
    }
    assert_eq!(titles(&anna[0].db, shopping), ["Bread", "Bread, organic", "Milk", "Milk, organic"]);
    for db in [&bert[0].db, &carla[0].db] {
        assert_eq!(titles(db, shopping), titles(&anna[0].db, shopping));
        assert_sound(db);
    }
    let refused = bert[0].db.insert(todo(shopping, "Beer")).unwrap_err();
    assert!(refused.to_string().contains("reader"), "{refused}");
}

#[test]
fn a_handshake_of_two_users_does_not_cost_what_the_number_of_their_lists_costs() {
    let (anna, bert) = (person(1), person(2));
    let first = anna[0].db.insert(list("First")).unwrap().id;
    invite(&anna[0].db, first, &bert[0].db, Role::Writer);
    meet(&anna[0].db, &bert[0].db);
    let before = meet(&anna[0].db, &bert[0].db);
    for n in 0..40 {
        let next = anna[0].db.insert(list(&format!("List {n}"))).unwrap().id;
        add(&anna[0].db, next, &bert[0].db, Role::Writer);
    }
    meet(&anna[0].db, &bert[0].db);
    assert_eq!(bert[0].db.count::<List>().unwrap(), 41);
    let after = meet(&anna[0].db, &bert[0].db);
    // The dialer sends a few heads unasked, to save a flight if something differs.
    let heads_unasked = 40 * (16 + 4 + 56);
    assert_eq!(after, [before[0] + heads_unasked, before[1]], "a greeting each, and nothing else");
}
