//! The promises of the clock and the oplog, kept through their public doors.

mod bad_input;
mod clock;
mod elements;
mod golden;
mod maker;
mod newer;
mod properties;

use proptest::test_runner::{Config, FileFailurePersistence};

/// How many cases each property is tried with; a failing one prints the input it shrank to, and its
/// seed goes to the named file, to be tried first from then on.
fn cases(cases: u32) -> Config {
    let persistence = FileFailurePersistence::Direct("tests/regressions/oplog.txt");
    Config { cases, failure_persistence: Some(Box::new(persistence)), ..Config::default() }
}
