//! Who may have how much of a host that is full: weighted max-min fairness by progressive filling.
//!
//! Everybody first gets the least it needs. Then the next bundle goes, again and again, to whoever
//! wants more and whose larger share of memory or processors is the least for its weight; who does not fit any more is left where it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::resources::Resources;

/// What one stack wants of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    pub weight: u32,
    /// In the order of its policy.
    pub parts: Vec<Part>,
}

/// What one service of a stack wants.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Part {
    pub least: u32,
    pub wanted: u32,
    /// Replicas that come together: one, and its ratio of those that follow it.
    pub step: u32,
    /// Of one replica.
    pub cost: Resources,
}

impl Part {
    fn next(&self, granted: u32) -> u32 {
        self.wanted.saturating_sub(granted).min(self.step.max(1))
    }
}

/// How many replicas each part of each claim may have, in the order of the claims.
///
/// Never less than its least and never more than it wants, unless that is less than its least.
/// Beyond the least of all, nothing exceeds `budget`.
pub fn share(budget: Resources, claims: &[Claim]) -> Vec<Vec<u32>> {
    let mut grants: Vec<Vec<u32>> = claims
        .iter()
        .map(|claim| claim.parts.iter().map(|part| part.least).collect())
        .collect();
    let mut held: Vec<Resources> = claims
        .iter()
        .zip(&grants)
        .map(|(claim, grant)| price(claim, |index, _| grant.get(index).copied().unwrap_or(0)))
        .collect();
    let mut spent = held
        .iter()
        .copied()
        .fold(Resources::default(), Resources::plus);
    let rank = |held: Resources, claim: &Claim| rank(held, claim, budget);
    let mut waiting: BinaryHeap<Reverse<(u128, usize)>> = held
        .iter()
        .enumerate()
        .filter_map(|(index, held)| Some(Reverse((rank(*held, claims.get(index)?), index))))
        .collect();
    while let Some(Reverse((_, index))) = waiting.pop() {
        let (Some(claim), Some(grant), Some(held)) = (
            claims.get(index),
            grants.get_mut(index),
            held.get_mut(index),
        ) else {
            continue;
        };
        let next = |index: usize, part: &Part| part.next(grant.get(index).copied().unwrap_or(0));
        let cost = price(claim, next);
        let wants = claim
            .parts
            .iter()
            .enumerate()
            .any(|(index, part)| next(index, part) > 0);
        if !wants || !budget.holds(spent.plus(cost)) {
            // It has all it wants, or is frozen where it is.
            continue;
        }
        for (granted, part) in grant.iter_mut().zip(&claim.parts) {
            *granted += part.next(*granted);
        }
        spent = spent.plus(cost);
        *held = held.plus(cost);
        waiting.push(Reverse((rank(*held, claim), index)));
    }
    grants
}

fn price(claim: &Claim, count: impl Fn(usize, &Part) -> u32) -> Resources {
    claim
        .parts
        .iter()
        .enumerate()
        .map(|(index, part)| part.cost.times(count(index, part)))
        .fold(Resources::default(), Resources::plus)
}

/// What it holds for its weight, as a whole number that orders the same.
fn rank(held: Resources, claim: &Claim, budget: Resources) -> u128 {
    held.share_of(budget) * 1_000 / u128::from(claim.weight.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(memory: u64) -> Resources {
        Resources {
            memory,
            ..Resources::BOUNDLESS
        }
    }

    fn claim(weight: u32, wanted: u32) -> Claim {
        let web = Part {
            least: 1,
            wanted,
            step: 1,
            cost: Resources::of_memory(100),
        };
        let workers = Part {
            least: 1,
            wanted: wanted * 4,
            step: 4,
            cost: Resources::of_memory(50),
        };
        Claim {
            weight,
            parts: vec![web, workers],
        }
    }

    #[test]
    fn where_there_is_room_everybody_gets_what_it_wants() {
        let grants = share(Resources::BOUNDLESS, &[claim(1, 3), claim(4, 2)]);
        assert_eq!(grants, [[3, 12], [2, 8]]);
    }

    #[test]
    fn a_full_host_is_shared_by_weight_and_a_modest_wish_is_granted_whole() {
        // A bundle costs 300; the least of each 150.
        let grants = share(
            room(450 + 9 * 300),
            &[claim(1, 16), claim(2, 16), claim(1, 2)],
        );
        let webs: Vec<u32> = grants.iter().map(|grant| grant[0]).collect();
        assert_eq!(webs, [3, 6, 2], "{grants:?}");
    }

    #[test]
    fn the_least_of_each_is_given_whatever_the_host() {
        assert_eq!(
            share(room(0), &[claim(1, 5), claim(1, 5)]),
            [[1, 1], [1, 1]]
        );
    }

    #[test]
    fn who_takes_the_processors_is_as_large_as_who_takes_the_memory() {
        let alone = |memory, processor| Claim {
            weight: 1,
            parts: vec![Part {
                least: 0,
                wanted: 9,
                step: 1,
                cost: Resources { memory, processor },
            }],
        };
        let budget = Resources {
            memory: 900,
            processor: 900,
        };
        let grants = share(budget, &[alone(100, 10), alone(10, 100)]);
        assert_eq!(
            grants,
            [[8], [8]],
            "each has eight ninths of one and a little of the other"
        );
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let part = (0_u32..4, 0_u32..30, 1_u32..5, (1_u64..300, 0_u64..300));
        let part = part.prop_map(|(least, more, step, (memory, processor))| Part {
            least,
            wanted: least + more,
            step,
            cost: Resources { memory, processor },
        });
        let claim = (1_u32..5, prop::collection::vec(part, 1..4));
        prop::collection::vec(
            claim.prop_map(|(weight, parts)| Claim { weight, parts }),
            1..12,
        )
    }

    proptest! {
        #[test]
        fn grants_lie_between_least_and_wanted_and_within_the_budget(
            claims in claims(), memory in 0_u64..40_000, processor in 0_u64..40_000
        ) {
            let budget = Resources { memory, processor };
            let grants = share(budget, &claims);
            let (mut spent, mut least) = (Resources::default(), Resources::default());
            for (claim, grant) in claims.iter().zip(&grants) {
                for (part, granted) in claim.parts.iter().zip(grant) {
                    prop_assert!((part.least..=part.wanted).contains(granted));
                    spent = spent.plus(part.cost.times(*granted));
                    least = least.plus(part.cost.times(part.least));
                }
            }
            prop_assert!(budget.holds(spent) || spent == least, "{spent:?} of {budget:?}");
        }

        /// Who comes first decides nothing but ties: one bundle more or less.
        #[test]
        fn the_order_of_tenants_decides_ties_only(
            wishes in prop::collection::vec((1_u32..5, 1_u32..20), 1..10),
            turn in 0_usize..10,
            budget in 0_u64..30_000,
        ) {
            let claims: Vec<Claim> = wishes.iter().map(|(weight, wanted)| claim(*weight, *wanted)).collect();
            let turn = turn % claims.len();
            let mut turned = claims.clone();
            turned.rotate_left(turn);
            let grants = share(room(budget), &claims);
            let mut others = share(room(budget), &turned);
            others.rotate_right(turn);
            for (one, other) in grants.iter().zip(&others) {
                prop_assert!(one[0].abs_diff(other[0]) <= 1, "{grants:?} {others:?}");
            }
        }
    }
}
