//! What opens a device: its vault, the logins that failed, and the master key while it is logged in.

use zeroize::Zeroizing;

use crate::host::Host;
use crate::identity::{IdentityError, KeyringError, LoginAttempts, MasterKey, PasswordCost, SharedKeyring, Vault};

/// Names an entry of a keyring.
pub(super) type KeyringId = [u8; 16];

/// What opens a device.
#[derive(Clone, Default)]
pub(in crate::store) struct Contents {
    /// `None` until there is a password.
    pub(super) vault: Option<Vec<u8>>,
    /// Failed logins; `None` if there were none yet.
    pub(super) attempts: Option<Vec<u8>>,
    pub(super) open: OpenMaster,
}

/// Where the master key of a logged-in device is.
#[derive(Clone, Default)]
pub(super) enum OpenMaster {
    /// Nowhere: the device is logged out.
    #[default]
    Nowhere,
    /// Here, beside the vault.
    Here(MasterKey),
    /// In a keyring.
    Keyring(KeyringId),
}

impl Contents {
    /// Whether a password opens the device.
    pub(in crate::store) fn has_password(&self) -> bool {
        self.vault.is_some()
    }

    /// Begins a login: counts it before the password is tried, so that killing the app gains no attempt. What it
    /// changed has to be kept, whatever the answer: the wait that a refusal names counts from now, even if the clock
    /// was set back.
    pub(in crate::store) fn begin_login(&mut self, now_ms: u64) -> Result<Vault, IdentityError> {
        let vault = self.vault.as_deref().ok_or(IdentityError::NotPaired)?;
        let mut attempts = match &self.attempts {
            None => LoginAttempts::default(),
            Some(bytes) => LoginAttempts::from_bytes(bytes)?,
        };
        let begun = attempts.begin(now_ms);
        let vault = begun.and_then(|()| Vault::from_bytes(vault));
        self.attempts = Some(attempts.to_bytes().to_vec());
        vault
    }

    /// The password was right. `upgraded` is the vault at today's cost, if that differs.
    pub(in crate::store) fn end_login(&mut self, unlocked: &Unlocked) {
        // Unless the password was changed meanwhile, by another handle or process.
        let same = self.vault.as_deref().is_some_and(|stored| stored == unlocked.vault.to_bytes());
        if let Some(upgraded) = unlocked.upgraded.as_ref().filter(|_| same) {
            self.vault = Some(upgraded.to_bytes().to_vec());
        }
        self.attempts = Some(LoginAttempts::default().to_bytes().to_vec());
    }
}

/// A vault that a password has opened.
pub(in crate::store) struct Unlocked {
    vault: Vault,
    upgraded: Option<Vault>,
    pub(in crate::store) master: MasterKey,
}

impl Unlocked {
    /// Tries a password: a quarter of a second of hashing, twice if the vault is weaker than `cost`.
    pub(in crate::store) fn try_password(
        host: &Host,
        vault: Vault,
        email: &str,
        password: &str,
        cost: PasswordCost,
    ) -> Result<Self, IdentityError> {
        let master = vault.unlock(email, password)?;
        let upgraded = vault.upgraded(host, cost, email, password, &master).unwrap_or_else(|error| {
            tracing::warn!(%error, "the vault stays as it is: it can't be made to today's cost on this device");
            None
        });
        Ok(Self { vault, upgraded, master })
    }
}

/// What a keyring calls the master key.
pub(super) fn keyring_name(id: &KeyringId) -> String {
    format!("cfost {}", uuid::Uuid::from_bytes(*id))
}

/// The bytes of a master key, erased when dropped.
pub(super) fn master_of(bytes: Vec<u8>) -> Option<MasterKey> {
    MasterKey::from_bytes(&Zeroizing::new(bytes))
}

/// Has the keyring forget a master key.
pub(super) fn delete(keyring: Option<&SharedKeyring>, id: &KeyringId) -> Result<(), KeyringError> {
    let name = keyring_name(id);
    let deleted = match keyring {
        Some(keyring) => keyring.delete(&name),
        None => Err(KeyringError::NotGiven),
    };
    deleted.map_err(|error| KeyringError::NotDeleted { name, reason: error.to_string() })
}
