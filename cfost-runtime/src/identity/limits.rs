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
/// Most bytes of entries in one user's identity log.
pub const LOG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of entries that wait for a parent that has not arrived.
pub const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most entries in one log that say who has a say: that add or end devices, or begin epochs.
pub const LOG_FACTS_MAX: usize = 4096;
/// How far beyond the limits of the log the root key's entries may go: a device that fills the log up must not keep
/// the user from ending it.
pub const LOG_ROOT_RESERVE: usize = 64;
/// Most logs of which one entry says how far they count.
pub const FRONTIER_LOGS_MAX: usize = 1000;
/// How many logs an author names in one entry if there are more: each in a space of its own they take 74 bytes, and the
/// entry has other things to say.
pub const FRONTIER_LOGS_SPLIT: usize = 800;
/// Most devices that one entry can name to stay.
pub const DEVICES_KEPT_MAX: usize = 256;
/// Most devices to which one entry seals a key.
pub const EPOCH_KEYS_MAX: usize = 600;
/// Longest certificate: how many devices may stand between the root key and a device.
pub const CERTIFICATE_ENTRIES_MAX: usize = 256;

/// Most entries of one space's members log; the founder may go on up to twice as many.
pub const SPACE_ENTRIES_MAX: usize = 8192;
/// Most entries that devices of one user other than the founder can add to a members log.
pub const SPACE_USER_ENTRIES_MAX: usize = 2048;
/// Most bytes of entries in one space's members log; the founder may go on up to twice as many.
pub const SPACE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// How many characters of a password its strength is judged by. A longer one is at least as strong; the time
/// that the estimate takes grows with the square.
pub const PASSWORD_CHARS_RATED_MAX: usize = 48;
/// Longest address and password together, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 4096;
/// Most memory that a vault may ask for, in KiB: four times the default.
pub const PASSWORD_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most passes over the memory that a vault may ask for.
pub const PASSWORD_PASSES_MAX: u32 = 10;
/// Most lanes that a vault may ask for.
pub const PASSWORD_LANES_MAX: u32 = 16;
/// Wrong passwords in a row before the prompt makes one wait.
pub const LOGIN_FREE_ATTEMPTS: u32 = 3;
/// Longest wait between two passwords, in milliseconds.
pub const LOGIN_WAIT_MS_MAX: u64 = 15 * 60 * 1000;

/// How long an invitation is good for, in milliseconds.
pub const INVITATION_MS: u64 = 300_000;
/// How wrong a new device's clock may be before it takes a fresh invitation for an expired one, in
/// milliseconds. The authorised device's clock decides.
pub const INVITATION_CLOCK_ERROR_MS: u64 = 300_000;
/// Most address hints in an invitation; more would make the QR code hard to scan.
pub const INVITATION_HINTS_MAX: usize = 4;
/// Longest address hint, in bytes.
pub const INVITATION_HINT_BYTES_MAX: usize = 128;
/// Longest text that is tried as an invitation, in bytes.
pub const INVITATION_TEXT_BYTES_MAX: usize = 4096;
/// Wrong guesses after which a spoken code is burnt.
pub const SPOKEN_TRIES: u32 = 3;
/// Peers to which a new device proves that it was told a spoken code: each of them learns whether one guess of its
/// own is right.
pub const SPOKEN_PROOFS_MAX: u32 = 3;
/// How long the user has for typing the digits, in milliseconds.
pub const CONFIRMATION_MS_MAX: u64 = 300_000;
/// How often the digits may be typed.
pub const CONFIRMATION_TRIES: u32 = 3;
/// Longest pairing message, in bytes.
pub const PAIRING_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Most bytes that are sealed to a new device: the largest identity log, and room for 80,000 epoch keys.
pub const ADMISSION_BYTES_MAX: usize = LOG_BYTES_MAX + 4 * 1024 * 1024;
/// Most bytes by which a user that was invited to a space says who it is: its identity log.
pub const INTRODUCTION_BYTES_MAX: usize = 4 * 1024 * 1024;
