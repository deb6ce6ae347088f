//! The same targets as those of the smoke test in `tests/tests/fuzz.rs`, without the rest of the tests.

use std::{fs, io};

#[path = "../../src/fuzz/mod.rs"]
pub mod fuzz;

/// Writes the valid bytes of a target to `corpus/<target>`, for libFuzzer to start from.
///
/// # Errors
/// When the folder can't be written to.
pub fn write_seeds(name: &str) -> io::Result<()> {
    let folder = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&folder)?;
    for (index, bytes) in (fuzz::target(name).seeds)().iter().enumerate() {
        fs::write(format!("{folder}/seed-{index}"), bytes)?;
    }
    Ok(())
}
