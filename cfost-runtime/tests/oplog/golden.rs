//! The format of version 1, byte by byte. These bytes are on disks: a test here that fails means that
//! existing databases can't be read, and that old and new apps no longer understand each other.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::oplog::{
    ChangeFlags, ChangeId, Dep, Head, Header, LogId, OpKind, OpValue, Opener, PackedChange, RuleTag, Run, Sealer,
    SegmentReader, SegmentWriter, ValueRef, read_value, sign_change, signed_bytes, verify_change,
};
use uuid::Uuid;

use crate::maker::{LOG, SPACE, TestSegment, author, empty_chain, epoch_key};

/// Bytes from hex digits; spaces and line breaks between them, and what follows a `#`, say nothing.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().bytes())
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|digit| (digit as char).to_digit(16).expect("a hex digit") as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Hex digits, 32 bytes a line, as a failing test prints them.
fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub(crate) fn assert_bytes(found: &[u8], expected: &str) {
    assert_eq!(hex(found), hex(&bytes(expected)));
}

/// A todo that is created, renamed and deleted: one op of each kind, and a value of each type.
fn payload() -> Vec<u8> {
    let mut writer = SegmentWriter::new("todos", 300, Timestamp::from_ms(0x0102_0304_0506).plus(7));
    let columns = [
        (RuleTag::LWW, "title"),
        (RuleTag::COUNTER, "votes"),
        (RuleTag::LWW, "size"),
        (RuleTag::LWW, "icon"),
        (RuleTag::LWW, "due"),
    ];
    let create = writer.shape(OpKind::Create, &columns).unwrap();
    let update = writer.shape(OpKind::Update, &columns[..2]).unwrap();
    let delete = writer.shape(OpKind::Delete, &[]).unwrap();
    let row = Uuid::from_u128(0xa0a1_a2a3_a4a5_a6a7_a8a9_aaab_acad_aeaf);
    let values = [
        ValueRef::Text("Käse".into()),
        ValueRef::Integer(-65),
        ValueRef::Real(1.5),
        ValueRef::Blob([0xff, 0x00].as_slice().into()),
        ValueRef::Null,
    ];
    writer.push(create, &row, values).unwrap();
    writer.push(update, &row, [ValueRef::Text("".into()), ValueRef::Integer(64)]).unwrap();
    writer.push(delete, &row, []).unwrap();
    writer.push(update, &row, [ValueRef::Null, ValueRef::Integer(0)]).unwrap();
    writer.payload().to_vec()
}

const SEGMENT: &str = "
    01                                      # format
    05 74 6f 64 6f 73                       # table: todos
    ac 02                                   # schema version: 300
    07 00 06 05 04 03 02 01                 # base timestamp
    00                                      # op 0: shape 0, which is new:
      01 05                                 #   create, 5 columns
      01 05 74 69 74 6c 65                  #   lww title
      02 05 76 6f 74 65 73                  #   counter votes
      01 04 73 69 7a 65                     #   lww size
      01 04 69 63 6f 6e                     #   lww icon
      01 03 64 75 65                        #   lww due
    a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf     #   row
      03 05 4b c3 a4 73 65                  #   text Käse
      01 81 01                              #   integer -65, zigzag 129
      02 00 00 00 00 00 00 f8 3f            #   real 1.5
      04 02 ff 00                           #   blob
      00                                    #   null
    01                                      # op 1: shape 1, which is new:
      02 02                                 #   update, 2 columns
      01 05 74 69 74 6c 65                  #   lww title
      02 05 76 6f 74 65 73                  #   counter votes
    a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf     #   row
      03 00                                 #   text, empty
      01 80 01                              #   integer 64, zigzag 128
    02                                      # op 2: shape 2, which is new:
      03 00                                 #   delete, 0 columns
    a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf     #   row
    01                                      # op 3: shape 1 again
    a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf     #   row
      00                                    #   null
      01 00                                 #   integer 0
";

#[test]
fn the_bytes_of_a_segment() {
    assert_bytes(&payload(), SEGMENT);
    assert_eq!(TestSegment::read(&bytes(SEGMENT)).payload(), payload());
}

#[test]
fn what_a_newer_app_writes_into_a_segment_is_handed_out_as_it_is() {
    let segment = bytes(
        "01 05 74 6f 64 6f 73 01 00 00 00 00 00 00 00 00
         00 02 01 c8 04 74 61 67 73              # update of one column, by a rule that this build doesn't know
         a0a1a2a3 a4a5a6a7 a8a9aaab acadaeaf
         05 03 01 02 03                          # a composite of three bytes",
    );
    let mut reader = SegmentReader::new(&segment).unwrap();
    let op = reader.next_op().unwrap().unwrap();
    let rule = op.columns[0].rule;
    assert_eq!((rule, rule.is_known(), op.columns[0].name), (RuleTag::from_u8(200), false, "tags"));
    assert_eq!(op.values, [OpValue::Composite(&[1, 2, 3])]);
}

#[test]
fn the_bytes_of_numbers() {
    for (integer, encoded) in [
        (0, "01 00"),
        (-1, "01 01"),
        (1, "01 02"),
        (63, "01 7e"),
        (-64, "01 7f"),
        (64, "01 80 01"),
        (i64::from(i32::MAX), "01 fe ff ff ff 0f"),
        (i64::MAX, "01 fe ff ff ff ff ff ff ff ff 01"),
        (i64::MIN, "01 ff ff ff ff ff ff ff ff ff 01"),
    ] {
        let value = OpValue::Plain(ValueRef::Integer(integer));
        let mut written = Vec::new();
        cfost_runtime::oplog::write_value(&mut written, &value).unwrap();
        assert_bytes(&written, encoded);
        assert_eq!(read_value(&bytes(encoded)).unwrap(), value);
    }
}

/// The deletion of a todo, too short to be compressed: what LZ4 makes of longer segments may change with
/// its version, and is for the reader alone to fix.
fn short_payload() -> Vec<u8> {
    let mut writer = SegmentWriter::new("todos", 1, Timestamp::from_ms(1));
    let delete = writer.shape(OpKind::Delete, &[]).unwrap();
    writer.push(delete, &Uuid::from_u128(1), []).unwrap();
    writer.payload().to_vec()
}

/// A change that depends on two others, and another that continues it.
fn second_change() -> (Vec<u8>, Header) {
    let mut chain = empty_chain();
    chain.head = Head { seq: 0x0102, id: ChangeId::from_bytes([0x55; 32]) };
    let deps = [(0x66, 1), (0x77, 0x1234)].map(|(byte, seq)| Dep {
        log: LogId::from_bytes([byte; 16]),
        head: Head { seq, id: ChangeId::from_bytes([byte + 1; 32]) },
    });
    let mut reader = chain;
    let key = epoch_key(0x0a0b);
    let (packed, id) =
        Sealer::new().seal(&mut chain, ChangeFlags::CONTINUES, &key, &[0x88; 24], &deps, &[&short_payload()]).unwrap();
    let (header, same) = reader.next(&PackedChange::decode(&packed).unwrap(), key.commitment()).unwrap();
    assert_eq!(same, id);
    (packed, header)
}

const HEADER: &str = "
    01                                          #   0 version
    01                                          #   1 suite
    01                                          #   2 kind: ops
    01                                          #   3 flags: continues
    11111111 11111111 11111111 11111111         #   4 space
    17cb79fb 2b4120f2 b1ec65e4 198d6e08         #  20 author
    b28e813f eb01e4a4 00839b85 e18080ce
    22222222 22222222 22222222 22222222         #  52 log
    03 01 00 00 00 00 00 00                     #  68 seq
    55555555 55555555 55555555 55555555         #  76 previous
    55555555 55555555 55555555 55555555
    0b 0a 00 00                                 # 108 key epoch
    3e370c23 dac28139 f0081f86 ecba6281         # 112 commitment
    c8da8146 94c2330b 6b22dc05 e679b43a
    88888888 88888888 88888888 88888888         # 144 nonce
    88888888 88888888
    02 00                                       # 168 deps
    01 00                                       # 170 segments
    66666666 66666666 66666666 66666666         # 172 dep 0: log
    01 00 00 00 00 00 00 00                     #            seq
    67676767 67676767 67676767 67676767         #            id
    67676767 67676767 67676767 67676767
    77777777 77777777 77777777 77777777         #     dep 1: log
    34 12 00 00 00 00 00 00                     #            seq
    78787878 78787878 78787878 78787878         #            id
    78787878 78787878 78787878 78787878
    34 00 00 00                                 #     segment 0: length
    dfdeaab0 26d98af2 4abef854 ae84d42d         #                hash
    9e8718c5 ce7a2f0f ef8cefe1 66ea5e27
";

#[test]
fn the_bytes_of_a_header() {
    let (_, header) = second_change();
    assert_bytes(header.as_bytes(), HEADER);
    assert_eq!(Header::decode(&bytes(HEADER)).unwrap(), header);
    assert_eq!(header.id().to_string(), "a78d728df0e538e0c197678b87663a647a918e7a4a387c2d2fe437c980dc3aa9");
}

const CHANGE: &str = "
    01                                          # flags: continues
    8b 14                                       # key epoch
    88888888 88888888 88888888 88888888         # nonce
    88888888 88888888
    02                                          # deps
    66666666 66666666 66666666 66666666         #   log
    01                                          #   seq
    67676767 67676767 67676767 67676767         #   id
    67676767 67676767 67676767 67676767
    77777777 77777777 77777777 77777777         #   log
    b4 24                                       #   seq
    78787878 78787878 78787878 78787878         #   id
    78787878 78787878 78787878 78787878
    01                                          # segments
    34                                          #   length, of plaintext and tag
    7f298343 d8b4c1ab 5e581d06 14c92b1d
    6a00433b 15091612 4b074553 02cff15c
    2fa9d805 66e40a5e ea9a4f3a 4dbd32a5
    61feff68
";

#[test]
fn the_bytes_of_a_packed_change() {
    let (packed, header) = second_change();
    assert_bytes(&packed, CHANGE);
    let packed = bytes(CHANGE);
    let change = PackedChange::decode(&packed).unwrap();
    let opened = Opener::new().open(&epoch_key(0x0a0b), &header, 0, change.segments[0]).unwrap().to_vec();
    assert_eq!(opened, short_payload());
}

/// A run as version 1 sent it: one change with two segments, the first of which is compressed.
const RUN: &str = "
    01                                          # version
    11111111 11111111 11111111 11111111         # space
    22222222 22222222 22222222 22222222         # log
    17cb79fb 2b4120f2 b1ec65e4 198d6e08         # author
    b28e813f eb01e4a4 00839b85 e18080ce
    01                                          # first seq
    01                                          # epochs
    07                                          #   number
    2f0d1d66 78c8f4a7 8b2427d1 944edb4e         #   commitment
    5ace14d6 456293ca 8c19f8a0 ea696224
    01                                          # changes
    e001                                        #   length
    00 07                                       #   flags, key epoch
    99999999 99999999 99999999 99999999         #   nonce
    99999999 99999999
    00 02                                       #   deps, segments
    8d01                                        #     length
    110e960d2b5d8769db0a236dd46f595838199066aa74ade7a5c9349336699fed
    0bc5f0ebcbf42774e354b681ef0096f767de581bd655db03782695f5b7188cfb
    3a27ccad81f6da780debfc8152fbfc4b8b3fae04a9db4c5193933b5af8919814
    aa7af75bd2c01186edc3d5922a29487c374c07fdc2a2dcf19896aa68a2778a5a
    0de0c9fae67c3d1c819af9a2b5
    34                                          #     length
    7eeea97089db48c0f7a90d729fe39e0107b60168b16796e1336a65a332816954
    6b312720ad5eeb3dc5191e2c5db32e0f76f04d2d
    01                                          # signatures
    01                                          #   seq
    02c8eefcbb582c4cbef7865c4ee939967fc0e1d5b9981c86d7e15c96ac0a7d09 #   signature
    c39009f52c28f43c7d074af09242f8a1cff3eb3a7667595c5e2acadbd345140a
";

#[test]
fn a_run_of_version_1_can_be_read_forever() {
    let encoded = bytes(RUN);
    let run = Run::decode(&encoded).unwrap();
    assert_eq!((run.space, run.log, run.first_seq, run.last_seq()), (SPACE, LOG, 1, 1));
    assert_bytes(&run.encode(), RUN);

    let mut chain = empty_chain();
    let verified = run.verify(&mut chain).unwrap();
    assert_eq!(chain.head.id.to_string(), "66ac1d294e931fd4bc4f8454bb804379023a98fabe413a8d90e690e3e7fbe6d9");
    let (change, mut opener) = (&verified[0], Opener::new());
    for (index, payload) in [payload(), short_payload()].iter().enumerate() {
        let opened = opener.open(&epoch_key(7), &change.header, index, change.change.segments[index]).unwrap();
        assert_eq!(opened, payload);
    }
}

#[test]
fn the_bytes_that_an_author_signs() {
    let id = ChangeId::from_bytes([0xab; 32]);
    let signed = "63666f73 74206368 616e6765 20763100    # 'cfost change v1', zero
        abababab abababab abababab abababab abababab abababab abababab abababab";
    assert_bytes(&signed_bytes(&id), signed);
    let (key, log) = (author(), LOG);
    let signature = sign_change(&key, &id);
    let public = key.verifying_key().to_bytes();
    verify_change(&public, log, 1, &id, &signature).unwrap();
    verify_change(&public, log, 1, &ChangeId::from_bytes([0xac; 32]), &signature).unwrap_err();
}
