//! Rules across the fields of a model, each with its why.

use std::collections::BTreeMap;

use quote::quote;
use syn::Ident;
use syn::ext::IdentExt;

use crate::ctxt::Ctxt;
use crate::ir::model::{Field, Model, Name, Rule};
use crate::names::{nearest, problem};

/// Checks the whole model.
pub(crate) fn model(model: &mut Model, cx: &mut Ctxt) {
    name(&model.table, cx);
    for field in &mut model.fields {
        let errors = cx.len();
        rules(field, cx);
        conflicts(field, cx);
        default(field, cx);
        field.unclear |= cx.len() > errors;
    }
    ids(model, cx);
    columns(model, cx);
    indexes(model, cx);
}

/// Names that SQLite or CFOST take for themselves, or that no tool could quote.
fn name(name: &Name, cx: &mut Ctxt) {
    if let Some(problem) = problem(&name.text) {
        cx.error(Ident::new("name", name.span), problem);
    }
}

/// A field has exactly one merge rule: two would give two values.
fn rules(field: &Field, cx: &mut Ctxt) {
    for pair in field.rules.windows(2) {
        let (first, second) = (&pair[0].0, &pair[1].0);
        if first == second {
            cx.help(second, format_args!("'{first}' is there twice"), "keep one");
        } else {
            cx.error(second, format_args!("'{first}' conflicts with '{second}': a field has exactly one merge rule"));
        }
    }
}

/// Options that contradict each other.
fn conflicts(field: &Field, cx: &mut Ctxt) {
    let mut conflict = |with: &str, option: Option<&Ident>, why: &str| {
        if let Some(option) = option {
            cx.error(option, format_args!("'{option}' conflicts with '{with}': {why}"));
        }
    };
    let rule = field.rules.first().map(|(key, _)| key);
    if field.id.is_some() {
        conflict("id", field.skip.as_ref(), "the row's id is stored");
        conflict("id", field.index.as_ref(), "the row's id is always indexed");
        conflict("id", field.default.as_ref().map(|default| &default.key), "every row has its own id");
        conflict("id", rule, "a row's id never changes, so there is nothing to merge");
    } else if field.skip.is_some() {
        let why = "a skipped field is not stored";
        conflict("skip", field.index.as_ref(), why);
        conflict("skip", field.renamed.as_ref(), why);
        conflict("skip", rule, why);
    } else if field.rule() == Rule::Counter {
        let why = "a counter starts at 0, and increments move it";
        conflict("counter", field.default.as_ref().map(|default| &default.key), why);
    }
}

/// A stored field's default becomes the column's default in SQL, so it is a literal.
fn default(field: &Field, cx: &mut Ctxt) {
    let Some(default) = field.default.as_ref().filter(|_| field.is_stored() && field.rule() != Rule::Counter) else {
        return;
    };
    if default.constant(&quote!(Constant)).is_none() {
        cx.help(
            &default.value,
            "the default of a stored field is a literal: it becomes the column's default in the database",
            "write a number within i64, `true`, `false`, \"text\" or b\"bytes\"; for an enum, its variant's name as text",
        );
    }
}

/// One row, one id. A field whose options can't be read may have been meant to be it.
fn ids(model: &Model, cx: &mut Ctxt) {
    let mut ids = model.fields.iter().filter_map(|field| Some((field, field.id.as_ref()?)));
    let Some((first, _)) = ids.next() else {
        if model.fields.iter().any(|field| field.unclear) {
            return;
        }
        let name = &model.ident;
        let help = match model.fields.iter().find(|field| field.name() == "id") {
            Some(_) => "mark the field `id` with `#[synced(id)]`",
            None => "add `#[synced(id)] id: Uuid`",
        };
        return cx.help(name, format_args!("'{name}' has no id field"), help);
    };
    for (second, key) in ids {
        let message = format!("'{}' has two id fields: '{}' and '{}'", model.ident, first.name(), second.name());
        cx.help(key, message, "keep one");
    }
}

/// SQLite compares the names of columns without ASCII case.
fn columns(model: &Model, cx: &mut Ctxt) {
    let mut seen: BTreeMap<String, &Field> = BTreeMap::new();
    for field in model.fields.iter().filter(|field| field.skip.is_none()) {
        name(&field.column, cx);
        if let Some(other) = seen.insert(field.column.text.to_ascii_lowercase(), field) {
            let message =
                format!("'{}' and '{}' have the same column '{}'", other.name(), field.name(), field.column.text);
            let help = "SQLite ignores case in names; give one another name with `#[synced(column = \"..\")]`";
            cx.help(Ident::new("name", field.column.span), message, help);
        }
    }
}

/// An index names stored fields, each once.
fn indexes(model: &Model, cx: &mut Ctxt) {
    for index in &model.indexes {
        for (at, name) in index.iter().enumerate() {
            let text = name.unraw().to_string();
            match model.fields.iter().find(|field| field.name() == text) {
                Some(field) if field.skip.is_some() => {
                    cx.error(name, format_args!("'{text}' can't be indexed: it is skipped, so it has no column"));
                }
                Some(_) if index[..at].iter().any(|other| other.unraw() == name.unraw()) => {
                    cx.help(name, format_args!("'{text}' is there twice"), "keep one");
                }
                Some(_) => {}
                None => unknown_field(model, name, &text, cx),
            }
        }
    }
}

fn unknown_field(model: &Model, at: &Ident, text: &str, cx: &mut Ctxt) {
    let message = format!("'{}' has no field '{text}'", model.ident);
    let by_column = model.fields.iter().find(|field| field.column.text == text).map(Field::name);
    let names: Vec<String> = model.fields.iter().map(Field::name).collect();
    match (by_column, nearest(text, names.iter().map(String::as_str))) {
        (Some(field), _) => cx.help(at, message, format_args!("an index names fields: write `{field}`")),
        (None, Some(near)) => cx.help(at, message, format_args!("did you mean `{near}`?")),
        (None, None) => cx.error(at, message),
    }
}
