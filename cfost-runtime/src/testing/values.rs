//! Values that columns and collections can hold, drawn at random: few of each type, so that devices disagree about
//! the same ones.

use uuid::Uuid;

use super::random::Random;
use crate::schema::{
    CollectionSchema, ColumnSchema, Element, EncryptedSchema, MergeRule, SqlType, ValueRef, open_form,
};

/// Words that texts are made of, with letters that take several bytes or several characters.
const WORDS: &[&str] = &["milk", "bread", "", "é", "e\u{301}", "👩‍👩‍👧", "a long line\nand another", "Ω"];

/// Numbers, mostly small ones, so that what an app computes from them often has a result.
const INTEGERS: &[i64] = &[0, 1, -1, 2, 7, 0, 1, 2, 60, i64::MAX, i64::MIN];

/// A row that isn't there.
const NO_ROW: Uuid = Uuid::from_u128(7);

/// A value for a column, which names one of the rows `named` if it is a reference.
pub(super) fn value(random: &mut Random, column: &ColumnSchema, named: &[Uuid]) -> ValueRef<'static> {
    if let Some(encrypted) = &column.encrypted {
        return to_seal(inside(random, encrypted));
    }
    if column.nullable && random.percent(20) {
        return ValueRef::Null;
    }
    if column.reference.is_some() {
        let id = if named.is_empty() { NO_ROW } else { *random.pick(named) };
        return ValueRef::Blob(id.as_bytes().to_vec().into());
    }
    of_type(random, column.sql_type)
}

/// What can be in an encrypted column.
pub(super) fn inside(random: &mut Random, encrypted: &EncryptedSchema) -> ValueRef<'static> {
    if encrypted.nullable && random.percent(20) { ValueRef::Null } else { of_type(random, encrypted.sql_type) }
}

/// A value of an encrypted column, as a transaction takes it.
pub(super) fn to_seal(value: ValueRef<'static>) -> ValueRef<'static> {
    // What is drawn or given is no NaN, which nothing can store.
    open_form(value).map_or(ValueRef::Null, |form| ValueRef::Blob(form.into()))
}

/// A value of a type.
pub(super) fn of_type(random: &mut Random, sql_type: SqlType) -> ValueRef<'static> {
    match sql_type {
        SqlType::Integer => ValueRef::Integer(*random.pick(INTEGERS)),
        SqlType::Real => ValueRef::Real(*random.pick(&[0.0, 1.5, -2.25, f64::INFINITY])),
        SqlType::Text => ValueRef::Text((*random.pick(WORDS)).into()),
        SqlType::Blob => ValueRef::Blob(vec![random.below(4) as u8; random.below(20)].into()),
    }
}

/// The elements of a collection after some edits.
pub(super) fn elements(
    random: &mut Random,
    of: &CollectionSchema,
    before: &[Element<'static>],
) -> Vec<Element<'static>> {
    let mut after: Vec<Element<'static>> = before.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(after.len() + 1);
        let value = of.value.map(|(sql_type, _)| of_type(random, sql_type));
        if at < after.len() && random.percent(40) {
            after.remove(at);
        } else if of.rule == MergeRule::List && at < after.len() && random.percent(50) {
            // Moved, or given another value in its place.
            let mut element = after.remove(at);
            let to = if random.percent(50) { at } else { random.below(after.len() + 1) };
            if to == at {
                element.value = value;
            } else {
                element.position = None;
            }
            after.insert(to, element);
        } else if of.rule == MergeRule::List {
            after.insert(at, Element { key: ValueRef::Null, position: None, value });
        } else {
            let key = of_type(random, of.key);
            after.retain(|element| element.key != key);
            after.push(Element { key, position: None, value });
        }
    }
    after
}
