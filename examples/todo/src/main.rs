//! A todo list for the terminal whose data lives on its user's devices: `todo --help`.

mod account;
mod cli;
mod failure;
mod history;
mod model;
mod paths;
mod pick;
mod term;
mod todos;

use std::io::Write as _;
use std::process::ExitCode;

use cfost::prelude::*;
use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::model::Todo;
use crate::term::Screen;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.silent => ExitCode::SUCCESS,
        Err(failure) => {
            // Where even stderr is closed, the exit code still says it.
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let mut screen = Screen::new();
    let Some(command) = cli.command else {
        return Ok(Cli::command().print_help()?);
    };
    let db = open(cli.db)?;
    let screen = &mut screen;
    match command {
        Command::Register(account) => account::register(&db, &account, screen),
        Command::Login(login) => account::login(&db, &login, screen),
        Command::Logout => account::logout(&db, screen),
        Command::Password { password_stdin } => account::password(&db, password_stdin, screen),
        Command::Devices => account::devices(&db, screen),
        Command::Add { title } => todos::add(&db, &title, screen),
        Command::Done { todos, undo } => todos::complete(&db, &todos, !undo, screen),
        Command::Rename { todo, title } => todos::rename(&db, &todo, &title, screen),
        Command::Vote { todo, down } => todos::vote(&db, &todo, if down { -1 } else { 1 }, screen),
        Command::Rm { todos } => todos::remove(&db, &todos, screen),
        Command::List { open } => todos::list(&db, open, screen),
        Command::Oplog { limit } => history::show(&db, limit, screen),
        _ => Ok(()),
    }
}

/// The database at `path`, or at its usual place, created if it isn't there.
fn open(path: Option<std::path::PathBuf>) -> Result<Db, Failure> {
    let path = match path {
        Some(path) => path,
        None => paths::default_db()?,
    };
    Ok(Db::open(path, models![Todo])?)
}

/// Only what talks to other devices needs an async runtime.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
