//! The README's program is run as it stands there, and does what a reader expects of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use cfost::prelude::*;

/// How long the program may take for a line; on a busy machine it takes a part of a second.
const LINE_MS_MAX: u64 = 30_000;

/// The README's model, for a second process that writes into the program's database.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    #[crdt(set)]
    tags: std::collections::BTreeSet<String>,
}

/// The program, which runs until it is dropped: its last loop has no end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Starts it in this folder; what it prints arrives line by line.
    fn start(folder: &std::path::Path) -> (Self, Receiver<String>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_readme"));
        let mut child = command.current_dir(folder).stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let (sender, receiver) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        (Self(child), receiver)
    }
}

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(Duration::from_millis(LINE_MS_MAX)).expect("the program prints the next line")
}

#[test]
fn the_readmes_program_runs_and_sees_what_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (_program, lines) = Program::start(folder.path());
    assert_eq!(next(&lines), "0 open", "the only todo is completed");
    assert_eq!(next(&lines), "[]", "a live query begins with the current rows");

    let db = Db::open(folder.path().join("todo.db"), models![Todo]).unwrap();
    let [milk] = &db.all::<Todo>().unwrap()[..] else { panic!("one todo") };
    assert_eq!((milk.title.as_str(), milk.completed, milk.votes), ("Buy milk", true, 1));
    assert_eq!(milk.tags.iter().collect::<Vec<_>>(), ["dairy"]);

    let bread = db.write(|tx| tx.insert(Todo { title: "Buy bread".into(), ..Todo::default() })).unwrap();
    assert_eq!(next(&lines), format!("{:?}", [&bread]));
    db.write(|tx| tx.delete::<Todo>(bread.id)).unwrap();
    assert_eq!(next(&lines), "[]");
}
