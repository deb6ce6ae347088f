//! Fuzz targets: for each decoder that reads bytes from outside, a function that takes any bytes at all.
//!
//! A target panics when a promise breaks: a decoder panics, or accepts bytes that it would not write
//! itself, or replicas that saw the same differ. `tests/tests/fuzz.rs` throws seeded mutations of valid
//! bytes at all of them in every run of the tests; `tests/fuzz` has the same targets for libFuzzer.

mod crdt;
mod field;
mod identity;
mod members;
mod mutate;
mod oplog;
mod pairing;
mod sync;
#[cfg(feature = "text")]
mod text;

pub use mutate::{Mutator, Random};

/// A function that takes any bytes, and valid bytes to start from.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it reads.
    pub name: &'static str,
    /// Reads the bytes and returns whether they are good; panics when a promise breaks.
    pub run: fn(&[u8]) -> bool,
    /// Bytes that are valid, of each kind there is.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "header", run: oplog::header, seeds: oplog::header_seeds },
    Target { name: "change", run: oplog::change, seeds: oplog::change_seeds },
    Target { name: "segment", run: oplog::segment, seeds: oplog::segment_seeds },
    Target { name: "elements", run: oplog::elements, seeds: oplog::elements_seeds },
    Target { name: "plaintext", run: oplog::plaintext, seeds: oplog::plaintext_seeds },
    Target { name: "value", run: oplog::value, seeds: oplog::value_seeds },
    Target { name: "run", run: oplog::run, seeds: oplog::run_seeds },
    Target { name: "sealed_field", run: field::sealed, seeds: field::sealed_seeds },
    Target { name: "row_clock", run: crdt::row_clock, seeds: crdt::row_clock_seeds },
    Target { name: "list_position", run: crdt::list_position, seeds: crdt::list_position_seeds },
    Target { name: "identity_entry", run: identity::entry, seeds: identity::entry_seeds },
    Target { name: "identity_log", run: identity::log, seeds: identity::log_seeds },
    Target { name: "members_entry", run: members::entry, seeds: members::entry_seeds },
    Target { name: "members_log", run: members::log, seeds: members::log_seeds },
    Target { name: "vault", run: identity::vault, seeds: identity::vault_seeds },
    Target { name: "wrapped_secret", run: identity::wrapped_secret, seeds: identity::wrapped_secret_seeds },
    Target { name: "recovery_phrase", run: identity::recovery_phrase, seeds: identity::recovery_phrase_seeds },
    Target { name: "invitation", run: pairing::invitation_text, seeds: pairing::invitation_text_seeds },
    Target { name: "pairing_inviter", run: pairing::inviter_hears, seeds: pairing::inviter_hears_seeds },
    Target { name: "pairing_joiner", run: pairing::joiner_hears, seeds: pairing::joiner_hears_seeds },
    Target { name: "card", run: pairing::card_text, seeds: pairing::card_text_seeds },
    Target { name: "pairing_card", run: pairing::card_hears, seeds: pairing::card_hears_seeds },
    Target { name: "share", run: pairing::share_text, seeds: pairing::share_text_seeds },
    Target { name: "pairing_share", run: pairing::share_hears, seeds: pairing::share_hears_seeds },
    Target { name: "pairing_spoken", run: pairing::spoken_hears, seeds: pairing::spoken_hears_seeds },
    Target { name: "sync_frames", run: sync::frames, seeds: sync::frames_seeds },
    #[cfg(feature = "text")]
    Target { name: "text_delta", run: text::delta, seeds: text::delta_seeds },
];

/// The target of this name.
///
/// # Panics
/// When there is none.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no fuzz target is called {name}"))
}
