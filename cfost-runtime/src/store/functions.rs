//! The SQL functions that queries use.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use super::StoreError;

/// Gives a connection `cfost_contains(text, lower)`: whether `lower` is in the text, once the text is in lower
/// case. SQLite's own functions know the case of ASCII letters only.
pub(super) fn add(conn: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("cfost_contains", 2, flags, |context| {
        let (ValueRef::Text(text), ValueRef::Text(lower)) = (context.get_raw(0), context.get_raw(1)) else {
            return Ok(None);
        };
        let (Ok(text), Ok(lower)) = (std::str::from_utf8(text), std::str::from_utf8(lower)) else {
            return Ok(Some(false));
        };
        Ok(Some(text.to_lowercase().contains(lower)))
    })?;
    Ok(())
}
