use qrcode::Color;

use super::Phone;
use crate::identity::IdentityError;
use crate::identity::pairing::shown::{Code as _, INVITATION};
use crate::identity::pairing::{Invitation, code};
use crate::identity::tests::host;

/// Promise: what is pasted is what was shown, however a mail program or a person mangles it.
#[test]
fn an_invitation_survives_being_copied() {
    let phone = Phone::new();
    let invitation = phone.inviter.invitation();
    let text = invitation.to_text();
    let wrapped: String = text
        .chars()
        .enumerate()
        .map(|(i, c)| if i > 6 && i % 20 == 0 { format!("\n  {c}") } else { c.into() })
        .collect();
    let letters = text.replace("CFOST:", "\0").replace('0', "O").replace('1', "l").replace('\0', "cfost:");
    for copied in [text.clone(), text.to_lowercase(), format!("  {text}\r\n"), wrapped, letters] {
        assert_eq!(Invitation::from_text(&copied).as_ref(), Ok(invitation), "{copied}");
    }
    assert!(text.len() < 280, "fits a QR code of 49 modules: {} characters", text.len());
    assert_eq!(invitation.hints().len(), 2);
}

/// Promise: a typing mistake is called one, wherever it is.
#[test]
fn a_typing_mistake_is_noticed() {
    let text = Phone::new().inviter.invitation().to_text();
    for position in 0..text.len() {
        let mut mistyped = text.clone().into_bytes();
        mistyped[position] = if mistyped[position] == b'7' { b'8' } else { b'7' };
        let mistyped = String::from_utf8(mistyped).expect("ASCII");
        let refused = Invitation::from_text(&mistyped);
        assert!(matches!(refused, Err(IdentityError::InvitationText { .. })), "{position}: {refused:?}");
    }
    for length in 0..text.len() {
        let refused = Invitation::from_text(&text[..length]);
        assert!(matches!(refused, Err(IdentityError::InvitationText { .. })), "{length}: {refused:?}");
    }
    for other in ["", "hello", "https://example.org/CFOST:", "CFOST:", "CFOST:é", "CFOST", &"CFOST:0".repeat(1000)] {
        assert!(matches!(Invitation::from_text(other), Err(IdentityError::InvitationText { .. })), "{other}");
    }
}

/// Promise: a code made by a newer app asks for an update, instead of calling it a typing mistake.
#[test]
fn a_newer_code_asks_for_an_update() {
    let mut bytes = Phone::new().inviter.invitation().to_bytes();
    bytes[0] = 2;
    let checksum = crate::identity::pairing::shown::INVITATION.checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    let newer = format!("CFOST:{}", code::encode(&bytes));
    let error = IdentityError::Version { what: "invitation", found: 2, supported: 1 };
    assert_eq!(Invitation::from_text(&newer), Err(error));
}

/// Promise: only addresses go into a code, and no more than scan well.
#[test]
fn hints_are_few_and_printable() {
    let (_, keys, log) = crate::identity::tests::phone_user(1);
    let good = (0..9).map(|port| format!("/ip4/10.0.0.1/tcp/{port}"));
    let bad = ["".to_owned(), "two words".to_owned(), "\u{1b}[2J".to_owned(), "x".repeat(129)];
    let invitation = Invitation::create(&host(1), log.user_id(), &keys.public(), bad.into_iter().chain(good));
    assert_eq!(invitation.hints().len(), 4);
    assert_eq!(invitation.hints()[0], "/ip4/10.0.0.1/tcp/0");

    let longest = (0..4).map(|_| "x".repeat(128));
    let largest = Invitation::create(&host(1), log.user_id(), &keys.public(), longest);
    assert_eq!(Invitation::from_text(&largest.to_text()), Ok(largest.clone()));
    assert!(largest.qr_svg().starts_with("<?xml"));
}

/// Promise: the secret is on the screen only when it is meant to be.
#[test]
fn debug_output_keeps_the_secret() {
    let phone = Phone::new();
    let invitation = phone.inviter.invitation();
    let printed = format!("{invitation:?}");
    let secret: Vec<String> = invitation.secret().iter().map(u8::to_string).collect();
    assert!(!printed.contains(&secret.join(", ")) && !printed.contains("secret"), "{printed}");
}

/// Promise: the terminal shows the very modules of the QR code, two a character, light ones lit, inside
/// a quiet zone of four modules.
#[test]
fn the_terminal_shows_the_qr_code() {
    let phone = Phone::new();
    let invitation = phone.inviter.invitation();
    let qr = INVITATION.qr(invitation);
    let (width, modules) = (qr.width(), qr.to_colors());
    let shown = invitation.qr_terminal();
    let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
    assert_eq!(lines.len(), (width + 8).div_ceil(2));
    assert!(lines.iter().all(|line| line.len() == width + 8));

    for y in 0..width + 8 {
        for x in 0..width + 8 {
            let lit = match (lines[y / 2][x], y % 2) {
                ('█', _) | ('▀', 0) | ('▄', 1) => true,
                (' ' | '▀' | '▄', _) => false,
                other => panic!("{other:?} is not part of a QR code"),
            };
            let inside = (4..width + 4).contains(&x) && (4..width + 4).contains(&y);
            let dark = inside && modules[(y - 4) * width + x - 4] == Color::Dark;
            assert_eq!(lit, !dark, "module {x}, {y}");
        }
    }
    let svg = invitation.qr_svg();
    assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>"));
}
