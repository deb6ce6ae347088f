//! Tests that run in processes of their own: the test binary starts itself again.
//!
//! What a child does is a test too, `#[ignore]`d so that it runs only when its parent asks for it.

use std::process::{Command, Stdio};
use std::{env, io};

/// The variable that gives a child its work.
const WORK: &str = "CFOST_CHILD_WORK";

/// What the parent has given this process to work on; `None` if it was not started by one.
pub fn work() -> Option<String> {
    env::var(WORK).ok()
}

/// A process that runs the ignored test `name` of this binary with `work`; its output is piped.
///
/// # Errors
/// When this binary can't be found.
pub fn child(name: &str, work: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(WORK, work).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Tells the parent something, at once.
///
/// # Errors
/// When the parent is gone.
pub fn tell(line: &str) -> io::Result<()> {
    use io::Write;
    let mut out = io::stdout().lock();
    // libtest may have begun a line: what is told starts one of its own.
    out.write_all(format!("\n>{line}\n").as_bytes())?;
    out.flush()
}

/// What a line of a child's output tells, if it does.
pub fn told(line: &str) -> Option<&str> {
    line.strip_prefix('>')
}
