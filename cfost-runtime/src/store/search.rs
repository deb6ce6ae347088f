//! Words: an FTS5 index over the columns of a model that are marked `search`.
//!
//! The index `cfost_search_<table>` keeps no copy of the text (it is contentless); `cfost_search_ids_<table>`
//! gives each row the number that FTS5 knows it by. Triggers keep both up with the model's table, so
//! whatever writes a row keeps its words.

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use super::table::quoted;
use crate::schema::ModelSchema;

/// Splits text into words: by Unicode, whatever their case and accents.
const TOKENIZER: &str = "unicode61 remove_diacritics 2";

/// The name of a model's index of words, quoted.
pub(crate) fn index_name(schema: &ModelSchema) -> String {
    quoted(&format!("cfost_search_{}", schema.table))
}

/// The name of the table that has the numbers of a model's rows, quoted.
pub(crate) fn ids_name(schema: &ModelSchema) -> String {
    quoted(&format!("cfost_search_ids_{}", schema.table))
}

/// What FTS5 is asked to find these words in a column; `None` if there are none.
///
/// A word may end in `*`, several may be in quotes. Nothing else has a meaning of its own, so no input is
/// wrong.
pub(crate) fn pattern(column: &str, words: &str) -> Option<String> {
    let mut phrases = Vec::new();
    for (n, part) in words.split('"').enumerate() {
        // Every second part is inside quotes.
        if n % 2 == 1 {
            phrases.extend(phrase(part));
        } else {
            phrases.extend(part.split_whitespace().filter_map(phrase));
        }
    }
    (!phrases.is_empty()).then(|| format!("{} : ({})", quoted(column), phrases.join(" ")))
}

fn phrase(text: &str) -> Option<String> {
    let words = text.trim_end_matches('*');
    // FTS5 takes its text as C does: a NUL would end it.
    let words: String = words.chars().filter(|c| *c != '\0').collect();
    let any = words.chars().any(char::is_alphanumeric);
    any.then(|| format!("\"{words}\"{}", if text.ends_with('*') { " *" } else { "" }))
}

/// Makes the index of a model's words from its rows, if the file's is another one or there is none; drops
/// it if the model has no such columns any more.
pub(super) fn create_or_check(conn: &Connection, schema: &ModelSchema) -> Result<(), StoreError> {
    let definition = definition(schema);
    let stored = stored(conn, schema)?;
    let wanted = (!schema.search.is_empty()).then_some(definition);
    if stored == wanted {
        return Ok(());
    }
    if stored.is_some() {
        conn.execute_batch(&dropped(schema))?;
    }
    if let Some(definition) = wanted {
        conn.execute_batch(&format!("{definition};\n{}{}", filled(schema), followed(schema)))?;
    }
    Ok(())
}

/// Leaves the index of a model's words as it is while its table is changed.
pub(super) fn detach(conn: &Connection, schema: &ModelSchema) -> Result<(), StoreError> {
    Ok(conn.execute_batch(&unfollowed(schema))?)
}

/// The table has been changed, and `keeps_words` says whether each row is still there, with the words that it had:
/// then the index goes on if it is the model's, else it is made anew when it is next asked for.
pub(super) fn attach(conn: &Connection, schema: &ModelSchema, keeps_words: bool) -> Result<(), StoreError> {
    let Some(stored) = stored(conn, schema)? else { return Ok(()) };
    let goes_on = keeps_words && stored == definition(schema);
    Ok(conn.execute_batch(&if goes_on { followed(schema) } else { dropped(schema) })?)
}

/// The statement that made the file's index.
fn stored(conn: &Connection, schema: &ModelSchema) -> Result<Option<String>, StoreError> {
    let mut select = conn.prepare_cached("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    Ok(select.query_row([format!("cfost_search_{}", schema.table)], |row| row.get(0)).optional()?)
}

fn definition(schema: &ModelSchema) -> String {
    format!(
        "CREATE VIRTUAL TABLE {} USING fts5({}, content='', contentless_delete=1, tokenize='{TOKENIZER}')",
        index_name(schema),
        indexed(schema)
    )
}

/// The words of the rows that there are.
fn filled(schema: &ModelSchema) -> String {
    let (index, ids, table) = (index_name(schema), ids_name(schema), quoted(schema.table));
    let id = quoted(schema.id_column);
    let (names, of_row) = (indexed(schema), columns(schema, "t."));
    format!(
        "CREATE TABLE {ids} (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT;
INSERT INTO {ids} (id) SELECT {id} FROM {table} ORDER BY {id};
INSERT INTO {index} (rowid, {names}) SELECT i.number, {of_row} FROM {ids} AS i JOIN {table} AS t ON t.{id} = i.id;
"
    )
}

/// The triggers that keep the index up with the rows.
fn followed(schema: &ModelSchema) -> String {
    let (index, ids, table) = (index_name(schema), ids_name(schema), quoted(schema.table));
    let id = quoted(schema.id_column);
    let [inserted, updated, deleted] = triggers(schema);
    let (names, columns, new) = (indexed(schema), columns(schema, ""), columns(schema, "new."));
    format!(
        "CREATE TRIGGER {inserted} AFTER INSERT ON {table} BEGIN
  INSERT INTO {ids} (id) VALUES (new.{id});
  INSERT INTO {index} (rowid, {names}) SELECT number, {new} FROM {ids} WHERE id = new.{id};
END;
CREATE TRIGGER {updated} AFTER UPDATE OF {columns} ON {table} BEGIN
  INSERT OR REPLACE INTO {index} (rowid, {names}) SELECT number, {new} FROM {ids} WHERE id = new.{id};
END;
CREATE TRIGGER {deleted} AFTER DELETE ON {table} BEGIN
  DELETE FROM {index} WHERE rowid = (SELECT number FROM {ids} WHERE id = old.{id});
  DELETE FROM {ids} WHERE id = old.{id};
END;"
    )
}

fn dropped(schema: &ModelSchema) -> String {
    format!("{}DROP TABLE IF EXISTS {}; DROP TABLE {};", unfollowed(schema), ids_name(schema), index_name(schema))
}

fn unfollowed(schema: &ModelSchema) -> String {
    triggers(schema).map(|trigger| format!("DROP TRIGGER IF EXISTS {trigger};\n")).concat()
}

fn triggers(schema: &ModelSchema) -> [String; 3] {
    ["insert", "update", "delete"].map(|on| quoted(&format!("cfost_search_{}_{on}", schema.table)))
}

/// The columns of the index: by what ops call those of the table, so that it outlives their names.
fn indexed(schema: &ModelSchema) -> String {
    let columns: Vec<String> = schema.search.iter().map(|column| quoted(schema.op_name(column))).collect();
    columns.join(", ")
}

fn columns(schema: &ModelSchema, row: &str) -> String {
    let columns: Vec<String> = schema.search.iter().map(|column| format!("{row}{}", quoted(column))).collect();
    columns.join(", ")
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn no_input_is_a_wrong_search() {
        let of = |words| pattern("title", words);
        assert_eq!(of("buy  milk").unwrap(), r#""title" : ("buy" "milk")"#);
        assert_eq!(of("mil*").unwrap(), r#""title" : ("mil" *)"#);
        assert_eq!(of(r#"a "fresh milk" b"#).unwrap(), r#""title" : ("a" "fresh milk" "b")"#);
        assert_eq!(of("NOT (a) : ^b").unwrap(), r#""title" : ("NOT" "(a)" "^b")"#);
        assert_eq!(of("a\0b").unwrap(), r#""title" : ("ab")"#);
        for nothing in ["", "  ", "* \" \" -- !", "\"\""] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
    }
}
