//! There is always a position between two, and it stays short where people write.

use proptest::prelude::*;

use super::{POSITION_BYTES_MAX, between, is_position, next_number, numbered, push_number};

fn one(left: Option<&[u8]>, right: Option<&[u8]>, random: u32) -> Vec<u8> {
    between(left, right, 1, random).unwrap().remove(0)
}

/// Where the next element goes, as a part of the list before it, and how many.
fn inserts() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, u32)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1..6_usize, 0..3_u32), 1..60)
}

proptest! {
    #[test]
    fn numbers_order_as_their_bytes_do(a in any::<i64>(), b in any::<i64>(), small in -300..300_i64) {
        for (a, b) in [(a, b), (a, small), (small, small + 1), (a, a)] {
            let (mut a_bytes, mut b_bytes) = (Vec::new(), Vec::new());
            push_number(&mut a_bytes, a);
            push_number(&mut b_bytes, b);
            prop_assert_eq!(a.cmp(&b), a_bytes.cmp(&b_bytes));
            let mut rest = a_bytes.as_slice();
            prop_assert_eq!(next_number(&mut rest), Some(a));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn there_is_room_between_any_two_positions(inserts in inserts()) {
        let mut list: Vec<Vec<u8>> = Vec::new();
        for (at, count, random) in inserts {
            let at = at.index(list.len() + 1);
            let left = at.checked_sub(1).map(|left| list[left].as_slice());
            let right = list.get(at).map(Vec::as_slice);
            let run = between(left, right, count, random).unwrap();
            prop_assert_eq!(run.len(), count);
            list.splice(at..at, run);
        }
        prop_assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(list.iter().all(|position| is_position(position)));
    }

    #[test]
    fn runs_that_two_devices_insert_at_one_place_are_one_after_the_other(
        inserts in inserts(), counts in (1..20_usize, 1..20_usize), at in any::<prop::sample::Index>(),
    ) {
        let mut list: Vec<Vec<u8>> = Vec::new();
        for (at, count, random) in inserts {
            let at = at.index(list.len() + 1);
            let left = at.checked_sub(1).map(|left| list[left].as_slice());
            let run = between(left, list.get(at).map(Vec::as_slice), count, random).unwrap();
            list.splice(at..at, run);
        }
        let at = at.index(list.len() + 1);
        let left = at.checked_sub(1).map(|left| list[left].as_slice());
        let right = list.get(at).map(Vec::as_slice);
        let ours = between(left, right, counts.0, 1000).unwrap();
        let theirs = between(left, right, counts.1, 1001).unwrap();
        prop_assert!(ours.last() < theirs.first() || theirs.last() < ours.first());
    }

    #[test]
    fn bytes_that_are_no_position_are_told(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        if is_position(&bytes) {
            prop_assert!(between(Some(&bytes), None, 3, 7).is_none_or(|run| bytes < run[0]));
            prop_assert!(between(None, Some(&bytes), 3, 7).is_none_or(|run| run[2] < bytes));
        } else {
            prop_assert_eq!(between(Some(&bytes), None, 1, 7), None);
        }
    }
}

#[test]
fn a_million_inserts_at_one_place_leave_positions_short() {
    let fixed = numbered(2, 5);
    let mut widest = [0; 4];
    // Behind all, before all, always right after one element, and always right before one.
    let (mut last, mut first) = (fixed[1].clone(), fixed[0].clone());
    let (mut after, mut before) = (fixed[1].clone(), fixed[0].clone());
    for n in 0..1_000_000 {
        last = one(Some(&last), None, n);
        first = one(None, Some(&first), n);
        after = one(Some(&fixed[0]), Some(&after), n);
        before = one(Some(&before), Some(&fixed[1]), n);
        for (widest, position) in widest.iter_mut().zip([&last, &first, &after, &before]) {
            *widest = position.len().max(*widest);
        }
    }
    assert!(widest.iter().all(|&bytes| bytes <= 24), "{widest:?}");
}

#[test]
fn between_the_two_latest_elements_there_is_room_until_the_limit_and_then_none() {
    let (mut left, mut right) = (numbered(2, 5).remove(0), numbered(2, 5).remove(1));
    let mut inserts = 0;
    while let Some(mut run) = between(Some(&left), Some(&right), 1, inserts) {
        inserts += 1;
        let middle = run.remove(0);
        assert!(middle.len() <= POSITION_BYTES_MAX && left < middle && middle < right);
        if inserts % 2 == 0 { left = middle } else { right = middle }
    }
    assert!(inserts > 40, "{inserts}");
    // Equal positions leave no room either.
    assert_eq!(between(Some(&left), Some(&left), 1, 0), None);
    assert_eq!(between(Some(&right), Some(&left), 1, 0), None);
}

#[test]
fn the_document_shows_positions_as_they_are_made() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let list = numbered(3, 0x0a_0b0c);
    assert_eq!(
        list.iter().map(|position| hex(position)).collect::<Vec<_>>(),
        ["80c20a0b0c", "80c20a0b0c8080", "80c20a0b0c8180"]
    );
    assert_eq!(hex(&one(Some(&list[2]), None, 7)), "8187");
    assert_eq!(hex(&one(None, Some(&list[0]), 7)), "7f87");
    assert_eq!(hex(&one(Some(&list[1]), Some(&list[2]), 7)), "80c20a0b0c80808087");
}
