//! The operator's wishes, read from TOML.
//!
//! Two kinds of types: `raw` is what the files say, [`model`] what the program believes; `lower` makes
//! the one into the other, and neither knows of it. Reading reports every mistake with file, line and
//! key. The global part applies whole or not at all; each instance is accepted or rejected alone, and
//! a rejected one keeps its last good form.

mod assembly;
pub mod claimed;
mod claims;
mod client_ca;
mod error_page;
#[cfg(test)]
mod fixture;
mod global;
mod issue;
mod load;
mod lower;
pub mod model;
pub mod mounted;
mod pattern;
mod presets;
mod raw;
mod reader;
mod shown;
pub mod tokens;
mod units;
mod upstream_tls;
pub mod variables;
pub mod watch;
mod whole;

pub use self::issue::{Issue, Level};
pub use self::load::{Loaded, control_socket, load, load_as};
pub use self::model::Instance;
pub use self::pattern::Pattern;
pub use self::shown::{Shown, Value, show};
pub use self::units::{format_span, parse_span};
pub use self::whole::{Asked, Config};
