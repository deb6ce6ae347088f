//! The messages of a session and their one encoding: `docs/wire.md` has the tables.
//!
//! A frame is a `u32` length, a `u8` kind and a body, little endian, every number of fixed width: there
//! is no second way to write a message. Decoding refuses what is left over, cut short, out of order,
//! doubled or over a limit before it allocates for it.

use std::collections::BTreeMap;

use super::limits::{
    ENTRY_LOGS_MAX, ENTRY_LOGS_VERSION, FRAME_BYTES_MAX, HEADS_MAX, IDENTITY_IDS_MAX, NAME_BYTES_MAX, PROTOCOL_VERSION,
    SPACES_MAX,
};
use super::{Build, LogKey, SyncError};
use crate::identity::limits::CERTIFICATE_ENTRIES_MAX;
use crate::oplog::bytes::ByteReader;
use crate::oplog::{ChangeId, DeviceId, Frontier, Head, LogId, OplogError, SpaceId, UserId};

/// The bytes of a frame before its body: length and kind.
pub(super) const FRAME_HEAD_BYTES: usize = 5;
/// The bytes of a `SendOps` body before its first run.
pub(super) const SEND_OPS_HEAD_BYTES: usize = 6;
/// The bytes of an `Identity` or `Entries` body before its first entry, at most.
const IDENTITY_HEAD_BYTES: usize = 3;
/// The bytes of an entry's log.
const LOG_KEY_BYTES: usize = 17;
/// The bytes that say how long a run or an entry is.
pub(super) const ITEM_HEAD_BYTES: usize = 4;
/// The bytes of one head in a list of heads.
const HEAD_BYTES: usize = 16 + 8 + 32;
/// The bytes of a space before its heads.
const SPACE_HEAD_BYTES: usize = 16 + 4;

/// A list of heads per space, as it stands in `RequestOps` and `Ack`.
pub(super) type Heads = BTreeMap<SpaceId, Frontier>;

/// The heads of logs of entries.
pub(super) type LogHeads = BTreeMap<LogKey, Vec<[u8; 32]>>;

/// What one peer says to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Who the sender is, and digests of what it knows.
    Hello(Hello<'a>),
    /// Identity entries that the sender has; it asks for the others.
    RequestIdentity { have: Vec<[u8; 32]> },
    /// Identity entries.
    Identity { entries: Vec<&'a [u8]> },
    /// For each log of entries, the heads that the sender has; it asks for the others.
    RequestEntries { have: LogHeads },
    /// Entries; `more` if the next frame goes on with them.
    Entries { more: bool, entries: Vec<(LogKey, &'a [u8])> },
    /// For each space, what the sender holds: it asks for everything beyond, now and later.
    RequestOps { round: u32, more: bool, spaces: Heads },
    /// Runs of changes, encoded.
    SendOps { round: u32, runs: Vec<&'a [u8]> },
    /// `frames` frames of changes are dealt with since the session began, the heads are durable.
    Ack { frames: u64, heads: Heads },
    /// At `head`, the sender has another change of the log than the receiver told of.
    Fork { space: SpaceId, log: LogId, head: Head },
    /// Asks for a `Pong`.
    Ping(u64),
    /// The answer to the `Ping` with this number.
    Pong(u64),
    /// The sender closes, for this reason.
    Error { code: u16, build: Build },
}

/// The first message of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// The sender.
    pub(super) device: DeviceId,
    /// The digest of the user's identity log; zeros to another user's device.
    pub(super) identity: [u8; 32],
    /// The digest of its frontiers of the spaces it shares with the receiver.
    pub(super) holds: [u8; 32],
    /// The identity entries that lead from the user's root key to the sender.
    pub(super) certificate: Vec<&'a [u8]>,
    /// What the sender runs.
    pub(super) build: Build,
    /// The digest of all logs of entries that the receiver may know, as of [`ENTRY_LOGS_VERSION`].
    pub(super) entries: Option<[u8; 32]>,
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const REQUEST_IDENTITY: u8 = 2;
    pub(super) const IDENTITY: u8 = 3;
    pub(super) const REQUEST_OPS: u8 = 4;
    pub(super) const SEND_OPS: u8 = 5;
    pub(super) const ACK: u8 = 6;
    pub(super) const PING: u8 = 7;
    pub(super) const PONG: u8 = 8;
    pub(super) const ERROR: u8 = 9;
    pub(super) const FORK: u8 = 10;
    pub(super) const REQUEST_ENTRIES: u8 = 11;
    pub(super) const ENTRIES: u8 = 12;
}

impl<'a> Message<'a> {
    /// The message's name, for errors.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::RequestIdentity { .. } => "RequestIdentity",
            Self::Identity { .. } => "Identity",
            Self::RequestEntries { .. } => "RequestEntries",
            Self::Entries { .. } => "Entries",
            Self::RequestOps { .. } => "RequestOps",
            Self::SendOps { .. } => "SendOps",
            Self::Ack { .. } => "Ack",
            Self::Fork { .. } => "Fork",
            Self::Ping(_) => "Ping",
            Self::Pong(_) => "Pong",
            Self::Error { .. } => "Error",
        }
    }

    /// Appends the message as a frame and returns the frame's length in bytes.
    pub(super) fn put(&self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        let kind = self.put_body(out);
        finish_frame(out, start, kind)
    }

    fn put_body(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Hello(hello) => {
                put_versions(out, &hello.build);
                out.extend_from_slice(hello.device.as_bytes());
                out.extend_from_slice(&hello.identity);
                out.extend_from_slice(&hello.holds);
                put_items(out, &hello.certificate);
                put_names(out, &hello.build);
                hello.entries.iter().for_each(|digest| out.extend_from_slice(digest));
                kind::HELLO
            }
            Self::RequestIdentity { have } => {
                put_ids(out, have);
                kind::REQUEST_IDENTITY
            }
            Self::Identity { entries } => {
                put_items(out, entries);
                kind::IDENTITY
            }
            Self::RequestEntries { have } => {
                out.extend_from_slice(&(have.len() as u32).to_le_bytes());
                for (key, ids) in have {
                    put_key(out, *key);
                    put_ids(out, ids);
                }
                kind::REQUEST_ENTRIES
            }
            Self::Entries { more, entries } => {
                out.push(u8::from(*more));
                out.extend_from_slice(&(entries.len() as u16).to_le_bytes());
                for (key, entry) in entries {
                    put_key(out, *key);
                    out.extend_from_slice(&(entry.len() as u32).to_le_bytes());
                    out.extend_from_slice(entry);
                }
                kind::ENTRIES
            }
            Self::RequestOps { round, more, spaces } => {
                out.extend_from_slice(&round.to_le_bytes());
                out.push(u8::from(*more));
                put_heads(out, spaces);
                kind::REQUEST_OPS
            }
            Self::SendOps { round, runs } => {
                out.extend_from_slice(&round.to_le_bytes());
                put_items(out, runs);
                kind::SEND_OPS
            }
            Self::Ack { frames, heads } => {
                out.extend_from_slice(&frames.to_le_bytes());
                put_heads(out, heads);
                kind::ACK
            }
            Self::Fork { space, log, head } => {
                out.extend_from_slice(space.as_bytes());
                put_head(out, *log, *head);
                kind::FORK
            }
            Self::Ping(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                kind::PING
            }
            Self::Pong(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                kind::PONG
            }
            Self::Error { code, build } => {
                out.extend_from_slice(&code.to_le_bytes());
                put_versions(out, build);
                put_names(out, build);
                kind::ERROR
            }
        }
    }

    /// Reads the message in a frame without its length prefix.
    pub(super) fn decode(frame: &'a [u8]) -> Result<Self, SyncError> {
        let mut reader = ByteReader::new("frame", frame);
        let message = Self::read(&mut reader).and_then(|message| {
            // What newer builds say to builds of any age may be longer.
            match &message {
                Self::Hello(Hello { build, .. }) | Self::Error { build, .. } if build.newest > PROTOCOL_VERSION => {}
                _ => reader.end()?,
            }
            Ok(message)
        });
        message.map_err(|source| SyncError::Malformed { source })
    }

    fn read(reader: &mut ByteReader<'a>) -> Result<Self, OplogError> {
        Ok(match reader.u8()? {
            kind::HELLO => {
                let versions = read_versions(reader)?;
                Self::Hello(Hello {
                    device: DeviceId::from_bytes(reader.array()?),
                    identity: reader.array()?,
                    holds: reader.array()?,
                    certificate: read_items(reader, "entries of a certificate", CERTIFICATE_ENTRIES_MAX)?,
                    build: read_build(reader, versions)?,
                    entries: if versions.0 < ENTRY_LOGS_VERSION { None } else { Some(reader.array()?) },
                })
            }
            kind::REQUEST_IDENTITY => Self::RequestIdentity { have: read_ids(reader)? },
            kind::IDENTITY => Self::Identity { entries: read_some_items(reader, "identity entries")? },
            kind::REQUEST_OPS => {
                Self::RequestOps { round: reader.u32()?, more: read_flag(reader)?, spaces: read_heads(reader)? }
            }
            kind::SEND_OPS => Self::SendOps { round: reader.u32()?, runs: read_some_items(reader, "runs")? },
            kind::ACK => Self::Ack { frames: reader.u64()?, heads: read_heads(reader)? },
            kind::FORK => {
                let space = SpaceId::from_bytes(reader.array()?);
                let (log, head) = read_head(reader)?;
                Self::Fork { space, log, head }
            }
            kind::REQUEST_ENTRIES => Self::RequestEntries { have: read_log_heads(reader)? },
            kind::ENTRIES => Self::Entries { more: read_flag(reader)?, entries: read_entries(reader)? },
            kind::PING => Self::Ping(reader.u64()?),
            kind::PONG => Self::Pong(reader.u64()?),
            kind::ERROR => {
                let (code, versions) = (reader.u16()?, read_versions(reader)?);
                Self::Error { code, build: read_build(reader, versions)? }
            }
            _ => return Err(reader.malformed("a kind of message that this version does not know")),
        })
    }
}

/// Writes the head of the frame that began at `start`, and returns the frame's length in bytes.
fn finish_frame(out: &mut [u8], start: usize, kind: u8) -> usize {
    let bytes = out.len() - start;
    debug_assert!(bytes - 4 <= FRAME_BYTES_MAX, "a frame of {bytes} bytes was prepared");
    out[start..start + 4].copy_from_slice(&((bytes - 4) as u32).to_le_bytes());
    out[start + 4] = kind;
    bytes
}

/// Splits identity entries over as many `Identity` frames as they need; none need none.
pub(super) fn put_identity(out: &mut Vec<u8>, entries: &[&[u8]], bytes_target: usize) {
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = IDENTITY_HEAD_BYTES;
        let fitting = rest.iter().take(usize::from(u16::MAX)).take_while(|entry| {
            bytes += ITEM_HEAD_BYTES + entry.len();
            bytes <= bytes_target
        });
        let (now, later) = rest.split_at(fitting.count().max(1));
        Message::Identity { entries: now.to_vec() }.put(out);
        rest = later;
    }
}

/// Splits entries over as many `Entries` frames as they need, of which the last says that it is; there is always one,
/// since it is an answer.
pub(super) fn put_entries(out: &mut Vec<u8>, entries: &[(LogKey, &[u8])], bytes_target: usize) {
    let mut rest = entries;
    loop {
        let mut bytes = IDENTITY_HEAD_BYTES;
        let fitting = rest.iter().take(usize::from(u16::MAX)).take_while(|(_, entry)| {
            bytes += LOG_KEY_BYTES + ITEM_HEAD_BYTES + entry.len();
            bytes <= bytes_target
        });
        let (now, later) = rest.split_at(fitting.count().max(1).min(rest.len()));
        Message::Entries { more: !later.is_empty(), entries: now.to_vec() }.put(out);
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

/// Splits a request over as many `RequestOps` frames as its heads need.
pub(super) fn put_request(out: &mut Vec<u8>, round: u32, spaces: &Heads) {
    const ROOM: usize = FRAME_BYTES_MAX - FRAME_HEAD_BYTES - 16;
    let mut part = Heads::new();
    let mut bytes = 0;
    for (space, frontier) in spaces {
        bytes += SPACE_HEAD_BYTES;
        part.insert(*space, Frontier::default());
        for (log, head) in frontier.iter() {
            if bytes + HEAD_BYTES > ROOM || part.len() > SPACES_MAX {
                Message::RequestOps { round, more: true, spaces: std::mem::take(&mut part) }.put(out);
                bytes = SPACE_HEAD_BYTES;
            }
            bytes += HEAD_BYTES;
            part.entry(*space).or_default().advance(log, head);
        }
    }
    Message::RequestOps { round, more: false, spaces: part }.put(out);
}

/// The newest and the oldest version of the protocol that a build speaks.
fn put_versions(out: &mut Vec<u8>, build: &Build) {
    out.extend_from_slice(&build.newest.to_le_bytes());
    out.extend_from_slice(&build.oldest.to_le_bytes());
}

fn put_names(out: &mut Vec<u8>, build: &Build) {
    for name in [&build.cfost, &build.app] {
        debug_assert!(name.len() <= NAME_BYTES_MAX);
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
    }
}

fn read_versions(reader: &mut ByteReader<'_>) -> Result<(u16, u16), OplogError> {
    let (newest, oldest) = (reader.u16()?, reader.u16()?);
    if oldest > newest { Err(reader.malformed("an oldest version above the newest")) } else { Ok((newest, oldest)) }
}

fn read_build(reader: &mut ByteReader<'_>, (newest, oldest): (u16, u16)) -> Result<Build, OplogError> {
    Ok(Build { newest, oldest, cfost: read_name(reader)?, app: read_name(reader)? })
}

/// A name that can be shown and logged.
fn read_name(reader: &mut ByteReader<'_>) -> Result<String, OplogError> {
    let len = u64::from(reader.u8()?);
    let len = reader.check_count("bytes of a version's name", len, 1, NAME_BYTES_MAX)?;
    let name = std::str::from_utf8(reader.take(len)?).map_err(|_| reader.malformed("a name that isn't UTF-8"))?;
    if name.chars().any(char::is_control) {
        return Err(reader.malformed("a name with a control character"));
    }
    Ok(name.to_owned())
}

fn put_items(out: &mut Vec<u8>, items: &[&[u8]]) {
    out.extend_from_slice(&(items.len() as u16).to_le_bytes());
    for item in items {
        out.extend_from_slice(&(item.len() as u32).to_le_bytes());
        out.extend_from_slice(item);
    }
}

/// Items of which there is at least one.
fn read_some_items<'a>(reader: &mut ByteReader<'a>, what: &'static str) -> Result<Vec<&'a [u8]>, OplogError> {
    let items = read_items(reader, what, usize::from(u16::MAX))?;
    if items.is_empty() { Err(reader.malformed("a message without content")) } else { Ok(items) }
}

fn read_items<'a>(reader: &mut ByteReader<'a>, what: &'static str, max: usize) -> Result<Vec<&'a [u8]>, OplogError> {
    let found = u64::from(reader.u16()?);
    let count = reader.check_count(what, found, ITEM_HEAD_BYTES, max)?;
    (0..count)
        .map(|_| {
            let len = reader.u32()? as usize;
            reader.take(len)
        })
        .collect()
}

fn put_key(out: &mut Vec<u8>, key: LogKey) {
    let (kind, id) = match &key {
        LogKey::User(user) => (1, user.as_bytes()),
        LogKey::Space(space) => (2, space.as_bytes()),
    };
    out.push(kind);
    out.extend_from_slice(id);
}

fn read_key(reader: &mut ByteReader<'_>) -> Result<LogKey, OplogError> {
    Ok(match reader.u8()? {
        1 => LogKey::User(UserId::from_bytes(reader.array()?)),
        2 => LogKey::Space(SpaceId::from_bytes(reader.array()?)),
        _ => return Err(reader.malformed("entries of a kind of log that this version does not know")),
    })
}

fn put_ids(out: &mut Vec<u8>, ids: &[[u8; 32]]) {
    out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
    ids.iter().for_each(|id| out.extend_from_slice(id));
}

fn read_ids(reader: &mut ByteReader<'_>) -> Result<Vec<[u8; 32]>, OplogError> {
    let found = u64::from(reader.u32()?);
    let count = reader.check_count("ids of identity entries", found, 32, IDENTITY_IDS_MAX)?;
    let ids = (0..count).map(|_| reader.array()).collect::<Result<Vec<_>, _>>()?;
    if ids.is_sorted_by(|a, b| a < b) { Ok(ids) } else { Err(reader.malformed("ids out of order or doubled")) }
}

fn read_log_heads(reader: &mut ByteReader<'_>) -> Result<LogHeads, OplogError> {
    let found = u64::from(reader.u32()?);
    let count = reader.check_count("logs of entries", found, LOG_KEY_BYTES + 4, ENTRY_LOGS_MAX)?;
    let mut have = LogHeads::new();
    for _ in 0..count {
        let key = read_key(reader)?;
        if have.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(reader.malformed("logs out of order or doubled"));
        }
        have.insert(key, read_ids(reader)?);
    }
    Ok(have)
}

fn read_entries<'a>(reader: &mut ByteReader<'a>) -> Result<Vec<(LogKey, &'a [u8])>, OplogError> {
    let found = u64::from(reader.u16()?);
    let count = reader.check_count("entries", found, LOG_KEY_BYTES + ITEM_HEAD_BYTES, usize::from(u16::MAX))?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let key = read_key(reader)?;
        let len = reader.u32()? as usize;
        entries.push((key, reader.take(len)?));
    }
    Ok(entries)
}

fn read_flag(reader: &mut ByteReader<'_>) -> Result<bool, OplogError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.malformed("a flag that is neither 0 nor 1")),
    }
}

fn put_heads(out: &mut Vec<u8>, spaces: &Heads) {
    out.extend_from_slice(&(spaces.len() as u16).to_le_bytes());
    for (space, frontier) in spaces {
        out.extend_from_slice(space.as_bytes());
        out.extend_from_slice(&(frontier.len() as u32).to_le_bytes());
        for (log, head) in frontier.iter() {
            put_head(out, log, head);
        }
    }
}

fn put_head(out: &mut Vec<u8>, log: LogId, head: Head) {
    out.extend_from_slice(log.as_bytes());
    out.extend_from_slice(&head.seq.to_le_bytes());
    out.extend_from_slice(head.id.as_bytes());
}

fn read_head(reader: &mut ByteReader<'_>) -> Result<(LogId, Head), OplogError> {
    let log = LogId::from_bytes(reader.array()?);
    let head = Head { seq: reader.u64()?, id: ChangeId::from_bytes(reader.array()?) };
    if head.seq == 0 { Err(reader.malformed("a head of no change")) } else { Ok((log, head)) }
}

fn read_heads(reader: &mut ByteReader<'_>) -> Result<Heads, OplogError> {
    let found = u64::from(reader.u16()?);
    let count = reader.check_count("spaces", found, SPACE_HEAD_BYTES, SPACES_MAX)?;
    let mut spaces = Heads::new();
    for _ in 0..count {
        let space = SpaceId::from_bytes(reader.array()?);
        if spaces.last_key_value().is_some_and(|(last, _)| *last >= space) {
            return Err(reader.malformed("spaces out of order or doubled"));
        }
        let found = u64::from(reader.u32()?);
        let heads = reader.check_count("heads", found, HEAD_BYTES, HEADS_MAX)?;
        let mut frontier = Frontier::default();
        let mut last = None;
        for _ in 0..heads {
            let (log, head) = read_head(reader)?;
            if last.replace(log).is_some_and(|last| last >= log) {
                return Err(reader.malformed("logs out of order or doubled"));
            }
            frontier.advance(log, head);
        }
        spaces.insert(space, frontier);
    }
    Ok(spaces)
}

/// A digest of frontiers: equal on two replicas that hold the same changes of the same spaces.
pub(super) fn digest_of(spaces: &Heads) -> [u8; 32] {
    let mut encoded = Vec::new();
    put_heads(&mut encoded, spaces);
    blake3::derive_key("cfost frontiers v1", &encoded)
}

/// Bytes of a stream until they are whole frames.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// What was not a whole frame last time, with `input` behind it.
    pub(super) fn open(&mut self, input: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(input);
        bytes
    }

    /// Keeps `bytes` without the frames in front that have been dealt with.
    pub(super) fn close(&mut self, mut bytes: Vec<u8>, dealt_with: usize) {
        bytes.drain(..dealt_with);
        self.bytes = bytes;
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn has_begun(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// The first frame in `bytes` without its length prefix; `None` when it isn't whole. `frame_bytes_max`
/// is checked as soon as the length is there, so that no more than that is ever waited for.
pub(super) fn first_frame(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<&[u8]>, SyncError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let bytes = u32::from_le_bytes(*length) as usize;
    if bytes > frame_bytes_max && !planted!("wait-for-any-length") {
        return Err(SyncError::FrameTooLarge { bytes, max: frame_bytes_max });
    }
    Ok(rest.get(..bytes))
}
