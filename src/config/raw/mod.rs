//! The shape of the files: what was written, where, and nothing about what it means.
//!
//! A field that no one lowers is a dead field, and the compiler says so.
//!
//! Each shape says of itself how it is read and what becomes of two layers of it: key by key the
//! upper one counts where it says anything. Everything keeps its origin, so a complaint names the
//! file that is to blame.

mod acme;
mod admin;
mod certs;
mod dates;
mod engine;
mod file;
mod instance;
mod listen;
mod log;
mod policy;
mod route;
mod service;
mod status;

pub(super) use self::acme::{RawAcme, RawDirectory, RawExternalAccount};
pub(super) use self::admin::RawAdmin;
pub(super) use self::certs::{RawCerts, RawCompat, RawTlsVersion, RawUnknownName};
pub(super) use self::dates::{RawEvent, RawRental};
pub(super) use self::engine::{RawEngine, RawEngineKind, RawNetworks};
pub(super) use self::file::{RawFile, RawInstances, read_instances};
pub(super) use self::instance::{RawHttps, RawInstance, RawOrigin};
pub(super) use self::listen::{RawAll, RawListen, RawProxyProtocol};
pub(super) use self::log::{RawAccessFormat, RawAccessKeys, RawAddresses, RawLog, RawLogFormat};
pub(super) use self::policy::{RawLimits, RawScale, RawScaleMode};
pub(super) use self::route::{RawAuth, RawFiles, RawRoute};
pub(super) use self::service::{RawPlacement, RawRole, RawService};
pub(super) use self::status::{RawAlert, RawAlertFormat, RawMinStatus, RawStatus};
