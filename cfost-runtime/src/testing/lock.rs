//! The test that `schema_lock!` writes: the models of an app are what its `schema.lock` records.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::schema::Model;
use crate::schema::lock::{Bless, Lock, LockError, Problem};

/// The file's name in the folder of the app's `Cargo.toml`.
const FILE_NAME: &str = "schema.lock";

/// The environment variable that has the file written.
const BLESS: &str = "CFOST_BLESS";

/// A `schema.lock` that isn't what the models are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockFailure {
    /// The file isn't there.
    #[error("{} is missing: `{BLESS}=1 cargo test` writes it; then commit it", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be read or written.
    #[error("{} can't be read or written: {source}; check its permissions and those of its folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file is no lock that this build can read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LockError,
    },
    /// The models aren't what is recorded.
    #[error("{}", differs(path, problems))]
    Differs {
        /// The file.
        path: PathBuf,
        /// What differs.
        problems: Vec<Problem>,
    },
    /// What was to be recorded must not be: the file is unchanged.
    #[error("nothing was recorded. {}", differs(path, problems))]
    Refused {
        /// The file.
        path: PathBuf,
        /// What must not be recorded.
        problems: Vec<Problem>,
    },
    /// The environment variable has another value than those that mean something.
    #[error("{BLESS}={value} means nothing: `1` records what is new, `unreleased` also newest versions anew")]
    UnknownBless {
        /// The value.
        value: String,
    },
}

/// Compares models with the `schema.lock` in a folder, or writes it if the environment says so; what
/// `schema_lock!` calls.
///
/// # Panics
/// With what differs and what to write, if the models aren't what is recorded.
#[track_caller]
pub fn schema_lock(folder: &str, models: &[Model]) {
    let bless = std::env::var(BLESS).unwrap_or_default();
    match check_schema_lock(&Path::new(folder).join(FILE_NAME), models, &bless) {
        Ok(recorded) => {
            // Past the test harness, which keeps what a test that passes prints to itself.
            let mut text = String::new();
            let _ = recorded.iter().try_for_each(|line| writeln!(text, "{FILE_NAME}: {line}"));
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
        }
        Err(failure) => panic!("{failure}\n"),
    }
}

/// Compares models with the lock in a file, or writes it: as `1` and `unreleased` in `CFOST_BLESS` say, nothing and
/// `0` being for comparing. Returns what was recorded.
///
/// # Errors
/// What differs. The file is unchanged then.
pub fn check_schema_lock(path: &Path, models: &[Model], bless: &str) -> Result<Vec<String>, LockFailure> {
    let bless = match bless {
        "" | "0" => None,
        "1" => Some(Bless::New),
        "unreleased" => Some(Bless::Unreleased),
        value => return Err(LockFailure::UnknownBless { value: value.to_owned() }),
    };
    let (app, path) = (Lock::of(models), path.to_owned());
    let text = match std::fs::read(&path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(LockFailure::Io { path, source }),
    };
    let lock: Option<Lock> = match text.map(|text| text.parse()).transpose() {
        Ok(lock) => lock,
        Err(source) => return Err(LockFailure::Unreadable { path, source }),
    };
    let (lock, is_new) = match (lock, bless) {
        (None, None) => return Err(LockFailure::Missing { path }),
        (lock, _) => (lock.clone().unwrap_or_default(), lock.is_none()),
    };
    let problems = lock.compare(&app);
    let Some(bless) = bless else {
        return if problems.is_empty() { Ok(Vec::new()) } else { Err(LockFailure::Differs { path, problems }) };
    };
    if problems.is_empty() && !is_new {
        return Ok(Vec::new());
    }
    let recorded = match lock.record(&app, bless) {
        Ok(recorded) => recorded,
        Err(problems) => return Err(LockFailure::Refused { path, problems }),
    };
    write_whole(&path, &recorded.to_string()).map_err(|source| LockFailure::Io { path, source })?;
    Ok(problems.iter().map(recorded_line).collect())
}

/// Writes a file so that it is never there in part.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("lock.new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

fn recorded_line(problem: &Problem) -> String {
    let table = problem.table();
    match problem {
        Problem::NewModel { .. } => format!("recorded '{table}'"),
        Problem::NewVersion { version, .. } => format!("recorded version {version} of '{table}'"),
        Problem::LostModel { .. } => format!("recorded that '{table}' is listed no more"),
        Problem::ModelIsBack { .. } => format!("recorded that '{table}' is listed again"),
        other => format!("recorded anew: {}", other.to_string().lines().next().unwrap_or_default()),
    }
}

/// What differs, what must not be recorded first, and what to do about each.
fn differs(path: &Path, problems: &[Problem]) -> String {
    let mut text = format!("the models are not what {} records:\n", path.display());
    let is = |needed: Option<Bless>| problems.iter().filter(move |problem| problem.blessed_by() == needed);
    let groups = [
        (None, "devices may have what is recorded, so it stays as it is: change the attributes"),
        (
            Some(Bless::Unreleased),
            "or, if no device has that version but your own: `CFOST_BLESS=unreleased cargo test` records it anew; databases \
             that you made with it are refused from then on, so delete them",
        ),
        (Some(Bless::New), "`CFOST_BLESS=1 cargo test` records it; then commit the file"),
    ];
    for (needed, footer) in groups {
        if is(needed).next().is_none() {
            continue;
        }
        for problem in is(needed) {
            let _ = write!(text, "\n{problem}\n");
        }
        let _ = write!(text, "\n{footer}\n");
    }
    text.truncate(text.trim_end().len());
    text
}
