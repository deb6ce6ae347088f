//! Ops, changes and logs as bytes: how they are encoded, chained, signed and sealed.
//!
//! A transaction's ops are collected by table in [`SegmentWriter`]s. A [`Sealer`] compresses and seals
//! the segments, hashes them into a [`Header`], and makes that the new head of the device's [`Chain`];
//! what is stored and sent is the packed change, which leaves out what the chain says. Before changes
//! leave the device the newest is signed ([`sign_change`]), which covers all before it.
//!
//! From outside come [`Run`]s. [`Run::verify`] checks that one continues its chain and is signed; an
//! [`Opener`] opens the segments of its changes, and [`SegmentReader`]s hand out their ops.
//!
//! Everything here is bytes in, bytes out: no database, no network, no clock, no randomness of its own.
//! Every decoder accepts one encoding of each value and refuses all others, before it allocates what the
//! bytes ask for. `docs/oplog-format.md` has the tables.

pub(crate) mod bytes;
mod chain;
mod elements;
mod error;
mod field;
mod header;
mod id;
pub mod limits;
pub(crate) mod newest;
mod packed;
mod run;
mod seal;
mod segment;
mod sign;
mod value;

#[cfg(test)]
mod tests;

pub use chain::{Chain, Frontier, Head};
pub use elements::{ElementEdit, ElementsReader, EncodedElements};
pub use error::OplogError;
pub use field::{
    FIELD_KEY_CONTEXT, FieldEpoch, FieldKey, FieldPlace, SEALED_FIELD_OVERHEAD, SEALED_FIELD_VERSION, field_epoch,
};
pub use header::{
    ChangeFlags, Dep, HEADER_DEP_BYTES, HEADER_KIND_OPS, HEADER_SEGMENT_BYTES, HEADER_SUITE, HEADER_VERSION, Header,
    SEALED_BYTES_MIN,
};
pub use id::{ChangeId, DeviceId, LogId, SpaceId, UserId};
pub use packed::PackedChange;
pub use run::{RUN_VERSION, Run, VerifiedChange};
pub use seal::{COMPRESSION_LZ4, COMPRESSION_NONE, EpochKey, Opener, Sealer, TAG_BYTES};
pub use segment::{
    Mark, Op, OpKind, OpValue, RuleTag, SEGMENT_FORMAT, SegmentReader, SegmentWriter, Shape, ShapeColumn, read_value,
    write_value,
};
pub use sign::{CHANGE_ID_CONTEXT, KEY_COMMITMENT_CONTEXT, SIGNATURE_DOMAIN, sign_change, signed_bytes, verify_change};
pub use value::{Value, ValueRef};
