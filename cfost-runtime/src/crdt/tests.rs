//! The laws of merging, against a model of what each rule means.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::{Counter, Effect, Life, Row, RowClock, RowOp, Stamp, Writer, Writers};
use crate::clock::Timestamp;

const COLUMNS: usize = 5;
/// The last column counts, the first keeps what was written first, the others are cells.
const COUNTER: usize = COLUMNS - 1;
const KEPT: usize = 0;

/// Writers whose order has nothing to do with their numbers here.
struct Shuffled;

impl Writers for Shuffled {
    fn order(&self, a: Writer, b: Writer) -> Ordering {
        rank(a).cmp(&rank(b))
    }
}

fn rank(writer: Writer) -> u32 {
    (writer.0 * 7 + 3) % 11
}

impl Counter for i64 {
    fn add(&mut self, delta: i64) {
        *self = self.wrapping_add(delta);
    }
}

fn op() -> impl Strategy<Value = RowOp<i64>> {
    let stamp =
        (1..40_u64, 1..6_u32).prop_map(|(at, writer)| Stamp { at: Timestamp::from_u64(at), writer: Writer(writer) });
    let life = prop_oneof![3 => Just(Life::Alive), 1 => Just(Life::Dead)];
    let columns = proptest::collection::btree_map(0..COLUMNS, any::<i64>(), 0..=COLUMNS);
    (stamp, life, columns).prop_map(|(stamp, life, columns)| {
        let effect = |(column, value)| match column {
            COUNTER => (column, Effect::Add(value)),
            KEPT => (column, Effect::Keep(value)),
            _ => (column, Effect::Write(value)),
        };
        // A delete says nothing of the columns.
        let effects = if life == Life::Dead { Vec::new() } else { columns.into_iter().map(effect).collect() };
        RowOp { stamp, life, effects }
    })
}

/// Ops as logs hold them: no two with the same timestamp and log. Deletes are final, or they aren't.
fn ops() -> impl Strategy<Value = Vec<RowOp<i64>>> {
    (any::<bool>(), proptest::collection::vec(op(), 0..24)).prop_map(|(finally, mut ops)| {
        ops.sort_by_key(|op| (op.stamp.at, op.stamp.writer));
        ops.dedup_by_key(|op| (op.stamp.at, op.stamp.writer));
        for op in ops.iter_mut().filter(|op| finally && op.life == Life::Dead) {
            op.life = Life::Gone;
        }
        ops
    })
}

fn merged(ops: &[RowOp<i64>]) -> Row<i64> {
    let mut row = Row::new(vec![0; COLUMNS]);
    for op in ops {
        row.merge(op.clone(), &Shuffled);
    }
    row
}

/// What the rules mean: look at all ops at once, and take the greatest write of each cell, the smallest
/// of one that keeps its value. One final delete is enough.
fn meant(ops: &[RowOp<i64>]) -> (Life, Vec<i64>) {
    let order = |op: &&RowOp<i64>| (op.stamp.at, rank(op.stamp.writer));
    let life = match ops.iter().find(|op| op.life == Life::Gone) {
        Some(_) => Life::Gone,
        None => ops.iter().max_by_key(order).map_or(Life::Dead, |op| op.life),
    };
    let of = |op: &RowOp<i64>, column| op.effects.iter().find(|(other, _)| *other == column).map(|(_, e)| e.clone());
    let values = (0..COLUMNS).map(|column| {
        let touching = ops.iter().filter(|op| of(op, column).is_some());
        if column == COUNTER {
            return touching.fold(0_i64, |sum, op| match of(op, column) {
                Some(Effect::Add(delta)) => sum.wrapping_add(delta),
                _ => sum,
            });
        }
        let deciding = if column == KEPT { touching.min_by_key(order) } else { touching.max_by_key(order) };
        match deciding.and_then(|op| of(op, column)) {
            Some(Effect::Write(value) | Effect::Keep(value)) => value,
            _ => 0,
        }
    });
    (life, values.collect())
}

proptest! {
    #[test]
    fn a_row_is_what_its_ops_mean_in_whatever_order_they_come(
        (ops, shuffled) in ops().prop_flat_map(|ops| (Just(ops.clone()), Just(ops).prop_shuffle())),
    ) {
        let (row, other) = (merged(&ops), merged(&shuffled));
        prop_assert_eq!(&row, &other);
        prop_assert_eq!((row.life, row.values), meant(&ops));
    }

    #[test]
    fn a_cell_written_again_with_the_same_write_stays_as_it_is(ops in ops()) {
        let mut row = merged(&ops);
        let before = row.clone();
        for op in ops {
            let effects = op.effects.into_iter().filter(|(column, _)| *column != COUNTER).collect();
            let merged = row.merge(RowOp { effects, ..op }, &Shuffled);
            prop_assert!(merged.columns.is_empty() && !merged.life);
        }
        prop_assert_eq!(row, before);
    }

    #[test]
    fn equal_clocks_are_equal_bytes_and_read_back_as_they_were(
        (ops, shuffled) in ops().prop_flat_map(|ops| (Just(ops.clone()), Just(ops).prop_shuffle())),
    ) {
        let (clock, other) = (merged(&ops).clock, merged(&shuffled).clock);
        let (mut blob, mut other_blob) = (Vec::new(), Vec::new());
        clock.encode(&mut blob);
        other.encode(&mut other_blob);
        prop_assert_eq!(&blob, &other_blob);
        prop_assert_eq!(RowClock::decode(&blob, COLUMNS).unwrap(), clock);
    }

    #[test]
    fn bytes_that_are_no_clock_are_an_error_and_nothing_worse(blob in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(clock) = RowClock::decode(&blob, COLUMNS) {
            let mut again = Vec::new();
            clock.encode(&mut again);
            prop_assert_eq!(RowClock::decode(&again, COLUMNS).unwrap(), clock);
        }
    }
}

#[test]
fn a_row_written_at_once_has_a_clock_of_ten_bytes_and_one_edit_adds_eleven() {
    let stamp = |at| Stamp { at: Timestamp::from_ms(at), writer: Writer(1) };
    let mut fresh = Vec::new();
    RowClock::encode_fresh(COLUMNS, stamp(1_790_000_000_000), &mut fresh);
    assert_eq!(fresh.len(), 10);

    let effects = (0..COLUMNS).map(|column| (column, Effect::Write(0))).collect();
    let mut row = Row::new(vec![0; COLUMNS]);
    row.merge(RowOp { stamp: stamp(1_790_000_000_000), life: Life::Alive, effects }, &Shuffled);
    let mut whole = Vec::new();
    row.clock.encode(&mut whole);
    assert_eq!(whole, fresh);

    let effects = vec![(2, Effect::Write(1))];
    row.merge(RowOp { stamp: stamp(1_790_000_000_001), life: Life::Alive, effects }, &Shuffled);
    let mut edited = Vec::new();
    row.clock.encode(&mut edited);
    assert_eq!(edited.len(), fresh.len() + 11);
}

#[test]
fn slots_that_say_nothing_leave_no_trace_in_a_clock() {
    // A life that was written, and 200 slots more than the row has, none of them written.
    let mut blob = vec![0xcd, 0x01];
    blob.extend_from_slice(&[0; 9]);
    blob.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    let clock = RowClock::decode(&blob, COLUMNS).unwrap();
    let mut written = Vec::new();
    clock.encode(&mut written);
    assert_eq!(RowClock::decode(&written, COLUMNS).unwrap(), clock);
    assert_eq!(written, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);

    // Who wrote, without a write.
    assert!(RowClock::decode(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 7], COLUMNS).is_err());
}

#[test]
fn a_column_that_came_later_has_no_stamp_in_an_older_clock() {
    let stamp = Stamp { at: Timestamp::from_ms(1), writer: Writer(1) };
    let mut blob = Vec::new();
    RowClock::encode_fresh(2, stamp, &mut blob);
    let clock = RowClock::decode(&blob, 3).unwrap();
    assert_eq!((clock.column(1), clock.column(2)), (stamp, Stamp::NONE));
}

#[test]
fn a_clock_is_the_same_bytes_before_and_after_its_model_gained_columns() {
    let stamp = Stamp { at: Timestamp::from_u64(7), writer: Writer(1) };
    let mut before = Vec::new();
    RowClock::encode_fresh(2, stamp, &mut before);
    let clock = RowClock::decode(&before, 5).unwrap();
    assert_eq!((clock.written_columns(), clock.column(1), clock.column(2)), (2, stamp, Stamp::NONE));
    let mut after = Vec::new();
    clock.encode(&mut after);
    assert_eq!(after, before);
    let mut empty = Vec::new();
    RowClock::empty(3).encode(&mut empty);
    assert_eq!(RowClock::decode(&empty, 3).unwrap(), RowClock::empty(3));
}
