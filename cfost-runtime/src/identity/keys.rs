//! The keys of a user and of a device.
//!
//! Secrets are erased from memory on drop; none of the types that hold one can be printed.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::error::{IdentityError, Result};
use super::phrase::RecoveryPhrase;
use crate::host::Host;
use crate::oplog::{DeviceId, UserId};

/// Separates the root key from whatever else may one day come from the same phrase.
const ROOT_KEY_CONTEXT: &str = "cfost root key v1";

/// A user's root key: it certifies the first device, and is then erased from that device.
pub struct RootKey(SigningKey);

impl RootKey {
    /// The root key that belongs to `phrase`: BLAKE3 in derive-key mode over its 256 bits. The slow
    /// PBKDF2 of BIP-39 is for phrases with a password of their own; full entropy needs no stretching.
    pub fn from_phrase(phrase: &RecoveryPhrase) -> Self {
        let seed = Zeroizing::new(blake3::derive_key(ROOT_KEY_CONTEXT, phrase.entropy().as_ref()));
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half.
    pub fn public(&self) -> RootPublic {
        RootPublic(self.0.verifying_key().to_bytes())
    }

    /// The user that the key stands for.
    pub fn user_id(&self) -> UserId {
        self.public().user_id()
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// The X25519 secret that opens what is sealed to [`RootPublic::sealing`].
    #[cfg(feature = "backup")]
    pub(crate) fn sealing_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }
}

/// The public half of a user's root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootPublic([u8; 32]);

impl RootPublic {
    /// The key with these bytes. Bytes that are no key verify nothing.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The user that the key stands for.
    pub fn user_id(&self) -> UserId {
        UserId::of_root_key(&self.0)
    }

    /// The same point as an X25519 key: what is meant for who has the recovery phrase is sealed to it.
    #[cfg(feature = "backup")]
    pub(crate) fn sealing(&self) -> [u8; 32] {
        VerifyingKey::from_bytes(&self.0).map(|key| key.to_montgomery().to_bytes()).unwrap_or_default()
    }
}

/// The three public keys of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DevicePublic {
    /// Ed25519: signs changes and identity entries. The device's id is its hash.
    pub signing: [u8; 32],
    /// Ed25519: the other end of a connection; its libp2p peer id.
    pub transport: [u8; 32],
    /// X25519: what is meant for this device alone is sealed to it.
    pub sealing: [u8; 32],
}

impl DevicePublic {
    /// How many bytes the keys take.
    pub const BYTES: usize = 96;

    /// The id of the device that has these keys.
    pub fn id(&self) -> DeviceId {
        DeviceId::of_key(&self.signing)
    }

    /// The keys one after the other: signing, transport, sealing.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        join(&self.signing, &self.transport, &self.sealing)
    }

    /// The keys with these bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [signing, transport, sealing] = split(bytes);
        Self { signing, transport, sealing }
    }
}

/// The secret keys of a device.
#[derive(Clone)]
pub struct DeviceKeys {
    signing: SigningKey,
    transport: SigningKey,
    sealing: StaticSecret,
}

impl DeviceKeys {
    /// How many bytes the secrets take.
    pub const BYTES: usize = 96;

    /// New keys, for a new device.
    pub fn generate(host: &Host) -> Self {
        let mut secrets = Zeroizing::new([0; Self::BYTES]);
        host.fill(secrets.as_mut());
        Self::from_array(&secrets)
    }

    /// The keys with these secrets, as [`Self::to_secret_bytes`] gave them.
    ///
    /// # Errors
    /// [`IdentityError::KeyLength`] for anything but 96 bytes.
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self> {
        let secrets = <&[u8; Self::BYTES]>::try_from(bytes).map_err(|_| IdentityError::KeyLength {
            what: "the device's secret",
            found: bytes.len(),
            expected: Self::BYTES,
        })?;
        Ok(Self::from_array(secrets))
    }

    /// The secrets, to be kept under the vault's master key: signing, transport, sealing.
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        Zeroizing::new(join(self.signing.as_bytes(), self.transport.as_bytes(), self.sealing.as_bytes()))
    }

    /// The public halves.
    pub fn public(&self) -> DevicePublic {
        DevicePublic {
            signing: self.signing.verifying_key().to_bytes(),
            transport: self.transport.verifying_key().to_bytes(),
            sealing: x25519_dalek::PublicKey::from(&self.sealing).to_bytes(),
        }
    }

    /// The device's id.
    pub fn id(&self) -> DeviceId {
        self.public().id()
    }

    /// The key that signs changes.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The Ed25519 secret that authenticates connections.
    pub fn transport_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.transport.to_bytes())
    }

    pub(super) fn transport(&self) -> &SigningKey {
        &self.transport
    }

    pub(super) fn sealing_secret(&self) -> &[u8; 32] {
        self.sealing.as_bytes()
    }

    fn from_array(secrets: &[u8; Self::BYTES]) -> Self {
        let parts = Zeroizing::new(split(secrets));
        Self {
            signing: SigningKey::from_bytes(&parts[0]),
            transport: SigningKey::from_bytes(&parts[1]),
            sealing: StaticSecret::from(parts[2]),
        }
    }
}

/// Signs `message` after `domain`, which keeps a signature from meaning something elsewhere.
pub(super) fn sign(key: &SigningKey, domain: &[u8], message: &[u8]) -> [u8; 64] {
    key.sign(&[domain, message].concat()).to_bytes()
}

/// Checks a signature made by [`sign`]. Strict: replicas must agree on which signatures hold.
pub(super) fn verify(
    what: &'static str,
    key: &[u8; 32],
    domain: &[u8],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<()> {
    if planted!("accept-any-entry") {
        return Ok(());
    }
    VerifyingKey::from_bytes(key)
        .and_then(|key| key.verify_strict(&[domain, message].concat(), &Signature::from_bytes(signature)))
        .map_err(|_| IdentityError::Signature { what })
}

/// Refuses an X25519 key of small order: all secrets agreed on with it are the same, zero, so anybody could
/// open what is sealed to it (RFC 7748, section 6.1).
pub(super) fn check_sealing(key: &[u8; 32]) -> Result<()> {
    // The order of such a point divides 8, as every scalar that X25519 uses is divided by it.
    if x25519_dalek::x25519([1; 32], *key) == [0; 32] && !planted!("seal-to-a-key-of-small-order") {
        return Err(IdentityError::SmallOrderKey { what: "the device's sealing key" });
    }
    Ok(())
}

fn join(a: &[u8; 32], b: &[u8; 32], c: &[u8; 32]) -> [u8; 96] {
    let mut joined = [0; 96];
    joined[..32].copy_from_slice(a);
    joined[32..64].copy_from_slice(b);
    joined[64..].copy_from_slice(c);
    joined
}

fn split(bytes: &[u8; 96]) -> [[u8; 32]; 3] {
    let mut parts = [[0; 32]; 3];
    for (part, bytes) in parts.iter_mut().zip(bytes.chunks_exact(32)) {
        part.copy_from_slice(bytes);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ManualClock;

    /// Promise: the same 24 words give the same user on any device, in every release.
    #[test]
    fn a_user_id_never_changes() {
        let phrase = RecoveryPhrase::from_entropy(Zeroizing::new([7; 32]));
        let root = RootKey::from_phrase(&phrase);
        assert_eq!(root.user_id(), root.public().user_id());
        assert_eq!(root.user_id().to_string(), "e10f297a-4899-8b6d-9071-11909dddb05c");
    }

    /// Promise: keys that went to the disk and back are the same keys.
    #[test]
    fn device_keys_survive_storage() {
        let keys = DeviceKeys::generate(&Host::simulated(ManualClock::default(), 2));
        let read = DeviceKeys::from_secret_bytes(keys.to_secret_bytes().as_ref()).expect("96 bytes");
        assert_eq!(read.public(), keys.public());
        assert_eq!(DevicePublic::from_bytes(&keys.public().to_bytes()), keys.public());
        let short = DeviceKeys::from_secret_bytes(&[0; 95]).err();
        assert_eq!(short, Some(IdentityError::KeyLength { what: "the device's secret", found: 95, expected: 96 }));
    }
}
