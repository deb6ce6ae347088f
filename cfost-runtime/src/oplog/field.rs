//! Sealing one value of one row, under the key of a space that need not be the row's.
//!
//! A sealed field is bytes like any others to whoever lacks the key: they are merged, kept and passed on. The row, the
//! table and the column are bound in, so that a value opens in its own place only. `docs/security.md` has the table.

use std::fmt;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::bytes::{ByteReader, put_slice};
use super::{EpochKey, OplogError, SpaceId, TAG_BYTES};

/// The version of the layout of a sealed field.
pub const SEALED_FIELD_VERSION: u8 = 1;

/// The BLAKE3 derive-key context of the key that seals the fields of an epoch.
pub const FIELD_KEY_CONTEXT: &str = "cfost field key v1";

/// What a sealed field begins with, and is associated with it: version, space, epoch.
const HEAD_BYTES: usize = 1 + 16 + 4;

const NONCE_BYTES: usize = 24;

/// What sealing adds to a value.
pub const SEALED_FIELD_OVERHEAD: usize = HEAD_BYTES + NONCE_BYTES + TAG_BYTES;

/// The key that seals fields in an epoch of a space.
pub struct FieldKey {
    of: FieldEpoch,
    key: Zeroizing<[u8; 32]>,
}

/// Where a field is: a value that was sealed for one place opens in no other.
#[derive(Clone, Copy, Debug)]
pub struct FieldPlace<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The row's id.
    pub row: &'a Uuid,
    /// What ops call the column.
    pub column: &'a str,
}

/// Whose key opens a sealed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldEpoch {
    /// The space.
    pub space: SpaceId,
    /// The epoch of its key.
    pub epoch: u32,
}

impl FieldKey {
    /// The key for the fields of an epoch of `space`.
    pub fn of(space: SpaceId, epoch: &EpochKey) -> Self {
        let key = Zeroizing::new(blake3::derive_key(FIELD_KEY_CONTEXT, epoch.secret()));
        Self { of: FieldEpoch { space, epoch: epoch.epoch() }, key }
    }

    /// Which fields it opens.
    pub const fn epoch(&self) -> FieldEpoch {
        self.of
    }

    /// Seals the bytes of a value. `nonce` must be random.
    ///
    /// # Errors
    /// When there are more bytes than the cipher takes, 256 GiB.
    pub fn seal(&self, place: FieldPlace<'_>, nonce: &[u8; 24], plain: &[u8]) -> Result<Vec<u8>, OplogError> {
        let mut sealed = Vec::with_capacity(SEALED_FIELD_OVERHEAD + plain.len());
        sealed.push(SEALED_FIELD_VERSION);
        sealed.extend_from_slice(self.of.space.as_bytes());
        sealed.extend_from_slice(&self.of.epoch.to_le_bytes());
        let associated = associated(&sealed, place);
        sealed.extend_from_slice(nonce);
        sealed.extend_from_slice(plain);
        let body = InOutBuf::from(&mut sealed[HEAD_BYTES + NONCE_BYTES..]);
        let tag = self.cipher().encrypt_inout_detached(&XNonce::from(*nonce), &associated, body);
        let found = plain.len() as u64;
        let tag = tag.map_err(|_| OplogError::TooLarge { what: "bytes of one field", found, max: 1 << 38 })?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// The bytes of the value that was sealed for this place; `None` if it was sealed for another one, or altered.
    pub fn open(&self, place: FieldPlace<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (head, rest) = sealed.split_at_checked(HEAD_BYTES)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut plain = Zeroizing::new(body.to_vec());
        let buffer = InOutBuf::from(plain.as_mut_slice());
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        self.cipher().decrypt_inout_detached(&nonce, &associated(head, place), buffer, &tag).ok()?;
        Some(plain)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key: &Key = (&*self.key).into();
        XChaCha20Poly1305::new(key)
    }
}

impl fmt::Debug for FieldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FieldKey").field(&self.of).finish()
    }
}

/// Whose key opens a sealed field.
///
/// # Errors
/// [`OplogError::Newer`] when a newer app sealed it, [`OplogError::Malformed`] when the bytes are no sealed field.
pub fn field_epoch(sealed: &[u8]) -> Result<FieldEpoch, OplogError> {
    let mut reader = ByteReader::new("sealed field", sealed);
    match reader.u8()? {
        SEALED_FIELD_VERSION => {}
        0 => return Err(reader.malformed("a field that is not sealed")),
        version => return Err(OplogError::Newer { what: "sealed field", version, known: SEALED_FIELD_VERSION }),
    }
    let space = SpaceId::from_bytes(reader.array()?);
    let epoch = reader.u32()?;
    if reader.left() < NONCE_BYTES + TAG_BYTES {
        return Err(reader.malformed("a sealed field that is cut off"));
    }
    Ok(FieldEpoch { space, epoch })
}

/// What is bound to a sealed field: what it begins with, and its place.
fn associated(head: &[u8], place: FieldPlace<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + 16 + place.table.len() + place.column.len() + 4);
    bytes.extend_from_slice(head);
    if planted!("open-a-field-in-any-row") {
        return bytes;
    }
    bytes.extend_from_slice(place.row.as_bytes());
    put_slice(&mut bytes, place.table.as_bytes());
    put_slice(&mut bytes, place.column.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0007);
    const PLACE: FieldPlace<'_> = FieldPlace { table: "visits", row: &ROW, column: "note" };

    fn key(space: u8, epoch: u32) -> FieldKey {
        FieldKey::of(SpaceId::from_bytes([space; 16]), &EpochKey::new(epoch, Zeroizing::new([3; 32])))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What `docs/security.md` shows: a build that seals otherwise can't read what others have sealed.
    #[test]
    fn the_layout_of_a_sealed_field_is_pinned() {
        let sealed = key(2, 1).seal(PLACE, &[5; 24], b"\x03\x02hi").unwrap();
        assert_eq!(sealed.len(), SEALED_FIELD_OVERHEAD + 4);
        let nonce = "05".repeat(24);
        assert_eq!(hex(&sealed), format!("01{}01000000{nonce}{}", "02".repeat(16), VECTOR));
        assert_eq!(field_epoch(&sealed).unwrap(), key(2, 1).epoch());
        assert_eq!(key(2, 1).open(PLACE, &sealed).unwrap().as_slice(), b"\x03\x02hi");
    }

    /// The sealed value and its tag.
    const VECTOR: &str = "65d301ab85f4e47c7828deacd9c5a1ba2057e74d";

    #[test]
    fn a_sealed_field_opens_in_its_own_place_by_its_own_key_only() {
        let sealed = key(2, 1).seal(PLACE, &[5; 24], b"value").unwrap();
        let other = Uuid::from_u128(8);
        for place in [
            FieldPlace { table: "visit", ..PLACE },
            FieldPlace { column: "notes", ..PLACE },
            FieldPlace { row: &other, ..PLACE },
            FieldPlace { table: "visitsn", column: "ote", ..PLACE },
        ] {
            assert!(key(2, 1).open(place, &sealed).is_none(), "{place:?}");
        }
        let others = FieldKey::of(SpaceId::from_bytes([2; 16]), &EpochKey::new(1, Zeroizing::new([4; 32])));
        assert!(others.open(PLACE, &sealed).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(key(2, 1).open(PLACE, &altered).is_none(), "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert!(key(2, 1).open(PLACE, &sealed[..cut]).is_none(), "{cut} bytes");
        }
    }

    #[test]
    fn bytes_that_are_no_sealed_field_say_what_they_are() {
        let sealed = key(2, 1).seal(PLACE, &[5; 24], b"").unwrap();
        assert!(field_epoch(&sealed).is_ok());
        assert!(matches!(field_epoch(&sealed[..sealed.len() - 1]), Err(OplogError::Malformed { .. })));
        assert!(matches!(field_epoch(&[]), Err(OplogError::Malformed { .. })));
        assert!(matches!(field_epoch(&[0; 80]), Err(OplogError::Malformed { .. })));
        assert!(matches!(field_epoch(&[2; 80]), Err(OplogError::Newer { version: 2, .. })));
    }

    #[test]
    fn a_field_key_is_not_printed() {
        let shown = format!("{:?}", key(2, 1));
        assert!(shown.contains("epoch: 1") && !shown.contains("[3"), "{shown}");
    }
}
