//! The messages on the wire: each has one encoding, and the golden bytes pin it.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::limits::{FRAME_BYTES_MAX, HEADS_MAX, PROTOCOL_VERSION};
use super::message::{Heads, Hello, Inbox, Message, digest_of, first_frame, put_entries, put_identity, put_request};
use super::{Build, LogKey, SyncError};
use crate::oplog::{ChangeId, DeviceId, Frontier, Head, LogId, SpaceId, UserId};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(message.put(&mut out), out.len());
    out
}

fn head(seq: u64, byte: u8) -> Head {
    Head { seq, id: ChangeId::from_bytes([byte; 32]) }
}

fn one_head() -> Heads {
    let frontier: Frontier = [(LogId::from_bytes([0xbb; 16]), head(7, 0xcc))].into_iter().collect();
    Heads::from([(SpaceId::from_bytes([0xaa; 16]), frontier)])
}

/// `docs/wire.md`, field by field. A byte that changes here is a new version of the protocol.
#[test]
fn the_wire_is_what_its_document_says() {
    let (aa, bb, cc) = ("aa".repeat(16), "bb".repeat(16), "cc".repeat(32));
    let one_head_hex = format!("0100{aa}01000000{bb}0700000000000000{cc}");
    let build = || Build { newest: 3, oldest: 1, cfost: "0.1.0".into(), app: "2.3".into() };
    let names = format!("05 {} 03 {}", hex(b"0.1.0"), hex(b"2.3"));
    let hello = Hello {
        device: DeviceId::from_bytes([0xd1; 16]),
        identity: [0x11; 32],
        holds: [0x22; 32],
        certificate: vec![b"entry"],
        build: build(),
        entries: Some([0x44; 32]),
    };
    let first_version = Hello { build: Build { newest: 1, ..build() }, entries: None, ..hello.clone() };
    let (user, space) = (LogKey::User(UserId::from_bytes([0xee; 16])), LogKey::Space(SpaceId::from_bytes([0xaa; 16])));
    let entry = format!("05000000{}", hex(b"entry"));
    let golden = [
        (
            Message::Hello(hello),
            format!(
                "8a00000001 0300 0100 {} {} {} 0100 {entry} {names} {}",
                "d1".repeat(16),
                "11".repeat(32),
                "22".repeat(32),
                "44".repeat(32)
            ),
        ),
        (
            Message::Hello(first_version),
            format!(
                "6a00000001 0100 0100 {} {} {} 0100 {entry} {names}",
                "d1".repeat(16),
                "11".repeat(32),
                "22".repeat(32)
            ),
        ),
        (Message::RequestIdentity { have: vec![[0x33; 32]] }, format!("2500000002 01000000 {}", "33".repeat(32))),
        (Message::Identity { entries: vec![b"entry"] }, format!("0c00000003 0100 {entry}")),
        (
            Message::RequestOps { round: 2, more: true, spaces: one_head() },
            format!("5400000004 02000000 01 {one_head_hex}"),
        ),
        (Message::SendOps { round: 2, runs: vec![b"entry"] }, format!("1000000005 02000000 0100 {entry}")),
        (Message::Ack { frames: 3, heads: one_head() }, format!("5700000006 0300000000000000 {one_head_hex}")),
        (Message::Ping(0x0102), "0900000007 0201000000000000".into()),
        (Message::Pong(0x0102), "0900000008 0201000000000000".into()),
        (Message::Error { code: 3, build: build() }, format!("1100000009 0300 0300 0100 {names}")),
        (
            Message::Fork {
                space: SpaceId::from_bytes([0xaa; 16]),
                log: LogId::from_bytes([0xbb; 16]),
                head: head(7, 0xcc),
            },
            format!("490000000a {aa} {bb} 0700000000000000 {cc}"),
        ),
        (
            Message::RequestEntries { have: [(user, vec![[0x33; 32]]), (space, vec![])].into() },
            format!("4f0000000b 02000000 01 {} 01000000 {} 02 {aa} 00000000", "ee".repeat(16), "33".repeat(32)),
        ),
        (
            Message::Entries { more: true, entries: vec![(user, b"entry"), (space, b"entry")] },
            format!("380000000c 01 0200 01 {} {entry} 02 {aa} {entry}", "ee".repeat(16)),
        ),
    ];
    for (message, expected) in golden {
        let bytes = encoded(&message);
        assert_eq!(hex(&bytes), expected.replace(' ', ""), "{}", message.name());
        let frame = first_frame(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(Message::decode(frame).unwrap(), message);
    }
}

#[test]
fn a_digest_of_frontiers_is_of_their_one_encoding() {
    assert_eq!(hex(&digest_of(&one_head())), "c1afa7473c9eb3f99dd40d8f677ee91303d7d45c418d543ca9f85a0e36fa22b5");
    assert_ne!(digest_of(&one_head()), digest_of(&Heads::new()));
}

/// Any message, as owned parts, since messages borrow.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    number: u64,
    flag: bool,
    items: Vec<Vec<u8>>,
    ids: Vec<[u8; 32]>,
    heads: Heads,
}

fn any_heads() -> impl Strategy<Value = Heads> {
    let head = (1..u64::MAX, any::<[u8; 32]>()).prop_map(|(seq, id)| Head { seq, id: ChangeId::from_bytes(id) });
    let frontier = btree_map(any::<[u8; 16]>().prop_map(LogId::from_bytes), head, 0..5);
    let space = any::<[u8; 16]>().prop_map(SpaceId::from_bytes);
    btree_map(space, frontier.prop_map(|heads| heads.into_iter().collect::<Frontier>()), 0..4)
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let items = vec(vec(any::<u8>(), 0..40), 1..5);
    let ids = btree_set(any::<[u8; 32]>(), 0..5).prop_map(|ids| ids.into_iter().collect());
    (0..12_u8, any::<u64>(), any::<bool>(), items, ids, any_heads())
        .prop_map(|(kind, number, flag, items, ids, heads)| Parts { kind, number, flag, items, ids, heads })
}

impl Parts {
    fn build(&self) -> Build {
        let (cfost, app) = (format!("0.{}.0", self.number), self.ids.iter().map(|id| id[0].to_string()).collect());
        Build { newest: 1 + u16::from(self.flag), oldest: self.number as u16 % 2, cfost, app }
    }

    /// Keys of logs of both kinds.
    fn keys(&self) -> impl Iterator<Item = LogKey> {
        let users = self.heads.keys().map(|space| LogKey::User(UserId::from_bytes(*space.as_bytes())));
        users.chain(self.heads.keys().copied().map(LogKey::Space))
    }

    fn message(&self) -> Message<'_> {
        let items: Vec<&[u8]> = self.items.iter().map(Vec::as_slice).collect();
        match self.kind {
            0 => Message::Hello(Hello {
                device: DeviceId::from_bytes([self.number as u8; 16]),
                identity: [1; 32],
                holds: [2; 32],
                certificate: items,
                build: self.build(),
                entries: self.flag.then_some([3; 32]),
            }),
            1 => Message::RequestIdentity { have: self.ids.clone() },
            2 => Message::Identity { entries: items },
            3 => Message::RequestOps { round: self.number as u32, more: self.flag, spaces: self.heads.clone() },
            4 => Message::SendOps { round: self.number as u32, runs: items },
            5 => Message::Ack { frames: self.number, heads: self.heads.clone() },
            6 => Message::Ping(self.number),
            7 => Message::Pong(self.number),
            8 => Message::Error { code: self.number as u16, build: self.build() },
            9 => Message::RequestEntries { have: self.keys().map(|key| (key, self.ids.clone())).collect() },
            10 => Message::Entries { more: self.flag, entries: self.keys().zip(items).collect() },
            _ => Message::Fork {
                space: SpaceId::from_bytes([7; 16]),
                log: LogId::from_bytes([8; 16]),
                head: head(self.number.max(1), 9),
            },
        }
    }
}

proptest! {
    /// What is written is read, and a frame that is cut short or goes on is refused.
    #[test]
    fn a_message_has_one_encoding(parts in any_parts(), more in any::<u8>()) {
        let message = parts.message();
        let mut bytes = encoded(&message);
        let frame = first_frame(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        prop_assert_eq!(&Message::decode(frame).unwrap(), &message);
        for cut in 0..frame.len() {
            prop_assert!(Message::decode(&frame[..cut]).is_err());
        }
        bytes.push(more);
        prop_assert!(Message::decode(&bytes[4..]).is_err());
    }

    /// Whatever is read is written the same way again: no two frames say the same.
    #[test]
    fn an_altered_frame_is_another_message_or_none(parts in any_parts(), at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let mut bytes = encoded(&parts.message());
        let at = 4 + at.index(bytes.len() - 4);
        bytes[at] ^= bits;
        if let Ok(message) = Message::decode(&bytes[4..])
            && !matches!(&message, Message::Hello(Hello { build, .. }) | Message::Error { build, .. } if build.newest > PROTOCOL_VERSION)
        {
            prop_assert_eq!(encoded(&message), bytes);
        }
    }

    /// Bytes may arrive in any pieces: the same frames come out.
    #[test]
    fn frames_come_out_of_any_pieces(numbers in vec(any::<u64>(), 1..20), pieces in vec(1..40_usize, 1..60)) {
        let mut stream = Vec::new();
        numbers.iter().for_each(|number| { Message::Ping(*number).put(&mut stream); });
        let (mut inbox, mut read, mut rest) = (Inbox::default(), Vec::new(), &stream[..]);
        for piece in pieces.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            rest = later;
            let bytes = inbox.open(now);
            let mut dealt_with = 0;
            while let Some(frame) = first_frame(&bytes[dealt_with..], FRAME_BYTES_MAX).unwrap() {
                dealt_with += 4 + frame.len();
                let Message::Ping(number) = Message::decode(frame).unwrap() else { panic!("a ping was sent") };
                read.push(number);
            }
            inbox.close(bytes, dealt_with);
        }
        prop_assert!(!inbox.has_begun());
        prop_assert_eq!(read, numbers);
    }
}

#[test]
fn a_frame_too_long_is_refused_as_soon_as_its_length_is_there() {
    let length = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
    assert_eq!(first_frame(&length[..3], FRAME_BYTES_MAX).unwrap(), None);
    let error = first_frame(&length, FRAME_BYTES_MAX).unwrap_err();
    assert!(matches!(error, SyncError::FrameTooLarge { bytes, .. } if bytes == FRAME_BYTES_MAX + 1));
}

/// The messages in frames, and the bytes of the longest.
fn read_all(stream: &[u8]) -> (Vec<Message<'_>>, usize) {
    let (mut messages, mut longest, mut at) = (Vec::new(), 0, 0);
    while let Some(frame) = first_frame(&stream[at..], FRAME_BYTES_MAX).unwrap() {
        messages.push(Message::decode(frame).unwrap());
        longest = longest.max(frame.len());
        at += 4 + frame.len();
    }
    assert_eq!(at, stream.len());
    (messages, longest)
}

/// A request is split so that every part fits a frame, and the parts together say the same.
#[test]
fn a_frontier_larger_than_a_frame_goes_out_in_parts() {
    let mut spaces = Heads::new();
    for log in 0..(HEADS_MAX as u128 - 100) {
        let space = SpaceId::from_bytes((log / 50_000).to_be_bytes());
        spaces.entry(space).or_default().advance(LogId::from_bytes(log.to_be_bytes()), head(1, 1));
    }
    spaces.insert(SpaceId::from_bytes([0xff; 16]), Frontier::new());
    let mut stream = Vec::new();
    put_request(&mut stream, 5, &spaces);

    let (messages, longest) = read_all(&stream);
    assert!(messages.len() > 6 && longest <= FRAME_BYTES_MAX, "{} parts, the longest has {longest}", messages.len());
    let mut together = Heads::new();
    let last = messages.len() - 1;
    for (index, message) in messages.into_iter().enumerate() {
        let Message::RequestOps { round: 5, more, spaces } = message else { panic!("{message:?}") };
        assert_eq!(more, index != last);
        spaces.into_iter().for_each(|(space, frontier)| together.entry(space).or_default().merge(&frontier));
    }
    assert!(together == spaces);
}

#[test]
fn identity_entries_are_split_over_frames() {
    let entries: Vec<Vec<u8>> = (1..40).map(|length| vec![7; length * 1000]).collect();
    let borrowed: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let mut stream = Vec::new();
    put_identity(&mut stream, &borrowed, 30_000);
    let (messages, longest) = read_all(&stream);
    assert!(longest <= 39_000 + 16, "an entry over the target has a frame of its own: {longest}");
    let told: Vec<&[u8]> = messages
        .into_iter()
        .flat_map(|message| match message {
            Message::Identity { entries } => entries,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, borrowed);
    put_identity(&mut stream, &[], 30_000);
    assert_eq!(read_all(&stream).1, longest, "nothing to tell is no frame");

    let key = LogKey::User(UserId::from_bytes([1; 16]));
    let named: Vec<(LogKey, &[u8])> = borrowed.iter().map(|entry| (key, *entry)).collect();
    stream.clear();
    put_entries(&mut stream, &named, 30_000);
    let (messages, longest) = read_all(&stream);
    assert!(longest <= 39_000 + 40, "{longest}");
    let last = messages.len() - 1;
    let told = messages.into_iter().enumerate().flat_map(|(index, message)| match message {
        Message::Entries { more, entries } if more == (index != last) => entries,
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), named);
    stream.clear();
    put_entries(&mut stream, &[], 30_000);
    assert_eq!(read_all(&stream).0, [Message::Entries { more: false, entries: vec![] }], "an answer there always is");
}
