//! Names and addresses that people type, and that other devices show on their screens.

use super::error::{IdentityError, Result};
use super::limits::{DEVICE_NAME_BYTES_MAX, EMAIL_BYTES_MAX, USER_NAME_BYTES_MAX};

/// Checks the name of a device.
pub(super) fn check_device_name(name: &str) -> Result<()> {
    check("device name", name, DEVICE_NAME_BYTES_MAX, "is longer than 64 bytes: shorten it")
}

/// Checks the name of a user.
pub(super) fn check_user_name(name: &str) -> Result<()> {
    check("user name", name, USER_NAME_BYTES_MAX, "is longer than 128 bytes: shorten it")
}

/// Checks an e-mail address, loosely: it is a label, nothing is sent to it.
pub(super) fn check_email(email: &str) -> Result<()> {
    let field = "e-mail address";
    check(field, email, EMAIL_BYTES_MAX, "is longer than 254 bytes")?;
    let shaped = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !shaped || email.contains(char::is_whitespace) {
        return Err(IdentityError::Text { field, problem: "does not look like name@host" });
    }
    Ok(())
}

fn check(field: &'static str, text: &str, bytes_max: usize, too_long: &'static str) -> Result<()> {
    let problem = if text.trim().is_empty() {
        "is empty"
    } else if text.len() > bytes_max {
        too_long
    } else if text.chars().any(steers_the_screen) {
        "contains control or text-direction characters: remove them"
    } else {
        return Ok(());
    };
    Err(IdentityError::Text { field, problem })
}

/// Characters that move the cursor, start escape sequences, or reorder the text around them: on the
/// screen where a pairing is confirmed they could make one device look like another.
fn steers_the_screen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
