//! `cfost schema check`: what a database has, and what it needs.

use std::collections::BTreeMap;

use cfost::schema::lock::{Lock, Misfit, TablePlan, Work};
use cfost::store::{DbFile, FileModel, StoreError};

use super::Report;
use super::table::{Table, version};

/// What opening a database does to each table.
pub(super) struct Outlook {
    /// The tables of the lock's models: what is done to them, or why they are refused.
    pub(super) listed: Vec<Listed>,
    /// The file's models that the lock doesn't list.
    pub(super) unlisted: Vec<FileModel>,
}

pub(super) struct Listed {
    pub(super) table: String,
    /// What the file has of it.
    pub(super) file: Option<FileModel>,
    /// The lock's version.
    pub(super) version: u32,
    pub(super) plan: Result<TablePlan, Misfit>,
}

impl Outlook {
    pub(super) fn of(lock: &Lock, file: &DbFile) -> Result<Self, StoreError> {
        let models = file.models()?.into_iter().map(|model| (model.table.clone(), model));
        let mut models: BTreeMap<String, FileModel> = models.collect();
        let mut listed = Vec::new();
        for (table, model) in lock.models.iter().filter(|(_, model)| !model.removed) {
            let (found, version) = (models.remove(table), model.newest());
            let stale = found.as_ref().is_some_and(|found| found.is_made_anew_by(version));
            let shape = found.as_ref().map(|found| (found.version, &found.shape));
            if let Some(plan) = lock.plan(table, shape, stale) {
                listed.push(Listed { table: table.clone(), file: found, version, plan });
            }
        }
        Ok(Self { listed, unlisted: models.into_values().collect() })
    }

    pub(super) fn is_fine(&self) -> bool {
        self.listed.iter().all(|one| one.plan.is_ok())
    }

    /// What refuses the database, a line each.
    pub(super) fn refusals(&self) -> String {
        let refusal = |one: &Listed| match &one.plan {
            Err(misfit) => Some(format!("'{}' is refused: {misfit}\n", one.table)),
            Ok(_) => None,
        };
        self.listed.iter().filter_map(refusal).collect()
    }
}

pub(super) fn report(lock: &Lock, file: &DbFile) -> Result<Report, StoreError> {
    let outlook = Outlook::of(lock, file)?;
    let mut table = Table::new(&["TABLE", "FILE>", "LOCK>", "WHAT IT NEEDS"]);
    for one in &outlook.listed {
        let file = one.file.as_ref().map(|file| file.version);
        table.push([one.table.clone(), version(file), version(Some(one.version)), needs(one)]);
    }
    for one in &outlook.unlisted {
        let what = "nothing: the lock doesn't list it, so it is kept as it is";
        table.push([one.table.clone(), version(Some(one.version)), version(None), what.to_owned()]);
    }
    let refusals = outlook.refusals();
    let text = match refusals.is_empty() {
        true => format!("{}\nApps with this lock open the database.", table.text()),
        false => {
            format!("{}\n{refusals}\nApps with this lock refuse the database, and leave it as it is.", table.text())
        }
    };
    Ok(Report { text, is_fine: outlook.is_fine() })
}

fn needs(one: &Listed) -> String {
    let what = match &one.plan {
        Err(_) => "an app that it was made by, or a newer one",
        Ok(plan) => match plan.work {
            Work::Nothing => "nothing",
            Work::New => "to be made, empty",
            Work::InPlace => "a migration that leaves the rows as they are",
            Work::Rows => "a migration that writes each row anew",
            Work::Oplog => "its rows to be made anew from the oplog",
        },
    };
    let awaits = one.file.as_ref().is_some_and(|file| file.awaits_newer && file.version == one.version);
    if awaits { format!("{what}; it holds changes by a newer version, for later") } else { what.to_owned() }
}
