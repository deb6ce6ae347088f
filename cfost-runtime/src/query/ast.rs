//! What filters and orders are made of, without the types that rustc checked them by.

use crate::schema::{ModelSchema, Value, ValueError};

/// Something that has a value in each row.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    /// A column of the row.
    Column(&'static str),
    /// The same value in every row.
    Value(Value),
    /// The value that a map has under a key; NULL if it has none.
    Key { map: &'static str, key: Box<Term> },
    /// How many elements a collection has.
    Count(&'static str),
    /// What `term` is in the row of `parent` that `column` names; NULL if there is none.
    Parent { column: &'static str, parent: &'static ModelSchema, term: Box<Term> },
    /// A value that was given and can't be stored, so nothing can be compared with it.
    Unstorable { column: &'static str, source: ValueError },
}

/// How two terms compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where text is looked for in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Anywhere,
    AnywhereIgnoringCase,
    Start,
    End,
}

/// Which column of a collection's table an element is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementColumn {
    Element,
    Key,
    Value,
}

/// A condition on a row. One that SQL leaves open, since a value is NULL, doesn't hold.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Compare(Term, Comparison, Term),
    In(Term, Vec<Value>),
    Between(Term, Term, Term),
    Like(Term, String),
    Contains(Term, Place, String),
    Null(Term),
    /// All of them hold; so with none of them it holds.
    All(Vec<Node>),
    /// One of them holds; so with none of them it doesn't.
    Any(Vec<Node>),
    Not(Box<Node>),
    /// A collection has an element with this value.
    Element {
        collection: &'static str,
        column: ElementColumn,
        value: Term,
    },
    /// The words are in the column.
    Words {
        column: &'static str,
        words: String,
    },
    /// The column names a row of `parent` of which the condition holds.
    Parent {
        column: &'static str,
        parent: &'static ModelSchema,
        node: Box<Node>,
    },
    /// A row that `spec` finds names in its `column` the row that `id` names.
    Children {
        id: &'static str,
        column: &'static str,
        spec: Box<Spec>,
    },
}

/// By what rows are ordered.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) term: Term,
    pub(crate) descending: bool,
}

/// A query without its model's type.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) schema: &'static ModelSchema,
    /// All of them must hold.
    pub(crate) filters: Vec<Node>,
    pub(crate) order: Vec<Key>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    pub(crate) after: Option<Given>,
}

/// A row whose values are known: the last one of a page.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) id: Value,
    /// In the order of the model's columns; or the field that can't be stored, and why.
    pub(crate) columns: Result<Vec<Value>, (&'static str, ValueError)>,
}

impl Spec {
    /// All rows of a model.
    pub(crate) const fn new(schema: &'static ModelSchema) -> Self {
        Self { schema, filters: Vec::new(), order: Vec::new(), limit: None, offset: 0, after: None }
    }

    /// The models that are read: this one first, each once.
    pub(crate) fn reads(&self) -> Vec<&'static ModelSchema> {
        let mut reads = Vec::new();
        self.visit(&mut |schema| {
            if !reads.iter().any(|known: &&ModelSchema| known.table == schema.table) {
                reads.push(schema);
            }
        });
        reads
    }

    /// Whether the rows' order is left to their ids alone, and all of them are asked for. Then SQLite need not
    /// care, and finds them by whatever index is best; sorting them afterwards costs less than what an order by
    /// the ids can keep it from.
    pub(crate) const fn is_unordered(&self) -> bool {
        self.order.is_empty() && self.limit.is_none() && self.offset == 0 && self.after.is_none()
    }

    /// Whether a row of the model can be found or not for what is in another one.
    pub(crate) fn is_tangled(&self) -> bool {
        let mut times = 0;
        self.visit(&mut |schema| times += usize::from(schema.table == self.schema.table));
        times > 1
    }

    fn visit(&self, read: &mut dyn FnMut(&'static ModelSchema)) {
        read(self.schema);
        self.filters.iter().for_each(|node| node.visit(read));
        self.order.iter().for_each(|key| key.term.visit(read));
    }
}

impl Node {
    fn visit(&self, read: &mut dyn FnMut(&'static ModelSchema)) {
        match self {
            Self::Compare(left, _, right) => [left, right].into_iter().for_each(|term| term.visit(read)),
            Self::Between(term, low, high) => [term, low, high].into_iter().for_each(|term| term.visit(read)),
            Self::In(term, _) | Self::Like(term, _) | Self::Contains(term, ..) | Self::Null(term) => term.visit(read),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.visit(read)),
            Self::Not(node) => node.visit(read),
            Self::Element { value, .. } => value.visit(read),
            Self::Parent { parent, node, .. } => {
                read(parent);
                node.visit(read);
            }
            Self::Children { spec, .. } => spec.visit(read),
            Self::Words { .. } => {}
        }
    }
}

impl Term {
    fn visit(&self, read: &mut dyn FnMut(&'static ModelSchema)) {
        match self {
            Self::Parent { parent, term, .. } => {
                read(parent);
                term.visit(read);
            }
            Self::Key { key, .. } => key.visit(read),
            Self::Column(_) | Self::Value(_) | Self::Count(_) | Self::Unstorable { .. } => {}
        }
    }
}
