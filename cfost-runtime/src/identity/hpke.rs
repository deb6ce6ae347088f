//! Sealing to one device: HPKE (RFC 9180) with X25519, HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! The pre-shared-key mode also binds the ciphertext to a secret that both sides know already.

use std::convert::Infallible;

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, HpkeError, OpModeR, OpModeS, PskBundle, Serializable};

use crate::host::Host;

/// Bytes by which a sealed message is longer than what is in it.
pub(super) const TAG_BYTES: usize = 16;

pub(super) type Sealer = AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;
pub(super) type Opener = AeadCtxR<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;

/// A secret that both sides know, and its name.
pub(super) struct SharedSecret<'a> {
    pub(super) key: &'a [u8; 32],
    pub(super) id: &'a [u8],
}

/// What seals messages, in order, to the device with the X25519 key `to`; and the 32 bytes that the
/// receiver needs to open them.
pub(super) fn sealer(
    host: &Host,
    to: &[u8; 32],
    shared: SharedSecret<'_>,
    info: &[u8],
) -> Result<([u8; 32], Sealer), HpkeError> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to)?;
    let mode = OpModeS::Psk(PskBundle::new(shared.key, shared.id)?);
    let (encapsulated, sealer): (_, Sealer) = hpke::setup_sender_with_rng(&mode, &to, info, &mut HostRng(host))?;
    let mut bytes = [0; 32];
    encapsulated.write_exact(&mut bytes);
    Ok((bytes, sealer))
}

/// What opens messages that were sealed to the device with the X25519 secret `secret`.
pub(super) fn opener(
    secret: &[u8; 32],
    encapsulated: &[u8; 32],
    shared: SharedSecret<'_>,
    info: &[u8],
) -> Result<Opener, HpkeError> {
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)?;
    let mode = OpModeR::Psk(PskBundle::new(shared.key, shared.id)?);
    hpke::setup_receiver(&mode, &secret, &encapsulated, info)
}

/// The host's randomness in the form that RustCrypto asks for.
pub(super) struct HostRng<'a>(pub(super) &'a Host);

impl TryRng for HostRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.0.random()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.0.random()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for HostRng<'_> {}
