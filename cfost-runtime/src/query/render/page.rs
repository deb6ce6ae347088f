//! Orders, and the pages that follow a row by them.

use super::{Scope, Writer};
use crate::error::Result;
use crate::query::ast::{Given, Key, Spec, Term};
use crate::schema::ModelSchema;

impl Writer {
    /// The rows that follow a given one.
    pub(super) fn after(&mut self, spec: &Spec, scope: Scope<'_>, row: &Given) -> Result<()> {
        let keys = keys(spec);
        let given = Scope::Given { row, schema: spec.schema };
        let first = &keys[0];
        if keys.iter().all(|key| key.descending == first.descending && never_null(&key.term, spec.schema)) {
            // One comparison of tuples, which SQLite finds in an index.
            let comparison = if first.descending { ") < (" } else { ") > (" };
            self.push("(");
            self.separated(&keys, |writer, key| writer.term(scope, &key.term))?;
            self.push(comparison);
            self.separated(&keys, |writer, key| writer.term(given, &key.term))?;
            self.push(")");
            return Ok(());
        }
        if never_null(&first.term, spec.schema) {
            // What follows from the rest, said first for the index.
            self.term(scope, &first.term)?;
            self.push(if first.descending { " <= " } else { " >= " });
            self.term(given, &first.term)?;
            self.push(" AND ");
        }
        self.follows(scope, given, &keys)
    }

    /// Beyond the given row by the first key; or level with it, and beyond it by the others.
    fn follows(&mut self, scope: Scope<'_>, given: Scope<'_>, keys: &[Key]) -> Result<()> {
        let Some((key, rest)) = keys.split_first() else {
            self.push("0");
            return Ok(());
        };
        self.push("(");
        self.term(scope, &key.term)?;
        self.push(if key.descending { " < " } else { " > " });
        self.term(given, &key.term)?;
        if !never_null(&key.term, scope.schema()) {
            // NULL comes before everything else.
            let (null, other) = if key.descending { (scope, given) } else { (given, scope) };
            self.push(" OR (");
            self.term(null, &key.term)?;
            self.push(" IS NULL AND ");
            self.term(other, &key.term)?;
            self.push(" IS NOT NULL)");
        }
        self.push(" OR (");
        self.term(scope, &key.term)?;
        self.push(" IS ");
        self.term(given, &key.term)?;
        self.push(" AND ");
        self.follows(scope, given, rest)?;
        self.push("))");
        Ok(())
    }

    fn separated(&mut self, keys: &[Key], mut each: impl FnMut(&mut Self, &Key) -> Result<()>) -> Result<()> {
        for (n, key) in keys.iter().enumerate() {
            self.push(if n == 0 { "" } else { ", " });
            each(self, key)?;
        }
        Ok(())
    }
}

/// The query's order down to the id, which decides what its keys leave open, in the direction of the last
/// of them: an index over that column has the ids in its order too.
pub(super) fn keys(spec: &Spec) -> Vec<Key> {
    let mut keys = spec.order.clone();
    let is_id = |term: &Term| matches!(term, Term::Column(name) if *name == spec.schema.id_column);
    if let Some(id) = keys.iter().position(|key| is_id(&key.term)) {
        keys.truncate(id + 1);
    } else {
        let descending = keys.last().is_some_and(|key| key.descending);
        keys.push(Key { term: Term::Column(spec.schema.id_column), descending });
    }
    keys
}

/// Whether the term is a column that has a value in every row.
fn never_null(term: &Term, schema: &'static ModelSchema) -> bool {
    let Term::Column(name) = term else { return false };
    *name == schema.id_column || schema.columns.iter().any(|column| column.name == *name && !column.nullable)
}
