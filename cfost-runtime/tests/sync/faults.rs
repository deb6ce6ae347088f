//! Connections that break, deliver in pieces, lose, double and alter what they carry.

use cfost_runtime::sync::pipe::{End, Pipe};
use cfost_runtime::sync::{CloseReason, Event, Refusal, SyncError};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::*;

/// Two devices with something to tell each other: changes both ways, a device unknown to one.
fn apart() -> (Arc<Device>, Arc<Device>) {
    let (phone, laptop) = two_devices();
    phone.write("before");
    sync(&phone, &laptop);
    phone.write_many(2);
    laptop.write("meanwhile");
    let tablet = laptop.pair("tablet");
    tablet.write("by the tablet");
    sync(&tablet, &laptop);
    (phone, laptop)
}

/// Delivers up to `budget` bytes in all, whole flights in turn.
fn run_for(pipe: &mut Pipe, mut budget: usize) {
    loop {
        let mut moved = false;
        for end in End::BOTH {
            moved |= pipe.wake(end);
            let delivered = pipe.deliver(end, budget);
            budget -= delivered;
            moved |= delivered > 0;
        }
        if !moved || budget == 0 {
            return;
        }
    }
}

#[test]
fn a_connection_may_break_after_every_byte() {
    let (phone, laptop) = apart();
    let whole = sync(&phone.copy(), &laptop.copy());
    let bytes = (whole.bytes_sent(End::Dialer) + whole.bytes_sent(End::Listener)) as usize;
    assert!(bytes > 2000);
    for cut in 0..=bytes {
        let (phone, laptop) = (phone.copy(), laptop.copy());
        let mut pipe = connect(&phone, &laptop);
        run_for(&mut pipe, cut);
        pipe.disconnect();
        for end in End::BOTH {
            assert!(matches!(closed(&mut pipe, end), CloseReason::Disconnected), "cut after byte {cut}");
        }
        // The next session goes on from what is held, and everything comes together.
        sync(&laptop, &phone);
        assert_eq!(phone.changes(), 5, "cut after byte {cut}");
        assert_eq!(phone.names(), laptop.names(), "cut after byte {cut}");
    }
}

#[test]
fn bytes_may_arrive_one_by_one() {
    let (phone, laptop) = apart();
    let mut pipe = connect(&phone, &laptop);
    while End::BOTH.into_iter().fold(false, |moved, end| moved | pipe.wake(end) | (pipe.deliver(end, 1) > 0)) {}
    assert!(pipe.session(End::Dialer).is_caught_up() && pipe.session(End::Listener).is_caught_up());
    assert_eq!(phone.contents(), laptop.contents());
}

/// Whatever is lost, doubled, swapped or altered on the way: nothing false is kept, no end panics, and a
/// sound connection afterwards makes both equal.
#[test]
fn a_line_that_mangles_frames_never_leaves_anything_false() {
    let (phone, laptop) = apart();
    let mut refused = 0;
    for seed in 0..400 {
        let mut random = random(seed);
        let (phone, laptop) = (phone.copy(), laptop.copy());
        let mut pipe = connect(&phone, &laptop);
        for _ in 0..40 {
            for end in End::BOTH {
                pipe.wake(end);
                let mut flight = frames(&pipe.intercept(end));
                mangle(&mut random, &mut flight);
                pipe.inject(end, &flight.concat());
                pipe.deliver(end, usize::MAX);
            }
            pipe.advance(random.random_range(0..3000));
        }
        refused += usize::from(pipe.session(End::Dialer).is_closed());
        pipe.disconnect();
        let events: Vec<Event> = End::BOTH.into_iter().flat_map(|end| pipe.take_events(end)).collect();
        // An author may be unknown for a session whose introductions were lost; a fork there is none.
        let forked = events.iter().any(|event| match event {
            Event::LogSkipped { why, .. } => *why != Refusal::Author,
            event => matches!(event, Event::OwnLogBehind { .. }),
        });
        assert!(!forked, "seed {seed}: {events:?}");
        sync(&phone, &laptop);
        assert_eq!(phone.changes(), 5, "seed {seed}");
    }
    assert!(refused > 100, "only {refused} of 400 lines were bad enough to be given up");
}

/// Loses, doubles, swaps or alters a frame now and then, but no frontier: a lie about those is told by a
/// device of the user, or by nobody.
fn mangle(random: &mut StdRng, flight: &mut Vec<Vec<u8>>) {
    if flight.is_empty() || random.random_ratio(2, 3) {
        return;
    }
    let at = random.random_range(0..flight.len());
    match random.random_range(0..4) {
        0 => drop(flight.remove(at)),
        1 => flight.insert(at, flight[at].clone()),
        2 => flight.swap(0, at),
        _ if flight[at][4] == SEND_OPS => {
            let byte = random.random_range(5..flight[at].len());
            flight[at][byte] ^= 1 << random.random_range(0..8);
        }
        _ => flight[at].truncate(5),
    }
}

#[test]
fn every_bit_of_a_change_on_its_way_counts() {
    let (phone, laptop) = two_devices();
    sync(&phone, &laptop);
    phone.write("Buy milk");
    let flight = {
        let mut pipe = connect(&phone, &laptop);
        pipe.turn(End::Dialer);
        pipe.turn(End::Listener);
        pipe.turn(End::Dialer);
        pipe.intercept(End::Listener)
    };
    assert_eq!(kinds(&flight), [SEND_OPS]);
    // Beyond the length of the frame and of the run.
    for bit in 8 * 15..8 * flight.len() {
        let laptop = laptop.copy();
        let mut pipe = connect(&phone, &laptop);
        for end in [End::Dialer, End::Listener, End::Dialer] {
            pipe.turn(end);
        }
        let mut flight = pipe.intercept(End::Listener);
        flight[bit / 8] ^= 1 << (bit % 8);
        pipe.inject(End::Listener, &flight);
        pipe.deliver(End::Listener, usize::MAX);
        assert_eq!(laptop.changes(), 0, "bit {bit} was flipped, and the change is there");
        let events = pipe.take_events(End::Listener);
        let noticed = events
            .iter()
            .any(|event| matches!(event, Event::LogSkipped { .. } | Event::Closed { reason: CloseReason::Failed(_) }));
        // Only a flipped seq or log may look like a gap, or like a log of its own.
        let asked_again = kinds(&pipe.intercept(End::Dialer)).contains(&REQUEST_OPS);
        assert!(noticed || asked_again, "bit {bit}: {events:?}");
    }
}

#[test]
fn garbage_ends_a_session_and_nothing_else() {
    for seed in 0..500 {
        let mut random = random(seed);
        let (phone, laptop) = two_devices();
        let mut pipe = sync(&phone, &laptop);
        let mut garbage = vec![0; random.random_range(1..2000)];
        random.fill_bytes(&mut garbage);
        if seed % 2 == 0 {
            // Sound lengths and kinds, so that the bodies are read as well.
            let kind = random.random_range(1..=FORK);
            garbage = frame(kind, &garbage);
        }
        let before = pipe.bytes_sent(End::Listener);
        pipe.inject(End::Listener, &garbage);
        pipe.deliver(End::Listener, usize::MAX);
        if pipe.session(End::Listener).is_closed() {
            // The code, what both builds speak, and their versions.
            let said = pipe.bytes_sent(End::Listener) - before;
            assert!((7..=40).contains(&said), "seed {seed}: {said} bytes for an error code");
            let error = failure(&mut pipe, End::Listener);
            let named = matches!(
                error,
                SyncError::Malformed { .. } | SyncError::FrameTooLarge { .. } | SyncError::Unexpected { .. }
            );
            assert!(named, "seed {seed}: {error}");
        }
        assert_eq!(phone.contents(), laptop.contents());
    }
}
