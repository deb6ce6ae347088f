//! Peers whose app is newer: what can't be read here is left out, told, and holds up nothing else.

use cfost_runtime::oplog::{LogId, OplogError, RUN_VERSION, Run, SpaceId};
use cfost_runtime::sync::pipe::End;
use cfost_runtime::sync::{Event, Refusal, Replica, Seqs, SyncError};

use super::*;

/// What a newer build tells of a log that only newer builds can read: how every run begins.
fn beginning_of_run(space: SpaceId, log: LogId) -> Vec<u8> {
    [&[RUN_VERSION + 1][..], space.as_bytes(), log.as_bytes()].concat()
}

fn send_ops(round: u32, runs: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&round.to_le_bytes()[..], &(runs.len() as u16).to_le_bytes()].concat();
    for run in runs {
        body.extend((run.len() as u32).to_le_bytes());
        body.extend(run);
    }
    frame(SEND_OPS, &body)
}

fn runs_of(device: &Device) -> Vec<Run> {
    let served = device.runs_after(device.home(), &Seqs::new(), usize::MAX).unwrap();
    served.into_iter().map(|served| served.run).collect()
}

#[test]
fn a_log_that_only_newer_builds_can_read_is_left_out_and_all_others_go_on() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&laptop, &phone);
    laptop.write("Buy milk");
    let mut runs: Vec<Vec<u8>> = runs_of(&laptop).iter().map(Run::encode).collect();
    let newer = LogId::from_bytes([9; 16]);
    runs.insert(0, beginning_of_run(phone.home(), newer));
    pipe.take_events(End::Listener);
    // The digests were equal, so these answer no request.
    pipe.inject(End::Listener, &send_ops(0, &runs));
    pipe.deliver(End::Listener, usize::MAX);

    let events = pipe.take_events(End::Listener);
    let why = OplogError::Newer { what: "run", version: RUN_VERSION + 1, known: RUN_VERSION };
    let told = events.iter().any(
        |event| matches!(event, Event::LogSkipped { log, why: Refusal::Newer(told), .. } if *log == newer && *told == why),
    );
    assert!(told, "{events:?}");
    assert_eq!(phone.changes(), 1, "the other log is here");
    assert_eq!(kinds(&pipe.intercept(End::Dialer)), [ACK]);
    assert!(!pipe.session(End::Listener).is_closed());
}

#[test]
fn a_newer_run_of_a_space_that_is_not_shared_ends_the_session() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&laptop, &phone);
    let elsewhere = SpaceId::from_bytes([7; 16]);
    let run = beginning_of_run(elsewhere, LogId::from_bytes([9; 16]));
    pipe.inject(End::Listener, &send_ops(0, &[run]));
    pipe.deliver(End::Listener, usize::MAX);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::ForeignSpace { space } if space == elsewhere));
}

#[test]
fn a_newer_run_that_does_not_even_name_its_log_is_malformed() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&laptop, &phone);
    let run = beginning_of_run(phone.home(), LogId::from_bytes([9; 16]));
    pipe.inject(End::Listener, &send_ops(0, &[run[..32].to_vec()]));
    pipe.deliver(End::Listener, usize::MAX);
    assert!(matches!(failure(&mut pipe, End::Listener), SyncError::Malformed { .. }));
}
