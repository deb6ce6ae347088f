//! Why a row is as it is: as data, and as text to read.

use std::fmt;

use uuid::Uuid;

use super::OpId;
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, OpKind};
use crate::schema::{MergeRule, Value};

/// How many characters of a value the text shows.
const SHOWN_CHARS_MAX: usize = 48;

/// Why a row is as it is; made by [`Db::explain`](crate::db::Db::explain).
///
/// Printed, it is a table with a line per column, and below each a line per concurrent value that lost.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The row's table.
    pub table: String,
    /// The row.
    pub id: Uuid,
    /// Whether the row is shown, and why.
    pub life: ExplainedLife,
    /// The columns, in the model's order.
    pub columns: Vec<ExplainedColumn>,
}

impl Explanation {
    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&ExplainedColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether any concurrent write lost: someone may want to look at what they wrote.
    pub fn has_conflicts(&self) -> bool {
        !self.life.lost.is_empty() || self.columns.iter().any(|column| !column.lost.is_empty())
    }
}

/// Who wrote something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The device.
    pub device: DeviceId,
    /// What its user calls it.
    pub device_name: String,
    /// When, by the device's hybrid clock.
    pub timestamp: Timestamp,
    /// The op that wrote it.
    pub op: OpId,
}

/// Whether a row is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shown {
    /// The row is in its table.
    Yes,
    /// The row was deleted.
    Deleted,
    /// The row was deleted, and deletes of its model are final.
    Gone,
    /// The op that inserted the row, with the columns that it must have, has not arrived.
    Incomplete,
}

/// Why a row is shown or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedLife {
    /// Whether the row is shown.
    pub shown: Shown,
    /// Who decided that: the newest of the inserts, updates and deletes.
    pub written: Option<Written>,
    /// What was decided otherwise by devices that didn't know of it yet: deletes of a row that is there,
    /// or edits of one that is deleted.
    pub lost: Vec<(OpKind, Written)>,
}

/// Why a column has its value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedColumn {
    /// The column's name.
    pub name: String,
    /// How concurrent writes to it merge.
    pub rule: MergeRule,
    /// What it holds.
    pub value: Value,
    /// Who wrote it last; `None` while it has the value that it began with.
    pub written: Option<Written>,
    /// The values that were written without knowledge of this one and lost, oldest first. A value that its
    /// own device had replaced is not among them.
    pub lost: Vec<LostValue>,
    /// What each device has added to a counter, the first to do so first; empty for other rules.
    pub added: Vec<Added>,
}

/// A value that lost against a concurrent one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LostValue {
    /// The value.
    pub value: Value,
    /// Who wrote it.
    pub written: Written,
}

/// What a device has added to a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Added {
    /// The sum of the device's increments and decrements.
    pub sum: i64,
    /// Their last one.
    pub last: Written,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Lines::default();
        let shown = match self.life.shown {
            Shown::Yes => "shown",
            Shown::Deleted => "deleted",
            Shown::Gone => "deleted for good",
            Shown::Incomplete => "waits for the op that inserted it",
        };
        lines.push("", "row", shown, self.life.written.as_ref());
        for (kind, written) in &self.life.lost {
            lines.push("", "lost", kind.name(), Some(written));
        }
        for column in &self.columns {
            lines.push(&column.name, &column.rule.to_string(), &clipped(&column.value), column.written.as_ref());
            for added in &column.added {
                lines.push("", "added", &format!("{:+}", added.sum), Some(&added.last));
            }
            for lost in &column.lost {
                lines.push("", "lost", &clipped(&lost.value), Some(&lost.written));
            }
        }
        writeln!(f, "{} {}", self.table, self.id)?;
        lines.fmt(f)
    }
}

/// Lines whose parts begin below each other.
#[derive(Default)]
struct Lines(Vec<[String; 4]>);

impl Lines {
    fn push(&mut self, name: &str, what: &str, value: &str, written: Option<&Written>) {
        let written = match written {
            Some(written) => format!("{}  {}", written.timestamp, written.device_name),
            None => "never written".to_owned(),
        };
        self.0.push([name.to_owned(), what.to_owned(), value.to_owned(), written]);
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |part: usize| self.0.iter().map(|line| line[part].chars().count()).max().unwrap_or(0);
        let (names, whats, values) = (width(0), width(1), width(2));
        for (n, [name, what, value, written]) in self.0.iter().enumerate() {
            let end = if n + 1 == self.0.len() { "" } else { "\n" };
            write!(f, "  {name:names$}  {what:whats$}  {value:values$}  {written}{end}")?;
        }
        Ok(())
    }
}

/// A value on one line, cut short if it is long.
fn clipped(value: &Value) -> String {
    let text = match value {
        Value::Text(text) => format!("{text:?}"),
        other => other.as_ref().to_string(),
    };
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX - 1).collect();
    start + "…"
}
