//! What a local write does to a row's elements: the difference between two states of its collections.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::StoreError;
use super::child::ChildTable;
use super::table::Table;
use crate::clock::Timestamp;
use crate::crdt::position;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::oplog::{ElementEdit, EncodedElements, OplogError};
use crate::schema::{Element, MergeRule, ValueRef};

/// The edits of one collection, never none.
#[derive(Debug)]
pub(super) struct CollectionEdits<'v> {
    pub(super) collection: usize,
    pub(super) edits: Vec<ElementEdit<'v>>,
    pub(super) encoded: EncodedElements,
}

/// Some of a collection's edits: what one op carries.
#[derive(Clone, Debug)]
pub(super) struct Part<'p, 'v> {
    pub(super) of: &'p CollectionEdits<'v>,
    pub(super) range: Range<usize>,
}

impl Part<'_, '_> {
    /// What the op carries.
    pub(super) fn payload(&self) -> Vec<u8> {
        self.of.encoded.payload(self.range.clone())
    }

    /// How many bytes the part's payload takes.
    pub(super) fn bytes(&self) -> usize {
        self.of.encoded.payload_bytes(self.range.clone())
    }
}

impl<'v> CollectionEdits<'v> {
    /// All edits as one part.
    pub(super) fn whole(&self) -> Part<'_, 'v> {
        Part { of: self, range: 0..self.encoded.len() }
    }

    /// All edits as parts of at most `bytes_max` bytes, unless one edit is larger.
    pub(super) fn parts(&self, bytes_max: usize) -> impl Iterator<Item = Part<'_, 'v>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            if start == self.encoded.len() {
                return None;
            }
            let range = self.encoded.chunk(start, bytes_max);
            start = range.end;
            Some(Part { of: self, range })
        })
    }
}

/// How edits are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Only what differs is written.
    Difference,
    /// Everything that is there after is written, also what was there before.
    Whole,
}

/// Where new names come from: the ids and the positions of a list's new elements.
pub(super) struct Mint<'h> {
    at: Timestamp,
    host: &'h Host,
    /// Drawn when the first id is minted.
    next: Option<u64>,
}

impl<'h> Mint<'h> {
    /// Names for what is written at `at`.
    pub(super) fn new(at: Timestamp, host: &'h Host) -> Self {
        Self { at, host, next: None }
    }

    /// An element's id, 16 bytes: the time, then a random number that counts on. So those of one write
    /// lie together, and no two devices make the same.
    fn id(&mut self) -> Vec<u8> {
        let low = self.next.unwrap_or_else(|| u64::from_be_bytes(self.host.random()));
        self.next = Some(low.wrapping_add(1));
        [self.at.as_u64().to_be_bytes(), low.to_be_bytes()].concat()
    }

    /// What tells positions from those that other devices make at the same place.
    fn random(&self) -> u32 {
        u32::from_be_bytes(self.host.random())
    }
}

/// What has to be written so that the elements of a row, which were `before`, become `after`.
pub(super) fn plan<'v>(
    table: &Table,
    before: &'v [Vec<Element<'_>>],
    after: &'v [Vec<Element<'_>>],
    scope: Scope,
    mint: &mut Mint<'_>,
) -> Result<Vec<CollectionEdits<'v>>> {
    let mut planned = Vec::new();
    for (collection, child) in table.children.iter().enumerate() {
        let before = before.get(collection).map_or(&[][..], Vec::as_slice);
        let after = after.get(collection).map_or(&[][..], Vec::as_slice);
        if before == after && scope == Scope::Difference {
            continue;
        }
        let edits = match child.schema.rule {
            MergeRule::List => list_edits(before, after, scope, mint),
            _ => keyed_edits(before, after, scope),
        };
        if !edits.is_empty() {
            let encoded = EncodedElements::new(&edits).map_err(|error| refused(table, child, error))?;
            planned.push(CollectionEdits { collection, edits, encoded });
        }
    }
    Ok(planned)
}

fn refused(table: &Table, child: &ChildTable, error: OplogError) -> Error {
    match error {
        OplogError::TooLarge { found, max, .. } => StoreError::KeyTooLong {
            table: table.schema.table,
            field: child.schema.field,
            bytes: found,
            bytes_max: max,
        }
        .into(),
        other => other.into(),
    }
}

/// The edits of a set or a map: both sides by ascending key, then side by side.
fn keyed_edits<'v>(before: &'v [Element<'_>], after: &'v [Element<'_>], scope: Scope) -> Vec<ElementEdit<'v>> {
    let (before, after) = (by_key(before), by_key(after));
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    let mut edits = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return edits,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => compare(&before.key, &after.key),
        };
        let gone = if order.is_le() { before.next() } else { None };
        let there = if order.is_ge() { after.next() } else { None };
        match (gone, there) {
            (Some(gone), None) => edits.push(ElementEdit::remove(gone.key.borrowed())),
            (Some(old), Some(new)) if old.value == new.value && scope == Scope::Difference => {}
            (_, Some(new)) => {
                let value = new.value.as_ref().map(ValueRef::borrowed);
                edits.push(ElementEdit { value, ..ElementEdit::add(new.key.borrowed()) });
            }
            (None, None) => {}
        }
    }
}

/// The elements by ascending key; of equal ones (two values that a type stores as one) the last.
fn by_key<'v, 'e>(elements: &'v [Element<'e>]) -> Vec<&'v Element<'e>> {
    let mut sorted: Vec<_> = elements.iter().rev().collect();
    sorted.sort_by(|a, b| compare(&a.key, &b.key));
    sorted.dedup_by(|a, b| compare(&a.key, &b.key).is_eq());
    sorted
}

/// Any total order does, if it is quick.
fn compare(a: &ValueRef<'_>, b: &ValueRef<'_>) -> Ordering {
    match (a, b) {
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(b),
        (ValueRef::Real(a), ValueRef::Real(b)) => a.total_cmp(b),
        (ValueRef::Text(a), ValueRef::Text(b)) => a.cmp(b),
        (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
        _ => a.kind().cmp(b.kind()),
    }
}

/// The edits of a list. Elements are told apart by their ids. Those of a list that was made anew have
/// none: where it holds an equal value in the same order, it is the same element.
fn list_edits<'v>(
    before: &'v [Element<'_>],
    after: &'v [Element<'_>],
    scope: Scope,
    mint: &mut Mint<'_>,
) -> Vec<ElementEdit<'v>> {
    let known: HashMap<&[u8], &Element<'_>> = before.iter().filter_map(|old| Some((id_of(old)?, old))).collect();
    let mut placed = place(before, after, mint);
    if scope == Scope::Whole {
        placed.iter_mut().for_each(|placed| placed.old = None);
    }
    let kept: HashSet<Vec<u8>> = placed.iter().map(|placed| placed.id.to_vec()).collect();
    let mut edits: Vec<ElementEdit<'v>> = Vec::new();
    for (placed, new) in placed.into_iter().zip(after) {
        let old = placed.old;
        let moved = old.is_none_or(|old| old.position.as_deref() != Some(&*placed.position));
        let changed = old.is_none_or(|old| old.value != new.value);
        if moved || changed {
            let position = moved.then_some(placed.position);
            let value = if changed { new.value.as_ref().map(ValueRef::borrowed) } else { None };
            edits.push(ElementEdit { key: ValueRef::Blob(placed.id), put: true, position, value });
        }
    }
    let gone = known.into_iter().filter(|(id, _)| !kept.contains(*id));
    edits.extend(gone.map(|(id, _)| ElementEdit::remove(ValueRef::Blob(Cow::Borrowed(id)))));
    edits
}

/// An element of a list that has its id and its position.
struct Placed<'v, 'e> {
    id: Cow<'v, [u8]>,
    position: Cow<'v, [u8]>,
    /// The element as it was before.
    old: Option<&'v Element<'e>>,
}

/// Gives every element of `after` an id and a position, and keeps those that it has.
fn place<'v, 'e>(before: &'v [Element<'e>], after: &'v [Element<'_>], mint: &mut Mint<'_>) -> Vec<Placed<'v, 'e>> {
    let by_id: HashMap<&[u8], &'v Element<'e>> = before.iter().filter_map(|old| Some((id_of(old)?, old))).collect();
    let mut seen = HashSet::new();
    // An id counts once: a second element with it is a new one.
    let own: Vec<Option<&'v [u8]>> = after.iter().map(|new| id_of(new).filter(|id| seen.insert(*id))).collect();
    let equals = equals(before, after, &own);
    let mut ids = Vec::with_capacity(after.len());
    let mut positions: Vec<Option<Cow<'v, [u8]>>> = Vec::with_capacity(after.len());
    for ((new, own), equal) in after.iter().zip(&own).zip(&equals) {
        ids.push(match (own, equal.and_then(id_of)) {
            (Some(id), _) => Cow::Borrowed(*id),
            (None, Some(id)) => Cow::Borrowed(id),
            (None, None) => Cow::Owned(mint.id()),
        });
        let position =
            if own.is_some() { new.position.as_deref() } else { equal.and_then(|old| old.position.as_deref()) };
        positions.push(position.filter(|position| position::is_position(position)).map(Cow::Borrowed));
    }
    keep_ascending(&mut positions, &ids);
    let positions = fill(positions, mint);
    let olds = ids.iter().map(|id| by_id.get(&**id).copied()).collect::<Vec<_>>();
    (ids.into_iter().zip(positions).zip(olds)).map(|((id, position), old)| Placed { id, position, old }).collect()
}

fn id_of<'v>(element: &'v Element<'_>) -> Option<&'v [u8]> {
    match &element.key {
        ValueRef::Blob(id) => Some(id),
        _ => None,
    }
}

/// How many pairs of elements are compared to find equal ones in a list that was made anew: beyond that, what
/// is between the equal beginning and the equal end is new.
const PAIRS_MAX: usize = 1 << 20;

/// For each element of `after` without an id, the element of `before` that it is: a longest common
/// subsequence, by value, of those and of the elements that are gone.
fn equals<'v, 'e>(
    before: &'v [Element<'e>],
    after: &[Element<'_>],
    own: &[Option<&[u8]>],
) -> Vec<Option<&'v Element<'e>>> {
    let mut found = vec![None; after.len()];
    let mut new: &[usize] = &(0..after.len()).filter(|&n| own[n].is_none()).collect::<Vec<_>>();
    if new.is_empty() {
        return found;
    }
    let kept: HashSet<&[u8]> = own.iter().copied().flatten().collect();
    let gone: Vec<_> = before.iter().filter(|old| id_of(old).is_some_and(|id| !kept.contains(id))).collect();
    let mut gone: &[&'v Element<'e>] = &gone;
    while let (Some((&n, new_rest)), Some((&old, gone_rest))) = (new.split_first(), gone.split_first())
        && after[n].value == old.value
    {
        (found[n], new, gone) = (Some(old), new_rest, gone_rest);
    }
    while let (Some((&n, new_rest)), Some((&old, gone_rest))) = (new.split_last(), gone.split_last())
        && after[n].value == old.value
    {
        (found[n], new, gone) = (Some(old), new_rest, gone_rest);
    }
    if new.len().saturating_mul(gone.len()) > PAIRS_MAX {
        return found;
    }
    // lengths[i][j]: the longest common subsequence of what is left from i and from j on.
    let width = gone.len() + 1;
    let mut lengths = vec![0_u32; (new.len() + 1) * width];
    for i in (0..new.len()).rev() {
        for j in (0..gone.len()).rev() {
            lengths[i * width + j] = if after[new[i]].value == gone[j].value {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < new.len() && j < gone.len() {
        if after[new[i]].value == gone[j].value {
            found[new[i]] = Some(gone[j]);
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// Takes their positions from as few elements as possible, so that the positions that are left ascend: those
/// of a list that is not what the database holds by now, or was put together from others, may not.
fn keep_ascending(positions: &mut [Option<Cow<'_, [u8]>>], ids: &[Cow<'_, [u8]>]) {
    let place = |n: usize| positions[n].as_deref().map(|position| (position, &*ids[n]));
    let placed: Vec<usize> = (0..positions.len()).filter(|&n| positions[n].is_some()).collect();
    if placed.windows(2).all(|pair| place(pair[0]) < place(pair[1])) {
        return;
    }
    // A longest increasing subsequence: `ends[k]` ends the best one of k + 1 elements.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: HashMap<usize, usize> = HashMap::new();
    for &n in &placed {
        let k = ends.partition_point(|&end| place(end) < place(n));
        if let Some(&before) = k.checked_sub(1).and_then(|k| ends.get(k)) {
            previous.insert(n, before);
        }
        if k == ends.len() {
            ends.push(n);
        } else {
            ends[k] = n;
        }
    }
    let mut kept = HashSet::new();
    let mut last = ends.last().copied();
    while let Some(n) = last {
        kept.insert(n);
        last = previous.get(&n).copied();
    }
    for n in placed.into_iter().filter(|n| !kept.contains(n)) {
        positions[n] = None;
    }
}

/// Positions for the elements that have none; new ones for all if there is no room between two.
fn fill<'v>(mut positions: Vec<Option<Cow<'v, [u8]>>>, mint: &mut Mint<'_>) -> Vec<Cow<'v, [u8]>> {
    let count = positions.len();
    let mut filled: Vec<Cow<'v, [u8]>> = Vec::with_capacity(count);
    let mut at = 0;
    while at < count {
        if let Some(position) = positions[at].take() {
            filled.push(position);
            at += 1;
            continue;
        }
        let end = (at..count).find(|&n| positions[n].is_some()).unwrap_or(count);
        let (left, right) = (filled.last().map(|left| &**left), positions.get(end).and_then(Option::as_deref));
        let Some(run) = position::between(left, right, end - at, mint.random()) else {
            return position::numbered(count, mint.random()).into_iter().map(Cow::Owned).collect();
        };
        filled.extend(run.into_iter().map(Cow::Owned));
        at = end;
    }
    filled
}
