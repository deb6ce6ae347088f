//! Two people, two processes, one list.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// One person's device.
struct Person {
    dir: TempDir,
}

/// A command that runs, and is talked to.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Person {
    fn new(name: &str) -> Self {
        let person = Self { dir: tempfile::tempdir().unwrap() };
        let mut registering = person.start(&["register", name, &format!("{name}@example.org")]);
        registering.type_in("a good long password");
        assert!(registering.child.wait().unwrap().success());
        person
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lists"))
            .args(["--loopback", "--db"])
            .arg(self.dir.path().join("lists.db"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out }
    }

    fn say(&self, args: &[&str]) -> String {
        let running = self.start(args);
        let lines: Vec<_> = running.out.lines().map(Result::unwrap).collect();
        let mut child = running.child;
        assert!(child.wait().unwrap().success(), "{args:?}");
        lines.join("\n")
    }
}

impl Running {
    /// What follows `before` in the first line that has it.
    fn shown(&mut self, before: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended without '{before}'");
            if let Some((_, after)) = line.split_once(before) {
                return after.trim().to_owned();
            }
        }
    }

    fn type_in(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn end(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn two_people_share_a_list_and_both_fill_it() {
    let (ada, grace) = (Person::new("Ada"), Person::new("Grace"));
    ada.say(&["new", "Groceries"]);
    ada.say(&["add", "Groceries", "Milk"]);
    ada.say(&["new", "Diary"]);

    let mut sharing = ada.start(&["share", "groc"]);
    let code = sharing.shown("lists accept ");
    let mut accepting = grace.start(&["accept", &code]);
    let digits = accepting.shown("typed in there:");
    assert!(sharing.shown("'Grace', on ").contains("asks to be let in"));
    sharing.type_in(&digits);
    assert!(sharing.shown("'Grace' is in ").starts_with("'Groceries'"));
    assert!(accepting.shown("You are a ").starts_with("writer"));
    assert!(sharing.child.wait().unwrap().success() && accepting.child.wait().unwrap().success());

    let mut hers = grace.start(&["run"]);
    let mut his = ada.start(&["run"]);
    hers.shown("[ ] Milk");
    grace.say(&["add", "Groceries", "Bread"]);
    his.shown("[ ] Bread");
    hers.end();
    his.end();

    assert_eq!(grace.say(&["members", "Groceries"]), "owner   Ada\nwriter  Grace  (you)");
    assert!(!grace.say(&["show"]).contains("Diary"), "what is not shared stays where it is");
    ada.say(&["remove", "Groceries", "Grace"]);
    assert_eq!(ada.say(&["members", "Groceries"]), "owner   Ada  (you)");
}
