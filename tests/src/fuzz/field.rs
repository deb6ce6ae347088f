//! A target for the decoders of encrypted fields.

use cfost::oplog::{EpochKey, FieldKey, FieldPlace, SEALED_FIELD_OVERHEAD, SpaceId, ValueRef, field_epoch};
use cfost::schema::{Encrypted, EncryptedField};
use uuid::Uuid;
use zeroize::Zeroizing;

const ROW: Uuid = Uuid::from_u128(7);
const PLACE: FieldPlace<'_> = FieldPlace { table: "visits", row: &ROW, column: "note" };

fn key(space: SpaceId, epoch: u32) -> FieldKey {
    FieldKey::of(space, &EpochKey::new(epoch, Zeroizing::new([3; 32])))
}

/// What is a sealed field says whose it is; what opens has one encoding, and so has what an app is given of it.
pub(super) fn sealed(bytes: &[u8]) -> bool {
    let form = ValueRef::Blob(bytes.into());
    if let Ok(field) = Encrypted::<Option<String>>::decode_form(form.clone()) {
        assert_eq!(field.encode_form(), Ok(form), "a form has one encoding");
    }
    let Ok(of) = field_epoch(bytes) else { return false };
    assert!(bytes.len() >= SEALED_FIELD_OVERHEAD);
    let key = key(of.space, of.epoch);
    if let Some(plain) = key.open(PLACE, bytes) {
        let nonce = bytes[21..45].try_into().expect("it has 24 bytes");
        assert_eq!(key.seal(PLACE, nonce, &plain).expect("it was sealed before"), bytes);
    }
    true
}

pub(super) fn sealed_seeds() -> Vec<Vec<u8>> {
    let seal = |plain: &[u8]| key(SpaceId::from_bytes([2; 16]), 1).seal(PLACE, &[5; 24], plain).expect("it is short");
    vec![seal(b""), seal(b"\x03\x02hi"), seal(&[7; 300])]
}
