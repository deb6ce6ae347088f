//! Who may speak to whom, and what it costs when there is nothing to say.

use std::sync::Arc;

use cfost_runtime::sync::limits::{HANDSHAKE_MS_MAX, HEADS_UNASKED_MAX};
use cfost_runtime::sync::pipe::{End, Pipe};
use cfost_runtime::sync::{Build, CloseReason, ErrorCode, Event, Outdated, Replica, SyncError};

use super::*;

/// A connection in which the dialer's key, as the connection authenticated it, is `key`.
fn connect_as(dialer: &Arc<Device>, key: [u8; 32], listener: &Arc<Device>) -> Pipe {
    Pipe::with_keys(replica(dialer), key, replica(listener), listener.transport_key(), 0)
}

/// Runs a connection that the listener must refuse, and asserts that it said nothing.
fn refused_in_silence(pipe: &mut Pipe) -> SyncError {
    pipe.run();
    assert_eq!(pipe.bytes_sent(End::Listener), 0, "a stranger was told something");
    failure(pipe, End::Listener)
}

#[test]
fn two_devices_that_hold_the_same_part_after_one_round_trip() {
    let (phone, laptop) = two_devices();
    phone.write("Buy milk");
    sync(&phone, &laptop);

    let mut pipe = connect(&phone, &laptop);
    pipe.wake(End::Dialer);
    let there = pipe.intercept(End::Listener);
    assert_eq!(kinds(&there), [HELLO, REQUEST_OPS]);
    pipe.inject(End::Listener, &there);
    pipe.deliver(End::Listener, usize::MAX);
    let back = pipe.intercept(End::Dialer);
    assert_eq!(kinds(&back), [HELLO]);
    pipe.inject(End::Dialer, &back);
    pipe.deliver(End::Dialer, usize::MAX);

    assert_eq!(pipe.bytes_arriving(End::Listener), 0, "nothing is left to say");
    assert!(pipe.session(End::Dialer).is_caught_up() && pipe.session(End::Listener).is_caught_up());
    assert_eq!(phone.met(), [laptop.device()].into());
    assert_eq!(laptop.met(), [phone.device()].into());
}

#[test]
fn a_handshake_does_not_cost_what_the_number_of_logs_costs() {
    let (phone, laptop) = two_devices();
    for _ in 0..HEADS_UNASKED_MAX + 50 {
        phone.new_log();
        phone.write("one more log");
    }
    sync(&phone, &laptop);
    let pipe = sync(&phone, &laptop);
    assert!(pipe.bytes_sent(End::Dialer) < 1500, "{} bytes", pipe.bytes_sent(End::Dialer));
    assert!(pipe.bytes_sent(End::Listener) < 1500, "{} bytes", pipe.bytes_sent(End::Listener));

    // And when something differs, it is found all the same, whoever dials.
    laptop.write("Finish report");
    sync(&phone, &laptop);
    phone.write("Call home");
    sync(&laptop, &phone);
}

#[test]
fn a_stranger_gets_nothing() {
    let (phone, _) = two_devices();
    phone.write("secret");
    let stranger = first_device(2);
    // It knows the phone's address and key, and claims to be its own user's device.
    let knows = stranger.copy();
    let mut pipe = Pipe::with_keys(replica(&knows), knows.transport_key(), replica(&phone), knows.transport_key(), 0);
    pipe.inject(End::Listener, &hello_of(&stranger));
    let error = refused_in_silence(&mut pipe);
    assert!(matches!(error, SyncError::Stranger { .. }), "{error}");
}

/// The `Hello` that a device sends to anyone.
fn hello_of(device: &Arc<Device>) -> Vec<u8> {
    hello_with(device, |_| {})
}

/// What a device says of its versions: of CFOST, and of its app.
const NAMES: &[u8] = b"\x050.9.1\x032.3";

/// A `Hello` by hand, altered by `alter`: version, oldest, device, digests, certificate, names.
fn hello_with(device: &Arc<Device>, alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let certificate = device.certificate().unwrap();
    let mut body = [&[1, 0, 1, 0], &device.device().as_bytes()[..], &[0; 64]].concat();
    body.extend((certificate.len() as u16).to_le_bytes());
    for entry in &certificate {
        body.extend((entry.len() as u32).to_le_bytes());
        body.extend(entry);
    }
    body.extend(NAMES);
    alter(&mut body);
    frame(HELLO, &body)
}

/// What the phone, listening, makes of a first frame from the laptop's key.
fn first_frame_from_laptop(bytes: &[u8]) -> (Pipe, Arc<Device>) {
    let (phone, laptop) = two_devices();
    let mut pipe = connect_as(&laptop, laptop.transport_key(), &phone);
    pipe.inject(End::Listener, bytes);
    pipe.deliver(End::Listener, usize::MAX);
    (pipe, phone)
}

#[test]
fn a_hello_by_hand_is_understood() {
    let (_, laptop) = two_devices();
    let (mut pipe, _) = first_frame_from_laptop(&hello_of(&laptop));
    assert!(
        matches!(pipe.take_events(End::Listener)[..], [Event::PeerReady { device, .. }] if device == laptop.device())
    );
}

#[test]
fn a_stolen_certificate_is_worth_nothing() {
    let (phone, laptop) = two_devices();
    let thief = phone.pair("thief");
    // The thief recorded the laptop's greeting and replays it over its own connection.
    let mut pipe = connect_as(&thief, thief.transport_key(), &phone);
    pipe.inject(End::Listener, &hello_of(&laptop));
    pipe.deliver(End::Listener, usize::MAX);
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
    let error = failure(&mut pipe, End::Listener);
    assert!(
        matches!(error, SyncError::Impostor { claimed, what: "connection" } if claimed == laptop.device()),
        "{error}"
    );
}

#[test]
fn a_peer_with_another_devices_id_gets_nothing() {
    let (phone, laptop) = two_devices();
    let hello = hello_with(&laptop, |body| body[4..20].copy_from_slice(phone.device().as_bytes()));
    let (mut pipe, _) = first_frame_from_laptop(&hello);
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Impostor { what: "certificate", .. }));
}

#[test]
fn an_altered_certificate_gets_nothing() {
    let (phone, laptop) = two_devices();
    let tablet = laptop.pair("tablet");
    // The names of the versions are behind the certificate.
    let length = hello_of(&tablet).len() - 5 - NAMES.len();
    for at in (84..length).step_by(5) {
        let mut pipe = connect_as(&tablet, tablet.transport_key(), &phone);
        pipe.inject(End::Listener, &hello_with(&tablet, |body| body[at] ^= 0x10));
        pipe.deliver(End::Listener, usize::MAX);
        assert_eq!(pipe.bytes_sent(End::Listener), 0, "byte {at}");
        failure(&mut pipe, End::Listener);
    }
}

#[test]
fn a_dialer_says_nothing_to_a_key_it_does_not_know() {
    let (phone, _) = two_devices();
    let stranger = first_device(2);
    let mut pipe = connect(&phone, &stranger);
    pipe.run();
    assert_eq!((pipe.bytes_sent(End::Dialer), pipe.bytes_sent(End::Listener)), (0, 0));
    assert!(matches!(failure(&mut pipe, End::Dialer), SyncError::NotAuthorised { .. }));
}

#[test]
fn a_listener_that_is_not_who_was_dialled_gets_no_changes() {
    let (phone, laptop) = two_devices();
    phone.write("secret");
    let mut pipe = connect(&phone, &laptop);
    pipe.wake(End::Dialer);
    pipe.intercept(End::Listener);
    let said = pipe.bytes_sent(End::Dialer);
    // Something that holds the laptop's transport key but shows another device's certificate.
    pipe.inject(End::Dialer, &hello_of(&phone.pair("tablet")));
    pipe.deliver(End::Dialer, usize::MAX);
    assert!(matches!(failure(&mut pipe, End::Dialer), SyncError::Impostor { .. }));
    assert_eq!(kinds(&pipe.intercept(End::Listener)), [ERROR]);
    let error = 5 + 2 + 4 + 2 + env!("CARGO_PKG_VERSION").len() as u64;
    assert_eq!(pipe.bytes_sent(End::Dialer), said + error, "an error code is all it got, and what runs here");
}

#[test]
fn a_device_that_another_device_paired_is_known_by_its_certificate() {
    let (phone, laptop) = two_devices();
    let tablet = laptop.pair("tablet");
    tablet.write("drawn on the tablet");
    phone.write("typed on the phone");
    assert!(!phone.names().contains("tablet"));

    let mut pipe = sync(&tablet, &phone);
    assert!(phone.names().contains("tablet"), "the identities came along");
    let learned = |event: &Event| matches!(event, Event::IdentitiesLearned { entries: 1, .. });
    assert!(pipe.take_events(End::Listener).iter().any(learned));
}

#[test]
fn a_hello_comes_once() {
    let (phone, laptop) = two_devices();
    let mut pipe = connect(&phone, &laptop);
    pipe.wake(End::Dialer);
    let hello = frames(&pipe.intercept(End::Listener)).remove(0);
    pipe.inject(End::Listener, &[hello.clone(), hello].concat());
    pipe.run();
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Unexpected { message: "Hello", .. }));
    assert!(matches!(closed(&mut pipe, End::Dialer), CloseReason::ByPeer(ErrorCode::PROTOCOL)));
}

#[test]
fn nothing_comes_before_a_hello() {
    for kind in REQUEST_IDENTITY..=ERROR {
        let body: &[u8] = match kind {
            REQUEST_IDENTITY => &[0; 4],
            IDENTITY => &[1, 0, 0, 0, 0, 0],
            REQUEST_OPS => &[1, 0, 0, 0, 0, 0, 0],
            SEND_OPS => &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
            ACK => &[0; 10],
            PING | PONG => &[0; 8],
            _ => &[1, 0, 1, 0, 1, 0, 0, 0],
        };
        let (mut pipe, _) = first_frame_from_laptop(&frame(kind, body));
        assert_eq!(pipe.bytes_sent(End::Listener), 0);
        let error = failure(&mut pipe, End::Listener);
        assert!(matches!(error, SyncError::Unexpected { .. }), "kind {kind}: {error}");
    }
}

#[test]
fn a_copy_of_the_database_is_told_that_it_is_one() {
    let (phone, _) = two_devices();
    let copy = phone.copy();
    let mut pipe = connect(&copy, &phone);
    pipe.run();
    assert!(matches!(failure(&mut pipe, End::Dialer), SyncError::OwnDevice { .. }));

    let mut pipe = connect_as(&copy, copy.transport_key(), &phone);
    pipe.inject(End::Listener, &hello_of(&copy));
    pipe.deliver(End::Listener, usize::MAX);
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::OwnDevice { .. }));
}

#[test]
fn a_newer_peer_that_still_speaks_our_version_is_welcome() {
    let (_, laptop) = two_devices();
    let newer = hello_with(&laptop, |body| {
        body[..4].copy_from_slice(&[9, 0, 1, 0]);
        body.extend(b"fields that this version does not know");
    });
    let (mut pipe, _) = first_frame_from_laptop(&newer);
    assert!(matches!(pipe.take_events(End::Listener)[..], [Event::PeerReady { .. }]));
}

/// A `Hello` of a build that speaks these versions of the protocol.
fn hello_of_versions(device: &Arc<Device>, newest: u8, oldest: u8) -> Vec<u8> {
    hello_with(device, |body| {
        body[..4].copy_from_slice(&[newest, 0, oldest, 0]);
        if newest >= 2 {
            body.extend([0; 32]);
        }
    })
}

#[test]
fn an_app_too_old_to_take_part_is_told_so_with_the_version_that_it_needs() {
    let (_, laptop) = two_devices();
    // To a listener that is too old comes a Hello, to a dialer that is too old an error.
    let (mut pipe, _) = first_frame_from_laptop(&hello_of_versions(&laptop, 9, 3));
    let listener = failure(&mut pipe, End::Listener);

    let (phone, laptop) = two_devices();
    let mut pipe = connect(&phone, &laptop);
    pipe.wake(End::Dialer);
    pipe.intercept(End::Listener);
    let error = [&[2, 0, 9, 0, 3, 0][..], NAMES, b"and what this version does not know"].concat();
    pipe.inject(End::Dialer, &frame(ERROR, &error));
    pipe.deliver(End::Dialer, usize::MAX);
    let dialer = failure(&mut pipe, End::Dialer);

    for told in [listener, dialer] {
        let SyncError::Version { device, theirs } = &told else { panic!("{told}") };
        assert_eq!((*device, theirs.outdated()), (laptop.device(), Some(Outdated::ThisDevice)));
        let device = laptop.device();
        assert_eq!(
            told.to_string(),
            format!(
                "this app speaks sync versions up to 2, device {device} (CFOST 0.9.1, app 2.3) needs 3: update this app"
            )
        );
    }
}

#[test]
fn a_peer_that_is_too_old_is_told_what_it_needs() {
    let (_, laptop) = two_devices();
    let (mut pipe, phone) = first_frame_from_laptop(&hello_of_versions(&laptop, 0, 0));
    let told = pipe.intercept(End::Dialer);
    assert_eq!(kinds(&told), [ERROR]);
    assert_eq!(told[5..11], [2, 0, 2, 0, 1, 0], "the code, and the versions spoken here");
    let error = failure(&mut pipe, End::Listener);
    assert!(matches!(&error, SyncError::Version { theirs, .. } if theirs.outdated() == Some(Outdated::Peer)));
    assert!(error.to_string().ends_with("this app needs 1: update the app there"), "{error}");
    assert!(phone.met().is_empty(), "that was no session");
}

#[test]
fn a_stranger_is_not_told_which_version_it_would_need() {
    let (_, laptop) = two_devices();
    for (newest, oldest) in [(9, 3), (0, 0)] {
        let stranger = hello_of_versions(&first_device(2), newest, oldest);
        let (mut pipe, _) = first_frame_from_laptop(&stranger);
        assert_eq!(pipe.bytes_sent(End::Listener), 0);
        assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Stranger { .. }));
    }
    let (mut pipe, _) = first_frame_from_laptop(&hello_of_versions(&laptop, 1, 2));
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Malformed { .. }), "versions that can't be");
}

#[test]
fn both_sides_know_what_the_other_one_runs() {
    let (phone, laptop) = two_devices();
    let pipe = sync(&phone, &laptop);
    for end in End::BOTH {
        let build = pipe.session(end).peer_build().unwrap();
        assert_eq!(*build, Build::here(""));
        assert_eq!(build.to_string(), format!("CFOST {}", env!("CARGO_PKG_VERSION")));
    }
    let long = Build::here(&format!("1.0\n{}", "é".repeat(40)));
    assert_eq!(long.app, format!("1.0{}", "é".repeat(30)), "at most 64 bytes that can be shown");
}

#[test]
fn who_does_not_say_hello_in_time_is_sent_away() {
    let (phone, laptop) = two_devices();
    let mut pipe = connect(&phone, &laptop);
    pipe.wake(End::Dialer);
    let hello = pipe.intercept(End::Listener);
    // A byte now and then does not count.
    for byte in &hello[..9] {
        pipe.inject(End::Listener, &[*byte]);
        pipe.deliver(End::Listener, 1);
        pipe.advance(HANDSHAKE_MS_MAX / 10);
    }
    pipe.advance(HANDSHAKE_MS_MAX / 10);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::TooSlow { what: "the handshake", .. }));
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
    assert!(matches!(failure(&mut pipe, End::Dialer), SyncError::TooSlow { what: "the handshake", .. }));
}
