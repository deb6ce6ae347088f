//! The lock of an app's models: what each of their versions was, kept in the app's repository as `schema.lock`.
//!
//! Attributes tell what a model was; the lock remembers what was said. What has reached a device can't be
//! taken back, so a version that is recorded stays as it is:
//!
//! | what differs | what records it |
//! | --- | --- |
//! | a model or a version is new; a model is listed no more, or again | [`Bless::New`] |
//! | a function has another name; older devices are given other values | [`Bless::New`] |
//! | the newest version isn't what was recorded, or is gone | [`Bless::Unreleased`]: nobody else has it yet |
//! | an earlier version isn't what was recorded, or an upgrade takes or gives another type | nothing: the attributes are wrong |
//!
//! ```text
//! lock 1
//!
//! [todos 1]
//! id id
//! column title TEXT NOT NULL lww
//! column priority TEXT NOT NULL lww
//!
//! [todos 2]
//! id id
//! column title TEXT NOT NULL lww
//! column rank INTEGER NOT NULL lww called rank@2
//! upgraded rank INTEGER NOT NULL from priority TEXT NOT NULL and back by "with = rank_of, back = name_of"
//! ```
//!
//! A version has the lines of its [`Shape`], then those of its [`Step`]s. Sections are ordered by table and version,
//! and nothing in one hangs on another, so that branches which change different models merge.

mod advice;
mod compare;
mod plan;
mod step;
mod story;
mod text;

#[cfg(test)]
mod tests;

pub use compare::Problem;
pub use plan::{Misfit, TablePlan, Work};
pub use step::Step;
pub use text::LockError;

use std::collections::BTreeMap;

use super::{Model, ModelSchema, Shape};

/// What each version of an app's models was.
///
/// `Display` and `FromStr` are the text of `schema.lock`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    /// The models, by table.
    pub models: BTreeMap<String, LockedModel>,
}

/// What each version of a model was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockedModel {
    /// The versions that are recorded. Of one between two of them the shape is that of the one before.
    pub versions: BTreeMap<u32, LockedVersion>,
    /// Whether the app lists the model no more.
    pub removed: bool,
}

/// What a version of a model was.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedVersion {
    /// Its shape.
    pub shape: Shape,
    /// What it made of the version before, as far as that isn't told by the two shapes.
    pub steps: Vec<Step>,
}

/// What may be recorded, where a lock and an app differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bless {
    /// What is new.
    New,
    /// Also other forms of the newest versions, which no device has yet but the developer's own.
    Unreleased,
}

impl Lock {
    /// What the attributes of these models tell.
    pub fn of(models: &[Model]) -> Self {
        let model = |model: &Model| (model.schema.table.to_owned(), LockedModel::of(model.schema));
        Self { models: models.iter().map(model).collect() }
    }

    /// What differs in `app`, which is what attributes tell, from what this lock records.
    pub fn compare(&self, app: &Self) -> Vec<Problem> {
        compare::compare(self, app)
    }

    /// The lock after `app` was recorded.
    ///
    /// # Errors
    /// Everything that `bless` doesn't allow to be recorded.
    pub fn record(&self, app: &Self, bless: Bless) -> Result<Self, Vec<Problem>> {
        let (_, refused): (Vec<_>, Vec<_>) = self
            .compare(app)
            .into_iter()
            .partition(|problem| problem.blessed_by().is_some_and(|needed| needed <= bless));
        if !refused.is_empty() {
            return Err(refused);
        }
        let mut recorded = self.clone();
        for model in recorded.models.values_mut() {
            model.removed = true;
        }
        for (table, says) in &app.models {
            let model = recorded.models.entry(table.clone()).or_default();
            model.removed = false;
            model.versions.retain(|version, _| *version <= says.newest());
            for (version, said) in &says.versions {
                let known = model.versions.entry(*version).or_insert_with(|| said.clone());
                known.steps.clone_from(&said.steps);
                // Of its indexes, and of what was removed since, the record knows more than the attributes.
                if *version == says.newest() {
                    known.shape = said.shape.clone();
                }
            }
        }
        Ok(recorded)
    }
}

impl LockedModel {
    /// What the model's attributes tell.
    pub fn of(schema: &ModelSchema) -> Self {
        let version = |version: u32| {
            let shape = Shape::of(schema, version);
            (version, LockedVersion { shape, steps: step::steps(schema, version) })
        };
        Self { versions: Shape::versions(schema).into_iter().map(version).collect(), removed: false }
    }

    /// The newest version; 0 if there is none.
    pub fn newest(&self) -> u32 {
        self.versions.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// The shape of a version; `None` before the first.
    pub fn shape(&self, version: u32) -> Option<&Shape> {
        self.versions.range(..=version).next_back().map(|(_, version)| &version.shape)
    }
}
