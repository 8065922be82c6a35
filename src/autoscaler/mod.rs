//! How many replicas a stack should have: the policy, in prose.
//!
//! **The signal** is what is connected or wants to be: sessions, handshakes without an answer, who
//! is held, and requests in flight over six seconds. Never the processor: in a stack that waits for
//! its database it is idle while people wait too.
//!
//! **Up** at once (`web`): as many as demand needs at `sessions-per-replica`, at most doubling (or
//! four more) per step, and as many as it will need when a replica ordered now is ready; growth
//! counts only near the highest demand of `down-after`, and never beyond 1.2 times the people there
//! can be. Replicas still starting count, so a burst does not order twice.
//!
//! **Down** one at a time and late: only when the highest demand of the whole `down-after` would fit
//! three fifths of what one replica less can hold, nothing is starting, everybody is ready, and the
//! last start and the last drain are a while ago. The rest is the hysteresis.
//!
//! **Nothing shrinks** while it is too much (panic), while a crowd that was lost at once may come
//! back, after usher itself has started (`holds`), and while the past is not known: missing
//! samples are not low demand. Nor does the return of those who were lost look like growth: as many
//! as there were are no more than there were.
//!
//! **Workers** (`workers`) follow by their ratio: up with those they follow, down as soon as the
//! highest demand of `down-after` leaves a third of them over, because nobody is connected to a worker
//! and one is back within seconds. One is enough where hardly anybody has been for so long; more than
//! the ratio come where they are busy or slow, unless that was no help twice (`brake`), and leave
//! when that is over. Only idle ones leave.
//!
//! **The calendar** raises and never lowers. An operator's number comes before everything.
//!
//! **Nobody at all** for `idle-to-zero` (`zero`): nothing runs, whatever the minimum, until somebody
//! comes. Outside the rental nothing runs in any case.
//!
//! **A full host** is shared by weight ([`share()`]). What gives way gives way in an order that is told
//! ([`squeeze()`]); nobody loses a session to another stack.
//!
//! Pure: time is an argument, and nothing here starts or stops anything. `usher simulate` runs the
//! same [`decide()`] on a clock of its own.

mod brake;
mod calendar;
mod decide;
mod decision;
mod demand;
mod holds;
mod lead;
mod observation;
mod policy;
mod recent;
mod resources;
mod share;
mod squeeze;
mod web;
mod window;
mod workers;
mod zero;

pub use self::calendar::{is_on, next_event, replicas_for};
pub use self::decide::{State, decide};
pub use self::decision::{Decision, Direction, Inputs, Kept, Limit, Term};
pub use self::lead::Lead;
pub use self::observation::{Backlog, Crew, Load, Observation, Override, Seen};
pub use self::policy::{Kind, Policy, ServicePolicy, Spans, whole};
pub use self::resources::{Resources, Scarce};
pub use self::share::{Claim, Part, share};
pub use self::squeeze::{Guest, Place, squeeze};
