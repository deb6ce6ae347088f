//! Users that share spaces: what each of their devices is told, and what not.

use cfost_runtime::identity::Role;
use cfost_runtime::oplog::SpaceId;
use cfost_runtime::sync::pipe::{End, Pipe};
use cfost_runtime::sync::{CloseReason, ErrorCode, Event, LogKey, Replica, SyncError};

use super::model::own_entries;
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

#[test]
fn what_is_being_read_for_somebody_who_is_removed_meanwhile_is_not_sent() {
    let (anna, bert, list) = two_users();
    let mut pipe = meet(&anna.phone, &bert.phone);
    anna.phone.write_in(list, "written just before");
    let bert_user = bert.phone.user();
    *anna.phone.while_reading.lock().unwrap() = Some(Box::new(move |anna| {
        anna.end(list, bert_user);
        anna.write_in(list, "written just after");
    }));
    pipe.changed(End::Dialer);
    let said = run_recorded(&mut pipe);
    assert!(parted(&mut pipe));
    let written: Vec<_> = held(&anna.phone, list).concat().iter().map(|change| last_bytes(change)).collect();
    assert_unseen(&said, &written, "what Anna wrote");
    assert_eq!((changes_in(&anna.phone, list), changes_in(&bert.phone, list)), (2, 0));
}

#[test]
fn who_hears_of_being_back_from_somebody_to_whom_it_was_never_gone_sends_what_it_wrote() {
    let (anna, bert, list) = two_users();
    let carla = Two::new(3);
    anna.phone.invite(list, &carla.phone, Role::Writer);
    meet(&anna.phone, &bert.phone);
    let other = bert.phone.found();
    bert.phone.invite(other, &carla.phone, Role::Writer);
    let mut pipe = meet(&bert.phone, &carla.phone);
    // Carla hears that she was removed; Bert at once that she was removed and is back.
    anna.phone.end(list, carla.phone.user());
    let mut with_anna = connect(&carla.phone, &anna.phone);
    with_anna.run();
    assert!(parted(&mut with_anna));
    anna.phone.add(list, &carla.phone, Role::Writer);
    meet(&anna.phone, &bert.phone);
    pipe.changed(End::Listener);
    carla.phone.write_in(list, "written meanwhile");
    pipe.changed(End::Listener);
    pipe.intercept(End::Dialer);
    pipe.changed(End::Dialer);
    pipe.run();
    assert_eq!(changes_in(&bert.phone, list), 1);
}

#[test]
fn whoever_is_added_again_goes_on_where_it_ended() {
    let (anna, bert, list) = two_users();
    anna.phone.write_in(list, "before");
    meet(&anna.phone, &bert.phone);
    anna.phone.end(list, bert.phone.user());
    let mut pipe = connect(&anna.phone, &bert.phone);
    pipe.run();
    assert!(parted(&mut pipe));
    anna.phone.write_in(list, "meanwhile");
    anna.phone.add(list, &bert.phone, Role::Writer);
    bert.phone.write_in(list, "back");
    meet(&anna.phone, &bert.phone);
    assert_eq!((changes_in(&anna.phone, list), changes_in(&bert.phone, list)), (3, 3));
}

#[test]
fn a_session_outlives_one_of_two_shared_spaces_and_takes_it_up_again() {
    let (anna, bert, list) = two_users();
    let other = anna.phone.found();
    anna.phone.invite(other, &bert.phone, Role::Writer);
    let mut pipe = meet(&anna.phone, &bert.phone);
    // The end is on its way to Bert while what he writes is on its way to Anna.
    anna.phone.end(list, bert.phone.user());
    pipe.changed(End::Dialer);
    bert.phone.write_in(list, "too late");
    bert.phone.write_in(other, "in time");
    pipe.changed(End::Listener);
    pipe.run();
    assert_eq!((changes_in(&anna.phone, list), changes_in(&anna.phone, other)), (0, 1));

    anna.phone.add(list, &bert.phone, Role::Writer);
    anna.phone.write_in(list, "welcome back");
    pipe.changed(End::Dialer);
    pipe.run();
    for end in End::BOTH {
        assert!(pipe.session(end).is_caught_up(), "{end:?}: {pipe:?}");
    }
    assert_eq!(held(&anna.phone, list), held(&bert.phone, list), "both ask anew, and nobody waits for the other");
    assert_eq!(changes_in(&bert.phone, list), 2);
}

#[test]
fn whoever_leaves_tells_those_that_stay() {
    let (anna, bert, list) = two_users();
    meet(&anna.phone, &bert.phone);
    bert.phone.end(list, bert.phone.user());
    bert.phone.write("Bert's own");
    let mut pipe = connect(&anna.phone, &bert.phone);
    pipe.run();
    assert!(parted(&mut pipe));
    assert_eq!(anna.phone.role(list, bert.phone.user()), None);
    assert_eq!(changes_in(&anna.phone, bert.phone.home()), 0);
}

#[test]
fn what_writers_write_travels_through_a_reader() {
    let (anna, bert, list) = two_users();
    let (carla, dave) = (Two::new(3), Two::new(4));
    anna.phone.invite(list, &dave.phone, Role::Reader);
    anna.phone.invite(list, &carla.phone, Role::Writer);
    // Until Bert has heard of Dave from somebody whom he knows, Dave is a stranger to him.
    let mut pipe = connect(&dave.phone, &bert.phone);
    pipe.run();
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
    meet(&anna.phone, &bert.phone);
    anna.phone.write_in(list, "from Anna");
    meet(&anna.phone, &dave.phone);
    meet(&dave.phone, &dave.laptop);
    meet(&dave.laptop, &carla.phone);
    carla.phone.write_in(list, "from Carla");
    meet(&carla.phone, &dave.phone);
    meet(&dave.phone, &bert.phone);
    assert_eq!(held(&bert.phone, list), held(&carla.phone, list));
    assert_eq!(changes_in(&bert.phone, list), 2);
}

#[test]
fn another_users_new_device_is_known_by_its_certificate() {
    let (anna, bert, list) = two_users();
    meet(&anna.phone, &bert.phone);
    let tablet = bert.laptop.pair("Bert's tablet");
    tablet.write_in(list, "drawn on the tablet");
    meet(&tablet, &anna.phone);
    assert_eq!(held(&anna.phone, list), held(&tablet, list));
    // And a device that Bert's user does not have is nobody, whoever's certificate it shows.
    let stranger = Two::new(9);
    let mut pipe = Pipe::with_keys(
        replica(&stranger.phone),
        stranger.phone.transport_key(),
        replica(&anna.phone),
        anna.phone.transport_key(),
        0,
    );
    let mut hello = connect(&bert.laptop, &anna.phone);
    hello.wake(End::Dialer);
    let recorded = hello.intercept(End::Listener);
    pipe.inject(End::Listener, &recorded);
    pipe.deliver(End::Listener, usize::MAX);
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Impostor { what: "connection", .. }));
}

/// Entries as a peer tells them.
fn entries(told: &[(LogKey, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend((told.len() as u16).to_le_bytes());
    for (key, entry) in told {
        match key {
            LogKey::User(user) => body.extend([&[1][..], user.as_bytes()].concat()),
            LogKey::Space(space) => body.extend([&[2][..], space.as_bytes()].concat()),
        }
        body.extend((entry.len() as u32).to_le_bytes());
        body.extend(entry);
    }
    frame(ENTRIES, &body)
}

#[test]
fn what_is_nobodys_business_here_is_not_learned_from_another_user() {
    let (anna, bert, list) = two_users();
    let stranger = Two::new(9);
    let foreign = stranger.phone.found();
    let logs = stranger.phone.logs().unwrap();
    let mut told = own_entries(&stranger.phone);
    let of_space = logs.spaces[&foreign].entries();
    told.extend(of_space.map(|entry| (LogKey::Space(foreign), entry.as_bytes().to_vec())));
    let mut pipe = meet(&bert.phone, &anna.phone);
    pipe.inject(End::Listener, &entries(&told));
    pipe.deliver(End::Listener, usize::MAX);
    let held = anna.phone.logs().unwrap();
    assert!(!held.spaces.contains_key(&foreign) && held.users.get(stranger.phone.user()).is_none());
    assert!(!pipe.session(End::Listener).is_closed());

    // A space that names Anna is: she has been added to it, by somebody she knows of through it.
    stranger.phone.invite(foreign, &anna.laptop, Role::Writer);
    let logs = stranger.phone.logs().unwrap();
    let of_space = logs.spaces[&foreign].entries();
    told.extend(of_space.map(|entry| (LogKey::Space(foreign), entry.as_bytes().to_vec())));
    pipe.inject(End::Listener, &entries(&told));
    pipe.deliver(End::Listener, usize::MAX);
    assert_eq!(anna.phone.role(foreign, anna.phone.user()), Some(Role::Writer));
    assert_eq!(anna.phone.role(list, stranger.phone.user()), None);
}

#[test]
fn entries_of_a_space_are_not_given_to_whoever_asks_for_them() {
    let (anna, bert, _) = two_users();
    let diary = anna.phone.found();
    anna.phone.write_in(diary, "private");
    anna.phone.rename("Anna's phone");
    let mut pipe = connect(&bert.phone, &anna.phone);
    pipe.wake(End::Dialer);
    let hello = frames(&pipe.intercept(End::Listener)).remove(0);
    // Bert has learned the id of Anna's diary, and asks for its entries and its changes.
    let ask = frame(REQUEST_ENTRIES, &[&[1, 0, 0, 0, 2][..], diary.as_bytes(), &[0; 4]].concat());
    let body = [&[1, 0, 0, 0, 0, 1, 0][..], diary.as_bytes(), &[0; 4]].concat();
    let said: Vec<u8> = [hello, ask, frame(REQUEST_OPS, &body)].concat();
    pipe.inject(End::Listener, &said);
    pipe.deliver(End::Listener, usize::MAX);
    let answer = pipe.intercept(End::Dialer);
    assert!(kinds(&answer).contains(&ENTRIES), "it is answered: {:?}", kinds(&answer));
    assert_unseen(&answer, &marks_of_space(&anna.phone, diary), "the diary");
}

#[test]
fn a_device_of_the_first_version_brings_its_user_level_and_hears_of_no_space() {
    let (anna, _, list) = two_users();
    let tablet = anna.phone.pair("tablet");
    anna.phone.write("at home");
    let mut pipe = connect(&tablet, &anna.phone);
    pipe.wake(End::Dialer);
    pipe.intercept(End::Listener);
    // What the tablet's app would say if it were of the first version: no digest behind the names.
    let certificate = tablet.certificate().unwrap();
    let mut body = [&[1, 0, 1, 0], &tablet.device().as_bytes()[..], &[0; 64]].concat();
    body.extend((certificate.len() as u16).to_le_bytes());
    for entry in &certificate {
        body.extend((entry.len() as u32).to_le_bytes());
        body.extend(entry);
    }
    body.extend(b"\x050.9.1\x00");
    let home = [&[1, 0, 0, 0, 0, 1, 0][..], anna.phone.home().as_bytes(), &[0; 4]].concat();
    let said = [frame(HELLO, &body), frame(REQUEST_IDENTITY, &[0; 4]), frame(REQUEST_OPS, &home)].concat();
    pipe.inject(End::Listener, &said);
    pipe.deliver(End::Listener, usize::MAX);
    let answer = pipe.intercept(End::Dialer);
    let answered: std::collections::BTreeSet<u8> = kinds(&answer).into_iter().collect();
    assert_eq!(answered, [HELLO, REQUEST_IDENTITY, IDENTITY, REQUEST_OPS, SEND_OPS].into());
    let mut marks = marks_of_space(&anna.phone, list);
    marks.retain(|mark| !anna.phone.identity().unwrap().entries().any(|entry| entry.as_bytes().ends_with(mark)));
    assert_unseen(&answer, &marks, "the list");
}
