//! The command `cfost`: what a `schema.lock` means for apps, for each other and for a database; and whether a database
//! is damaged.

mod check;
mod diff;
mod plan;
mod table;
mod verify;

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cfost::schema::lock::Lock;
use cfost::store::{DbFile, StoreError};
use clap::{Parser, Subcommand};

/// Look at the models of a CFOST app, at what they do to a database, and for damage in one.
#[derive(Debug, Parser)]
#[command(name = "cfost", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at the versions of models, as 'schema.lock' records them
    #[command(subcommand, arg_required_else_help = true)]
    Schema(Schema),
    /// Check every change in the oplog of a database
    #[command(
        after_help = "The database is only read, and may be in use. Its rows are compared with the oplog by the app, \
        which has the\nmodels (`db.verify()`). What is damaged the app cuts out (`db.repair()`), and other devices send it \
        again.\n\nExit code: 0 if all is as it was written, 1 if something is damaged,\n2 if the file can't be \
        read.\n\nExample:\n  cfost verify ~/.local/share/todo/todo.db"
    )]
    Verify {
        /// The database
        database: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Schema {
    /// Tell what changes from one lock to another, and whether apps with the two can sync
    #[command(
        after_help = "Exit code: 0 if the new lock goes on from the old one,\n1 if it tells otherwise what the old \
        one has recorded,\n2 if a file can't be read.\n\nExample:\n  git show v1.2:schema.lock > released.lock\n  cfost \
        schema diff released.lock schema.lock"
    )]
    Diff {
        /// The lock before
        old: PathBuf,
        /// The lock after
        new: PathBuf,
    },
    /// Tell what a database has of each model, and what it needs
    #[command(
        after_help = "The database is only read, and may be in use.\n\nExit code: 0 if apps with the lock open the \
        database, 1 if they refuse it,\n2 if a file can't be read.\n\nExample:\n  cfost schema check schema.lock \
        ~/.local/share/todo/todo.db"
    )]
    Check {
        /// The lock of the app
        lock: PathBuf,
        /// The database
        database: PathBuf,
    },
    /// Tell what the migration of a database costs, before anyone ships it
    #[command(after_help = "The database is only read, and may be in use. Times are rough: for a laptop, and \
        some three times as long\non a phone.\n\nExit code: 0 if apps with the lock open the database, 1 if they refuse it,\n2 \
        if a file can't be read.\n\nExample:\n  cfost schema plan schema.lock copy-of-a-large.db")]
    Plan {
        /// The lock of the app
        lock: PathBuf,
        /// The database
        database: PathBuf,
    },
}

/// What a command found.
struct Report {
    text: String,
    /// Whether nothing stands in the way.
    is_fine: bool,
}

/// Why a command has found nothing.
#[derive(Debug)]
enum Failure {
    Unreadable { path: PathBuf, reason: String },
    Store { path: PathBuf, source: StoreError },
    Oplog { path: PathBuf, source: cfost::Error },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "{}: {reason}", path.display()),
            // These name the file themselves.
            Self::Store { source: source @ (StoreError::CannotOpen { .. } | StoreError::Foreign { .. }), .. } => {
                source.fmt(f)
            }
            Self::Store { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Oplog { path, source: cfost::Error::LoggedOut } => {
                write!(
                    f,
                    "{}: the device is logged out, and what is sealed can't be opened: log in with the app",
                    path.display()
                )
            }
            Self::Oplog { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

/// What can't be read.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(Report { text, is_fine }) => {
            // Nobody reads on: that is no failure of the command.
            let _ = writeln!(io::stdout(), "{}", text.trim_end());
            if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn run(command: &Command) -> Result<Report, Failure> {
    match command {
        Command::Schema(Schema::Diff { old, new }) => Ok(diff::report(&read_lock(old)?, &read_lock(new)?)),
        Command::Schema(Schema::Check { lock, database }) => with_database(lock, database, check::report),
        Command::Schema(Schema::Plan { lock, database }) => with_database(lock, database, plan::report),
        Command::Verify { database } => {
            let found = open(database)?.verify_oplog();
            Ok(verify::report(&found.map_err(|source| Failure::Oplog { path: database.clone(), source })?))
        }
    }
}

fn open(database: &Path) -> Result<DbFile, Failure> {
    DbFile::open(database).map_err(|source| Failure::Store { path: database.to_owned(), source })
}

fn with_database(
    lock: &Path,
    database: &Path,
    report: fn(&Lock, &DbFile) -> Result<Report, StoreError>,
) -> Result<Report, Failure> {
    let lock = read_lock(lock)?;
    report(&lock, &open(database)?).map_err(|source| Failure::Store { path: database.to_owned(), source })
}

fn read_lock(path: &Path) -> Result<Lock, Failure> {
    let unreadable = |reason: String| Failure::Unreadable { path: path.to_owned(), reason };
    let bytes =
        std::fs::read(path).map_err(|error| unreadable(format!("{error}; is this the path of a `schema.lock`?")))?;
    if bytes.starts_with(b"SQLite format 3\0") {
        return Err(unreadable("this is a database: the lock comes first, then the database".to_owned()));
    }
    String::from_utf8_lossy(&bytes).parse().map_err(|error| unreadable(format!("{error}")))
}
