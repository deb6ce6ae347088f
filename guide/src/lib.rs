//! The guide of CFOST, a chapter a module. Every code block is compiled, and run where it can be.
//!
//! The chapters are `guide/chapters/*.md`, to be read in this order:
//!
//! 1. [Getting started](getting_started)
//! 2. [Models and column types](models)
//! 3. [Merge rules and the life of rows](merge_rules)
//! 4. [Writing and reading](writing_and_reading)
//! 5. [Queries and live queries](queries)
//! 6. [History, explanations and undo](history)
//! 7. [Pairing and sync](pairing_and_sync)
//! 8. [Sharing](sharing)
//! 9. [Changing models](changing_models)
//! 10. [Errors and recovery](errors_and_recovery)
//! 11. [Shipping](shipping)

pub mod todo;

#[doc = include_str!("../chapters/getting-started.md")]
pub mod getting_started {}

#[doc = include_str!("../chapters/models.md")]
pub mod models {}

#[doc = include_str!("../chapters/merge-rules.md")]
pub mod merge_rules {}

#[doc = include_str!("../chapters/writing-and-reading.md")]
pub mod writing_and_reading {}

#[doc = include_str!("../chapters/queries.md")]
pub mod queries {}

#[doc = include_str!("../chapters/history.md")]
pub mod history {}

#[doc = include_str!("../chapters/pairing-and-sync.md")]
pub mod pairing_and_sync {}

#[doc = include_str!("../chapters/sharing.md")]
pub mod sharing {}

#[doc = include_str!("../chapters/changing-models.md")]
pub mod changing_models {}

#[doc = include_str!("../chapters/errors-and-recovery.md")]
pub mod errors_and_recovery {}

#[doc = include_str!("../chapters/shipping.md")]
pub mod shipping {}

/// The document on history, whose example is compiled and run like those of the chapters.
#[cfg(doctest)]
#[doc = include_str!("../../docs/history.md")]
pub mod history_document {}

/// The README, whose example is compiled like those of the chapters.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub mod readme {}
