//! A small file beside the database that tells a restored or copied database from the one that was.
//!
//! A database that went back in time would use sequence numbers of its own log again, for other
//! changes than those that its peers hold. The marker remembers the newest change that may have left
//! the device, and which file it left from; if the database on disk doesn't know that change, or is
//! another file, its device goes on in a new log.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 8 | `cfostmk1` |
//! | 16 | the own log |
//! | 8 | seq of the newest change that may have left the device, little endian |
//! | 32 | its id |
//! | 8 | the database file's inode, 0 where there is none |
//! | 32 | BLAKE3 of all before |

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::oplog::{ChangeId, Head, LogId};

const MAGIC: &[u8; 8] = b"cfostmk1";
const BYTES: usize = 8 + 16 + 8 + 32 + 8 + 32;

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) log: LogId,
    /// The newest change that may have left the device; seq 0 if none has.
    pub(super) exposed: Head,
    pub(super) inode: u64,
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
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.log.as_bytes());
        bytes.extend_from_slice(&self.exposed.seq.to_le_bytes());
        bytes.extend_from_slice(self.exposed.id.as_bytes());
        bytes.extend_from_slice(&self.inode.to_le_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_at_checked(BYTES - 32)?;
        if hash != blake3::hash(content).as_bytes() {
            return None;
        }
        let rest = content.strip_prefix(MAGIC)?;
        let (log, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let inode = rest.try_into().ok()?;
        let exposed = Head { seq: u64::from_le_bytes(*seq), id: ChangeId::from_bytes(*id) };
        Some(Self { log: LogId::from_bytes(*log), exposed, inode: u64::from_le_bytes(inode) })
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
