//! What differs between what a lock records and what an app's attributes tell, and what is to be done about it.

use std::collections::BTreeMap;
use std::fmt;

use super::advice::{self, Context};
use super::{Bless, Lock, LockedModel, Step};
use crate::schema::shape::{Difference, diff};

/// Something that differs between a lock and an app.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// A model isn't recorded yet.
    NewModel {
        /// Its table.
        table: String,
    },
    /// A version of a model isn't recorded yet.
    NewVersion {
        /// The model's table.
        table: String,
        /// The version.
        version: u32,
    },
    /// A model that was listed no more is listed again.
    ModelIsBack {
        /// Its table.
        table: String,
    },
    /// A model is listed no more.
    LostModel {
        /// Its table.
        table: String,
    },
    /// The model's version is less than one that is recorded.
    VersionLowered {
        /// The model's table.
        table: String,
        /// The newest version that is recorded.
        recorded: u32,
        /// The model's version.
        version: u32,
        /// Whether only the newest version that is recorded is greater.
        by_one: bool,
    },
    /// A version that is recorded isn't what the attributes tell.
    Shape {
        /// The model's table.
        table: String,
        /// The versions that differ so.
        versions: Vec<u32>,
        /// Whether it is the newest version only.
        newest: bool,
        /// How, from what is recorded to what the attributes tell.
        difference: Box<Difference>,
        /// What to write.
        advice: Vec<String>,
    },
    /// What a version makes of a column isn't what is recorded.
    Step {
        /// The model's table.
        table: String,
        /// The version.
        version: u32,
        /// What is recorded, if anything is.
        was: Option<Box<Step>>,
        /// What the attributes tell, if anything.
        is: Option<Box<Step>>,
        /// What records it.
        blessed_by: Option<Bless>,
    },
}

impl Problem {
    /// The table of the model that differs.
    pub fn table(&self) -> &str {
        match self {
            Self::NewModel { table }
            | Self::NewVersion { table, .. }
            | Self::ModelIsBack { table }
            | Self::LostModel { table }
            | Self::VersionLowered { table, .. }
            | Self::Shape { table, .. }
            | Self::Step { table, .. } => table,
        }
    }

    /// What allows to record it; `None` for what must not be recorded, since devices may have what was.
    pub fn blessed_by(&self) -> Option<Bless> {
        match self {
            Self::NewModel { .. } | Self::NewVersion { .. } | Self::ModelIsBack { .. } | Self::LostModel { .. } => {
                Some(Bless::New)
            }
            Self::VersionLowered { by_one: is_newest, .. } | Self::Shape { newest: is_newest, .. } => {
                is_newest.then_some(Bless::Unreleased)
            }
            Self::Step { blessed_by, .. } => *blessed_by,
        }
    }
}

pub(super) fn compare(lock: &Lock, app: &Lock) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (table, recorded) in &lock.models {
        match app.models.get(table) {
            Some(says) => {
                if recorded.removed {
                    problems.push(Problem::ModelIsBack { table: table.clone() });
                }
                model(table, recorded, says, &mut problems);
            }
            None if recorded.removed => {}
            None => problems.push(Problem::LostModel { table: table.clone() }),
        }
    }
    let new = app.models.keys().filter(|table| !lock.models.contains_key(*table));
    problems.extend(new.map(|table| Problem::NewModel { table: table.clone() }));
    problems
}

fn model(table: &str, recorded: &LockedModel, says: &LockedModel, problems: &mut Vec<Problem>) {
    let (newest, version) = (recorded.newest(), says.newest());
    if version < newest {
        let greater = recorded.versions.range(version + 1..).count();
        let by_one = greater == 1;
        problems.push(Problem::VersionLowered { table: table.to_owned(), recorded: newest, version, by_one });
    }
    shapes(table, recorded, says, problems);
    for (version, locked) in recorded.versions.range(..=version) {
        let steps = says.versions.get(version).map_or(&[][..], |said| &said.steps);
        let may_change = *version == newest && newest == says.newest();
        steps_of(table, (*version, may_change), &locked.steps, steps, problems);
    }
    let unrecorded = says.versions.keys().filter(|version| !recorded.versions.contains_key(version));
    problems.extend(unrecorded.map(|&version| Problem::NewVersion { table: table.to_owned(), version }));
}

/// Compares the shapes of the versions that are recorded; what differs in several is one problem.
fn shapes(table: &str, recorded: &LockedModel, says: &LockedModel, problems: &mut Vec<Problem>) {
    let mut found: Vec<(Difference, Vec<u32>)> = Vec::new();
    for (version, locked) in recorded.versions.range(..=says.newest()) {
        // A version that wasn't there when the model began is of a model that was written anew.
        let said = says.shape(*version).or_else(|| says.versions.values().next().map(|first| &first.shape));
        for difference in said.map(|said| diff(&locked.shape, said)).unwrap_or_default() {
            match found.iter_mut().find(|(other, _)| *other == difference) {
                Some((_, versions)) => versions.push(*version),
                None => found.push((difference, vec![*version])),
            }
        }
    }
    let all: Vec<Difference> = found.iter().map(|(difference, _)| difference.clone()).collect();
    let context = Context { recorded, says, all: &all };
    for (difference, versions) in found {
        let newest = versions == [recorded.newest()] && recorded.newest() == says.newest();
        let advice = advice::of(&context, &difference, &versions);
        let (table, difference) = (table.to_owned(), Box::new(difference));
        problems.push(Problem::Shape { table, versions, newest, difference, advice });
    }
}

fn steps_of(table: &str, (version, may_change): (u32, bool), was: &[Step], is: &[Step], problems: &mut Vec<Problem>) {
    let by_column = |steps: &[Step]| -> BTreeMap<String, Step> {
        steps.iter().map(|step| (step.column().to_owned(), step.clone())).collect()
    };
    let (was, mut is) = (by_column(was), by_column(is));
    let mut differs = |was: Option<Step>, is: Option<Step>| {
        let unreleased = may_change.then_some(Bless::Unreleased);
        let blessed_by = if is_recordable(was.as_ref(), is.as_ref()) { Some(Bless::New) } else { unreleased };
        let (table, was, is) = (table.to_owned(), was.map(Box::new), is.map(Box::new));
        problems.push(Problem::Step { table, version, was, is, blessed_by });
    };
    for (column, step) in was {
        let said = is.remove(&column);
        if said.as_ref() != Some(&step) {
            differs(Some(step), said);
        }
    }
    is.into_values().for_each(|step| differs(None, Some(step)));
}

/// Whether nothing that devices hold hangs on what differs.
fn is_recordable(was: Option<&Step>, is: Option<&Step>) -> bool {
    match (was, is) {
        (
            Some(Step::Upgraded { is: new, from, was: old, .. }),
            Some(Step::Upgraded { is: new_is, from: from_is, was: old_is, .. }),
        ) => new == new_is && from == from_is && old == old_is,
        (Some(Step::Merges { is, was, .. }), Some(Step::Merges { is: is_now, was: was_now, .. })) => {
            is == is_now && was == was_now
        }
        (Some(Step::Removed { .. }), Some(Step::Removed { .. })) => true,
        _ => false,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        match self {
            Self::NewModel { .. } => write!(f, "model '{table}' isn't recorded yet"),
            Self::NewVersion { version, .. } => write!(f, "version {version} of '{table}' isn't recorded yet"),
            Self::ModelIsBack { .. } => {
                write!(f, "model '{table}' was recorded as listed no more, and is listed again")
            }
            Self::LostModel { .. } => write!(
                f,
                "model '{table}' is recorded, and listed no more: list it in `schema_lock!`; if it was dropped, record \
                 that. Devices keep its table and its ops, and no other model can take the name"
            ),
            Self::VersionLowered { recorded, version, .. } => write!(
                f,
                "version {recorded} of '{table}' is recorded, and the model says `version = {version}`\n  \
                 write: `version = {recorded}`, and what that version changed"
            ),
            Self::Shape { versions, difference, advice, .. } => {
                let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
                let of = if versions.len() == 1 { "version" } else { "versions" };
                write!(f, "{of} {} of '{table}': {difference}", versions.join(", "))?;
                advice.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Step { version, was, is, blessed_by, .. } => {
                write!(f, "version {version} of '{table}' {}", step_change(was.as_deref(), is.as_deref()))?;
                match blessed_by {
                    Some(Bless::New) => write!(f, "\n  what devices have read so far stays as it is"),
                    _ => write!(f, "\n  write: the attribute as it was; another upgrade belongs to another version"),
                }
            }
        }
    }
}

fn step_change(was: Option<&Step>, is: Option<&Step>) -> String {
    match (was, is) {
        (Some(was), Some(is)) => format!("was recorded with `{was}` and says `{is}`"),
        (Some(was), None) => format!("was recorded with `{was}`, and says nothing of it"),
        (None, Some(is)) => format!("says `{is}`, of which nothing was recorded"),
        (None, None) => String::new(),
    }
}
