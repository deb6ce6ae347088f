//! Edits of a text, as an app makes them: recorded, and joined where one continues the other.

use std::ops::Range;

use super::{MarkValue, TextError};

/// One edit. Positions are bytes of the text as it is just before the edit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edit {
    /// Text comes in at a position.
    Insert(usize, String),
    /// A range goes.
    Delete(Range<usize>),
    /// A range is marked, or with `None` has its mark taken away.
    Mark(Range<usize>, String, Option<MarkValue>),
}

impl Edit {
    /// The most steps that the edit takes in a document.
    pub(super) fn steps_max(&self) -> usize {
        match self {
            Self::Insert(_, text) => text.len(),
            Self::Delete(range) => range.len(),
            Self::Mark(..) => 2,
        }
    }
}

/// Edits in the order they were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits(Vec<Edit>);

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[Edit] {
        &self.0
    }

    /// Text came in. What is typed in one go is one edit.
    pub(super) fn insert(&mut self, at: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(Edit::Insert(start, typed)) = self.0.last_mut()
            && let Some(offset) = at.checked_sub(*start)
            && offset <= typed.len()
        {
            if offset == typed.len() {
                return typed.push_str(text);
            }
            // Moving the end of a long run for each character would cost its square.
            if typed.len() - offset <= MOVED_BYTES_MAX {
                return typed.insert_str(offset, text);
            }
        }
        self.0.push(Edit::Insert(at, text.to_owned()));
    }

    /// A range went. What was typed just before and taken back never was; deleting goes on in either
    /// direction.
    pub(super) fn delete(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Edit::Insert(start, typed))
                if range.start >= *start && range.end <= *start + typed.len() && typed.len() <= TYPED_BYTES_MAX =>
            {
                typed.replace_range(range.start - *start..range.end - *start, "");
                if typed.is_empty() {
                    self.0.pop();
                }
            }
            Some(Edit::Insert(start, typed)) if range.start >= *start && range.end == *start + typed.len() => {
                typed.truncate(range.start - *start);
                if typed.is_empty() {
                    self.0.pop();
                }
            }
            Some(Edit::Delete(last)) if range.end == last.start => last.start = range.start,
            Some(Edit::Delete(last)) if range.start == last.start => last.end += range.len(),
            _ => self.0.push(Edit::Delete(range)),
        }
    }

    pub(super) fn mark(&mut self, range: Range<usize>, key: &str, value: Option<MarkValue>) {
        if !range.is_empty() {
            self.0.push(Edit::Mark(range, key.to_owned(), value));
        }
    }

    /// Where a position of the text before the edits is after them.
    pub(super) fn forward(&self, mut at: usize) -> usize {
        for edit in &self.0 {
            match edit {
                Edit::Insert(start, text) if *start <= at => at += text.len(),
                Edit::Delete(range) => at = back_over(at, range),
                Edit::Insert(..) | Edit::Mark(..) => {}
            }
        }
        at
    }

    /// Where a position of the text after the edits was before them; in what came in since, the place
    /// where it came in.
    pub(super) fn backward(&self, mut at: usize) -> usize {
        for edit in self.0.iter().rev() {
            match edit {
                Edit::Insert(start, text) => at = back_over(at, &(*start..*start + text.len())),
                Edit::Delete(range) if range.start <= at => at += range.len(),
                Edit::Delete(_) | Edit::Mark(..) => {}
            }
        }
        at
    }
}

/// The most bytes that are moved to keep two edits in one.
const MOVED_BYTES_MAX: usize = 256;

/// The most bytes of a run in the middle of which characters are taken away again.
const TYPED_BYTES_MAX: usize = 1024;

/// Where `at` is once `range` has gone.
fn back_over(at: usize, range: &Range<usize>) -> usize {
    if at >= range.end { at - range.len() } else { at.min(range.start) }
}

/// Checks a range against a text of `len` bytes.
pub(super) fn check(range: &Range<usize>, len: usize, is_boundary: impl Fn(usize) -> bool) -> Result<(), TextError> {
    for position in [range.start, range.end] {
        if position > len {
            return Err(TextError::BeyondEnd { position, len });
        }
        if !is_boundary(position) {
            return Err(TextError::InsideCharacter { position });
        }
    }
    if range.start > range.end {
        return Err(TextError::Reversed { start: range.start, end: range.end });
    }
    Ok(())
}
