//! What travels between two devices, and when.

use std::sync::atomic::Ordering;

use cfost_runtime::sync::limits::{HEARTBEAT_MS, SILENCE_MS_MAX, STALL_MS};
use cfost_runtime::sync::pipe::End;
use cfost_runtime::sync::{CloseReason, ErrorCode, Event, Refusal, Replica, SyncError, Tally};

use super::*;

/// The tallies of the last `CaughtUp` at one end: received, sent.
fn tallies(pipe: &mut Pipe, end: End) -> (Tally, Tally) {
    let caught_up = pipe.take_events(end).into_iter().rev().find_map(|event| match event {
        Event::CaughtUp { received, sent, .. } => Some((received, sent)),
        _ => None,
    });
    caught_up.expect("it did not catch up")
}

#[test]
fn what_one_lacks_the_other_sends() {
    let (phone, laptop) = two_devices();
    phone.write_many(200);
    laptop.write_many(3);
    let mut pipe = sync(&phone, &laptop);
    assert_eq!(phone.changes(), 203);

    let (received, sent) = tallies(&mut pipe, End::Dialer);
    assert_eq!((received.changes, received.ops, sent.changes), (3, 3, 200));
    let (received, sent) = tallies(&mut pipe, End::Listener);
    assert_eq!((received.changes, received.ops, sent.changes), (200, 200, 3));
    assert!(received.bytes > 200 * 80 && received.bytes < 200 * 300, "{} bytes", received.bytes);
}

#[test]
fn a_difference_costs_what_differs() {
    let (phone, laptop) = two_devices();
    phone.write_many(1000);
    sync(&phone, &laptop);
    laptop.write("one more");
    let pipe = sync(&phone, &laptop);
    assert!(pipe.bytes_sent(End::Dialer) + pipe.bytes_sent(End::Listener) < 3000, "{pipe:?}");
}

#[test]
fn a_write_reaches_a_connected_peer_at_once() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    for round in 1..=5 {
        laptop.write("typed while connected");
        pipe.changed(End::Listener);
        assert!(!pipe.session(End::Listener).is_caught_up(), "it is not acknowledged yet");
        assert_eq!(pipe.deliver(End::Dialer, usize::MAX), pipe.bytes_sent(End::Listener) as usize - before(&pipe));
        assert_eq!(phone.changes(), round, "one flight is enough");
        pipe.run();
        assert!(pipe.session(End::Listener).is_caught_up());
    }
    let (received, _) = tallies(&mut pipe, End::Dialer);
    assert_eq!(received.changes, 1, "a tally is of one exchange");

    fn before(pipe: &Pipe) -> usize {
        pipe.bytes_sent(End::Listener) as usize - pipe.session(End::Listener).bytes_in_flight()
    }
}

#[test]
fn what_is_acknowledged_is_durable_and_said_to_be() {
    let (phone, laptop) = two_devices();
    phone.write_many(70);
    let mut pipe = sync(&phone, &laptop);
    let heads = pipe.take_events(End::Dialer).into_iter().find_map(|event| match event {
        Event::Acknowledged { heads, .. } => Some(heads),
        _ => None,
    });
    let home = phone.home();
    assert_eq!(heads.unwrap()[&home], laptop.frontier(home).unwrap());
}

#[test]
fn a_device_passes_on_what_a_third_one_wrote() {
    let (phone, laptop) = two_devices();
    let tablet = laptop.pair("tablet");
    tablet.write_many(100);
    sync(&tablet, &laptop);
    // The phone has never heard of the tablet: identities come before changes.
    let mut pipe = sync(&phone, &laptop);
    let skipped = |event: &Event| matches!(event, Event::LogSkipped { .. });
    assert!(!pipe.take_events(End::Dialer).iter().any(skipped));
    assert_eq!(phone.changes(), 100);
    assert!(phone.names().contains("tablet"));
}

#[test]
fn a_device_that_joins_while_others_are_connected_is_introduced_first() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    let tablet = laptop.pair("tablet");
    tablet.write("from the tablet");
    sync(&tablet, &laptop);
    pipe.changed(End::Listener);
    assert_eq!(kinds(&frames_arriving(&mut pipe, End::Dialer)), [ENTRIES, SEND_OPS]);
    pipe.run();
    assert_eq!(phone.contents(), tablet.contents());

    laptop.rename("old laptop");
    pipe.changed(End::Listener);
    pipe.run();
    assert!(phone.names().contains("old laptop"));
    assert_eq!(pipe.session(End::Dialer).peer(), Some(laptop.device()));
}

/// A session is told of what others brought only after the fact, and may read their changes before.
#[test]
fn a_device_is_introduced_before_its_changes_even_in_the_middle_of_an_exchange() {
    let (phone, laptop) = two_devices();
    laptop.write_notes(60);
    let mut pipe = connect(&phone, &laptop);
    for end in [End::Dialer, End::Listener] {
        pipe.turn(end);
    }
    assert!(pipe.session(End::Listener).wakes_at() == 0, "there is more to send");
    let tablet = laptop.pair("tablet");
    tablet.write("from the tablet");
    sync(&tablet, &laptop);
    // Nobody has told the session yet.
    pipe.run();
    let skipped = |event: &Event| matches!(event, Event::LogSkipped { .. });
    assert!(!pipe.take_events(End::Dialer).iter().any(skipped));
    assert_eq!(phone.contents(), laptop.contents());
}

/// What is on its way to `end`, left there.
fn frames_arriving(pipe: &mut Pipe, end: End) -> Vec<u8> {
    let bytes = pipe.intercept(end);
    pipe.inject(end, &bytes);
    bytes
}

#[test]
fn two_sources_do_not_send_the_same_twice() {
    let (phone, laptop) = two_devices();
    phone.write_notes(600);
    sync(&phone, &laptop);
    let tablet = phone.pair("tablet");
    let (mut one, mut two) = (connect(&tablet, &phone), connect(&tablet, &laptop));
    // Both are asked for everything; then one line is much faster than the other.
    while tablet.changes() < 600 {
        for _ in 0..8 {
            turn_both(&mut one);
        }
        turn_both(&mut two);
        two.changed(End::Dialer);
    }
    two.changed(End::Dialer);
    one.run();
    two.run();
    assert!(two.session(End::Dialer).is_caught_up() && one.session(End::Dialer).is_caught_up());
    let (fast, slow) = (one.bytes_sent(End::Listener), two.bytes_sent(End::Listener));
    assert!(slow < 5 << 20 && slow < fast, "{slow} bytes came a second time, {fast} were enough");
}

#[test]
fn a_gap_is_asked_for_again() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    phone.write_many(5);
    pipe.changed(End::Dialer);
    pipe.intercept(End::Listener);
    phone.write_many(5);
    pipe.changed(End::Dialer);
    pipe.run();
    assert_eq!(laptop.changes(), 10);
}

#[test]
fn changes_that_were_told_of_and_do_not_come_are_asked_for_again() {
    let (phone, laptop) = two_devices();
    phone.write_many(5);
    let mut pipe = connect(&phone, &laptop);
    for end in [End::Dialer, End::Listener, End::Dialer] {
        pipe.turn(end);
    }
    assert_eq!(kinds(&pipe.intercept(End::Listener)), [SEND_OPS], "this is lost");
    pipe.run();
    assert_eq!(laptop.changes(), 0);
    pipe.advance(STALL_MS / 2);
    pipe.run();
    pipe.advance(STALL_MS / 2);
    pipe.run();
    assert_eq!(laptop.changes(), 5);
}

#[test]
fn a_database_restored_from_an_old_copy_gets_its_own_changes_back() {
    let (phone, laptop) = two_devices();
    phone.write_many(3);
    let backup = phone.copy();
    phone.write_many(4);
    sync(&phone, &laptop);

    let mut pipe = sync(&backup, &laptop);
    let behind = |event: &Event| matches!(event, Event::OwnLogBehind { .. });
    assert_eq!(pipe.take_events(End::Dialer).iter().filter(|event| behind(event)).count(), 1);
    assert_eq!(backup.changes(), 7);
    backup.write("after the restore");
    assert_eq!(
        backup.own_log(backup.home()).unwrap().map(|log| backup.frontier(backup.home()).unwrap().head(log).seq),
        Some(1)
    );
    sync(&laptop, &backup);
    assert_eq!(laptop.changes(), 8);
}

/// Two logs took two ways each: all else goes on.
#[test]
fn a_forked_log_does_not_keep_the_others_from_syncing() {
    for (wrote_here, wrote_there) in [(1, 1), (1, 4), (4, 1)] {
        let (phone, laptop) = two_devices();
        phone.write_many(3);
        let restored = phone.copy();
        phone.write_many(wrote_there);
        sync(&phone, &laptop);
        restored.write_many(wrote_here);
        laptop.write("by the laptop");
        for dialing in [End::Dialer, End::Listener] {
            let mut pipe = match dialing {
                End::Dialer => connect(&restored, &laptop),
                End::Listener => connect(&laptop, &restored),
            };
            pipe.run();
            for end in End::BOTH {
                assert!(pipe.session(end).is_caught_up(), "{pipe:?}");
            }
            let events: Vec<Event> = End::BOTH.into_iter().flat_map(|end| pipe.take_events(end)).collect();
            let forked = |event: &Event| matches!(event, Event::LogSkipped { why: Refusal::Forked, .. });
            // One that keeps no branches refuses the other's way, and no more is said of that log.
            assert!((1..=2).contains(&events.iter().filter(|event| forked(event)).count()));
            restored.write("in a new log");
        }
        let mut pipe = connect(&restored, &laptop);
        pipe.run();
        let logs = |device: &Device| device.contents().into_values().map(|log| log.len()).collect::<Vec<_>>();
        assert_eq!(logs(&restored).len(), 3);
        assert_eq!(restored.contents().len(), laptop.contents().len());
        let differing = restored.contents().into_iter().filter(|(log, changes)| laptop.contents()[log] != *changes);
        assert_eq!(differing.count(), 1, "only the log that forked differs");
    }
}

#[test]
fn an_idle_connection_stays_open_for_a_few_bytes() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    let before = pipe.bytes_sent(End::Dialer) + pipe.bytes_sent(End::Listener);
    for _ in 0..3600 {
        pipe.advance(1000);
        pipe.run();
    }
    assert!(pipe.session(End::Dialer).is_caught_up() && pipe.session(End::Listener).is_caught_up());
    let bytes = pipe.bytes_sent(End::Dialer) + pipe.bytes_sent(End::Listener) - before;
    assert!((10_000..60_000).contains(&bytes), "{bytes} bytes in an hour");
}

#[test]
fn a_silent_peer_is_gone_after_twelve_seconds() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    let mut waited = 0;
    while !pipe.session(End::Dialer).is_closed() {
        pipe.advance(1000);
        lose_all(&mut pipe);
        waited += 1000;
    }
    assert_eq!(waited, SILENCE_MS_MAX);
    assert!(matches!(failure(&mut pipe, End::Dialer), SyncError::Silent { .. }));
    assert_eq!(phone.met(), [laptop.device()].into());
}

#[test]
fn a_device_that_slept_hears_what_came_meanwhile_before_it_gives_up() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    pipe.advance(3_600_000);
    assert!(!pipe.session(End::Dialer).is_closed() && !pipe.session(End::Listener).is_closed());
    assert!(pipe.bytes_arriving(End::Listener) > 0, "it asks at once");
    pipe.run();
    assert!(pipe.session(End::Dialer).is_caught_up());
    // And if nobody is there any more, it soon knows.
    pipe.advance(3_600_000);
    for _ in 0..=SILENCE_MS_MAX / HEARTBEAT_MS {
        lose_all(&mut pipe);
        pipe.advance(HEARTBEAT_MS);
    }
    assert!(pipe.session(End::Dialer).is_closed());
}

#[test]
fn a_full_disk_acknowledges_nothing_and_the_next_session_resumes() {
    let (phone, laptop) = two_devices();
    phone.write_many(5);
    laptop.disk_full.store(true, Ordering::Relaxed);
    let mut pipe = connect(&phone, &laptop);
    pipe.run();
    let acknowledged = |event: &Event| matches!(event, Event::Acknowledged { .. });
    let error = failure(&mut pipe, End::Listener);
    assert_eq!(error.to_string(), "could not apply changes from the peer: the disk is full");
    let events = pipe.take_events(End::Dialer);
    assert!(!events.iter().any(acknowledged));
    assert!(matches!(events[..], [.., Event::Closed { reason: CloseReason::ByPeer(ErrorCode::INTERNAL) }]));

    laptop.disk_full.store(false, Ordering::Relaxed);
    sync(&phone, &laptop);
}

#[test]
fn changes_that_arrive_together_are_applied_together() {
    let (phone, laptop) = two_devices();
    phone.write_many(10_000);
    let mut pipe = connect(&phone, &laptop);
    for end in [End::Dialer, End::Listener, End::Dialer] {
        pipe.turn(end);
    }
    while pipe.wake(End::Dialer) {}
    assert!(frames(&frames_arriving(&mut pipe, End::Listener)).len() >= 4);
    pipe.turn(End::Listener);
    assert!(laptop.applies.load(Ordering::Relaxed) <= 2);
    pipe.run();
    assert_eq!(laptop.changes(), 10_000);
}

fn turn_both(pipe: &mut Pipe) {
    for end in End::BOTH {
        pipe.turn(end);
    }
}

fn lose_all(pipe: &mut Pipe) {
    for end in End::BOTH {
        pipe.intercept(end);
    }
}
