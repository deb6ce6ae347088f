//! The key of an encrypted database file.

use rusqlite::Connection;

use crate::store::StoreError;

#[cfg(feature = "sqlcipher")]
pub(in crate::store) use with_sqlcipher::FileKey;

#[cfg(feature = "sqlcipher")]
mod with_sqlcipher {
    use zeroize::Zeroizing;

    use super::{Connection, StoreError};
    use crate::identity::MasterKey;

    const CONTEXT: &str = "cfost sqlcipher key v1";

    /// What SQLCipher encrypts a file with, as SQLCipher is told it: a key and no password, so that opening costs
    /// nothing.
    #[derive(Clone)]
    pub(in crate::store) struct FileKey(Zeroizing<String>);

    impl FileKey {
        /// The key of the file whose device has this master key.
        pub(in crate::store::atrest) fn of(master: &MasterKey) -> Self {
            let key = Zeroizing::new(blake3::derive_key(CONTEXT, master.as_bytes()));
            let mut literal = Zeroizing::new(String::with_capacity(2 * key.len() + 3));
            literal.push_str("x'");
            for nibble in key.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                literal.push(char::from_digit(nibble.into(), 16).expect("four bits are a digit"));
            }
            literal.push('\'');
            Self(literal)
        }

        /// Has a connection use the key; before anything else. SQLCipher would also tell stderr of what it finds, in
        /// the app's name.
        pub(in crate::store) fn apply(&self, conn: &Connection) -> Result<(), StoreError> {
            let statement = Zeroizing::new(format!("PRAGMA cipher_log = off; PRAGMA key = \"{}\"", self.literal()));
            Ok(conn.execute_batch(&statement)?)
        }

        /// As an SQL string has it, for a database that is attached.
        pub(in crate::store::atrest) fn literal(&self) -> &str {
            &self.0
        }
    }
}

/// Without SQLCipher there is none.
#[cfg(not(feature = "sqlcipher"))]
#[derive(Clone, Copy)]
pub(in crate::store) enum FileKey {}

#[cfg(not(feature = "sqlcipher"))]
impl FileKey {
    pub(in crate::store) fn apply(&self, _conn: &Connection) -> Result<(), StoreError> {
        match *self {}
    }
}
