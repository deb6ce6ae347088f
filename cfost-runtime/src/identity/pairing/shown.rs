//! What all codes have in common that one device shows and another one reads: text with a prefix that says what it is,
//! a checksum against typing mistakes, the QR code, address hints.

use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

use super::code;
use crate::identity::error::{IdentityError, Result};
use crate::identity::limits::{INVITATION_HINT_BYTES_MAX, INVITATION_HINTS_MAX, INVITATION_TEXT_BYTES_MAX};
use crate::identity::wire::{Reader, put_str};

pub(super) const CHECKSUM_BYTES: usize = 4;
/// Room for the count of the hints, the hints and the checksum.
const TAIL_BYTES_MAX: usize = 1 + INVITATION_HINTS_MAX * (1 + INVITATION_HINT_BYTES_MAX) + CHECKSUM_BYTES;

/// A code that holds a secret, as both ends of a pairing know it.
pub(super) trait Code {
    /// The canonical bytes, without checksum: what the transcript begins with.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>>;

    /// What only those know who have seen the code.
    fn secret(&self) -> &[u8; 16];
}

/// What a code is for.
pub(super) struct Kind {
    prefix: &'static str,
    checksum: &'static str,
    /// What to say where another kind is wanted.
    elsewhere: &'static str,
}

/// By which an authorised device invites a new one.
pub(super) const INVITATION: Kind = Kind {
    prefix: "CFOST:",
    checksum: "cfost invitation checksum v1",
    elsewhere: "invites a new device of its own user: follow it on the device that is new",
};

/// By which a new device asks to be let in.
pub(super) const CARD: Kind = Kind {
    prefix: "CFOST-NEW:",
    checksum: "cfost card checksum v1",
    elsewhere: "is the one of a new device: read it on a device that is the user's already",
};

/// By which the owner of a space invites another user.
pub(super) const SHARE: Kind = Kind {
    prefix: "CFOST-SHARE:",
    checksum: "cfost share invitation checksum v1",
    elsewhere: "invites another user to what its owner shares: accept it there, on a device of that user",
};

const KINDS: [&Kind; 3] = [&INVITATION, &CARD, &SHARE];

impl Kind {
    /// The text to paste: the prefix, and letters and digits. Its content is that of the QR code.
    pub(super) fn to_text(&self, code: &impl Code) -> String {
        let mut bytes = code.to_bytes();
        let checksum = self.checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        format!("{}{}", self.prefix, code::encode(&bytes))
    }

    /// The canonical bytes in what was scanned, pasted or typed.
    pub(super) fn read(&self, text: &str) -> Result<Zeroizing<Vec<u8>>> {
        let refuse = |problem| Err(IdentityError::InvitationText { problem });
        let text = text.trim();
        if text.len() > INVITATION_TEXT_BYTES_MAX {
            return refuse("is far too long");
        }
        if let Some(other) = KINDS.iter().find(|kind| kind.prefix != self.prefix && kind.coded(text).is_some()) {
            return refuse(other.elsewhere);
        }
        let Some(coded) = self.coded(text) else {
            return refuse(match text.len() < self.prefix.len() {
                true => "is too short: copy all of it",
                false => "does not begin with CFOST: copy all of it",
            });
        };
        let mut decoded = Zeroizing::new(code::decode(coded).unwrap_or_default());
        let Some((bytes, sum)) = decoded.split_last_chunk::<CHECKSUM_BYTES>() else {
            return refuse("is incomplete, or has a character that does not belong in it");
        };
        if self.checksum(bytes) != *sum {
            return refuse("has a typing mistake, or a part of it is missing");
        }
        let length = bytes.len();
        decoded.truncate(length);
        Ok(decoded)
    }

    /// What follows the prefix, if `text` begins with it.
    fn coded<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (prefix, coded) = text.split_at_checked(self.prefix.len())?;
        prefix.eq_ignore_ascii_case(self.prefix).then_some(coded)
    }

    pub(super) fn checksum(&self, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let [a, b, c, d, ..] = blake3::derive_key(self.checksum, bytes);
        [a, b, c, d]
    }

    pub(super) fn qr(&self, code: &impl Code) -> QrCode {
        QrCode::with_error_correction_level(self.to_text(code), EcLevel::L)
            .expect("the largest code has 1020 characters, the largest QR code holds 4296")
    }

    /// The QR code for a terminal with a dark background: two modules a character, with the quiet zone.
    pub(super) fn qr_terminal(&self, code: &impl Code) -> String {
        // A dark module is a blank, a light one is lit: on dark terminals that is dark on light.
        self.qr(code)
            .render::<unicode::Dense1x2>()
            .dark_color(unicode::Dense1x2::Light)
            .light_color(unicode::Dense1x2::Dark)
            .build()
    }

    /// The QR code as an SVG image, with the quiet zone.
    pub(super) fn qr_svg(&self, code: &impl Code) -> String {
        self.qr(code).render::<svg::Color<'_>>().build()
    }
}

/// Room for a code with so many bytes before its hints: as large as it gets, so that no reallocation leaves the secret
/// behind in freed memory.
pub(super) fn buffer(head_bytes: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(head_bytes + TAIL_BYTES_MAX))
}

/// Of `hints`, the first few that are printable ASCII and not too long.
pub(super) fn choose_hints(hints: impl IntoIterator<Item = String>) -> Vec<String> {
    hints.into_iter().filter(|hint| is_hint(hint)).take(INVITATION_HINTS_MAX).collect()
}

pub(super) fn put_hints(out: &mut Vec<u8>, hints: &[String]) {
    out.push(u8::try_from(hints.len()).expect("at most four hints"));
    hints.iter().for_each(|hint| put_str(out, hint));
}

pub(super) fn read_hints(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    let count = usize::from(reader.u8()?);
    if count > INVITATION_HINTS_MAX {
        return Err(reader.malformed("it has more than four address hints"));
    }
    let hints = (0..count).map(|_| Ok(reader.str()?.to_owned())).collect::<Result<Vec<_>>>()?;
    if !hints.iter().all(|hint| is_hint(hint)) {
        return Err(reader.malformed("an address hint is too long, or not printable"));
    }
    Ok(hints)
}

fn is_hint(hint: &str) -> bool {
    !hint.is_empty() && hint.len() <= INVITATION_HINT_BYTES_MAX && hint.bytes().all(|byte| byte.is_ascii_graphic())
}
