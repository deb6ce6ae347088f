//! Sealing and opening: compression, then encryption under the space's key.

use std::fmt;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use zeroize::Zeroizing;

use super::bytes::{ByteReader, put_slice, varint_bytes};
use super::header::{ChangeFlags, Dep, Header, HeaderParts, SEALED_BYTES_MIN, check_max};
use super::limits::{CHANGE_BYTES_MAX, COMPRESS_BYTES_MIN, DECOMPRESSION_RATIO_MAX, PAYLOAD_BYTES_MAX};
use super::newest::newest;
use super::packed::put_head;
use super::sign::key_commitment;
use super::{Chain, ChangeId, OplogError};

/// The first byte of a segment's plaintext when its payload follows as it is.
pub const COMPRESSION_NONE: u8 = 0;

/// The first byte of a segment's plaintext when the payload's length and the payload in LZ4's block
/// format follow.
pub const COMPRESSION_LZ4: u8 = 1;

/// The bytes of the authentication tag at the end of a sealed segment.
pub const TAG_BYTES: usize = 16;

/// The secret key of an epoch of a space.
pub struct EpochKey {
    epoch: u32,
    key: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

impl EpochKey {
    /// The key of `epoch`.
    pub fn new(epoch: u32, key: Zeroizing<[u8; 32]>) -> Self {
        let commitment = key_commitment(&key);
        Self { epoch, key, commitment }
    }

    /// The number of the epoch.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The commitment to the key, which every change of the epoch carries.
    pub const fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// The secret itself, to be sealed to another device or wrapped by the vault.
    pub fn secret(&self) -> &[u8; 32] {
        &self.key
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key: &Key = (&*self.key).into();
        XChaCha20Poly1305::new(key)
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// The nonce of segment `index` of a change: the change's, with the index over its last bytes.
fn segment_nonce(mut nonce: [u8; 24], index: u32) -> XNonce {
    for (byte, mask) in nonce[20..].iter_mut().zip(index.to_le_bytes()) {
        *byte ^= mask;
    }
    XNonce::from(nonce)
}

/// Makes changes of segments, and keeps its buffers from one to the next.
#[derive(Default)]
pub struct Sealer {
    table: CompressTable,
    /// A segment's plaintext, then its sealed bytes; only ever grows.
    segment: Vec<u8>,
    associated: Vec<u8>,
}

impl Sealer {
    /// A sealer without buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next change of `chain`, of the payloads of its segments: compresses, seals and hashes
    /// them, advances the chain, and returns the packed change with its id. `nonce` must be random:
    /// one that was used before, even on a device restored from a backup, gives the content away.
    ///
    /// # Errors
    /// When the change would be over a limit, or its deps aren't sorted by log, each once and none of
    /// its own. The chain stays as it was then.
    pub fn seal(
        &mut self,
        chain: &mut Chain,
        flags: ChangeFlags,
        epoch: &EpochKey,
        nonce: &[u8; 24],
        deps: &[Dep],
        payloads: &[&[u8]],
    ) -> Result<(Vec<u8>, ChangeId), OplogError> {
        let nonce = if planted!("use-one-nonce-for-all") { &[0; 24] } else { nonce };
        let parts = HeaderParts {
            kind: newest().kind,
            flags,
            extension: &[],
            epoch: epoch.epoch,
            commitment: &epoch.commitment,
            nonce,
            deps,
            segments: payloads.len(),
        };
        let mut header = Header::begin(chain, &parts)?;
        self.associated.clear();
        self.associated.extend_from_slice(header.prefix());
        let body: usize = payloads.iter().map(|payload| payload.len() + SEALED_BYTES_MIN + 4).sum();
        let mut packed = Vec::with_capacity(body + 48 + 60 * deps.len());
        put_head(&mut packed, &parts);
        let cipher = epoch.cipher();
        for (index, payload) in (0..).zip(payloads) {
            check_max("bytes of one segment", payload.len(), PAYLOAD_BYTES_MAX)?;
            let sealed = self.seal_segment(&cipher, nonce, index, payload)?;
            header.push_segment(sealed);
            put_slice(&mut packed, sealed);
        }
        check_max("bytes of one change", packed.len(), CHANGE_BYTES_MAX)?;
        let id = chain.advance(&header);
        Ok((packed, id))
    }

    fn seal_segment(
        &mut self,
        cipher: &XChaCha20Poly1305,
        nonce: &[u8; 24],
        index: u32,
        payload: &[u8],
    ) -> Result<&[u8], OplogError> {
        let len = self.compress(payload);
        let prefix = self.associated.len();
        self.associated.extend_from_slice(&index.to_le_bytes());
        let (plain, rest) = self.segment.split_at_mut(len);
        let sealed =
            cipher.encrypt_inout_detached(&segment_nonce(*nonce, index), &self.associated, InOutBuf::from(plain));
        self.associated.truncate(prefix);
        // The cipher refuses nothing under 256 GiB.
        let tag = sealed.map_err(|_| OplogError::TooLarge {
            what: "bytes of one segment",
            found: len as u64,
            max: PAYLOAD_BYTES_MAX as u64,
        })?;
        rest[..TAG_BYTES].copy_from_slice(&tag);
        Ok(&self.segment[..len + TAG_BYTES])
    }

    /// Puts a segment's plaintext at the start of the buffer, leaves room for the tag after it, and
    /// returns its length.
    fn compress(&mut self, payload: &[u8]) -> usize {
        let (len, len_bytes) = varint_bytes(payload.len() as u64);
        let head = 1 + len_bytes;
        let room = head + get_maximum_output_size(payload.len()) + TAG_BYTES;
        if self.segment.len() < room {
            self.segment.resize(room, 0);
        }
        if payload.len() >= COMPRESS_BYTES_MIN {
            let compressed = compress_into_with_table(payload, &mut self.segment[head..], &mut self.table);
            if let Ok(compressed) = compressed
                && is_worth_it(compressed, payload.len())
            {
                self.segment[0] = COMPRESSION_LZ4;
                self.segment[1..head].copy_from_slice(&len[..len_bytes]);
                return head + compressed;
            }
        }
        self.segment[0] = COMPRESSION_NONE;
        self.segment[1..=payload.len()].copy_from_slice(payload);
        1 + payload.len()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Whether a payload of `raw` bytes may be kept as `compressed` ones: that must save more than the
/// length it adds, and not look like a decompression bomb.
const fn is_worth_it(compressed: usize, raw: usize) -> bool {
    compressed + 4 < raw && raw <= compressed * DECOMPRESSION_RATIO_MAX
}

/// Opens sealed segments, and keeps its buffers from one to the next.
#[derive(Default)]
pub struct Opener {
    plain: Vec<u8>,
    /// The payload when it was compressed; only ever grows.
    raw: Vec<u8>,
    associated: Vec<u8>,
}

impl Opener {
    /// An opener without buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The payload of segment `index` of the change with this header, of its sealed bytes.
    ///
    /// # Errors
    /// [`OplogError::Newer`] when a newer app wrote it, [`OplogError::WrongKey`] when `epoch` isn't what the change was sealed with,
    /// [`OplogError::Sealed`] when the bytes were altered, or an error of the compressed form.
    pub fn open(
        &mut self,
        epoch: &EpochKey,
        header: &Header,
        index: usize,
        sealed: &[u8],
    ) -> Result<&[u8], OplogError> {
        header.check_known()?;
        let (log, seq) = (header.log(), header.seq());
        if epoch.epoch != header.epoch() || epoch.commitment != header.commitment() {
            return Err(OplogError::WrongKey { log, seq, epoch: header.epoch() });
        }
        let altered = || OplogError::Sealed { log, seq, index };
        check_max("bytes of one segment", sealed.len(), CHANGE_BYTES_MAX)?;
        let (cipher_text, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(altered)?;
        let number = u32::try_from(index).map_err(|_| altered())?;
        self.associated.clear();
        self.associated.extend_from_slice(header.prefix());
        self.associated.extend_from_slice(&number.to_le_bytes());
        self.plain.clear();
        self.plain.extend_from_slice(cipher_text);
        epoch
            .cipher()
            .decrypt_inout_detached(
                &segment_nonce(header.nonce(), number),
                &self.associated,
                InOutBuf::from(self.plain.as_mut_slice()),
                &Tag::from(*tag),
            )
            .map_err(|_| altered())?;
        decompress(&self.plain, &mut self.raw)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

/// The payload in a segment's plaintext, decompressed into `raw` when need be.
fn decompress<'b>(plain: &'b [u8], raw: &'b mut Vec<u8>) -> Result<&'b [u8], OplogError> {
    let mut reader = ByteReader::new("segment", plain);
    match reader.u8()? {
        COMPRESSION_NONE => return reader.take(reader.left()),
        COMPRESSION_LZ4 => {}
        version => return Err(OplogError::Newer { what: "segment's compression", version, known: COMPRESSION_LZ4 }),
    }
    let len = reader.varint()?;
    if len > PAYLOAD_BYTES_MAX as u64 {
        return Err(OplogError::TooLarge { what: "bytes of one segment", found: len, max: PAYLOAD_BYTES_MAX as u64 });
    }
    let len = len as usize;
    let compressed = reader.take(reader.left())?;
    if !is_worth_it(compressed.len(), len) && !planted!("inflate-anything") {
        return Err(reader.malformed("a compressed form that saves too little or too much"));
    }
    if raw.len() < len {
        raw.resize(len, 0);
    }
    match decompress_into(compressed, &mut raw[..len]) {
        Ok(written) if written == len => Ok(&raw[..len]),
        _ => Err(reader.malformed("a compressed form that is not its length's")),
    }
}
