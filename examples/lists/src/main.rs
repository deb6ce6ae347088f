//! Todo lists for the terminal that users share with each other: `lists --help`.
//!
//! Each list is a space, with its own members; a todo lives in the space of its list.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use cfost::identity::IdentityError;
use cfost::net::{Multiaddr, NetError, NodeEvent};
use cfost::prelude::*;
use cfost::{Member, Role, Space, SyncOptions};
use clap::{Parser, Subcommand};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A list. Each row is a space.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1, space)]
struct TodoList {
    #[synced(id)]
    id: Uuid,
    name: String,
}

/// What is to be done, in the space of its list.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, space = list_id)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(references = TodoList, on_delete = cascade)]
    list_id: Uuid,
    title: String,
    done: bool,
}

/// Todo lists that you share with others, without a server.
#[derive(Debug, Parser)]
#[command(name = "lists", version, about)]
#[command(after_help = "Lists, todos and members are named as they are shown, or by how their names begin.")]
struct Cli {
    /// The database file
    #[arg(long, env = "LISTS_DB", value_name = "PATH", default_value = "lists.db", global = true)]
    db: PathBuf,
    /// Stay on this machine, to try two databases with each other
    #[arg(long, global = true)]
    loopback: bool,
    /// Also look for a device here, at an address that 'lists run' shows there
    #[arg(long, value_name = "ADDRESS", global = true)]
    peer: Vec<Multiaddr>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say who you are; asks for a password, which locks your keys on this device
    Register { name: String, email: String },
    /// Begin a list, which you own
    New { name: String },
    /// Add a todo to a list
    Add { list: String, title: String },
    /// Mark a todo of a list as done
    Done { list: String, title: String },
    /// Show all lists
    Show,
    /// Invite somebody to a list: shows a code, then asks for the six digits that the other device shows
    Share {
        list: String,
        /// Let them read, and not write
        #[arg(long)]
        read: bool,
    },
    /// Accept an invitation, by the code that 'lists share' shows
    Accept { code: String },
    /// Show who is in a list
    Members { list: String },
    /// Let a member write, or only read
    Role {
        list: String,
        member: String,
        #[arg(value_parser = ["reader", "writer"])]
        role: String,
    },
    /// Remove a member from a list
    Remove { list: String, member: String },
    /// Make a member the owner of a list
    HandOver { list: String, member: String },
    /// Leave a list
    Leave { list: String },
    /// Sync until Ctrl-C
    Run,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even stderr is closed, the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Outcome {
    let db = Db::open(&cli.db, models![TodoList, Todo])?;
    let options = || {
        let options = if cli.loopback { db.sync().loopback() } else { db.sync().lan() };
        cli.peer.iter().cloned().fold(options, SyncOptions::peer)
    };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match cli.command {
        Command::Register { name, email } => {
            let registered = db.register_user(&name, &email, &ask("A password")?)?;
            say("Write these words down, and keep them: they bring you back when all your devices are lost.")?;
            say(&*registered.recovery_phrase.words())?;
            Ok(db.forget_recovery_phrase()?)
        }
        Command::New { name } => {
            db.insert(TodoList { name: name.clone(), ..TodoList::default() })?;
            say(format!("'{name}' is your list; 'lists share' invites others."))
        }
        Command::Add { list, title } => {
            let list_id = find_list(&db, &list)?.id;
            db.insert(Todo { list_id, title, ..Todo::default() })?;
            show(&db)
        }
        Command::Done { list, title } => {
            let list = find_list(&db, &list)?;
            let todos = db.all::<Todo>()?.into_iter().filter(|todo| todo.list_id == list.id);
            let todo = pick(todos.collect(), &title, |todo: &Todo| &todo.title)?;
            db.write(|tx| tx.update(todo.id, |todo: &mut Todo| todo.done = true))?;
            show(&db)
        }
        Command::Show => show(&db),
        Command::Share { list, read } => {
            let list = find_list(&db, &list)?;
            runtime()?.block_on(share(options(), &list, if read { Role::Reader } else { Role::Writer }))
        }
        Command::Accept { code } => runtime()?.block_on(accept(options(), &code)),
        Command::Members { list } => members(&space(&db, &list)?),
        Command::Role { list, member, role } => {
            let role = if role == "reader" { Role::Reader } else { Role::Writer };
            let space = space(&db, &list)?;
            space.set_role(find_member(&space, &member)?.user, role)?;
            members(&space)
        }
        Command::Remove { list, member } => {
            let space = space(&db, &list)?;
            space.remove(find_member(&space, &member)?.user)?;
            members(&space)
        }
        Command::HandOver { list, member } => {
            let space = space(&db, &list)?;
            space.hand_over(find_member(&space, &member)?.user)?;
            members(&space)
        }
        Command::Leave { list } => {
            space(&db, &list)?.leave()?;
            say("You have left. What was there is not shown any more; the others learn of it in the next sync.")
        }
        Command::Run => runtime()?.block_on(sync(&db, options())),
    }
}

/// Shows an invitation, waits for somebody to follow it, and lets them in by the digits.
async fn share(options: SyncOptions, list: &TodoList, role: Role) -> Outcome {
    let node = options.start().await?;
    let offer = node.invite_to(list.id, role).await?;
    say(offer.invitation().qr_terminal())?;
    say(format!("Have this scanned, or typed there, within five minutes, to share '{}':\n", list.name))?;
    say(format!("  lists accept {}\n", offer.invitation().to_text()))?;
    let guest = offer.requested().await?;
    let name = guest.name.unwrap_or_else(|| guest.user.to_string());
    say(format!("'{name}', on '{}', asks to be let in.", guest.device_name))?;
    loop {
        let digits = tokio::task::spawn_blocking(|| ask("The six digits that are shown there")).await??;
        match offer.confirm(&digits).await {
            Ok(_) => break,
            Err(NetError::Identity(error @ (IdentityError::WrongDigits { .. } | IdentityError::DigitsForm))) => {
                say(error)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    say(format!("'{name}' is in '{}' now. 'lists run' on both keeps you in sync.", list.name))?;
    Ok(node.stop().await?)
}

/// Follows an invitation.
async fn accept(options: SyncOptions, code: &str) -> Outcome {
    let accepting = options.accept(code).await?;
    say(format!("Have these digits typed in there:  {}", accepting.digits()))?;
    let space = accepting.finish().await?;
    let role = space.role()?.map_or_else(|| "member".to_owned(), |role| role.to_string());
    say(format!("You are a {role} now. 'lists run' fetches the list."))
}

/// Syncs until Ctrl-C, and tells what comes.
async fn sync(db: &Db, options: SyncOptions) -> Outcome {
    let node = options.start().await?;
    let mut events = node.events();
    for address in node.listen_addresses() {
        say(format!("listening on {address}"))?;
    }
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            done = &mut interrupted => break done?,
            event = events.recv() => if let Ok(NodeEvent::Applied { .. } | NodeEvent::IdentitiesLearned { .. }) = event {
                show(db)?;
            },
        }
    }
    Ok(node.stop().await?)
}

/// Shows all lists and what is in them.
fn show(db: &Db) -> Outcome {
    let mut todos = db.all::<Todo>()?;
    todos.sort_by(|a, b| a.title.cmp(&b.title));
    let lists = db.all::<TodoList>()?;
    if lists.is_empty() {
        return say("No lists. 'lists new' begins one.");
    }
    for list in lists {
        let members = db.space(list.id)?.members()?;
        let others = members.iter().filter(|member| !member.is_me).map(name_of).collect::<Vec<_>>().join(", ");
        say(if others.is_empty() { list.name } else { format!("{}  (with {others})", list.name) })?;
        for todo in todos.iter().filter(|todo| todo.list_id == list.id) {
            say(format!("  [{}] {}", if todo.done { 'x' } else { ' ' }, todo.title))?;
        }
    }
    Ok(())
}

/// Shows who is in a list.
fn members(space: &Space) -> Outcome {
    for member in space.members()? {
        let me = if member.is_me { "  (you)" } else { "" };
        say(format!("{:<7} {}{me}", member.role.to_string(), name_of(&member)))?;
    }
    Ok(())
}

fn name_of(member: &Member) -> String {
    member.name.clone().unwrap_or_else(|| member.user.to_string())
}

fn find_list(db: &Db, name: &str) -> Outcome<TodoList> {
    pick(db.all::<TodoList>()?, name, |list| &list.name)
}

fn space(db: &Db, list: &str) -> Outcome<Space> {
    Ok(db.space(find_list(db, list)?.id)?)
}

fn find_member(space: &Space, name: &str) -> Outcome<Member> {
    let named = space.members()?.into_iter().map(|member| (name_of(&member), member)).collect();
    Ok(pick(named, name, |(name, _)| name)?.1)
}

/// The one that is called so, or whose name begins so.
fn pick<T>(all: Vec<T>, name: &str, of: impl Fn(&T) -> &str) -> Outcome<T> {
    let exact = all.iter().position(|item| of(item) == name);
    let begins = |item: &T| of(item).to_lowercase().starts_with(&name.to_lowercase());
    let mut found: Vec<T> = match exact {
        Some(index) => all.into_iter().skip(index).take(1).collect(),
        None => all.into_iter().filter(begins).collect(),
    };
    match (found.pop(), found.len()) {
        (Some(item), 0) => Ok(item),
        (Some(_), others) => Err(format!("'{name}' could be any of {}: type more of it", others + 1).into()),
        (None, _) => Err(format!("nothing here is called '{name}': 'lists show' shows what is").into()),
    }
}

fn say(text: impl std::fmt::Display) -> Outcome {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Asks a question, and reads the line that answers it.
fn ask(question: &str) -> io::Result<String> {
    write!(io::stdout(), "{question}: ")?;
    io::stdout().flush()?;
    let mut line = String::new();
    match io::stdin().read_line(&mut line)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("nobody answers: {question}"))),
        _ => Ok(line.trim().to_owned()),
    }
}
