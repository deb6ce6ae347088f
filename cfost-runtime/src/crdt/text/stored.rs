//! A document as a database keeps it.

use std::fmt;
use std::sync::OnceLock;

use super::{Document, TextError};

/// What is kept of a document: a snapshot, and the deltas since, each with the peer that made it.
/// Reading it costs nothing until what is in it is asked for.
#[derive(Default)]
pub struct Stored {
    snapshot: Vec<u8>,
    deltas: Vec<(u64, Vec<u8>)>,
    document: OnceLock<Document>,
}

impl Stored {
    /// What a database keeps; an empty `snapshot` is the empty document's.
    pub fn new(snapshot: Vec<u8>, deltas: Vec<(u64, Vec<u8>)>) -> Self {
        Self { snapshot, deltas, document: OnceLock::new() }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &[u8] {
        &self.snapshot
    }

    /// The deltas since, each with the peer that made it.
    pub fn deltas(&self) -> &[(u64, Vec<u8>)] {
        &self.deltas
    }

    /// The document, by itself.
    ///
    /// # Errors
    /// When the snapshot is damaged.
    pub fn load(&self) -> Result<Document, TextError> {
        Document::load(&self.snapshot, self.deltas.iter().map(|(peer, delta)| (*peer, delta.as_slice())))
    }

    /// The document, to look at. A damaged one is empty: the text itself doesn't come from here.
    pub(super) fn document(&self) -> &Document {
        self.document.get_or_init(|| {
            self.load().unwrap_or_else(|error| {
                tracing::warn!(%error, "marks and cursors of a text can't be read");
                Document::new()
            })
        })
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("snapshot", &self.snapshot.len()).field("deltas", &self.deltas.len()).finish()
    }
}
