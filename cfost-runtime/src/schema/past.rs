//! What a column was in earlier versions of its model, and how its values came along.

use std::fmt;

use super::{CollectAs, Column, Constant, MergeRule, SqlType, Value, ValueError, ValueRef};

/// Makes a value of one version a value of the next, or of the one before.
///
/// # Errors
/// When the result can't be stored; the op that it is of then has no effect on the column.
pub type Convert = fn(ValueRef<'_>) -> Result<Value, ValueError>;

/// What a column was from one version of its model until another changed it.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// The column's name in the table.
    pub name: &'static str,
    /// What ops call it.
    pub op_name: &'static str,
    /// The column's type in the table.
    pub sql_type: SqlType,
    /// Whether the column could be NULL.
    pub nullable: bool,
    /// Whether the attributes say its type. If they don't, of a column that is gone, the type here stands for any.
    pub typed: bool,
    /// How concurrent writes to it merged.
    pub rule: MergeRule,
    /// The first version in which it was so.
    pub since: u32,
    /// The first version in which it was not so any more.
    pub until: u32,
    /// What that version made of it.
    pub change: Change,
    /// The functions that upgraded it, as the attribute names them: `with = parse, back = print`. For the record in
    /// `schema.lock`.
    pub functions: &'static str,
}

/// What a version made of a column.
#[derive(Clone, Copy)]
pub enum Change {
    /// It got another name. Ops call it by the one before.
    Renamed,
    /// It got another type or meaning: ops of older versions pass through `with`, at their own timestamps, and what
    /// this version writes reaches older versions through `back`.
    Upgraded {
        /// From the old value to the new one.
        with: Convert,
        /// From the new value to one that older versions can read.
        back: Option<Convert>,
    },
    /// It merges by another rule. What older versions wrote is what the new rule begins with.
    Rule {
        /// Whether every write also carries the merged value for older versions.
        back: bool,
    },
    /// It is gone.
    Removed {
        /// What older versions read in rows that this one creates; `None` if they can do without.
        filler: Option<Constant>,
    },
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed => f.write_str("Renamed"),
            Self::Upgraded { back, .. } => write!(f, "Upgraded {{ back: {} }}", back.is_some()),
            Self::Rule { back } => write!(f, "Rule {{ back: {back} }}"),
            Self::Removed { filler } => write!(f, "Removed {{ filler: {filler:?} }}"),
        }
    }
}

impl Past {
    /// A column of type `T`, until a version changed it.
    pub const fn column<T: Column>(
        (name, op_name): (&'static str, &'static str),
        rule: MergeRule,
        (since, until): (u32, u32),
        change: Change,
    ) -> Self {
        let (sql_type, nullable, typed) = (T::TYPE, T::NULLABLE, true);
        Self { name, op_name, sql_type, nullable, typed, rule, since, until, change, functions: "" }
    }

    /// A column whose type the attributes don't say.
    pub const fn untyped(
        names: (&'static str, &'static str),
        rule: MergeRule,
        versions: (u32, u32),
        change: Change,
    ) -> Self {
        Self { typed: false, ..Self::column::<Option<Vec<u8>>>(names, rule, versions, change) }
    }

    /// A column of the type that the function takes which upgraded it.
    pub const fn taken<Old: Column, New: Column>(
        names: (&'static str, &'static str),
        versions: (u32, u32),
        _with: fn(Old) -> New,
        change: Change,
    ) -> Self {
        Self::column::<Old>(names, MergeRule::Lww, versions, change)
    }

    /// Upgraded by these functions, as the attribute names them.
    #[must_use]
    pub const fn by(self, functions: &'static str) -> Self {
        Self { functions, ..self }
    }
}

/// Converts a stored value by a function of an app.
///
/// # Errors
/// When the value isn't an `Old`, or the result can't be stored.
pub fn convert<Old: Column, New: Column>(
    value: ValueRef<'_>,
    function: impl Fn(Old) -> New,
) -> Result<Value, ValueError> {
    Ok(function(Old::decode(value)?).encode()?.into_owned())
}

/// A field with elements, until a version gave it another name.
#[derive(Clone, Copy, Debug)]
pub struct PastCollection {
    /// The name it had.
    pub name: &'static str,
    /// The first version in which it had another one.
    pub until: u32,
}

/// A field with elements that a version removed.
#[derive(Clone, Copy, Debug)]
pub struct RemovedCollection {
    /// The name it had last.
    pub name: &'static str,
    /// What ops call it.
    pub op_name: &'static str,
    /// The names it had before, newest first.
    pub past: &'static [PastCollection],
    /// How its elements merged.
    pub rule: MergeRule,
    /// The types of its elements, if the attributes say them.
    pub elements: Option<Elements>,
    /// The version that it was there since.
    pub since: u32,
    /// The first version without it.
    pub until: u32,
}

/// What the elements of a collection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elements {
    /// The type of the elements' keys.
    pub key: SqlType,
    /// The type of the elements' values, and whether they may be NULL; `None` if they have none.
    pub value: Option<(SqlType, bool)>,
}

impl RemovedCollection {
    /// A field of type `T` whose elements merged by the rule `R`.
    pub const fn of<T: CollectAs<R>, R>(names: (&'static str, &'static str), versions: (u32, u32)) -> Self {
        let elements = Some(Elements { key: T::KEY, value: T::VALUE });
        Self { elements, ..Self::untyped(names, T::RULE, versions) }
    }

    /// A field whose type the attributes don't say.
    pub const fn untyped(
        (name, op_name): (&'static str, &'static str),
        rule: MergeRule,
        (since, until): (u32, u32),
    ) -> Self {
        Self { name, op_name, past: &[], rule, elements: None, since, until }
    }

    /// Had other names before, newest first.
    #[must_use]
    pub const fn was(self, past: &'static [PastCollection]) -> Self {
        Self { past, ..self }
    }
}
