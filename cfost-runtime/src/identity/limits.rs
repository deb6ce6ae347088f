//! Every bound of this room, in one place. Encoders assert them, decoders refuse what exceeds them.

/// Longest name of a device, in bytes of UTF-8.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;
/// Longest name of a user, in bytes of UTF-8.
pub const USER_NAME_BYTES_MAX: usize = 128;
/// Longest e-mail address, in bytes: what SMTP can carry (RFC 5321, section 4.5.3.1.3, less the brackets).
pub const EMAIL_BYTES_MAX: usize = 254;

/// Longest identity entry, signature included.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Most parents of one entry. A log with more heads than this names the newest ones.
pub const ENTRY_PARENTS_MAX: usize = 64;
/// Most entries of one user's identity log.
pub const LOG_ENTRIES_MAX: usize = 100_000;
/// Most bytes of entries that wait for a parent that has not arrived.
pub const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest certificate: how many devices may stand between the root key and a device.
pub const CERTIFICATE_ENTRIES_MAX: usize = 256;
