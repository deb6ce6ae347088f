//! How ops of all versions of a model and the model of this app fit each other.
//!
//! Ops name a column as it was called first, beside its merge rule. A column that was upgraded, or merges by
//! another rule by now, is another one in ops, so an op of an older version writes to an *older form* of it. Until
//! version `u` made something else of the form,
//!
//! - an op of a version below `u` is the write of an app that has the form: its value passes through all upgrades
//!   since, and keeps its timestamp;
//! - an op of version `u` or later carries the form for apps that still have it. Here it is passed over: the op has
//!   the column as it is now too.
//!
//! So older apps see the writes of this one: beside the model's columns, an op carries a value for each older form,
//! made by the functions that lead back. All values of an op have one timestamp, so the same write wins in each
//! version's view, and a column converted after merging is the one merged after converting.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::entries::OpData;
use super::rows::fits;
use super::write::rule_tag;
use crate::oplog::{OpKind, RuleTag, ShapeColumn};
use crate::schema::{
    Change, Convert, MergeRule, ModelSchema, Past, RemovedCollection, SqlType, Value, ValueError, ValueRef,
};

/// What ops call a column: two columns of a model may share a name, if they merge by different rules.
pub(super) type OpColumn = (RuleTag, &'static str);

/// The longest text that is carried whole for apps to which it is a value: those show nothing of a longer one that is
/// inserted, and nothing of edits that make it longer.
const OLDER_TEXT_BYTES_MAX: usize = 128 << 10;

/// Where a column of an op goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To the model's column with this number.
    Column(usize),
    /// To a column of the model, by way of the older form with this number.
    Older(usize),
    /// To the model's collection with this number.
    Elements(usize),
    /// Nowhere: it is for apps of older versions, or of a column that is gone.
    Nowhere,
}

/// Where a value that came through an older form arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrives {
    /// In the column with this number, as a write.
    Column(usize),
    /// In the column with this number, as a write of what its present rule begins with.
    Base(usize),
}

/// A function of the app that failed on a value.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConversionError {
    #[error(transparent)]
    Value(ValueError),
    #[error("the function panicked: {0}")]
    Panicked(String),
}

/// What an op carries for apps of older versions, beside the columns of the model.
#[derive(Debug, Default)]
pub(super) struct ForOlder {
    pub(super) columns: Vec<OpColumn>,
    pub(super) values: Vec<ValueRef<'static>>,
}

/// The forms that the columns of a model had, and those of the columns that it has no more.
#[derive(Debug)]
pub(super) struct Forms {
    schema: &'static ModelSchema,
    older: Vec<OlderForm>,
    /// The columns that have older forms.
    changed: Vec<usize>,
    /// What creates carry for apps that have columns which are gone by now.
    fillers: ForOlder,
}

/// A form that a column had.
#[derive(Debug)]
struct OlderForm {
    named: OpColumn,
    /// The first version that wrote the column in another form.
    until: u32,
    /// `None` for a column that is gone.
    arrives: Option<Arrives>,
    kind: (SqlType, bool),
    /// Whether creates of all versions write it: an insert of a counter is the write of a value to older apps, and
    /// here what the counter begins with.
    of_creates: bool,
    /// What leads to the column as it is now: each function, and the type that it must arrive at.
    steps: Vec<(Convert, (SqlType, bool))>,
}

impl Forms {
    pub(super) fn new(schema: &'static ModelSchema) -> Self {
        let mut older: Vec<OlderForm> = Vec::new();
        let mut add = |form: OlderForm| {
            // Of a form that had several names, the last version counts that had it.
            if !older.iter().any(|known| known.named == form.named) {
                older.push(form);
            }
        };
        let mut changed = Vec::new();
        for (n, column) in schema.columns.iter().enumerate() {
            let now = (rule_tag(column.rule), column.op_name);
            let kind = (column.sql_type, column.nullable);
            let forms = older_forms(column.past, kind, Some(n)).filter(|form| form.named != now);
            let forms = forms.map(|form| {
                let of_creates = column.rule == MergeRule::Counter && form.named == (RuleTag::LWW, column.op_name);
                OlderForm { of_creates, ..form }
            });
            changed.extend((forms.map(&mut add).count() > 0).then_some(n));
        }
        let mut fillers = ForOlder::default();
        for past in schema.removed {
            older_forms(past, (SqlType::Blob, true), None).for_each(&mut add);
            lead_back(past, ValueRef::Null, OpKind::Create, schema, &mut fillers);
        }
        Self { schema, older, changed, fillers }
    }

    /// Where a column of an op of this kind goes that an app wrote with this version of the model; `None` for one that
    /// this version of the model doesn't know.
    pub(super) fn target(&self, named: &ShapeColumn<'_>, kind: OpKind, version: u32) -> Option<Target> {
        let is = |name: &str, rule: MergeRule| name == named.name && rule_tag(rule) == named.rule;
        let column = || self.schema.columns.iter().position(|column| is(column.op_name, column.rule));
        let elements = || self.schema.collections.iter().position(|collection| is(collection.op_name, collection.rule));
        (column().map(Target::Column))
            .or_else(|| elements().map(Target::Elements))
            .or_else(|| self.past_target(named, kind, version))
    }

    #[cold]
    fn past_target(&self, named: &ShapeColumn<'_>, kind: OpKind, version: u32) -> Option<Target> {
        let is_named = |form: &OlderForm| form.named == (named.rule, named.name);
        if let Some(n) = self.older.iter().position(is_named) {
            let form = &self.older[n];
            let is_write = version < form.until || (form.of_creates && kind == OpKind::Create);
            let counts = is_write && form.arrives.is_some();
            return Some(if counts { Target::Older(n) } else { Target::Nowhere });
        }
        let is_named = |gone: &RemovedCollection| (rule_tag(gone.rule), gone.op_name) == (named.rule, named.name);
        self.schema.removed_collections.iter().any(is_named).then_some(Target::Nowhere)
    }

    /// Where the values of an older form arrive; `None` for one of a column that is gone.
    pub(super) fn arrives(&self, older: usize) -> Option<Arrives> {
        self.older[older].arrives
    }

    /// What becomes of a value of an older form; `None` if the form can't hold it.
    ///
    /// # Errors
    /// When a function of the app refuses it, or panics.
    pub(super) fn convert(
        &self,
        older: usize,
        value: &ValueRef<'_>,
    ) -> Result<Option<(Arrives, Value)>, ConversionError> {
        let form = &self.older[older];
        let Some(arrives) = form.arrives.filter(|_| fits(value, form.kind.0, form.kind.1)) else { return Ok(None) };
        let value = convert(&form.steps, value)?;
        Ok(value.map(|value| (arrives, value)))
    }

    /// The counters that were values.
    pub(super) fn counters_with_base(&self) -> impl Iterator<Item = usize> {
        let counters = self.older.iter().filter(|form| form.of_creates);
        counters.filter_map(|form| match form.arrives {
            Some(Arrives::Base(column)) => Some(column),
            _ => None,
        })
    }

    /// Whether all versions write the same columns.
    pub(super) fn are_the_same(&self) -> bool {
        self.changed.is_empty() && self.fillers.columns.is_empty()
    }

    /// What an op carries for older versions that inserts a row with these values.
    pub(super) fn of_create(&self, values: &[ValueRef<'_>]) -> ForOlder {
        if self.are_the_same() {
            return ForOlder::default();
        }
        let mut carried = ForOlder { columns: self.fillers.columns.clone(), values: self.fillers.values.clone() };
        self.lead_back(self.changed.iter().copied(), values, OpKind::Create, &mut carried);
        carried
    }

    /// What an op carries for older versions that gives a row these values, of which the numbered ones changed.
    pub(super) fn of_update(&self, columns: &[usize], values: &[ValueRef<'_>]) -> ForOlder {
        let mut carried = ForOlder::default();
        if !self.changed.is_empty() {
            let changed = columns.iter().copied().filter(|column| self.changed.contains(column));
            self.lead_back(changed, values, OpKind::Update, &mut carried);
        }
        carried
    }

    /// What an op carries for older versions that makes a text this one.
    #[cfg(feature = "text")]
    pub(super) fn of_text(&self, column: usize, plain: &str) -> ForOlder {
        let mut carried = ForOlder::default();
        if self.changed.contains(&column) {
            let text = ValueRef::Text(plain.into());
            lead_back(self.schema.columns[column].past, text, OpKind::Update, self.schema, &mut carried);
        }
        carried
    }

    fn lead_back(
        &self,
        columns: impl Iterator<Item = usize>,
        values: &[ValueRef<'_>],
        kind: OpKind,
        carried: &mut ForOlder,
    ) {
        for column in columns {
            lead_back(self.schema.columns[column].past, values[column].borrowed(), kind, self.schema, carried);
        }
    }

    /// What the names of all older forms take at most in a change, once per kind of op.
    pub(super) fn names_bytes(&self) -> usize {
        self.older.iter().map(|form| form.named.1.len() + 4).sum()
    }

    /// What an entry of the oplog says of the columns as they are now: by their names in the table, with the values
    /// of older versions converted, and without what goes nowhere.
    pub(super) fn translated(&self, data: Vec<(String, OpData)>, kind: OpKind, version: u32) -> Vec<(String, OpData)> {
        let mut translated: Vec<(String, OpData)> = Vec::with_capacity(data.len());
        for (name, data) in data {
            let Some((name, data)) = self.translate(&name, data, kind, version) else { continue };
            let is_known = |(known, other): &(String, OpData)| {
                known == name && std::mem::discriminant(other) == std::mem::discriminant(&data)
            };
            if !translated.iter().any(is_known) {
                translated.push((name.to_owned(), data));
            }
        }
        translated
    }

    fn translate(&self, name: &str, data: OpData, kind: OpKind, version: u32) -> Option<(&'static str, OpData)> {
        let rules: &[RuleTag] = match &data {
            OpData::Write(_) => &[RuleTag::LWW],
            OpData::Add(_) => &[RuleTag::COUNTER],
            OpData::Text(_) => &[RuleTag::TEXT],
            OpData::Elements(_) => &[RuleTag::SET, RuleTag::MAP, RuleTag::LIST],
            OpData::Unknown(_) => &[],
        };
        let target = rules.iter().find_map(|&rule| self.target(&ShapeColumn { rule, name }, kind, version))?;
        match (target, data) {
            (Target::Column(column), data) => Some((self.schema.columns[column].name, data)),
            (Target::Elements(collection), data) => Some((self.schema.collections[collection].name, data)),
            (Target::Older(older), OpData::Write(value)) => {
                let (Arrives::Column(column) | Arrives::Base(column), value) =
                    self.convert(older, &value.as_ref()).ok().flatten()?;
                Some((self.schema.columns[column].name, OpData::Write(value)))
            }
            _ => None,
        }
    }
}

/// The older forms of a column that is `kind` now, newest first.
fn older_forms(past: &'static [Past], kind: (SqlType, bool), column: Option<usize>) -> impl Iterator<Item = OlderForm> {
    let (mut steps, mut kind, mut is_base) = (Vec::new(), kind, false);
    past.iter().map(move |form| {
        match form.change {
            Change::Upgraded { with, .. } => steps.insert(0, (with, kind)),
            Change::Rule { .. } => is_base = true,
            Change::Renamed | Change::Removed { .. } => {}
        }
        kind = (form.sql_type, form.nullable);
        OlderForm {
            named: (rule_tag(form.rule), form.op_name),
            until: form.until,
            arrives: column.map(|column| if is_base { Arrives::Base(column) } else { Arrives::Column(column) }),
            kind,
            of_creates: false,
            steps: steps.clone(),
        }
    })
}

/// Passes a value through upgrades, oldest first; `None` if one makes a value that its column can't hold.
pub(super) fn convert(
    steps: &[(Convert, (SqlType, bool))],
    value: &ValueRef<'_>,
) -> Result<Option<Value>, ConversionError> {
    let mut value = value.borrowed().into_owned();
    for (step, (sql_type, nullable)) in steps {
        value = call(*step, value.as_ref())?;
        if !fits(&value.as_ref(), *sql_type, *nullable) {
            return Ok(None);
        }
    }
    Ok(Some(value))
}

/// Adds what an op carries for the older forms of a column which is given this value, as far as values lead back.
fn lead_back(past: &[Past], value: ValueRef<'_>, kind: OpKind, schema: &ModelSchema, carried: &mut ForOlder) {
    let mut value: ValueRef<'static> = value.into_owned().into();
    for form in past {
        let led = match led_back(form, &value, kind) {
            Ok(led) => led,
            Err(error) => {
                let (table, column) = (schema.table, form.name);
                tracing::warn!(table, column, %error, "a value can't be converted for apps of an older version");
                Led::Ends
            }
        };
        match led {
            Led::Same => {}
            Led::Assumed(assumed) => value = assumed,
            Led::To(older) if fits(&older, form.sql_type, form.nullable) => {
                carried.columns.push((rule_tag(form.rule), form.op_name));
                carried.values.push(older.clone());
                value = older;
            }
            Led::To(_) | Led::Ends => break,
        }
    }
}

/// What an older form is given when a newer one is written.
enum Led {
    /// What the newer one is: it is the same to ops.
    Same,
    /// Nothing; a row that is inserted so has this value in it.
    Assumed(ValueRef<'static>),
    /// This value.
    To(ValueRef<'static>),
    /// Nothing, and neither are those before it.
    Ends,
}

fn led_back(form: &Past, newer: &ValueRef<'static>, kind: OpKind) -> Result<Led, ConversionError> {
    let inserts = kind == OpKind::Create;
    Ok(match form.change {
        Change::Renamed => Led::Same,
        Change::Upgraded { back: Some(back), .. } => Led::To(call(back, newer.borrowed())?.into()),
        Change::Rule { back } if inserts || back => match newer {
            ValueRef::Text(text) if text.len() > OLDER_TEXT_BYTES_MAX && inserts => Led::To(ValueRef::Text("".into())),
            ValueRef::Text(text) if text.len() > OLDER_TEXT_BYTES_MAX => Led::Ends,
            newer => Led::To(newer.clone()),
        },
        Change::Removed { filler: Some(filler) } if inserts => Led::To(filler.into()),
        Change::Upgraded { back: None, .. } | Change::Removed { filler: None } if inserts => match unwritten(form) {
            Some(value) => Led::Assumed(value),
            None => Led::Ends,
        },
        Change::Upgraded { back: None, .. } | Change::Rule { .. } | Change::Removed { .. } => Led::Ends,
    })
}

/// What a column of this form holds in a row whose create doesn't carry it, if it can do without.
fn unwritten(form: &Past) -> Option<ValueRef<'static>> {
    match form.rule {
        MergeRule::Counter => Some(ValueRef::Integer(0)),
        MergeRule::Text => Some(ValueRef::Text("".into())),
        _ => form.nullable.then_some(ValueRef::Null),
    }
}

/// Calls a function of the app, which may panic.
fn call(function: Convert, value: ValueRef<'_>) -> Result<Value, ConversionError> {
    match catch_unwind(AssertUnwindSafe(|| function(value))) {
        Ok(converted) => converted.map_err(ConversionError::Value),
        Err(panic) => Err(ConversionError::Panicked(message(&*panic))),
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests;
