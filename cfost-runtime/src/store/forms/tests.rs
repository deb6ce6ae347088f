//! Five versions of one model, each as its attributes would say it, read and write ops for each other.

use super::*;
use crate::schema::{ColumnSchema, Constant, DeletePolicy, Placement, RemovedCollection, convert as by, rule};

const PLAIN: ModelSchema = ModelSchema {
    model: "Todo",
    table: "todos",
    version: 1,
    id_column: "id",
    columns: &[],
    collections: &[],
    indexes: &[],
    delete: DeletePolicy::Latest,
    id_from: &[],
    search: &[],
    history: false,
    space: Placement::Home,
    removed: &[],
    removed_collections: &[],
};

/// 1: what is there from the beginning.
static V1: ModelSchema = ModelSchema {
    columns: &[
        ColumnSchema::lww::<String>("name", "name"),
        ColumnSchema::lww::<i64>("points", "points"),
        ColumnSchema::lww::<bool>("urgent", "urgent"),
        ColumnSchema::lww::<i64>("likes", "likes"),
    ],
    ..PLAIN
};

const NAME: Past = Past::column::<String>(("name", "name"), MergeRule::Lww, (1, 2), Change::Renamed);

/// Points are a number, and become its digits.
const POINTS: Past = Past::taken::<i64, String>(
    ("points", "points"),
    (1, 3),
    |points| points.to_string(),
    Change::Upgraded {
        with: |value| by(value, |points: i64| points.to_string()),
        back: Some(|value| {
            by(value, |rank: String| rank.parse::<i64>().unwrap_or_else(|error| panic!("'{rank}': {error}")))
        }),
    },
);

/// The digits may be missing.
const RANK: Past = Past::taken::<String, Option<String>>(
    ("rank", "rank"),
    (3, 4),
    Some,
    Change::Upgraded {
        with: |value| by(value, Some::<String>),
        back: Some(|value| by(value, |rank: Option<String>| rank.unwrap_or_else(|| "0".to_owned()))),
    },
);

const LIKES: Past = Past::column::<i64>(("likes", "likes"), MergeRule::Lww, (1, 5), Change::Rule { back: true });

const fn urgent(until: u32) -> Past {
    let filler = Some(Constant::Integer(1));
    Past::column::<bool>(("urgent", "urgent"), MergeRule::Lww, (1, until), Change::Removed { filler })
}

/// 2: `name` is `title`.
static V2: ModelSchema = ModelSchema {
    version: 2,
    columns: &[
        ColumnSchema::lww::<String>("title", "title").was("name", &[NAME]),
        ColumnSchema::lww::<i64>("points", "points"),
        ColumnSchema::lww::<bool>("urgent", "urgent"),
        ColumnSchema::lww::<i64>("likes", "likes"),
    ],
    ..PLAIN
};

/// 3: `points` is `rank`, a string; `urgent` is gone.
static V3: ModelSchema = ModelSchema {
    version: 3,
    columns: &[
        ColumnSchema::lww::<String>("title", "title").was("name", &[NAME]),
        ColumnSchema::lww::<String>("rank", "rank").was("rank", &[POINTS]),
        ColumnSchema::lww::<i64>("likes", "likes"),
    ],
    removed: &[&[urgent(3)]],
    ..PLAIN
};

/// 4: `rank` may be missing.
static V4: ModelSchema = ModelSchema {
    version: 4,
    columns: &[
        ColumnSchema::lww::<String>("title", "title").was("name", &[NAME]),
        ColumnSchema::lww::<Option<String>>("rank", "rank").was("rank@4", &[RANK, POINTS]),
        ColumnSchema::lww::<i64>("likes", "likes"),
    ],
    removed: &[&[urgent(3)]],
    ..PLAIN
};

/// 5: `likes` counts; elements that came in between are gone.
static V5: ModelSchema = ModelSchema {
    version: 5,
    columns: &[
        ColumnSchema::lww::<String>("title", "title").was("name", &[NAME]),
        ColumnSchema::lww::<Option<String>>("rank", "rank").was("rank@4", &[RANK, POINTS]),
        ColumnSchema::merged::<i64, rule::Counter>("likes", "likes").was("likes", &[LIKES]),
    ],
    removed: &[&[urgent(3)]],
    removed_collections: &[RemovedCollection::untyped(("labels", "tags"), MergeRule::Set, (2, 5))],
    ..PLAIN
};

static VERSIONS: [&ModelSchema; 5] = [&V1, &V2, &V3, &V4, &V5];

fn text(text: &str) -> ValueRef<'static> {
    ValueRef::Text(text.to_owned().into())
}

/// The columns that an op of a version carries which inserts these values.
fn create(schema: &'static ModelSchema, values: &[ValueRef<'static>]) -> Vec<(OpColumn, ValueRef<'static>)> {
    let columns = schema.columns.iter().map(|column| (rule_tag(column.rule), column.op_name));
    let forms = Forms::new(schema);
    let older = forms.of_create(values);
    let mut values = values.to_vec();
    // What older apps read as a value is what the counter begins with.
    forms.counters_with_base().for_each(|column| values[column] = ValueRef::Integer(0));
    columns.zip(values).chain(older.columns.into_iter().zip(older.values)).collect()
}

/// What a version reads of an op of another one: for each of its columns the values that it is given.
fn read(schema: &'static ModelSchema, op: &[(OpColumn, ValueRef<'static>)], version: u32) -> Vec<Vec<Value>> {
    let forms = Forms::new(schema);
    let mut read = vec![Vec::new(); schema.columns.len()];
    for ((rule, name), value) in op {
        match forms.target(&ShapeColumn { rule: *rule, name }, OpKind::Create, version) {
            Some(Target::Column(column)) if forms.counters_with_base().any(|counter| counter == column) => {
                assert_eq!(*value, ValueRef::Integer(0));
            }
            Some(Target::Column(column)) => read[column].push(value.clone().into_owned()),
            Some(Target::Older(older)) => {
                if let Ok(Some((Arrives::Column(column) | Arrives::Base(column), value))) = forms.convert(older, value)
                {
                    read[column].push(value);
                }
            }
            Some(Target::Elements(_) | Target::Nowhere) | None => {}
        }
    }
    read
}

#[test]
fn every_version_finds_each_of_its_columns_once_in_a_create_of_any_other() {
    let rows: [Vec<ValueRef<'static>>; 5] = [
        vec![text("milk"), ValueRef::Integer(7), ValueRef::Integer(0), ValueRef::Integer(3)],
        vec![text("milk"), ValueRef::Integer(7), ValueRef::Integer(0), ValueRef::Integer(3)],
        vec![text("milk"), text("7"), ValueRef::Integer(3)],
        vec![text("milk"), text("7"), ValueRef::Integer(3)],
        vec![text("milk"), text("7"), ValueRef::Integer(3)],
    ];
    for (writer, row) in VERSIONS.iter().zip(&rows) {
        let op = create(writer, row);
        for (reader, own) in VERSIONS.iter().zip(&rows) {
            let mut expected: Vec<Vec<Value>> = own.iter().map(|value| vec![value.clone().into_owned()]).collect();
            if reader.version < 3 && writer.version >= 3 {
                // What older peers are told of `urgent`, which the writer has no more.
                expected[2] = vec![Value::Integer(1)];
            }
            let found = read(reader, &op, writer.version);
            assert_eq!(found, expected, "version {} reads version {}", reader.version, writer.version);
        }
    }
}

#[test]
fn a_value_for_older_apps_is_no_news_to_newer_ones_and_an_unknown_column_is() {
    let forms = Forms::new(&V5);
    let target = |rule, name, version| forms.target(&ShapeColumn { rule, name }, OpKind::Update, version);
    assert!(matches!(target(RuleTag::LWW, "points", 2), Some(Target::Older(_))));
    for (name, version) in [("points", 3), ("points", 9), ("rank", 4), ("likes", 5), ("urgent", 1), ("urgent", 5)] {
        assert_eq!(target(RuleTag::LWW, name, version), Some(Target::Nowhere), "{name} of version {version}");
    }
    let inserted = |name| forms.target(&ShapeColumn { rule: RuleTag::LWW, name }, OpKind::Create, 5);
    assert!(matches!(inserted("likes"), Some(Target::Older(_))), "what a counter begins with is a value to all");
    assert_eq!(inserted("rank"), Some(Target::Nowhere));
    assert_eq!(target(RuleTag::SET, "tags", 4), Some(Target::Nowhere));
    assert_eq!(target(RuleTag::MAP, "tags", 6), None, "what a newer app may have made of it");
    assert_eq!(target(RuleTag::LWW, "name", 1), Some(Target::Column(0)));
    assert_eq!(target(RuleTag::LWW, "name", 7), Some(Target::Column(0)));
    assert_eq!(target(RuleTag::COUNTER, "likes", 7), Some(Target::Column(2)));
    for (rule, name) in [(RuleTag::LWW, "title"), (RuleTag::LWW, "rank@6"), (RuleTag::from_u8(77), "likes")] {
        assert_eq!(target(rule, name, 6), None, "{name}");
    }
    // An app that has `points` still takes what newer ones say of it.
    let old = Forms::new(&V2);
    assert_eq!(
        old.target(&ShapeColumn { rule: RuleTag::LWW, name: "points" }, OpKind::Update, 5),
        Some(Target::Column(1))
    );
    assert_eq!(old.target(&ShapeColumn { rule: RuleTag::LWW, name: "rank" }, OpKind::Update, 5), None);
}

#[test]
fn an_update_carries_what_it_changed_for_older_apps_and_nothing_else() {
    let forms = Forms::new(&V5);
    let row = [text("milk"), text("8"), ValueRef::Integer(4)];
    let carried = |columns: &[usize]| {
        let older = forms.of_update(columns, &row);
        older.columns.into_iter().map(|(_, name)| name).zip(older.values).collect::<Vec<_>>()
    };
    assert_eq!(carried(&[0]), []);
    assert_eq!(carried(&[1]), [("rank", text("8")), ("points", ValueRef::Integer(8))]);
    assert_eq!(carried(&[0, 2]), [("likes", ValueRef::Integer(4))]);
    assert_eq!(Forms::new(&V3).of_update(&[1], &[text("milk"), text("8"), ValueRef::Integer(4)]).columns.len(), 1);
}

#[test]
fn a_conversion_that_panics_refuses_or_makes_what_does_not_fit_has_no_effect() {
    // Version 1 has no number to read where version 5 wrote words; version 3 has the words.
    let op = create(&V5, &[text("milk"), text("first"), ValueRef::Integer(3)]);
    assert_eq!(read(&V1, &op, 5)[1], []);
    assert_eq!(read(&V3, &op, 5)[1], [Value::Text("first".into())]);
    // What a column of the writer's version can't hold was never in it.
    let forms = Forms::new(&V5);
    let points = |value| {
        let named = ShapeColumn { rule: RuleTag::LWW, name: "points" };
        let Some(Target::Older(older)) = forms.target(&named, OpKind::Update, 1) else {
            panic!("an older form");
        };
        forms.convert(older, &value).map_err(|error| error.to_string())
    };
    assert_eq!(points(text("7")), Ok(None));
    assert_eq!(points(ValueRef::Null), Ok(None));
    assert_eq!(points(ValueRef::Integer(7)), Ok(Some((Arrives::Column(1), Value::Text("7".into())))));

    static FAILING: ModelSchema = ModelSchema {
        version: 2,
        columns: &[ColumnSchema::lww::<i64>("points", "points").was(
            "points@2",
            &[Past::column::<i64>(
                ("points", "points"),
                MergeRule::Lww,
                (1, 2),
                Change::Upgraded {
                    with: |value| match value {
                        ValueRef::Integer(0) => Err(ValueError::Nan),
                        ValueRef::Integer(1) => panic!("not one"),
                        ValueRef::Integer(2) => panic!("not {}", 2),
                        ValueRef::Integer(3) => Ok(Value::Null),
                        other => Ok(other.into_owned()),
                    },
                    back: None,
                },
            )],
        )],
        ..PLAIN
    };
    let forms = Forms::new(&FAILING);
    let outcome = |value| forms.convert(0, &ValueRef::Integer(value)).map_err(|error| error.to_string());
    assert!(outcome(0).unwrap_err().contains("NaN"));
    assert!(outcome(1).unwrap_err().contains("panicked: not one"));
    assert!(outcome(2).unwrap_err().contains("panicked: not 2"));
    assert_eq!(outcome(3), Ok(None));
    assert_eq!(outcome(4), Ok(Some((Arrives::Column(0), Value::Integer(4)))));
}

#[test]
fn what_leads_back_no_further_ends_there_unless_older_apps_can_do_without() {
    const fn forms(nullable: bool) -> [Past; 2] {
        let (with, back): (Convert, Convert) = (|value| Ok(value.into_owned()), |_| Ok(Value::Integer(5)));
        [
            Past {
                nullable,
                ..Past::column::<i64>(("n", "n@2"), MergeRule::Lww, (2, 3), Change::Upgraded { with, back: None })
            },
            Past::column::<i64>(("n", "n"), MergeRule::Lww, (1, 2), Change::Upgraded { with, back: Some(back) }),
        ]
    }
    static OPTIONAL: ModelSchema =
        ModelSchema { version: 3, columns: &[ColumnSchema::lww::<i64>("n", "n").was("n@3", &forms(true))], ..PLAIN };
    static REQUIRED: ModelSchema =
        ModelSchema { version: 3, columns: &[ColumnSchema::lww::<i64>("n", "n").was("n@3", &forms(false))], ..PLAIN };
    // Version 2 reads nothing, which version 1 knows as 5.
    let carried = Forms::new(&OPTIONAL).of_create(&[ValueRef::Integer(9)]);
    assert_eq!((carried.columns, carried.values), (vec![(RuleTag::LWW, "n")], vec![ValueRef::Integer(5)]));
    assert!(Forms::new(&OPTIONAL).of_update(&[0], &[ValueRef::Integer(9)]).columns.is_empty());
    assert!(Forms::new(&REQUIRED).of_create(&[ValueRef::Integer(9)]).columns.is_empty());
}

#[test]
fn entries_of_any_version_are_told_in_the_terms_of_the_model() {
    let forms = Forms::new(&V5);
    let told = |data: &[(&str, OpData)], version| {
        let data = data.iter().map(|(name, data)| ((*name).to_owned(), data.clone())).collect();
        forms.translated(data, OpKind::Update, version)
    };
    let write = |value: &str| OpData::Write(Value::Text(value.to_owned()));
    let number = |value| OpData::Write(Value::Integer(value));
    assert_eq!(
        told(&[("name", write("milk")), ("points", number(7)), ("urgent", number(0))], 1),
        [("title".to_owned(), write("milk")), ("rank".to_owned(), write("7"))]
    );
    // The same op also says what it is to older versions.
    assert_eq!(
        told(&[("rank@4", write("8")), ("likes", OpData::Add(1)), ("rank", write("8")), ("likes", number(4))], 5),
        [("rank".to_owned(), write("8")), ("likes".to_owned(), OpData::Add(1))]
    );
    assert_eq!(told(&[("unknown", number(1)), ("tags", OpData::Elements(Vec::new()))], 4), []);
}

#[test]
fn a_model_without_history_carries_nothing_for_others() {
    let forms = Forms::new(&V1);
    assert!(forms.are_the_same() && forms.names_bytes() == 0);
    assert!(Forms::new(&V2).are_the_same(), "a rename is nothing to ops");
    assert!(forms.of_create(&[]).columns.is_empty() && forms.of_update(&[0], &[]).columns.is_empty());
}
