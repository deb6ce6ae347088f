//! Whom a backup is encrypted to.
//!
//! The user's root key signs; age needs a key that one can encrypt to. Both are points of the same curve, so the
//! public root key, which every device knows, gives the one, and the 24 words the other: RFC 7748 has the map from
//! edwards25519 to curve25519. That one pair serves both is shown safe by Thormarker, "On using the same key pair for
//! Ed25519 and an X25519 based KEM" (IACR ePrint 2021/509).

use std::iter;
use std::str::FromStr;

use age::x25519;
use bech32::{ToBase32, Variant};
use zeroize::Zeroizing;

use super::BackupError;
use crate::identity::{RootKey, RootPublic};

/// Who can read a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recipient {
    /// Who has the user's 24 words.
    Phrase,
    /// Who has the secret half of this age key, `age1..`. To become a device of the user again, the 24 words are
    /// needed as well.
    Key(String),
}

impl Recipient {
    pub(super) fn key(&self, user: RootPublic) -> Result<x25519::Recipient, BackupError> {
        let public = match self {
            Self::Phrase => encode("age", &user.sealing()),
            Self::Key(key) => Zeroizing::new(key.trim().to_owned()),
        };
        x25519::Recipient::from_str(&public).map_err(|_| BackupError::Recipient { recipient: public.to_string() })
    }
}

/// The key that opens a backup: of the user with this root key, or the given one.
pub(crate) fn unlock(root: &RootKey, key: Option<&str>) -> Result<x25519::Identity, BackupError> {
    let secret = match key {
        None => encode("age-secret-key-", root.sealing_secret().as_ref()),
        Some(key) => Zeroizing::new(key.trim().to_owned()),
    };
    x25519::Identity::from_str(&secret).map_err(|_| BackupError::Key)
}

/// A key as age writes it. Its secret keys are in capitals.
fn encode(prefix: &str, key: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(bech32::encode(prefix, key.to_base32(), Variant::Bech32).unwrap_or_default());
    if prefix == "age" { text } else { Zeroizing::new(text.to_uppercase()) }
}

/// What age takes: several recipients, of which there is one.
pub(super) fn one(recipient: &x25519::Recipient) -> impl Iterator<Item = &dyn age::Recipient> {
    iter::once(recipient as &dyn age::Recipient)
}
