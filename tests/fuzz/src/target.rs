//! One target under libFuzzer: the one that the binary is named after.

#![no_main]

const NAME: &str = env!("CARGO_BIN_NAME");

libfuzzer_sys::fuzz_target!(
    init: cfost_fuzz::write_seeds(NAME).expect("the corpus can be written"),
    |bytes: &[u8]| {
        (cfost_fuzz::fuzz::target(NAME).run)(bytes);
    }
);
