//! The bytes inside of the encryption: parts one after the other, each with its kind and length.

use std::io::{self, ErrorKind, Read, Write};
use std::iter;

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, x25519};
use zeroize::Zeroizing;

use super::{BackupError, BackupSummary, Recipient, key};
use crate::identity::RootPublic;
use crate::identity::limits::ENTRY_BYTES_MAX;
use crate::oplog::limits::RUN_BYTES_MAX;
use crate::oplog::{EpochKey, Run, SpaceId, UserId};

const MAGIC: &[u8; 12] = b"cfost backup";
/// Format 1 has no entries of members logs and of other users.
const FORMAT: u8 = 2;
const FORMAT_OLDEST: u8 = 1;

const ROOT: u8 = 1;
const ENTRY: u8 = 2;
const EPOCH_KEY: u8 = 3;
const RUN: u8 = 4;
const END: u8 = 5;
const SPACE_ENTRY: u8 = 6;
const USER_ENTRY: u8 = 7;

/// A part of a backup, in the order in which they come: the root key, entries, keys, entries of others, runs.
pub(crate) enum Part {
    /// The user's public root key.
    Root(RootPublic),
    /// An entry of the user's identity log, each after those it builds on.
    Entry(Vec<u8>),
    /// The key of an epoch of a space.
    EpochKey(SpaceId, EpochKey),
    /// An entry of a space's members log, each after those it builds on.
    SpaceEntry(SpaceId, Vec<u8>),
    /// An entry of another user's identity log, each after those it builds on.
    UserEntry(UserId, Vec<u8>),
    /// Changes, each run after those it builds on.
    Run(Run),
}

/// Writes a backup.
pub(crate) struct Writer<W: Write> {
    out: StreamWriter<W>,
    summary: BackupSummary,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(out: W, recipient: &Recipient, user: RootPublic) -> Result<Self, BackupError> {
        let recipient = recipient.key(user)?;
        let encryptor = Encryptor::with_recipients(key::one(&recipient))
            .map_err(|error| BackupError::Write(io::Error::other(error.to_string())))?;
        let mut out = encryptor.wrap_output(out).map_err(BackupError::Write)?;
        out.write_all(MAGIC).and_then(|()| out.write_all(&[FORMAT])).map_err(BackupError::Write)?;
        let mut writer = Self { out, summary: BackupSummary::default() };
        writer.put(ROOT, user.as_bytes())?;
        Ok(writer)
    }

    pub(crate) fn entry(&mut self, entry: &[u8]) -> Result<(), BackupError> {
        self.put(ENTRY, entry)
    }

    pub(crate) fn epoch_key(&mut self, space: SpaceId, key: &EpochKey) -> Result<(), BackupError> {
        let parts = [space.as_bytes().as_slice(), &key.epoch().to_le_bytes(), key.secret()];
        self.put(EPOCH_KEY, &Zeroizing::new(parts.concat()))
    }

    pub(crate) fn space_entry(&mut self, space: SpaceId, entry: &[u8]) -> Result<(), BackupError> {
        self.put(SPACE_ENTRY, &[space.as_bytes(), entry].concat())
    }

    pub(crate) fn user_entry(&mut self, user: UserId, entry: &[u8]) -> Result<(), BackupError> {
        self.put(USER_ENTRY, &[user.as_bytes(), entry].concat())
    }

    pub(crate) fn run(&mut self, run: &Run) -> Result<(), BackupError> {
        self.summary.changes += run.changes.len() as u64;
        self.put(RUN, &run.encode())
    }

    /// Ends the backup: without this it restores nothing.
    pub(crate) fn finish(mut self) -> Result<BackupSummary, BackupError> {
        self.put(END, &self.summary.changes.to_le_bytes())?;
        let mut out = self.out.finish().map_err(BackupError::Write)?;
        out.flush().map_err(BackupError::Write)?;
        Ok(self.summary)
    }

    fn put(&mut self, kind: u8, bytes: &[u8]) -> Result<(), BackupError> {
        let length = u32::try_from(bytes.len()).map_err(|_| BackupError::Write(ErrorKind::FileTooLarge.into()))?;
        let mut head = [kind, 0, 0, 0, 0];
        head[1..].copy_from_slice(&length.to_le_bytes());
        self.summary.bytes += (head.len() + bytes.len()) as u64;
        self.out.write_all(&head).and_then(|()| self.out.write_all(bytes)).map_err(BackupError::Write)
    }
}

/// Reads a backup.
pub(crate) struct Reader<R: Read> {
    input: StreamReader<R>,
    changes: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) fn open(input: R, key: &x25519::Identity) -> Result<Self, BackupError> {
        let mut input = Decryptor::new(input)
            .and_then(|decryptor| decryptor.decrypt(iter::once(key as &dyn age::Identity)))
            .map_err(|error| match error {
                DecryptError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => BackupError::NotEncrypted,
                DecryptError::Io(error) => BackupError::Read(error),
                DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed => BackupError::WrongKey,
                DecryptError::DecryptionFailed | DecryptError::InvalidMac => {
                    BackupError::damaged("its head was altered")
                }
                _ => BackupError::NotEncrypted,
            })?;
        let mut head = [0; MAGIC.len() + 1];
        read(&mut input, &mut head)?;
        match head.split_last() {
            Some((_, magic)) if magic != MAGIC => Err(BackupError::damaged("what is in it is no backup")),
            Some((&found, _)) if found > FORMAT => Err(BackupError::Newer { found, known: FORMAT }),
            Some((FORMAT_OLDEST..=FORMAT, _)) => Ok(Self { input, changes: 0 }),
            _ => Err(BackupError::damaged("it has a format that never was")),
        }
    }

    /// The next part; `None` once all have been read.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, BackupError> {
        let mut head = [0; 5];
        read(&mut self.input, &mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        let length_max = match kind {
            ROOT => 32,
            ENTRY => ENTRY_BYTES_MAX,
            EPOCH_KEY => 52,
            SPACE_ENTRY | USER_ENTRY => 16 + ENTRY_BYTES_MAX,
            RUN => RUN_BYTES_MAX,
            END => 8,
            _ => return Err(BackupError::damaged("it has a part that isn't known")),
        };
        if length > length_max {
            return Err(BackupError::damaged("a part of it is too long"));
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        read(&mut self.input, &mut bytes)?;
        Ok(Some(match kind {
            ROOT => Part::Root(RootPublic::from_bytes(array(&bytes)?)),
            ENTRY => Part::Entry(std::mem::take(&mut *bytes)),
            EPOCH_KEY => epoch_key(&array(&bytes)?),
            SPACE_ENTRY | USER_ENTRY => {
                let (id, entry) = bytes.split_first_chunk().ok_or(BackupError::damaged("a part of it is too short"))?;
                match kind {
                    SPACE_ENTRY => Part::SpaceEntry(SpaceId::from_bytes(*id), entry.to_vec()),
                    _ => Part::UserEntry(UserId::from_bytes(*id), entry.to_vec()),
                }
            }
            RUN => {
                let run = Run::decode(&bytes).map_err(|_| BackupError::damaged("a run of changes can't be read"))?;
                self.changes += run.changes.len() as u64;
                Part::Run(run)
            }
            _ => return self.end(u64::from_le_bytes(array(&bytes)?)),
        }))
    }

    fn end(&mut self, changes: u64) -> Result<Option<Part>, BackupError> {
        if changes != self.changes {
            return Err(BackupError::damaged("it lacks changes that it should have"));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(None),
            Ok(_) => Err(BackupError::damaged("something follows its end")),
            Err(error) => Err(unreadable(error)),
        }
    }
}

fn epoch_key(bytes: &[u8; 52]) -> Part {
    let (mut space, mut epoch, mut secret) = ([0; 16], [0; 4], Zeroizing::new([0; 32]));
    space.copy_from_slice(&bytes[..16]);
    epoch.copy_from_slice(&bytes[16..20]);
    secret.copy_from_slice(&bytes[20..]);
    Part::EpochKey(SpaceId::from_bytes(space), EpochKey::new(u32::from_le_bytes(epoch), secret))
}

fn read(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), BackupError> {
    input.read_exact(bytes).map_err(unreadable)
}

/// A part of the file that fails its check is an error of the reading.
fn unreadable(error: io::Error) -> BackupError {
    match error.kind() {
        ErrorKind::UnexpectedEof => BackupError::damaged("it ends too early"),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => BackupError::damaged("a part of it was altered"),
        _ => BackupError::Read(error),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BackupError> {
    bytes.try_into().map_err(|_| BackupError::damaged("a part of it has another length"))
}
