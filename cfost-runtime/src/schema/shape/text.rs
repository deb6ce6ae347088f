//! The text of a shape: how it is written, and read again.

use std::fmt::{self, Display as _, Write as _};
use std::str::FromStr;

use super::{
    CollectionShape, ColumnDetails, ColumnShape, ColumnType, ElementsShape, EncryptedShape, Shape, SpaceShape,
};
use crate::schema::{DeletePolicy, MergeRule, OnDelete, SqlType, Value};

/// What stands for what the attributes don't say.
const UNKNOWN: &str = "?";

/// A line that isn't of a shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{line}` is no line of a shape: {what}")]
pub struct ShapeError {
    /// The line.
    pub line: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id {}", Name(&self.id))?;
        self.columns.iter().try_for_each(|column| writeln!(f, "column {column}"))?;
        self.collections.iter().try_for_each(|collection| writeln!(f, "elements {collection}"))?;
        if !self.id_from.is_empty() {
            writeln!(f, "id from{}", Names(&self.id_from))?;
        }
        match &self.space {
            SpaceShape::Home => {}
            SpaceShape::Row => writeln!(f, "space")?,
            SpaceShape::Column(name) => writeln!(f, "space in {}", Name(name))?,
        }
        if self.delete == DeletePolicy::Wins {
            writeln!(f, "delete wins")?;
        }
        match &self.indexes {
            None => writeln!(f, "index {UNKNOWN}"),
            Some(indexes) => indexes.iter().try_for_each(|columns| writeln!(f, "index{}", Names(columns))),
        }
    }
}

pub(super) fn write_column(f: &mut fmt::Formatter<'_>, column: &ColumnShape) -> fmt::Result {
    write!(f, "{} ", Name(&column.name))?;
    match &column.kind {
        Some(kind) => kind.fmt(f)?,
        None => f.write_str(UNKNOWN)?,
    }
    write!(f, " {}", column.rule)?;
    write_op_name(f, &column.name, &column.op_name)?;
    let Some(details) = &column.details else { return write!(f, " {UNKNOWN}") };
    if let Some(encrypted) = &details.encrypted {
        write!(f, " {encrypted}")?;
    }
    if details.immutable {
        f.write_str(" immutable")?;
    }
    if let Some(default) = &details.default {
        write!(f, " default {}", Literal(default))?;
    }
    match &details.reference {
        Some((table, on_delete)) => write!(f, " references {} {}", Name(table), on_delete.name()),
        None => Ok(()),
    }
}

impl fmt::Display for EncryptedShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("encrypted ")?;
        self.space.iter().try_for_each(|space| write!(f, "for {} ", Name(space)))?;
        self.kind.fmt(f)
    }
}

pub(super) fn write_collection(f: &mut fmt::Formatter<'_>, collection: &CollectionShape) -> fmt::Result {
    write!(f, "{} {} ", Name(&collection.name), collection.rule)?;
    match &collection.elements {
        Some(elements) => elements.fmt(f)?,
        None => f.write_str(UNKNOWN)?,
    }
    write_op_name(f, &collection.name, &collection.op_name)?;
    match collection.indexed {
        Some(false) => Ok(()),
        Some(true) => f.write_str(" indexed"),
        None => write!(f, " {UNKNOWN}"),
    }
}

fn write_op_name(f: &mut fmt::Formatter<'_>, name: &str, op_name: &str) -> fmt::Result {
    if op_name == name { Ok(()) } else { write!(f, " called {}", Name(op_name)) }
}

/// A name, in quotes unless it is letters, digits, `_` and `@` only.
pub(in crate::schema) struct Name<'a>(pub(in crate::schema) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '@';
        if !self.0.is_empty() && self.0.chars().all(is_plain) { f.write_str(self.0) } else { write_quoted(f, self.0) }
    }
}

/// Names, each after a space.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, " {}", Name(name)))
    }
}

/// A constant, as attributes write it.
pub(in crate::schema) struct Literal<'a>(pub(in crate::schema) &'a Value);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("NULL"),
            Value::Integer(value) => value.fmt(f),
            Value::Real(value) => write!(f, "{value:?}"),
            Value::Text(value) => write_quoted(f, value),
            Value::Blob(value) => {
                f.write_str("0x")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Text in quotes and on one line: `\` before `"` and `\`, and what can't be seen by its number.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            // Unicode's own line ends, and what turns the direction of a line around.
            c if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                write!(f, "\\u{{{:x}}}", u32::from(c))?;
            }
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl FromStr for Shape {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let wrong = |line: &str, what: &str| ShapeError { line: line.to_owned(), what: what.to_owned() };
        let mut words = Words::of(first).ok_or_else(|| wrong(first, UNCLOSED))?;
        let id = match (words.word("id"), words.name()) {
            (true, Some(id)) if words.at_end() => id,
            _ => return Err(wrong(first, "a shape begins with `id` and the id's column")),
        };
        let (columns, collections, id_from) = (vec![], vec![], vec![]);
        let (space, delete, indexes) = (SpaceShape::Home, DeletePolicy::Latest, Some(Vec::new()));
        let mut shape = Self { id, columns, collections, id_from, space, delete, indexes };
        for line in lines {
            let mut words = Words::of(line).ok_or_else(|| wrong(line, UNCLOSED))?;
            shape.add(&mut words).map_err(|what| wrong(line, what))?;
            if !words.at_end() {
                return Err(wrong(line, "it goes on after its end"));
            }
        }
        Ok(shape)
    }
}

const UNCLOSED: &str = "a quoted name or text isn't closed";

impl Shape {
    /// Takes in a line.
    fn add(&mut self, words: &mut Words) -> Result<(), &'static str> {
        if words.word("column") {
            let column = read_column(words)?;
            if self.column(&column.name).is_some() {
                return Err("the column is there twice");
            }
            self.columns.push(column);
        } else if words.word("elements") {
            let collection = read_collection(words)?;
            if self.collection(&collection.name).is_some() {
                return Err("the field is there twice");
            }
            self.collections.push(collection);
        } else if words.word("id") {
            let is_first = self.id_from.is_empty();
            if !words.word("from") || !is_first {
                return Err("the id is said twice");
            }
            self.id_from = words.names().ok_or("it names no column")?;
        } else if words.word("space") {
            if self.space != SpaceShape::Home {
                return Err("the space is said twice");
            }
            self.space = match words.word("in") {
                true => SpaceShape::Column(words.name().ok_or("it names no column")?),
                false => SpaceShape::Row,
            };
        } else if words.word("delete") {
            self.delete = if words.word("wins") { DeletePolicy::Wins } else { return Err("deletes are final or not") };
        } else if words.word("index") {
            if words.word(UNKNOWN) {
                self.indexes = None;
            } else {
                let columns = words.names().ok_or("it names no column")?;
                self.indexes.get_or_insert_default().push(columns);
            }
        } else {
            return Err("it is of no kind that this version of CFOST knows");
        }
        Ok(())
    }
}

fn read_column(words: &mut Words) -> Result<ColumnShape, &'static str> {
    let name = words.name().ok_or("the name is missing")?;
    let kind = if words.word(UNKNOWN) { None } else { Some(words.column_type().ok_or("the type is missing")?) };
    let rule = words.rule().ok_or("the merge rule is missing")?;
    let op_name = words.op_name(&name)?;
    if words.word(UNKNOWN) {
        return Ok(ColumnShape { name, op_name, kind, rule, details: None });
    }
    let encrypted = words.word("encrypted").then(|| read_encrypted(words)).transpose()?;
    let mut details = ColumnDetails { encrypted, immutable: words.word("immutable"), ..ColumnDetails::default() };
    if words.word("default") {
        details.default = Some(words.literal().ok_or("the default is missing")?);
    }
    if words.word("references") {
        let table = words.name().ok_or("the other table is missing")?;
        details.reference = Some((table, words.on_delete().ok_or("`hide`, `cascade` or `keep` is missing")?));
    }
    Ok(ColumnShape { name, op_name, kind, rule, details: Some(details) })
}

fn read_encrypted(words: &mut Words) -> Result<EncryptedShape, &'static str> {
    let space = if words.word("for") { Some(words.name().ok_or("the column of the space is missing")?) } else { None };
    Ok(EncryptedShape { space, kind: words.column_type().ok_or("the type of what is encrypted is missing")? })
}

fn read_collection(words: &mut Words) -> Result<CollectionShape, &'static str> {
    let name = words.name().ok_or("the name is missing")?;
    let rule = words.rule().ok_or("the merge rule is missing")?;
    let elements = if words.word(UNKNOWN) {
        None
    } else {
        let key = words.sql_type().ok_or("the type of the keys is missing")?;
        Some(ElementsShape { key, value: words.column_type() })
    };
    let op_name = words.op_name(&name)?;
    let indexed = if words.word(UNKNOWN) { None } else { Some(words.word("indexed")) };
    Ok(CollectionShape { name, op_name, rule, elements, indexed })
}

/// The words of a line: as they are, or what was in quotes.
pub(in crate::schema) struct Words {
    words: Vec<Word>,
    next: usize,
}

#[derive(Debug)]
enum Word {
    Plain(String),
    Quoted(String),
}

impl Words {
    /// `None` if a quote isn't closed, or the words aren't one space apart.
    pub(in crate::schema) fn of(line: &str) -> Option<Self> {
        let (mut words, mut rest) = (Vec::new(), line);
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let (text, after) = unquote(quoted)?;
                words.push(Word::Quoted(text));
                rest = after;
            } else {
                let end = rest.find(' ').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                words.push(Word::Plain((!word.is_empty()).then(|| word.to_owned())?));
                rest = after;
            }
            rest = match rest.strip_prefix(' ') {
                Some("") => return None,
                Some(after) => after,
                None if rest.is_empty() => rest,
                None => return None,
            };
        }
        Some(Self { words, next: 0 })
    }

    pub(in crate::schema) fn at_end(&self) -> bool {
        self.next == self.words.len()
    }

    /// Reads this word if it is the next.
    pub(in crate::schema) fn word(&mut self, word: &str) -> bool {
        let is_next = matches!(self.words.get(self.next), Some(Word::Plain(next)) if next == word);
        self.next += usize::from(is_next);
        is_next
    }

    /// Reads a word that means something.
    fn plain<T>(&mut self, means: impl Fn(&str) -> Option<T>) -> Option<T> {
        let Some(Word::Plain(word)) = self.words.get(self.next) else { return None };
        let meaning = means(word)?;
        self.next += 1;
        Some(meaning)
    }

    /// Reads a number.
    pub(in crate::schema) fn number(&mut self) -> Option<u32> {
        self.plain(|word| word.parse().ok().filter(|number: &u32| number.to_string() == word))
    }

    /// Reads a name.
    pub(in crate::schema) fn name(&mut self) -> Option<String> {
        let name = match self.words.get(self.next)? {
            Word::Plain(word) => word.as_str(),
            Word::Quoted(text) => text,
        };
        let name = name.to_owned();
        self.next += 1;
        Some(name)
    }

    /// Reads all names that there are, at least one.
    fn names(&mut self) -> Option<Vec<String>> {
        let names: Vec<String> = std::iter::from_fn(|| self.name()).collect();
        (!names.is_empty()).then_some(names)
    }

    fn op_name(&mut self, name: &str) -> Result<String, &'static str> {
        if self.word("called") { self.name().ok_or("the name in ops is missing") } else { Ok(name.to_owned()) }
    }

    fn sql_type(&mut self) -> Option<SqlType> {
        let all = [SqlType::Integer, SqlType::Real, SqlType::Text, SqlType::Blob];
        self.plain(|word| all.into_iter().find(|sql_type| sql_type.name() == word))
    }

    /// Reads a column's type.
    pub(in crate::schema) fn column_type(&mut self) -> Option<ColumnType> {
        let sql_type = self.sql_type()?;
        let nullable = !self.word("NOT");
        (nullable || self.word("NULL")).then_some(ColumnType { sql_type, nullable })
    }

    /// Reads a merge rule.
    pub(in crate::schema) fn rule(&mut self) -> Option<MergeRule> {
        use MergeRule::{Counter, List, Lww, Map, Set, Text};
        let all = [Lww, Counter, Set, Map, List, Text];
        self.plain(|word| all.into_iter().find(|rule| rule.to_string() == word))
    }

    fn on_delete(&mut self) -> Option<OnDelete> {
        let all = [OnDelete::Hide, OnDelete::Cascade, OnDelete::Keep];
        self.plain(|word| all.into_iter().find(|on_delete| on_delete.name() == word))
    }

    /// Reads a constant.
    pub(in crate::schema) fn literal(&mut self) -> Option<Value> {
        if let Some(Word::Quoted(text)) = self.words.get(self.next) {
            self.next += 1;
            return Some(Value::Text(text.clone()));
        }
        self.plain(|word| {
            if let Some(hex) = word.strip_prefix("0x") {
                let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
                return (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>().map(Value::Blob);
            }
            let integer = word.parse().ok().map(Value::Integer);
            integer.or_else(|| word.parse().ok().filter(|real: &f64| real.is_finite()).map(Value::Real))
        })
    }
}

/// The text up to the closing quote, and what is after it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                'u' => {
                    let (number, _) = quoted[at..].strip_prefix("\\u{")?.split_once('}')?;
                    text.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
                    chars.by_ref().find(|(_, c)| *c == '}')?;
                }
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
    None
}
