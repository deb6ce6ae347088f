//! Changes on their way from the device that makes them to one that checks them.

use ed25519_dalek::SigningKey;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::clock::Timestamp;

const SPACE: SpaceId = SpaceId::from_bytes([1; 16]);
const LOG: LogId = LogId::from_bytes([2; 16]);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn epoch() -> EpochKey {
    EpochKey::new(7, Zeroizing::new([4; 32]))
}

fn empty_chain() -> Chain {
    Chain::new(SPACE, key().verifying_key().to_bytes(), LOG)
}

fn payload(table: &str, ops: u32) -> Vec<u8> {
    let mut writer = SegmentWriter::new(table, 1, Timestamp::from_ms(5_000));
    let shape = writer.shape(OpKind::Create, &[(RuleTag::LWW, "title")]).unwrap();
    for op in 0..ops {
        let title = ValueRef::Text("Buy milk".into());
        writer.push(shape, &Uuid::from_u128(u128::from(op)), [title]).unwrap();
    }
    writer.payload().to_vec()
}

/// A run of three changes, one large enough to be compressed, and the payloads in it.
fn run() -> (Run, Vec<Vec<Vec<u8>>>) {
    let payloads =
        vec![vec![payload("todos", 1)], vec![payload("lists", 100), payload("todos", 2)], vec![payload("todos", 1)]];
    let (mut chain, mut sealer) = (empty_chain(), Sealer::new());
    let other = Dep { log: LogId::from_bytes([9; 16]), head: Head { seq: 4, id: ChangeId::from_bytes([8; 32]) } };
    let mut changes = Vec::new();
    for (index, payloads) in (0..).zip(&payloads) {
        let flags = if index == 0 { ChangeFlags::CONTINUES } else { ChangeFlags::NONE };
        let deps: &[Dep] = if index == 1 { &[other] } else { &[] };
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let (packed, _) = sealer.seal(&mut chain, flags, &epoch(), &[index; 24], deps, &payloads).unwrap();
        changes.push(packed);
    }
    let signatures = vec![(3, sign_change(&key(), &chain.head.id))];
    let epochs = vec![(7, *epoch().commitment())];
    (
        Run { space: SPACE, log: LOG, origin: None, author: chain.author, first_seq: 1, epochs, changes, signatures },
        payloads,
    )
}

#[test]
fn a_run_arrives_whole() {
    let (run, payloads) = run();
    let received = Run::decode(&run.encode()).unwrap();
    assert_eq!(received, run);
    let mut chain = empty_chain();
    let verified = received.verify(&mut chain).unwrap();
    assert_eq!(chain.head, Head { seq: 3, id: verified[2].id });
    let mut opener = Opener::new();
    for (change, payloads) in verified.iter().zip(&payloads) {
        assert_eq!(Header::decode(change.header.as_bytes()).unwrap(), change.header);
        for (index, (sealed, payload)) in change.change.segments.iter().zip(payloads).enumerate() {
            assert_eq!(opener.open(&epoch(), &change.header, index, sealed).unwrap(), payload);
        }
    }
    assert!(verified[0].header.flags().continues());
    assert_eq!(verified[1].header.deps().len(), 1);
    assert!(verified[1].packed.len() < payloads[1][0].len(), "a hundred like ops compress");
}

#[test]
fn every_flipped_bit_of_a_run_is_noticed() {
    let bytes = run().0.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut chain = empty_chain();
        let outcome = Run::decode(&flipped).and_then(|run| run.verify(&mut chain).map(|_| ()));
        outcome.expect_err(&format!("bit {bit} of {} was flipped", bytes.len() * 8));
        assert_eq!(chain, empty_chain(), "a run that is refused moves nothing");
    }
}

#[test]
fn a_key_of_another_epoch_or_another_change_opens_nothing() {
    let (run, _) = run();
    let verified = run.verify(&mut empty_chain()).unwrap();
    let (first, second) = (&verified[0], &verified[1]);
    let mut opener = Opener::new();
    let other = EpochKey::new(7, Zeroizing::new([5; 32]));
    let sealed = first.change.segments[0];
    assert!(matches!(
        opener.open(&other, &first.header, 0, sealed),
        Err(OplogError::WrongKey { seq: 1, epoch: 7, .. })
    ));
    assert!(matches!(opener.open(&epoch(), &second.header, 0, sealed), Err(OplogError::Sealed { seq: 2, .. })));
    let swapped = second.change.segments[1];
    assert!(matches!(opener.open(&epoch(), &second.header, 0, swapped), Err(OplogError::Sealed { index: 0, .. })));
}

#[test]
fn a_run_that_does_not_continue_the_chain_is_refused() {
    let (run, _) = run();
    let mut chain = empty_chain();
    run.verify(&mut chain).unwrap();
    assert!(matches!(run.verify(&mut chain), Err(OplogError::Gap { held: 3, found: 1, .. })));
    let mut other = Chain { space: SpaceId::from_bytes([0; 16]), ..empty_chain() };
    assert!(matches!(run.verify(&mut other), Err(OplogError::OtherLog { field: "space", .. })));
    let unsigned = Run { signatures: Vec::new(), ..run };
    assert!(matches!(unsigned.verify(&mut empty_chain()), Err(OplogError::Unsigned { seq: 3, .. })));
}

#[test]
fn a_change_over_a_limit_leaves_the_chain_as_it_was() {
    // Noise: LZ4 can't make it fit.
    let mut noise = vec![0; limits::CHANGE_BYTES_MAX];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let (mut chain, mut sealer) = (empty_chain(), Sealer::new());
    let sealed = sealer.seal(&mut chain, ChangeFlags::NONE, &epoch(), &[0; 24], &[], &[&noise]);
    assert!(matches!(sealed, Err(OplogError::TooLarge { .. })));
    let own = Dep { log: LOG, head: Head { seq: 1, id: ChangeId::NONE } };
    sealer.seal(&mut chain, ChangeFlags::NONE, &epoch(), &[0; 24], &[own], &[]).unwrap_err();
    assert_eq!(chain, empty_chain());
}
