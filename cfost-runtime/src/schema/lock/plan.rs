//! What opening a database with a lock's models does to a table of it.

use std::collections::BTreeMap;

use super::{Lock, LockedModel, Step};
use crate::schema::Shape;
use crate::schema::shape::{CollectionShape, ColumnShape, Difference, diff};

/// How much of a table a migration touches.
///
/// It hangs on the rows too: where a function that upgrades a column fails on a value, or no row waits for another by a
/// reference that goes, [`Work::Rows`] turns into [`Work::Oplog`], or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Nothing: the table is of the newest version.
    Nothing,
    /// The table is made, empty.
    New,
    /// What SQLite says of the table; the rows stay as they are.
    InPlace,
    /// Every row is written anew.
    Rows,
    /// Every row is made anew from the oplog.
    Oplog,
}

/// What becomes of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TablePlan {
    /// The table.
    pub table: String,
    /// The file's version; `None` if it has no such table.
    pub from: Option<u32>,
    /// The lock's version.
    pub to: u32,
    /// How much of it is touched.
    pub work: Work,
    /// What each version does, in sentences.
    pub story: Vec<(u32, Vec<String>)>,
    /// The columns of the file that go.
    pub removed: Vec<ColumnShape>,
    /// The columns of the file whose values are computed anew, and what they become.
    pub converted: Vec<(ColumnShape, ColumnShape)>,
    /// The columns that get another name: the one in the file, and the new one.
    pub renamed: Vec<(String, String)>,
    /// The columns that are new.
    pub added: Vec<ColumnShape>,
    /// The fields with elements that go.
    pub collections_removed: Vec<CollectionShape>,
    /// The fields with elements that are new.
    pub collections_added: Vec<CollectionShape>,
    /// The indexes that are new, by the names that their columns have then.
    pub indexes_added: Vec<Vec<String>>,
    /// The indexes that go.
    pub indexes_removed: Vec<Vec<String>>,
}

/// A table that apps with a lock's models refuse.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// An app of a newer version has opened the database.
    #[error("the file has version {found}, the lock knows versions up to {known}: a newer app has opened the database")]
    Newer {
        /// The file's version.
        found: u32,
        /// The lock's.
        known: u32,
    },
    /// The file's version isn't what the lock records.
    #[error("the file's version {version} is not the lock's: {}", .differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Differs {
        /// The file's version.
        version: u32,
        /// What differs, from the file to the lock.
        differences: Vec<Difference>,
    },
    /// The lock begins with a later version.
    #[error("the file has version {found}, the lock begins with version {first}")]
    Unrecorded {
        /// The file's version.
        found: u32,
        /// The first that is recorded.
        first: u32,
    },
}

impl Lock {
    /// What opening a database does to a table that this lock lists: `file` is the version and the shape that the
    /// database has of it, and `stale` whether ops on it were passed over which the lock's version may know.
    ///
    /// `None` for a table that the lock doesn't list: it stays as it is.
    ///
    /// # Errors
    /// Why apps with these models refuse the database.
    pub fn plan(&self, table: &str, file: Option<(u32, &Shape)>, stale: bool) -> Option<Result<TablePlan, Misfit>> {
        let model = self.models.get(table).filter(|model| !model.removed)?;
        Some(model.plan(table, file, stale))
    }
}

impl LockedModel {
    fn plan(&self, table: &str, file: Option<(u32, &Shape)>, stale: bool) -> Result<TablePlan, Misfit> {
        let to = self.newest();
        let mut plan = TablePlan::empty(table, file.map(|(version, _)| version), to);
        let Some((version, shape)) = file else { return Ok(plan) };
        if version > to {
            return Err(Misfit::Newer { found: version, known: to });
        }
        let Some(recorded) = self.shape(version) else {
            let first = self.versions.keys().next().copied().unwrap_or(to);
            return Err(Misfit::Unrecorded { found: version, first });
        };
        let differences = match version == to {
            true => diff(shape, recorded),
            false => diff(shape, &recorded.clone().without_indexes()),
        };
        if !differences.is_empty() {
            return Err(Misfit::Differs { version, differences });
        }
        let later: Vec<u32> = self.versions.range(version + 1..).map(|(version, _)| *version).collect();
        plan.story = later.iter().map(|version| (*version, self.story(*version))).collect();
        let Some(newest) = self.shape(to) else { return Ok(plan) };
        let sources = self.sources(shape, &later);
        plan.columns(shape, newest, &sources);
        plan.others(shape, newest);
        plan.work = match () {
            () if version == to && !stale => Work::Nothing,
            () if stale || sources.values().any(|source| source.other_rule) => Work::Oplog,
            () if keeps_rows(shape, newest, &sources) => Work::InPlace,
            () if changes_references(shape, newest, &sources) => Work::Oplog,
            () => Work::Rows,
        };
        Ok(plan)
    }

    /// Which column of the file each of the newest version's is made of, by name.
    fn sources(&self, file: &Shape, later: &[u32]) -> BTreeMap<String, Source> {
        let begin = |(at, column): (usize, &ColumnShape)| {
            (column.name.clone(), Source { at, converted: false, other_rule: false })
        };
        let mut sources: BTreeMap<String, Source> = file.columns.iter().enumerate().map(begin).collect();
        let mut before = file;
        for version in later {
            let now = &self.versions[version];
            let mut next = BTreeMap::new();
            for column in &now.shape.columns {
                let source = source(&now.steps, before, column).and_then(|(name, converted, other_rule)| {
                    let source = sources.get(&name)?;
                    let (converted, other_rule) = (source.converted || converted, source.other_rule || other_rule);
                    Some(Source { at: source.at, converted, other_rule })
                });
                if let Some(source) = source {
                    next.insert(column.name.clone(), source);
                }
            }
            (sources, before) = (next, &now.shape);
        }
        sources
    }
}

/// A column of the file, and what later versions made of it.
#[derive(Clone, Copy, Debug)]
struct Source {
    at: usize,
    converted: bool,
    other_rule: bool,
}

/// What a column of a version was in the version before: its name there, whether its values are computed anew, and
/// whether it merges by another rule.
fn source(steps: &[Step], before: &Shape, column: &ColumnShape) -> Option<(String, bool, bool)> {
    for step in steps.iter().filter(|step| step.column() == column.name) {
        match step {
            Step::Upgraded { from, .. } => return Some((from.clone(), true, false)),
            Step::Merges { was, .. } => {
                let was = before.columns.iter().find(|one| one.op_name == column.op_name && one.rule == *was);
                return was.map(|was| (was.name.clone(), false, true));
            }
            Step::Removed { .. } => {}
        }
    }
    let same = before.columns.iter().find(|one| one.op_name == column.op_name && one.rule == column.rule);
    same.map(|same| (same.name.clone(), false, false))
}

/// Whether each column of the file stays where it is, with its values, and new ones come after them.
fn keeps_rows(file: &Shape, newest: &Shape, sources: &BTreeMap<String, Source>) -> bool {
    let in_place = |(n, column): (usize, &ColumnShape)| match sources.get(&column.name) {
        Some(source) => source.at == n && !source.converted,
        None => n >= file.columns.len(),
    };
    sources.len() == file.columns.len() && newest.columns.iter().enumerate().all(in_place)
}

/// Whether rows may name other rows than before, so that others have to be shown.
fn changes_references(file: &Shape, newest: &Shape, sources: &BTreeMap<String, Source>) -> bool {
    let details = |column: &ColumnShape| column.details.clone().unwrap_or_default();
    let is_kept = |at: usize| sources.values().any(|source| source.at == at);
    let mut gone = file.columns.iter().enumerate().filter(|(at, _)| !is_kept(*at));
    // A row that waits for another by a column which goes may wait no more.
    if gone.any(|(_, column)| details(column).reference.is_some()) {
        return true;
    }
    newest.columns.iter().any(|column| {
        let is = details(column);
        let begins = is.reference.is_some() && is.default.is_some();
        match sources.get(&column.name) {
            None => begins,
            Some(source) if source.converted => begins || details(&file.columns[source.at]).reference.is_some(),
            Some(_) => false,
        }
    })
}

impl TablePlan {
    fn empty(table: &str, from: Option<u32>, to: u32) -> Self {
        Self {
            table: table.to_owned(),
            from,
            to,
            work: Work::New,
            story: Vec::new(),
            removed: Vec::new(),
            converted: Vec::new(),
            renamed: Vec::new(),
            added: Vec::new(),
            collections_removed: Vec::new(),
            collections_added: Vec::new(),
            indexes_added: Vec::new(),
            indexes_removed: Vec::new(),
        }
    }

    fn columns(&mut self, file: &Shape, newest: &Shape, sources: &BTreeMap<String, Source>) {
        let is_kept = |at: usize| sources.values().any(|source| source.at == at);
        let gone = file.columns.iter().enumerate().filter(|(at, _)| !is_kept(*at));
        self.removed = gone.map(|(_, column)| column.clone()).collect();
        for column in &newest.columns {
            match sources.get(&column.name) {
                None => self.added.push(column.clone()),
                Some(source) if source.converted => {
                    self.converted.push((file.columns[source.at].clone(), column.clone()));
                }
                Some(source) => {
                    let was = &file.columns[source.at].name;
                    if *was != column.name {
                        self.renamed.push((was.clone(), column.name.clone()));
                    }
                }
            }
        }
    }

    fn others(&mut self, file: &Shape, newest: &Shape) {
        for difference in diff(file, newest) {
            match difference {
                Difference::CollectionAdded(one) => self.collections_added.push(one),
                Difference::CollectionRemoved(one) => self.collections_removed.push(one),
                Difference::IndexAdded(columns) => self.indexes_added.push(columns),
                Difference::IndexRemoved(columns) => self.indexes_removed.push(columns),
                _ => {}
            }
        }
    }
}
