//! What a mistake looks like to the app's author: every error on its token, all in one compile, and
//! nothing after them. The folders are kinds of mistakes. The output is rustc's as much as ours, so it
//! is compared by the rustc it was written with only; with that one,
//! `TRYBUILD=overwrite cargo test -p cfost-derive --test ui` writes it anew.

use std::process::Command;

/// The rustc that the expected output was written with.
const WRITTEN_WITH: &str = "rustc 1.95.";

#[test]
fn a_mistake_is_reported_on_its_token_with_what_to_do() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    if String::from_utf8_lossy(&version).starts_with(WRITTEN_WITH) {
        trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
    }
}
