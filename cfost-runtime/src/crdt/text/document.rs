//! The merged state of a text.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use loro::cursor::PosType;
use loro::json::TextOp;
use loro::{
    ContainerID, ContainerType, ExpandType, ExportMode, Frontiers, ID, IdSpan, JsonChange, JsonOp, JsonOpContent,
    JsonSchema, LoroDoc, LoroText, LoroValue, StyleConfig, TextDelta, cursor,
};

use super::cursor::Place;
use super::delta::{Delta, INFO_FIXED, Operation, STEPS_MAX};
use super::edit::Edit;
use super::{Cursor, Mark, MarkValue, Stored, Text, TextError};

/// The name of the text in its Loro document.
const CONTAINER: &str = "t";

/// The merged state of a text: a Loro document, and the deltas that wait for others to arrive.
pub struct Document {
    doc: LoroDoc,
    text: LoroText,
    waiting: Vec<(u64, Vec<u8>, Delta)>,
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the document, and so may be some that waited for it.
    Merged,
    /// It was part of the document already.
    Known,
    /// It waits for a delta that it was made on.
    Waits,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// An empty text.
    pub fn new() -> Self {
        Self::of(LoroDoc::new(), Vec::new())
    }

    fn of(doc: LoroDoc, waiting: Vec<(u64, Vec<u8>, Delta)>) -> Self {
        doc.config_default_text_style(Some(StyleConfig { expand: ExpandType::After }));
        let text = doc.get_text(container());
        Self { doc, text, waiting }
    }

    /// The document of a snapshot and of the deltas since.
    ///
    /// # Errors
    /// When the snapshot isn't one.
    pub fn load<'d>(snapshot: &[u8], deltas: impl IntoIterator<Item = (u64, &'d [u8])>) -> Result<Self, TextError> {
        let deltas: Vec<_> = deltas.into_iter().collect();
        let mut passed_over: Vec<usize> = Vec::new();
        'anew: loop {
            let doc = LoroDoc::new();
            if !snapshot.is_empty() {
                guarded(|| doc.import(snapshot).map(drop).map_err(damaged))?;
            }
            let mut document = Self::of(doc, Vec::new());
            for (n, (peer, delta)) in deltas.iter().enumerate() {
                if passed_over.contains(&n) {
                    continue;
                }
                // What waited, and then turned out to be impossible, has no effect.
                if let Err(TextError::Damaged(_)) = document.merge(*peer, delta) {
                    passed_over.push(n);
                    continue 'anew;
                }
            }
            return Ok(document);
        }
    }

    /// A copy that goes its own way.
    pub(super) fn fork(&self) -> Self {
        Self::of(self.doc.fork(), self.waiting.clone())
    }

    /// The text.
    pub fn plain(&self) -> String {
        self.text.to_string()
    }

    /// The text to edit.
    ///
    /// # Errors
    /// When Loro can't write the document.
    pub fn text(&self) -> Result<Text, TextError> {
        Ok(Text::stored(self.plain(), Some(Arc::new(self.save()?))))
    }

    /// How many steps were ever taken in the text, by all logs.
    pub fn steps(&self) -> usize {
        self.doc.len_ops()
    }

    /// What to keep of the document: a snapshot, and the deltas that wait.
    ///
    /// # Errors
    /// When Loro can't write it.
    pub fn save(&self) -> Result<Stored, TextError> {
        let snapshot = self.doc.export(ExportMode::Snapshot).map_err(damaged)?;
        Ok(Stored::new(snapshot, self.waiting.iter().map(|(peer, bytes, _)| (*peer, bytes.clone())).collect()))
    }

    /// Makes the edits of a text that was read from this document as `peer`, and returns them as deltas, in
    /// order.
    ///
    /// # Errors
    /// When an edit doesn't fit the text. The document is of no use then: load it again.
    pub fn edit(&mut self, peer: u64, text: &Text) -> Result<Vec<Vec<u8>>, TextError> {
        self.make(peer, text.edits())
    }

    pub(super) fn make(&mut self, peer: u64, edits: &[Edit]) -> Result<Vec<Vec<u8>>, TextError> {
        let more: usize = edits.iter().map(Edit::steps_max).sum();
        if self.steps() + more > STEPS_MAX as usize {
            return Err(TextError::Full { characters_max: STEPS_MAX });
        }
        self.recorded(peer, |document| {
            let text = &document.text;
            edits.iter().try_for_each(|edit| {
                match edit {
                    Edit::Insert(at, new) => text.insert_utf8(*at, new),
                    Edit::Delete(range) => text.delete_utf8(range.start, range.len()),
                    Edit::Mark(range, key, value) => text.mark_utf8(range.clone(), key, loro_value(value.as_ref())),
                }
                .map_err(damaged)
            })
        })
    }

    /// Runs `work`, which edits the text as `peer`, and returns what it did as deltas, in order.
    fn recorded(
        &mut self,
        peer: u64,
        work: impl FnOnce(&mut Self) -> Result<(), TextError>,
    ) -> Result<Vec<Vec<u8>>, TextError> {
        self.doc.set_peer_id(peer).map_err(damaged)?;
        let first = self.next_step(peer);
        work(self)?;
        self.doc.commit();
        let end = self.next_step(peer);
        if end == first {
            return Ok(Vec::new());
        }
        let changes = self.doc.export_json_in_id_span(IdSpan::new(peer, first as i32, end as i32));
        let delta = joined(peer, changes)?;
        Ok(delta.split().iter().map(Delta::encode).collect())
    }

    /// Takes back what `peer` has done from its step `first` on, as `by`, and returns that as deltas, in order.
    ///
    /// The text as the peer left it is turned into the one that it found, as an edit which knows of nothing
    /// later; that edit merges with what others have done since, as any does.
    ///
    /// # Errors
    /// When the text is full. The document is of no use then: load it again.
    pub fn take_back(&mut self, by: u64, peer: u64, first: u32) -> Result<Vec<Vec<u8>>, TextError> {
        let end = self.next_step(peer);
        if first >= end {
            return Ok(Vec::new());
        }
        let change = self.doc.get_change(id(peer, first)).ok_or_else(|| damaged("a step that is missing"))?;
        let begins = change.id.counter.unsigned_abs() == first;
        let found = if begins { change.deps } else { Frontiers::from(vec![id(peer, first - 1)]) };
        let left = Frontiers::from(vec![id(peer, end - 1)]);
        let mut branch = Self::of(self.doc.fork_at(&left).map_err(damaged)?, Vec::new());
        let deltas = branch.recorded(by, |branch| guarded(|| branch.doc.revert_to(&found).map_err(damaged)))?;
        if branch.steps() > STEPS_MAX as usize {
            return Err(TextError::Full { characters_max: STEPS_MAX });
        }
        for delta in &deltas {
            self.merge(by, delta)?;
        }
        Ok(deltas)
    }

    /// Merges a delta that `peer` made. Deltas may come in any order, and more than once.
    ///
    /// # Errors
    /// [`TextError::Delta`] if the bytes are no delta, or one that can't have been made here; the document is
    /// as before. [`TextError::Damaged`] if it is of no use any more: load it again, without this delta.
    pub fn merge(&mut self, peer: u64, bytes: &[u8]) -> Result<Fate, TextError> {
        let delta = Delta::decode(bytes)?;
        if self.is_known(peer, &delta)? {
            return Ok(Fate::Known);
        }
        if !self.is_ready(peer, &delta) {
            if !self.waiting.iter().any(|(other, known, _)| *other == peer && known == bytes) {
                self.waiting.push((peer, bytes.to_vec(), delta));
            }
            return Ok(Fate::Waits);
        }
        self.import(peer, delta)?;
        while let Some(n) = self.waiting.iter().position(|(peer, _, delta)| self.is_ready(*peer, delta)) {
            let (peer, _, delta) = self.waiting.remove(n);
            // One that can't be has no effect, whenever it came.
            match self.is_known(peer, &delta).and_then(|known| if known { Ok(()) } else { self.import(peer, delta) }) {
                Ok(()) | Err(TextError::Delta(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Fate::Merged)
    }

    fn is_known(&self, peer: u64, delta: &Delta) -> Result<bool, TextError> {
        let next = self.next_step(peer);
        if delta.first < next && delta.end() > next {
            return Err(TextError::Delta("steps of which some are taken"));
        }
        Ok(delta.end() <= next)
    }

    /// Whether everything that the delta was made on is here.
    fn is_ready(&self, peer: u64, delta: &Delta) -> bool {
        delta.first <= self.next_step(peer) && delta.heads.iter().all(|(peer, step)| *step < self.next_step(*peer))
    }

    /// The steps that deltas wait for, each with its peer, as far as they say.
    pub fn needs(&self) -> Vec<(u64, u32)> {
        let mut needs = Vec::new();
        for (peer, _, delta) in &self.waiting {
            let own = delta.first.checked_sub(1).map(|step| (*peer, step));
            let missing = own.into_iter().chain(delta.heads.iter().copied());
            needs.extend(missing.filter(|(peer, step)| *step >= self.next_step(*peer)));
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// The number of a peer's next step.
    pub fn next_step(&self, peer: u64) -> u32 {
        self.doc.oplog_vv().get(&peer).map_or(0, |end| end.unsigned_abs())
    }

    fn import(&mut self, peer: u64, delta: Delta) -> Result<(), TextError> {
        let mut deps: Vec<ID> = delta.heads.iter().map(|(peer, step)| id(*peer, *step)).collect();
        if delta.heads.iter().any(|(head, _)| *head == peer) {
            return Err(TextError::Delta("a head of its own peer"));
        }
        if delta.on_own {
            deps.push(id(peer, delta.first - 1));
        }
        deps.sort();
        self.check_deps(peer, &delta, &deps)?;
        let lamport = deps.iter().map(|id| self.lamport(*id)).max().unwrap_or(Some(0));
        let lamport = lamport.filter(|lamport| lamport.checked_add(delta.end() - delta.first).is_some());
        let lamport = lamport.ok_or(TextError::Delta("heads that aren't known"))?;
        let end = delta.end();
        let change = JsonChange {
            id: id(peer, delta.first),
            timestamp: 0,
            deps,
            lamport,
            msg: None,
            ops: operations(peer, delta),
        };
        let schema =
            JsonSchema { schema_version: 1, start_version: Frontiers::default(), peers: None, changes: vec![change] };
        guarded(|| {
            self.doc.import_json_updates(schema).map_err(|_| TextError::Delta("an operation outside of its text"))?;
            Ok(())
        })?;
        if self.next_step(peer) == end { Ok(()) } else { Err(TextError::Delta("steps that can't be taken")) }
    }

    /// A delta is made on its own log's step before, and on heads none of which is in another's past.
    fn check_deps(&self, peer: u64, delta: &Delta, deps: &[ID]) -> Result<(), TextError> {
        if delta.heads.is_empty() {
            let alone = delta.on_own == (delta.first > 0);
            return if alone { Ok(()) } else { Err(TextError::Delta("no heads")) };
        }
        let frontiers = Frontiers::from(deps.to_vec());
        let minimal = self.doc.try_minimize_frontiers(&frontiers).ok();
        if minimal.is_none_or(|minimal| minimal.len() != frontiers.len()) {
            return Err(TextError::Delta("heads of which one is in another's past"));
        }
        let version = self.doc.frontiers_to_vv(&frontiers).ok_or(TextError::Delta("heads that aren't known"))?;
        let own = version.get(&peer).map_or(0, |end| end.unsigned_abs());
        if own == delta.first { Ok(()) } else { Err(TextError::Delta("heads that leave out its own steps")) }
    }

    /// The Lamport time after a step.
    fn lamport(&self, id: ID) -> Option<u32> {
        let change = self.doc.get_change(id)?;
        change.lamport.checked_add((id.counter - change.id.counter).unsigned_abs())?.checked_add(1)
    }

    /// The marks, by position and then by key.
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        let mut at = 0;
        for piece in self.text.to_delta() {
            let TextDelta::Insert { insert, attributes } = piece else { continue };
            let range = at..at + insert.len();
            at = range.end;
            for (key, value) in attributes.into_iter().flatten() {
                let Some(value) = mark_value(&value) else { continue };
                let touching = marks.iter_mut().rev();
                match touching
                    .take_while(|mark| mark.range.end >= range.start || mark.key != key)
                    .find(|mark| mark.range.end == range.start && mark.key == key && mark.value == value)
                {
                    Some(mark) => mark.range.end = range.end,
                    None => marks.push(Mark { range: range.clone(), key: key.clone(), value }),
                }
            }
        }
        marks.sort_by(|a, b| (a.range.start, a.range.end, &a.key).cmp(&(b.range.start, b.range.end, &b.key)));
        marks
    }

    /// A cursor at a position in bytes, which is at a boundary of characters.
    pub(super) fn cursor(&self, at: usize) -> Cursor {
        let character = self.text.convert_pos(at, PosType::Bytes, PosType::Unicode);
        let character = character.filter(|character| *character < self.text.len_unicode());
        let cursor = character.and_then(|character| self.text.get_cursor(character, cursor::Side::Middle));
        Cursor(match cursor.and_then(|cursor| cursor.id) {
            Some(id) => Place::Before(id.peer, id.counter.unsigned_abs()),
            None => Place::End,
        })
    }

    /// Where a cursor is, in bytes.
    pub(super) fn position(&self, cursor: &Cursor) -> usize {
        let (peer, step) = match cursor.0 {
            Place::Start => return 0,
            Place::End => return self.text.len_utf8(),
            Place::Before(peer, step) => (peer, step),
        };
        if step >= self.next_step(peer) {
            return self.text.len_utf8();
        }
        let cursor = cursor::Cursor::new(Some(id(peer, step)), container(), cursor::Side::Middle, 0);
        let found = catch_unwind(AssertUnwindSafe(|| self.doc.try_get_cursor_pos(&cursor)));
        let character = found.ok().and_then(Result::ok).map(|found| found.current.pos);
        let at = character.and_then(|character| self.text.convert_pos(character, PosType::Unicode, PosType::Bytes));
        at.unwrap_or_else(|| self.text.len_utf8())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("steps", &self.steps()).field("waiting", &self.waiting.len()).finish()
    }
}

/// Runs what Loro does with bytes from outside. It checks them; should it overlook something and panic, the
/// document is lost, not the process.
fn guarded(work: impl FnOnce() -> Result<(), TextError>) -> Result<(), TextError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(TextError::Damaged("an edit that contradicts itself".to_owned())))
}

fn damaged(error: impl fmt::Display) -> TextError {
    TextError::Damaged(error.to_string())
}

fn container() -> ContainerID {
    ContainerID::new_root(CONTAINER, ContainerType::Text)
}

fn id(peer: u64, step: u32) -> ID {
    // Steps are below STEPS_MAX.
    ID::new(peer, step as i32)
}

/// The changes of one edit as one delta: each is made on the one before.
fn joined(peer: u64, changes: Vec<JsonChange>) -> Result<Delta, TextError> {
    let mut changes = changes.into_iter();
    let first = changes.next().ok_or_else(|| damaged("an edit without a change"))?;
    let (own, mut heads): (Vec<ID>, Vec<ID>) = first.deps.iter().partition(|id| id.peer == peer);
    heads.sort_by_key(|id| id.peer);
    let mut delta = Delta {
        generation: None,
        first: first.id.counter.unsigned_abs(),
        on_own: !own.is_empty(),
        heads: heads.iter().map(|id| (id.peer, id.counter.unsigned_abs())).collect(),
        operations: Vec::new(),
    };
    for op in first.ops.into_iter().chain(changes.flat_map(|change| change.ops)) {
        let JsonOpContent::Text(op) = op.content else { return Err(damaged("an edit of something else")) };
        delta.operations.push(match op {
            TextOp::Insert { pos, text } => Operation::Insert { at: pos, text },
            TextOp::Delete { pos, len, start_id } => {
                let by = (start_id.peer != peer).then_some(start_id.peer);
                Operation::Delete { at: pos.unsigned_abs(), len, first: (by, start_id.counter.unsigned_abs()) }
            }
            TextOp::Mark { start, end, style_key, style_value, info } => {
                Operation::Mark { at: start, len: end - start, info, key: style_key, value: mark_value(&style_value) }
            }
            TextOp::MarkEnd => continue,
        });
    }
    Ok(delta)
}

fn operations(peer: u64, delta: Delta) -> Vec<JsonOp> {
    let mut ops = Vec::with_capacity(delta.operations.len());
    let mut step = delta.first;
    let mut push = |steps: u32, op: TextOp| {
        let content = JsonOpContent::Text(op);
        ops.push(JsonOp { content, container: container(), counter: step as i32 });
        step += steps;
    };
    for operation in delta.operations {
        let steps = operation.steps();
        match operation {
            Operation::Insert { at, text } => push(steps, TextOp::Insert { pos: at, text }),
            Operation::Delete { at, len, first: (by, first) } => {
                push(steps, TextOp::Delete { pos: at as i32, len, start_id: id(by.unwrap_or(peer), first) });
            }
            Operation::Mark { at, len, info, key, value } => {
                let style_value = loro_value(value.as_ref());
                let info = info | INFO_FIXED;
                push(1, TextOp::Mark { start: at, end: at + len, style_key: key, style_value, info });
                push(1, TextOp::MarkEnd);
            }
        }
    }
    ops
}

fn loro_value(value: Option<&MarkValue>) -> LoroValue {
    match value {
        None => LoroValue::Null,
        Some(MarkValue::Flag(flag)) => LoroValue::Bool(*flag),
        Some(MarkValue::Integer(integer)) => LoroValue::I64(*integer),
        Some(MarkValue::Text(text)) => LoroValue::String(text.as_str().into()),
    }
}

fn mark_value(value: &LoroValue) -> Option<MarkValue> {
    match value {
        LoroValue::Bool(flag) => Some(MarkValue::Flag(*flag)),
        LoroValue::I64(integer) => Some(MarkValue::Integer(*integer)),
        LoroValue::String(text) => Some(MarkValue::Text(text.as_str().to_owned())),
        _ => None,
    }
}
