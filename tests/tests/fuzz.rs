//! Every decoder survives mutations of valid bytes, as many as a run of the tests has time for.
//! `tests/fuzz` goes on from there, with instrumentation and without an end.

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::Path;

use cfost_tests::fuzz::{Mutator, Random, TARGETS};

/// Other mutations: `CFOST_FUZZ_SEED=<number> cargo test -p cfost-tests --test fuzz`.
const SEED: u64 = 20_260_701;
/// More of them: `CFOST_FUZZ_CASES=<number>`.
const CASES: u64 = 1_500;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn valid_bytes_are_good_and_nothing_is_not() {
    for target in TARGETS {
        for (index, bytes) in (target.seeds)().iter().enumerate() {
            assert!((target.run)(bytes), "seed {index} of {}", target.name);
        }
        assert!(!(target.run)(&[]), "{}", target.name);
    }
}

#[test]
fn mutated_bytes_break_no_promise() {
    let (seed, cases) = (setting("CFOST_FUZZ_SEED", SEED), setting("CFOST_FUZZ_CASES", CASES));
    for target in TARGETS {
        let seeds = (target.seeds)();
        let mut mutator = Mutator::new(&seeds, Random::new(seed));
        for case in 0..cases {
            let bytes = mutator.next_bytes();
            if panic::catch_unwind(|| (target.run)(&bytes)).is_err() {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                panic!("target {}, seed {seed}, case {case} breaks on {hex}", target.name);
            }
        }
    }
}

#[test]
fn every_target_is_there_for_libfuzzer_too() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let built = |name: &&str| cfg!(feature = "text") || *name != "text_delta";
    let binaries: BTreeSet<_> =
        manifest.split("[[bin]]").skip(1).filter_map(|it| it.split('"').nth(1)).filter(built).collect();
    let targets = TARGETS.iter().map(|target| target.name).collect::<BTreeSet<_>>();
    assert_eq!(binaries, targets);
}
