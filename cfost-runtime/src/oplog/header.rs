//! The header of a change: what is hashed, chained and signed.

use super::bytes::ByteReader;
use super::limits::{CHANGE_BYTES_MAX, DEPS_MAX, SEGMENTS_MAX};
use super::newest::newest;
use super::sign::change_id;
use super::{Chain, ChangeId, Head, LogId, OplogError, SpaceId};

/// The version of the header's layout, its first byte.
pub const HEADER_VERSION: u8 = 1;

/// The suite of algorithms: Ed25519, BLAKE3, XChaCha20-Poly1305.
pub const HEADER_SUITE: u8 = 1;

/// The kind of changes that hold ops. A change of another kind says more than this one does: its header has an
/// extension, which is hashed with it.
pub const HEADER_KIND_OPS: u8 = 1;

/// Where the fields of a header begin, in bytes.
mod offset {
    pub(super) const KIND: usize = 2;
    pub(super) const FLAGS: usize = 3;
    pub(super) const SPACE: usize = 4;
    pub(super) const AUTHOR: usize = 20;
    pub(super) const LOG: usize = 52;
    pub(super) const SEQ: usize = 68;
    pub(super) const PREVIOUS: usize = 76;
    pub(super) const EPOCH: usize = 108;
    pub(super) const COMMITMENT: usize = 112;
    pub(super) const NONCE: usize = 144;
    pub(super) const DEPS_COUNT: usize = 168;
    pub(super) const SEGMENTS_COUNT: usize = 170;
    pub(super) const DEPS: usize = 172;
}

/// The bytes of a dep in a header: log, seq, id.
pub const HEADER_DEP_BYTES: usize = 16 + 8 + 32;

/// The bytes of a segment in a header: the length and the hash of its sealed bytes.
pub const HEADER_SEGMENT_BYTES: usize = 4 + 32;

/// The bytes that say how long a header's extension is.
const EXTENSION_HEAD_BYTES: usize = 4;

/// The fewest bytes of a sealed segment: its compression byte and the authentication tag.
pub const SEALED_BYTES_MIN: usize = 1 + 16;

/// The bits of the flags that are hashed. The others concern the packing, and are no part of a header.
const FLAGS_MASK: u8 = 0x0f;

/// The flags of a change. Those that this build doesn't know are kept: they are hashed with the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeFlags(u8);

impl ChangeFlags {
    /// A change that is a whole transaction, or the last part of one.
    pub const NONE: Self = Self(0);
    /// The next change of the log belongs to the same transaction: they are shown together, or not yet.
    pub const CONTINUES: Self = Self(1);

    /// Whether the next change of the log belongs to the same transaction.
    pub const fn continues(self) -> bool {
        self.0 & Self::CONTINUES.0 != 0
    }

    pub(super) const fn as_u8(self) -> u8 {
        self.0
    }

    /// The flags of a header; `None` if a bit is set that none has.
    pub(super) const fn from_u8(byte: u8) -> Option<Self> {
        if byte & !FLAGS_MASK == 0 { Some(Self(byte)) } else { None }
    }

    /// The flags in a byte that has other bits too.
    pub(super) const fn of_packed(byte: u8) -> Self {
        Self(byte & FLAGS_MASK)
    }

    /// Whether there is no flag but `known` ones.
    const fn is_within(self, known: Self) -> bool {
        self.0 & !known.0 == 0
    }
}

/// The head of another log that a change had seen and its predecessor had not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dep {
    /// The other log.
    pub log: LogId,
    /// Its newest change then.
    pub head: Head,
}

/// A header in its canonical bytes, which always are a valid header.
///
/// The bytes are made to be hashed, and never stored or sent: whoever has a
/// [`PackedChange`](super::PackedChange) and knows the chain it belongs to makes them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    deps: usize,
    /// The bytes of the extension, with its length.
    extension: usize,
    segments: usize,
}

/// What a header is made of beyond its place in the chain.
pub(super) struct HeaderParts<'a> {
    pub(super) kind: u8,
    pub(super) flags: ChangeFlags,
    pub(super) extension: &'a [u8],
    pub(super) epoch: u32,
    pub(super) commitment: &'a [u8; 32],
    pub(super) nonce: &'a [u8; 24],
    pub(super) deps: &'a [Dep],
    pub(super) segments: usize,
}

impl Header {
    /// The header of the change that follows `chain`, still without its segments:
    /// [`Header::push_segment`] adds them.
    pub(super) fn begin(chain: &Chain, parts: &HeaderParts<'_>) -> Result<Self, OplogError> {
        check_deps(chain.log, parts.deps)?;
        check_max("segments of one change", parts.segments, SEGMENTS_MAX)?;
        let seq = chain.next_seq()?;
        check_max("bytes of one change", parts.extension.len(), CHANGE_BYTES_MAX)?;
        let extension = if parts.kind == HEADER_KIND_OPS { 0 } else { EXTENSION_HEAD_BYTES + parts.extension.len() };
        let len =
            offset::DEPS + parts.deps.len() * HEADER_DEP_BYTES + extension + parts.segments * HEADER_SEGMENT_BYTES;
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&[HEADER_VERSION, HEADER_SUITE, parts.kind, parts.flags.as_u8()]);
        bytes.extend_from_slice(chain.space.as_bytes());
        bytes.extend_from_slice(&chain.author);
        bytes.extend_from_slice(chain.log.as_bytes());
        bytes.extend_from_slice(&seq.to_le_bytes());
        bytes.extend_from_slice(chain.head.id.as_bytes());
        bytes.extend_from_slice(&parts.epoch.to_le_bytes());
        bytes.extend_from_slice(parts.commitment);
        bytes.extend_from_slice(parts.nonce);
        bytes.extend_from_slice(&(parts.deps.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(parts.segments as u16).to_le_bytes());
        for dep in parts.deps {
            bytes.extend_from_slice(dep.log.as_bytes());
            bytes.extend_from_slice(&dep.head.seq.to_le_bytes());
            bytes.extend_from_slice(dep.head.id.as_bytes());
        }
        if extension > 0 {
            bytes.extend_from_slice(&(parts.extension.len() as u32).to_le_bytes());
            bytes.extend_from_slice(parts.extension);
        }
        Ok(Self { bytes, deps: parts.deps.len(), extension, segments: parts.segments })
    }

    /// Adds the length and the hash of the next segment, as it is sealed.
    pub(super) fn push_segment(&mut self, sealed: &[u8]) {
        self.bytes.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(blake3::hash(sealed).as_bytes());
    }

    /// Reads a header in canonical bytes: two of the same log and seq, both signed, prove a fork.
    ///
    /// # Errors
    /// When the bytes are no header, or not the only way to write it.
    pub fn decode(bytes: &[u8]) -> Result<Self, OplogError> {
        let mut reader = ByteReader::new("header", bytes);
        for (what, known) in [("header", HEADER_VERSION), ("header's suite", HEADER_SUITE)] {
            match reader.u8()? {
                version if version > known => return Err(OplogError::Newer { what, version, known }),
                0 => return Err(reader.malformed("a version that never was")),
                _ => {}
            }
        }
        let kind = reader.u8()?;
        if kind == 0 {
            return Err(reader.malformed("a kind that never was"));
        }
        if ChangeFlags::from_u8(reader.u8()?).is_none() {
            return Err(reader.malformed("an unknown flag"));
        }
        reader.take(16 + 32)?;
        let log = LogId::from_bytes(reader.array()?);
        let seq = reader.u64()?;
        let previous = ChangeId::from_bytes(reader.array()?);
        if seq == 0 || (seq == 1) != (previous == ChangeId::NONE) {
            return Err(reader.malformed("a sequence number that doesn't fit the previous change"));
        }
        reader.take(4 + 32 + 24)?;
        let deps = u64::from(reader.u16()?);
        let segments = u64::from(reader.u16()?);
        let deps = reader.check_count("deps of one change", deps, HEADER_DEP_BYTES, DEPS_MAX)?;
        let mut order = DepOrder::new(Some(log));
        for _ in 0..deps {
            let dep = Dep {
                log: LogId::from_bytes(reader.array()?),
                head: Head { seq: reader.u64()?, id: ChangeId::from_bytes(reader.array()?) },
            };
            order.check(&dep).map_err(|reason| reader.malformed(reason))?;
        }
        let extension = if kind == HEADER_KIND_OPS { 0 } else { read_extension(&mut reader)? };
        let segments = reader.check_count("segments of one change", segments, HEADER_SEGMENT_BYTES, SEGMENTS_MAX)?;
        let mut total = 0;
        for _ in 0..segments {
            let len = reader.u32()? as usize;
            if len < SEALED_BYTES_MIN {
                return Err(reader.malformed("a segment too short to be sealed"));
            }
            total += len;
            check_max("bytes of one change", total, CHANGE_BYTES_MAX)?;
            reader.take(32)?;
        }
        reader.end()?;
        Ok(Self { bytes: bytes.to_vec(), deps, extension, segments })
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The change's id: the hash of these bytes.
    pub fn id(&self) -> ChangeId {
        change_id(&self.bytes)
    }

    /// That this build knows what the change is. One of a newer app is verified, kept and relayed like any other,
    /// and waits for that app.
    ///
    /// # Errors
    /// [`OplogError::Newer`] for a kind or a flag beyond those known.
    pub fn check_known(&self) -> Result<(), OplogError> {
        let (kind, newest) = (self.kind(), newest());
        if kind > newest.kind {
            return Err(OplogError::Newer { what: "kind of a change", version: kind, known: newest.kind });
        }
        if !self.flags().is_within(newest.flags) {
            let (version, known) = (self.flags().as_u8(), newest.flags.as_u8());
            return Err(OplogError::Newer { what: "set of flags of a change", version, known });
        }
        Ok(())
    }

    /// What kind of change it is: [`HEADER_KIND_OPS`], or a newer app's.
    pub fn kind(&self) -> u8 {
        self.bytes[offset::KIND]
    }

    /// What a change of a newer kind says beyond the fields of all; empty for one of [`HEADER_KIND_OPS`].
    pub fn extension(&self) -> &[u8] {
        let end = self.prefix_len();
        self.bytes.get(end - self.extension + EXTENSION_HEAD_BYTES..end).unwrap_or_default()
    }

    /// What the change is, beside what it holds.
    pub fn flags(&self) -> ChangeFlags {
        ChangeFlags(self.bytes[offset::FLAGS])
    }

    /// The space that the change belongs to.
    pub fn space(&self) -> SpaceId {
        SpaceId::from_bytes(self.array_at(offset::SPACE))
    }

    /// The signing key of the device that made the change.
    pub fn author(&self) -> [u8; 32] {
        self.array_at(offset::AUTHOR)
    }

    /// The log that the change belongs to.
    pub fn log(&self) -> LogId {
        LogId::from_bytes(self.array_at(offset::LOG))
    }

    /// The change's number in its log, from 1.
    pub fn seq(&self) -> u64 {
        u64::from_le_bytes(self.array_at(offset::SEQ))
    }

    /// The change before it in its log, [`ChangeId::NONE`] for the first.
    pub fn previous(&self) -> ChangeId {
        ChangeId::from_bytes(self.array_at(offset::PREVIOUS))
    }

    /// The epoch whose key sealed the change.
    pub fn epoch(&self) -> u32 {
        u32::from_le_bytes(self.array_at(offset::EPOCH))
    }

    /// The commitment to that key.
    pub fn commitment(&self) -> [u8; 32] {
        self.array_at(offset::COMMITMENT)
    }

    /// The nonce that the change was sealed with.
    pub fn nonce(&self) -> [u8; 24] {
        self.array_at(offset::NONCE)
    }

    /// The heads of other logs that the change had seen and its predecessor had not, sorted by log.
    pub fn deps(&self) -> impl ExactSizeIterator<Item = Dep> + '_ {
        (0..self.deps).map(|index| {
            let at = offset::DEPS + index * HEADER_DEP_BYTES;
            Dep {
                log: LogId::from_bytes(self.array_at(at)),
                head: Head {
                    seq: u64::from_le_bytes(self.array_at(at + 16)),
                    id: ChangeId::from_bytes(self.array_at(at + 24)),
                },
            }
        })
    }

    /// How many segments the change has.
    pub const fn segments(&self) -> usize {
        self.segments
    }

    /// The length and the hash of a segment's sealed bytes.
    pub fn segment(&self, index: usize) -> Option<(u32, [u8; 32])> {
        let at = self.prefix_len() + index * HEADER_SEGMENT_BYTES;
        (index < self.segments).then(|| (u32::from_le_bytes(self.array_at(at)), self.array_at(at + 4)))
    }

    /// All but the segments: what their sealing authenticates.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[..self.prefix_len()]
    }

    const fn prefix_len(&self) -> usize {
        offset::DEPS + self.deps * HEADER_DEP_BYTES + self.extension
    }

    fn array_at<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }
}

/// The length of an extension: it and its length in 4 bytes.
fn read_extension(reader: &mut ByteReader<'_>) -> Result<usize, OplogError> {
    let len = reader.u32()? as usize;
    check_max("bytes of one change", len, CHANGE_BYTES_MAX)?;
    reader.take(len)?;
    Ok(EXTENSION_HEAD_BYTES + len)
}

/// Checks, one after the other, that deps are in the only order there is, and not on the change's own
/// log as far as that is known.
pub(super) struct DepOrder {
    own: Option<LogId>,
    last: Option<LogId>,
}

impl DepOrder {
    pub(super) const fn new(own: Option<LogId>) -> Self {
        Self { own, last: None }
    }

    pub(super) fn check(&mut self, dep: &Dep) -> Result<(), &'static str> {
        if self.own == Some(dep.log) {
            return Err("a dep on the change's own log");
        }
        if self.last.is_some_and(|last| last >= dep.log) {
            return Err("deps that aren't sorted by log, each once");
        }
        if dep.head.seq == 0 {
            return Err("a dep on a change that can't be");
        }
        self.last = Some(dep.log);
        Ok(())
    }
}

fn check_deps(own: LogId, deps: &[Dep]) -> Result<(), OplogError> {
    check_max("deps of one change", deps.len(), DEPS_MAX)?;
    let mut order = DepOrder::new(Some(own));
    for (at, dep) in deps.iter().enumerate() {
        order.check(dep).map_err(|reason| OplogError::Malformed { what: "list of deps", at, reason })?;
    }
    Ok(())
}

pub(super) fn check_max(what: &'static str, found: usize, max: usize) -> Result<(), OplogError> {
    if found > max { Err(OplogError::TooLarge { what, found: found as u64, max: max as u64 }) } else { Ok(()) }
}

/// That the offsets are those of fields one after the other.
const _: () = {
    assert!(offset::FLAGS == offset::KIND + 1 && offset::SPACE == offset::FLAGS + 1);
    assert!(offset::AUTHOR == offset::SPACE + 16 && offset::LOG == offset::AUTHOR + 32);
    assert!(offset::SEQ == offset::LOG + 16 && offset::PREVIOUS == offset::SEQ + 8);
    assert!(offset::EPOCH == offset::PREVIOUS + 32 && offset::COMMITMENT == offset::EPOCH + 4);
    assert!(offset::NONCE == offset::COMMITMENT + 32 && offset::DEPS_COUNT == offset::NONCE + 24);
    assert!(offset::SEGMENTS_COUNT == offset::DEPS_COUNT + 2 && offset::DEPS == offset::SEGMENTS_COUNT + 2);
    assert!(DEPS_MAX <= u16::MAX as usize);
    assert!(SEGMENTS_MAX <= u16::MAX as usize);
    assert!(CHANGE_BYTES_MAX <= u32::MAX as usize);
};
