//! A database comes along to a newer version of its app: with all its rows, shown and hidden, as the oplog gives them.

mod apps;
mod faults;
mod listed;
mod newer;
mod planned;
mod progress;
mod rows;
mod size;
