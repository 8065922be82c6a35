//! From what was written to what is meant: one file for each table, named as its shape is in
//! [`super::raw`] and its meaning in [`super::model`].
//!
//! Every problem is reported with its place; none hides the next.

mod acme;
pub(super) mod admin;
pub(super) mod certs;
mod dates;
mod engine;
pub(super) mod filters;
pub(super) mod instance;
mod listen;
mod log;
pub(super) mod no_route;
mod policy;
mod route;
mod service;
pub(super) mod status;
pub(super) mod values;
