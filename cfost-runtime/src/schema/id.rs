//! Ids that are made from a row's values, so that equal values are the same row on every device.

use uuid::Uuid;

use super::{ModelSchema, ValueRef};
use crate::oplog::{OpValue, OplogError, write_value};

/// What ids are derived for, in BLAKE3's key derivation mode.
pub const ROW_ID_CONTEXT: &str = "cfost row id v1";

/// The id that a row's values give it; `None` for a model whose ids are minted.
///
/// A UUIDv8 (RFC 9562, section 5.8): the first 16 bytes of BLAKE3, in key derivation mode with
/// [`ROW_ID_CONTEXT`], over the table's name, a zero byte, and the values as ops carry them; then the
/// version and the variant. The encoding of a value says where it ends, and no table's name has a zero
/// byte, so that two rows with the same input have the same table and the same values.
///
/// # Errors
/// When a value is a float that no op may carry.
pub fn derived_id(schema: &ModelSchema, values: &[ValueRef<'_>]) -> Result<Option<Uuid>, OplogError> {
    if schema.id_from.is_empty() {
        return Ok(None);
    }
    let mut input = Vec::with_capacity(64);
    for name in schema.id_from {
        let column = schema.columns.iter().position(|column| column.name == *name);
        if let Some(value) = column.and_then(|column| values.get(column)) {
            write_value(&mut input, &OpValue::Plain(value.clone()))?;
        }
    }
    let mut hasher = blake3::Hasher::new_derive_key(ROW_ID_CONTEXT);
    hasher.update(schema.table.as_bytes()).update(&[0]).update(&input);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    Ok(Some(uuid::Builder::from_custom_bytes(bytes).into_uuid()))
}
