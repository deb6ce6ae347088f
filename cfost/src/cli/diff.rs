//! `cfost schema diff`: from one lock to another.

use cfost::schema::lock::{Bless, Lock, LockedModel, Problem};

use super::Report;

/// What changes from `old` to `new`, in sentences.
pub(super) fn report(old: &Lock, new: &Lock) -> Report {
    let problems: Vec<Problem> = old.compare(&listed(new));
    let stands = |problem: &&Problem| problem.blessed_by() != Some(Bless::New);
    let mut text = String::new();
    let tables: std::collections::BTreeSet<&String> = old.models.keys().chain(new.models.keys()).collect();
    for table in tables {
        let mut lines = match (listed_in(old, table), listed_in(new, table)) {
            (None, Some(is)) => vec![format!("is {}, with version {}", newly(old, table), is.newest())],
            (Some(_), None) => vec!["is listed no more: devices keep its table and its ops".to_owned()],
            (Some(was), Some(is)) => versions(was, is),
            (None, None) => Vec::new(),
        };
        let of_table = || problems.iter().filter(|problem| problem.table() == table);
        let tell = |problem: &Problem| problem.to_string().replace('\n', "\n    ");
        lines.extend(of_table().filter(stands).map(|problem| format!("incompatible: {}", tell(problem))));
        let steps = of_table().filter(|problem| matches!(problem, Problem::Step { .. })).filter(|one| !stands(one));
        lines.extend(steps.map(tell));
        if !lines.is_empty() {
            text += &format!("{table}\n  {}\n\n", lines.join("\n  "));
        }
    }
    let is_fine = !problems.iter().any(|problem| stands(&problem));
    text += match (is_fine, text.is_empty()) {
        (true, true) => "The two locks record the same.",
        (true, false) => "Apps with the old lock and apps with the new one sync with each other.",
        (false, _) => {
            "What the old lock has recorded, devices may have: apps with the new one would refuse their databases, or \
             read their changes otherwise."
        }
    };
    Report { text, is_fine }
}

/// The lock without the models that are listed no more.
fn listed(lock: &Lock) -> Lock {
    let models = lock.models.iter().filter(|(_, model)| !model.removed);
    Lock { models: models.map(|(table, model)| (table.clone(), model.clone())).collect() }
}

fn listed_in<'a>(lock: &'a Lock, table: &str) -> Option<&'a LockedModel> {
    lock.models.get(table).filter(|model| !model.removed)
}

/// A model that is not listed in `old`: never yet, or no more.
fn newly(old: &Lock, table: &str) -> &'static str {
    if old.models.contains_key(table) { "listed again" } else { "new" }
}

/// What the versions do that are new.
fn versions(was: &LockedModel, is: &LockedModel) -> Vec<String> {
    let new = is.versions.keys().filter(|version| !was.versions.contains_key(version));
    new.flat_map(|version| {
        let story = is.story(*version);
        let said = if story.is_empty() { vec!["changes nothing that is recorded".to_owned()] } else { story };
        let sentences = said.into_iter().map(|sentence| format!("  {sentence}"));
        std::iter::once(format!("version {version}")).chain(sentences).collect::<Vec<_>>()
    })
    .collect()
}
