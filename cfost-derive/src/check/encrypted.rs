//! Rules for encrypted fields: the database has bytes of them that mean nothing to it.

use syn::Ident;
use syn::ext::IdentExt;

use crate::check::unknown_field;
use crate::ctxt::Ctxt;
use crate::ir::model::{Field, Model, Rule};
use crate::ir::past::Made;

/// Why the database can do nothing with an encrypted field.
pub(super) const UNREADABLE: &str = "it is encrypted, and what the database has of it says nothing of its value";

/// Checks what else an encrypted field says of itself.
pub(super) fn field(field: &Field, cx: &mut Ctxt) {
    let Some(encrypted) = &field.encrypted else { return };
    let mut conflict = |option: Option<&Ident>, why: &str| {
        if let Some(option) = option {
            cx.error(option, format_args!("'{option}' conflicts with '{}': {why}", encrypted.key));
        }
    };
    conflict(field.id.as_ref(), "a row's id names it to everybody who has it");
    conflict(field.skip.as_ref(), "a skipped field is not stored");
    conflict(field.index.as_ref(), UNREADABLE);
    conflict(field.search.as_ref(), UNREADABLE);
    let references = field.references.as_ref().map(|references| &references.key);
    conflict(references, "what a row is shown with has to be known on every device");
    let rule = field.rules.first().filter(|(_, rule)| *rule != Rule::Lww).map(|(key, _)| key);
    conflict(rule, "devices merge it without the key, so its last writer wins");
    for step in field.steps.iter().filter(|step| !matches!(step.made, Made::Renamed { .. })) {
        let message =
            format!("'{}' conflicts with 'encrypted': a device without the key can't make the new values", step.key);
        let by = step.version.version;
        let help = format!("add a field with `since = {by}`, and write `removed(.., in = {by})` for the old one");
        cx.help(&step.key, message, help);
    }
}

/// The key is that of a space which a column of the same row names, and goes on naming.
pub(super) fn keys(model: &Model, cx: &mut Ctxt) {
    for name in model.fields.iter().filter_map(|field| field.encrypted.as_ref()?.space.as_ref()) {
        let text = name.unraw().to_string();
        let why = match model.fields.iter().find(|field| field.name() == text) {
            None => {
                unknown_field(model, name, &text, "`encrypted`", cx);
                continue;
            }
            Some(field) if field.id.is_some() => "it is the row itself, whose space the whole row is encrypted for",
            Some(field) if field.skip.is_some() => "it is skipped, so other devices don't have it",
            Some(field) if field.encrypted.is_some() => "it is encrypted itself",
            Some(field) if field.rule() != Rule::Lww => "it merges, and what was sealed stays sealed for one space",
            Some(field) if field.steps.iter().any(|step| !matches!(step.made, Made::Renamed { .. })) => {
                "devices of before read another space in it"
            }
            Some(_) => continue,
        };
        cx.error(name, format_args!("'{text}' can't name the space of a key: {why}"));
    }
}
