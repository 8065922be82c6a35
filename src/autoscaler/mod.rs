//! How many replicas a stack should have: the policy, in prose.
//!
//! The signal is what is connected: websockets, streams, and requests in flight. Never the
//! processor: in a stack that waits for its database it is idle while people wait too.
//!
//! **Up** at once: as many replicas as the sessions of this moment need at
//! `sessions-per-replica`, at most doubling (or four more, whichever is more) per step. Replicas
//! still starting count, so a burst does not order twice.
//!
//! **Down** one at a time and late: only when the highest demand of the whole `down-after` would fit
//! three quarters of what one replica less can hold, nothing is starting, everybody is ready and the
//! last drain is a while ago. The quarter is the hysteresis; without it the two rules chase each
//! other.
//!
//! **Missing samples** are not low demand: without a full window nothing shrinks. After usher itself
//! has started, the window is empty, and so the first `down-after` only grows.
//!
//! A service with the role **ratio** follows the one it belongs to, times its ratio.
//!
//! Pure: time is an argument, and nothing here starts or stops anything.

mod decide;
mod window;

pub use self::decide::{Crew, Decision, Direction, Limit, follow, sessions};
pub use self::window::Window;
