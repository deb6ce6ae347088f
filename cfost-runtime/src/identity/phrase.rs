//! The recovery phrase: 24 words from which a user's root key comes.

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use super::error::{IdentityError, Result};
use crate::host::Host;

/// 24 words of BIP-39's English list: 256 random bits and 8 bits of checksum.
///
/// Whoever knows them *is* the user. They are erased from memory on drop, and cannot be printed by
/// accident: there is no `Debug` and no `Display`.
#[derive(Clone)]
pub struct RecoveryPhrase(Zeroizing<[u8; 32]>);

impl RecoveryPhrase {
    /// How many words a phrase has.
    pub const WORDS: usize = 24;

    /// A new phrase, for a new user.
    pub fn generate(host: &Host) -> Self {
        let mut entropy = Zeroizing::new([0; 32]);
        host.fill(entropy.as_mut());
        Self(entropy)
    }

    /// The phrase with this entropy, as [`Self::entropy`] gave it.
    pub fn from_entropy(entropy: Zeroizing<[u8; 32]>) -> Self {
        Self(entropy)
    }

    /// Reads what a person typed: case and white space do not matter.
    ///
    /// # Errors
    /// [`IdentityError::PhraseLength`], [`IdentityError::PhraseWord`] with the position of the first
    /// unknown word, or [`IdentityError::PhraseChecksum`].
    pub fn parse(text: &str) -> Result<Self> {
        let text = Zeroizing::new(text.to_lowercase());
        let words = text.split_whitespace().count();
        if words != Self::WORDS {
            return Err(IdentityError::PhraseLength { words });
        }
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &text).map_err(|error| match error {
            bip39::Error::UnknownWord(index) => IdentityError::PhraseWord { position: index + 1 },
            _ => IdentityError::PhraseChecksum,
        })?;
        let (entropy, _) = mnemonic.to_entropy_array();
        let entropy = Zeroizing::new(entropy);
        let mut phrase = Self(Zeroizing::new([0; 32]));
        phrase.0.copy_from_slice(&entropy[..32]);
        Ok(phrase)
    }

    /// The words, separated by single spaces: to be shown once, and written on paper.
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, self.0.as_ref())
            .expect("32 bytes are one of the entropy lengths of BIP-39");
        // The longest word has 8 letters: the string never grows, so no copy is left behind.
        let mut text = Zeroizing::new(String::with_capacity(Self::WORDS * 9));
        for word in mnemonic.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The 32 bytes behind the words, for storing the phrase until it has been shown.
    pub fn entropy(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ManualClock;

    /// Promise: what a person wrote on paper brings back the same key, however it is typed.
    #[test]
    fn a_phrase_is_read_back_in_any_case_and_spacing() {
        let phrase = RecoveryPhrase::generate(&Host::simulated(ManualClock::default(), 1));
        let typed = phrase.words().to_uppercase().replace(' ', "  \n ");
        let read = RecoveryPhrase::parse(&typed).expect("a generated phrase is valid");
        assert_eq!(read.entropy(), phrase.entropy());
        assert_eq!(phrase.words().split(' ').count(), 24);
    }

    /// Promise: a typo says where it is, and a swap is noticed. The phrase is the first test vector of
    /// BIP-39 with 24 words.
    #[test]
    fn mistakes_in_a_phrase_are_told_apart() {
        let vector = format!("{}art", "abandon ".repeat(23));
        let read = RecoveryPhrase::parse(&vector).expect("a test vector of BIP-39");
        assert_eq!(**read.entropy(), [0; 32]);
        assert_eq!(*read.words(), vector);

        let error = |text: &str| RecoveryPhrase::parse(text).err();
        assert_eq!(error("abandon art"), Some(IdentityError::PhraseLength { words: 2 }));
        assert_eq!(error(""), Some(IdentityError::PhraseLength { words: 0 }));
        let misspelt = vector.replacen("abandon abandon", "abandon abandom", 1);
        assert_eq!(error(&misspelt), Some(IdentityError::PhraseWord { position: 2 }));
        let swapped = format!("art {}", "abandon ".repeat(23));
        assert_eq!(error(&swapped), Some(IdentityError::PhraseChecksum));
    }
}
