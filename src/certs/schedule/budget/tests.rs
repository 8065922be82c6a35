use proptest::prelude::*;

use super::*;

const DIRECTORY: &str = "https://ca.example.org/dir";
const DAY: u64 = 86_400;

fn lineage(names: &[&str]) -> Lineage {
    Lineage::new(
        names.iter().map(|name| name.parse().expect("a name")),
        false,
    )
    .expect("names")
}

fn at(seconds: u64) -> Steady {
    Steady::default() + Duration::from_secs(seconds)
}

fn cost(names: &[&str], purpose: Purpose) -> Vec<Cost> {
    costs(
        DIRECTORY,
        "ops@example.org",
        &lineage(names),
        purpose,
        false,
    )
}

/// How many go through at this moment when all end well.
fn how_many(budget: &mut Budget, now: Steady, all: &[Vec<Cost>]) -> usize {
    all.iter()
        .filter(|costs| {
            let allowed = budget.allows(costs, now).is_ok();
            if allowed {
                budget.charge(costs, now);
                budget.give_back_validation(costs, now);
            }
            allowed
        })
        .count()
}

#[test]
fn names_count_for_the_domain_that_somebody_registered() {
    for (names, domains) in [
        (
            &["a.b.example.co.uk", "example.co.uk"][..],
            &["example.co.uk"][..],
        ),
        (
            &["a.example.org", "b.example.com"],
            &["example.com", "example.org"],
        ),
        // Everybody has a name of their own there.
        (&["hall.github.io"], &["hall.github.io"]),
        (&["*.example.org"], &["example.org"]),
    ] {
        let found: Vec<String> = registered_domains(&lineage(names)).into_iter().collect();
        assert_eq!(found, domains, "{names:?}");
    }
}

#[test]
fn half_of_every_limit_is_spent_and_no_more() {
    let one_domain: Vec<Vec<Cost>> = (0..200)
        .map(|number| cost(&[&format!("hall-{number}.example.org")], Purpose::New))
        .collect();
    assert_eq!(how_many(&mut Budget::default(), at(0), &one_domain), 25);

    let many_domains: Vec<Vec<Cost>> = (0..500)
        .map(|number| cost(&[&format!("hall-{number}.org")], Purpose::New))
        .collect();
    assert_eq!(how_many(&mut Budget::default(), at(0), &many_domains), 150);

    let same = vec![cost(&["a.example.org"], Purpose::Renewal); 9];
    assert_eq!(how_many(&mut Budget::default(), at(0), &same), 2);

    let accounts: Vec<Vec<Cost>> = (0..9)
        .map(|number| {
            let names = lineage(&[&format!("hall-{number}.org")]);
            costs(
                DIRECTORY,
                &format!("{number}@example.org"),
                &names,
                Purpose::New,
                true,
            )
        })
        .collect();
    assert_eq!(how_many(&mut Budget::default(), at(0), &accounts), 5);
}

#[test]
fn renewals_are_exempt_as_the_authority_has_it() {
    let renewals = |purpose| -> Vec<Vec<Cost>> {
        (0..500)
            .map(|number| cost(&[&format!("hall-{number}.example.org")], purpose))
            .collect()
    };
    for purpose in [Purpose::Renewal, Purpose::Replacement] {
        let all = renewals(purpose);
        assert_eq!(
            how_many(&mut Budget::default(), at(0), &all),
            500,
            "{purpose:?}"
        );
    }
    let replaced = vec![cost(&["a.example.org"], Purpose::Replacement); 9];
    assert_eq!(how_many(&mut Budget::default(), at(0), &replaced), 9);
}

#[test]
fn failures_stay_spent_and_come_back_with_time() {
    let mut budget = Budget::default();
    let costs = cost(&["a.example.org"], Purpose::Replacement);
    budget.charge(&costs, at(0));
    budget.charge(&costs, at(1));
    let spent = budget.allows(&costs, at(1)).expect_err("two failed");
    assert_eq!(spent.until, at(1_800));
    assert!(
        spent.why.contains("a.example.org") && spent.why.contains("2 validations"),
        "{}",
        spent.why
    );
    assert_eq!(budget.allows(&costs, at(1_800)), Ok(()));
}

#[test]
fn six_day_certificates_of_one_name_can_be_renewed_for_ever() {
    let mut budget = Budget::default();
    let costs = cost(&["a.example.org"], Purpose::Renewal);
    let mut now = at(0);
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        let due = now + Duration::from_secs(80 * 3_600);
        now = due;
        if let Err(spent) = budget.allows(&costs, now) {
            now = spent.until;
        }
        longest = longest.max(now.since(due));
        budget.charge(&costs, now);
        budget.give_back_validation(&costs, now);
    }
    // Of 160 hours, 80 are left at first.
    assert!(longest < Duration::from_secs(12 * 3_600), "{longest:?}");
}

#[test]
fn a_file_cannot_make_a_bucket_emptier_than_empty() {
    let costs = cost(&["a.example.org"], Purpose::New);
    let far = costs
        .iter()
        .map(|cost| (cost.bucket.clone(), at(9_000 * DAY)));
    let budget = Budget(far.collect());
    let spent = budget.allows(&costs, at(0)).expect_err("empty");
    assert!(spent.until <= at(7 * DAY), "{spent:?}");
}

proptest! {
    /// I6: in no window more than a burst and what came back in it, which is the authority's
    /// own limit even if all of it was spent just before.
    #[test]
    fn no_window_sees_more_than_the_authority_allows(waits in prop::collection::vec(0_u64..40_000, 1..300)) {
        let mut budget = Budget::default();
        let (mut now, mut ordered) = (0, Vec::new());
        for (number, wait) in waits.into_iter().enumerate() {
            now += wait;
            let costs = cost(&[&format!("hall-{number}.example.org")], Purpose::New);
            if budget.allows(&costs, at(now)).is_ok() {
                budget.charge(&costs, at(now));
                ordered.push(now);
            }
        }
        for (index, from) in ordered.iter().enumerate() {
            let within = ordered[index..].iter().filter(|later| **later < from + 7 * DAY).count();
            prop_assert!(within <= 50, "{} within a week", within);
        }
    }
}
