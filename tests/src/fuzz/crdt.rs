//! The target for the clock that lies beside each row in the database file.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::crdt::{RowClock, Stamp, Writer};

/// How many columns the row has; a clock may know of fewer or more.
const COLUMNS: usize = 4;

/// A clock that is accepted comes back the same from what it is written as, and writing it once more
/// gives the same bytes.
pub(super) fn row_clock(blob: &[u8]) -> bool {
    let Ok(clock) = RowClock::decode(blob, COLUMNS) else { return false };
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    clock.encode(&mut once);
    let again = RowClock::decode(&once, COLUMNS).expect("a clock that was written can be read");
    assert_eq!(again, clock);
    again.encode(&mut twice);
    assert_eq!(twice, once);
    true
}

pub(super) fn row_clock_seeds() -> Vec<Vec<u8>> {
    let stamp = Stamp { at: Timestamp::from_ms(1_700_000_000_000), writer: Writer(300) };
    let mut fresh = Vec::new();
    RowClock::encode_fresh(COLUMNS, stamp, &mut fresh);
    let mut empty = Vec::new();
    RowClock::empty(COLUMNS).encode(&mut empty);
    // One column written later, and the next by the same write.
    let mut edited = fresh.clone();
    edited.push(2 << 1);
    edited.extend_from_slice(&stamp.at.plus(1).as_u64().to_le_bytes());
    edited.extend_from_slice(&[7, 3 << 1 | 1]);
    vec![fresh, empty, edited]
}
