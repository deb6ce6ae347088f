//! A small file beside the database that tells a restored or copied database from the one that was.
//!
//! A database that went back in time would use sequence numbers of its own log again, for other
//! changes than those that its peers hold. The marker remembers the newest change that may have left
//! the device, and which file it left from; if the database on disk doesn't know that change, or is
//! another file, its device goes on in a new log.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 8 | `cfostmk2` |
//! | 16 | the own log of the home space |
//! | 8 | seq of its newest change that may have left the device, little endian |
//! | 32 | its id |
//! | 8 | the database file's inode, 0 where there is none |
//! | 4 | number of own logs in other spaces of which something may have left, little endian |
//! | 56 each | log, seq and id as above |
//! | 32 | BLAKE3 of all before |
//!
//! `cfostmk1`, which builds before spaces other than home wrote, lacks the number and what it counts.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::oplog::{ChangeId, Head, LogId};

const MAGIC: &[u8; 8] = b"cfostmk2";
const MAGIC_1: &[u8; 8] = b"cfostmk1";

/// What one log takes.
const SENT_BYTES: usize = 16 + 8 + 32;

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) home: Sent,
    /// The own logs in other spaces.
    pub(super) others: Vec<Sent>,
    pub(super) inode: u64,
}

/// What may have left the device of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) log: LogId,
    /// The newest change that may have left the device; seq 0 if none has.
    pub(super) exposed: Head,
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
        let mut bytes = Vec::with_capacity(MAGIC.len() + (1 + self.others.len()) * SENT_BYTES + 8 + 4 + 32);
        bytes.extend_from_slice(MAGIC);
        self.home.encode(&mut bytes);
        bytes.extend_from_slice(&self.inode.to_le_bytes());
        // A database has fewer than 2^23 logs.
        bytes.extend_from_slice(&(self.others.len() as u32).to_le_bytes());
        self.others.iter().for_each(|sent| sent.encode(&mut bytes));
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if hash != blake3::hash(content).as_bytes() {
            return None;
        }
        let (magic, mut rest) = content.split_first_chunk()?;
        let home = Sent::decode(&mut rest)?;
        let (inode, rest) = rest.split_first_chunk()?;
        let inode = u64::from_le_bytes(*inode);
        let others = match magic {
            MAGIC_1 if rest.is_empty() => Vec::new(),
            MAGIC => {
                let (count, mut rest) = rest.split_first_chunk()?;
                if rest.len() != (u32::from_le_bytes(*count) as usize).checked_mul(SENT_BYTES)? {
                    return None;
                }
                std::iter::from_fn(|| Sent::decode(&mut rest)).collect()
            }
            _ => return None,
        };
        Some(Self { home, others, inode })
    }
}

impl Sent {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.log.as_bytes());
        bytes.extend_from_slice(&self.exposed.seq.to_le_bytes());
        bytes.extend_from_slice(self.exposed.id.as_bytes());
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        let (log, after) = rest.split_first_chunk()?;
        let (seq, after) = after.split_first_chunk()?;
        let (id, after) = after.split_first_chunk()?;
        *rest = after;
        let exposed = Head { seq: u64::from_le_bytes(*seq), id: ChangeId::from_bytes(*id) };
        Some(Self { log: LogId::from_bytes(*log), exposed })
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
        let exposed = Head { seq: u64::from(n) + 1, id: ChangeId::from_bytes([n; 32]) };
        Sent { log: LogId::from_bytes([n; 16]), exposed }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_no_marker() {
        for others in [0, 1, 3] {
            let marker = Marker { home: sent(1), others: (2..2 + others).map(sent).collect(), inode: 77 };
            let bytes = marker.encode();
            assert_eq!(Marker::decode(&bytes), Some(marker));
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert_eq!(Marker::decode(&damaged), None, "byte {at}");
                assert_eq!(Marker::decode(&bytes[..at]), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn the_marker_of_an_older_build_is_read() {
        let mut bytes = MAGIC_1.to_vec();
        sent(4).encode(&mut bytes);
        bytes.extend_from_slice(&9_u64.to_le_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        assert_eq!(Marker::decode(&bytes), Some(Marker { home: sent(4), others: Vec::new(), inode: 9 }));
    }
}
