//! Takes the program out of the README, so that what is compiled and run is what a reader sees.

use std::path::Path;
use std::{env, fs};

fn main() {
    let readme = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../README.md");
    println!("cargo::rerun-if-changed={}", readme.display());
    let text = fs::read_to_string(&readme).unwrap_or_else(|error| panic!("can't read {}: {error}", readme.display()));
    let (_, from) = text.split_once("```rust").expect("the README begins with a program");
    let (_, from) = from.split_once('\n').expect("the block has lines");
    let (program, _) = from.split_once("```").expect("the block ends");
    let out = Path::new(&env::var("OUT_DIR").unwrap()).join("readme.rs");
    fs::write(out, program).unwrap();
}
