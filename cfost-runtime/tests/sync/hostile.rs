//! Peers that are devices of the user and behave as none should: lies, forgeries, floods, nothing at all.

use cfost_runtime::oplog::{Head, Run, SpaceId};
use cfost_runtime::sync::limits::{
    FRAME_BYTES_MAX, FRAME_MS_MAX, HEADS_MAX, IDENTITY_FRAMES_FUTILE_MAX, PINGS_MAX, WINDOW_BYTES_MAX,
};
use cfost_runtime::sync::pipe::{End, Pipe};
use cfost_runtime::sync::{CloseReason, ErrorCode, Event, Refusal, Replica, Seqs, SyncError};

use super::*;

/// A listening phone, level with a laptop in whose name bytes may be injected.
fn listening() -> (Pipe, Arc<Device>, Arc<Device>) {
    let (phone, laptop) = two_devices();
    phone.write("Buy milk");
    let pipe = sync(&laptop, &phone);
    (pipe, phone, laptop)
}

/// Lets the phone read `bytes` in the laptop's name, and returns what it answers.
fn tell(pipe: &mut Pipe, bytes: &[u8]) -> Vec<u8> {
    pipe.intercept(End::Listener);
    pipe.inject(End::Listener, bytes);
    pipe.deliver(End::Listener, usize::MAX);
    pipe.intercept(End::Dialer)
}

/// Lets the phone read `bytes`, for which it must end the session, and returns why.
fn refused(pipe: &mut Pipe, bytes: &[u8]) -> SyncError {
    let answer = tell(pipe, bytes);
    assert_eq!(*kinds(&answer).last().unwrap(), ERROR);
    failure(pipe, End::Listener)
}

/// All runs of a device.
fn runs_of(device: &Device) -> Vec<Run> {
    let served = device.runs_after(device.home(), &Seqs::new(), usize::MAX).unwrap();
    served.into_iter().map(|served| served.run).collect()
}

/// `SendOps` in answer to the first request.
fn send_ops(runs: &[Run]) -> Vec<u8> {
    send_ops_in(1, runs)
}

fn send_ops_in(round: u32, runs: &[Run]) -> Vec<u8> {
    let mut body = round.to_le_bytes().to_vec();
    body.extend((runs.len() as u16).to_le_bytes());
    for run in runs.iter().map(Run::encode) {
        body.extend((run.len() as u32).to_le_bytes());
        body.extend(run);
    }
    frame(SEND_OPS, &body)
}

/// Heads per space, in any order and number.
type Heads = [(SpaceId, Vec<([u8; 16], Head)>)];

fn heads_body(heads: &Heads) -> Vec<u8> {
    let mut body = (heads.len() as u16).to_le_bytes().to_vec();
    for (space, heads) in heads {
        body.extend(space.as_bytes());
        body.extend((heads.len() as u32).to_le_bytes());
        for (log, head) in heads {
            body.extend(log);
            body.extend(head.seq.to_le_bytes());
            body.extend(head.id.as_bytes());
        }
    }
    body
}

fn request_ops(round: u32, more: bool, heads: &Heads) -> Vec<u8> {
    frame(REQUEST_OPS, &[&round.to_le_bytes()[..], &[u8::from(more)], &heads_body(heads)].concat())
}

#[test]
fn a_huge_frame_is_refused_by_its_length_alone() {
    let (mut pipe, ..) = listening();
    let error = refused(&mut pipe, &(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
    assert!(matches!(error, SyncError::FrameTooLarge { .. }), "{error}");

    // Before anyone has shown who it is, much less is waited for.
    let (phone, laptop) = two_devices();
    let mut pipe = connect(&laptop, &phone);
    tell(&mut pipe, &(FRAME_BYTES_MAX as u32).to_le_bytes());
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::FrameTooLarge { .. }));
    assert_eq!(pipe.bytes_sent(End::Listener), 0);
}

#[test]
fn what_is_not_the_one_encoding_of_a_message_is_refused() {
    let home = two_devices().0.home();
    let head = Head { seq: 1, id: cfost_runtime::oplog::ChangeId::from_bytes([1; 32]) };
    let one_log = [&[1][..], &[7; 16], &[0; 4]].concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("no kind", frame(PING, &[])[..4].iter().map(|_| 0).collect()),
        ("an unknown kind", frame(99, &[])),
        ("a long ping", frame(PING, &[0; 9])),
        ("a short ping", frame(PING, &[0; 7])),
        ("no runs", frame(SEND_OPS, &[1, 0, 0, 0, 0, 0])),
        ("no entries", frame(IDENTITY, &[0, 0])),
        ("a flag of 2", frame(REQUEST_OPS, &[2, 0, 0, 0, 2, 0, 0])),
        ("more runs than bytes", frame(SEND_OPS, &[1, 0, 0, 0, 255, 255])),
        ("a run longer than the frame", frame(SEND_OPS, &[1, 0, 0, 0, 1, 0, 255, 255, 255, 255])),
        ("more spaces than bytes", frame(ACK, &[1, 0, 0, 0, 0, 0, 0, 0, 255, 255])),
        (
            "more heads than bytes",
            request_ops(2, false, &[(home, vec![])]).into_iter().rev().skip(4).rev().chain([255; 4]).collect(),
        ),
        ("a head of nothing", request_ops(2, false, &[(home, vec![([1; 16], Head { seq: 0, ..head })])])),
        ("a log twice", request_ops(2, false, &[(home, vec![([1; 16], head), ([1; 16], head)])])),
        ("logs out of order", request_ops(2, false, &[(home, vec![([2; 16], head), ([1; 16], head)])])),
        ("a space twice", request_ops(2, false, &[(home, vec![]), (home, vec![])])),
        ("entries of no kind of log", frame(REQUEST_ENTRIES, &[&[1, 0, 0, 0, 3][..], &[0; 20]].concat())),
        ("a log of entries twice", frame(REQUEST_ENTRIES, &[&[2, 0, 0, 0][..], &one_log, &one_log].concat())),
        ("more entries than bytes", frame(ENTRIES, &[0, 255, 255])),
        ("an answer with a flag of 2", frame(ENTRIES, &[2, 0, 0])),
        ("ids out of order", frame(REQUEST_IDENTITY, &[&[2, 0, 0, 0][..], &[2; 32], &[1; 32]].concat())),
    ];
    for (what, bytes) in bad {
        let (mut pipe, ..) = listening();
        let error = refused(&mut pipe, &bytes);
        assert!(matches!(error, SyncError::Malformed { .. }), "{what}: {error}");
        assert_eq!(error.code(), ErrorCode::PROTOCOL);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_, phone, _) = listening();
    let home = phone.home();
    let other_change = Head { seq: 1, id: cfost_runtime::oplog::ChangeId::from_bytes([1; 32]) };
    let senseless: Vec<(&str, Vec<u8>)> = vec![
        ("an Ack of nothing", frame(ACK, &[&0_u64.to_le_bytes()[..], &[0, 0]].concat())),
        ("an Ack of what was never sent", frame(ACK, &[&9_u64.to_le_bytes()[..], &[0, 0]].concat())),
        ("changes never asked for", send_ops_in(7, &runs_of(&phone))),
        ("a request out of turn", request_ops(7, false, &[(home, vec![])])),
        ("a request again", request_ops(1, false, &[(home, vec![])])),
        ("an empty part", request_ops(2, true, &[])),
        ("entries asked for twice", frame(REQUEST_ENTRIES, &[0; 4])),
        ("a part of an answer without content", frame(ENTRIES, &[1, 0, 0])),
        ("what an older version asks", frame(REQUEST_IDENTITY, &[0; 4])),
        ("what an older version answers", frame(IDENTITY, &[1, 0, 0, 0, 0, 0])),
    ];
    for (what, bytes) in senseless {
        let (mut pipe, ..) = listening();
        let error = refused(&mut pipe, &bytes);
        assert!(matches!(error, SyncError::Unexpected { .. }), "{what}: {error}");
    }
    // A fork that is none, in a log that is shared: this side says where it would be, once, and goes on.
    let log = *phone.own_log(home).unwrap().unwrap().as_bytes();
    let fork = |head: Head| {
        let mut body = home.as_bytes().to_vec();
        body.extend(log);
        body.extend(head.seq.to_le_bytes());
        body.extend(head.id.as_bytes());
        frame(FORK, &body)
    };
    let (mut pipe, ..) = listening();
    let held = phone.frontier(home).unwrap().head(phone.own_log(home).unwrap().unwrap());
    let sent = pipe.bytes_sent(End::Listener);
    tell(&mut pipe, &fork(held));
    assert!(pipe.bytes_sent(End::Listener) > sent);
    let sent = pipe.bytes_sent(End::Listener);
    for _ in 0..100 {
        tell(&mut pipe, &fork(held));
    }
    assert_eq!(pipe.bytes_sent(End::Listener), sent);
    assert!(!pipe.session(End::Listener).is_closed());
    assert_ne!(held, other_change);
}

#[test]
fn a_strangers_changes_are_not_kept() {
    let (mut pipe, phone, laptop) = listening();
    // Rightly signed and chained, but by nobody that this user knows.
    let stranger = first_device(2);
    stranger.write_in(phone.home(), "by a stranger");
    let runs = stranger.runs_after(phone.home(), &Seqs::new(), usize::MAX).unwrap();
    let runs: Vec<Run> = runs.into_iter().map(|served| served.run).collect();
    let log = runs[0].log;
    tell(&mut pipe, &send_ops(&runs));
    assert_eq!(phone.contents(), laptop.contents());
    let events = pipe.take_events(End::Listener);
    let skipped = |event: &Event| matches!(event, Event::LogSkipped { log: skipped, why: Refusal::Author, .. } if *skipped == log);
    assert!(events.iter().any(skipped), "{events:?}");
    assert!(!pipe.session(End::Listener).is_closed(), "other logs go on");
}

#[test]
fn changes_of_another_space_end_the_session() {
    let (mut pipe, phone, laptop) = listening();
    let elsewhere = SpaceId::from_bytes([9; 16]);
    laptop.write_in(elsewhere, "in a space that the phone is not in");
    let runs = laptop.runs_after(elsewhere, &Seqs::new(), usize::MAX).unwrap();
    let runs: Vec<Run> = runs.into_iter().map(|served| served.run).collect();
    let error = refused(&mut pipe, &send_ops(&runs));
    assert!(matches!(error, SyncError::ForeignSpace { space } if space == elsewhere), "{error}");
    assert_eq!(phone.changes(), 1);
}

#[test]
fn forged_changes_end_the_session_and_what_came_before_them_stays() {
    let (mut pipe, phone, laptop) = listening();
    laptop.write_many(3);
    let own = laptop.own_log(laptop.home()).unwrap().unwrap();
    let good: Vec<Run> = runs_of(&laptop).into_iter().filter(|run| run.log == own).collect();
    let mut forged = good[0].clone();
    forged.log = cfost_runtime::oplog::LogId::from_bytes([0xfe; 16]);
    let error = refused(&mut pipe, &[send_ops(&good), send_ops(&[forged])].concat());
    assert!(matches!(error, SyncError::BadChanges { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::CHANGES);
    assert_eq!(phone.changes(), 4);
}

#[test]
fn the_same_change_a_thousand_times_ends_the_session() {
    let (mut pipe, phone, laptop) = listening();
    let same = send_ops_in(1, &runs_of(&laptop));
    let mut rounds = 1;
    let mut times = 0;
    while !pipe.session(End::Listener).is_closed() {
        let answer = tell(&mut pipe, &if rounds == 1 { same.clone() } else { send_ops_in(rounds, &runs_of(&laptop)) });
        rounds += kinds(&answer).iter().filter(|kind| **kind == REQUEST_OPS).count() as u32;
        times += 1;
    }
    assert!(times <= 1000, "{times}");
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::NoProgress { rounds: 3 }));
    assert_eq!(phone.changes(), 1);
}

#[test]
fn asking_for_the_same_again_and_again_ends_the_session() {
    let (mut pipe, phone, _) = listening();
    phone.write_many(2000);
    let mut sent = 0;
    let mut round = 1;
    while !pipe.session(End::Listener).is_closed() {
        round += 1;
        sent += tell(&mut pipe, &request_ops(round, false, &[(phone.home(), vec![])])).len();
        assert!(pipe.session(End::Listener).bytes_in_flight() <= WINDOW_BYTES_MAX);
    }
    assert!(round <= 6, "{round} rounds");
    assert!(sent < WINDOW_BYTES_MAX);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::NoProgress { .. }));
}

#[test]
fn promising_changes_that_never_come_ends_the_session() {
    let (mut pipe, phone, _) = listening();
    let head = Head { seq: 1000, id: cfost_runtime::oplog::ChangeId::from_bytes([1; 32]) };
    tell(&mut pipe, &request_ops(2, false, &[(phone.home(), vec![([1; 16], head)])]));
    let mut answers = Vec::new();
    for _ in 0..100 {
        pipe.advance(1000);
        answers.extend(pipe.intercept(End::Dialer));
        if pipe.session(End::Listener).is_closed() {
            break;
        }
        answers.extend(tell(&mut pipe, &frame(PONG, &[0; 8])));
    }
    let asked = kinds(&answers).into_iter().filter(|kind| *kind == REQUEST_OPS).count();
    assert_eq!(asked, 2);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::NoProgress { rounds: 3 }));
}

#[test]
fn naming_more_logs_than_anyone_has_ends_the_session() {
    let (mut pipe, phone, _) = listening();
    let id = cfost_runtime::oplog::ChangeId::from_bytes([1; 32]);
    let mut named = 0_u64;
    let error = loop {
        let heads = (0..18_000_u64).map(|log| {
            let mut name = [0; 16];
            name[..8].copy_from_slice(&(named + log).to_be_bytes());
            (name, Head { seq: 1, id })
        });
        tell(&mut pipe, &request_ops(2, true, &[(phone.home(), heads.collect())]));
        named += 18_000;
        if pipe.session(End::Listener).is_closed() {
            break failure(&mut pipe, End::Listener);
        }
    };
    assert!(named as usize > HEADS_MAX && (named as usize) < HEADS_MAX + 36_000);
    assert!(matches!(error, SyncError::Unexpected { message: "RequestOps", .. }), "{error}");
}

#[test]
fn endless_pings_end_the_session() {
    let (mut pipe, ..) = listening();
    let mut pongs = 0;
    while !pipe.session(End::Listener).is_closed() {
        pongs += kinds(&tell(&mut pipe, &frame(PING, &[7; 8]))).iter().filter(|kind| **kind == PONG).count() as u32;
    }
    assert_eq!(pongs, PINGS_MAX);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Unexpected { message: "Ping", .. }));
}

#[test]
fn endless_introductions_end_the_session() {
    let (mut pipe, phone, laptop) = listening();
    let entry = laptop.certificate().unwrap().remove(0);
    let mut body = [&[0, 1, 0, 1], &phone.user().as_bytes()[..]].concat();
    body.extend((entry.len() as u32).to_le_bytes());
    body.extend(entry);
    let mut times = 0;
    while !pipe.session(End::Listener).is_closed() {
        assert!(tell(&mut pipe, &frame(ENTRIES, &body)).len() <= 32);
        times += 1;
    }
    assert_eq!(times, IDENTITY_FRAMES_FUTILE_MAX + 1);
    assert_eq!(phone.names().len(), 2);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::NoProgress { .. }));
}

#[test]
fn a_frame_that_never_ends_ends_the_session() {
    let (mut pipe, ..) = listening();
    tell(&mut pipe, &(FRAME_BYTES_MAX as u32).to_le_bytes());
    let mut waited = 0;
    while !pipe.session(End::Listener).is_closed() {
        tell(&mut pipe, &[SEND_OPS]);
        pipe.advance(1000);
        pipe.intercept(End::Dialer);
        waited += 1000;
    }
    assert_eq!(waited, FRAME_MS_MAX);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::TooSlow { what: "a frame", .. }));
}

#[test]
fn a_peer_that_says_why_it_leaves_is_understood() {
    let (mut pipe, ..) = listening();
    tell(&mut pipe, &frame(ERROR, &[0x34, 0x12, 1, 0, 1, 0, 0, 0]));
    assert!(matches!(closed(&mut pipe, End::Listener), CloseReason::ByPeer(ErrorCode(0x1234))));
    assert_eq!(ErrorCode(0x1234).to_string(), "code 4660, unknown to this version");
    // It is over: nothing that comes later is looked at.
    assert!(tell(&mut pipe, &frame(PING, &[0; 8])).is_empty());
    assert_eq!(pipe.session(End::Listener).wakes_at(), u64::MAX);
}
