//! What goes in comes out, in one encoding; and what was altered on the way does not.

use cfost_runtime::oplog::ChangeId;
use cfost_runtime::oplog::{
    Chain, Frontier, Head, Header, LogId, OpValue, Opener, PackedChange, Run, Sealer, SegmentReader, ValueRef,
    read_value, write_value,
};
use proptest::prelude::*;

use crate::cases;
use crate::maker::{TestSegment, change, empty_chain, epoch_key, run, segment};

proptest! {
    #![proptest_config(cases(200))]

    /// A segment's ops come back as they went in, and writing them again gives the same bytes.
    #[test]
    fn a_segment_is_its_ops(segment in segment()) {
        let payload = segment.payload();
        let read = TestSegment::read(&payload);
        prop_assert_eq!(&read, &segment);
        prop_assert_eq!(read.payload(), payload);
    }

    /// Savepoints that are rolled back, one inside the other, leave a segment as if they never were.
    #[test]
    fn rolled_back_savepoints_never_were(
        segment in segment(),
        lost in prop::collection::vec((any::<prop::sample::Index>(), segment_ops(), any::<bool>()), 0..6),
    ) {
        let mut writer = segment.writer();
        for (index, op) in segment.ops.iter().enumerate() {
            for (_, ops, nested) in lost.iter().filter(|(place, _, _)| place.index(segment.ops.len()) == index) {
                let outer = writer.mark();
                ops.iter().for_each(|op| op.push_to(&mut writer));
                if *nested {
                    let inner = writer.mark();
                    ops.iter().rev().for_each(|op| op.push_to(&mut writer));
                    writer.truncate(inner);
                }
                writer.truncate(outer);
            }
            op.push_to(&mut writer);
        }
        prop_assert_eq!(writer.payload(), segment.payload());
        prop_assert_eq!(writer.ops() as usize, segment.ops.len());
    }

    /// A value comes back as it went in, from exactly its bytes.
    #[test]
    fn a_value_has_one_encoding(integer in any::<i64>(), text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for value in [
            OpValue::Plain(ValueRef::Null),
            OpValue::Plain(ValueRef::Integer(integer)),
            OpValue::Plain(ValueRef::Text(text.as_str().into())),
            OpValue::Plain(ValueRef::Blob(bytes.as_slice().into())),
            OpValue::Composite(&bytes),
        ] {
            let mut encoded = Vec::new();
            write_value(&mut encoded, &value).unwrap();
            prop_assert_eq!(&read_value(&encoded).unwrap(), &value);
            prop_assert!(read_value(&encoded[..encoded.len() - 1]).is_err());
            encoded.push(0);
            prop_assert!(read_value(&encoded).is_err());
        }
    }

    /// A packed change comes back as it went in, and its header can be made again from its chain.
    #[test]
    fn a_change_is_what_its_chain_says(before in change(), it in change()) {
        let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
        let mut chain = empty_chain();
        before.seal(&mut sealer, &mut chain);
        let mut reader: Chain = chain;
        let (packed, id) = it.seal(&mut sealer, &mut chain);

        let change = PackedChange::decode(&packed).unwrap();
        prop_assert_eq!(change.encode(), packed.clone());
        let key = epoch_key(it.epoch);
        let (header, same_id) = reader.next(&change, key.commitment()).unwrap();
        prop_assert_eq!((same_id, reader), (id, chain));
        prop_assert_eq!(chain.head, Head { seq: 2, id });
        prop_assert_eq!(&Header::decode(header.as_bytes()).unwrap(), &header);
        prop_assert_eq!(header.deps().collect::<Vec<_>>(), it.deps.clone());
        prop_assert_eq!((header.seq(), header.epoch(), header.nonce()), (2, it.epoch, it.nonce));
        prop_assert_eq!(header.flags(), it.flags());
        for (index, payload) in it.payloads.iter().enumerate() {
            let opened = opener.open(&key, &header, index, change.segments[index]).unwrap();
            prop_assert_eq!(opened, payload.as_slice());
            let hash = *blake3::hash(change.segments[index]).as_bytes();
            prop_assert_eq!(header.segment(index), Some((change.segments[index].len() as u32, hash)));
        }
        prop_assert_eq!(header.segment(it.payloads.len()), None);
    }

    /// A run comes back as it went in, and verifies from wherever its chain was held.
    #[test]
    fn a_run_arrives_whole(changes in prop::collection::vec(change(), 1..8), slot in 1..5usize, held in 0..8usize) {
        let held = held.min(changes.len() - 1);
        let mut chain = empty_chain();
        if held > 0 {
            run(&mut chain, &changes[..held], slot);
        }
        let mut reader = chain;
        let sent = run(&mut chain, &changes[held..], slot);
        let bytes = sent.encode();
        let received = Run::decode(&bytes).unwrap();
        prop_assert_eq!(&received, &sent);
        prop_assert_eq!(received.encode(), bytes);
        let verified = received.verify(&mut reader).unwrap();
        prop_assert_eq!(verified.len(), changes.len() - held);
        prop_assert_eq!(reader, chain);
        prop_assert_eq!(received.last_seq(), chain.head.seq);
    }

    /// Frontiers merge to the newest heads of both, in any order and however often.
    #[test]
    fn frontiers_merge_to_the_newest_heads(a in frontier(), b in frontier()) {
        let merged = |first: &Frontier, second: &Frontier| {
            let mut both = first.clone();
            both.merge(second);
            both
        };
        let both = merged(&a, &b);
        prop_assert_eq!(&both, &merged(&b, &a));
        prop_assert_eq!(&both, &merged(&both, &a));
        prop_assert!(both.covers(&a) && both.covers(&b));
        prop_assert_eq!(a.covers(&b), both == a);
        let missing: Vec<LogId> = both.beyond(&a).map(|(log, _)| log).collect();
        for (log, head) in both.iter() {
            prop_assert_eq!(missing.contains(&log), head != a.head(log));
        }
        prop_assert_eq!(both.fork(&a), None);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Bytes that are altered anywhere, in any way, are no run of this log, or the same run.
    #[test]
    fn an_altered_run_is_refused(
        changes in prop::collection::vec(change(), 1..4),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let sent = run(&mut empty_chain(), &changes, 2).encode();
        let mut bytes = sent.clone();
        for (place, byte, how) in cuts {
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => { bytes.remove(at); }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut chain = empty_chain();
        let accepted = Run::decode(&bytes).is_ok_and(|run| run.verify(&mut chain).is_ok());
        prop_assert!(!accepted || bytes == sent);
    }

    /// Bytes that are altered anywhere are no segment, or a segment with this one encoding.
    #[test]
    fn an_altered_segment_is_refused_or_canonical(
        segment in segment(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut payload = segment.payload();
        let at = place.index(payload.len());
        payload[at] = byte;
        let Ok(mut reader) = SegmentReader::new(&payload) else { return Ok(()) };
        loop {
            match reader.next_op() {
                Err(_) => return Ok(()),
                Ok(None) => break,
                Ok(Some(op)) if op.values.iter().any(|value| matches!(value, OpValue::Composite(_))) => return Ok(()),
                Ok(Some(_)) => {}
            }
        }
        prop_assert_eq!(TestSegment::read(&payload).payload(), payload);
    }
}

fn segment_ops() -> impl Strategy<Value = Vec<crate::maker::TestOp>> {
    segment().prop_map(|segment| segment.ops)
}

/// Frontiers over few logs, in which a number always goes with the same change.
fn frontier() -> impl Strategy<Value = Frontier> {
    prop::collection::vec((0..6u8, 1..9u64), 0..8).prop_map(|heads| {
        heads
            .into_iter()
            .map(|(log, seq)| (LogId::from_bytes([log; 16]), Head { seq, id: ChangeId::from_bytes([seq as u8; 32]) }))
            .collect()
    })
}
