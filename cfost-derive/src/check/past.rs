//! Rules for what fields were in earlier versions.

use crate::check::{name, reached};
use crate::ctxt::Ctxt;
use crate::ir::forms::{Line, Lines};
use crate::ir::model::Model;

/// Checks what versions made of the model's fields.
pub(super) fn past(model: &Model, cx: &mut Ctxt) {
    for gone in &model.removed {
        name(&gone.name, cx);
        reached(&gone.version, &model.ident, model.version, cx);
    }
    for line in Lines::of(model).iter() {
        for step in line.steps {
            step.from().into_iter().for_each(|from| name(from, cx));
            reached(&step.version, &model.ident, model.version, cx);
        }
        in_order(line, cx);
    }
}

/// A version makes one change of a field that is there already, so each form is what some version shows.
fn in_order(line: &Line<'_>, cx: &mut Ctxt) {
    for (step, form) in line.steps.iter().zip(&line.forms) {
        let (key, version, field) = (&step.key, step.version.version, &line.field);
        if version <= form.since {
            let message =
                format!("'{field}' is there since version {}, so '{key}' can't be `in = {version}`", form.since);
            cx.help(
                &step.version.key,
                message,
                format_args!("write the version that made the change, from {}", form.since + 1),
            );
        }
    }
}
