//! Explaining the elements of a set, a map or a list: each is a small row, merged here from the row's entries.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::StoreError;
use super::child::ChildTable;
use super::elements::{edit_fits, encode_key, is_present, op_of};
use super::entries::{ElementData, OpData};
use super::explain::Explainer;
use super::explanation::{ElementLoss, ExplainedCollection, ExplainedElement, LostElement};
use super::history::Entry;
use crate::crdt::{Life, Row, Stamp, Writer};
use crate::oplog::ElementEdit;
use crate::schema::{MergeRule, Value};

/// An edit of an element, and the entry that made it.
struct Edit<'a> {
    entry: &'a Entry,
    edit: ElementEdit<'a>,
}

impl<'a> Explainer<'a> {
    /// Why a collection has its elements.
    pub(super) fn collection(&mut self, child: &ChildTable) -> Result<ExplainedCollection, StoreError> {
        let schema = child.schema;
        let mut by_key: BTreeMap<Vec<u8>, Vec<Edit<'a>>> = BTreeMap::new();
        for entry in self.entries {
            let data = entry.entry.data.iter().find(|(name, _)| name == schema.name);
            let Some((_, OpData::Elements(edits))) = data else { continue };
            for edit in edits.iter().map(edit_of).filter(|edit| edit_fits(schema, edit)) {
                let mut key = Vec::new();
                encode_key(&edit.key, &mut key)?;
                by_key.entry(key).or_default().push(Edit { entry, edit });
            }
        }
        let mut elements = Vec::with_capacity(by_key.len());
        for edits in by_key.values() {
            let mut element = Row::new(child.defaults.clone());
            for Edit { entry, edit } in edits {
                let stamp = Stamp { at: entry.entry.timestamp, writer: Writer(entry.log) };
                element.merge(op_of(child, edit, stamp), self.writers());
            }
            let explained = self.element(schema.rule, edits, &element)?;
            // What everybody has removed needs no explanation.
            if explained.present || !explained.lost.is_empty() {
                elements.push((order(schema.rule, &explained, &element), explained));
            }
        }
        elements.sort_by(|(one, _), (other, _)| one.cmp(other));
        let elements = elements.into_iter().map(|(_, element)| element).collect();
        Ok(ExplainedCollection { name: schema.name.to_owned(), rule: schema.rule, elements })
    }

    fn element(
        &mut self,
        rule: MergeRule,
        edits: &[Edit<'a>],
        element: &Row<Value>,
    ) -> Result<ExplainedElement, StoreError> {
        let present = is_present(element);
        let value = element.values.len().checked_sub(1).filter(|_| rule != MergeRule::Set);
        let decided = self.holder(element.clock.life());
        let valued = value.and_then(|column| self.holder(element.clock.column(column)));
        let opposite = |edit: &&Edit<'a>| edit.edit.put == (element.life != Life::Alive);
        let mut lost = self.lost(decided, edits, &opposite)?;
        if present {
            let others = |edit: &&Edit<'a>| edit.edit.put && edit.edit.value.is_some();
            lost.extend(self.lost(valued, edits, &others)?);
            lost.sort_by_key(|lost| lost.written.timestamp);
        }
        let written = if present { valued.or(decided) } else { decided };
        Ok(ExplainedElement {
            key: edits[0].edit.key.clone().into_owned(),
            value: value.filter(|column| element.clock.column(*column).is_some()).map(|n| element.values[n].clone()),
            present,
            written: written.map(|entry| self.written(&entry.entry)),
            lost,
        })
    }

    /// The chosen edits that lost against a concurrent one.
    fn lost(
        &mut self,
        winner: Option<&'a Entry>,
        edits: &[Edit<'a>],
        chosen: &dyn Fn(&&Edit<'a>) -> bool,
    ) -> Result<Vec<LostElement>, StoreError> {
        let Some(winner) = winner else { return Ok(Vec::new()) };
        let others = edits.iter().filter(chosen).map(|edit| edit.entry).collect();
        let mut lost = Vec::new();
        for entry in self.concurrent(winner, others)? {
            let Some(Edit { edit, .. }) = edits.iter().find(|edit| std::ptr::eq(edit.entry, entry)) else { continue };
            let value = edit.value.clone().map(|value| value.into_owned());
            let edit = if edit.put { ElementLoss::Put(value) } else { ElementLoss::Removed };
            lost.push(LostElement { edit, written: self.written(&entry.entry) });
        }
        Ok(lost)
    }
}

fn edit_of(data: &ElementData) -> ElementEdit<'_> {
    ElementEdit {
        key: data.key.as_ref(),
        put: data.put,
        position: data.position.as_deref().map(Cow::Borrowed),
        value: data.value.as_ref().map(Value::as_ref),
    }
}

/// What elements are sorted by: those that are there before those that aren't, a list's by their positions, the
/// others by their keys, as SQL does.
fn order(rule: MergeRule, explained: &ExplainedElement, element: &Row<Value>) -> (bool, Vec<u8>, String, i64) {
    let position = match (element.values.first(), &explained.key) {
        (Some(Value::Blob(position)), _) if rule == MergeRule::List => position.clone(),
        (_, Value::Blob(key)) if rule != MergeRule::List => key.clone(),
        _ => Vec::new(),
    };
    let (text, number) = match &explained.key {
        Value::Text(text) => (text.clone(), 0),
        Value::Integer(number) => (String::new(), *number),
        _ => (String::new(), 0),
    };
    (!explained.present, position, text, number)
}
