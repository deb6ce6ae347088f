//! Runs: consecutive changes of one log as they travel from device to device.

use super::bytes::{ByteReader, put_slice, put_varint};
use super::header::{Header, check_max};
use super::limits::{RUN_BYTES_MAX, RUN_CHANGES_MAX};
use super::sign::{author_key, verify_with};
use super::{Chain, ChangeId, LogId, OplogError, PackedChange, SpaceId};

/// The version of a run, its first byte. It stands for the versions of all that is inside and can't be read without
/// knowing them: a run of version 1 or 2 holds changes of header version 1 and suite 1, packed in version 0.
pub const RUN_VERSION: u8 = 2;

/// The version of a run of a log that took no two ways: it doesn't say which log its changes were written to.
const RUN_VERSION_PLAIN: u8 = 1;

/// The fewest bytes of an epoch in a run: its number, its commitment.
const EPOCH_BYTES_MIN: usize = 1 + 32;

/// The fewest bytes of a change in a run: its length, flags, epoch, nonce, and two empty lists.
const CHANGE_BYTES_MIN: usize = 1 + 1 + 1 + 24 + 1 + 1;

/// The fewest bytes of a signature in a run.
const SIGNATURE_BYTES_MIN: usize = 1 + 64;

/// Consecutive changes of one log, and the signatures that vouch for them.
///
/// A run says once what its changes have in common. It ends at a signed change, since a signature covers
/// all before it and nothing after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The space.
    pub space: SpaceId,
    /// The log, by the name that the sender has for it.
    pub log: LogId,
    /// If that is a branch of a log that took two ways: the log, to which its changes were written. The run may begin
    /// with changes before the branch.
    pub origin: Option<LogId>,
    /// The signing key of the log's author.
    pub author: [u8; 32],
    /// The number of the first change, from 1.
    pub first_seq: u64,
    /// The epochs of the changes, ascending, each with the commitment to its key.
    pub epochs: Vec<(u32, [u8; 32])>,
    /// The packed changes.
    pub changes: Vec<Vec<u8>>,
    /// Signatures with the numbers of the changes they are over, ascending; the last change has one.
    pub signatures: Vec<(u64, [u8; 64])>,
}

/// A change whose chain and signature were checked.
#[derive(Clone, Debug)]
pub struct VerifiedChange<'a> {
    /// The change's header.
    pub header: Header,
    /// The change's id.
    pub id: ChangeId,
    /// The packed change as it came: store and relay these bytes.
    pub packed: &'a [u8],
    /// The same, read.
    pub change: PackedChange<'a>,
}

impl Run {
    /// The run's only encoding.
    pub fn encode(&self) -> Vec<u8> {
        let changes: usize = self.changes.iter().map(|change| change.len() + 3).sum();
        let mut out = Vec::with_capacity(changes + 96 + self.epochs.len() * 37 + self.signatures.len() * 74);
        out.push(if self.origin.is_some() { RUN_VERSION } else { RUN_VERSION_PLAIN });
        out.extend_from_slice(self.space.as_bytes());
        out.extend_from_slice(self.log.as_bytes());
        out.extend(self.origin.iter().flat_map(|origin| origin.as_bytes()));
        out.extend_from_slice(&self.author);
        put_varint(&mut out, self.first_seq);
        put_varint(&mut out, self.epochs.len() as u64);
        for (epoch, commitment) in &self.epochs {
            put_varint(&mut out, u64::from(*epoch));
            out.extend_from_slice(commitment);
        }
        put_varint(&mut out, self.changes.len() as u64);
        for change in &self.changes {
            put_slice(&mut out, change);
        }
        put_varint(&mut out, self.signatures.len() as u64);
        for (seq, signature) in &self.signatures {
            put_varint(&mut out, *seq);
            out.extend_from_slice(signature);
        }
        out
    }

    /// Reads a run. Whether it is true is for [`Run::verify`] to say.
    ///
    /// # Errors
    /// When the bytes are no run, or not the only way to write it, or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, OplogError> {
        check_max("bytes of one run", bytes.len(), RUN_BYTES_MAX)?;
        let mut reader = ByteReader::new("run", bytes);
        let version = reader.u8()?;
        if version > RUN_VERSION {
            return Err(OplogError::Newer { what: "run", version, known: RUN_VERSION });
        }
        if version < RUN_VERSION_PLAIN {
            return Err(reader.malformed("a version that never was"));
        }
        let space = SpaceId::from_bytes(reader.array()?);
        let log = LogId::from_bytes(reader.array()?);
        let origin = match version {
            RUN_VERSION_PLAIN => None,
            _ => Some(LogId::from_bytes(reader.array()?)),
        };
        if origin == Some(log) {
            return Err(reader.malformed("a branch that is its own log"));
        }
        let author = reader.array()?;
        let first_seq = reader.varint()?;
        let epochs = decode_epochs(&mut reader)?;
        let count = reader.count("changes of one run", CHANGE_BYTES_MIN, RUN_CHANGES_MAX)?;
        if first_seq == 0 || count == 0 || first_seq.checked_add(count as u64).is_none() {
            return Err(reader.malformed("a run of changes that can't be"));
        }
        let mut used = vec![false; epochs.len()];
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let packed = reader.slice()?;
            let epoch = PackedChange::decode(packed)?.epoch;
            match epochs.binary_search_by_key(&epoch, |(epoch, _)| *epoch) {
                Ok(index) => used[index] = true,
                Err(_) => return Err(reader.malformed("a change of an epoch without a commitment")),
            }
            changes.push(packed.to_vec());
        }
        if used.contains(&false) {
            return Err(reader.malformed("the commitment of an epoch without a change"));
        }
        let signatures = decode_signatures(&mut reader, first_seq, count)?;
        reader.end()?;
        Ok(Self { space, log, origin, author, first_seq, epochs, changes, signatures })
    }

    /// The space and the log of a run of any version, of the 33 bytes that all versions begin with.
    ///
    /// # Errors
    /// When the bytes are fewer.
    pub fn names(bytes: &[u8]) -> Result<(SpaceId, LogId), OplogError> {
        let mut reader = ByteReader::new("run", bytes);
        reader.u8()?;
        Ok((SpaceId::from_bytes(reader.array()?), LogId::from_bytes(reader.array()?)))
    }

    /// The log to which the changes were written, which their headers name.
    pub fn written_to(&self) -> LogId {
        self.origin.unwrap_or(self.log)
    }

    /// The number of the last change.
    pub fn last_seq(&self) -> u64 {
        (self.first_seq.saturating_sub(1)).saturating_add(self.changes.len() as u64)
    }

    /// Checks that the run continues `chain`, recomputes every id and checks every signature, and then
    /// moves the chain to the run's last change. Whether the author may write at all is for the
    /// identity log to say.
    ///
    /// Every signature is checked, since those kept are relayed: a sender who wants one check per run
    /// sends one signature.
    ///
    /// # Errors
    /// When the run doesn't continue the chain, or anything in it was altered or forged. The chain
    /// stays as it was then.
    pub fn verify(&self, chain: &mut Chain) -> Result<Vec<VerifiedChange<'_>>, OplogError> {
        self.check_continues(chain)?;
        let log = self.written_to();
        let mut signatures = self.signatures.iter().peekable();
        let mut next = *chain;
        let mut verified = Vec::with_capacity(self.changes.len());
        let key = author_key(&self.author, log, self.first_seq)?;
        for packed in &self.changes {
            let change = PackedChange::decode(packed)?;
            let seq = next.next_seq()?;
            let commitment = match self.epochs.binary_search_by_key(&change.epoch, |(epoch, _)| *epoch) {
                Ok(index) => &self.epochs[index].1,
                Err(_) => return Err(OplogError::UnknownEpoch { log, seq, epoch: change.epoch }),
            };
            let (header, id) = next.next(&change, commitment)?;
            if let Some((_, signature)) = signatures.next_if(|(signed, _)| *signed == seq) {
                verify_with(&key, log, seq, &id, signature)?;
            }
            verified.push(VerifiedChange { header, id, packed, change });
        }
        let last_signed = self.signatures.last().map(|(seq, _)| *seq);
        if last_signed != Some(next.head.seq) || signatures.peek().is_some() {
            return Err(OplogError::Unsigned { log, seq: next.head.seq });
        }
        *chain = next;
        Ok(verified)
    }

    fn check_continues(&self, chain: &Chain) -> Result<(), OplogError> {
        for (field, same) in [
            ("space", self.space == chain.space),
            ("id", self.written_to() == chain.log),
            ("author", self.author == chain.author),
        ] {
            if !same {
                return Err(OplogError::OtherLog { log: chain.log, field });
            }
        }
        if self.first_seq != chain.next_seq()? {
            return Err(OplogError::Gap { log: self.log, held: chain.head.seq, found: self.first_seq });
        }
        Ok(())
    }
}

fn decode_epochs(reader: &mut ByteReader<'_>) -> Result<Vec<(u32, [u8; 32])>, OplogError> {
    let count = reader.count("epochs of one run", EPOCH_BYTES_MIN, RUN_CHANGES_MAX)?;
    let mut epochs: Vec<(u32, [u8; 32])> = Vec::with_capacity(count);
    for _ in 0..count {
        let epoch = reader.varint_u32()?;
        if epochs.last().is_some_and(|(last, _)| *last >= epoch) {
            return Err(reader.malformed("epochs that aren't ascending"));
        }
        epochs.push((epoch, reader.array()?));
    }
    Ok(epochs)
}

fn decode_signatures(
    reader: &mut ByteReader<'_>,
    first_seq: u64,
    changes: usize,
) -> Result<Vec<(u64, [u8; 64])>, OplogError> {
    let count = reader.count("signatures of one run", SIGNATURE_BYTES_MIN, changes)?;
    let last_seq = first_seq + (changes as u64 - 1);
    let mut signatures: Vec<(u64, [u8; 64])> = Vec::with_capacity(count);
    for _ in 0..count {
        let seq = reader.varint()?;
        let after_last = signatures.last().is_none_or(|(last, _)| *last < seq);
        if !after_last || seq < first_seq || seq > last_seq {
            return Err(reader.malformed("signatures that aren't of the run's changes, ascending"));
        }
        signatures.push((seq, reader.array()?));
    }
    if signatures.last().is_none_or(|(seq, _)| *seq != last_seq) {
        return Err(reader.malformed("a last change without a signature"));
    }
    Ok(signatures)
}
