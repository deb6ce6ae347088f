//! What the room promises, over real sockets on loopback. Nothing here waits longer than it must, and
//! nothing waits without a limit.

#![allow(clippy::print_stdout)] // Seeds and figures are for whoever reads a failure.

mod card;
mod fleet;
mod hostile;
mod lan;
mod meeting;
mod pairing;
mod spoken;
