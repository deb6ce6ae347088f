//! The commands and their arguments.

use std::path::PathBuf;

use cfost::net::Multiaddr;
use clap::{Args, Parser, Subcommand};

/// A todo list whose data lives on your devices.
#[derive(Debug, Parser)]
#[command(name = "todo", version, about, max_term_width = 100)]
#[command(after_help = "A todo is named by its number in the list ('3' or '#3') or by the start of its id ('7c0e').")]
pub(crate) struct Cli {
    /// The database file [default: todo/todo.db in your data directory]
    #[arg(long, env = "TODO_DB", value_name = "PATH", global = true, hide_env_values = true)]
    pub(crate) db: Option<PathBuf>,
    /// What to do; without one, the help is shown.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the app can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create your identity on this device, the first of yours
    Register(Account),
    /// Unlock this device with your password
    Login(Login),
    /// Lock this device: the list can still be read, but not changed or synced
    Logout,
    /// Set the password of this device; each of your devices has its own
    Password {
        /// Read the password from the first line of stdin instead of asking
        #[arg(long)]
        password_stdin: bool,
    },
    /// Add a todo
    Add {
        /// The title; several words need no quotes
        #[arg(required = true, value_name = "TITLE")]
        title: Vec<String>,
    },
    /// Mark todos as done
    Done {
        /// Numbers or ids
        #[arg(required = true)]
        todos: Vec<String>,
        /// Mark them as open again
        #[arg(long)]
        undo: bool,
    },
    /// Give a todo another title
    Rename {
        /// Number or id
        todo: String,
        /// The new title
        #[arg(required = true, value_name = "TITLE")]
        title: Vec<String>,
    },
    /// Vote for a todo
    Vote {
        /// Number or id
        todo: String,
        /// Take a vote away
        #[arg(long)]
        down: bool,
    },
    /// Remove todos
    Rm {
        /// Numbers or ids
        #[arg(required = true)]
        todos: Vec<String>,
    },
    /// Show the todos
    #[command(visible_alias = "ls")]
    List {
        /// Only those that are still to be done
        #[arg(long)]
        open: bool,
    },
    /// Show your devices
    Devices,
    /// Revoke a device that was lost or stolen; this one retires, say before you sell it
    Revoke {
        /// Its name, or the start of its id, as 'todo devices' shows them
        device: String,
    },
    /// Let another device of yours join: shows a QR code, then asks for its six digits
    Pair {
        #[command(flatten)]
        network: Network,
        /// Show eight digits to type in there instead, for where there is no camera
        #[arg(long, conflicts_with = "svg")]
        spoken: bool,
        /// Also write the QR code to this file, as SVG
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Make this a device of yours, with the code that 'todo pair' shows on another
    Join {
        /// The code, as shown under the QR code, or the eight digits of 'todo pair --spoken'
        #[arg(required = true)]
        code: Vec<String>,
        /// What your other devices call this one [default: the host's name]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        network: Network,
    },
    /// Sync with your other devices until Ctrl-C
    Run {
        #[command(flatten)]
        network: Network,
    },
    /// Write your user and all todos to a file that only your 24 words open
    Backup {
        /// The file; an older backup there is replaced
        file: PathBuf,
    },
    /// Make this a new device of yours from a backup, with your 24 words
    Restore {
        /// The file that 'todo backup' wrote
        file: PathBuf,
        /// Read the words from the first line of stdin instead of asking
        #[arg(long)]
        phrase_stdin: bool,
    },
    /// Show what was changed, when and on which device, newest last
    Oplog {
        /// How many entries, counted from the newest; 0 shows all
        #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
        limit: usize,
    },
    /// Check every change and every todo for damage
    Verify {
        /// Cut out what is damaged; your other devices send it again
        #[arg(long)]
        repair: bool,
    },
    /// Watch two devices work offline and sync: two processes, two databases, one todo list
    Demo {
        /// Keep the two databases in this folder, which must be empty or not exist
        #[arg(long, value_name = "FOLDER")]
        keep: Option<PathBuf>,
    },
    /// One device of the demo, which talks to it over stdin and stdout
    #[command(hide = true)]
    DemoDevice {
        /// What the device is called
        name: String,
    },
}

/// Who to register.
#[derive(Args, Debug)]
pub(crate) struct Account {
    /// Your name, asked for if missing
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) login: Login,
}

/// Who to unlock the device for.
#[derive(Args, Debug)]
pub(crate) struct Login {
    /// Your email address, asked for if missing
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Read the password from the first line of stdin instead of asking
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// How to reach the other devices.
#[derive(Args, Debug, Clone)]
pub(crate) struct Network {
    /// Accept connections here, as '/ip4/0.0.0.0/tcp/4001' [default: any free port]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<Multiaddr>,
    /// Also look for a device here, at an address that 'todo run' shows there
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) peer: Vec<Multiaddr>,
    /// Don't look for devices on the local network
    #[arg(long)]
    pub(crate) no_lan: bool,
    /// Stay on this machine, to try two databases with each other
    #[arg(long, conflicts_with = "listen")]
    pub(crate) loopback: bool,
}
