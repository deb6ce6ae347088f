//! What a change, a segment and a run may be at most, in one place.
//!
//! Writers stop before these limits and readers refuse beyond them, before they allocate anything.

/// The most bytes of one packed change: a larger transaction is split inside one atomic group.
pub const CHANGE_BYTES_MAX: usize = 640 * 1024;

/// The most ops of one change, all segments taken together. A reader sees one segment at a time, and
/// refuses what is over the limit in that one.
pub const CHANGE_OPS_MAX: u32 = 4096;

/// The most segments (so tables) of one change.
pub const SEGMENTS_MAX: usize = 1024;

/// The most heads of other logs that one change names.
pub const DEPS_MAX: usize = 4096;

/// The most columns of one op: what SQLite allows for a table unless built otherwise.
pub const COLUMNS_MAX: usize = 2000;

/// The most elements of a set, a map or a list that one op puts or removes.
pub const ELEMENTS_MAX: usize = 65_536;

/// The most bytes of an element's key, as ops carry it.
pub const ELEMENT_KEY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a list element's position.
pub const ELEMENT_POSITION_BYTES_MAX: usize = 255;

/// The most bytes of one segment's ops after decompression.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many times larger than its compressed form a segment may become.
pub const DECOMPRESSION_RATIO_MAX: usize = 16;

/// Segments shorter than this are stored as they are: LZ4 finds nothing in them.
pub const COMPRESS_BYTES_MIN: usize = 96;

/// The most bytes of one encoded run, so that it fits a frame with room for the frame's own head.
pub const RUN_BYTES_MAX: usize = 1024 * 1024 - 1024;

/// The most changes of one run.
pub const RUN_CHANGES_MAX: usize = 16 * 1024;

/// Along a log there is a signature at least every so many changes,
pub const SIGNATURE_CHANGES_MAX: u64 = 64;

/// and at least every so many bytes of packed changes.
pub const SIGNATURE_BYTES_MAX: usize = 100 * 1000;
