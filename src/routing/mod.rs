//! Where a request goes: host, then the longest prefix, then the replica with the least inside.
//!
//! One immutable table answers. Its counts are carried from table to table, so no swap forgets what
//! is open.

mod admission;
mod apply;
mod balance;
mod counters;
mod endpoint;
mod held;
mod hosts;
mod line;
mod load;
mod matcher;
mod session;
mod table;
mod window;

pub use self::admission::Working;
pub use self::apply::{Farewell, Routes, run};
pub use self::balance::{NoPick, Pick, Pool, SessionPick};
pub use self::counters::{Counted, Counters};
pub use self::endpoint::Endpoint;
pub use self::held::{Holding, Stay};
pub use self::line::{Line, Rank, Turn, Waiting};
pub use self::load::{Inside, Pending, SessionKind};
pub use self::matcher::decode;
pub use self::session::{SessionCount, SessionCounter};
pub use self::table::{Host, InstanceTable, Table};
pub use self::window::{Hands, Window};
