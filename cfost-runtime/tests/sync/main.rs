//! Two and more devices that bring each other up to date, over pipes that break, with peers that lie.

mod document;
mod exchange;
mod faults;
mod fleet;
mod handshake;
mod hostile;
mod model;
mod neighbours;
mod newer;
mod pressure;
mod sharing;

use std::sync::Arc;

use cfost_runtime::sync::pipe::{End, Pipe};
use rand::SeedableRng;
use rand::rngs::StdRng;

use cfost_runtime::sync::{CloseReason, Event, Replica, SyncError};

use self::model::{Device, first_device};

/// Two devices of a new user that know each other.
fn two_devices() -> (Arc<Device>, Arc<Device>) {
    let phone = first_device(1);
    let laptop = phone.pair("laptop");
    (phone, laptop)
}

/// A connection that `dialer` opens to `listener`.
fn connect(dialer: &Arc<Device>, listener: &Arc<Device>) -> Pipe {
    Pipe::connect(replica(dialer), replica(listener), 0).unwrap()
}

/// The same device, as a session sees it.
fn replica(device: &Arc<Device>) -> Arc<dyn Replica> {
    Arc::clone(device) as Arc<dyn Replica>
}

/// Syncs two devices once, and checks that both ends know that they are level.
fn sync(dialer: &Arc<Device>, listener: &Arc<Device>) -> Pipe {
    let mut pipe = connect(dialer, listener);
    pipe.run();
    for end in End::BOTH {
        assert!(pipe.session(end).is_caught_up(), "{end:?} is not level: {pipe:?}");
    }
    assert_eq!(dialer.contents(), listener.contents());
    pipe
}

/// Why the session at `end` is over.
fn closed(pipe: &mut Pipe, end: End) -> CloseReason {
    let last = pipe.take_events(end).pop();
    match last {
        Some(Event::Closed { reason }) => reason,
        other => panic!("{end:?} is not closed, its last event is {other:?}"),
    }
}

/// The error with which the session at `end` ended.
fn failure(pipe: &mut Pipe, end: End) -> SyncError {
    match closed(pipe, end) {
        CloseReason::Failed(error) => error,
        other => panic!("{end:?} did not fail, but {other:?}"),
    }
}

/// The random numbers of one seed, which is printed in case the test fails.
#[expect(clippy::print_stdout, reason = "only shown when the test fails")]
fn random(seed: u64) -> StdRng {
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// A frame, made by hand as `docs/wire.md` says.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 1).to_le_bytes()[..], &[kind], body].concat()
}

/// The frames in a stream of bytes.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, _)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = bytes.split_at(4 + u32::from_le_bytes(*length) as usize);
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

/// The kinds of messages in a stream of bytes.
fn kinds(bytes: &[u8]) -> Vec<u8> {
    frames(bytes).iter().map(|frame| frame[4]).collect()
}

const HELLO: u8 = 1;
const REQUEST_IDENTITY: u8 = 2;
const IDENTITY: u8 = 3;
const REQUEST_OPS: u8 = 4;
const SEND_OPS: u8 = 5;
const ACK: u8 = 6;
const PING: u8 = 7;
const PONG: u8 = 8;
const ERROR: u8 = 9;
const FORK: u8 = 10;
const REQUEST_ENTRIES: u8 = 11;
const ENTRIES: u8 = 12;
