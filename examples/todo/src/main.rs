//! A todo list for the terminal whose data lives on its user's devices: `todo --help`.

mod account;
mod backup;
mod cli;
mod demo;
mod devices;
mod failure;
mod history;
mod model;
mod paths;
mod peers;
mod pick;
mod term;
mod todos;
mod verify;

use std::io::Write as _;
use std::path::Path;
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
    if let Command::Demo { keep } = command {
        return runtime()?.block_on(demo::run(screen, keep));
    }
    let path = match cli.db {
        Some(path) => path,
        None => paths::default_db()?,
    };
    let screen = &mut screen;
    if let Command::Restore { file, phrase_stdin } = command {
        return backup::restore(&path, &file, phrase_stdin, screen);
    }
    if let Command::Verify { repair: true } = command {
        return verify::repair(&path, screen);
    }
    let db = open(&path, &command)?;
    match command {
        Command::Register(account) => account::register(&db, &account, screen),
        Command::Login(login) => account::login(&db, &login, screen),
        Command::Logout => account::logout(&db, screen),
        Command::Password { password_stdin } => account::password(&db, password_stdin, screen),
        Command::Devices => devices::show(&db, screen),
        Command::Revoke { device } => devices::revoke(&db, &device, screen),
        Command::Add { title } => todos::add(&db, &title, screen),
        Command::Done { todos, undo } => todos::complete(&db, &todos, !undo, screen),
        Command::Rename { todo, title } => todos::rename(&db, &todo, &title, screen),
        Command::Vote { todo, down } => todos::vote(&db, &todo, if down { -1 } else { 1 }, screen),
        Command::Rm { todos } => todos::remove(&db, &todos, screen),
        Command::List { open } => todos::list(&db, open, screen),
        Command::Oplog { limit } => history::show(&db, limit, screen),
        Command::Pair { network, spoken: true, .. } => runtime()?.block_on(peers::pair_spoken(&db, &network, screen)),
        Command::Pair { network, svg, .. } => runtime()?.block_on(peers::pair(&db, &network, svg.as_deref(), screen)),
        Command::Join { code, name, network } => {
            runtime()?.block_on(peers::join(&db, &code.concat(), name.as_deref(), &network, screen))
        }
        Command::Run { network } => runtime()?.block_on(peers::run(&db, &network, screen)),
        Command::Verify { .. } => verify::check(&db, screen),
        Command::Backup { file } => backup::backup(&db, &file, screen),
        Command::DemoDevice { .. } => runtime()?.block_on(demo::serve(&db)),
        Command::Demo { .. } | Command::Restore { .. } => Ok(()),
    }
}

/// The database at `path`, created if it isn't there.
fn open(path: &Path, command: &Command) -> Result<Db, Failure> {
    let options = match command {
        Command::DemoDevice { name } => Db::options().device_name(name),
        _ => Db::options(),
    };
    Ok(options.open(path, models![Todo])?)
}

/// Only what talks to other devices needs an async runtime.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
