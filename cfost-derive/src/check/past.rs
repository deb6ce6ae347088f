//! Rules for what fields were in earlier versions. Devices on those versions go on syncing, so each rule is about
//! what they would see.

mod names;

use quote::quote;
use syn::Ident;

use crate::check::{name, reached};
use crate::ctxt::Ctxt;
use crate::ir::forms::Lines;
use crate::ir::model::{Field, Model, Rule, Since};
use crate::ir::past::{Made, Removed, Step};

/// Checks one field's steps.
pub(super) fn field(field: &Field, model: &Ident, version: u32, cx: &mut Ctxt) {
    steps(&field.name(), field.since.as_ref(), &field.steps, (model, version), cx);
    if !field.is_stored() {
        return not_stored(field, cx);
    }
    since_is_a_step(field, cx);
    own_name(&field.column.text, &field.steps, cx);
    values_only(&field.name(), field.rules.first(), &field.steps, cx);
    rule_pairs(field.rules.first(), &field.steps, cx);
    if let (Some(immutable), Some(step)) = (&field.immutable, upgrades(&field.steps).next()) {
        let message =
            format!("'upgrade' conflicts with '{immutable}': a row keeps the value that it was inserted with");
        cx.help(&step.key, message, "add a field with `since` for the new values, and keep this one");
    }
}

/// Checks what was removed from the model.
pub(super) fn removed(gone: &Removed, model: &Ident, version: u32, cx: &mut Ctxt) {
    let field = &gone.name.text;
    name(&gone.name, cx);
    super::one_rule(&gone.rules, cx);
    reached(&gone.version, model, version, cx);
    steps(field, gone.since.as_ref(), &gone.steps, (model, version), cx);
    own_name(field, &gone.steps, cx);
    values_only(field, gone.rules.first(), &gone.steps, cx);
    let last = gone.steps.last().map_or(gone.begins(), |step| step.version.version.max(gone.begins()));
    if gone.version.version <= last {
        let message = format!(
            "'{field}' is as it is since version {last}, so version {} can't have removed it",
            gone.version.version
        );
        cx.help(&gone.version.key, message, format_args!("write the version that removed it, from {}", last + 1));
    }
    filler(gone, cx);
}

/// Checks the names of all versions.
pub(super) fn names(model: &Model, cx: &mut Ctxt) {
    let lines = Lines::of(model);
    let errors = cx.len();
    names::unique(model, &lines, cx);
    if cx.len() == errors {
        names::not_used_again(&lines, cx);
    }
}

fn upgrades(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.iter().filter(|step| matches!(step.made, Made::Upgraded { .. }))
}

/// A version makes one change of a field that is there already, so each form is what some version shows.
fn steps(field: &str, since: Option<&Since>, steps: &[Step], (model, version): (&Ident, u32), cx: &mut Ctxt) {
    let mut before: Option<&Step> = None;
    for (at, step) in steps.iter().enumerate() {
        step.from().into_iter().for_each(|from| name(from, cx));
        reached(&step.version, model, version, cx);
        let (key, by) = (&step.key, step.version.version);
        match before {
            Some(before) if before.version.version == by => {
                let message = format!("'{}' and '{key}' are both changes of '{field}' in version {by}", before.key);
                let help = match (&before.made, &step.made) {
                    (Made::Upgraded { .. }, Made::Renamed { .. }) | (Made::Renamed { .. }, Made::Upgraded { .. }) => {
                        "an upgrade names the column that it takes, which is a rename too: keep `upgrade(old, ..)`"
                    }
                    _ => "give each a version of its own",
                };
                cx.help(key, message, help);
            }
            _ => {}
        }
        before = Some(step);
        let Made::Upgraded { since: Some(inner), .. } = &step.made else { continue };
        if at > 0 {
            let message = format!("'since' is when '{field}' came first, which the oldest of its changes says");
            cx.help(
                &inner.key,
                message,
                format_args!("write it in the change of version {}", steps[0].version.version),
            );
        } else if inner.version >= by {
            let message =
                format!("the column came with version {}, so version {by} can't have upgraded it", inner.version);
            cx.help(
                &inner.key,
                message,
                format_args!("write a version before {by}, or nothing if it always was there"),
            );
        } else if since.is_some_and(|own| own.version < by && own.version != inner.version) {
            cx.help(&inner.key, format_args!("'{field}' has two versions that it is there since"), "keep one");
        }
    }
}

/// `since` beside changes is the version that brought the field, before them, or the upgrade that made it.
fn since_is_a_step(field: &Field, cx: &mut Ctxt) {
    let (Some(since), Some(first)) = (&field.since, field.steps.first()) else { return };
    let made = upgrades(&field.steps).any(|step| step.version.version == since.version);
    if since.version >= first.version.version && !made {
        let (name, by, key) = (field.name(), first.version.version, &first.key);
        let message =
            format!("'{name}' is there since version {}, so version {by} can't have changed it", since.version);
        let help = format!("write `in = {}` or later in `{key}(..)`, or an earlier `since`", since.version + 1);
        cx.help(&first.version.key, message, help);
    }
}

/// What isn't a column of values can't have been another one.
fn not_stored(field: &Field, cx: &mut Ctxt) {
    for Step { key, made, .. } in &field.steps {
        let Some(id) = &field.id else {
            cx.error(key, format_args!("'{key}' conflicts with 'skip': a skipped field is not stored"));
            continue;
        };
        match made {
            Made::Renamed { from } => {
                let help = format!("write `#[synced({id}, column = \"{}\")]`: the field may have any name", from.text);
                cx.help(key, "'renamed_from' conflicts with 'id': the column of the row's id keeps its name", help);
            }
            Made::Upgraded { .. } => {
                cx.error(
                    key,
                    "'upgrade' conflicts with 'id': a row's id never changes, other rows and devices name it",
                );
            }
            Made::Rule { .. } => {
                cx.error(
                    key,
                    "'changed_from' conflicts with 'id': a row's id never changes, so there is nothing to merge",
                );
            }
        }
    }
}

/// A rename is from another name.
fn own_name(column: &str, steps: &[Step], cx: &mut Ctxt) {
    let mut after = column;
    for step in steps.iter().rev() {
        if let Made::Renamed { from } = &step.made
            && from.text == after
        {
            let message = format!("'renamed_from' says the name that the column had before, but '{after}' is its own");
            cx.help(from.token(), message, "write the old name, or remove it");
        }
        after = step.from().map_or(after, |from| &from.text);
    }
}

/// Upgrades map one write's value, and so only what consists of writes of values.
fn values_only(field: &str, rule: Option<&(Ident, Rule)>, steps: &[Step], cx: &mut Ctxt) {
    let Some((_, rule)) = rule.filter(|(_, rule)| *rule != Rule::Lww) else { return };
    let changed = steps.iter().rev().take_while(|step| !matches!(step.made, Made::Rule { .. }));
    let is_always = steps.iter().all(|step| !matches!(step.made, Made::Rule { .. }));
    let why = match rule {
        Rule::Counter => "and a counter's ops are differences: no function of one difference makes the sum right",
        Rule::Text => "and a text's ops are edits",
        Rule::Set | Rule::Map | Rule::List | Rule::Lww => "and its ops are about one element each",
    };
    for step in changed.filter(|step| matches!(step.made, Made::Upgraded { .. })) {
        let message = format!("'{field}' can't be upgraded: an upgrade maps values, {why}");
        let by = step.version.version;
        let help = match is_always {
            true => format!("add a new field with `since = {by}`, and write `removed(.., in = {by})` for the old one"),
            false => "upgrade it in a version before the one that changed the rule".to_owned(),
        };
        cx.help(&step.key, message, help);
    }
}

/// What an older version sets is what the counter begins with, and every increment counts beside it.
fn counts_twice(back: &Ident, cx: &mut Ctxt) {
    let message = "'back' conflicts with 'counter': what devices on earlier versions set, after they were shown the sum, \
                   has the increments in it, which would count twice";
    cx.help(back, message, "remove it: earlier versions show, and set, what the counter begins with");
}

/// Another rule goes on from what the old one wrote, so that there has to be a meaning to it.
fn rule_pairs(rule: Option<&(Ident, Rule)>, steps: &[Step], cx: &mut Ctxt) {
    let now = rule.map_or(Rule::Lww, |(_, rule)| *rule);
    let mut changes = steps.iter().filter_map(|step| match &step.made {
        Made::Rule { from, back } => Some((step, from, back)),
        Made::Renamed { .. } | Made::Upgraded { .. } => None,
    });
    let Some((step, from, back)) = changes.next() else { return };
    for (second, ..) in changes {
        cx.help(&second.key, "'changed_from' is there twice", "a rule changes once, from `lww`: keep that one");
    }
    let near = Rule::named(&from.to_string());
    let Some(before) = near.filter(|rule| from == rule.word()) else {
        let near = near.map_or("lww", Rule::word);
        return cx.help(from, format_args!("unknown merge rule '{from}'"), format_args!("did you mean `{near}`?"));
    };
    if before == now {
        let message = format!("'changed_from({from})' says nothing: the field's rule is '{from}'");
        return cx.help(
            from,
            message,
            "write the rule that it has now before it, as in `#[crdt(counter, changed_from(lww, in = 2))]`",
        );
    }
    let why = match (before, now) {
        (Rule::Lww, Rule::Counter) => return back.iter().for_each(|back| counts_twice(back, cx)),
        (Rule::Lww, Rule::Text) => return,
        (Rule::Lww, _) => "a value that was written as a whole doesn't say which elements there were",
        (Rule::Counter, Rule::Lww) => "a counter's ops are differences, and the last of them isn't the sum",
        (Rule::Counter, _) => "a counter's ops are differences, of which nothing else can be made",
        (Rule::Text, Rule::Lww) => "a text's ops are edits, and the last of them isn't the text",
        (Rule::Text, _) => "a text's ops are edits, of which nothing else can be made",
        (_, Rule::Set | Rule::Map | Rule::List) => "the elements of one are told apart by what the other doesn't have",
        (..) => "its ops are about one element each, and none says what the whole is",
    };
    let message = format!("'{from}' can't become '{}': {why}", now.word());
    let by = step.version.version;
    let help = format!(
        "add a new field with `since = {by}`, and write `removed(#[crdt({from})] .., in = {by})` for the old one"
    );
    cx.help(from, message, help);
}

/// What older versions read instead is a literal of one value.
fn filler(gone: &Removed, cx: &mut Ctxt) {
    let (name, Some(filler)) = (&gone.name.text, &gone.filler) else { return };
    let in_version = gone.version.version;
    if let Some((key, _)) = gone.rules.first().filter(|(_, rule)| *rule != Rule::Lww) {
        let message = format!("'{name}' needs no value: what merges as '{key}' starts empty on older devices");
        return cx.help(
            &filler.value,
            message,
            format_args!("write `removed(#[crdt({key})] {name}, in = {in_version})`"),
        );
    }
    if gone.ty.is_none() {
        let message = format!("the type of '{name}' is not said, so its value can't be checked");
        let help =
            format!("write `removed({name}: Type = {}, in = {in_version})`, with the type that it had", filler.value);
        return cx.help(gone.name.token(), message, help);
    }
    if filler.constant(&quote!(Constant)).is_none() {
        cx.help(
            &filler.value,
            format_args!("what older versions read instead of '{name}' is a literal: every new row carries it"),
            "write a number within i64, `true`, `false`, \"text\" or b\"bytes\"; for an enum, its variant's name as text",
        );
    }
}
