//! `cfost schema plan`: what a migration costs.

use cfost::schema::SqlType;
use cfost::schema::lock::{Lock, TablePlan, Work};
use cfost::schema::shape::ColumnShape;
use cfost::store::{DbFile, FileModel, FileSize, StoreError};

use super::Report;
use super::check::{Listed, Outlook};
use super::table::{Table, bytes, number, version};

/// Rows that are written anew in a second, about.
const ROWS_PER_SECOND: f64 = 250_000.0;

/// Rows that are made anew from the oplog in a second, about, if each was written once.
const ROWS_FROM_OPLOG_PER_SECOND: f64 = 100_000.0;

/// What an entry of an index takes beside the indexed values: the row's id, and what SQLite adds.
const INDEX_ENTRY_BYTES: u64 = 22;

/// What an empty table takes.
const PAGE_BYTES: u64 = 4096;

/// What a table's migration costs.
struct Cost {
    rows: u64,
    rewritten: u64,
    before: u64,
    after: u64,
    seconds: f64,
}

pub(super) fn report(lock: &Lock, file: &DbFile) -> Result<Report, StoreError> {
    let outlook = Outlook::of(lock, file)?;
    let head = ["TABLE", "FILE>", "LOCK>", "ROWS>", "REWRITTEN>", "BEFORE>", "AFTER>", "TIME", "OPS SENT>"];
    let mut table = Table::new(&head);
    let (mut stories, mut room) = (String::new(), 0);
    for one in &outlook.listed {
        let file_version = version(one.file.as_ref().map(|file| file.version));
        let cost = cost(file, one)?;
        let about = if one.plan.as_ref().is_ok_and(|plan| plan.work > Work::New) { "~" } else { "" };
        table.push([
            one.table.clone(),
            file_version,
            version(Some(one.version)),
            number(cost.rows),
            number(cost.rewritten),
            bytes(cost.before),
            format!("{about}{}", bytes(cost.after)),
            if one.plan.is_ok() { time(cost.seconds) } else { "refused" }.to_owned(),
            "0".to_owned(),
        ]);
        if cost.rewritten > 0 {
            room += 2 * cost.after;
        }
        if let Ok(plan) = &one.plan {
            stories += &story(plan);
        }
    }
    for one in &outlook.unlisted {
        table.push(unlisted(file, one)?);
    }
    let mut text = format!("{}\n{stories}", table.text());
    if !outlook.is_fine() {
        text += &format!("{}\nApps with this lock refuse the database, and leave it as it is.", outlook.refusals());
        return Ok(Report { text, is_fine: false });
    }
    if room > 0 {
        text += &format!("While rows are written anew, the disk needs some {} more.\n", bytes(room));
    }
    text += "It is one transaction: killed at any moment, the database is as before. Migrations write no ops, so other \
             devices are sent nothing.";
    Ok(Report { text, is_fine: true })
}

/// A table that nothing is done to.
fn unlisted(file: &DbFile, one: &FileModel) -> Result<[String; 9], StoreError> {
    let size = file.size(one)?;
    let (rows, before) = (number(size.rows + size.hidden_rows), bytes(size.bytes()));
    let (found, zero) = (version(Some(one.version)), || "0".to_owned());
    let time = "stays as it is".to_owned();
    Ok([one.table.clone(), found, version(None), rows, zero(), before.clone(), before, time, zero()])
}

fn story(plan: &TablePlan) -> String {
    let mut text = String::new();
    for (version, sentences) in &plan.story {
        let lines: Vec<String> = sentences.iter().map(|sentence| format!("    {sentence}")).collect();
        let lines = if lines.is_empty() { vec!["    nothing that is recorded".to_owned()] } else { lines };
        text += &format!("  version {version}\n{}\n", lines.join("\n"));
    }
    if plan.work == Work::Oplog {
        text += "  its rows are made anew from the oplog, since only that tells what they are now\n";
    }
    if text.is_empty() { text } else { format!("{}\n{text}\n", plan.table) }
}

fn cost(file: &DbFile, one: &Listed) -> Result<Cost, StoreError> {
    let Some(model) = &one.file else {
        return Ok(Cost { rows: 0, rewritten: 0, before: 0, after: PAGE_BYTES, seconds: 0.0 });
    };
    let size = file.size(model)?;
    let (rows, before) = (size.rows + size.hidden_rows, size.bytes());
    let unchanged = Cost { rows, rewritten: 0, before, after: before, seconds: 0.0 };
    let Ok(plan) = &one.plan else { return Ok(unchanged) };
    let (after, seconds) = (after(file, model, plan, &size)?, |rate: f64| rows as f64 / rate);
    Ok(match plan.work {
        Work::Nothing | Work::New => unchanged,
        // An index over rows that stay reads them all the same.
        Work::InPlace if plan.indexes_added.is_empty() => Cost { after, ..unchanged },
        Work::InPlace => Cost { after, seconds: seconds(4.0 * ROWS_PER_SECOND), ..unchanged },
        Work::Rows => Cost { after, rewritten: rows, seconds: seconds(ROWS_PER_SECOND), ..unchanged },
        Work::Oplog => Cost { after, rewritten: rows, seconds: seconds(ROWS_FROM_OPLOG_PER_SECOND), ..unchanged },
    })
}

/// What a table takes after its migration, about.
fn after(file: &DbFile, model: &FileModel, plan: &TablePlan, size: &FileSize) -> Result<u64, StoreError> {
    let rows = size.rows + size.hidden_rows;
    let (mut grown, mut shrunk) = (0, 0);
    if plan.work > Work::InPlace {
        for column in &plan.removed {
            shrunk += file.column_bytes(&plan.table, &column.name)?;
        }
        for (was, is) in &plan.converted {
            let of_other_type = was.kind.map(|kind| kind.sql_type) != is.kind.map(|kind| kind.sql_type);
            if of_other_type {
                shrunk += file.column_bytes(&plan.table, &was.name)?;
                grown += rows * value_bytes(is);
            }
        }
        grown += plan.added.iter().map(|column| rows * value_bytes(column)).sum::<u64>();
    }
    for columns in &plan.indexes_added {
        let is_indexed = |column: &&ColumnShape| columns.contains(&column.name);
        let values: u64 = plan.added.iter().filter(is_indexed).map(value_bytes).sum();
        grown += rows * (INDEX_ENTRY_BYTES + values);
        let known = columns.iter().filter(|name| plan.added.iter().all(|column| column.name != **name));
        for name in known {
            grown += indexed_bytes(file, model, plan, name)?;
        }
    }
    // An index is named after what ops call its columns.
    let called = |name: &String| model.shape.column(name).map_or_else(|| name.clone(), |column| column.op_name.clone());
    let index_name = |columns: &Vec<String>| {
        let names: Vec<String> = columns.iter().map(called).collect();
        format!("{}_by_{}", plan.table, names.join("_"))
    };
    let gone = plan.indexes_removed.iter().filter_map(|columns| size.indexes.get(&index_name(columns)));
    shrunk += gone.sum::<u64>();
    shrunk += plan.collections_removed.iter().filter_map(|one| size.elements.get(&one.name)).sum::<u64>();
    grown += PAGE_BYTES * plan.collections_added.len() as u64;
    Ok((size.bytes() + grown).saturating_sub(shrunk).max(PAGE_BYTES))
}

/// What the values of a column take that gets an index; the file may have it by an earlier name.
fn indexed_bytes(file: &DbFile, model: &FileModel, plan: &TablePlan, name: &str) -> Result<u64, StoreError> {
    let converted = plan.converted.iter().find(|(_, is)| is.name == name).map(|(was, _)| was.name.as_str());
    let renamed = plan.renamed.iter().find(|(_, is)| is == name).map(|(was, _)| was.as_str());
    match converted.or(renamed).unwrap_or(name) {
        was if model.shape.column(was).is_some() => file.column_bytes(&plan.table, was),
        _ => Ok(0),
    }
}

/// What a value of a column takes, about.
fn value_bytes(column: &ColumnShape) -> u64 {
    let Some(kind) = column.kind else { return 1 };
    let nothing = column.details.as_ref().is_none_or(|details| details.default.is_none()) && kind.nullable;
    match kind.sql_type {
        _ if nothing => 1,
        SqlType::Integer => 3,
        SqlType::Real => 9,
        SqlType::Text => 12,
        SqlType::Blob => 17,
    }
}

/// How long something takes, in words: the rest is the machine's.
fn time(seconds: f64) -> &'static str {
    match seconds {
        seconds if seconds < 0.05 => "at once",
        seconds if seconds < 1.0 => "under a second",
        seconds if seconds < 10.0 => "seconds",
        seconds if seconds < 60.0 => "under a minute",
        seconds if seconds < 600.0 => "minutes",
        _ => "over ten minutes",
    }
}
