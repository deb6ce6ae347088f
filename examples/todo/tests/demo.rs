//! The demo is the promise of the README: two devices work apart and end up with the same list.

use std::path::Path;
use std::process::{Command, Output};

fn todo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_todo")).args(args).output().unwrap()
}

#[test]
fn two_devices_edit_the_same_todo_apart_and_end_up_equal() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let output = todo(&["demo", "--keep", kept.to_str().unwrap()]);
    let (told, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the demo failed:\n{told}\n{complaints}");
    assert!(complaints.is_empty(), "{complaints}");
    for said in ["[x] Buy oat milk and bread  (2 votes)", "[ ] Finish report", "The two databases are equal"] {
        assert!(told.contains(said), "'{said}' is not in\n{told}");
    }
    for device in ["phone.db", "laptop.db"] {
        assert_list_holds_both(&kept.join(device));
    }
}

/// The databases that the demo leaves behind are the app's own: its other commands read them.
fn assert_list_holds_both(db: &Path) {
    let output = todo(&["--db", db.to_str().unwrap(), "list"]);
    let list = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(list.contains("[x]  Buy oat milk and bread") && list.contains("[ ]  Finish report"), "{list}");
}

#[test]
fn a_demo_never_writes_into_a_folder_with_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "text").unwrap();
    let output = todo(&["demo", "--keep", folder.path().to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
}
