//! Queries as SQL. Values are always bound, never written into the text: queries of one shape share a
//! prepared statement.

mod page;

use super::ast::{Comparison, ElementColumn, Given, Node, Place, Spec, Term};
use crate::error::{Error, Result};
use crate::schema::{ModelSchema, Value};
use crate::store::{quoted, search};
use page::keys;

/// The most values that a statement is given: what SQLite takes, but for what the query adds itself.
const VALUES_MAX: usize = 32_000;

/// A statement with its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

/// What a statement returns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output<'a> {
    /// The stored columns in the model's order, then the id.
    Rows,
    /// The ids.
    Ids,
    /// How many rows there are.
    Count,
    /// A row if any is found.
    Exists,
    /// A row if any of these is among those found, were there no limit.
    Among(&'a [uuid::Uuid]),
    /// The stored columns, then the id, of those of these that are found, were there no limit.
    RowsAmong(&'a [uuid::Uuid]),
}

/// The statement of a query.
///
/// # Errors
/// For a value that can't be stored, a search in a column without an index of its words, too many values.
pub(crate) fn statement(spec: &Spec, output: Output<'_>) -> Result<Statement> {
    let mut writer = Writer::default();
    writer.output(spec, output)?;
    let values = writer.statement.values.len();
    if values > VALUES_MAX {
        return Err(Error::QueryTooLarge { model: spec.schema.model, values, values_max: VALUES_MAX });
    }
    Ok(writer.statement)
}

#[derive(Default)]
struct Writer {
    statement: Statement,
    aliases: usize,
}

/// The row that a term is about.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// A row that the statement goes through, by its table's alias.
    Row { alias: usize, schema: &'static ModelSchema },
    /// A row whose values are known.
    Given { row: &'a Given, schema: &'static ModelSchema },
}

impl Scope<'_> {
    const fn schema(&self) -> &'static ModelSchema {
        match self {
            Self::Row { schema, .. } | Self::Given { schema, .. } => schema,
        }
    }
}

impl Writer {
    fn output(&mut self, spec: &Spec, output: Output<'_>) -> Result<()> {
        let scope = self.scope(spec.schema);
        let limited = spec.limit.is_some() || spec.offset > 0;
        match output {
            Output::Rows | Output::RowsAmong(_) => {
                self.push("SELECT ");
                for column in spec.schema.columns {
                    self.column(scope, column.name)?;
                    self.push(", ");
                }
                self.column(scope, spec.schema.id_column)?;
            }
            Output::Ids => {
                self.push("SELECT ");
                self.column(scope, spec.schema.id_column)?;
            }
            Output::Count if limited => self.push("SELECT count(*) FROM (SELECT 1"),
            Output::Count => self.push("SELECT count(*)"),
            Output::Exists | Output::Among(_) => self.push("SELECT 1"),
        }
        self.from(spec, scope)?;
        match output {
            Output::Among(ids) | Output::RowsAmong(ids) => {
                self.push(" AND ");
                self.column(scope, spec.schema.id_column)?;
                self.list(ids.iter().map(|id| Value::Blob(id.as_bytes().to_vec())).collect());
            }
            _ => {}
        }
        match output {
            Output::Rows | Output::Ids => {
                if !spec.is_unordered() {
                    self.order(spec, scope)?;
                }
                self.limits(spec);
            }
            Output::Count | Output::Exists if limited => self.limits(spec),
            Output::Count | Output::RowsAmong(_) => {}
            Output::Exists | Output::Among(_) => self.push(" LIMIT 1"),
        }
        if limited && matches!(output, Output::Count) {
            self.push(")");
        }
        Ok(())
    }

    /// From `FROM` to the end of the conditions.
    fn from(&mut self, spec: &Spec, scope: Scope<'_>) -> Result<()> {
        let Scope::Row { alias, .. } = scope else { return Ok(()) };
        self.push(&format!(" FROM {} AS t{alias} WHERE ", quoted(spec.schema.table)));
        self.nodes(scope, &spec.filters, " AND ", "1")?;
        if let Some(after) = &spec.after {
            self.push(" AND ");
            self.after(spec, scope, after)?;
        }
        Ok(())
    }

    fn limits(&mut self, spec: &Spec) {
        if spec.limit.is_none() && spec.offset == 0 {
            return;
        }
        let number = |rows: u64| Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX));
        self.push(" LIMIT ");
        // SQLite reads a negative limit as none.
        self.bind(spec.limit.map_or(Value::Integer(-1), number));
        if spec.offset > 0 {
            self.push(" OFFSET ");
            self.bind(number(spec.offset));
        }
    }

    fn order(&mut self, spec: &Spec, scope: Scope<'_>) -> Result<()> {
        for (n, key) in keys(spec).iter().enumerate() {
            self.push(if n == 0 { " ORDER BY " } else { ", " });
            self.term(scope, &key.term)?;
            if key.descending {
                self.push(" DESC");
            }
        }
        Ok(())
    }

    /// Conditions with a word between them, as a balanced tree: SQLite bounds the depth of an expression.
    fn nodes(&mut self, scope: Scope<'_>, nodes: &[Node], word: &str, none: &str) -> Result<()> {
        match nodes {
            [] => self.push(none),
            [node] => return self.node(scope, node),
            nodes if nodes.len() < 8 => {
                for (n, node) in nodes.iter().enumerate() {
                    self.push(if n == 0 { "" } else { word });
                    self.operand(scope, node)?;
                }
            }
            nodes => {
                let (left, right) = nodes.split_at(nodes.len() / 2);
                self.push("(");
                self.nodes(scope, left, word, none)?;
                self.push(&format!("){word}("));
                self.nodes(scope, right, word, none)?;
                self.push(")");
            }
        }
        Ok(())
    }

    /// A condition between `AND`s or `OR`s.
    fn operand(&mut self, scope: Scope<'_>, node: &Node) -> Result<()> {
        let alone = !matches!(node, Node::All(_) | Node::Any(_) | Node::Between(..) | Node::Contains(..));
        if alone {
            return self.node(scope, node);
        }
        self.push("(");
        self.node(scope, node)?;
        self.push(")");
        Ok(())
    }

    fn node(&mut self, scope: Scope<'_>, node: &Node) -> Result<()> {
        match node {
            Node::Compare(left, comparison, right) => self.compare(scope, left, *comparison, right),
            Node::In(term, values) => self.is_in(scope, term, values),
            Node::Between(term, low, high) => {
                self.term(scope, term)?;
                self.push(" BETWEEN ");
                self.term(scope, low)?;
                self.push(" AND ");
                self.term(scope, high)
            }
            Node::Like(term, pattern) => {
                self.term(scope, term)?;
                self.push(" LIKE ");
                self.bind(Value::Text(pattern.clone()));
                Ok(())
            }
            Node::Contains(term, place, text) => self.contains(scope, term, *place, text),
            Node::Null(term) => {
                self.term(scope, term)?;
                self.push(" IS NULL");
                Ok(())
            }
            Node::All(nodes) => self.nodes(scope, nodes, " AND ", "1"),
            Node::Any(nodes) => self.nodes(scope, nodes, " OR ", "0"),
            Node::Not(node) => self.not(scope, node),
            Node::Element { collection, column, value } => self.element(scope, collection, *column, value),
            Node::Words { column, words } => self.words(scope, column, words),
            Node::Parent { column, parent, node } => self.parent(scope, column, parent, node),
            Node::Children { id, column, spec } => self.children(scope, id, column, spec),
        }
    }

    fn not(&mut self, scope: Scope<'_>, node: &Node) -> Result<()> {
        if let Node::Null(term) = node {
            self.term(scope, term)?;
            self.push(" IS NOT NULL");
            return Ok(());
        }
        // What SQL leaves open doesn't hold, so its opposite does.
        self.push("(");
        self.node(scope, node)?;
        self.push(") IS NOT TRUE");
        Ok(())
    }

    fn compare(&mut self, scope: Scope<'_>, left: &Term, comparison: Comparison, right: &Term) -> Result<()> {
        self.term(scope, left)?;
        self.push(match (comparison, right) {
            (Comparison::Equal, Term::Value(Value::Null)) => " IS ",
            (Comparison::Equal, Term::Value(_)) => " = ",
            (Comparison::Equal, _) => " IS ",
            (Comparison::Different, _) => " IS NOT ",
            (Comparison::Less, _) => " < ",
            (Comparison::LessOrEqual, _) => " <= ",
            (Comparison::Greater, _) => " > ",
            (Comparison::GreaterOrEqual, _) => " >= ",
        });
        self.term(scope, right)
    }

    fn is_in(&mut self, scope: Scope<'_>, term: &Term, values: &[Value]) -> Result<()> {
        let known: Vec<Value> = values.iter().filter(|value| **value != Value::Null).cloned().collect();
        let null = known.len() < values.len();
        if known.is_empty() && !null {
            self.push("0");
            return Ok(());
        }
        self.push("(");
        if null {
            self.term(scope, term)?;
            self.push(" IS NULL");
        }
        if !known.is_empty() {
            self.push(if null { " OR " } else { "" });
            self.term(scope, term)?;
            self.list(known);
        }
        self.push(")");
        Ok(())
    }

    /// `IN (..)`. The number of marks is a power of two, the last value filling up: so that lists of many
    /// lengths share few statements.
    fn list(&mut self, values: Vec<Value>) {
        let marks = values.len().next_power_of_two().min(values.len().max(VALUES_MAX / 2));
        let last = values.last().cloned();
        self.push(" IN (");
        let filled = values.into_iter().map(Some).chain(std::iter::repeat(last)).take(marks).flatten();
        for (n, value) in filled.enumerate() {
            self.push(if n == 0 { "" } else { ", " });
            self.bind(value);
        }
        self.push(")");
    }

    fn contains(&mut self, scope: Scope<'_>, term: &Term, place: Place, text: &str) -> Result<()> {
        if text.is_empty() {
            self.term(scope, term)?;
            self.push(" IS NOT NULL");
            return Ok(());
        }
        match place {
            Place::Anywhere => {
                self.push("instr(");
                self.term(scope, term)?;
                self.push(", ");
                self.bind(Value::Text(text.to_owned()));
                self.push(") > 0");
            }
            Place::AnywhereIgnoringCase => {
                self.push("cfost_contains(");
                self.term(scope, term)?;
                self.push(", ");
                self.bind(Value::Text(text.to_lowercase()));
                self.push(")");
            }
            Place::Start => {
                self.term(scope, term)?;
                self.push(" >= ");
                self.bind(Value::Text(text.to_owned()));
                if let Some(end) = end_of_prefix(text) {
                    self.push(" AND ");
                    self.term(scope, term)?;
                    self.push(" < ");
                    self.bind(Value::Text(end));
                }
            }
            Place::End => {
                self.push("substr(");
                self.term(scope, term)?;
                self.push(", -");
                self.bind(Value::Integer(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)));
                self.push(") = ");
                self.bind(Value::Text(text.to_owned()));
            }
        }
        Ok(())
    }

    fn element(
        &mut self,
        scope: Scope<'_>,
        collection: &'static str,
        column: ElementColumn,
        value: &Term,
    ) -> Result<()> {
        let schema = scope.schema();
        let table = elements_table(schema, collection);
        let column = match column {
            ElementColumn::Element => "element",
            ElementColumn::Key => "key",
            ElementColumn::Value => "value",
        };
        let alias = self.alias();
        let indexed = schema.collections.iter().any(|it| it.name == collection && it.indexed);
        // With an index over the elements the rows are found by it; else each row's elements are looked at.
        if indexed && matches!(value, Term::Value(_)) {
            self.column(scope, schema.id_column)?;
            self.push(&format!(" IN (SELECT t{alias}.row FROM {table} AS t{alias} WHERE t{alias}.{column} IS "));
        } else {
            self.push(&format!("EXISTS (SELECT 1 FROM {table} AS t{alias} WHERE t{alias}.row = "));
            self.column(scope, schema.id_column)?;
            self.push(&format!(" AND t{alias}.{column} IS "));
        }
        self.term(scope, value)?;
        self.push(")");
        Ok(())
    }

    fn words(&mut self, scope: Scope<'_>, column: &'static str, words: &str) -> Result<()> {
        let schema = scope.schema();
        if !schema.search.contains(&column) {
            let field = schema.columns.iter().find(|known| known.name == column).map_or(column, |known| known.field);
            return Err(Error::NotSearchable { model: schema.model, field });
        }
        let Some(pattern) = search::pattern(schema.op_name(column), words) else {
            self.push("0");
            return Ok(());
        };
        let (index, ids) = (search::index_name(schema), search::ids_name(schema));
        let alias = self.alias();
        self.column(scope, schema.id_column)?;
        self.push(&format!(
            " IN (SELECT t{alias}.id FROM {index} JOIN {ids} AS t{alias} ON t{alias}.number = {index}.rowid \
             WHERE {index} MATCH "
        ));
        self.bind(Value::Text(pattern));
        self.push(")");
        Ok(())
    }

    fn parent(
        &mut self,
        scope: Scope<'_>,
        column: &'static str,
        parent: &'static ModelSchema,
        node: &Node,
    ) -> Result<()> {
        let inner = self.scope(parent);
        let Scope::Row { alias, .. } = inner else { return Ok(()) };
        let table = quoted(parent.table);
        if matches!(node, Node::All(nodes) if nodes.is_empty()) {
            self.push(&format!("EXISTS (SELECT 1 FROM {table} AS t{alias} WHERE "));
            self.column(inner, parent.id_column)?;
            self.push(" = ");
            self.column(scope, column)?;
        } else {
            self.column(scope, column)?;
            self.push(" IN (SELECT ");
            self.column(inner, parent.id_column)?;
            self.push(&format!(" FROM {table} AS t{alias} WHERE "));
            self.node(inner, node)?;
        }
        self.push(")");
        Ok(())
    }

    fn children(&mut self, scope: Scope<'_>, id: &'static str, column: &'static str, spec: &Spec) -> Result<()> {
        let inner = self.scope(spec.schema);
        self.column(scope, id)?;
        self.push(" IN (SELECT ");
        self.column(inner, column)?;
        self.from(spec, inner)?;
        if spec.limit.is_some() || spec.offset > 0 {
            self.order(spec, inner)?;
            self.limits(spec);
        }
        self.push(")");
        Ok(())
    }

    fn term(&mut self, scope: Scope<'_>, term: &Term) -> Result<()> {
        match term {
            Term::Column(name) => self.column(scope, name),
            Term::Value(value) => {
                self.bind(value.clone());
                Ok(())
            }
            Term::Key { map, key } => {
                let (table, alias) = (elements_table(scope.schema(), map), self.alias());
                self.push(&format!("(SELECT t{alias}.value FROM {table} AS t{alias} WHERE t{alias}.row = "));
                self.column(scope, scope.schema().id_column)?;
                self.push(&format!(" AND t{alias}.key = "));
                self.term(scope, key)?;
                self.push(")");
                Ok(())
            }
            Term::Count(collection) => {
                let (table, alias) = (elements_table(scope.schema(), collection), self.alias());
                self.push(&format!("(SELECT count(*) FROM {table} AS t{alias} WHERE t{alias}.row = "));
                self.column(scope, scope.schema().id_column)?;
                self.push(")");
                Ok(())
            }
            Term::Parent { column, parent, term } => {
                let inner = self.scope(parent);
                let Scope::Row { alias, .. } = inner else { return Ok(()) };
                self.push("(SELECT ");
                self.term(inner, term)?;
                self.push(&format!(" FROM {} AS t{alias} WHERE ", quoted(parent.table)));
                self.column(inner, parent.id_column)?;
                self.push(" = ");
                self.column(scope, column)?;
                self.push(")");
                Ok(())
            }
            Term::Unstorable { column, source } => {
                let schema = scope.schema();
                let columns = schema.columns.iter().map(|it| (it.name, it.field));
                let mut fields = columns.chain(schema.collections.iter().map(|it| (it.name, it.field)));
                let field = fields.find(|(name, _)| name == column).map_or(*column, |(_, field)| field);
                Err(Error::Unstorable { model: schema.model, field, source: source.clone() })
            }
        }
    }

    /// A column of the row, or its value if that is known.
    fn column(&mut self, scope: Scope<'_>, name: &'static str) -> Result<()> {
        match scope {
            Scope::Row { alias, .. } => self.push(&format!("t{alias}.{}", quoted(name))),
            Scope::Given { row, schema } if name == schema.id_column => self.bind(row.id.clone()),
            Scope::Given { row, schema } => {
                let values = row.columns.as_ref().map_err(|(field, source)| Error::Unstorable {
                    model: schema.model,
                    field,
                    source: source.clone(),
                })?;
                let place = schema.columns.iter().position(|column| column.name == name);
                self.bind(place.and_then(|place| values.get(place)).cloned().unwrap_or(Value::Null));
            }
        }
        Ok(())
    }

    fn scope(&mut self, schema: &'static ModelSchema) -> Scope<'static> {
        Scope::Row { alias: self.alias(), schema }
    }

    fn alias(&mut self) -> usize {
        self.aliases += 1;
        self.aliases - 1
    }

    fn push(&mut self, sql: &str) {
        self.statement.sql.push_str(sql);
    }

    fn bind(&mut self, value: Value) {
        self.statement.sql.push('?');
        self.statement.values.push(value);
    }
}

/// The table of a collection's elements.
fn elements_table(schema: &'static ModelSchema, collection: &str) -> String {
    quoted(&format!("{}_{collection}", schema.table))
}

/// The least text that is greater than all that begin with `prefix`, by UTF-8 bytes, which is the order of
/// the characters' numbers; `None` if there is none.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Between these two numbers there are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_with_a_prefix_is_below_the_end_of_the_prefix() {
        assert_eq!(end_of_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(end_of_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(end_of_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of_prefix("\u{10ffff}"), None);
        for prefix in ["a", "é", "\u{d7ff}", "z\u{10ffff}", "😀"] {
            let end = end_of_prefix(prefix).unwrap();
            for rest in ["", "a", "\u{10ffff}\u{10ffff}"] {
                let text = format!("{prefix}{rest}");
                assert!(text.as_str() >= prefix && text < end, "{text:?} < {end:?}");
            }
        }
    }
}
