//! What the program believes about the operator's wishes: nothing left to interpret.
//!
//! Values only. How they are written is not known here, nor how they came to be.

mod acme;
mod admin;
mod certs;
mod dates;
mod engine;
mod instance;
mod listen;
mod log;
mod policy;
mod route;
mod service;
mod status;

pub use self::acme::{Acme, ChallengeKind, Directory, ExternalAccount, ExternalKey};
pub use self::admin::Admin;
pub use self::certs::{Certs, Compat, TlsVersion};
pub use self::dates::{Event, Hours, Rental};
pub use self::engine::{EngineChoice, NamesFromContainers, Networks};
pub use self::instance::{Instance, Orders};
pub use self::listen::Listen;
pub use self::log::{AccessFormat, AccessKeys, Addresses, Log, LogFormat};
pub use self::policy::{Drain, ScaleMode, ScalePolicy};
pub use self::route::{FileSource, Route, RouteTarget};
pub use self::service::{Bounds, Probe, Reserved, Role, Service};
pub use self::status::{Alert, AlertTarget, MinStatus, Threshold, Thresholds};
