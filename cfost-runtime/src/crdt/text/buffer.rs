//! A gap buffer: a text in which each edit costs the distance from the edit before.

use std::ops::Range;
use std::sync::OnceLock;

/// The room that a buffer makes at once for what is typed.
const GAP_BYTES_MIN: usize = 256;

/// UTF-8 with a gap where the last edit was. The text in one piece is made when it is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer {
    /// The text before `gap`, then bytes without meaning, then the text after it. While `whole` has the
    /// text and no edit was made, there is nothing here.
    bytes: Vec<u8>,
    gap: Range<usize>,
    whole: OnceLock<String>,
}

impl Buffer {
    pub(super) fn new(text: String) -> Self {
        Self { bytes: Vec::new(), gap: 0..0, whole: OnceLock::from(text) }
    }

    pub(super) fn len(&self) -> usize {
        match self.whole.get() {
            Some(whole) => whole.len(),
            None => self.bytes.len() - self.gap.len(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.whole.get_or_init(|| {
            let (before, after) = (&self.bytes[..self.gap.start], &self.bytes[self.gap.end..]);
            // Edits are at the boundaries of characters only, so nothing is ever replaced here.
            String::from_utf8_lossy(&[before, after].concat()).into_owned()
        })
    }

    pub(super) fn is_boundary(&self, at: usize) -> bool {
        if let Some(whole) = self.whole.get() {
            return whole.is_char_boundary(at);
        }
        let inside = |byte: u8| byte & 0xc0 == 0x80;
        match self.byte(at) {
            Some(byte) => !inside(byte),
            None => at == self.len(),
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        let at = if at < self.gap.start { at } else { at.checked_add(self.gap.len())? };
        self.bytes.get(at).copied()
    }

    /// Replaces `range`, which lies at boundaries of characters, by `text`.
    pub(super) fn splice(&mut self, range: Range<usize>, text: &str) {
        if let Some(whole) = self.whole.take() {
            // What was made for a reader is dropped; a text that was never edited becomes the bytes.
            if self.bytes.is_empty() {
                self.bytes = whole.into_bytes();
                self.gap = self.bytes.len()..self.bytes.len();
            }
        }
        self.move_gap(range.start);
        self.gap.end += range.len();
        if self.gap.len() < text.len() {
            self.grow(text.len() - self.gap.len());
        }
        let end = self.gap.start + text.len();
        self.bytes[self.gap.start..end].copy_from_slice(text.as_bytes());
        self.gap.start = end;
    }

    fn move_gap(&mut self, to: usize) {
        let Range { start, end } = self.gap.clone();
        if to < start {
            self.bytes.copy_within(to..start, end - (start - to));
        } else {
            self.bytes.copy_within(end..end + (to - start), start);
        }
        self.gap = to..to + (end - start);
    }

    /// Widens the gap by at least `bytes`.
    fn grow(&mut self, bytes: usize) {
        let old = self.bytes.len();
        let more = bytes.max(old / 4).max(GAP_BYTES_MIN);
        self.bytes.resize(old + more, 0);
        self.bytes.copy_within(self.gap.end..old, self.gap.end + more);
        self.gap.end += more;
    }
}
