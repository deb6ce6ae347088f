//! The demo: two devices as two processes, told as a story.
//!
//! `story` starts this program twice more, as devices; it tells each over a pipe what its user does,
//! and prints what happens. The devices reach each other only over loopback, with libp2p as in any
//! app. The story ends by comparing the two databases.

mod device;
mod remote;
mod story;

pub(crate) use device::serve;
pub(crate) use story::run;
