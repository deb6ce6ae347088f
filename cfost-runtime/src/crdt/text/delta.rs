//! Deltas: edits of one log to one text, as they travel.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | varint | other peers that the delta names × 2, plus 1 if it is of a generation |
//! | 8 bytes, 8 bytes | the generation: the peer that began it and when, little endian |
//! | 8 bytes each | the peers, little endian, ascending |
//! | varint | the number of the first step: how many steps this log took in the text before |
//! | varint | heads of other peers that the edit was made on × 2, plus 1 if it was made on this log's own step before |
//! | per head: varint, varint | the peer's place in the list, the number of its step; ascending |
//! | operations | until the end |
//!
//! An operation begins with a varint, its position × 4 + its kind, and then has:
//!
//! | kind | operation | then | steps |
//! | --- | --- | --- | --- |
//! | 0 | insert | text | its characters |
//! | 1 | delete | length, owner, step | the length |
//! | 2 | mark | length, info, key, value | 2 |
//!
//! | part | bytes |
//! | --- | --- |
//! | text, key | UTF-8 after its length, a varint |
//! | length of a delete | zigzag varint; negative if it was deleted from the end to the beginning |
//! | owner | varint: who inserted the leftmost character that goes: 0 for this log, else its place + 1 |
//! | step | varint: in which step |
//! | length of a mark | varint |
//! | info | a byte: 0x80, plus 2 if what is typed at its beginning belongs to it, plus 4 at its end |
//! | value | a byte: 0 none, 1 false, 2 true, 3 and a zigzag varint, 4 and a text |
//!
//! Positions count characters and the ends of marks, as the text was when the operation was made.

use super::mark;
use super::reader::{Reader, put_slice, put_varint, unzigzag, zigzag};
use super::{Generation, MarkValue, TextError};

/// The most bytes of one delta: a larger edit is several.
pub const DELTA_BYTES_MAX: usize = 256 * 1024;

/// The most steps that one log can take in one text, and the greatest position.
pub(super) const STEPS_MAX: u32 = 1 << 28;

/// The bytes that say whether what is typed at a mark's beginning (2) or end (4) belongs to it.
pub(super) const INFO_FIXED: u8 = 0x80;
const INFO_MASK: u8 = 0x86;

mod kind {
    pub(super) const INSERT: u64 = 0;
    pub(super) const DELETE: u64 = 1;
    pub(super) const MARK: u64 = 2;
}

/// A step: who took it, and its number among theirs. `None` is the delta's own log.
pub(super) type Step = (Option<u64>, u32);

/// An operation of a delta.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Insert { at: u32, text: String },
    Delete { at: u32, len: i32, first: Step },
    Mark { at: u32, len: u32, info: u8, key: String, value: Option<MarkValue> },
}

impl Operation {
    /// How many steps the operation takes.
    pub(super) fn steps(&self) -> u32 {
        match self {
            // The length of a text that fits a delta.
            Self::Insert { text, .. } => text.chars().count() as u32,
            Self::Delete { len, .. } => len.unsigned_abs(),
            Self::Mark { .. } => 2,
        }
    }
}

/// A decoded delta.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Delta {
    /// The generation that it edits; `None` for a text that began as one.
    pub(super) generation: Option<Generation>,
    /// The number of the first step.
    pub(super) first: u32,
    /// Whether it was made on the log's own step before.
    pub(super) on_own: bool,
    /// The other heads that it was made on, ascending.
    pub(super) heads: Vec<(u64, u32)>,
    pub(super) operations: Vec<Operation>,
}

/// The first step that a delta takes; `None` if the bytes are none.
pub fn first_step(bytes: &[u8]) -> Option<u32> {
    Delta::decode(bytes).ok().map(|delta| delta.first)
}

/// Whether bytes are a delta, as far as they tell by themselves; returns the generation that it edits, `None` for a
/// text that began as one.
///
/// # Errors
/// What is wrong with them.
pub fn check_delta(bytes: &[u8]) -> Result<Option<Generation>, TextError> {
    Delta::decode(bytes).map(|delta| delta.generation)
}

/// What a delta does, to be shown. Positions and lengths count characters and the ends of marks.
#[derive(Clone, Debug, PartialEq)]
pub enum DeltaEdit {
    /// Text comes in at a position.
    Insert {
        /// The position.
        at: u32,
        /// The text.
        text: String,
    },
    /// Characters go.
    Delete {
        /// The position of the first.
        at: u32,
        /// How many.
        len: u32,
    },
    /// Characters are marked.
    Mark {
        /// The position of the first.
        at: u32,
        /// How many.
        len: u32,
        /// The mark's key.
        key: String,
        /// Its value; `None` if the mark is taken away.
        value: Option<MarkValue>,
    },
}

/// What a delta does, if the bytes are one.
pub fn edits_of(bytes: &[u8]) -> Option<Vec<DeltaEdit>> {
    let delta = Delta::decode(bytes).ok()?;
    let edit = |operation| match operation {
        Operation::Insert { at, text } => DeltaEdit::Insert { at, text },
        // Deleted backwards, the position is that of the last character.
        Operation::Delete { at, len, .. } if len < 0 => {
            let len = len.unsigned_abs();
            DeltaEdit::Delete { at: at.saturating_sub(len - 1), len }
        }
        Operation::Delete { at, len, .. } => DeltaEdit::Delete { at, len: len.unsigned_abs() },
        Operation::Mark { at, len, key, value, .. } => DeltaEdit::Mark { at, len, key, value },
    };
    Some(delta.operations.into_iter().map(edit).collect())
}

/// The text of a delta that does nothing but begin one, if it is such.
pub fn first_text(bytes: &[u8]) -> Option<String> {
    let mut delta = Delta::decode(bytes).ok()?;
    let begins =
        delta.first == 0 && delta.heads.is_empty() && delta.operations.len() == 1 && delta.generation.is_none();
    match delta.operations.pop() {
        Some(Operation::Insert { at: 0, text }) if begins => Some(text),
        _ => None,
    }
}

/// The delta that begins a text with `text`; `None` if it takes more than one.
pub(super) fn beginning(text: &str) -> Option<Vec<u8>> {
    let operations = vec![Operation::Insert { at: 0, text: text.to_owned() }];
    let delta = Delta { operations, ..Delta::default() };
    (text.len() <= INSERT_BYTES_MAX).then(|| delta.encode())
}

impl Delta {
    /// The number of the step after the last.
    pub(super) fn end(&self) -> u32 {
        self.first + self.operations.iter().map(Operation::steps).sum::<u32>()
    }

    /// The peers that are named, ascending.
    fn peers(&self) -> Vec<u64> {
        let deleted = self.operations.iter().filter_map(|operation| match operation {
            Operation::Delete { first: (peer, _), .. } => *peer,
            _ => None,
        });
        let mut peers: Vec<u64> = self.heads.iter().map(|(peer, _)| *peer).chain(deleted).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let peers = self.peers();
        let place = |peer: &u64| peers.binary_search(peer).unwrap_or_default() as u64;
        put_varint(&mut out, (peers.len() as u64) << 1 | u64::from(self.generation.is_some()));
        if let Some(generation) = self.generation {
            out.extend_from_slice(&generation.to_bytes());
        }
        peers.iter().for_each(|peer| out.extend_from_slice(&peer.to_le_bytes()));
        put_varint(&mut out, u64::from(self.first));
        put_varint(&mut out, (self.heads.len() as u64) << 1 | u64::from(self.on_own));
        for (peer, step) in &self.heads {
            put_varint(&mut out, place(peer));
            put_varint(&mut out, u64::from(*step));
        }
        for operation in &self.operations {
            match operation {
                Operation::Insert { at, text } => {
                    put_varint(&mut out, u64::from(*at) << 2 | kind::INSERT);
                    put_slice(&mut out, text.as_bytes());
                }
                Operation::Delete { at, len, first: (peer, step) } => {
                    put_varint(&mut out, u64::from(*at) << 2 | kind::DELETE);
                    put_varint(&mut out, zigzag(i64::from(*len)));
                    put_varint(&mut out, peer.as_ref().map_or(0, |peer| place(peer) + 1));
                    put_varint(&mut out, u64::from(*step));
                }
                Operation::Mark { at, len, info, key, value } => {
                    put_varint(&mut out, u64::from(*at) << 2 | kind::MARK);
                    put_varint(&mut out, u64::from(*len));
                    out.push(*info);
                    put_slice(&mut out, key.as_bytes());
                    put_mark_value(&mut out, value.as_ref());
                }
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, TextError> {
        if bytes.len() > DELTA_BYTES_MAX {
            return Err(TextError::Delta("it is too large"));
        }
        let mut reader = Reader(bytes);
        let (generation, peers) = read_peers(&mut reader)?;
        let peer = |place: u32| peers.get(place as usize).copied().ok_or(TextError::Delta("a peer that isn't listed"));
        let first = reader.up_to(STEPS_MAX)?;
        let word = reader.varint()?;
        let on_own = word & 1 == 1;
        if word >> 1 > peers.len() as u64 || (on_own && first == 0) {
            return Err(TextError::Delta("heads that can't be"));
        }
        let mut heads: Vec<(u64, u32)> = Vec::with_capacity((word >> 1) as usize);
        for _ in 0..word >> 1 {
            let head = (peer(reader.up_to(STEPS_MAX)?)?, reader.up_to(STEPS_MAX)?);
            if heads.last().is_some_and(|last| last.0 >= head.0) {
                return Err(TextError::Delta("heads out of order"));
            }
            heads.push(head);
        }
        let mut delta = Self { generation, first, on_own, heads, operations: Vec::new() };
        let mut end = first;
        while !reader.is_empty() {
            let operation = read_operation(&mut reader, peer)?;
            end = end.saturating_add(operation.steps());
            if end > STEPS_MAX {
                return Err(TextError::Delta("more steps than a text can have"));
            }
            delta.operations.push(operation);
        }
        if delta.operations.is_empty() {
            return Err(TextError::Delta("no operation"));
        }
        if delta.peers() != peers {
            return Err(TextError::Delta("a peer that isn't used"));
        }
        Ok(delta)
    }

    /// Parts of the delta that are each small enough to be one.
    pub(super) fn split(self) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Self { operations: Vec::new(), ..self.clone() };
        let heads_bytes = 16 + Generation::BYTES + self.heads.len() * 24;
        let mut bytes = heads_bytes;
        let operations = self.operations.into_iter().flat_map(pieces);
        for operation in operations {
            let more = operation_bytes(&operation);
            if bytes + more > DELTA_BYTES_MAX && !part.operations.is_empty() {
                let first = part.end();
                parts.push(std::mem::take(&mut part));
                part = Self {
                    generation: self.generation,
                    first,
                    on_own: true,
                    heads: Vec::new(),
                    operations: Vec::new(),
                };
                bytes = heads_bytes;
            }
            bytes += more;
            part.operations.push(operation);
        }
        parts.push(part);
        parts
    }
}

/// An upper bound of what an operation takes, with a peer that only it names.
fn operation_bytes(operation: &Operation) -> usize {
    match operation {
        Operation::Insert { text, .. } => 16 + text.len(),
        Operation::Delete { .. } => 40,
        Operation::Mark { key, value, .. } => {
            let value = if let Some(MarkValue::Text(text)) = value { text.len() } else { 0 };
            48 + key.len() + value
        }
    }
}

/// The most bytes of text in one operation.
const INSERT_BYTES_MAX: usize = 64 * 1024;

/// An operation as one or, for a long text, several that do the same.
fn pieces(operation: Operation) -> Vec<Operation> {
    let Operation::Insert { mut at, text } = operation else { return vec![operation] };
    if text.len() <= INSERT_BYTES_MAX {
        return vec![Operation::Insert { at, text }];
    }
    let (mut pieces, mut rest) = (Vec::new(), text.as_str());
    while !rest.is_empty() {
        let mut end = rest.len().min(INSERT_BYTES_MAX);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, after) = rest.split_at(end);
        pieces.push(Operation::Insert { at, text: piece.to_owned() });
        at += piece.chars().count() as u32;
        rest = after;
    }
    pieces
}

fn read_peers(reader: &mut Reader<'_>) -> Result<(Option<Generation>, Vec<u64>), TextError> {
    let word = reader.varint()?;
    let generation = if word & 1 == 1 { Some(Generation::read(reader)?) } else { None };
    let count = word >> 1;
    if count > (reader.0.len() / 8) as u64 {
        return Err(TextError::Delta("more peers than the bytes hold"));
    }
    let mut peers: Vec<u64> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let peer = reader.u64()?;
        if peer > u64::MAX >> 1 || peers.last().is_some_and(|last| *last >= peer) {
            return Err(TextError::Delta("peers out of order"));
        }
        peers.push(peer);
    }
    Ok((generation, peers))
}

fn read_operation(
    reader: &mut Reader<'_>,
    peer: impl Fn(u32) -> Result<u64, TextError>,
) -> Result<Operation, TextError> {
    let word = reader.varint()?;
    let at = u32::try_from(word >> 2).ok().filter(|at| *at <= STEPS_MAX);
    let at = at.ok_or(TextError::Delta("a position out of range"))?;
    match word & 3 {
        kind::INSERT => match reader.text()? {
            "" => Err(TextError::Delta("an insert without text")),
            text => Ok(Operation::Insert { at, text: text.to_owned() }),
        },
        kind::DELETE => {
            let len = i32::try_from(unzigzag(reader.varint()?)).ok();
            let len = len.filter(|len| *len != 0 && len.unsigned_abs() <= STEPS_MAX);
            let len = len.ok_or(TextError::Delta("a length out of range"))?;
            let place = reader.up_to(STEPS_MAX)?;
            let peer = place.checked_sub(1).map(peer).transpose()?;
            Ok(Operation::Delete { at, len, first: (peer, reader.up_to(STEPS_MAX)?) })
        }
        kind::MARK => {
            let len = reader.up_to(STEPS_MAX)?;
            let info = reader.byte()?;
            if len == 0 || info & INFO_FIXED == 0 || info & !INFO_MASK != 0 {
                return Err(TextError::Delta("a mark that can't be"));
            }
            let key = reader.text()?.to_owned();
            let value = read_mark_value(reader)?;
            mark::check(&key, value.as_ref()).map_err(|_| TextError::Delta("a mark beyond its limits"))?;
            Ok(Operation::Mark { at, len, info, key, value })
        }
        _ => Err(TextError::Delta("an unknown kind of operation")),
    }
}

fn put_mark_value(out: &mut Vec<u8>, value: Option<&MarkValue>) {
    match value {
        None => out.push(0),
        Some(MarkValue::Flag(flag)) => out.push(1 + u8::from(*flag)),
        Some(MarkValue::Integer(integer)) => {
            out.push(3);
            put_varint(out, zigzag(*integer));
        }
        Some(MarkValue::Text(text)) => {
            out.push(4);
            put_slice(out, text.as_bytes());
        }
    }
}

fn read_mark_value(reader: &mut Reader<'_>) -> Result<Option<MarkValue>, TextError> {
    Ok(match reader.byte()? {
        0 => None,
        1 => Some(MarkValue::Flag(false)),
        2 => Some(MarkValue::Flag(true)),
        3 => Some(MarkValue::Integer(unzigzag(reader.varint()?))),
        4 => Some(MarkValue::Text(reader.text()?.to_owned())),
        _ => return Err(TextError::Delta("an unknown kind of mark")),
    })
}
