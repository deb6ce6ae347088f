//! Rules for the spaces that rows live in: a row is in one, from the beginning to the end.

use syn::Ident;
use syn::ext::IdentExt;

use crate::check::unknown_field;
use crate::ctxt::Ctxt;
use crate::ir::model::{Field, Model, Rule, Space};
use crate::ir::past::Made;

/// Checks `space` and `space = field`.
pub(super) fn check(model: &Model, cx: &mut Ctxt) {
    match &model.space {
        None => {}
        Some(Space { key, field: None }) => rows(model, key, cx),
        Some(Space { field: Some(name), .. }) => named(model, name, cx),
    }
}

/// The id of a space says who founded it, so it is minted.
fn rows(model: &Model, key: &Ident, cx: &mut Ctxt) {
    if model.fields.iter().any(|field| !field.id_from.is_empty()) {
        let message = "'space' conflicts with 'id(from(..))': each row is a space, and the id of a space is made from \
                       the user who founds it, so that nobody else can claim it";
        cx.help(key, message, "write `#[synced(id)]`, and `index` on the fields that are looked for");
    }
}

/// The space is named by a column that every row has, and that never changes.
fn named(model: &Model, name: &Ident, cx: &mut Ctxt) {
    let text = name.unraw().to_string();
    let Some(field) = model.fields.iter().find(|field| field.name() == text) else {
        return unknown_field(model, name, &text, "`space`", cx);
    };
    if field.id.is_some() {
        let message = format!("'space = {text}' names the row itself");
        return cx.help(name, message, "write `space`, which makes each row a space");
    }
    let upgraded = || field.steps.iter().find(|step| !matches!(step.made, Made::Renamed { .. }));
    let why = if field.skip.is_some() {
        "it is skipped, so other devices don't have it"
    } else if field.encrypted.is_some() {
        "it is encrypted, and not all devices can read it"
    } else if field.rule() != Rule::Lww {
        "it merges, and a row stays in its space"
    } else if upgraded().is_some() {
        "devices of before read another space in it"
    } else if field.begins() > 1 {
        "rows from before that field are in a space already"
    } else if field.default.is_some() {
        "every row says its space itself"
    } else {
        return made_from(model, field, cx);
    };
    cx.error(name, format_args!("'{text}' can't name the space of a row: {why}"));
}

/// Rows of two spaces are two rows, also if they are equal otherwise.
fn made_from(model: &Model, space: &Field, cx: &mut Ctxt) {
    let id = model.fields.iter().find(|field| !field.id_from.is_empty());
    let Some((id, key)) = id.and_then(|id| Some((id, id.id.as_ref()?))) else { return };
    if !id.id_from.iter().any(|from| from.unraw() == space.ident.unraw()) {
        let from: Vec<String> = id.id_from.iter().map(|from| from.unraw().to_string()).collect();
        let name = space.name();
        let message = format!("the id has to be made from '{name}' too: equal values in two spaces are two rows");
        cx.help(key, message, format_args!("write `id(from({name}, {}))`", from.join(", ")));
    }
}
