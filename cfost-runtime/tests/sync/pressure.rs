//! How much may be on its way, and what a peer that does not read can make a device keep.

use cfost_runtime::sync::limits::{
    FRAME_BYTES_MAX, OUTBOX_BYTES_MAX, TURN_BYTES_MAX, WINDOW_BYTES_MAX, WINDOW_FRAMES_MAX,
};
use cfost_runtime::sync::pipe::End;
use cfost_runtime::sync::{CloseReason, Event, Input, Session, SyncError};

use super::*;

#[test]
fn no_more_than_a_window_is_ever_on_its_way() {
    let (phone, laptop) = two_devices();
    phone.write_notes(350);
    let mut pipe = connect(&phone, &laptop);
    pipe.turn(End::Dialer);
    pipe.turn(End::Listener);
    pipe.turn(End::Dialer);
    let mut before = pipe.bytes_sent(End::Dialer);
    while pipe.wake(End::Dialer) {
        let now = pipe.bytes_sent(End::Dialer);
        assert!(now - before <= (TURN_BYTES_MAX + FRAME_BYTES_MAX) as u64, "one turn gave {} bytes", now - before);
        assert!(pipe.session(End::Dialer).bytes_in_flight() <= WINDOW_BYTES_MAX);
        before = now;
    }
    let in_flight = pipe.session(End::Dialer).bytes_in_flight();
    assert!(in_flight > WINDOW_BYTES_MAX / 2, "the window is used: {in_flight}");

    // As the other side reads, more goes out, and the window never overflows.
    while pipe.deliver(End::Listener, 100_000) > 0 {
        pipe.deliver(End::Dialer, usize::MAX);
        while pipe.wake(End::Dialer) {}
        assert!(pipe.session(End::Dialer).bytes_in_flight() <= WINDOW_BYTES_MAX);
        assert!(pipe.bytes_arriving(End::Listener) <= WINDOW_BYTES_MAX + 1024);
    }
    pipe.run();
    assert_eq!(phone.contents(), laptop.contents());
}

#[test]
fn many_small_writes_share_frames_when_the_peer_is_far_away() {
    let (phone, laptop) = two_devices();
    let mut pipe = sync(&phone, &laptop);
    for _ in 0..1000 {
        phone.write("typed fast");
        pipe.changed(End::Dialer);
    }
    let flight = pipe.intercept(End::Listener);
    assert_eq!(frames(&flight).len(), WINDOW_FRAMES_MAX);
    pipe.inject(End::Listener, &flight);
    pipe.run();
    assert_eq!(laptop.changes(), 1000);
}

/// A peer can't acknowledge what it has not read, but it can lie.
#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (phone, laptop) = two_devices();
    phone.write_notes(700);
    let mut pipe = connect(&laptop, &phone);
    pipe.wake(End::Dialer);
    let greeting = pipe.intercept(End::Listener);
    let mut session = Session::listen(laptop.transport_key(), 0);
    let mut output = session.handle(&*phone, 0, Input::Bytes(&greeting));
    let (mut unread, mut acknowledged) = (0, 0_u64);
    while !session.is_closed() {
        unread += output.bytes.len();
        assert!(unread <= OUTBOX_BYTES_MAX, "{unread} bytes are kept");
        let told = kinds(&output.bytes).into_iter().filter(|kind| *kind == SEND_OPS).count() as u64;
        acknowledged += told;
        let ack = frame(ACK, &[&acknowledged.to_le_bytes()[..], &[0, 0]].concat());
        output = session.handle(&*phone, 1, if told > 0 { Input::Bytes(&ack) } else { Input::Tick });
    }
    let Some(Event::Closed { reason }) = output.events.last() else { panic!("closed without a reason") };
    assert!(matches!(reason, CloseReason::Failed(SyncError::NotReading { .. })), "{reason:?}");
    assert!(output.bytes.len() < TURN_BYTES_MAX + FRAME_BYTES_MAX);
}
