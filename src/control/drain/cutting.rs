//! How the sessions of a replica are closed once its drain took too long: a few at a time, as long
//! as those who come back find room and answers elsewhere.

use super::super::event::Now;
use super::super::replica::{Replica, State};
use super::super::service::ServiceState;
use super::closing::Closing;
use crate::names::Generation;

/// Never more in a second, so that clients come back one by one.
const MOST_PER_SECOND: u32 = 5;

/// What it depends on whether sessions may be closed.
pub(in crate::control) struct Elsewhere {
    /// Sessions that the others can take, beyond those that are being closed.
    room: i64,
    /// Too much, an event, or many who are expected back: no time to ask people to come again.
    busy: bool,
    /// Sessions per second whose return is answered at once.
    pace: u32,
}

impl Elsewhere {
    /// `workers`: those who answer, if the service has any.
    pub(in crate::control) fn of(
        state: &ServiceState,
        per_replica: u32,
        event: bool,
        workers: Option<u32>,
    ) -> Self {
        let closing = state
            .replicas
            .values()
            .filter(|replica| replica.is_closing());
        let closing: i64 = closing.map(|replica| i64::from(replica.sessions())).sum();
        let inputs = state.decision.as_ref().map(|decision| decision.inputs);
        Self {
            room: i64::from(state.room(per_replica)) - closing,
            busy: event || inputs.is_some_and(|inputs| inputs.panic || inputs.ghost),
            pace: pace(workers, state.window),
        }
    }

    /// Whether the sessions of one that drains may be closed from now on.
    pub(in crate::control) fn takes(&self, replica: &Replica) -> bool {
        !self.busy && self.room >= i64::from(replica.sessions())
    }

    /// Whether closing that has begun may go on.
    fn goes_on(&self) -> bool {
        !self.busy && self.room >= 0
    }
}

/// A quarter of the handshakes that are let through at a time. Before the first report that tells the
/// `window`: one for each worker, of whom each begins with four.
fn pace(workers: Option<u32>, window: u32) -> u32 {
    let Some(ready) = workers else {
        return MOST_PER_SECOND;
    };
    let at_once = if window == 0 { ready } else { window / 4 };
    at_once.clamp(1, MOST_PER_SECOND)
}

impl Replica {
    fn is_closing(&self) -> bool {
        matches!(self.state(), State::Cutting { .. })
    }

    /// Begins to close its sessions.
    pub(in crate::control) fn cut(
        &mut self,
        now: Now,
        next: Generation,
        elsewhere: &mut Elsewhere,
    ) {
        let sessions = self.sessions();
        elsewhere.room -= i64::from(sessions);
        let closing = Closing::slice(now, sessions, elsewhere.pace);
        self.enter(
            now,
            State::Cutting {
                from: next,
                closing,
            },
        );
    }

    /// Goes on closing, if there are any left and it is time. `overdue`: whatever is elsewhere.
    pub(in crate::control) fn cut_on(&mut self, now: Now, elsewhere: &Elsewhere, overdue: bool) {
        let sessions = self.sessions();
        if let State::Cutting { closing, .. } = self.state_mut()
            && closing.keep > 0
            && now.at >= closing.next_at
            && (overdue || elsewhere.goes_on())
        {
            *closing = Closing::slice(now, closing.keep.min(sessions), elsewhere.pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_a_quarter_of_the_window_of_this_moment() {
        for (workers, window, expected) in [
            (None, 64, 5),
            (Some(3), 0, 3),
            (Some(3), 12, 3),
            // The stack has said that it is too much.
            (Some(4), 4, 1),
            (Some(2), 2, 1),
            // It answers quickly.
            (Some(2), 32, 5),
            (Some(0), 0, 1),
        ] {
            assert_eq!(pace(workers, window), expected, "{workers:?} {window}");
        }
    }
}
