//! Sealing to one device: HPKE (RFC 9180) with X25519, HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! The pre-shared-key mode also binds the ciphertext to a secret that both sides know already.

use std::convert::Infallible;

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, HpkeError, OpModeR, OpModeS, PskBundle, Serializable};
use zeroize::Zeroizing;

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

/// Seals one message to the device with the X25519 key `to`: the encapsulated key, then what is sealed. Only `info`
/// binds it, so that must say what it is for.
pub(super) fn seal_once(host: &Host, to: &[u8; 32], info: &[u8; 32], message: &[u8]) -> Result<Vec<u8>, HpkeError> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to)?;
    let (encapsulated, mut sealer): (_, Sealer) =
        hpke::setup_sender_with_rng(&OpModeS::Base, &to, info, &mut HostRng(host))?;
    let mut sealed = vec![0; 32];
    encapsulated.write_exact(&mut sealed);
    sealed.extend_from_slice(&sealer.seal(message, &[])?);
    Ok(sealed)
}

/// Opens what [`seal_once`] has sealed to the device with the X25519 secret `secret`.
pub(super) fn open_once(secret: &[u8; 32], info: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret)?;
    let (encapsulated, sealed) = sealed.split_at_checked(32).ok_or(HpkeError::OpenError)?;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)?;
    let mut opener: Opener = hpke::setup_receiver(&OpModeR::Base, &secret, &encapsulated, info)?;
    Ok(Zeroizing::new(opener.open(sealed, &[])?))
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
