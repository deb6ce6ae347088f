//! The vault: a device's master key, locked with the user's password.
//!
//! There is no server to ask whether a password is right. The password unlocks what lies on the
//! device's own disk, and the work of Argon2id (RFC 9106) is what stands between a thief of that disk
//! and every password worth trying. `docs/security.md` has the format as a table.
//!
//! ```
//! use cfost_runtime::host::Host;
//! use cfost_runtime::identity::{DeviceKeys, LoginAttempts, PasswordCost, Vault};
//!
//! # fn main() -> cfost_runtime::identity::Result<()> {
//! let host = Host::system();
//! let keys = DeviceKeys::generate(&host);
//!
//! // Registering: lock a new master key, and wrap the device's secrets with it.
//! let (vault, master) = Vault::create(&host, PasswordCost::default(), "ana@example.org", "correct horse")?;
//! let wrapped = master.wrap(&host, "device keys", keys.to_secret_bytes().as_ref());
//! let stored = vault.to_bytes();
//!
//! // Logging in: count the attempt, store the count, unlock, forget the count.
//! let mut attempts = LoginAttempts::default();
//! attempts.begin(host.now_ms())?;
//! let master = Vault::from_bytes(&stored)?.unlock("ana@example.org", "correct horse")?;
//! attempts.succeed();
//! let unwrapped = DeviceKeys::from_secret_bytes(&master.unwrap("device keys", &wrapped)?)?;
//! assert_eq!(unwrapped.id(), keys.id());
//! # Ok(())
//! # }
//! ```

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::{IdentityError, Result};
use super::limits::{PASSWORD_BYTES_MAX, PASSWORD_LANES_MAX, PASSWORD_MEMORY_KIB_MAX, PASSWORD_PASSES_MAX};
use super::master::{self, MasterKey};
use super::password::{check_password, normalise};
use super::text::check_email;
use super::wire::Reader;
use crate::host::Host;

/// What is made: address and password are hashed in one form, whatever keyboard they were typed on.
const VERSION: u8 = 2;
/// What is still opened: both were hashed as they were typed.
const VERSION_AS_TYPED: u8 = 1;
const KDF_ARGON2ID: u8 = 1;
const VERIFIER_CONTEXT: &str = "cfost vault verifier v1";
const WRAPPING_CONTEXT: &str = "cfost vault wrapping key v1";

/// How much work it is to try one password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Default for PasswordCost {
    /// RFC 9106's choice where memory is scarce: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

impl PasswordCost {
    /// Another cost than the default: less for tests, more for devices that can afford it.
    ///
    /// # Errors
    /// [`IdentityError::PasswordCost`] outside of 1 to 16 lanes, 1 to 10 passes, and 8 KiB a lane to
    /// 256 MiB. What lies in a file is held to the same bounds, so that a hostile one cannot ask for
    /// terabytes.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self> {
        let lanes_fit = (1..=PASSWORD_LANES_MAX).contains(&lanes);
        let passes_fit = (1..=PASSWORD_PASSES_MAX).contains(&passes);
        if !lanes_fit || !passes_fit || !(8 * lanes..=PASSWORD_MEMORY_KIB_MAX).contains(&memory_kib) {
            return Err(IdentityError::PasswordCost { memory_kib, passes, lanes });
        }
        Ok(Self { memory_kib, passes, lanes })
    }

    /// This cost where it is the higher, `other` where that is. The lanes are `other`'s: they say how the work is
    /// divided, not how much it is.
    fn at_least(self, other: Self) -> Result<Self> {
        Self::new(self.memory_kib.max(other.memory_kib), self.passes.max(other.passes), other.lanes)
    }

    fn is_weaker_than(self, other: Self) -> bool {
        self.memory_kib < other.memory_kib || self.passes < other.passes
    }
}

/// A master key, locked with an e-mail address and a password.
///
/// Holds no secret in the clear and can be stored as it is. The address is not in it: it goes into
/// the password hash, so a wrong address is the same failure, after the same work, as a wrong password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    version: u8,
    cost: PasswordCost,
    salt: [u8; 16],
    verifier: [u8; 32],
    nonce: [u8; 24],
    locked: [u8; 48],
}

impl Vault {
    /// How many bytes a stored vault takes.
    pub const BYTES: usize = 134;

    /// A new master key, and the vault that holds it. Takes as long as [`Self::unlock`].
    ///
    /// # Errors
    /// What [`check_password`] refuses, [`IdentityError::PasswordTooLong`], [`IdentityError::Text`]
    /// for something that is no address, [`IdentityError::OutOfMemory`].
    pub fn create(host: &Host, cost: PasswordCost, email: &str, password: &str) -> Result<(Self, MasterKey)> {
        let master = MasterKey::generate(host);
        let vault = Self::lock(host, cost, email, password, &master)?;
        Ok((vault, master))
    }

    /// The vault of an existing master key under another password, address or cost. Secrets wrapped by
    /// the key stay as they are.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn lock(host: &Host, cost: PasswordCost, email: &str, password: &str, master: &MasterKey) -> Result<Self> {
        check_email(email.trim())?;
        check_length(email, password)?;
        check_password(password, &[email])?;
        Self::seal(host, cost, email, password, master)
    }

    /// The vault as it would be made today, if this one is behind: its cost is below `cost`, or its format is an
    /// older one. `master`, `email` and `password` are those that have just opened it. The password stays as it
    /// is, strong or not, and nothing is weakened: what is above `cost` stays there.
    ///
    /// # Errors
    /// [`IdentityError::OutOfMemory`], [`IdentityError::PasswordCost`] if the two costs don't go together.
    pub fn upgraded(
        &self,
        host: &Host,
        cost: PasswordCost,
        email: &str,
        password: &str,
        master: &MasterKey,
    ) -> Result<Option<Self>> {
        if self.version == VERSION && !self.cost.is_weaker_than(cost) {
            return Ok(None);
        }
        let cost = self.cost.at_least(cost)?;
        Self::seal(host, cost, email, password, master).map(Some)
    }

    fn seal(host: &Host, cost: PasswordCost, email: &str, password: &str, master: &MasterKey) -> Result<Self> {
        let (salt, nonce) = (host.random(), host.random());
        let mut vault = Self { version: VERSION, cost, salt, verifier: [0; 32], nonce, locked: [0; 48] };
        let output = vault.stretch(email, password)?;
        vault.verifier = blake3::derive_key(VERIFIER_CONTEXT, output.as_ref());
        let locked = master::seal(&wrapping_key(&output), &vault.nonce, &vault.header(), master.as_bytes());
        vault.locked.copy_from_slice(&locked);
        Ok(vault)
    }

    /// The master key, for the right address and password. Takes 64 MiB and about a quarter of a
    /// second at the default cost: keep it off an executor's threads.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`] for a wrong password and for an unknown address alike,
    /// [`IdentityError::VaultDamaged`] if the password is right but the locked key was altered,
    /// [`IdentityError::PasswordTooLong`], [`IdentityError::OutOfMemory`].
    pub fn unlock(&self, email: &str, password: &str) -> Result<MasterKey> {
        let output = self.stretch(email, password)?;
        let verifier = Zeroizing::new(blake3::derive_key(VERIFIER_CONTEXT, output.as_ref()));
        if !bool::from(verifier.ct_eq(&self.verifier)) {
            return Err(IdentityError::WrongCredentials);
        }
        master::open(&wrapping_key(&output), &self.nonce, &self.header(), &self.locked)
            .and_then(|key| MasterKey::from_bytes(&key))
            .ok_or(IdentityError::VaultDamaged)
    }

    /// What it costs to try a password on this vault.
    pub fn cost(&self) -> PasswordCost {
        self.cost
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let header = self.header();
        bytes[..header.len()].copy_from_slice(&header);
        bytes[62..86].copy_from_slice(&self.nonce);
        bytes[86..].copy_from_slice(&self.locked);
        bytes
    }

    /// Reads a stored vault.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`], [`IdentityError::Version`], and [`IdentityError::PasswordCost`]
    /// for a cost outside of the bounds: before a byte is allocated for it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("vault", bytes);
        let version = bytes.first().copied().filter(|version| *version == VERSION_AS_TYPED).unwrap_or(VERSION);
        reader.version(version)?;
        if reader.u8()? != KDF_ARGON2ID {
            return Err(reader.malformed("its password hash is not Argon2id"));
        }
        let cost = PasswordCost::new(reader.u32()?, reader.u32()?, reader.u32()?)?;
        let vault = Self {
            version,
            cost,
            salt: reader.array()?,
            verifier: reader.array()?,
            nonce: reader.array()?,
            locked: reader.array()?,
        };
        reader.end()?;
        Ok(vault)
    }

    /// All that is not secret: authenticated along with the locked key.
    fn header(&self) -> Vec<u8> {
        let mut header = vec![self.version, KDF_ARGON2ID];
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&self.salt);
        header.extend_from_slice(&self.verifier);
        header
    }

    /// The password hash. Its input is the address, after its length, and the password.
    fn stretch(&self, email: &str, password: &str) -> Result<Zeroizing<[u8; 32]>> {
        check_length(email, password)?;
        let email = email.trim().to_lowercase();
        let (email, password) = match self.version {
            VERSION_AS_TYPED => (Zeroizing::new(email), Zeroizing::new(password.to_owned())),
            _ => (normalise(&email), normalise(password)),
        };
        let PasswordCost { memory_kib, passes, lanes } = self.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| IdentityError::PasswordCost {
            memory_kib,
            passes,
            lanes,
        })?;

        let mut input = Zeroizing::new(Vec::with_capacity(4 + email.len() + password.len()));
        input.extend_from_slice(&(email.len() as u32).to_le_bytes());
        input.extend_from_slice(email.as_bytes());
        input.extend_from_slice(password.as_bytes());
        let mut output = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&input, &self.salt, output.as_mut())
            .map_err(|_| IdentityError::OutOfMemory { memory_kib })?;
        Ok(output)
    }
}

fn check_length(email: &str, password: &str) -> Result<()> {
    if email.len() + password.len() > PASSWORD_BYTES_MAX {
        return Err(IdentityError::PasswordTooLong { bytes_max: PASSWORD_BYTES_MAX });
    }
    Ok(())
}

fn wrapping_key(output: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(WRAPPING_CONTEXT, output))
}
