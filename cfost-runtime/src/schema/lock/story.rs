//! What a version did to the one before, in sentences.

use super::{LockedModel, Step};
use crate::schema::shape::text::Literal;
use crate::schema::shape::{Difference, diff};

impl LockedModel {
    /// What a recorded version did to the one before, in sentences; nothing for the first.
    pub fn story(&self, version: u32) -> Vec<String> {
        let (Some(now), Some(before)) = (self.versions.get(&version), self.shape(version.saturating_sub(1))) else {
            return Vec::new();
        };
        let untold = |difference: &Difference| !now.steps.iter().any(|step| tells(step, difference));
        // Where a column lies among the others is nobody's concern.
        let is_seen = |difference: &Difference| !matches!(difference, Difference::Order { .. });
        let mut sentences: Vec<String> = now.steps.iter().map(sentence).collect();
        let differences = diff(before, &now.shape).into_iter();
        sentences.extend(differences.filter(|one| is_seen(one) && untold(one)).map(|one| one.to_string()));
        sentences
    }
}

/// Whether a step is what a difference between two versions comes from.
fn tells(step: &Step, difference: &Difference) -> bool {
    match (step, difference) {
        (Step::Upgraded { column, .. }, Difference::ColumnAdded(is) | Difference::ColumnChanged { is, .. }) => {
            is.name == *column
        }
        (Step::Upgraded { from, .. }, Difference::ColumnRemoved(was)) => was.name == *from,
        (Step::Merges { column, .. }, Difference::ColumnChanged { is, .. }) => is.name == *column,
        (Step::Removed { column, .. }, Difference::ColumnRemoved(was)) => was.name == *column,
        _ => false,
    }
}

fn sentence(step: &Step) -> String {
    match step {
        Step::Upgraded { column, is, from, was, back, functions } => {
            let from = if from == column { String::new() } else { format!("is made from '{from}', and ") };
            let by = if functions.is_empty() { String::new() } else { format!(" ({functions})") };
            let back = if *back { "" } else { "; older devices get no value for it" };
            format!("column '{column}' {from}was {was} and is {is}{by}{back}")
        }
        Step::Merges { column, is, was, back } => {
            let back = if *back { "; they get what it shows" } else { "" };
            format!("column '{column}' merges as {is}, on top of what older devices write ({was}){back}")
        }
        Step::Removed { column, filler: None } => format!("column '{column}' is gone"),
        Step::Removed { column, filler: Some(filler) } => {
            format!("column '{column}' is gone; older devices read {} in rows created from now on", Literal(filler))
        }
    }
}
