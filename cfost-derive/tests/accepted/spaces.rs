//! Models whose rows live in other spaces than home.

use cfost::prelude::*;
use cfost::schema::Placement;

#[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ListId(Uuid);

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(space)]
struct TodoList {
    #[synced(id)]
    id: ListId,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(version = 2, space = list)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    /// Renamed, called otherwise in the table, and a reference, all at once.
    #[synced(references = TodoList, on_delete = cascade, index, renamed_from("list", in = 2), column = "list_id")]
    list: Option<ListId>,
    title: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(space = r#in)]
struct Label {
    #[synced(id(from(name, r#in)))]
    id: Uuid,
    #[synced(immutable)]
    r#in: Uuid,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
struct Setting {
    #[synced(id)]
    id: Uuid,
    space: Uuid,
}

#[test]
fn a_model_says_which_space_its_rows_live_in() {
    assert_eq!(TodoList::SCHEMA.space, Placement::Row);
    assert_eq!(Todo::SCHEMA.space, Placement::Column("list_id"), "the column's name, and not the field's");
    assert_eq!(Label::SCHEMA.space, Placement::Column("in"));
    assert_eq!(Setting::SCHEMA.space, Placement::Home, "the name of a field says nothing");
}

#[test]
fn the_column_that_names_the_space_keeps_its_value_without_a_word() {
    let keeps = |schema: &'static cfost::schema::ModelSchema| -> Vec<&str> {
        schema.columns.iter().filter(|column| schema.keeps(column)).map(|column| column.name).collect()
    };
    assert_eq!(keeps(Todo::SCHEMA), ["list_id"]);
    assert_eq!(keeps(Label::SCHEMA), ["in", "name"]);
    assert!(Todo::SCHEMA.columns.iter().any(|column| column.name == "list_id" && column.immutable));
}
