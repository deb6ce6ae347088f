//! The value that an app edits.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::buffer::Buffer;
use super::delta::beginning;
use super::edit::{Edit, Edits, check};
use super::{Cursor, Document, Mark, MarkValue, Stored, TextError, diff};

/// A text that several devices edit at once: each keeps its own characters, and the edits of all of
/// them merge.
///
/// It reads as a `str`. Edits are by position, in bytes as in `String`, against the text as it is here;
/// `tx.update` finds the same place in the text that the database has by then.
///
/// ```
/// use cfost_runtime::crdt::Text;
///
/// let mut text = Text::from("Hello world");
/// text.insert(5, ",");
/// text.replace("Hello, wide world");
/// text.mark(0..5, "bold", true);
/// assert_eq!(text, "Hello, wide world");
/// assert_eq!(&text.marks()[0].key, "bold");
/// ```
///
/// # Positions that aren't there
/// An edit at a position beyond the end or inside a character is not made, and doesn't panic: a position
/// may be of a text that was another a moment ago. [`Text::error`] says so, and storing such a text fails.
///
/// # Cost
/// An edit costs about the distance from the edit before. Reading after an edit costs the length once.
#[derive(Clone, Default)]
pub struct Text {
    buffer: Buffer,
    /// What was edited since `base`.
    edits: Edits,
    /// What the database held when the text was read; nothing for a text that begins empty.
    base: Option<Arc<Stored>>,
    error: Option<TextError>,
}

impl Text {
    /// An empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// A text as the database holds it: as plain text, and with its history.
    pub(crate) fn stored(plain: String, base: Option<Arc<Stored>>) -> Self {
        Self { buffer: Buffer::new(plain), edits: Edits::default(), base, error: None }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.buffer.as_str()
    }

    /// How many bytes the text has. Unlike `str::len` it costs nothing after an edit.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `text` in at a position.
    pub fn insert(&mut self, at: usize, text: &str) {
        self.splice(at..at, text);
    }

    /// Takes a range away.
    pub fn delete(&mut self, range: Range<usize>) {
        self.splice(range, "");
    }

    /// Puts `text` at the end.
    pub fn push_str(&mut self, text: &str) {
        self.insert(self.len(), text);
    }

    /// Replaces a range by `text`.
    pub fn splice(&mut self, range: Range<usize>, text: &str) {
        if let Err(error) = check(&range, self.len(), |at| self.buffer.is_boundary(at)) {
            self.error.get_or_insert(error);
            return;
        }
        self.edits.delete(range.clone());
        self.edits.insert(range.start, text);
        self.buffer.splice(range, text);
    }

    /// Makes the text equal to `new` by the smallest edit: what stays the same is not touched, so that
    /// the edits of other devices there, marks and cursors stay where they are.
    ///
    /// What the user sees as one character (a letter with its accents, an emoji of several parts) is
    /// replaced whole. Between texts that have little in common, whole lines are.
    pub fn replace(&mut self, new: &str) {
        let hunks = diff::hunks(self.as_str(), new);
        for (gone, came) in hunks.into_iter().rev() {
            self.splice(gone, &new[came]);
        }
    }

    /// Gives a range a mark: `text.mark(0..5, "bold", true)`. It replaces a mark of the same key there. What
    /// is typed inside a mark or right at its end is marked too; marks of all devices merge, of two on
    /// the same character and key one wins.
    pub fn mark(&mut self, range: Range<usize>, key: &str, value: impl Into<MarkValue>) {
        self.set_mark(range, key, Some(value.into()));
    }

    /// Takes the marks with this key away from a range.
    pub fn unmark(&mut self, range: Range<usize>, key: &str) {
        self.set_mark(range, key, None);
    }

    fn set_mark(&mut self, range: Range<usize>, key: &str, value: Option<MarkValue>) {
        let checked = check(&range, self.len(), |at| self.buffer.is_boundary(at));
        let checked = checked.and_then(|()| super::mark::check(key, value.as_ref()));
        match checked {
            Ok(()) => self.edits.mark(range, key, value),
            Err(error) => drop(self.error.get_or_insert(error)),
        }
    }

    /// Whether the marks are those of another text. Documents that are kept alike need not be opened to tell.
    pub(crate) fn has_marks_of(&self, other: &Self) -> bool {
        let kept = |text: &Self| text.edits.is_empty().then(|| text.base.clone());
        let alike = match (kept(self), kept(other)) {
            (Some(None), Some(None)) => true,
            (Some(Some(one)), Some(Some(other))) => {
                one.snapshot() == other.snapshot() && one.deltas() == other.deltas()
            }
            _ => false,
        };
        alike || self.marks() == other.marks()
    }

    /// The marks, by position and then by key; marks of equal value that touch are one.
    pub fn marks(&self) -> Vec<Mark> {
        if self.edits.is_empty() {
            return self.base.as_ref().map(|base| base.document().marks()).unwrap_or_default();
        }
        let mut document = self.base.as_ref().map_or_else(Document::new, |base| base.document().fork());
        match document.make(SCRATCH_PEER, self.edits()) {
            Ok(_) => document.marks(),
            Err(_) => Vec::new(),
        }
    }

    /// A place in the text that stays with the characters around it, whatever is edited before or after
    /// it, here or on other devices. Beyond the end it is the end, inside a character its beginning.
    ///
    /// A cursor names a character of the text as it was read from the database: among characters that have
    /// come in since, it stands where they came in.
    pub fn cursor(&self, at: usize) -> Cursor {
        let mut at = at.min(self.len());
        while !self.buffer.is_boundary(at) {
            at -= 1;
        }
        let Some(base) = &self.base else { return Cursor::edge(at, self.len()) };
        base.document().cursor(self.edits.backward(at))
    }

    /// Where a cursor is now, in bytes. If its character has been deleted, where that was; for a cursor of
    /// another text, the end.
    pub fn position(&self, cursor: &Cursor) -> usize {
        let at = match (&self.base, cursor.at_edge()) {
            (_, Some(at_end)) => return if at_end { self.len() } else { 0 },
            (None, None) => return self.len(),
            (Some(base), None) => base.document().position(cursor),
        };
        let mut at = self.edits.forward(at).min(self.len());
        while !self.buffer.is_boundary(at) {
            at -= 1;
        }
        at
    }

    /// The first edit that could not be made, if there is one. A text with one can't be stored.
    pub fn error(&self) -> Option<&TextError> {
        self.error.as_ref()
    }

    /// The delta that the text is made of, if it was begun here with one piece of text and nothing else.
    pub(crate) fn first_delta(&self) -> Option<Vec<u8>> {
        match self.edits() {
            [Edit::Insert(0, text)] if self.base.is_none() => beginning(text),
            _ => None,
        }
    }

    /// Whether the text was edited from what the database holds as `stored`.
    pub(crate) fn descends_from(&self, stored: &Stored) -> bool {
        match &self.base {
            Some(base) => base.snapshot() == stored.snapshot() && base.deltas() == stored.deltas(),
            None => stored.snapshot().is_empty() && stored.deltas().is_empty(),
        }
    }

    /// Whether the text begins empty, and not from what a database held.
    pub(crate) fn begins_empty(&self) -> bool {
        self.base.is_none()
    }

    /// Whether nothing was edited since the text was read.
    pub(crate) fn is_untouched(&self) -> bool {
        self.edits.is_empty()
    }

    /// A text with the same characters and marks, and no history.
    pub(crate) fn copy_of(other: &Self) -> Self {
        let mut copy = Self::new();
        copy.assign(other);
        copy
    }

    /// Makes the text and its marks equal to another one's, by the smallest edit.
    pub(crate) fn assign(&mut self, other: &Self) {
        self.replace(other.as_str());
        let (before, after) = (self.marks(), other.marks());
        for mark in before.iter().filter(|mark| !after.contains(mark)) {
            self.unmark(mark.range.clone(), &mark.key);
        }
        for mark in after.into_iter().filter(|mark| !before.contains(mark)) {
            self.mark(mark.range, &mark.key, mark.value);
        }
    }

    /// What was edited since the text was read.
    pub(super) fn edits(&self) -> &[Edit] {
        self.edits.as_slice()
    }
}

/// The peer of edits that are made to look at them, never to keep them.
const SCRATCH_PEER: u64 = u64::MAX - 1;

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        let mut edits = Edits::default();
        edits.insert(0, &text);
        Self { buffer: Buffer::new(text), edits, base: None, error: None }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Texts are equal if they read the same; marks and history don't count.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}
