//! What differs between two shapes, in sentences.

use std::fmt;

use super::text::{Literal, Name};
use super::{CollectionShape, ColumnDetails, ColumnShape, EncryptedShape, Shape, SpaceShape};
use crate::schema::{DeletePolicy, OnDelete, Value};

/// Something that differs between two shapes, of which one was before the other.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Difference {
    /// The column of the id has another name.
    Id {
        /// The name before.
        was: String,
        /// The name now.
        is: String,
    },
    /// The id is made from other columns.
    IdFrom {
        /// Those before; none if it was minted.
        was: Vec<String>,
        /// Those now.
        is: Vec<String>,
    },
    /// The rows live in another space.
    Space {
        /// Where they lived before.
        was: SpaceShape,
        /// Where they live now.
        is: SpaceShape,
    },
    /// Deletes win, or no longer do.
    Delete {
        /// What holds now.
        is: DeletePolicy,
    },
    /// A column is new.
    ColumnAdded(ColumnShape),
    /// A column is gone.
    ColumnRemoved(ColumnShape),
    /// A column is another: its name, its type, its rule, what its attributes say.
    ColumnChanged {
        /// What it was.
        was: ColumnShape,
        /// What it is.
        is: ColumnShape,
    },
    /// The columns are in another order, which is that of the rows' clocks.
    Order {
        /// The order before, of those in both.
        was: Vec<String>,
        /// The order now.
        is: Vec<String>,
    },
    /// A field with elements is new.
    CollectionAdded(CollectionShape),
    /// A field with elements is gone.
    CollectionRemoved(CollectionShape),
    /// A field with elements is another.
    CollectionChanged {
        /// What it was.
        was: CollectionShape,
        /// What it is.
        is: CollectionShape,
    },
    /// An index over these columns is new.
    IndexAdded(Vec<String>),
    /// An index over these columns is gone.
    IndexRemoved(Vec<String>),
}

/// What differs from `was` to `is`; nothing if they are equal in all that both know.
///
/// A column with another name is the same one if ops call it as before and it merges as before.
pub fn diff(was: &Shape, is: &Shape) -> Vec<Difference> {
    let mut all = Vec::new();
    if was.id != is.id {
        all.push(Difference::Id { was: was.id.clone(), is: is.id.clone() });
    }
    let columns = columns(was, is, &mut all);
    order(&columns, is, &mut all);
    collections(was, is, &mut all);
    if was.id_from != is.id_from && !is_renamed(was, is, &columns) {
        all.push(Difference::IdFrom { was: was.id_from.clone(), is: is.id_from.clone() });
    }
    if was.space != is.space && !is_space_renamed(was, is, &columns) {
        all.push(Difference::Space { was: was.space.clone(), is: is.space.clone() });
    }
    if was.delete != is.delete {
        all.push(Difference::Delete { is: is.delete });
    }
    if let (Some(was), Some(is)) = (&was.indexes, &is.indexes) {
        let renamed = |name: &String| columns.iter().find(|(was, _)| was.name == *name).map(|(_, is)| is.name.clone());
        let now =
            |index: &Vec<String>| index.iter().map(|name| renamed(name).unwrap_or_else(|| name.clone())).collect();
        let kept: Vec<Vec<String>> = was.iter().map(now).collect();
        let gone = was.iter().zip(&kept).filter(|(_, now)| !is.contains(now)).map(|(was, _)| was.clone());
        all.extend(gone.map(Difference::IndexRemoved));
        all.extend(is.iter().filter(|index| !kept.contains(index)).cloned().map(Difference::IndexAdded));
    }
    all
}

/// The pairs of columns that are one column, in the order of `was`.
type Pairs<'a> = Vec<(&'a ColumnShape, &'a ColumnShape)>;

fn columns<'a>(was: &'a Shape, is: &'a Shape, all: &mut Vec<Difference>) -> Pairs<'a> {
    let mut pairs = Vec::new();
    for column in &was.columns {
        let by_op = || is.columns.iter().find(|other| other.op_name == column.op_name && other.rule == column.rule);
        let renamed = || by_op().filter(|other| was.column(&other.name).is_none());
        match is.column(&column.name).or_else(renamed) {
            Some(other) => pairs.push((column, other)),
            None => all.push(Difference::ColumnRemoved(column.clone())),
        }
    }
    let added = is.columns.iter().filter(|column| pairs.iter().all(|(_, other)| other.name != column.name));
    all.extend(added.cloned().map(Difference::ColumnAdded));
    for (was, is) in &pairs {
        if !column_changes(was, is).is_empty() {
            all.push(Difference::ColumnChanged { was: (*was).clone(), is: (*is).clone() });
        }
    }
    pairs
}

/// Finds columns whose places are known in both, and are others.
fn order(pairs: &Pairs<'_>, is: &Shape, all: &mut Vec<Difference>) {
    let placed = |pair: &&(&ColumnShape, &ColumnShape)| pair.0.details.is_some() && pair.1.details.is_some();
    let before: Vec<&str> = pairs.iter().filter(placed).map(|(_, is)| is.name.as_str()).collect();
    let now = is.columns.iter().map(|column| column.name.as_str()).filter(|name| before.contains(name));
    let now: Vec<&str> = now.collect();
    if before != now {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        all.push(Difference::Order { was: owned(before), is: owned(now) });
    }
}

fn collections(was: &Shape, is: &Shape, all: &mut Vec<Difference>) {
    let mut pairs = Vec::new();
    for collection in &was.collections {
        let by_op = || is.collections.iter().find(|other| other.op_name == collection.op_name);
        let renamed = || by_op().filter(|other| was.collection(&other.name).is_none());
        match is.collection(&collection.name).or_else(renamed) {
            Some(other) => pairs.push((collection, other)),
            None => all.push(Difference::CollectionRemoved(collection.clone())),
        }
    }
    let added = is.collections.iter().filter(|one| pairs.iter().all(|(_, other)| other.name != one.name));
    all.extend(added.cloned().map(Difference::CollectionAdded));
    for (was, is) in pairs {
        if !collection_changes(was, is).is_empty() {
            all.push(Difference::CollectionChanged { was: was.clone(), is: is.clone() });
        }
    }
}

/// Whether the id is made from the same columns, which have other names.
fn is_renamed(was: &Shape, is: &Shape, pairs: &Pairs<'_>) -> bool {
    let now = was.id_from.iter().map(|name| pairs.iter().find(|(was, _)| was.name == *name).map(|(_, is)| &is.name));
    now.eq(is.id_from.iter().map(Some))
}

/// Whether the space is named by the same column, which has another name.
fn is_space_renamed(was: &Shape, is: &Shape, pairs: &Pairs<'_>) -> bool {
    match (&was.space, &is.space) {
        (SpaceShape::Column(was), SpaceShape::Column(is)) => {
            pairs.iter().any(|(before, now)| before.name == *was && now.name == *is)
        }
        _ => false,
    }
}

/// What is another about a column, in parts of a sentence; nothing if they are equal in all that both know.
fn column_changes(was: &ColumnShape, is: &ColumnShape) -> Vec<String> {
    let mut parts = Vec::new();
    if was.name != is.name {
        parts.push(format!("was '{}'", was.name));
    }
    match (&was.kind, &is.kind) {
        (Some(before), Some(now)) if before != now => parts.push(format!("was {before} and is {now}")),
        _ => {}
    }
    if was.rule != is.rule {
        parts.push(format!("merged as {} and merges as {}", was.rule, is.rule));
    }
    if was.op_name != is.op_name {
        parts.push(format!("was called '{}' in ops and is called '{}'", was.op_name, is.op_name));
    }
    if let (Some(was), Some(is)) = (&was.details, &is.details) {
        detail_changes(was, is, &mut parts);
    }
    parts
}

fn detail_changes(was: &ColumnDetails, is: &ColumnDetails, parts: &mut Vec<String>) {
    if was.immutable != is.immutable {
        parts.push(if is.immutable { "is now immutable" } else { "is no longer immutable" }.to_owned());
    }
    if was.encrypted != is.encrypted {
        let how = |encrypted: &Option<EncryptedShape>| match encrypted {
            None => "not encrypted".to_owned(),
            Some(encrypted) => format!("`{encrypted}`"),
        };
        parts.push(format!("was {} and is {}", how(&was.encrypted), how(&is.encrypted)));
    }
    if was.default != is.default {
        let literal = |default: &Option<Value>| match default {
            None => "none".to_owned(),
            Some(value) => Literal(value).to_string(),
        };
        parts.push(format!("had the default {} and has {}", literal(&was.default), literal(&is.default)));
    }
    if was.reference != is.reference {
        let row = |reference: &Option<(String, OnDelete)>| match reference {
            None => "no row".to_owned(),
            Some((table, on_delete)) => format!("a row of '{table}' (on_delete = {})", on_delete.name()),
        };
        parts.push(format!("named {} and names {}", row(&was.reference), row(&is.reference)));
    }
}

fn collection_changes(was: &CollectionShape, is: &CollectionShape) -> Vec<String> {
    let mut parts = Vec::new();
    if was.name != is.name {
        parts.push(format!("was '{}'", was.name));
    }
    match (&was.elements, &is.elements) {
        (Some(before), Some(now)) if before != now || was.rule != is.rule => {
            parts.push(format!("was a {} of {before} and is a {} of {now}", was.rule, is.rule));
        }
        _ if was.rule != is.rule => parts.push(format!("was a {} and is a {}", was.rule, is.rule)),
        _ => {}
    }
    if was.op_name != is.op_name {
        parts.push(format!("was called '{}' in ops and is called '{}'", was.op_name, is.op_name));
    }
    match (was.indexed, is.indexed) {
        (Some(false), Some(true)) => parts.push("is now indexed".to_owned()),
        (Some(true), Some(false)) => parts.push("is no longer indexed".to_owned()),
        _ => {}
    }
    parts
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { was, is } => write!(f, "the id's column was '{was}' and is '{is}'"),
            Self::IdFrom { was, is } => write!(f, "the id was {} and is {}", made_from(was), made_from(is)),
            Self::Space { was, is } => write!(f, "its rows lived {was} and live {is}"),
            Self::Delete { is: DeletePolicy::Wins } => f.write_str("a delete is now final"),
            Self::Delete { is: DeletePolicy::Latest } => f.write_str("a delete is no longer final"),
            Self::ColumnAdded(column) => write!(f, "column '{}' is new: `{column}`", column.name),
            Self::ColumnRemoved(column) => write!(f, "column '{}' is gone: `{column}`", column.name),
            Self::ColumnChanged { was, is } => write!(f, "column '{}' {}", is.name, column_changes(was, is).join(", ")),
            Self::Order { was, is } => {
                write!(f, "the columns are in another order: {}, which was {}", is.join(", "), was.join(", "))
            }
            Self::CollectionAdded(one) => write!(f, "field '{}' is new: `{one}`", one.name),
            Self::CollectionRemoved(one) => write!(f, "field '{}' is gone: `{one}`", one.name),
            Self::CollectionChanged { was, is } => {
                write!(f, "field '{}' {}", is.name, collection_changes(was, is).join(", "))
            }
            Self::IndexAdded(columns) => write!(f, "the index over {} is new", columns.join(", ")),
            Self::IndexRemoved(columns) => write!(f, "the index over {} is gone", columns.join(", ")),
        }
    }
}

impl fmt::Display for SpaceShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => f.write_str("in the home space"),
            Self::Row => f.write_str("each in a space of its own"),
            Self::Column(name) => write!(f, "in the space that {} names", Name(name)),
        }
    }
}

fn made_from(columns: &[String]) -> String {
    let names: Vec<String> = columns.iter().map(|name| Name(name).to_string()).collect();
    if names.is_empty() { "minted".to_owned() } else { format!("made from {}", names.join(", ")) }
}
