//! Changes as they are stored and sent: without what their place in a chain says already.

use super::bytes::{ByteReader, put_slice, put_varint};
use super::header::{ChangeFlags, Dep, DepOrder, HEADER_KIND_OPS, HeaderParts, SEALED_BYTES_MIN, check_max};
use super::limits::{CHANGE_BYTES_MAX, DEPS_MAX, SEGMENTS_MAX};
use super::{ChangeId, Head, LogId, OplogError};

/// The fewest bytes of a packed dep: log, a seq of one byte, id.
const DEP_BYTES_MIN: usize = 16 + 1 + 32;

/// Beside the flags of a header: a kind and an extension follow.
const OTHER_KIND: u8 = 0x10;

/// Where the version of the packing begins among the bits of the flags. This build knows 0 alone.
const PACKING_SHIFT: u32 = 5;

/// A packed change, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedChange<'a> {
    /// What kind of change it is: [`HEADER_KIND_OPS`], or a newer app's.
    pub kind: u8,
    /// What a change of a newer kind says beyond the fields of all.
    pub extension: &'a [u8],
    /// What the change is, beside what it holds.
    pub flags: ChangeFlags,
    /// The epoch whose key sealed it.
    pub epoch: u32,
    /// The nonce it was sealed with.
    pub nonce: [u8; 24],
    /// The heads of other logs that it had seen and its predecessor had not, sorted by log.
    pub deps: Vec<Dep>,
    /// Its sealed segments.
    pub segments: Vec<&'a [u8]>,
}

impl<'a> PackedChange<'a> {
    /// Reads a packed change.
    ///
    /// # Errors
    /// When the bytes are no change, or not the only way to write it, or packed in a newer way.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, OplogError> {
        check_max("bytes of one change", bytes.len(), CHANGE_BYTES_MAX)?;
        let mut reader = ByteReader::new("change", bytes);
        let first = reader.u8()?;
        let version = first >> PACKING_SHIFT;
        if version > 0 {
            return Err(OplogError::Newer { what: "packing of a change", version, known: 0 });
        }
        let flags = ChangeFlags::of_packed(first);
        let (mut kind, mut extension): (u8, &[u8]) = (HEADER_KIND_OPS, &[]);
        if first & OTHER_KIND != 0 {
            (kind, extension) = (reader.u8()?, reader.slice()?);
            if kind == 0 || kind == HEADER_KIND_OPS {
                return Err(reader.malformed("a kind that is not another one"));
            }
        }
        let epoch = reader.varint_u32()?;
        let nonce = reader.array()?;
        let count = reader.count("deps of one change", DEP_BYTES_MIN, DEPS_MAX)?;
        let mut deps = Vec::with_capacity(count);
        let mut order = DepOrder::new(None);
        for _ in 0..count {
            let dep = Dep {
                log: LogId::from_bytes(reader.array()?),
                head: Head { seq: reader.varint()?, id: ChangeId::from_bytes(reader.array()?) },
            };
            order.check(&dep).map_err(|reason| reader.malformed(reason))?;
            deps.push(dep);
        }
        let count = reader.count("segments of one change", 1 + SEALED_BYTES_MIN, SEGMENTS_MAX)?;
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            let sealed = reader.slice()?;
            if sealed.len() < SEALED_BYTES_MIN {
                return Err(reader.malformed("a segment too short to be sealed"));
            }
            segments.push(sealed);
        }
        reader.end()?;
        Ok(Self { kind, extension, flags, epoch, nonce, deps, segments })
    }

    /// The change's only encoding.
    pub fn encode(&self) -> Vec<u8> {
        let body: usize = self.segments.iter().map(|sealed| sealed.len() + 3).sum();
        let mut out = Vec::with_capacity(body + 64 + self.deps.len() * (DEP_BYTES_MIN + 9));
        put_head(&mut out, &self.parts(&[0; 32]));
        for sealed in &self.segments {
            put_slice(&mut out, sealed);
        }
        out
    }

    /// What the change says of its header, if it is sealed under the key with this commitment.
    pub(super) fn parts<'p>(&'p self, commitment: &'p [u8; 32]) -> HeaderParts<'p> {
        HeaderParts {
            kind: self.kind,
            flags: self.flags,
            extension: self.extension,
            epoch: self.epoch,
            commitment,
            nonce: &self.nonce,
            deps: &self.deps,
            segments: self.segments.len(),
        }
    }
}

/// Writes all of a packed change that comes before its segments.
pub(super) fn put_head(out: &mut Vec<u8>, parts: &HeaderParts<'_>) {
    if parts.kind == HEADER_KIND_OPS {
        out.push(parts.flags.as_u8());
    } else {
        out.extend_from_slice(&[parts.flags.as_u8() | OTHER_KIND, parts.kind]);
        put_slice(out, parts.extension);
    }
    put_varint(out, u64::from(parts.epoch));
    out.extend_from_slice(parts.nonce);
    put_varint(out, parts.deps.len() as u64);
    for dep in parts.deps {
        out.extend_from_slice(dep.log.as_bytes());
        put_varint(out, dep.head.seq);
        out.extend_from_slice(dep.head.id.as_bytes());
    }
    put_varint(out, parts.segments as u64);
}
