//! A small file beside the database that tells a restored or copied database from the one that was.
//!
//! A database that went back in time would use sequence numbers of its own logs again, for other
//! changes than those that its peers hold. The marker remembers a change of the last ones that may have left
//! the device, and which file they left from; if the database on disk doesn't know that change, or is
//! another file, its device goes on in new logs. One change is enough, however many logs there are: a database
//! that knows it knows all that left before.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 8 | `cfostmk2` |
//! | 16 | the own log of the home space |
//! | 16 | the own log, of whichever space, of the last changes that may have left the device |
//! | 8 | seq of the newest of them, little endian; 0 if nothing has left |
//! | 32 | its id |
//! | 8 | the database file's inode, 0 where there is none |
//! | 32 | BLAKE3 of all before |
//!
//! `cfostmk1`, which builds before spaces other than home wrote, names one log for both.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::oplog::{ChangeId, Head, LogId};

const MAGIC: &[u8; 8] = b"cfostmk2";
const MAGIC_1: &[u8; 8] = b"cfostmk1";

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The own log of the home space.
    pub(super) home: LogId,
    pub(super) sent: Sent,
    pub(super) inode: u64,
}

/// What may have left the device last: the newest change of a log that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) log: LogId,
    /// Seq 0 if nothing has left.
    pub(super) head: Head,
}

impl Marker {
    /// Where the marker of a database is.
    pub(super) fn path_of(database: &Path) -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push("-marker");
        PathBuf::from(name)
    }

    /// The database's marker; `None` if there is none or it is damaged, which means the same: nobody
    /// knows which changes have left.
    pub(super) fn read(database: &Path) -> Result<Option<Self>, StoreError> {
        match fs::read(Self::path_of(database)) {
            Ok(bytes) => Ok(Self::decode(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { action: "reading the marker beside the database", source }),
        }
    }

    /// Replaces the database's marker; it is on the disk when this returns.
    pub(super) fn write(&self, database: &Path) -> Result<(), StoreError> {
        let io = |source| StoreError::Io { action: "writing the marker beside the database", source };
        let path = Self::path_of(database);
        let mut scratch = path.clone().into_os_string();
        scratch.push("-new");
        let mut file = File::create(&scratch).map_err(io)?;
        file.write_all(&self.encode()).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&scratch, &path).map_err(io)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = [MAGIC.as_slice(), self.home.as_bytes()].concat();
        self.sent.encode(&mut bytes);
        bytes.extend_from_slice(&self.inode.to_le_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if hash != blake3::hash(content).as_bytes() {
            return None;
        }
        let (magic, rest) = content.split_first_chunk()?;
        let (home, rest) = match magic {
            MAGIC => rest.split_first_chunk().map(|(home, rest)| (Some(*home), rest))?,
            MAGIC_1 => (None, rest),
            _ => return None,
        };
        let (sent, inode) = rest.split_at_checked(Sent::BYTES)?;
        let sent = Sent::decode(sent)?;
        let home = home.map_or(sent.log, LogId::from_bytes);
        Some(Self { home, sent, inode: u64::from_le_bytes(inode.try_into().ok()?) })
    }
}

impl Sent {
    const BYTES: usize = 16 + 8 + 32;

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.log.as_bytes());
        bytes.extend_from_slice(&self.head.seq.to_le_bytes());
        bytes.extend_from_slice(self.head.id.as_bytes());
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (log, rest) = bytes.split_first_chunk()?;
        let (seq, id) = rest.split_first_chunk()?;
        let head = Head { seq: u64::from_le_bytes(*seq), id: ChangeId::from_bytes(id.try_into().ok()?) };
        Some(Self { log: LogId::from_bytes(*log), head })
    }
}

/// The number of a file in its file system, which a copy doesn't share; 0 where there is none.
pub(super) fn inode(path: &Path) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).map_or(0, |metadata| metadata.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(n: u8) -> Sent {
        Sent {
            log: LogId::from_bytes([n; 16]),
            head: Head { seq: u64::from(n) + 1, id: ChangeId::from_bytes([n; 32]) },
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_no_marker() {
        let marker = Marker { home: LogId::from_bytes([1; 16]), sent: sent(2), inode: 77 };
        let bytes = marker.encode();
        assert_eq!(Marker::decode(&bytes), Some(marker));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Marker::decode(&damaged), None, "byte {at}");
            assert_eq!(Marker::decode(&bytes[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn the_marker_of_an_older_build_is_read() {
        let mut bytes = MAGIC_1.to_vec();
        sent(4).encode(&mut bytes);
        bytes.extend_from_slice(&9_u64.to_le_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        let marker = Marker { home: sent(4).log, sent: sent(4), inode: 9 };
        assert_eq!(Marker::decode(&bytes), Some(marker));
    }
}
