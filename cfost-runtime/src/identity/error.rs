//! What can go wrong with users, devices, passwords and pairing.

use thiserror::Error;

use super::entry::EntryId;
use super::keyring::KeyringError;
use super::space::Role;
use crate::oplog::{DeviceId, SpaceId, UserId};

/// The outcome of an operation on identities.
pub type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// An operation on users, devices, passwords or pairing failed.
///
/// No variant carries a secret, so every one of them may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A recovery phrase has the wrong number of words.
    #[error("a recovery phrase has 24 words, this one has {words}: check that none is missing or doubled")]
    PhraseLength {
        /// How many words were given.
        words: usize,
    },
    /// A word of a recovery phrase is not in the list.
    #[error("word {position} of the recovery phrase is not in the word list: check its spelling")]
    PhraseWord {
        /// The position of the word, from 1. The word itself is left out: it may be secret.
        position: usize,
    },
    /// The words of a recovery phrase are all known but do not belong together.
    #[error("the recovery phrase does not add up: check the order of the words, and each word")]
    PhraseChecksum,

    /// A name or an address cannot be accepted.
    #[error("{field} {problem}")]
    Text {
        /// What was named, such as `device name`.
        field: &'static str,
        /// Why it cannot be accepted.
        problem: &'static str,
    },
    /// Secret bytes that should hold keys have the wrong length.
    #[error("{what} has {found} bytes instead of {expected}: the place they were kept in is damaged")]
    KeyLength {
        /// Which keys were read.
        what: &'static str,
        /// How many bytes there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },

    /// Bytes do not follow their format.
    #[error("malformed {what}: {problem}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Which rule of the format is broken.
        problem: &'static str,
    },
    /// Bytes follow a format that this build does not know.
    #[error("{what} has version {found}, this app knows versions up to {supported}: update the app")]
    Version {
        /// What was read.
        what: &'static str,
        /// The version that it says it has.
        found: u8,
        /// The newest version that this build reads.
        supported: u8,
    },
    /// An entry belongs to another user's log.
    #[error("the identity entry belongs to user {found}, not to {expected}")]
    WrongUser {
        /// Whose entry it is.
        found: UserId,
        /// Whose log it was offered to.
        expected: UserId,
    },
    /// A signature does not match.
    #[error("the signature of {what} does not match: it was altered, or made with another key")]
    Signature {
        /// What was signed.
        what: &'static str,
    },
    /// A public key has so few multiples that a secret agreed on with it is known to everybody.
    #[error("{what} is of small order, which no honest device makes: it was refused")]
    SmallOrderKey {
        /// Whose key.
        what: &'static str,
    },
    /// An entry's author was not a device of the user when the entry was made.
    #[error("device {device} was not authorised to add to the identity log: pair it first")]
    NotAuthorised {
        /// The author.
        device: DeviceId,
    },
    /// A device has no say any more.
    #[error("device {device} was removed from this user's devices: recover with the 24 words if that was not you")]
    Revoked {
        /// The device.
        device: DeviceId,
    },
    /// An entry that only the root key may make was made by a device.
    #[error("device {device} tried to say which devices stay: only the 24 words can")]
    RootOnly {
        /// The author.
        device: DeviceId,
    },
    /// The last device can't go.
    #[error("device {device} is the last one of this user: pair another one before it goes")]
    LastDevice {
        /// The device.
        device: DeviceId,
    },
    /// An entry can't name that many devices.
    #[error("{devices} devices are more than one entry can name ({devices_max}): retire some first")]
    TooManyDevices {
        /// How many there are.
        devices: usize,
        /// How many one entry can name.
        devices_max: usize,
    },
    /// An entry can't name that many logs.
    #[error("{logs} logs are more than one entry can name ({logs_max})")]
    TooManyLogs {
        /// How many there are.
        logs: usize,
        /// How many one entry can name.
        logs_max: usize,
    },
    /// An entry names parents that are neither here nor among what arrived with it.
    #[error("the identity log is incomplete: {missing} is missing; fetch it from another device")]
    MissingEntry {
        /// One of the entries that are missing.
        missing: EntryId,
    },
    /// Too much is waiting for entries that have not arrived.
    #[error("too many identity entries arrived before the ones they build on: send them in causal order")]
    WaitingFull,
    /// The identity log has reached its largest size.
    #[error("the identity log is full (100,000 entries, or 64 MiB)")]
    LogFull,
    /// A device is not in the identity log.
    #[error("device {device} is not a device of this user: pair it first")]
    UnknownDevice {
        /// The device that was asked for.
        device: DeviceId,
    },
    /// An entry belongs to the members log of another space.
    #[error("the entry belongs to space {found}, not to {expected}")]
    WrongSpace {
        /// Which space it is of.
        found: SpaceId,
        /// To the log of which it was offered.
        expected: SpaceId,
    },
    /// Only the owner of a space says who its members are.
    #[error("user {user} is not the owner of space {space}: only the owner adds and removes members")]
    NotOwner {
        /// The space.
        space: SpaceId,
        /// Whose device asked.
        user: UserId,
    },
    /// A user is no member of a space.
    #[error("user {user} is no member of space {space}: have its owner invite that user first")]
    NotMember {
        /// The space.
        space: SpaceId,
        /// Who is no member.
        user: UserId,
    },
    /// The owner of a space can be neither ended nor given another role.
    #[error("user {user} owns space {space}: hand it over to another member first")]
    IsOwner {
        /// The space.
        space: SpaceId,
        /// The owner.
        user: UserId,
    },
    /// A member's role does not allow what was asked for.
    #[error("user {user} is a {role} of space {space}, and needs to be a {needed}: ask its owner")]
    RoleTooLow {
        /// The space.
        space: SpaceId,
        /// Who asked.
        user: UserId,
        /// The role of that user.
        role: Role,
        /// The least role that may do it.
        needed: Role,
    },
    /// No key of a space has arrived under which this device may write.
    #[error("the key of space {space} has not arrived on this device: sync with a device of one of its members")]
    KeyMissing {
        /// The space.
        space: SpaceId,
    },
    /// The members log of a space has reached its largest size.
    #[error("the members log of space {space} is full: found a new space and move its rows there")]
    SpaceLogFull {
        /// The space.
        space: SpaceId,
    },
    /// A certificate does not lead from the user's root key to the device.
    #[error("the device certificate does not hold: {problem}")]
    Certificate {
        /// The link that is broken.
        problem: &'static str,
    },
    /// The other end of a connection is not who it should be.
    #[error("the other end of the connection is not the device it claims to be: the connection was refused")]
    WrongPeer,

    /// A new password is too short.
    #[error("the password is too short: use at least {chars_min} characters")]
    WeakPassword {
        /// How many characters it must have.
        chars_min: usize,
    },
    /// A new password would be among the first that a program tries.
    #[error("the password is easy to guess. {hint}")]
    GuessablePassword {
        /// What makes it so and how to choose a better one, in sentences. It has no part of the password.
        hint: String,
    },
    /// An address and a password are too long to be worked on.
    #[error("the address and the password are longer than {bytes_max} bytes: shorten them")]
    PasswordTooLong {
        /// How many bytes both may have together.
        bytes_max: usize,
    },
    /// No password was set on this device, so there is nothing to log in to.
    #[error("this device belongs to no registered user: register, or pair it with one of the user's devices")]
    NotPaired,
    /// A logout would lock the device's keys for good.
    #[error("no password is set on this device, so nobody could log in again: set one first")]
    NoPassword,
    /// A user registers once.
    #[error("this database belongs to {name} already: open another database for another user")]
    Registered {
        /// The user's name.
        name: String,
    },
    /// Nobody is invited to be the owner.
    #[error("nobody is invited as the owner of a space: invite a writer, and hand the space over then")]
    OwnerInvited,
    /// A user follows its own invitation to a space.
    #[error("the code is this user's own: show it to somebody else; the user's own devices have all spaces anyway")]
    OwnSpace,
    /// A device of another user offers to pair.
    #[error(
        "the code is another user's, and this database belongs to a user already: open another database for that user"
    )]
    OtherUser,
    /// The recovery phrase was erased after it had been shown.
    #[error("the recovery phrase was erased from this device after it was shown; it can't be shown again")]
    PhraseForgotten,
    /// The password or the address is wrong. Which of them is not said, and takes no different time.
    #[error("wrong e-mail address or password")]
    WrongCredentials,
    /// Too many wrong passwords in a row.
    #[error("too many wrong passwords: try again in {} s", wait_ms.div_ceil(1000))]
    TooManyAttempts {
        /// How long to wait, in milliseconds.
        wait_ms: u64,
    },
    /// A vault asks for more, or less, work than this build is willing to do.
    #[error(
        "the vault asks for {memory_kib} KiB, {passes} passes and {lanes} lanes, beyond the limits: it was altered"
    )]
    PasswordCost {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// There is not enough memory to check a password.
    #[error(
        "checking the password needs {memory_kib} KiB of memory, which this device does not have: close other apps"
    )]
    OutOfMemory {
        /// Memory, in KiB.
        memory_kib: u32,
    },
    /// The password is right but the key that it unlocks was altered.
    #[error("the vault is damaged: restore it from a backup, or recover with the 24 words")]
    VaultDamaged,
    /// The device is logged in, but its keyring doesn't give its key.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A wrapped secret does not open.
    #[error("the secret kept as '{context}' does not open: it was altered, or belongs to another vault")]
    Wrapped {
        /// The place that it was looked for in.
        context: String,
    },

    /// A text is no invitation, or not all of one.
    #[error("the pairing code {problem}")]
    InvitationText {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The invitation's time is over.
    #[error("the pairing code has expired: make a new one on the other device")]
    InvitationExpired,
    /// The invitation was used before, by this device or another.
    #[error("the pairing code was used already: make a new one")]
    InvitationUsed,
    /// What was typed is not eight digits.
    #[error("type the eight digits of the code that the other device shows")]
    SpokenCodeForm,
    /// A peer does not know the spoken code.
    #[error("a device came with another code than the one that is shown ({tries_left} tries left)")]
    WrongSpokenCode {
        /// How many more wrong ones are forgiven.
        tries_left: u32,
    },
    /// The spoken code was guessed wrong three times: perhaps by somebody who was not told it.
    #[error("a wrong code came three times, so the code is worth nothing any more: make a new one")]
    SpokenCodeBurnt,
    /// Whoever was asked refuses the spoken code. It does not say why.
    #[error("the code was refused: compare the eight digits; after three wrong ones, make a new code there")]
    SpokenCodeRefused,
    /// A peer names a pairing that was not offered.
    #[error("a device asked for a pairing that was not offered: make a new pairing code if it is yours")]
    InvitationUnknown,
    /// A peer does not know the invitation's secret, or something was altered on the way.
    #[error("the other device does not know the pairing code: scan it again")]
    WrongSecret,
    /// What was typed is not six digits.
    #[error("type the six digits that the new device shows")]
    DigitsForm,
    /// The digits are not those that the new device shows.
    #[error(
        "these are not the digits of the waiting device: compare them with the new device ({tries_left} tries left)"
    )]
    WrongDigits {
        /// How many more times they may be typed.
        tries_left: u32,
    },
    /// The digits were wrong three times: perhaps the device that waits is not the user's.
    #[error("the digits were wrong three times, nobody was let in: make a new pairing code")]
    ConfirmationFailed,
    /// The digits were not typed in time.
    #[error("the digits were not typed in time, nobody was let in: make a new pairing code")]
    ConfirmationExpired,
    /// The other device refuses to pair. It does not say why.
    #[error("the other device refused: its pairing code may have expired or been used; make a new one there")]
    PairingRefused,
    /// A pairing message came when another was due.
    #[error("the other device sent '{message}' out of turn: the pairing was ended")]
    UnexpectedMessage {
        /// Which message.
        message: &'static str,
    },
    /// A step of a pairing was asked for before the one that it follows.
    #[error("this step of the pairing does not follow from the one before it: the pairing may be over")]
    OutOfTurn,
    /// The user's identity log and keys are larger than a pairing can carry.
    #[error("the identity log and keys take {bytes} bytes, more than a pairing can carry (68 MiB)")]
    AdmissionTooLarge {
        /// How large they are.
        bytes: usize,
    },
    /// What the inviting device sent does not hold.
    #[error("the admission does not hold: {problem}; nothing was accepted")]
    Admission {
        /// Which check failed.
        problem: &'static str,
    },
}
