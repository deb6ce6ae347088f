//! Rules for the names that columns had: in each version, and in the ops of all.

use crate::ctxt::Ctxt;
use crate::ir::forms::{Form, Line, Lines};
use crate::ir::model::{Field, Model};

/// In no version two columns had one name.
pub(super) fn unique(model: &Model, lines: &Lines<'_>, cx: &mut Ctxt) {
    let all: Vec<&Line<'_>> = lines.iter().collect();
    for (at, line) in all.iter().enumerate() {
        for (form, other) in all[at + 1..].iter().flat_map(|other| overlaps(line, other)) {
            let (line, other) = (*line, other);
            shared(model, line, form, other, cx);
        }
    }
    let ids = model.fields.iter().filter(|field| field.id.is_some());
    for (id, form) in ids.flat_map(|id| all.iter().flat_map(move |line| line.forms.iter().map(move |form| (id, form))))
    {
        if form.until.is_some() && same(&form.name.text, &id.column.text) {
            let message = format!("the column '{}' can't have been there: the row's id is called so", form.name.text);
            cx.help(form.name.token(), message, "write the name that the column had in the table");
        }
    }
}

/// The forms of two lines that have one name in some version, unless both have it now.
fn overlaps<'l>(line: &'l Line<'_>, other: &'l Line<'_>) -> Option<(&'l Form<'l>, (&'l Line<'l>, &'l Form<'l>))> {
    let meets = |a: &Form<'_>, b: &Form<'_>| {
        let before = |end: Option<u32>, start: u32| end.is_none_or(|end| start < end);
        (a.until.is_some() || b.until.is_some()) && before(a.until, b.since) && before(b.until, a.since)
    };
    let mut pairs = line.forms.iter().flat_map(|form| other.forms.iter().map(move |theirs| (form, theirs)));
    let (form, theirs) =
        pairs.find(|(form, theirs)| same(&form.name.text, &theirs.name.text) && meets(form, theirs))?;
    Some((form, (other, theirs)))
}

/// Two columns that one version called by one name.
fn shared(model: &Model, line: &Line<'_>, form: &Form<'_>, (other, theirs): (&Line<'_>, &Form<'_>), cx: &mut Ctxt) {
    let name = &form.name.text;
    let removed = |line: &Line<'_>| line.last().until.is_some();
    // What was removed comes last among the lines, so it is the other one.
    if removed(other) && !removed(line) && form.until.is_none() {
        let field = model.fields.iter().find(|field| field.name() == line.field).map(Field::name).unwrap_or_default();
        let message = format!("'{name}' is said to be removed, but '{field}' is still there");
        return cx.help(theirs.name.token(), message, "remove the field, or this `removed`");
    }
    let (at, version) = (if theirs.until.is_some() { theirs } else { form }, form.since.max(theirs.since));
    let message =
        format!("in version {version} '{}' and '{}' would both have the column '{name}'", line.field, other.field);
    cx.help(at.name.token(), message, "check the names and versions that the attributes say");
}

/// Ops call a column by the first name it had, for good. A column that comes later needs another one.
pub(super) fn not_used_again(lines: &Lines<'_>, cx: &mut Ctxt) {
    for line in lines.iter() {
        let first = &line.forms[0];
        let is_taken = |form: &Form<'_>| same(&form.op_name, &first.name.text) && form.since <= first.since;
        let others = || lines.iter().filter(|other| !std::ptr::eq(*other, line));
        if let Some(other) = others().find(|other| other.forms.iter().any(is_taken)) {
            used_again(line, other, cx);
        }
    }
}

fn used_again(line: &Line<'_>, other: &Line<'_>, cx: &mut Ctxt) {
    let first = &line.forms[0];
    let new = &first.name.text;
    let Some(taken) = other.forms.iter().rfind(|form| same(&form.name.text, new) && form.since <= first.since) else {
        return;
    };
    // What has the name for good is another error.
    let Some(until) = taken.until else { return };
    let old = &taken.name.text;
    let became = match other.forms.iter().find(|form| form.since == until) {
        Some(form) => format!("is '{}' since version {until}", form.name.text),
        None => format!("was removed in version {until}"),
    };
    let of = until - 1;
    let message = format!(
        "'{new}' is the name of a column that {became}: devices on version {of} would take its values for those of the \
         old '{old}'"
    );
    let another = format!("give it another column with `#[synced(column = \"{new}_{}\")]`", first.since);
    let help = if other.last().until == Some(first.since) {
        format!(
            "{another}, or, if its values are made of the old ones, write `upgrade({new}, with = f, back = g)` on it \
             instead of `removed`"
        )
    } else {
        format!("{another}; the field keeps its name")
    };
    cx.help(first.name.token(), message, help);
}

/// SQLite compares the names of columns without ASCII case.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
