//! Users that share spaces: what each of their devices is told, and what not.

use cfost_runtime::identity::Role;
use cfost_runtime::oplog::SpaceId;
use cfost_runtime::sync::pipe::{End, Pipe};
use cfost_runtime::sync::{CloseReason, ErrorCode, Event, Replica, SyncError};

use super::*;

/// Two devices of a user who knows nobody.
struct Two {
    phone: Arc<Device>,
    laptop: Arc<Device>,
}

impl Two {
    fn new(seed: u64) -> Self {
        let phone = first_device(seed);
        let laptop = phone.pair("laptop");
        Self { phone, laptop }
    }

    fn both(&self) -> [&Arc<Device>; 2] {
        [&self.phone, &self.laptop]
    }
}

/// Two users with two devices each, of which the first has invited the second to a list, and the list.
fn two_users() -> (Two, Two, SpaceId) {
    let (anna, bert) = (Two::new(1), Two::new(2));
    let list = anna.phone.found();
    anna.phone.invite(list, &bert.phone, Role::Writer);
    sync(&anna.phone, &anna.laptop);
    sync(&bert.phone, &bert.laptop);
    (anna, bert, list)
}

/// Syncs two devices, of which each may hold what the other must not, until both know that they are level.
fn meet(dialer: &Arc<Device>, listener: &Arc<Device>) -> Pipe {
    let mut pipe = connect(dialer, listener);
    pipe.run();
    for end in End::BOTH {
        assert!(pipe.session(end).is_caught_up(), "{end:?} is not level: {pipe:?}");
    }
    pipe
}

/// What a device holds of a space: the changes of each log.
fn held(device: &Device, space: SpaceId) -> Vec<Vec<Vec<u8>>> {
    device.contents().into_iter().filter(|((of, _), _)| *of == space).map(|(_, changes)| changes).collect()
}

fn changes_in(device: &Device, space: SpaceId) -> usize {
    held(device, space).iter().map(Vec::len).sum()
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

/// Whether both sides ended because nothing is shared.
fn parted(pipe: &mut Pipe) -> bool {
    let is_parting = |reason: &CloseReason| {
        matches!(
            reason,
            CloseReason::Failed(SyncError::NothingShared { .. }) | CloseReason::ByPeer(ErrorCode::NOTHING_SHARED)
        )
    };
    End::BOTH.into_iter().all(|end| is_parting(&closed(pipe, end)))
}

#[test]
fn two_users_share_one_list_and_nothing_else() {
    let (anna, bert, list) = two_users();
    anna.phone.write("Anna's own");
    bert.phone.write("Bert's own");
    anna.phone.write_in(list, "milk");
    bert.laptop.write_in(list, "bread");

    let mut pipe = meet(&anna.phone, &bert.laptop);
    assert_eq!(held(&anna.phone, list), held(&bert.laptop, list));
    assert_eq!((anna.phone.changes(), bert.laptop.changes()), (3, 2), "each kept its own, and has both of the list");
    let ready = |event: &Event| matches!(event, Event::PeerReady { user, .. } if *user == bert.phone.user());
    assert!(pipe.take_events(End::Dialer).iter().any(ready));
    assert_eq!(pipe.session(End::Listener).peer_user(), Some(anna.phone.user()));

    // Each brings it to the other device of its user, and both go on writing.
    meet(&anna.phone, &anna.laptop);
    meet(&bert.laptop, &bert.phone);
    anna.laptop.write_in(list, "butter");
    let mut pipe = meet(&anna.laptop, &bert.phone);
    bert.phone.write_in(list, "cheese");
    pipe.changed(End::Listener);
    pipe.run();
    assert_eq!(held(&anna.laptop, list), held(&bert.phone, list));
    assert_eq!(changes_in(&anna.laptop, list), 4);
    assert_eq!(changes_in(&bert.phone, anna.phone.home()) + changes_in(&anna.phone, bert.phone.home()), 0);
}

/// Bytes that must not be seen by whoever is not in a space: its id, its entries, what was written in it.
fn marks_of_space(device: &Device, space: SpaceId) -> Vec<Vec<u8>> {
    let mut marks = vec![space.as_bytes().to_vec()];
    if let Some(log) = device.logs().unwrap().spaces.get(&space) {
        marks.extend(log.entries().flat_map(|entry| [entry.id().as_bytes().to_vec(), last_bytes(entry.as_bytes())]));
    }
    for ((of, log), changes) in device.contents() {
        if of == space {
            marks.push(log.as_bytes().to_vec());
            marks.extend(changes.iter().map(|change| last_bytes(change)));
        }
    }
    marks
}

/// Bytes that must not be seen by whoever has no business with a user: ids, keys, what its devices said.
fn marks_of_user(user: &Two) -> Vec<Vec<u8>> {
    let log = user.phone.identity().unwrap();
    let mut marks = vec![log.user_id().as_bytes().to_vec(), log.root().as_bytes().to_vec()];
    marks.extend(log.entries().flat_map(|entry| [entry.id().as_bytes().to_vec(), last_bytes(entry.as_bytes())]));
    for device in log.devices() {
        marks.extend([device.id.as_bytes().to_vec(), device.keys.signing.to_vec(), device.keys.sealing.to_vec()]);
    }
    marks
}

fn last_bytes(bytes: &[u8]) -> Vec<u8> {
    bytes[bytes.len() - 16..].to_vec()
}

fn assert_unseen(said: &[u8], marks: &[Vec<u8>], what: &str) {
    for mark in marks {
        assert!(!said.windows(mark.len()).any(|window| window == mark), "{what}: {mark:02x?} went over the line");
    }
}

/// Three users, two devices each: Anna and Bert share a list, Bert and Carla another one, and each has a private list
/// and a home space. Everybody dials everybody, twice, and again while more is written.
#[test]
fn nobody_receives_a_byte_of_a_space_they_are_not_in() {
    let users = [Two::new(1), Two::new(2), Two::new(3)];
    let [anna, bert, carla] = &users;
    let list = anna.phone.found();
    anna.phone.invite(list, &bert.phone, Role::Writer);
    let other = carla.phone.found();
    carla.phone.invite(other, &bert.laptop, Role::Reader);
    let private: Vec<SpaceId> = users.iter().map(|user| user.laptop.found()).collect();
    let homes: Vec<SpaceId> = users.iter().map(|user| user.phone.home()).collect();
    // Who is in each of the spaces.
    let mut spaces: Vec<(SpaceId, Vec<usize>)> = vec![(list, vec![0, 1]), (other, vec![1, 2])];
    spaces.extend(private.iter().chain(&homes).enumerate().map(|(n, space)| (*space, vec![n % 3])));

    let mut lines = Vec::new();
    for round in 0..5 {
        for (n, user) in users.iter().enumerate() {
            for (space, _) in spaces.iter().filter(|(_, who)| round < 3 && who.contains(&n)) {
                for device in user.both() {
                    if device.logs().unwrap().told_to(device.user()).spaces().contains(space) {
                        device.write_in(*space, &format!("round {round}"));
                    }
                }
            }
        }
        for (a, dialing) in users.iter().enumerate() {
            for (b, listening) in users.iter().enumerate() {
                for (dialer, listener) in [(0, 1), (1, 0)].map(|(x, y)| (dialing.both()[x], listening.both()[y])) {
                    let mut pipe = connect(dialer, listener);
                    lines.push((a, b, run_recorded(&mut pipe)));
                }
            }
        }
    }

    for (n, user) in users.iter().enumerate() {
        let [phone, laptop] = user.both();
        for (space, who) in &spaces {
            assert!(held(phone, *space) == held(laptop, *space), "{space} of user {n}");
            assert_eq!(changes_in(phone, *space) > 0, who.contains(&n), "{space} at user {n}");
        }
    }
    assert!(
        held(&anna.phone, list) == held(&bert.phone, list) && held(&carla.phone, other) == held(&bert.phone, other)
    );
    for (a, b, said) in &lines {
        for (space, who) in &spaces {
            if !(who.contains(a) && who.contains(b)) {
                assert_unseen(
                    said,
                    &marks_of_space(&users[who[0]].phone, *space),
                    &format!("{space} between {a} and {b}"),
                );
            }
        }
        for (n, user) in users.iter().enumerate() {
            // Anna and Carla have no business with each other, not even through Bert, who has with both.
            let among_own_devices = a == b && a.abs_diff(n) == 1;
            if ![a, b].contains(&&n) && !among_own_devices {
                assert_unseen(said, &marks_of_user(user), &format!("user {n} between {a} and {b}"));
            }
        }
    }
    let said = |a: usize, b: usize| {
        lines.iter().filter(|line| (line.0, line.1) == (a, b)).map(|line| line.2.len()).sum::<usize>()
    };
    assert_eq!((said(0, 2), said(2, 0)), (0, 0), "to a stranger nobody says anything");
}

#[test]
fn what_is_level_costs_one_round_trip_however_many_spaces_there_are() {
    let (anna, bert, list) = two_users();
    for _ in 0..300 {
        let more = anna.phone.found();
        anna.phone.add(more, &bert.phone, Role::Writer);
        anna.phone.write_in(more, "one of many");
    }
    anna.phone.write_in(list, "milk");
    meet(&anna.phone, &bert.phone);
    assert_eq!(bert.phone.changes(), 301, "who is known is added without an invitation");
    let pipe = meet(&anna.phone, &bert.phone);
    for end in End::BOTH {
        assert!(pipe.bytes_sent(end) < 1500, "{end:?} said {} bytes", pipe.bytes_sent(end));
    }
}

#[test]
fn a_space_that_is_shared_while_connected_begins_at_once() {
    let (anna, bert, _) = two_users();
    let mut pipe = meet(&anna.phone, &bert.phone);
    let list = anna.phone.found();
    anna.phone.write_in(list, "written before");
    pipe.changed(End::Dialer);
    let said = run_recorded(&mut pipe);
    assert_unseen(&said, &marks_of_space(&anna.phone, list), "a space of Anna's alone");

    anna.phone.add(list, &bert.phone, Role::Writer);
    pipe.changed(End::Dialer);
    pipe.run();
    assert_eq!(held(&bert.phone, list), held(&anna.phone, list));
    bert.phone.write_in(list, "answered");
    pipe.changed(End::Listener);
    pipe.run();
    assert_eq!(held(&bert.phone, list), held(&anna.phone, list));
    assert_eq!(changes_in(&anna.phone, list), 2);
}

#[test]
fn whoever_is_removed_learns_that_and_nothing_after_it() {
    let (anna, bert, list) = two_users();
    anna.phone.write_in(list, "for both");
    let mut pipe = meet(&anna.phone, &bert.phone);
    anna.phone.end(list, bert.phone.user());
    anna.phone.write_in(list, "after that");
    pipe.changed(End::Dialer);
    let said = run_recorded(&mut pipe);
    assert!(parted(&mut pipe));
    assert_eq!((bert.phone.role(list, bert.phone.user()), changes_in(&bert.phone, list)), (None, 1));
    let after: Vec<_> =
        held(&anna.phone, list).concat().into_iter().skip(1).map(|change| last_bytes(&change)).collect();
    assert_eq!(after.len(), 1);
    assert_unseen(&said, &after, "what was written after that");

    // What Anna says later is nothing that Bert is told, not even when his other device still asks.
    anna.phone.add(list, &Two::new(3).phone, Role::Reader);
    let mut later = marks_of_space(&anna.phone, list);
    later.retain(|mark| marks_of_space(&bert.phone, list).iter().all(|known| known != mark));
    assert!(later.len() >= 3, "an entry, and a change: {later:02x?}");
    let mut pipe = connect(&bert.laptop, &anna.phone);
    let said = run_recorded(&mut pipe);
    assert!(parted(&mut pipe));
    assert_eq!(bert.laptop.role(list, bert.phone.user()), None);
    assert_unseen(&said, &later, "what came after");

    // Now both sides know, and have nothing to say but that.
    let mut pipe = connect(&bert.phone, &anna.phone);
    pipe.run();
    assert!(parted(&mut pipe) && pipe.bytes_sent(End::Listener) < 1000);
}
