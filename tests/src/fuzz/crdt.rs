//! Targets for the clock that lies beside each row in the database file, and for the positions of lists.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::crdt::{RowClock, Stamp, Writer, position};

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

/// Positions that are made beside one that is accepted are positions, and beside it.
pub(super) fn list_position(bytes: &[u8]) -> bool {
    if !position::is_position(bytes) {
        assert_eq!(position::between(Some(bytes), None, 1, 1), None);
        return false;
    }
    for run in [position::between(Some(bytes), None, 3, 1), position::between(None, Some(bytes), 3, 1)] {
        // At the end of the numbers there is no room.
        let Some(run) = run else { continue };
        assert!(run.iter().all(|position| position::is_position(position)));
        assert!(run.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(bytes < run[0].as_slice() || run[2].as_slice() < bytes);
    }
    true
}

pub(super) fn list_position_seeds() -> Vec<Vec<u8>> {
    let list = position::numbered(200, 70_000);
    let between = position::between(Some(&list[198]), Some(&list[199]), 2, 7).expect("there is room");
    vec![list[0].clone(), list[199].clone(), between[1].clone(), vec![0x3f, 0x7f, 0x80]]
}
