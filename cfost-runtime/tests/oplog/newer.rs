//! What a newer app writes is verified as far as its bytes allow, and told apart from what is broken.

use cfost_runtime::oplog::{Header, LogId, Opener, OplogError, PackedChange, Run, Sealer, SpaceId, sign_change};

use crate::golden::{assert_bytes, bytes};
use crate::maker::{LOG, SPACE, author, empty_chain, epoch_key};

/// A change of kind 2, with a flag of which nothing is known yet.
const CHANGE: &str = "
    13                                          # flags: continues, an unknown one, and that a kind follows
    02                                          # kind
    03 aabbcc                                   # extension
    07                                          # key epoch
    88888888 88888888 88888888 88888888         # nonce
    88888888 88888888
    00                                          # deps
    01                                          # segments
    11                                          #   length
    99999999 99999999 99999999 99999999 99
";

/// Its header, when it is the first of its log.
const HEADER: &str = "
    01 01 02 03                                 #   0 version, suite, kind, flags
    11111111 11111111 11111111 11111111         #   4 space
    17cb79fb 2b4120f2 b1ec65e4 198d6e08         #  20 author
    b28e813f eb01e4a4 00839b85 e18080ce
    22222222 22222222 22222222 22222222         #  52 log
    01 00 00 00 00 00 00 00                     #  68 seq
    00000000 00000000 00000000 00000000         #  76 previous
    00000000 00000000 00000000 00000000
    07 00 00 00                                 # 108 key epoch
    2f0d1d66 78c8f4a7 8b2427d1 944edb4e         # 112 commitment
    5ace14d6 456293ca 8c19f8a0 ea696224
    88888888 88888888 88888888 88888888         # 144 nonce
    88888888 88888888
    00 00                                       # 168 deps
    01 00                                       # 170 segments
    03 00 00 00 aa bb cc                        # 172 extension: length, bytes
    11 00 00 00                                 #     segment 0: length
    be3ce232 fcbaa176 d7d1cbc9 850fd0da         #                hash
    a03b6240 78805b81 0229f112 6968749d
";

/// A run of a change of this build, one of a newer app, and another of this build.
fn run() -> Run {
    let (mut chain, mut sealer, key) = (empty_chain(), Sealer::new(), epoch_key(7));
    let mut seal = |chain: &mut _| sealer.seal(chain, Default::default(), &key, &[1; 24], &[], &[b"a"]).unwrap().0;
    let before = seal(&mut chain);
    let newer = bytes(CHANGE);
    chain.next(&PackedChange::decode(&newer).unwrap(), key.commitment()).unwrap();
    let after = seal(&mut chain);
    let signatures = vec![(3, sign_change(&author(), &chain.head.id))];
    let (author, epochs) = (chain.author, vec![(7, *key.commitment())]);
    Run {
        space: SPACE,
        log: LOG,
        origin: None,
        author,
        first_seq: 1,
        epochs,
        changes: vec![before, newer, after],
        signatures,
    }
}

#[test]
fn the_bytes_of_a_change_of_another_kind() {
    let packed = bytes(CHANGE);
    let change = PackedChange::decode(&packed).unwrap();
    assert_eq!((change.kind, change.extension), (2, &[0xaa, 0xbb, 0xcc][..]));
    assert_bytes(&change.encode(), CHANGE);
    let (header, _) = empty_chain().next(&change, epoch_key(7).commitment()).unwrap();
    assert_bytes(header.as_bytes(), HEADER);
    assert_eq!(Header::decode(&bytes(HEADER)).unwrap(), header);
    assert_eq!((header.kind(), header.extension(), header.segments()), (2, change.extension, 1));
    assert_eq!(header.segment(0).unwrap().0, 17);
}

#[test]
fn what_a_newer_app_writes_is_verified_along_its_chain_and_relayed_byte_for_byte() {
    let sent = run().encode();
    let run = Run::decode(&sent).unwrap();
    let mut chain = empty_chain();
    let verified = run.verify(&mut chain).unwrap();
    assert_eq!(chain.head.seq, 3);
    assert_eq!(verified[1].packed, bytes(CHANGE));
    assert_eq!(run.encode(), sent);
    for (change, newer) in verified.iter().zip([false, true, false]) {
        assert_eq!(change.header.check_known().is_err(), newer);
    }
    let (newer, segment) = (&verified[1].header, verified[1].change.segments[0]);
    let opened = Opener::new().open(&epoch_key(7), newer, 0, segment).map(<[u8]>::len);
    let kind = OplogError::Newer { what: "kind of a change", version: 2, known: 1 };
    assert_eq!(opened.unwrap_err(), kind, "what a newer app sealed may not be sealed like this");
}

#[test]
fn an_unknown_flag_alone_makes_a_change_a_newer_apps() {
    let flagged = [&[0x05, 0][..], &[7; 24], &[0, 0]].concat();
    let change = PackedChange::decode(&flagged).unwrap();
    assert_eq!(change.encode(), flagged);
    let (header, _) = empty_chain().next(&change, &[0; 32]).unwrap();
    assert!(header.flags().continues());
    let newer = OplogError::Newer { what: "set of flags of a change", version: 5, known: 1 };
    assert_eq!(header.check_known().unwrap_err(), newer);
}

#[test]
fn every_flipped_bit_of_what_a_newer_app_wrote_is_noticed() {
    let sent = run().encode();
    for bit in 0..sent.len() * 8 {
        let mut flipped = sent.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut chain = empty_chain();
        let outcome = Run::decode(&flipped).and_then(|run| run.verify(&mut chain).map(|_| ()));
        outcome.expect_err(&format!("bit {bit} of {} was flipped", sent.len() * 8));
        assert_eq!(chain, empty_chain(), "a run that is refused moves nothing");
    }
}

#[test]
fn a_change_that_is_packed_in_a_newer_way_is_told_from_a_broken_one() {
    for version in 1..8 {
        let packed = [&[version << 5, 0][..], &[7; 24], &[0, 0]].concat();
        let newer = OplogError::Newer { what: "packing of a change", version, known: 0 };
        assert_eq!(PackedChange::decode(&packed).unwrap_err(), newer);
    }
}

#[test]
fn a_run_of_any_version_names_its_log() {
    let newer = [&[200][..], SPACE.as_bytes(), LOG.as_bytes()].concat();
    assert_eq!(Run::decode(&newer).unwrap_err(), OplogError::Newer { what: "run", version: 200, known: 2 });
    assert_eq!(Run::names(&newer).unwrap(), (SPACE, LOG));
    Run::names(&newer[..32]).unwrap_err();
    let named: (SpaceId, LogId) = Run::names(&run().encode()).unwrap();
    assert_eq!(named, (SPACE, LOG));
}
