//! The text of `schema.lock`: how it is written, and read again.

use std::fmt;
use std::str::FromStr;

use super::{Lock, LockedModel, LockedVersion, Step};
use crate::schema::Shape;
use crate::schema::shape::text::{Literal, Name, Words};

/// The newest form of the text that this build knows.
const FORM: u32 = 1;

const HEAD: &str = "\
# What each version of this app's models is to databases and to other devices. `cargo test` compares.
# `CFOST_BLESS=1 cargo test` records what is new. Commit this file, and leave the writing to that.
";

/// A `schema.lock` that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// A merge left its conflicts in the file.
    #[error(
        "line {line} is of a merge that was not finished: two branches have made the same version of a model. Keep the \
         version that was released, or merged, first; give the other one's changes to the next version (`since`, `in` and \
         `version` in the attributes); then `CFOST_BLESS=1 cargo test` records it"
    )]
    Conflict {
        /// The line, from 1.
        line: usize,
    },
    /// A newer CFOST wrote it.
    #[error("it was written by a newer CFOST, in form {found}; this one knows form {FORM}: update `cfost`")]
    Newer {
        /// The form of the file.
        found: u32,
    },
    /// It doesn't begin as a lock does.
    #[error("it is no `schema.lock`: the line `lock {FORM}` is missing at its beginning")]
    NoLock,
    /// A line that is of no lock.
    #[error("line {line}: {what}; take the file from the version control, since it is not written by hand")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}lock {FORM}")?;
        for (table, model) in &self.models {
            for (version, LockedVersion { shape, steps }) in &model.versions {
                write!(f, "\n[{} {version}]\n{shape}", Name(table))?;
                steps.iter().try_for_each(|step| writeln!(f, "{step}"))?;
            }
            if model.removed {
                writeln!(f, "\n[{} removed]", Name(table))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let and_back = |back: &bool| if *back { " and back" } else { "" };
        match self {
            Self::Upgraded { column, is, from, was, back, functions } => {
                write!(f, "upgraded {} {is} from {} {was}{}", Name(column), Name(from), and_back(back))?;
                if functions.is_empty() { Ok(()) } else { write!(f, " by {}", Name(functions)) }
            }
            Self::Merges { column, is, was, back } => {
                write!(f, "merges {} {is} from {was}{}", Name(column), and_back(back))
            }
            Self::Removed { column, filler: None } => write!(f, "removed {}", Name(column)),
            Self::Removed { column, filler: Some(filler) } => {
                write!(f, "removed {} leaving {}", Name(column), Literal(filler))
            }
        }
    }
}

impl FromStr for Lock {
    type Err = LockError;

    fn from_str(text: &str) -> Result<Self, LockError> {
        let marks = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
        if let Some(at) = text.lines().position(|line| marks.iter().any(|mark| line.starts_with(mark))) {
            return Err(LockError::Conflict { line: at + 1 });
        }
        let mut lines = (text.lines().zip(1..)).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let form = lines.next().and_then(|(line, _)| line.strip_prefix("lock ")?.parse::<u32>().ok());
        match form {
            None => return Err(LockError::NoLock),
            Some(found) if found > FORM => return Err(LockError::Newer { found }),
            Some(_) => {}
        }
        let (mut lock, mut section) = (Self::default(), None);
        for (line, number) in lines {
            let wrong = |what: String| LockError::Line { line: number, what };
            if let Some(head) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                lock.end(section.take())?;
                section = lock.begin(head, number).map_err(|what| wrong(format!("`{line}`: {what}")))?;
            } else {
                let section = section.as_mut().ok_or_else(|| wrong(format!("`{line}` is of no version of a model")))?;
                section.add(line).map_err(wrong)?;
            }
        }
        lock.end(section)?;
        Ok(lock)
    }
}

/// A version as it is read.
struct Section {
    table: String,
    version: u32,
    /// The line that it begins in.
    line: usize,
    shape: String,
    steps: Vec<Step>,
}

impl Section {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let Some(mut words) = Words::of(line) else {
            return Err(format!("`{line}` has a quote that isn't closed, or too many spaces"));
        };
        match read_step(&mut words) {
            Some(Some(step)) if words.at_end() => self.steps.push(step),
            Some(_) => return Err(format!("`{line}` is not complete, or goes on after its end")),
            None if self.steps.is_empty() => {
                self.shape += line;
                self.shape.push('\n');
            }
            None => return Err(format!("`{line}` is of a shape, and in another place")),
        }
        Ok(())
    }
}

impl Lock {
    /// Reads the head of a section; `None` for one that says all.
    fn begin(&mut self, head: &str, line: usize) -> Result<Option<Section>, &'static str> {
        let mut words = Words::of(head).ok_or("a quote isn't closed")?;
        let table = words.name().ok_or("the table is missing")?;
        if words.word("removed") {
            let model = self.models.get_mut(&table).ok_or("a model is removed of which there is no version")?;
            model.removed = true;
            return if words.at_end() { Ok(None) } else { Err("it goes on after its end") };
        }
        let version = words.number().filter(|version| *version > 0).ok_or("the version is missing")?;
        if !words.at_end() {
            return Err("it goes on after its end");
        }
        if self.models.get(&table).is_some_and(|model| model.versions.contains_key(&version)) {
            return Err("the version is there twice, as a merge may leave it");
        }
        Ok(Some(Section { table, version, line, shape: String::new(), steps: Vec::new() }))
    }

    fn end(&mut self, section: Option<Section>) -> Result<(), LockError> {
        let Some(Section { table, version, line, shape, steps }) = section else { return Ok(()) };
        let shape: Shape = shape
            .parse()
            .map_err(|error| LockError::Line { line, what: format!("in version {version} of '{table}': {error}") })?;
        let model: &mut LockedModel = self.models.entry(table).or_default();
        model.versions.insert(version, LockedVersion { shape, steps });
        Ok(())
    }
}

/// Reads a step: `None` if the line is none, `Some(None)` if it is one that isn't complete.
fn read_step(words: &mut Words) -> Option<Option<Step>> {
    if words.word("upgraded") {
        Some(read_upgraded(words))
    } else if words.word("merges") {
        Some(read_merges(words))
    } else if words.word("removed") {
        Some(read_removed(words))
    } else {
        None
    }
}

fn read_upgraded(words: &mut Words) -> Option<Step> {
    let (column, is) = (words.name()?, words.column_type()?);
    let (from, was) = (words.word("from").then(|| words.name())??, words.column_type()?);
    let back = read_back(words)?;
    let functions = if words.word("by") { words.name()? } else { String::new() };
    Some(Step::Upgraded { column, is, from, was, back, functions })
}

fn read_merges(words: &mut Words) -> Option<Step> {
    let (column, is) = (words.name()?, words.rule()?);
    let was = words.word("from").then(|| words.rule())??;
    Some(Step::Merges { column, is, was, back: read_back(words)? })
}

fn read_removed(words: &mut Words) -> Option<Step> {
    let column = words.name()?;
    let filler = if words.word("leaving") { Some(words.literal()?) } else { None };
    Some(Step::Removed { column, filler })
}

fn read_back(words: &mut Words) -> Option<bool> {
    let and = words.word("and");
    (!and || words.word("back")).then_some(and)
}
