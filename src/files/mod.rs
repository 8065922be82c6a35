//! Static files: what a route may serve, and nothing beside it.
//!
//! A root is opened once per answer and everything is resolved beneath it by the kernel, so no
//! spelling, link or race leads out. Reading happens off the serving threads.

mod respond;
mod root;

pub use self::respond::{Conditions, Reply, Slice, reply};
pub use self::root::{Found, OpenFile, RootError, open, read};
