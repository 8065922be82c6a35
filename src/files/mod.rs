//! Static files: what a route may serve, and nothing beside it.
//!
//! A [`Library`] answers for every file of every instance. Everything is resolved beneath its root
//! by the kernel, so no spelling, link or race leads out. Files are touched off the serving threads
//! only, with a deadline and a bound for each instance. Text is compressed once, in the background,
//! and then served from memory.

mod access;
mod compress;
mod conditions;
mod editions;
mod hashed;
mod inspect;
mod library;
mod listing;
mod negotiate;
mod order;
mod place;
mod respond;
mod root;
mod shelf;
mod small;
mod workshop;

pub use self::conditions::{Conditions, Slice};
pub use self::editions::{Editions, Set};
pub use self::inspect::{Routes, Served, Unserved, inspect};
pub use self::library::{Content, FileError, Found, Library, Wanted};
pub use self::listing::{CONTENT_SECURITY_POLICY, Listing};
pub use self::negotiate::{Accepted, Coding, is_text};
pub use self::place::{Kind, Place};
pub use self::respond::Reply;
pub use self::root::{OpenFile, RootError};
pub use self::small::small;
pub use self::workshop::Workshop;
