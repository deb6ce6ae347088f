//! Every bound of a session, in one place. `docs/wire.md` lists them with their reasons.

use crate::oplog::limits::RUN_BYTES_MAX;

/// The newest version of the protocol that this build speaks.
pub const PROTOCOL_VERSION: u16 = 2;
/// The oldest version of the protocol that this build still speaks.
pub const PROTOCOL_VERSION_OLDEST: u16 = 1;
/// The version since which spaces are shared, and with them logs of entries other than the user's own identity log.
pub const ENTRY_LOGS_VERSION: u16 = 2;
/// The version since which logs that took two ways are exchanged, as branches.
pub const BRANCHES_VERSION: u16 = 2;

/// What a device says of its versions of CFOST and of its app, in bytes each.
pub const NAME_BYTES_MAX: usize = 64;

/// A frame without its length prefix, in bytes.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// The first frame of a peer, in bytes: who it is has not been checked yet.
pub const HELLO_BYTES_MAX: usize = 256 << 10;

/// What a frame of changes aims at, in bytes. Smaller than [`FRAME_BYTES_MAX`], so that the peer
/// applies one frame while the next is on its way; one large run may exceed it.
pub const OPS_FRAME_BYTES_TARGET: usize = 256 << 10;
/// Changes sent and not yet acknowledged, in bytes of frames.
pub const WINDOW_BYTES_MAX: usize = 4 << 20;
/// Changes sent and not yet acknowledged, in frames.
pub const WINDOW_FRAMES_MAX: usize = 64;
/// Changes that one call of [`Session::handle`](super::Session::handle) prepares, in bytes, before
/// it gives way to what has arrived meanwhile.
pub const TURN_BYTES_MAX: usize = 512 << 10;
/// Changes given to one call of [`Replica::apply`](super::Replica::apply), in bytes; one more frame
/// may come on top.
pub const APPLY_BYTES_MAX: usize = 2 << 20;
/// Runs given to one call of [`Replica::apply`](super::Replica::apply); one more frame may come on top.
pub const APPLY_RUNS_MAX: usize = 4096;
/// What a driver should give to one call of [`Session::handle`](super::Session::handle) at most, in
/// bytes, and all that it should read ahead meanwhile.
pub const INPUT_BYTES_MAX: usize = 2 << 20;
/// Bytes prepared and not yet reported by [`Session::written`](super::Session::written): twice the
/// window, so that only a peer that does not read gets there.
pub const OUTBOX_BYTES_MAX: usize = 8 << 20;

/// Heads sent in the first flight, unasked. A larger frontier is summed up by the digest in `Hello`,
/// and sent only when that differs.
pub const HEADS_UNASKED_MAX: usize = 256;
/// Heads that a peer may have told of, over all spaces.
pub const HEADS_MAX: usize = 1 << 17;
/// Spaces that one `RequestOps` may list, and that a database learns of from peers.
pub const SPACES_MAX: usize = 1 << 14;
/// Logs left out of a session because they can't be applied here.
pub const LOGS_SKIPPED_MAX: usize = 1024;
/// What a frame of identity entries aims at, in bytes.
pub const IDENTITY_FRAME_BYTES_TARGET: usize = 256 << 10;
/// Ids of entries in one `RequestIdentity` or `RequestEntries`, and logs in the latter.
pub const IDENTITY_IDS_MAX: usize = 32_000;
/// Logs of entries that one `RequestEntries` may name.
pub const ENTRY_LOGS_MAX: usize = 1 << 14;
/// Entries that are collected until the last frame of an answer is there, in bytes; more are learned in parts.
pub const ENTRIES_BYTES_MAX: usize = 8 << 20;
/// `Identity` or `Entries` frames in a row that tell nothing new.
pub const IDENTITY_FRAMES_FUTILE_MAX: u32 = 64;

/// Without anything else to send, a `Ping` goes out after this many milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;
/// A peer that sends nothing for this many milliseconds is gone.
pub const SILENCE_MS_MAX: u64 = 12_000;
/// Who the peer is must be settled within this many milliseconds after the connection opened.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;
/// A frame once begun must be complete within this many milliseconds: 1 MiB over a line of 70 kbit/s.
pub const FRAME_MS_MAX: u64 = 120_000;
/// Changes that a peer has told of and does not send are asked for again after this many milliseconds.
pub const STALL_MS: u64 = 10_000;
/// Pings answered per [`HEARTBEAT_MS`].
pub const PINGS_MAX: u32 = 16;
/// Requests in a row, of either side, that bring nothing.
pub const ROUNDS_FUTILE_MAX: u32 = 3;

// What is asserted where it is used must be possible to keep.
const _: () = assert!(OPS_FRAME_BYTES_TARGET <= TURN_BYTES_MAX && FRAME_BYTES_MAX <= WINDOW_BYTES_MAX / 2);
const _: () = assert!(WINDOW_BYTES_MAX + APPLY_BYTES_MAX < OUTBOX_BYTES_MAX);
const _: () = assert!(HELLO_BYTES_MAX < FRAME_BYTES_MAX && RUN_BYTES_MAX + 64 < FRAME_BYTES_MAX);
const _: () = assert!(32 * IDENTITY_IDS_MAX + 64 < FRAME_BYTES_MAX && 2 * HEARTBEAT_MS < SILENCE_MS_MAX);
