//! The forms that each column had, version by version: its names, and what ops call it.

use std::collections::BTreeSet;

use crate::ir::model::{Model, Name, Rule};
use crate::ir::past::{Made, Step};

/// What a field was, and is, from its first version on.
pub(crate) struct Line<'a> {
    /// What the field is called in the struct; of one that was removed the last name it had.
    pub(crate) field: String,
    /// The steps, oldest first.
    pub(crate) steps: &'a [Step],
    /// How it merges now, or did last.
    pub(crate) rule: Rule,
    /// The forms, oldest first: the last is what it is now, or was when it was removed.
    pub(crate) forms: Vec<Form<'a>>,
}

/// What a field was between two versions.
pub(crate) struct Form<'a> {
    pub(crate) name: &'a Name,
    pub(crate) op_name: String,
    pub(crate) since: u32,
    /// The first version in which it was not so any more.
    pub(crate) until: Option<u32>,
    pub(crate) rule: Rule,
}

impl Line<'_> {
    /// The form that is there now, or was last.
    pub(crate) fn last(&self) -> &Form<'_> {
        self.forms.last().expect("a field has a form")
    }

    /// The next upgrade that a form's value goes through.
    pub(crate) fn upgrade_after(&self, form: usize) -> Option<usize> {
        (form..self.steps.len()).find(|step| matches!(self.steps[*step].made, Made::Upgraded { .. }))
    }

    fn new<'a>(field: String, name: &'a Name, rule: Rule, span: (u32, Option<u32>), steps: &'a [Step]) -> Line<'a> {
        let mut forms = vec![Form { name, op_name: String::new(), since: span.0, until: span.1, rule }];
        for step in steps.iter().rev() {
            let after = forms.last_mut().expect("there is one");
            after.since = step.version.version;
            let name = step.from().unwrap_or(after.name);
            let rule = if matches!(step.made, Made::Rule { .. }) { Rule::Lww } else { after.rule };
            let until = Some(step.version.version);
            forms.push(Form { name, op_name: String::new(), since: span.0, until, rule });
        }
        forms.reverse();
        Line { field, steps, rule, forms }
    }
}

/// The lines of a model's stored fields, in their order, and of what was removed, in its order.
pub(crate) struct Lines<'a> {
    /// A line for each field; none for the id and what is skipped.
    pub(crate) fields: Vec<Option<Line<'a>>>,
    pub(crate) removed: Vec<Line<'a>>,
}

impl<'a> Lines<'a> {
    /// The lines of a model. Ops call a column by the first name it had. An upgrade begins another column of the
    /// ops: by its own name if that is new, else by one that no field can have.
    pub(crate) fn of(model: &'a Model) -> Self {
        let field = |field: &'a crate::ir::model::Field| {
            let span = (field.begins(), None);
            field.is_stored().then(|| Line::new(field.name(), &field.column, field.rule(), span, &field.steps))
        };
        let removed = model.removed.iter().map(|gone| {
            let span = (gone.begins(), Some(gone.version.version));
            Line::new(gone.name.text.clone(), &gone.name, gone.rule(), span, &gone.steps)
        });
        let mut lines = Self { fields: model.fields.iter().map(field).collect(), removed: removed.collect() };
        lines.name();
        lines
    }

    /// All lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Line<'a>> {
        self.fields.iter().flatten().chain(&self.removed)
    }

    /// Gives each form what ops call it. In the order of versions, so that what a later version adds never changes
    /// what an earlier one is called.
    fn name(&mut self) {
        let mut lines: Vec<&mut Line<'a>> = self.fields.iter_mut().flatten().chain(&mut self.removed).collect();
        let mut births: Vec<(u32, bool, usize, usize)> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            births.push((line.forms[0].since, false, at, 0));
            for (step, _) in
                line.steps.iter().enumerate().filter(|(_, step)| matches!(step.made, Made::Upgraded { .. }))
            {
                births.push((line.forms[step + 1].since, true, at, step + 1));
            }
        }
        births.sort_unstable();
        let mut taken = BTreeSet::new();
        for (version, upgraded, line, form) in births {
            let line = &mut lines[line];
            let name = &line.forms[form].name.text;
            let known = !taken.insert(name.to_ascii_lowercase());
            line.forms[form].op_name = if known && upgraded { format!("{name}@{version}") } else { name.clone() };
        }
        for line in lines {
            for form in 1..line.forms.len() {
                if line.forms[form].op_name.is_empty() {
                    line.forms[form].op_name = line.forms[form - 1].op_name.clone();
                }
            }
        }
    }
}
