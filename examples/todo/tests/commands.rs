//! The commands as a person types them, mistakes included.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One device: a folder with a database in it.
struct Device(TempDir);

struct Said {
    ok: bool,
    out: String,
    err: String,
}

impl Device {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &[&str], stdin: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_todo"))
            .args(args)
            .env("TODO_DB", self.0.path().join("todo.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that doesn't read its input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert!(said.ok, "{args:?}: {}", said.err);
        said.out
    }

    #[track_caller]
    fn fails(&self, args: &[&str], expected: &str) {
        let said = self.run(args);
        assert!(!said.ok, "{args:?} should fail, and said: {}", said.out);
        assert!(said.err.contains(expected), "{args:?} said\n{}\ninstead of '{expected}'", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
}

#[test]
fn a_day_with_the_list() {
    let device = Device::new();
    assert!(device.ok(&["list"]).contains("Nothing to do"));
    device.ok(&["add", "Buy", "milk"]);
    device.ok(&["add", "Buy bread"]);
    device.ok(&["add", "Sleep"]);
    device.ok(&["rename", "2", "Bake bread"]);
    device.ok(&["vote", "#2"]);
    device.ok(&["vote", "2"]);
    device.ok(&["vote", "--down", "2"]);
    device.ok(&["done", "1", "2"]);
    assert!(device.ok(&["done", "1"]).contains("was done already"));
    device.ok(&["done", "--undo", "2"]);
    device.ok(&["rm", "3"]);

    let list = device.ok(&["list"]);
    let lines: Vec<&str> = list.lines().map(str::trim_end).collect();
    assert!(lines[1].contains("[x]  Buy milk"), "{list}");
    assert!(lines[2].contains(" 1  [ ]  Bake bread"), "{list}");
    assert!(!list.contains("Sleep"), "{list}");
    assert!(list.contains("1 open, 1 done"), "{list}");
    assert!(!device.ok(&["list", "--open"]).contains("Buy milk"));

    let id = lines[2].split_whitespace().nth(1).unwrap();
    assert!(device.ok(&["done", id]).contains("Bake bread"));
}

#[test]
fn the_oplog_tells_what_was_changed() {
    let device = Device::new();
    device.ok(&["add", "Buy milk"]);
    device.ok(&["vote", "1"]);
    device.ok(&["rm", "1"]);
    let log = device.ok(&["oplog"]);
    let at = |what: &str| log.find(what).unwrap_or_else(|| panic!("no {what} in\n{log}"));
    assert!(at("create") < at("update") && at("update") < at("delete"), "{log}");
    assert_eq!(device.ok(&["oplog", "-n", "1"]).matches("delete").count(), 1);
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let device = Device::new();
    device.fails(&["done", "1"], "the list is empty; add one with 'todo add'");
    device.ok(&["add", "Buy milk"]);
    device.fails(&["done", "7"], "'todo list' shows it");
    device.fails(&["rename", "buy milk", "Tea"], "the todo with that title is number 1");
    device.fails(&["add", "  "], "the title is empty");
    device.fails(&["add", "two\nlines"], "control character");
    device.fails(&["rename", "1"], "<TITLE>");
    device.fails(&["lst"], "similar");
    device.fails(&["join", "4829", "137"], "CFOST");
    device.fails(&["join", "4829", "1375", "--loopback"], "can't be reached");
    device.fails(&["register"], "--name");
    device.fails(&["register", "--name", "Ada", "--email", "ada@example.org"], "--password-stdin");
    assert!(device.ok(&["list"]).contains("1 open, 0 done"), "a failed command changes nothing");
}

#[test]
fn a_registered_device_locks_and_unlocks() {
    let device = Device::new();
    let register = ["register", "--name", "Ada", "--email", "ada@example.org", "--password-stdin"];
    let login = ["login", "--email", "ada@example.org", "--password-stdin"];
    let said = device.run_with(&register, "correct horse battery\n");
    assert!(said.ok, "{}", said.err);
    assert!(said.out.contains("24"), "the recovery phrase is numbered to its last word: {}", said.out);
    assert!(!device.run_with(&register, "correct horse battery\n").ok, "a device has one user");

    device.ok(&["logout"]);
    assert!(!device.run_with(&login, "wrong horse battery\n").ok);
    let said = device.run_with(&login, "correct horse battery\n");
    assert!(said.ok, "{}", said.err);
    device.ok(&["add", "Buy milk"]);
    assert!(device.ok(&["devices"]).contains("this device"));
}

#[test]
fn a_backup_and_the_words_make_a_device_that_revokes_the_lost_one() {
    let (lost, new) = (Device::new(), Device::new());
    let file = new.0.path().join("backup.age").display().to_string();
    lost.ok(&["add", "Buy milk"]);
    let register = ["register", "--name", "Ada", "--email", "ada@example.org", "--password-stdin"];
    let words = words(&lost.run_with(&register, "correct horse battery\n").out);
    lost.fails(&["backup", &format!("{file}/no")], "can't write");
    lost.ok(&["backup", &file]);

    let restore = ["restore", file.as_str(), "--phrase-stdin"];
    assert!(new.run_with(&restore, "milk and honey\n").err.contains("24 words"));
    let restored = new.run_with(&restore, &words);
    assert!(restored.out.contains("Restored Ada: 1 todos"), "{}{}", restored.out, restored.err);
    assert!(new.run_with(&restore, &words).err.contains("already"), "it is not written over");
    assert!(new.ok(&["list"]).contains("Buy milk"));

    let id = |device: &Device| {
        let devices = device.ok(&["devices"]);
        let this = devices.lines().find(|line| line.contains("this device")).unwrap();
        this.split_whitespace().find(|word| word.len() == 36).unwrap().to_owned()
    };
    new.fails(&["revoke", "nobody"], "'todo devices' shows them");
    assert!(new.ok(&["revoke", &id(&lost)[..8]]).contains("is revoked"));
    let devices = new.ok(&["devices"]);
    let gone = devices.lines().find(|line| line.contains(&id(&lost))).unwrap();
    assert!(gone.trim_end().ends_with("revoked"), "{devices}");
    new.fails(&["revoke", &id(&lost)], "'todo devices' shows them");
    new.fails(&["revoke", &id(&new)], "device");
    new.ok(&["add", "Go on"]);
}

/// The 24 words, in the order of the numbers they are shown with.
fn words(shown: &str) -> String {
    let tokens: Vec<&str> = shown.split_whitespace().collect();
    let word = |number: usize| {
        let at = tokens.iter().rposition(|token| *token == number.to_string()).unwrap();
        tokens[at + 1]
    };
    (1..=24).map(word).collect::<Vec<_>>().join(" ") + "\n"
}

#[test]
fn a_damaged_list_is_named_and_repaired() {
    let device = Device::new();
    device.fails(&["verify", "--repair"], "there is no list");
    device.ok(&["add", "milk"]);
    assert!(device.ok(&["verify"]).contains("Sound: 1 change, 1 row."));
    assert!(device.ok(&["verify", "--repair"]).contains("No change is damaged"));
    assert!(device.ok(&["list"]).contains("milk"));
}
