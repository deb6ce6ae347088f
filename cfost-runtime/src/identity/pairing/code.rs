//! Bytes as text that survives being typed, pasted, wrapped and upper-cased: Crockford's base 32.
//!
//! Its letters and digits are in the alphanumeric set of QR codes, which makes the code smaller than
//! base 64 would, and it has no letters that look like digits.

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// `bytes` in base 32, without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut pending, mut bits) = (0_u32, 0);
    for byte in bytes {
        pending = (pending << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(pending >> bits) as usize & 31]));
        }
        pending &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(pending << (5 - bits)) as usize & 31]));
    }
    text
}

/// The bytes that [`encode`] made `text` of. Case does not matter; `O` reads as 0, `I` and `L` as 1;
/// white space and hyphens are skipped. `None` for any other character, and for left-over bits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut pending, mut bits) = (0_u32, 0);
    for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let c = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        };
        let digit = ALPHABET.iter().position(|symbol| char::from(*symbol) == c)?;
        pending = (pending << 5) | digit as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((pending >> bits) as u8);
        }
        pending &= (1 << bits) - 1;
    }
    (bits < 5 && pending == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Promise: the alphabet is the published one. Values from a second implementation.
    #[test]
    fn the_alphabet_is_crockfords() {
        assert_eq!(encode(b"f"), "CR");
        assert_eq!(encode(b"foobar"), "CSQPYRK1E8");
        assert_eq!(decode("csq-pyr k1e8").as_deref(), Some(b"foobar".as_slice()));
        assert_eq!(decode("CSQPYRKLE8"), decode("CSQPYRKIE8"));
        assert_eq!(decode("CSQPYRK1EU"), None, "U is not in the alphabet");
        assert_eq!(decode("CS"), None, "bits are left over");
    }

    proptest! {
        /// Promise: what was encoded is decoded; and garbage is refused without a panic.
        #[test]
        fn decoding_undoes_encoding(bytes in prop::collection::vec(any::<u8>(), 0..200), garbage in "\\PC{0,40}") {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
            let _either = decode(&garbage);
        }
    }
}
