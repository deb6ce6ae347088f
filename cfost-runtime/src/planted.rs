//! Bugs that can be switched on one at a time, to see that the tests catch them: `tests/planted/run`.
//!
//! In any other build `planted!("..")` is `false`, which the compiler knows. Under the feature `__planted-bugs`, which is
//! for that script alone, the environment variable `CFOST_PLANTED_BUG` names the bug that the process has.

/// Whether the bug of this name is switched on.
macro_rules! planted {
    ($bug:literal) => {
        $crate::planted::is_on($bug)
    };
}

#[cfg(not(feature = "__planted-bugs"))]
pub(crate) const fn is_on(_: &str) -> bool {
    false
}

#[cfg(feature = "__planted-bugs")]
pub(crate) fn is_on(bug: &str) -> bool {
    static BUG: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var("CFOST_PLANTED_BUG").ok()).as_deref() == Some(bug)
}
