//! What to write where attributes and lock differ.

use super::LockedModel;
use crate::schema::shape::text::Literal;
use crate::schema::shape::{CollectionShape, ColumnShape, ColumnType, Difference};
use crate::schema::{MergeRule, Shape, SqlType, Value};

/// What a piece of advice is made from.
pub(super) struct Context<'a> {
    pub(super) recorded: &'a LockedModel,
    pub(super) says: &'a LockedModel,
    /// Everything that differs in the model.
    pub(super) all: &'a [Difference],
}

impl Context<'_> {
    /// The version that a change belongs to, and the line that begins it if the model isn't there yet.
    fn next(&self) -> (u32, Option<String>) {
        let (recorded, version) = (self.recorded.newest(), self.says.newest());
        if version > recorded {
            return (version, None);
        }
        (recorded + 1, Some(format!("write: `version = {}` in the struct's `#[synced(..)]`", recorded + 1)))
    }

    /// The first version that is recorded for which something holds.
    fn first(&self, holds: impl Fn(&Shape) -> bool) -> Option<u32> {
        self.recorded.versions.iter().find(|(_, version)| holds(&version.shape)).map(|(version, _)| *version)
    }

    /// The newest shape that the attributes tell.
    fn newest(&self) -> Option<&Shape> {
        self.says.shape(self.says.newest())
    }
}

/// What to write for a difference in some recorded versions.
pub(super) fn of(context: &Context<'_>, difference: &Difference, versions: &[u32]) -> Vec<String> {
    let (next, begin) = context.next();
    let mut advice: Vec<String> = Vec::new();
    let is_marked = match difference {
        Difference::ColumnAdded(column) => added(context, column, versions, next, &mut advice),
        Difference::ColumnRemoved(column) => removed(context, column, versions, next, &mut advice),
        Difference::ColumnChanged { was, is } => changed(context, was, is, next, &mut advice),
        Difference::CollectionAdded(one) => {
            let first = context.first(|shape| shape.collection(&one.name).is_some());
            let since = first.filter(|first| versions.iter().all(|version| version < first));
            advice.push(format!("write: `#[synced(since = {})]` on the field `{}`", since.unwrap_or(next), one.name));
            since.is_none()
        }
        Difference::CollectionRemoved(one) => {
            advice.push(format!("write: `{}` in the struct's `#[synced(..)]`", removed_collection(context, one, next)));
            true
        }
        Difference::CollectionChanged { was, is } => collection_changed(was, is, next, &mut advice),
        Difference::Order { was, .. } => {
            advice.push(format!("write: the fields in the order {}", was.join(", ")));
            false
        }
        Difference::Id { was, .. } => {
            advice.push(format!("write: `#[synced(column = \"{was}\")]` on the id; its column keeps its name"));
            false
        }
        Difference::IdFrom { .. } | Difference::Delete { .. } => {
            advice.push(
                "write: the attribute as it was; rows are what they are by it on every device, so it is for a model \
                 of another name"
                    .to_owned(),
            );
            false
        }
        Difference::Space { .. } => {
            advice.push(
                "write: `space` as it was; who can read a row that is there already hangs on it, so it is for a model of \
                 another name, to which the app copies rows"
                    .to_owned(),
            );
            false
        }
        Difference::IndexAdded(_) | Difference::IndexRemoved(_) => true,
    };
    if is_marked { begin.into_iter().chain(advice).collect() } else { advice }
}

/// A column that the attributes have in a recorded version which hadn't it. Returns whether a new version is needed.
fn added(context: &Context<'_>, column: &ColumnShape, versions: &[u32], next: u32, advice: &mut Vec<String>) -> bool {
    let name = &column.name;
    let begins = context.first(|shape| shape.column(name).is_some_and(|known| known.op_name == column.op_name));
    let went = begins.filter(|begins| versions.iter().any(|version| begins < version));
    if let (Some(began), Some(known)) = (went, went.and_then(|began| context.recorded.shape(began)?.column(name))) {
        let until = gone_in(context, known).unwrap_or(next);
        advice.push(format!(
            "version {began} had another column of this name, which version {until} has removed: devices on version \
             {began} would take the values of this one for those of their own"
        ));
        advice.push(format!("write: `{}` in the struct's `#[synced(..)]`", removed_column(context, known, until)));
        advice.push("write: another name or `column = \"..\"` for the field".to_owned());
        return false;
    }
    if context.newest().is_none_or(|newest| newest.column(name).is_none()) {
        let since = begins.map_or_else(|| "the version that it came with".to_owned(), |since| since.to_string());
        advice.push(format!("write: `since = {since}` in `removed({name}, ..)`"));
        return false;
    }
    let since = begins.unwrap_or(next);
    let begin = column.details.as_ref().is_some_and(|details| details.default.is_some());
    let nullable = column.kind.is_some_and(|kind| kind.nullable);
    let line = if begin || nullable || matches!(column.rule, MergeRule::Counter | MergeRule::Text) {
        format!("write: `#[synced(since = {since})]` on the field `{name}`")
    } else {
        let backfill = literal_of(column.kind);
        format!(
            "write: `#[synced(since = {since}, backfill = {backfill})]` on the field `{name}`, or make it an Option"
        )
    };
    advice.push(line);
    let gone = context.all.iter().filter_map(|other| match other {
        Difference::ColumnRemoved(gone) if gone.kind == column.kind && gone.rule == column.rule => Some(gone),
        _ => None,
    });
    let renamed = |gone: &ColumnShape| {
        let was = &gone.name;
        format!(
            "or, if it is `{was}` by another name: `#[synced(renamed_from(\"{was}\", in = {next}))]` on the field `{name}`"
        )
    };
    advice.extend(gone.map(renamed));
    begins.is_none()
}

/// A recorded column of which the attributes say nothing. Returns whether a new version is needed.
fn removed(context: &Context<'_>, column: &ColumnShape, versions: &[u32], next: u32, advice: &mut Vec<String>) -> bool {
    let (name, op_name) = (&column.name, &column.op_name);
    let known = context.recorded.shape(context.recorded.newest()).and_then(|newest| newest.column(name));
    let took = context.newest().and_then(|newest| newest.columns.iter().find(|other| other.op_name == *op_name));
    if let Some(took) = took {
        // What the attributes say is a column of a later version with this name.
        let begins = context.says.versions.iter().find(|(_, version)| version.shape.column(&took.name).is_some());
        let since = begins.map_or(next, |(version, _)| *version);
        let first = versions.first().copied().unwrap_or(1);
        advice.push(format!(
            "the field `{}` of version {since} has its name: devices on version {first} would take its values for those \
             of their own",
            took.name
        ));
        advice.push("write: another name or `column = \"..\"` for the new field, and of the old one".to_owned());
        let until = if known.is_some() { next } else { gone_in(context, column).unwrap_or(next) };
        advice.push(format!("write: `{}` in the struct's `#[synced(..)]`", removed_column(context, column, until)));
        advice.push(format!("or, if it is the same: `#[synced(since = {first})]` on the field `{}`", took.name));
        return false;
    }
    let until = if known.is_some() { next } else { gone_in(context, column).unwrap_or(next) };
    advice.push(format!("write: `{}` in the struct's `#[synced(..)]`", removed_column(context, column, until)));
    until == next && known.is_some()
}

/// The first recorded version that has lost the column.
fn gone_in(context: &Context<'_>, column: &ColumnShape) -> Option<u32> {
    let has = |shape: &Shape| shape.columns.iter().any(|other| other.op_name == column.op_name);
    let last =
        context.recorded.versions.iter().rfind(|(_, version)| has(&version.shape)).map(|(version, _)| *version)?;
    context.recorded.versions.range(last + 1..).next().map(|(version, _)| *version)
}

/// `removed(note: String = "", in = 3)`.
fn removed_column(context: &Context<'_>, column: &ColumnShape, until: u32) -> String {
    let name = &column.name;
    let has_default = column.details.as_ref().is_some_and(|details| details.default.is_some());
    let encrypted = column.details.as_ref().and_then(|details| details.encrypted.as_ref());
    let what = match (column.rule, column.kind) {
        // What nobody can open: older devices show the row, and that there is something in it.
        _ if encrypted.is_some_and(|encrypted| !encrypted.kind.nullable) && !has_default => {
            format!("{name}: Option<Vec<u8>> = b\"\"")
        }
        (MergeRule::Counter | MergeRule::Text, _) => format!("#[crdt({})] {name}", column.rule),
        (_, Some(kind)) if !kind.nullable && !has_default => {
            format!("{name}: {} = {}", rust_type(kind), literal_of(Some(kind)))
        }
        _ => name.clone(),
    };
    let since = context.first(|shape| shape.columns.iter().any(|other| other.op_name == column.op_name));
    let since = since.filter(|since| *since > 1).map(|since| format!(", since = {since}")).unwrap_or_default();
    let renamed = context.first(|shape| shape.column(name).is_some_and(|other| other.op_name == column.op_name));
    let renamed = renamed.filter(|_| column.op_name != *name && !column.op_name.contains('@'));
    let renamed = renamed.map(|at| format!(", renamed_from(\"{}\", in = {at})", column.op_name)).unwrap_or_default();
    format!("removed({what}, in = {until}{since}{renamed})")
}

fn removed_collection(context: &Context<'_>, one: &CollectionShape, until: u32) -> String {
    let since = context.first(|shape| shape.collections.iter().any(|other| other.op_name == one.op_name));
    let since = since.filter(|since| *since > 1).map(|since| format!(", since = {since}")).unwrap_or_default();
    format!("removed(#[crdt({})] {}, in = {until}{since})", one.rule, one.name)
}

/// A recorded column that the attributes tell otherwise. Returns whether a new version is needed.
fn changed(context: &Context<'_>, was: &ColumnShape, is: &ColumnShape, next: u32, advice: &mut Vec<String>) -> bool {
    let name = &is.name;
    if was.rule != is.rule {
        return rule_changed(was, is, next, advice);
    }
    let encrypted = |shape: &ColumnShape| shape.details.as_ref().and_then(|details| details.encrypted.clone());
    if was.details.is_some() && is.details.is_some() && encrypted(was) != encrypted(is) {
        advice.push(format!(
            "what devices without the key have can't be converted; write: the field `{name}` as it was, or another one \
             with `since = {next}`, and `{}` in the struct's `#[synced(..)]`",
            removed_column(context, was, next)
        ));
        return false;
    }
    if let (Some(old), Some(new)) = (was.kind, is.kind)
        && old != new
    {
        upgraded(was, old, new, next, advice);
        return true;
    }
    if was.op_name != is.op_name || was.name != is.name {
        let (first, at) = (&was.op_name, context.first(|shape| shape.column(&was.name).is_some()).unwrap_or(1));
        advice.push(format!(
            "write: the `renamed_from` and `upgrade` of the field `{name}` as they were: version {at} had it as `{}`, \
             and ops call it `{first}`",
            was.name
        ));
        return false;
    }
    let (Some(old), Some(new)) = (&was.details, &is.details) else { return false };
    if old.default != new.default {
        let key = if context.first(|shape| shape.column(name).is_some()) > Some(1) { "backfill" } else { "default" };
        advice.push(match &old.default {
            Some(value) => format!("write: `{key} = {}` on the field `{name}`", Literal(value)),
            None => format!("write: no `{key}` on the field `{name}`"),
        });
        advice.push("rows that devices have by now show it; another value is a write to each row".to_owned());
    }
    if old.immutable != new.immutable || old.reference != new.reference {
        advice.push(format!(
            "write: the attributes of the field `{name}` as they were, or another field with `since = {next}`, and \
             `{}` in the struct's `#[synced(..)]`",
            removed_column(context, was, next)
        ));
    }
    false
}

fn rule_changed(was: &ColumnShape, is: &ColumnShape, next: u32, advice: &mut Vec<String>) -> bool {
    let name = &is.name;
    let sql_type = was.kind.map(|kind| kind.sql_type);
    let can = matches!(
        (was.rule, is.rule, sql_type),
        (MergeRule::Lww, MergeRule::Counter, Some(SqlType::Integer))
            | (MergeRule::Lww, MergeRule::Text, Some(SqlType::Text))
    );
    if can {
        advice.push(format!("write: `#[crdt({}, changed_from(lww, in = {next}))]` on the field `{name}`", is.rule));
    } else {
        advice.push(format!(
            "write: `#[crdt({})]` on the field `{name}`: what it holds can't become a {}; another field with \
             `since = {next}` can be one",
            was.rule, is.rule
        ));
    }
    can
}

/// The attribute that upgrades a column to another type, and the functions that are to be written for it.
fn upgraded(was: &ColumnShape, old: ColumnType, new: ColumnType, next: u32, advice: &mut Vec<String>) {
    let name = &was.name;
    let functions = match (old.sql_type == new.sql_type, old.nullable, new.nullable) {
        (true, false, true) => format!("with = Some, back = |{name}| {name}.unwrap_or({})", literal_of(Some(old))),
        (true, true, false) => format!("with = |{name}| {name}.unwrap_or({}), back = Some", literal_of(Some(new))),
        _ => "with = f, back = g".to_owned(),
    };
    advice.push(format!("write: `#[synced(since = {next}, upgrade({name}, {functions}))]` on the field `{name}`"));
    if functions.ends_with('g') {
        let (old, new) = (rust_type(old), rust_type(new));
        advice.push(format!("where `fn f(old: {old}) -> {new}` and, for older devices, `fn g(new: {new}) -> {old}`"));
    }
}

fn collection_changed(was: &CollectionShape, is: &CollectionShape, next: u32, advice: &mut Vec<String>) -> bool {
    if was.elements == is.elements && was.rule == is.rule && was.name == is.name && was.op_name == is.op_name {
        // Its index came or went.
        return true;
    }
    advice.push(format!(
        "write: the field `{}` as it was; one with other elements is another field, with `since = {next}`",
        was.name
    ));
    false
}

/// A type of Rust that is stored so.
fn rust_type(kind: ColumnType) -> String {
    let name = match kind.sql_type {
        SqlType::Integer => "i64",
        SqlType::Real => "f64",
        SqlType::Text => "String",
        SqlType::Blob => "Vec<u8>",
    };
    if kind.nullable { format!("Option<{name}>") } else { name.to_owned() }
}

/// A value of a type, to be replaced by one that means something.
fn literal_of(kind: Option<ColumnType>) -> String {
    let value = match kind.map(|kind| kind.sql_type) {
        Some(SqlType::Integer) | None => Value::Integer(0),
        Some(SqlType::Real) => Value::Real(0.0),
        Some(SqlType::Text) => Value::Text(String::new()),
        Some(SqlType::Blob) => return "b\"\"".to_owned(),
    };
    Literal(&value).to_string()
}
