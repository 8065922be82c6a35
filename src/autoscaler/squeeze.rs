//! What gives way on a host that is full, in this order:
//!
//! 1. what is wanted beyond the ratio because it was slow: first what does not run yet;
//! 2. of stacks that hold more than their fair share, a quarter of those who follow, then half;
//! 3. of those, what carries sessions and is to spare;
//! 4. nobody starts beyond the fair share: replicas fill up to the most that one may hold;
//! 5. who comes then waits for a place, and
//! 6. is turned away when there is none in time.
//!
//! The first three make room by drains, one of a service at a time, and each can be taken back; no
//! session is ended for another stack's sake. The last three happen where requests arrive; here they
//! are told.

use super::decision::{Decision, Limit};
use super::policy::{Kind, whole};
use super::resources::{Resources, Scarce};
use super::share::{Claim, Part, share};

/// Shares of the ratio that are left to who holds too much, in hundredths.
const LEFT_OF_RATIO: [u32; 2] = [75, 50];

/// One stack on the host.
#[derive(Clone, Debug)]
pub struct Guest {
    pub weight: u32,
    /// Sessions one replica is to hold, and may hold.
    pub soft: u32,
    pub hard: u32,
    /// In the order of its policy.
    pub places: Vec<Place>,
}

/// One of its services.
#[derive(Clone, Debug)]
pub struct Place {
    pub kind: Kind,
    /// So many are not taken, whatever the host.
    pub least: u32,
    /// What one replica takes.
    pub cost: Resources,
    /// An operator's number, or a mode that lets nobody leave.
    pub settled: bool,
    pub decision: Decision,
}

/// What a place is to come to, and what it gave way to.
#[derive(Clone, Copy, Debug)]
struct Goal {
    count: u32,
    limit: Option<Limit>,
}

/// Fits what all want into `room`, what is left beside everything that runs. `scarce`: what there is
/// not enough of.
pub fn squeeze(room: Resources, scarce: Scarce, guests: &mut [Guest]) {
    let mut goals: Vec<Vec<Goal>> = guests
        .iter()
        .map(|guest| guest.places.iter().map(Goal::of).collect())
        .collect();
    if fits(room, guests, &goals) {
        return;
    }
    for runs_too in [false, true] {
        drop_boosts(guests, &mut goals, runs_too);
        if fits(room, guests, &goals) {
            return settle(guests, &goals, scarce);
        }
    }
    let present = price(guests, |place, _| place.decision.inputs.present, &goals);
    let claims: Vec<Claim> = guests.iter().zip(&goals).map(claim).collect();
    let grants = share(present.plus(room), &claims);
    for hundredths in LEFT_OF_RATIO {
        for ((guest, goals), grant) in guests.iter().zip(&mut goals).zip(&grants) {
            if holds_too_much(guest, goals, grant) {
                thin_out(guest, goals, hundredths);
            }
        }
        if fits(room, guests, &goals) {
            return settle(guests, &goals, scarce);
        }
    }
    for ((guest, goals), grant) in guests.iter().zip(&mut goals).zip(&grants) {
        if holds_too_much(guest, goals, grant) {
            spare(guest, goals);
        }
    }
    settle(guests, &goals, scarce);
    for (guest, grant) in guests.iter_mut().zip(&grants) {
        let (soft, hard) = (guest.soft, guest.hard);
        for (place, granted) in guest.places.iter_mut().zip(grant) {
            let density = (place.kind == Kind::Sessions).then_some((soft, hard));
            place.decision = place.decision.clone().within(*granted, density, scarce);
        }
    }
}

impl Goal {
    fn of(place: &Place) -> Self {
        Self {
            count: place.decision.desired,
            limit: None,
        }
    }

    /// No more than this, and of those that run no fewer than the least.
    fn lower(&mut self, place: &Place, most: u32, limit: Limit) {
        let most = most.max(place.least);
        if self.count > most {
            self.count = most;
            self.limit = Some(limit);
        }
    }
}

fn price(guests: &[Guest], count: impl Fn(&Place, &Goal) -> u32, goals: &[Vec<Goal>]) -> Resources {
    let places = guests.iter().zip(goals).flat_map(|(guest, goals)| {
        let places = guest.places.iter().zip(goals);
        places.map(|(place, goal)| place.cost.times(count(place, goal)))
    });
    places.fold(Resources::default(), Resources::plus)
}

/// Whether everything that is to start fits, once everything that is to leave has left.
fn fits(room: Resources, guests: &[Guest], goals: &[Vec<Goal>]) -> bool {
    let more = |place: &Place, goal: &Goal| {
        let present = place.decision.inputs.present;
        goal.count.saturating_sub(present)
    };
    let fewer = |place: &Place, goal: &Goal| {
        let present = place.decision.inputs.present;
        present.saturating_sub(goal.count)
    };
    room.plus(price(guests, fewer, goals))
        .holds(price(guests, more, goals))
}

fn drop_boosts(guests: &[Guest], goals: &mut [Vec<Goal>], runs_too: bool) {
    for (guest, goals) in guests.iter().zip(goals) {
        for (place, goal) in guest.places.iter().zip(goals) {
            let Some(by_ratio) = place.decision.by_ratio.filter(|_| !place.settled) else {
                continue;
            };
            let present = place.decision.inputs.present;
            let most = if runs_too {
                by_ratio
            } else {
                by_ratio.max(present)
            };
            goal.lower(place, most, Limit::Boost(by_ratio));
        }
    }
}

fn claim((guest, goals): (&Guest, &Vec<Goal>)) -> Claim {
    let places = guest.places.iter().zip(goals);
    let parts = places.map(|(place, goal)| Part {
        least: place.least,
        wanted: goal.count.max(place.least),
        step: step(place.kind),
        cost: place.cost,
    });
    Claim {
        weight: guest.weight,
        parts: parts.collect(),
    }
}

/// Replicas that come together.
fn step(kind: Kind) -> u32 {
    match kind {
        Kind::Fixed | Kind::Sessions => 1,
        Kind::Ratio { ratio, .. } => whole(ratio),
    }
}

/// Whether it holds more than its share by a whole bundle. By less than that two would take turns.
fn holds_too_much(guest: &Guest, goals: &[Goal], grant: &[u32]) -> bool {
    let places = guest.places.iter().zip(goals).zip(grant);
    let (mut held, mut share) = (Resources::default(), Resources::default());
    for ((place, goal), granted) in places {
        let holds = goal.count.min(place.decision.inputs.present);
        held = held.plus(place.cost.times(holds));
        let granted = granted.saturating_add(step(place.kind));
        share = share.plus(place.cost.times(granted));
    }
    !share.holds(held)
}

/// Leaves so much of the ratio to those who follow.
fn thin_out(guest: &Guest, goals: &mut [Goal], hundredths: u32) {
    for (place, goal) in guest.places.iter().zip(goals) {
        let Kind::Ratio { of, ratio } = place.kind else {
            continue;
        };
        let Some(leader) = guest.places.get(of).filter(|_| !place.settled) else {
            continue;
        };
        let leaders = f64::from(leader.decision.desired);
        let most = whole(ratio * leaders * f64::from(hundredths) / 100.0).max(1);
        let each = ratio * f64::from(hundredths) / 100.0;
        goal.lower(place, most, Limit::Ratio { each, count: most });
    }
}

/// What demand, calendar and memory do not ask for: it only waits for its drain.
fn spare(guest: &Guest, goals: &mut [Goal]) {
    for (place, goal) in guest.places.iter().zip(goals) {
        let decision = &place.decision;
        if place.kind == Kind::Sessions && !place.settled && !decision.inputs.panic {
            let most = decision.wanted.max(1);
            goal.lower(place, most, Limit::Surplus(most));
        }
    }
}

/// From goals to the next step: one leaves at a time.
fn settle(guests: &mut [Guest], goals: &[Vec<Goal>], scarce: Scarce) {
    for (guest, goals) in guests.iter_mut().zip(goals) {
        for (place, goal) in guest.places.iter_mut().zip(goals) {
            let Some(limit) = goal.limit else { continue };
            let decision = &mut place.decision;
            let inputs = &decision.inputs;
            let leaves = goal.count < inputs.present && inputs.draining == 0;
            let most = if leaves {
                inputs.present - 1
            } else {
                goal.count.max(inputs.present)
            };
            if decision.desired > most || goal.count < inputs.present {
                decision.desired = decision.desired.min(most);
                decision.limited_by = Some(limit);
                decision.scarce = scarce;
                decision.kept = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
