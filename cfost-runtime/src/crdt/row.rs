//! A row and its merge.

use super::{RowClock, Stamp, Writers};

/// Whether a row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The last word on the row was a create or an update.
    Alive,
    /// The last word on the row was a delete.
    Dead,
    /// The row was deleted, and deletes of its model are final: no op brings it back.
    Gone,
}

/// What an op does to one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<V> {
    /// Writes a value; of concurrent ones the greatest stamp wins.
    Write(V),
    /// Writes a value for good; of concurrent ones the smallest stamp wins.
    Keep(V),
    /// Adds to a counter.
    Add(i64),
    /// Shows what is merged elsewhere, a text's document; `None` if it shows the same as before.
    Merged(Option<V>),
}

/// One op, as far as merging goes.
#[derive(Clone, Debug, PartialEq)]
pub struct RowOp<V> {
    /// When and where the op was made.
    pub stamp: Stamp,
    /// What it says of the row's life.
    pub life: Life,
    /// What it does to the columns, each at most once.
    pub effects: Vec<(usize, Effect<V>)>,
}

/// A value that can hold a counter.
pub trait Counter {
    /// Adds `delta`. Overflow wraps around, which keeps addition commutative and associative.
    fn add(&mut self, delta: i64);
}

/// The merged state of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<V> {
    /// The columns' values; a column that no op wrote has the value the row began with.
    pub values: Vec<V>,
    /// Which write each column holds.
    pub clock: RowClock,
    /// Whether the row is there.
    pub life: Life,
}

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The columns whose value or stamp is new.
    pub columns: Vec<usize>,
    /// Whether the row's life stamp is new.
    pub life: bool,
}

impl<V: Counter> Row<V> {
    /// A row that no op has touched; `values` are what its columns hold until one does.
    pub fn new(values: Vec<V>) -> Self {
        Self { clock: RowClock::empty(values.len()), values, life: Life::Dead }
    }

    /// Merges an op. Ops may come in any order, each exactly once.
    pub fn merge(&mut self, op: RowOp<V>, writers: &impl Writers) -> Merged {
        let mut merged = Merged { life: self.decides_life(&op, writers), ..Merged::default() };
        if merged.life {
            self.clock.set_life(op.stamp);
            self.life = op.life;
        }
        for (column, effect) in op.effects {
            let held = self.clock.column(column);
            let mut stamped = op.stamp.beats(held, writers);
            match effect {
                Effect::Write(value) if stamped => self.values[column] = value,
                Effect::Keep(value) if !held.is_some() || held.beats(op.stamp, writers) => {
                    self.values[column] = value;
                    stamped = true;
                }
                Effect::Write(_) | Effect::Keep(_) => continue,
                Effect::Add(delta) => self.values[column].add(delta),
                Effect::Merged(Some(value)) => self.values[column] = value,
                Effect::Merged(None) => {}
            }
            if stamped {
                self.clock.set_column(column, op.stamp);
            }
            merged.columns.push(column);
        }
        merged
    }

    /// Whether the op has the last word on the row's life. A final delete beats all that isn't one.
    fn decides_life(&self, op: &RowOp<V>, writers: &impl Writers) -> bool {
        match (self.life == Life::Gone, op.life == Life::Gone) {
            (true, false) => false,
            (false, true) => true,
            _ => op.stamp.beats(self.clock.life(), writers),
        }
    }
}
