//! Rules across the fields of a model, each with its why.

mod encrypted;
mod past;
mod space;

use std::collections::BTreeMap;

use quote::quote;
use syn::Ident;
use syn::ext::IdentExt;

use crate::ctxt::Ctxt;
use crate::ir::model::{Field, Model, Name, Rule, Since};
use crate::ir::past::Made;
use crate::names::{nearest, problem};

/// Checks the whole model.
pub(crate) fn model(model: &mut Model, cx: &mut Ctxt) {
    name(&model.table, cx);
    for field in &mut model.fields {
        let errors = cx.len();
        one_rule(&field.rules, cx);
        conflicts(field, cx);
        on_delete(field, cx);
        text_is_there(field, cfg!(feature = "text"), cx);
        encrypted::field(field, cx);
        default(field, cx);
        since(field, &model.ident, model.version, cx);
        past::field(field, &model.ident, model.version, cx);
        field.unclear |= cx.len() > errors;
    }
    ids(model, cx);
    for gone in &model.removed {
        past::removed(gone, &model.ident, model.version, cx);
    }
    let clear = cx.len() == 0;
    id_from(model, cx);
    space::check(model, cx);
    encrypted::keys(model, cx);
    columns(model, cx);
    indexes(model, cx);
    if clear {
        past::names(model, cx);
    }
}

/// Names that SQLite or CFOST take for themselves, or that no tool could quote.
fn name(name: &Name, cx: &mut Ctxt) {
    if let Some(problem) = problem(&name.text) {
        cx.error(Ident::new("name", name.span), problem);
    }
}

/// A field has exactly one merge rule: two would give two values.
fn one_rule(rules: &[(Ident, Rule)], cx: &mut Ctxt) {
    for pair in rules.windows(2) {
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
    let default = field.default.as_ref().map(|default| &default.key);
    let references = field.references.as_ref().map(|references| &references.key);
    let since = field.since.as_ref().map(|since| &since.key);
    let backfill = field.backfill.as_ref().map(|backfill| &backfill.key);
    if field.id.is_some() {
        conflict("id", field.skip.as_ref(), "the row's id is stored");
        conflict("id", field.index.as_ref(), "the row's id is always indexed");
        conflict("id", default, "every row has its own id");
        conflict("id", rule, "a row's id never changes, so there is nothing to merge");
        conflict("id", field.immutable.as_ref(), "a row's id never changes");
        conflict("id", references, "a row's id names the row itself: refer to others in a field of its own");
        conflict("id", field.search.as_ref(), "an id has no words");
        conflict("id", since.or(backfill), "every row has its own id, from the first version on");
    } else if field.skip.is_some() {
        let why = "a skipped field is not stored";
        conflict("skip", field.index.as_ref(), why);
        conflict("skip", field.renamed.as_ref(), why);
        conflict("skip", rule, why);
        conflict("skip", field.immutable.as_ref(), why);
        conflict("skip", references, why);
        conflict("skip", field.search.as_ref(), why);
        conflict("skip", since.or(backfill), why);
    } else if let Some((key, rule)) = field.rules.first().filter(|(_, rule)| *rule != Rule::Lww) {
        let with = &key.to_string();
        let (starts, changes) = match rule {
            Rule::Counter => ("a counter starts at 0, and increments move it", "increments of all devices move it"),
            Rule::Set | Rule::Map | Rule::List => ("it starts empty", "its elements come and go one by one"),
            Rule::Text | Rule::Lww => ("a text starts empty, and edits fill it", "edits of all devices are merged"),
        };
        conflict(with, default, starts);
        conflict(with, backfill, starts);
        conflict(with, field.immutable.as_ref(), changes);
        conflict(with, references, "a reference names one row, so its last writer wins");
        match rule {
            Rule::Text => conflict(with, field.index.as_ref(), "an index over whole texts finds none: use `search`"),
            Rule::Counter => conflict(with, field.search.as_ref(), "a number has no words"),
            _ => conflict(with, field.search.as_ref(), "words are searched in one text: `index` finds rows by element"),
        }
    }
}

/// What becomes of a row when another is deleted is only asked of rows that refer to one.
fn on_delete(field: &Field, cx: &mut Ctxt) {
    if let (Some((key, _)), None) = (&field.on_delete, &field.references) {
        let help = "add `references = Project`, the model whose rows this field names";
        cx.help(
            key,
            "'on_delete' says what becomes of a row that refers to a deleted one: nothing is referred to",
            help,
        );
    }
}

/// The merge rule `text` is a feature, because of what it adds to a program. Without it there is no type
/// `Text`, and rustc wouldn't know why.
pub(crate) fn text_is_there(field: &Field, text: bool, cx: &mut Ctxt) {
    if let Some((key, _)) = field.rules.iter().find(|(_, rule)| *rule == Rule::Text && !text) {
        let help = "write `cfost = { version = \"..\", features = [\"text\"] }` in Cargo.toml";
        cx.help(key, "the merge rule 'text' needs the feature `text` of `cfost`", help);
    }
}

/// A stored field's default or backfill becomes the column's default in SQL, so it is a literal.
fn default(field: &Field, cx: &mut Ctxt) {
    if !field.is_stored() || field.rule() != Rule::Lww {
        return;
    }
    let constants = field.default.iter().chain(&field.backfill);
    for wrong in constants.filter(|constant| constant.constant(&quote!(Constant)).is_none()) {
        let key = &wrong.key;
        cx.help(
            &wrong.value,
            format_args!("the {key} of a stored field is a literal: it becomes the column's default in the database"),
            "write a number within i64, `true`, `false`, \"text\" or b\"bytes\"; for an enum, its variant's name as text",
        );
    }
}

/// A field comes with a version that the model has reached, and brings the value of the rows from before.
fn since(field: &Field, model: &Ident, version: u32, cx: &mut Ctxt) {
    if !field.is_stored() {
        return;
    }
    if let Some(since) = &field.since {
        if since.version == 1 {
            cx.help(&since.key, "'since = 1' says nothing: a field is there from the first version on", "remove it");
        } else {
            reached(since, model, version, cx);
        }
    }
    match (field.begins() > 1, &field.backfill, &field.default) {
        (true, _, Some(default)) if field.rule() == Rule::Lww => {
            let message = "'default' conflicts with 'since': what rows from before the field hold is its `backfill`";
            cx.help(&default.key, message, format_args!("write `backfill = {}`", default.value));
        }
        (false, Some(backfill), _) if field.rule() == Rule::Lww => {
            let message = "'backfill' is what rows hold from before the field was there, but it always was";
            let help = "add `since = 2`, the version that brings the field, or write `default`";
            cx.help(&backfill.key, message, help);
        }
        _ => {}
    }
}

/// A version that an attribute names is one that the model has reached.
fn reached(at: &Since, model: &Ident, version: u32, cx: &mut Ctxt) {
    let (key, named) = (&at.key, at.version);
    if named > version {
        let message = format!("'{key} = {named}' is newer than this model's 'version = {version}'");
        let help = format!("set `version = {named}` on `{model}`, and run `CFOST_BLESS=1 cargo test` to record it");
        cx.help(key, message, help);
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

/// An id that is made from values is made once: the fields are stored, hold one value, and never change
/// after. That last is so without a word from the app.
fn id_from(model: &Model, cx: &mut Ctxt) {
    let names = model.fields.iter().flat_map(|field| &field.id_from).collect::<Vec<_>>();
    for (at, name) in names.iter().enumerate() {
        let text = name.unraw().to_string();
        let why = match model.fields.iter().find(|field| field.name() == text) {
            None => {
                unknown_field(model, name, &text, "`from`", cx);
                continue;
            }
            Some(_) if names[..at].iter().any(|other| other.unraw() == name.unraw()) => {
                cx.help(name, format_args!("'{text}' is there twice"), "keep one");
                continue;
            }
            Some(field) if field.id.is_some() => "it is the id",
            Some(field) if field.skip.is_some() => "it is skipped, so other devices don't have it",
            Some(field) if field.encrypted.is_some() => "it is encrypted, and not all devices can read it",
            Some(field) if field.rule() != Rule::Lww => "its value changes, and an id never does",
            Some(field) if field.steps.iter().any(|step| matches!(step.made, Made::Upgraded { .. })) => {
                let message =
                    format!("the id can't be made from '{text}': devices of before make it from other values");
                cx.help(name, message, "keep the field as it was, and add another one for the upgraded values");
                continue;
            }
            Some(field) if field.begins() > 1 => "rows from before that field have their ids already",
            Some(_) => continue,
        };
        cx.error(name, format_args!("the id can't be made from '{text}': {why}"));
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
                Some(field) if field.encrypted.is_some() => {
                    cx.error(name, format_args!("'{text}' can't be indexed: {}", encrypted::UNREADABLE));
                }
                Some(field) if field.is_collection() => {
                    let message =
                        format!("'{text}' can't be indexed beside others: its elements are in a table of their own");
                    cx.help(name, message, format_args!("write `#[synced(index)]` on `{text}`"));
                }
                Some(field) if field.rule() == Rule::Text => {
                    let message = format!("'{text}' can't be indexed: an index over whole texts finds none");
                    cx.help(name, message, format_args!("write `#[synced(search)]` on `{text}`"));
                }
                Some(_) if index[..at].iter().any(|other| other.unraw() == name.unraw()) => {
                    cx.help(name, format_args!("'{text}' is there twice"), "keep one");
                }
                Some(_) => {}
                None => unknown_field(model, name, &text, "an index", cx),
            }
        }
    }
}

fn unknown_field(model: &Model, at: &Ident, text: &str, what: &str, cx: &mut Ctxt) {
    let message = format!("'{}' has no field '{text}'", model.ident);
    let by_column = model.fields.iter().find(|field| field.column.text == text).map(Field::name);
    let names: Vec<String> = model.fields.iter().map(Field::name).collect();
    match (by_column, nearest(text, names.iter().map(String::as_str))) {
        (Some(field), _) => cx.help(at, message, format_args!("{what} names fields: write `{field}`")),
        (None, Some(near)) => cx.help(at, message, format_args!("did you mean `{near}`?")),
        (None, None) => cx.error(at, message),
    }
}
