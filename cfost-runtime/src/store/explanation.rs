//! Why a row is as it is: as data, and as text to read.

use std::fmt;

use uuid::Uuid;

use super::OpId;
use crate::clock::Timestamp;
use crate::oplog::{DeviceId, OpKind, UserId};
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
    /// The sets, maps and lists, in the model's order.
    pub collections: Vec<ExplainedCollection>,
}

impl Explanation {
    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&ExplainedColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The set, map or list with this name.
    pub fn collection(&self, name: &str) -> Option<&ExplainedCollection> {
        self.collections.iter().find(|collection| collection.name == name)
    }

    /// Whether any concurrent write lost: someone may want to look at what they wrote.
    pub fn has_conflicts(&self) -> bool {
        let mut elements = self.collections.iter().flat_map(|collection| &collection.elements);
        !self.life.lost.is_empty()
            || self.columns.iter().any(|column| !column.lost.is_empty())
            || elements.any(|element| !element.lost.is_empty())
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
    /// The user whose device it is, or was; `None` if that isn't known here any more.
    pub user: Option<UserId>,
    /// When, by the device's hybrid clock.
    pub timestamp: Timestamp,
    /// The op that wrote it.
    pub op: OpId,
}

/// Whether a row is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A row that it refers to is not shown.
    Waiting {
        /// The table of that row.
        table: String,
        /// That row.
        id: Uuid,
    },
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("shown"),
            Self::Deleted => f.write_str("deleted"),
            Self::Gone => f.write_str("deleted for good"),
            Self::Incomplete => f.write_str("waits for its insert"),
            Self::Waiting { table, id } => write!(f, "waits for {table} {id}"),
        }
    }
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

/// Why a set, a map or a list has its elements.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedCollection {
    /// The collection's name.
    pub name: String,
    /// How concurrent edits of it merge.
    pub rule: MergeRule,
    /// The elements that are there, in their order, then those that were removed while another device put
    /// them.
    pub elements: Vec<ExplainedElement>,
}

/// Why an element is there or not, and has its value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedElement {
    /// A set's element, a map's key, the id of a list's element.
    pub key: Value,
    /// What a map has under the key, or a list in the place.
    pub value: Option<Value>,
    /// Whether the element is there.
    pub present: bool,
    /// Who put it, with the value that it has, or removed it.
    pub written: Option<Written>,
    /// What was done to it without knowledge of that, and lost, oldest first.
    pub lost: Vec<LostElement>,
}

/// An edit of an element that lost against a concurrent one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LostElement {
    /// What was done.
    pub edit: ElementLoss,
    /// Who did it.
    pub written: Written,
}

/// What was done to an element.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ElementLoss {
    /// It was put, with this value if it was given one.
    Put(Option<Value>),
    /// It was removed.
    Removed,
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
        lines.push("", "row", &self.life.shown.to_string(), self.life.written.as_ref());
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
        for collection in &self.collections {
            collection.push_to(&mut lines);
        }
        writeln!(f, "{} {}", self.table, self.id)?;
        lines.fmt(f)
    }
}

impl ExplainedCollection {
    fn push_to(&self, lines: &mut Lines) {
        let (mut name, mut rule) = (self.name.as_str(), self.rule.to_string());
        for element in &self.elements {
            let key = if self.rule == MergeRule::List { String::new() } else { clipped(&element.key) };
            let with = |value: Option<&Value>| match (key.as_str(), value) {
                (key, None) => key.to_owned(),
                ("", Some(value)) => clipped(value),
                (key, Some(value)) => format!("{key} = {}", clipped(value)),
            };
            let value = with(element.value.as_ref());
            let value = if element.present { value } else { format!("{value} removed") };
            lines.push(name, &rule, &value, element.written.as_ref());
            (name, rule) = ("", String::new());
            for lost in &element.lost {
                let edit = match &lost.edit {
                    ElementLoss::Put(value) => with(value.as_ref()),
                    ElementLoss::Removed => "removed".to_owned(),
                };
                lines.push("", "lost", &edit, Some(&lost.written));
            }
        }
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
