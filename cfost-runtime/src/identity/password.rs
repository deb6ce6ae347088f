//! Passwords: one form for what two keyboards type, and none that a program guesses first.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_public_assigned;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use super::error::{IdentityError, Result};
use super::limits::{PASSWORD_CHARS_MIN, PASSWORD_CHARS_RATED_MAX};

/// NFC makes at most three times as many bytes of a text in UTF-8 (Unicode, UAX #15, section 9).
const NFC_GROWTH_MAX: usize = 3;

/// The hint for a password whose weakness has no name.
const HINT: &str = "Use a few uncommon words.";

/// Checks a new password as [`Vault::lock`](super::Vault::lock) does: an app may call it while the user types.
/// `about` is what others know of the user, such as name and address.
///
/// Besides its length, what counts is how many guesses a program that knows words, names, dates, keyboards and
/// common passwords would take, as [zxcvbn](https://www.usenix.org/conference/usenixsecurity16/technical-sessions/presentation/wheeler)
/// estimates: fewer than 10^8 are too few, since whoever has the file can go on guessing.
///
/// # Errors
/// [`IdentityError::WeakPassword`] if it is too short, [`IdentityError::GuessablePassword`] with a hint how to
/// choose a better one, [`IdentityError::Text`] if it has a character that can't be relied on.
pub fn check_password(password: &str, about: &[&str]) -> Result<()> {
    let password = normalise(password);
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(IdentityError::WeakPassword { chars_min: PASSWORD_CHARS_MIN });
    }
    let refuse = |problem| Err(IdentityError::Text { field: "the password", problem });
    if password.chars().any(char::is_control) {
        return refuse("contains control characters, which not every keyboard has: remove them");
    }
    if !password.chars().all(is_public_assigned) {
        return refuse("contains characters that are not in Unicode, or newer than this app: remove them");
    }
    let words = about.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()).chain([*text]));
    let words: Vec<&str> = words.filter(|word| word.chars().count() > 1).collect();
    let rated = password.char_indices().nth(PASSWORD_CHARS_RATED_MAX).map_or(password.len(), |(end, _)| end);
    let estimate = zxcvbn(&password[..rated], &words);
    if estimate.score() >= Score::Three {
        return Ok(());
    }
    let feedback = estimate.feedback();
    let warning = feedback.and_then(|feedback| feedback.warning()).map(|warning| warning.to_string());
    let suggestions = feedback.map(|feedback| feedback.suggestions()).unwrap_or_default();
    let hint: Vec<String> = warning.into_iter().chain(suggestions.iter().map(ToString::to_string)).collect();
    let hint = if hint.is_empty() { HINT.to_owned() } else { hint.join(" ") };
    Err(IdentityError::GuessablePassword { hint })
}

/// The form in which a password is hashed, the same on every keyboard: the profile `OpaqueString` of RFC 8265
/// (section 4.2), which turns spaces of other widths into U+0020 and the rest into NFC.
///
/// NFC and not NFKC: what looks alike and is typed apart, such as `ﬁ` and `fi` or a full-width letter, adds to the
/// password's strength, and folding it would make two passwords of different people one.
pub(super) fn normalise(password: &str) -> Zeroizing<String> {
    // As large as it gets, so that no reallocation leaves the password behind in freed memory.
    let mut normalised = Zeroizing::new(String::with_capacity(NFC_GROWTH_MAX * password.len()));
    normalised.extend(password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc());
    normalised
}

/// The characters of Unicode's category Zs: those that [`char::is_whitespace`] knows, less the controls, the line
/// and the paragraph separator.
fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}
