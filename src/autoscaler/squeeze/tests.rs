use proptest::prelude::*;

use super::*;
use crate::autoscaler::{Inputs, Term};

const COST: u64 = 100;

/// So much memory is left.
fn squeezed(room: u64, guests: &mut [Guest]) {
    squeeze(
        Resources {
            memory: room,
            ..Resources::BOUNDLESS
        },
        Scarce::Memory,
        guests,
    );
}

fn decision(present: u32, wanted: u32, desired: u32) -> Decision {
    Decision {
        wanted,
        desired,
        term: Term::Sessions {
            demand: wanted * 100,
            per_replica: 100,
            count: wanted,
        },
        limited_by: None,
        put_off: None,
        kept: None,
        by_ratio: None,
        scarce: Scarce::Memory,
        inputs: Inputs {
            present,
            ready: present,
            demand: wanted * 100,
            ..Inputs::default()
        },
    }
}

fn place(kind: Kind, least: u32, decision: Decision) -> Place {
    Place {
        kind,
        least,
        cost: Resources::of_memory(COST),
        settled: false,
        decision,
    }
}

/// So many webs run, so many are needed, and four workers for each of those that run.
fn guest(present: u32, needed: u32) -> Guest {
    let desired = present.max(needed);
    let web = decision(present, needed, desired);
    let worker = decision(present * 4, desired * 4, desired * 4);
    Guest {
        weight: 1,
        soft: 100,
        hard: 250,
        places: vec![
            place(Kind::Sessions, 1, web),
            place(Kind::Ratio { of: 0, ratio: 4.0 }, 1, worker),
        ],
    }
}

/// Does what is decided until nothing changes any more: room grows with who leaves and is taken by
/// who starts.
fn lived(mut room: u64, mut guests: Vec<Guest>) -> (u64, Vec<Guest>) {
    let wishes = guests.clone();
    for _ in 0..200 {
        for (guest, wish) in guests.iter_mut().zip(&wishes) {
            let webs = guest.places[0].decision.inputs.present;
            let webs = webs.max(wish.places[0].decision.wanted);
            for (place, wish) in guest.places.iter_mut().zip(&wish.places) {
                let present = place.decision.inputs.present;
                place.decision = wish.decision.clone();
                place.decision.inputs.present = present;
                place.decision.inputs.ready = present;
                if place.kind == Kind::Sessions {
                    place.decision.desired = wish.decision.wanted.max(present);
                } else {
                    place.decision.desired = webs * 4;
                }
            }
        }
        squeezed(room, &mut guests);
        for place in guests.iter_mut().flat_map(|guest| &mut guest.places) {
            let decision = &mut place.decision;
            let present = &mut decision.inputs.present;
            if decision.desired < *present {
                *present -= 1;
                room += place.cost.memory;
            } else if decision.desired > *present && room >= place.cost.memory {
                *present += 1;
                room -= place.cost.memory;
            }
        }
    }
    (room, guests)
}

fn counts(guests: &[Guest]) -> Vec<[u32; 2]> {
    let counts = guests.iter().map(|guest| {
        let present = |index: usize| guest.places[index].decision.inputs.present;
        [present(0), present(1)]
    });
    counts.collect()
}

fn limits(guest: &Guest) -> [Option<Limit>; 2] {
    [0, 1].map(|index: usize| guest.places[index].decision.limited_by)
}

#[test]
fn where_there_is_room_nothing_gives_way() {
    let mut guests = vec![guest(8, 8), guest(1, 3)];
    squeezed(10 * COST, &mut guests);
    assert!(guests.iter().all(|guest| limits(guest) == [None, None]));
}

#[test]
fn a_boost_goes_before_any_ratio_is_touched() {
    let mut guests = vec![guest(4, 4), guest(1, 2)];
    let boosted = &mut guests[0].places[1].decision;
    boosted.inputs.present = 24;
    boosted.desired = 24;
    boosted.by_ratio = Some(16);
    squeezed(0, &mut guests);
    let worker = &guests[0].places[1].decision;
    assert_eq!(
        (worker.desired, worker.limited_by),
        (23, Some(Limit::Boost(16)))
    );
    assert!(
        worker.to_string().ends_with("boosts go first, down to 16"),
        "{worker}"
    );
    assert_eq!(
        guests[1].places[0].decision.limited_by, None,
        "the room is on its way"
    );
}

#[test]
fn who_holds_more_than_its_share_gives_a_quarter_of_its_workers_and_then_half() {
    // Eight bundles of five and nothing left; two are wanted elsewhere, then four.
    let mut guests = vec![guest(8, 8), guest(1, 2)];
    squeezed(0, &mut guests);
    let worker = &guests[0].places[1].decision;
    assert_eq!(worker.desired, 31, "one at a time");
    assert_eq!(
        worker.to_string(),
        "3200 sessions, 100 per replica: 32; the host is full and others hold less than their share: \
         3 for each it follows, down to 24"
    );
    assert_eq!(limits(&guests[1]), [None, None]);

    let mut guests = vec![guest(8, 8), guest(1, 4)];
    squeezed(0, &mut guests);
    let halved = Limit::Ratio {
        each: 2.0,
        count: 16,
    };
    assert_eq!(limits(&guests[0])[1], Some(halved));
}

#[test]
fn a_web_to_spare_goes_only_when_workers_were_not_enough() {
    let for_an_event = |other: Guest| {
        let event = Guest {
            weight: 4,
            ..guest(1, 8)
        };
        vec![other, event]
    };
    // Needs four of its eight, and keeps the others for a while.
    let mut guests = for_an_event(guest(8, 4));
    squeezed(0, &mut guests);
    let web = &guests[0].places[0].decision;
    assert_eq!((web.desired, web.limited_by), (7, Some(Limit::Surplus(4))));
    assert!(
        web.to_string()
            .ends_with("what is to spare leaves early, down to 4"),
        "{web}"
    );
    // Who needs all it has keeps all it has.
    let mut guests = for_an_event(guest(8, 8));
    squeezed(0, &mut guests);
    assert_eq!(guests[0].places[0].decision.desired, 8);
    // And so does who had too much a moment ago.
    let mut guests = for_an_event(guest(8, 4));
    guests[0].places[0].decision.inputs.panic = true;
    squeezed(0, &mut guests);
    assert_eq!(guests[0].places[0].decision.desired, 8);
}

#[test]
fn beyond_that_replicas_fill_up_and_then_people_wait_and_are_turned_away() {
    let mut guests = vec![guest(2, 4)];
    squeezed(0, &mut guests);
    assert_eq!(
        guests[0].places[0].decision.to_string(),
        "400 sessions, 100 per replica: 4; host memory allows 2, and each fills up to 250 meanwhile"
    );
    let mut guests = vec![guest(2, 6)];
    squeezed(0, &mut guests);
    assert_eq!(
        guests[0].places[0].decision.to_string(),
        "600 sessions, 100 per replica: 6; host memory allows 2, which hold 500 at most: who comes \
         beyond that waits, and is turned away in the end"
    );
}

#[test]
fn two_who_want_everything_come_to_rest_near_their_shares() {
    let (room, guests) = lived(0, vec![guest(8, 8), guest(1, 8)]);
    let counts = counts(&guests);
    let held: Vec<u32> = counts
        .iter()
        .map(|[webs, workers]| webs + workers)
        .collect();
    assert_eq!(counts[0][0], 8, "nobody is moved: {counts:?}");
    assert!(held[0].abs_diff(held[1]) <= 10, "{counts:?}");
    let (_, again) = lived(room, guests);
    assert_eq!(self::counts(&again), counts, "at rest");
}

fn guests() -> impl Strategy<Value = Vec<Guest>> {
    let one = (
        1_u32..4,
        0_u32..10,
        0_u32..10,
        0_u32..6,
        any::<bool>(),
        any::<bool>(),
    );
    let one = one.prop_map(|(weight, present, needed, boost, panic, settled)| {
        let mut guest = guest(present, needed);
        guest.weight = weight;
        guest.places[0].decision.inputs.panic = panic;
        guest.places[0].settled = settled;
        guest.places[1].settled = settled;
        let worker = &mut guest.places[1].decision;
        if boost > 0 {
            worker.by_ratio = Some(worker.desired);
            worker.desired += boost;
            worker.inputs.present += boost / 2;
        }
        guest
    });
    prop::collection::vec(one, 1..8)
}

proptest! {
    #[test]
    fn nobody_loses_what_it_needs_and_one_leaves_at_a_time(before in guests(), room in 0_u64..3_000) {
        let mut after = before.clone();
        squeezed(room, &mut after);
        for (guest, was) in after.iter().zip(&before) {
            for (place, was) in guest.places.iter().zip(&was.places) {
                let (decision, inputs) = (&place.decision, &place.decision.inputs);
                prop_assert!(decision.desired <= was.decision.desired, "{decision}");
                let floor = was.decision.desired.min(inputs.present.saturating_sub(1));
                prop_assert!(decision.desired >= floor, "{decision}");
                if place.kind == Kind::Sessions {
                    let needs = was.decision.desired.min(inputs.present).min(was.decision.wanted);
                    prop_assert!(decision.desired >= needs, "{decision}");
                }
                if place.settled {
                    prop_assert!(decision.desired >= was.decision.desired.min(inputs.present));
                }
                // What changed is told.
                prop_assert!(decision.desired == was.decision.desired || decision.limited_by.is_some());
            }
        }
    }

    /// A step is taken only when those before it were, everywhere.
    #[test]
    fn the_order_is_kept(before in guests(), room in 0_u64..3_000) {
        let mut after = before.clone();
        squeezed(room, &mut after);
        let is = |wanted: fn(&Limit) -> bool| {
            let places = after.iter().flat_map(|guest| &guest.places);
            places.filter_map(|place| place.decision.limited_by.as_ref()).any(wanted)
        };
        let later = is(|limit| !matches!(limit, Limit::Boost(_)));
        for place in after.iter().flat_map(|guest| &guest.places) {
            let decision = &place.decision;
            if let (Some(by_ratio), true, false) = (decision.by_ratio, later, place.settled) {
                let leaves = decision.desired < decision.inputs.present;
                prop_assert!(decision.desired <= by_ratio.max(1) || leaves, "{decision}");
            }
        }
    }

    /// Among equals somebody has to be first; with weights like these nobody is equal.
    #[test]
    fn what_each_gets_does_not_depend_on_the_order_in_which_they_stand(
        before in guests(),
        room in 0_u64..3_000,
        turn in 0_usize..8,
        reversed in any::<bool>(),
    ) {
        const WEIGHTS: [u32; 7] = [101, 103, 107, 109, 113, 127, 131];
        let mut one = before;
        for (guest, weight) in one.iter_mut().zip(WEIGHTS) {
            guest.weight = weight;
        }
        let mut other = one.clone();
        let turn = turn % other.len();
        other.rotate_left(turn);
        if reversed {
            other.reverse();
        }
        squeezed(room, &mut one);
        squeezed(room, &mut other);
        if reversed {
            other.reverse();
        }
        other.rotate_right(turn);
        let decisions = |guests: &[Guest]| -> Vec<Decision> {
            let places = guests.iter().flat_map(|guest| &guest.places);
            places.map(|place| place.decision.clone()).collect()
        };
        prop_assert_eq!(decisions(&one), decisions(&other));
    }

    /// Nobody takes turns with anybody else for what there is.
    #[test]
    fn it_comes_to_rest(before in guests(), room in 0_u64..3_000) {
        let mut calm = before;
        for place in calm.iter_mut().flat_map(|guest| &mut guest.places) {
            place.decision.by_ratio = None;
        }
        let (left, once) = lived(room, calm);
        let (_, again) = lived(left, once.clone());
        prop_assert_eq!(counts(&once), counts(&again));
    }
}
