//! The device master key, under which a device's secrets lie on its disk.

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use zeroize::Zeroizing;

use super::error::{IdentityError, Result};
use super::wire::Reader;
use crate::host::Host;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// A random key that never leaves its device and encrypts the device's secrets there.
///
/// The vault holds it under the user's password, so a new password does not touch the secrets.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    pub(crate) fn generate(host: &Host) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        host.fill(key.as_mut());
        Self(key)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Encrypts `secret` for the place that `context` names, such as `device keys` or an epoch key's
    /// space and number: what was wrapped for one place cannot be unwrapped in another.
    pub fn wrap(&self, host: &Host, context: &str, secret: &[u8]) -> Vec<u8> {
        let nonce = host.random::<NONCE_BYTES>();
        let mut wrapped = vec![VERSION];
        wrapped.extend_from_slice(&nonce);
        wrapped.extend(seal(&self.0, &nonce, &associated(context), secret));
        wrapped
    }

    /// Decrypts what [`Self::wrap`] made with the same key and context.
    ///
    /// # Errors
    /// [`IdentityError::Wrapped`] if it was altered, or made for another place or by another key;
    /// [`IdentityError::Version`] for a newer format.
    pub fn unwrap(&self, context: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut reader = Reader::new("a wrapped secret", wrapped);
        reader.version(VERSION)?;
        let nonce = reader.array()?;
        open(&self.0, &nonce, &associated(context), reader.rest())
            .ok_or_else(|| IdentityError::Wrapped { context: context.to_owned() })
    }
}

fn associated(context: &str) -> Vec<u8> {
    [&[VERSION], context.as_bytes()].concat()
}

/// XChaCha20-Poly1305: random nonces of 24 bytes do not repeat, not even after a restored backup.
pub(super) fn seal(key: &[u8; 32], nonce: &[u8; NONCE_BYTES], aad: &[u8], secret: &[u8]) -> Vec<u8> {
    XChaCha20Poly1305::new(key.into())
        .encrypt(nonce.into(), Payload { msg: secret, aad })
        .expect("secrets are far below the cipher's limit of 256 GiB")
}

pub(super) fn open(key: &[u8; 32], nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let opened = XChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), Payload { msg: sealed, aad });
    opened.ok().map(Zeroizing::new)
}
