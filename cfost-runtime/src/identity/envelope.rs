//! What all signed entries have in common: whose log they belong to, their author, what he knew, and the signature.
//!
//! `docs/security.md` has the formats as tables. The id is the hash of everything but the signature, and the signature
//! is over the id; an entry is stored and sent as the bytes that were signed.

use std::sync::Arc;

use ed25519_dalek::SigningKey;

use super::entry::EntryId;
use super::error::{IdentityError, Result};
use super::keys;
use super::limits::{ENTRY_BYTES_MAX, ENTRY_PARENTS_MAX};
use super::wire::Reader;
use crate::clock::Timestamp;

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 64;

/// A kind of signed entries, which can't be taken for another.
pub(super) struct Form {
    /// What errors call such an entry.
    pub(super) what: &'static str,
    /// What they call it where its signature doesn't hold.
    pub(super) signed: &'static str,
    pub(super) id_context: &'static str,
    pub(super) signature_domain: &'static [u8],
}

/// An entry around its body. The scope says which log it belongs to, and what else the form has ahead of the author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope<const SCOPE: usize> {
    pub(super) id: EntryId,
    pub(super) scope: [u8; SCOPE],
    pub(super) author: [u8; 32],
    pub(super) at: Timestamp,
    pub(super) parents: Vec<EntryId>,
    pub(super) kind: u8,
    signature: [u8; SIGNATURE_BYTES],
    pub(super) bytes: Arc<[u8]>,
}

impl Form {
    /// Signs an entry. `parents` must be sorted, without duplicates, and no more than the limit.
    pub(super) fn sign<const SCOPE: usize>(
        &self,
        key: &SigningKey,
        scope: [u8; SCOPE],
        at: Timestamp,
        parents: Vec<EntryId>,
        (kind, body): (u8, &[u8]),
    ) -> Result<Envelope<SCOPE>> {
        let author = key.verifying_key().to_bytes();
        let too_long = || IdentityError::Malformed { what: self.what, problem: "it is longer than 64 KiB" };
        let body_length = u16::try_from(body.len()).map_err(|_| too_long())?;
        let parents_count = u8::try_from(parents.len()).expect("the author names at most 64 parents");

        let mut bytes = Vec::with_capacity(body.len() + 32 * parents.len() + 160);
        bytes.push(VERSION);
        bytes.extend_from_slice(&scope);
        bytes.extend_from_slice(&author);
        bytes.extend_from_slice(&at.as_u64().to_le_bytes());
        bytes.push(parents_count);
        parents.iter().for_each(|parent| bytes.extend_from_slice(parent.as_bytes()));
        bytes.push(kind);
        bytes.extend_from_slice(&body_length.to_le_bytes());
        bytes.extend_from_slice(body);

        let id = EntryId::from_bytes(blake3::derive_key(self.id_context, &bytes));
        let signature = keys::sign(key, self.signature_domain, id.as_bytes());
        bytes.extend_from_slice(&signature);
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(too_long());
        }
        Ok(Envelope { id, scope, author, at, parents, kind, signature, bytes: bytes.into() })
    }

    /// Reads an entry, strictly, without checking what it claims; gives its body as well.
    pub(super) fn parse<'b, const SCOPE: usize>(&self, bytes: &'b [u8]) -> Result<(Envelope<SCOPE>, &'b [u8])> {
        let mut reader = Reader::new(self.what, bytes);
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(reader.malformed("it is longer than 64 KiB"));
        }
        reader.version(VERSION)?;
        let (scope, author) = (reader.array()?, reader.array()?);
        let at = Timestamp::from_u64(reader.u64()?);
        let parents_count = usize::from(reader.u8()?);
        if parents_count > ENTRY_PARENTS_MAX {
            return Err(reader.malformed("it has more than 64 parents"));
        }
        let parents =
            (0..parents_count).map(|_| Ok(EntryId::from_bytes(reader.array()?))).collect::<Result<Vec<_>>>()?;
        if !parents.is_sorted_by(|a, b| a < b) {
            return Err(reader.malformed("its parents are not sorted, or doubled"));
        }
        let kind = reader.u8()?;
        let body_length = usize::from(reader.u16()?);
        let body = reader.bytes(body_length)?;
        let signature = reader.array()?;
        reader.end()?;
        let id = EntryId::from_bytes(blake3::derive_key(self.id_context, &bytes[..bytes.len() - SIGNATURE_BYTES]));
        Ok((Envelope { id, scope, author, at, parents, kind, signature, bytes: bytes.into() }, body))
    }

    /// Checks the author's signature.
    pub(super) fn verify<const SCOPE: usize>(&self, entry: &Envelope<SCOPE>) -> Result<()> {
        keys::verify(self.signed, &entry.author, self.signature_domain, entry.id.as_bytes(), &entry.signature)
    }
}
