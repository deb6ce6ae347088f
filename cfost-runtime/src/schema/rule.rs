//! The merge rules as types, so that rustc checks which of them a field's type can carry. Their names are
//! short because rustc prints them.

/// The merge rule `lww`: the last writer wins.
#[derive(Debug)]
pub enum Lww {}

/// The merge rule `counter`: increments add up.
#[derive(Debug)]
pub enum Counter {}

/// The merge rule `set`: each element is added or removed by itself.
#[derive(Debug)]
pub enum Set {}

/// The merge rule `map`: each key has a cell of its own.
#[derive(Debug)]
pub enum Map {}

/// The merge rule `list`: each element has an identity, a position and a value.
#[derive(Debug)]
pub enum List {}

/// The merge rule `text`: edits are merged character by character.
#[derive(Debug)]
pub enum Text {}
