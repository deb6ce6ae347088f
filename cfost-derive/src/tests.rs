//! What the derives write, as snapshots: the input, then the code.

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::ctxt::Ctxt;
use crate::ir::forms::{Form, Lines};
use crate::ir::model::Model;
use crate::{attr, check, expand};

/// The input and its expansion, formatted.
fn shown(input: &str, derive: impl Fn(&DeriveInput) -> TokenStream) -> String {
    let parsed = syn::parse_str(input).expect("the test's input parses");
    let code = derive(&parsed).to_string();
    let file = syn::parse_str(&code).unwrap_or_else(|error| panic!("{error} in {code}"));
    format!("{}\n\n// expands to\n\n{}", input.trim(), prettyplease::unparse(&file))
}

macro_rules! snapshot {
    ($test:ident, $derive:ident, $input:literal) => {
        #[test]
        fn $test() {
            insta::with_settings!({ omit_expression => true }, {
                insta::assert_snapshot!(shown($input, expand::$derive));
            });
        }
    };
}

snapshot!(
    the_readmes_model,
    synced,
    r#"
#[synced(table = "todos", version = 1)]
pub struct Todo {
    #[synced(id)]
    pub id: Uuid,
    pub title: String,
    pub completed: bool,
    #[crdt(counter)]
    pub votes: i64,
    #[crdt(set)]
    pub tags: BTreeSet<String>,
}
"#
);

snapshot!(
    fields_that_came_later_are_after_those_before_them,
    synced,
    r#"
#[synced(version = 3)]
struct Todo {
    #[synced(since = 3, backfill = true)]
    open: bool,
    #[synced(since = 2)]
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[synced(id)]
    id: Uuid,
    #[synced(since = 2)]
    note: Option<String>,
    title: String,
}
"#
);

snapshot!(
    every_rule_and_reference,
    synced,
    r#"
#[synced(delete = wins, history, index(project, r#in))]
struct Task {
    #[synced(id(from(project, r#in)))]
    id: TaskId,
    #[synced(references = crate::Project, on_delete = cascade, index)]
    project: Uuid,
    #[synced(references = Self)]
    parent: Option<TaskId>,
    #[synced(references = User, on_delete = keep, immutable)]
    author: Uuid,
    r#in: String,
    #[synced(search)]
    title: Option<String>,
    #[crdt(set)]
    #[synced(index, column = "labels")]
    tags: BTreeSet<Tag>,
    #[crdt(map)]
    scores: BTreeMap<String, i64>,
    #[crdt(list)]
    steps: List<String>,
    #[crdt(text)]
    #[synced(search)]
    notes: Text,
}
"#
);

snapshot!(
    each_row_is_a_space,
    synced,
    r#"
#[synced(table = "lists", space)]
struct TodoList {
    #[synced(id)]
    id: ListId,
    name: String,
}
"#
);

snapshot!(
    rows_in_the_space_that_a_field_names,
    synced,
    r#"
#[synced(table = "todos", space = r#in, version = 2)]
struct Todo {
    #[synced(id(from(r#in, title)))]
    id: Uuid,
    #[synced(references = TodoList, renamed_from("list", in = 2), column = "list_id")]
    r#in: Option<ListId>,
    title: String,
}
"#
);

snapshot!(
    encrypted_fields,
    synced,
    r#"
#[synced(table = "visits", version = 3)]
struct Visit {
    #[synced(id)]
    id: Uuid,
    #[synced(column = "for_patient")]
    patient: Option<PatientId>,
    #[synced(encrypted = patient, renamed_from("finding", in = 2))]
    found: Encrypted<String>,
    #[synced(encrypted, immutable)]
    weight: Encrypted<f64>,
    #[synced(encrypted, since = 3, backfill = -1)]
    pain: Encrypted<i64>,
}
"#
);

snapshot!(
    every_option,
    synced,
    r#"
#[synced(table = "pages", version = 3, crate = crate::facade)]
#[synced(index(parent, r#type), index(title))]
struct WikiPage {
    #[synced(id, column = "page_id")]
    key: PageId,
    #[synced(column = "heading", index)]
    #[crdt(lww)]
    title: String,
    r#type: Option<Kind>,
    parent: Option<PageId>,
    #[synced(default = -7, index)]
    rank: i32,
    #[synced(default = "Draft")]
    state: State,
    #[synced(default = true)]
    visible: bool,
    #[synced(default = -0.0)]
    offset: f64,
    #[synced(default = b"\x00")]
    blob: Vec<u8>,
    #[crdt(counter)]
    views: i32,
    #[synced(skip)]
    cache: Cache,
    #[synced(skip, default = HashMap::<u8, u8>::new())]
    map: HashMap<u8, u8>,
    #[synced(skip, default = { let row = 1; row + 1 })]
    two: u8,
}
"#
);

snapshot!(
    every_change_of_a_field,
    synced,
    r#"
#[synced(version = 4, removed(done: bool = false, in = 2), removed(note, in = 4, since = 2, renamed_from("memo", in = 3)))]
#[synced(removed(#[crdt(set)] labels, in = 2), removed(#[crdt(map)] marks: BTreeMap<String, i64>, in = 4))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(renamed_from("name", in = 2), renamed_from("caption", in = 4))]
    title: String,
    #[synced(since = 3, upgrade(rank, with = level, back = |level: Level| level.rank()))]
    level: Level,
    #[synced(since = 2, upgrade(r#type, in = 3, with = Option::<A, B>::x), upgrade(r#type, in = 4, with = |a: M<A, B>| a.0))]
    r#type: Option<String>,
    #[crdt(counter, changed_from(lww, in = 3))]
    votes: i32,
    #[crdt(text, changed_from(lww, in = 3, back))]
    #[synced(renamed_from("words", in = 4))]
    body: Text,
    #[crdt(set)]
    #[synced(renamed_from("flags", in = 2))]
    tags: BTreeSet<String>,
}
"#
);

snapshot!(a_newtype, synced_value, "struct Cents(i64);");
snapshot!(a_newtype_with_a_named_field, synced_value, "struct TodoId { raw: Uuid }");
snapshot!(
    an_enum,
    synced_value,
    r#"
enum Priority {
    #[synced(rename = "low")]
    Low,
    r#High,
    #[synced(other)]
    Other,
}
"#
);
snapshot!(
    a_failed_model_is_a_stub,
    synced,
    "struct Todo<'a, T: Copy> where T: Send { #[synced(id)] id: TodoId, #[crdt(conter)] votes: i64, t: &'a T }"
);
snapshot!(
    a_stub_keeps_the_columns_that_filters_name,
    synced,
    r#"
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[crdt(sett)]
    tags: BTreeSet<u8>,
    #[synced(idx)]
    title: String,
    #[crdt(list)]
    steps: List<u8>,
    #[crdt(text)]
    notes: Text,
}
"#
);
snapshot!(a_failed_newtype_is_a_stub, synced_value, "#[synced(table = \"x\")] struct TodoId(Uuid);");
snapshot!(a_failed_value_is_a_stub, synced_value, "#[synced(crate = x)] enum Priority { Low }");

/// An app may rename the crate, or have another one that is called `cfost`.
#[test]
fn with_a_path_given_nothing_is_taken_from_a_crate_called_cfost() {
    let model = "#[synced(crate = facade)] struct Todo { #[synced(id)] id: Uuid, #[crdt(counter)] votes: i64 }";
    let broken = "#[synced(crate = facade)] struct Todo { votes: i64 }";
    let newtype = "#[synced(crate = facade)] struct Cents(i64);";
    let variants = "#[synced(crate = \"facade\")] enum Kind { #[synced(other)] Other }";
    type Derive = fn(&DeriveInput) -> TokenStream;
    let cases: [(&str, Derive); 4] = [
        (model, expand::synced),
        (broken, expand::synced),
        (newtype, expand::synced_value),
        (variants, expand::synced_value),
    ];
    for (input, derive) in cases {
        let code = derive(&syn::parse_str(input).unwrap()).to_string();
        assert!(code.contains("facade :: __private"), "{code}");
        assert!(!code.contains("cfost"), "{code}");
    }
}

#[test]
fn a_text_without_the_feature_names_the_feature() {
    let input = syn::parse_str("struct Note { #[synced(id)] id: Uuid, #[crdt(text)] body: Text }").unwrap();
    for there in [true, false] {
        let mut cx = Ctxt::default();
        let model = Model::read(&input, &mut cx).expect("the model is read");
        check::text_is_there(&model.fields[1], there, &mut cx);
        let errors = cx.finish().map(|errors| errors.to_string());
        assert_eq!(errors.is_none(), there);
        let Some(errors) = errors else { continue };
        assert!(errors.contains("'text' needs the feature `text`") && errors.contains("Cargo.toml"), "{errors}");
    }
}

/// The text of a function is recorded in an app's lock, and must not change with rustc.
#[test]
fn a_function_is_shown_as_it_is_written() {
    let written = [
        "parse",
        "crate::rank::of",
        "Option::<i64>::unwrap_or_default",
        "|rank: i64| rank.to_string()",
        "|rank| rank.unwrap_or(-1)",
        "|kg: i64| (kg + 1) as f64 * 2.5",
        "|a: Option<i64>| -> i64 { a.map_or(0, |a| a - 1) }",
        "|_| 0",
        "|all: Map<String, [u8; 2]>| all.len()",
        "|a: i64| a == 1 || a != -1 && !b",
        "|a: Vec<Vec<u8>>| &a[0] == b",
        "move |text: String| text == \"a, b\"",
    ];
    for text in written {
        assert_eq!(attr::shown(&text.parse().expect("the tokens of a function")), text);
    }
}

/// What ops call the columns of a version, as a model tells that is of it or came later.
fn op_names(model: &str, version: u32) -> Vec<(String, String)> {
    let input = syn::parse_str(model).expect("the test's input parses");
    let mut cx = Ctxt::default();
    let mut model = Model::read(&input, &mut cx).expect("the model is read");
    check::model(&mut model, &mut cx);
    assert!(cx.finish().is_none(), "the model has no error");
    let lines = Lines::of(&model);
    let is_there = |form: &&Form<'_>| form.since <= version && form.until.is_none_or(|until| version < until);
    let forms = lines.iter().flat_map(|line| line.forms.iter().filter(is_there));
    let mut names: Vec<_> = forms.map(|form| (form.name.text.clone(), form.op_name.clone())).collect();
    names.sort();
    names
}

#[test]
fn what_a_later_version_adds_never_changes_what_ops_of_an_earlier_one_call_a_column() {
    let versions = [
        "#[synced(version = 1)] struct M { #[synced(id)] id: Uuid, a: i64, b: i64, c: i64, d: i64 }",
        "#[synced(version = 2)] struct M { #[synced(id)] id: Uuid,
            #[synced(upgrade(b, in = 2, with = f, back = g))] a: i64,
            #[synced(upgrade(a, in = 2, with = f, back = g))] b: i64,
            #[synced(renamed_from(\"c\", in = 2))] e: i64,
            d: i64 }",
        "#[synced(version = 3, removed(d: i64 = 0, in = 3))] struct M { #[synced(id)] id: Uuid,
            #[synced(upgrade(b, in = 2, with = f, back = g), renamed_from(\"a\", in = 3))] x: i64,
            #[synced(upgrade(a, in = 2, with = f, back = g), upgrade(b, in = 3, with = f, back = g))] a: i64,
            #[synced(renamed_from(\"c\", in = 2), upgrade(e, in = 3, with = f, back = g))] c: i64,
            #[synced(since = 3, backfill = 0)] y: i64 }",
        "#[synced(version = 4, removed(d: i64 = 0, in = 3))] struct M { #[synced(id)] id: Uuid,
            #[synced(upgrade(b, in = 2, with = f, back = g), renamed_from(\"a\", in = 3))]
            #[synced(upgrade(x, in = 4, with = f, back = g))] d: i64,
            #[synced(upgrade(a, in = 2, with = f, back = g), upgrade(b, in = 3, with = f, back = g))] a: i64,
            #[synced(renamed_from(\"c\", in = 2), upgrade(e, in = 3, with = f, back = g))] c: i64,
            #[synced(since = 3, backfill = 0, renamed_from(\"y\", in = 4))] x: i64 }",
    ];
    let told = |version: u32| {
        let names = op_names(versions[version as usize - 1], version);
        names.iter().map(|(name, op_name)| format!("{name}={op_name}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(1), "a=a b=b c=c d=d");
    assert_eq!(told(2), "a=a@2 b=b@2 d=d e=c");
    assert_eq!(told(3), "a=a@3 c=c@3 x=a@2 y=y");
    assert_eq!(told(4), "a=a@3 c=c@3 d=d@4 x=y");
    for version in 1..=4 {
        for later in version..=4 {
            let names = op_names(versions[later as usize - 1], version);
            assert_eq!(names, op_names(versions[version as usize - 1], version), "{version} as {later} tells it");
        }
    }
}
