use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::autoscaler::{Crew, Kept, Limit, Load, Override, Scarce, ServicePolicy, Spans, Term};
use crate::config::model::{Bounds, Event, ScaleMode};

pub(super) const DOWN_AFTER: Duration = Duration::from_secs(600);

/// One web, and four workers for each.
pub(super) fn policy() -> Policy {
    Policy {
        per_replica: 100,
        hard: 250,
        mode: ScaleMode::Auto,
        spans: Spans::of(DOWN_AFTER),
        services: vec![
            ServicePolicy {
                name: "web".into(),
                kind: Kind::Sessions,
                bounds: Bounds { min: 1, max: 16 },
            },
            ServicePolicy {
                name: "worker".into(),
                kind: Kind::Ratio { of: 0, ratio: 4.0 },
                bounds: Bounds { min: 1, max: 64 },
            },
        ],
        events: Arc::from([]),
        idle_to_zero: None,
        rental: None,
    }
}

/// A stack on a clock of its own that does at once what is decided, unless a test says otherwise.
pub(super) struct Stack {
    pub(super) policy: Policy,
    pub(super) state: State,
    pub(super) now: Now,
    pub(super) seen: [Seen; 2],
    pub(super) fresh: bool,
    pub(super) obeys: bool,
    /// Who comes in the next second, and is gone again.
    pub(super) visits: u32,
}

pub(super) fn crew(present: u32) -> Crew {
    Crew {
        present,
        ready: present,
        ..Crew::default()
    }
}

impl Stack {
    pub(super) fn new(webs: u32, workers: u32) -> Self {
        let seen = |present| Seen {
            crew: crew(present),
            ..Seen::default()
        };
        Self {
            policy: policy(),
            state: State::default(),
            now: Now {
                at: Instant::now(),
                wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_457_600),
            },
            seen: [seen(webs), seen(workers)],
            fresh: true,
            obeys: true,
            visits: 0,
        }
    }

    fn sessions(&mut self, sessions: u32) -> &mut Self {
        self.seen[0].load.sessions = sessions;
        self
    }

    /// A second passes.
    pub(super) fn second(&mut self) -> [Decision; 2] {
        self.now.at += Duration::from_secs(1);
        self.now.wall += Duration::from_secs(1);
        let observation = Observation {
            fresh: self.fresh,
            visitors: 0,
            visits: std::mem::take(&mut self.visits),
            services: self.seen.to_vec(),
        };
        let decisions = decide(&self.policy, &mut self.state, &observation, self.now);
        let decisions: [Decision; 2] = decisions.try_into().expect("two services");
        if self.obeys {
            for (seen, decision) in self.seen.iter_mut().zip(&decisions) {
                let crew = &mut seen.crew;
                if decision.desired > crew.present {
                    crew.last_up = Some(self.now.at);
                } else if decision.desired < crew.present {
                    crew.last_drain = Some(self.now.at);
                }
                crew.present = decision.desired;
                crew.ready = decision.desired;
            }
        }
        decisions
    }

    pub(super) fn seconds(&mut self, seconds: u32) -> [Decision; 2] {
        for _ in 1..seconds {
            self.second();
        }
        self.second()
    }

    pub(super) fn webs(&self) -> u32 {
        self.seen[0].crew.present
    }

    pub(super) fn workers(&self) -> u32 {
        self.seen[1].crew.present
    }
}

#[test]
fn it_grows_at_once_to_what_the_sessions_need_and_workers_with_it() {
    let mut stack = Stack::new(2, 8);
    let [web, worker] = stack.sessions(350).second();
    assert_eq!((web.desired, worker.desired), (4, 16));
    assert_eq!(web.to_string(), "350 sessions, 100 per replica: 4");
    assert_eq!(worker.to_string(), "4 web times 4: 16");
}

#[test]
fn who_waits_and_who_shakes_hands_counts_as_if_it_were_in() {
    let mut stack = Stack::new(1, 4);
    stack.seen[0].load = Load {
        sessions: 100,
        pending: 50,
        held: 40,
        in_flight: 60,
        ..Load::default()
    };
    let [web, _] = stack.second();
    assert_eq!((web.inputs.demand, web.desired), (250, 3));
}

#[test]
fn who_waits_for_longer_than_three_seconds_is_a_panic_and_many_who_wait_less_are_none() {
    let mut stack = Stack::new(2, 8);
    let mut wait = |seconds| {
        stack.seen[0].load = Load {
            sessions: 100,
            held: 40,
            longest_wait: Duration::from_secs(seconds),
            ..Load::default()
        };
        stack.second()[0].inputs.panic
    };
    assert!((0..10).all(|_| !wait(2)));
    assert!(wait(4));
}

#[test]
#[expect(clippy::print_stdout, reason = "what was measured")]
fn deciding_for_a_stack_costs_next_to_nothing() {
    const STACKS: u32 = 100;
    const SECONDS: u32 = 60;
    /// Fifty microseconds are promised; a build for tests is slower.
    const MOST: f64 = 10.0 * 50.0;
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).expect("positive"),
            u32::try_from(time.tv_nsec).expect("below a second"),
        )
    };
    let mut stacks: Vec<Stack> = (0..STACKS).map(|_| Stack::new(4, 16)).collect();
    let before = spent();
    for second in 0..SECONDS {
        for (number, stack) in (0..).zip(&mut stacks) {
            // Every term has its turn.
            stack.seen[0].load = Load {
                sessions: number * 5 + second,
                in_flight: second,
                overloaded: u32::from(second % 20 == 0),
                answered_within: Some(Duration::from_secs(u64::from(second % 6))),
                ..Load::default()
            };
            stack.second();
        }
    }
    let each = (spent() - before).as_secs_f64() * 1e6 / f64::from(STACKS * SECONDS);
    println!("deciding for a stack: {each:.1} µs of {MOST}");
    assert!(each <= MOST, "{each} µs");
}

#[test]
fn one_step_doubles_or_adds_four() {
    let mut stack = Stack::new(1, 4);
    stack.obeys = false;
    let [web, _] = stack.sessions(1_600).second();
    assert_eq!((web.desired, web.limited_by), (5, Some(Limit::Growth(5))));
    assert_eq!(
        web.to_string(),
        "1600 sessions, 100 per replica: 16; this step adds up to 5"
    );
    let mut stack = Stack::new(6, 24);
    assert_eq!(stack.sessions(1_600).second()[0].desired, 12);
}

#[test]
fn max_is_never_exceeded_and_named() {
    let mut stack = Stack::new(12, 48);
    let [web, _] = stack.sessions(9_000).second();
    assert_eq!((web.desired, web.limited_by), (16, Some(Limit::Max(16))));
    assert!(web.to_string().ends_with("max allows 16"), "{web}");
}

#[test]
fn min_is_started_without_any_session() {
    let mut stack = Stack::new(0, 0);
    stack.policy.services[0].bounds.min = 2;
    let [web, worker] = stack.second();
    assert_eq!((web.desired, web.limited_by), (2, Some(Limit::Min(2))));
    assert_eq!(worker.desired, 1, "nobody is there: {worker}");
}

#[test]
fn growth_is_ordered_for_before_it_is_there() {
    let mut stack = Stack::new(2, 8);
    for second in 0..40 {
        stack.sessions(100 + second * 2).second();
    }
    // 178 sessions, two more each second, 25 s until one ordered now is ready.
    let [web, _] = stack.sessions(180).second();
    assert_eq!(web.desired, 3, "{web}");
    assert!(matches!(web.term, Term::Growth { .. }), "{web}");
}

#[test]
fn growth_is_not_believed_beyond_the_people_there_can_be() {
    let mut stack = Stack::new(1, 4);
    for second in 0..60 {
        stack.sessions(second * 3).second();
    }
    // 25 s of growth would be 75 more; a fifth more than ever were is 35.
    assert_eq!(stack.second()[0].inputs.expected, 212);
}

#[test]
fn it_shrinks_by_one_after_a_quiet_span() {
    let mut stack = Stack::new(3, 12);
    stack.obeys = false;
    stack.sessions(120);
    for second in 0..600 {
        let [web, _] = stack.second();
        assert_eq!(web.desired, 3, "{second}: {web}");
    }
    let [web, _] = stack.second();
    assert_eq!(web.desired, 2);
    assert_eq!(
        web.to_string(),
        "at most 120 sessions in 10m, 100 per replica: 2 are enough"
    );
}

#[test]
fn the_hysteresis_keeps_a_replica_that_would_be_missed_soon() {
    // 121 of 200 is more than three fifths.
    let mut stack = Stack::new(3, 12);
    let [web, _] = stack.sessions(121).seconds(900);
    assert_eq!((web.desired, web.kept), (3, Some(Kept::Peak)));
}

#[test]
fn nothing_shrinks_on_lost_history_and_what_is_there_still_counts() {
    let mut stack = Stack::new(5, 20);
    stack.seconds(590);
    // Six seconds without a sample.
    stack.now.at += Duration::from_secs(6);
    let [web, worker] = stack.seconds(590);
    assert_eq!((web.desired, web.kept), (5, Some(Kept::Unwatched)), "{web}");
    assert_eq!(worker.desired, 20);
    let [web, _] = stack.sessions(800).second();
    assert!(web.desired >= 8, "{web}");
}

#[test]
fn counts_that_are_not_of_now_are_no_quiet() {
    let mut stack = Stack::new(5, 20);
    stack.fresh = false;
    assert_eq!(stack.seconds(2_000)[0].desired, 5);
}

#[test]
fn nothing_shrinks_while_something_moves() {
    for change in [
        |crew: &mut Crew, _| crew.ready = 4,
        |crew: &mut Crew, now| crew.last_up = Some(now),
        |crew: &mut Crew, now| crew.last_drain = Some(now),
        |crew: &mut Crew, _| crew.draining = 5,
    ] {
        let mut stack = Stack::new(5, 20);
        stack.obeys = false;
        assert_eq!(stack.seconds(700)[0].desired, 4, "it would");
        let now = stack.now.at;
        change(&mut stack.seen[0].crew, now);
        let [web, _] = stack.second();
        assert_eq!(web.desired, 5, "{web}");
    }
}

#[test]
fn a_hall_that_lost_its_network_is_expected_back() {
    let mut stack = Stack::new(8, 32);
    stack.sessions(800).seconds(900);
    stack.sessions(0).second();
    // Half an hour, from the last second of the loss.
    let [web, worker] = stack.seconds(1_795);
    assert_eq!((web.desired, worker.desired), (8, 32), "{web} {worker}");
    assert_eq!(
        web.to_string(),
        "many sessions were lost at once; the 8 stay for them"
    );
    stack.seconds(60);
    assert!(stack.webs() < 8);
}

#[test]
fn a_few_that_leave_together_are_not_missed() {
    let mut stack = Stack::new(8, 32);
    stack.sessions(19).seconds(900);
    stack.sessions(0).seconds(120);
    assert!(stack.webs() < 8);
}

#[test]
fn what_ran_when_usher_started_stays_for_a_while() {
    let mut stack = Stack::new(4, 16);
    assert_eq!(stack.seconds(300)[1].desired, 16);
    let [web, _] = stack.second();
    assert_eq!(
        web.to_string(),
        "usher has just started; the 4 it found stay"
    );
    // One dies, and is replaced.
    stack.seen[0].crew = crew(3);
    assert_eq!(stack.second()[0].desired, 4);
}

#[test]
fn where_hardly_anybody_is_one_worker_is_enough() {
    let mut stack = Stack::new(1, 4);
    stack.sessions(3).seconds(1_000);
    assert_eq!((stack.webs(), stack.workers()), (1, 1));
    stack.sessions(30).second();
    assert_eq!(stack.workers(), 4, "somebody comes");
}

#[test]
fn workers_that_are_too_slow_get_half_as_many_more_for_a_while() {
    let mut stack = Stack::new(2, 8);
    stack.sessions(150);
    stack.seen[0].load.answered_within = Some(Duration::from_secs(4));
    let [_, worker] = stack.seconds(3);
    assert_eq!(worker.desired, 8, "three seconds are no accident");
    let [_, worker] = stack.second();
    assert_eq!(worker.desired, 12);
    assert_eq!(worker.to_string(), "handshakes are slow or refused: 12");
}

#[test]
fn workers_leave_before_those_they_follow_once_a_third_of_them_is_to_spare() {
    let mut stack = Stack::new(8, 32);
    stack.sessions(800).seconds(700);
    assert_eq!(stack.workers(), 32);
    // Not all at once: that would be a loss.
    stack.sessions(650).seconds(15);
    let [web, worker] = stack.sessions(500).seconds(1_000);
    assert_eq!((web.desired, web.kept), (8, Some(Kept::Peak)));
    assert_eq!(worker.desired, 27);
    assert_eq!(
        worker.to_string(),
        "at most 500 sessions in 10m, 4 per 100 of web and a third more: 27"
    );
    // Whoever sets the number of webs means their workers too.
    stack.seen[0].over = Some(Override::Exact(8));
    assert_eq!(stack.second()[1].desired, 32);
}

#[test]
fn the_least_that_others_follow_keep_their_workers() {
    let mut stack = Stack::new(3, 12);
    stack.policy.services[0].bounds.min = 3;
    stack.sessions(30).seconds(1_000);
    assert_eq!((stack.webs(), stack.workers()), (3, 12));
}

#[test]
fn boosted_workers_leave_when_it_is_not_slow_any_more() {
    let mut stack = Stack::new(4, 16);
    stack.sessions(390).seconds(700);
    stack.seen[0].load.answered_within = Some(Duration::from_secs(4));
    stack.seconds(4);
    assert_eq!(stack.workers(), 24);
    stack.seen[0].load.answered_within = None;
    // The boost lasts for five minutes, and nobody waits for ten after that.
    stack.seconds(420);
    assert_eq!(stack.workers(), 16);
}

#[test]
fn those_who_come_back_are_no_more_than_they_were() {
    let mut stack = Stack::new(8, 32);
    stack.sessions(800).seconds(700);
    stack.sessions(0).seconds(20);
    for back in 1..=8 {
        stack.seen[0].load = Load {
            sessions: back * 50,
            held: 400,
            in_flight: 400,
            ..Load::default()
        };
        stack.second();
    }
    assert_eq!(stack.webs(), 8, "each of them counts once");
    // More than there were is growth again.
    stack.sessions(900).second();
    assert!(stack.webs() >= 13, "{}", stack.webs());
}

#[test]
fn workers_that_are_no_help_are_not_asked_for_again() {
    let mut stack = Stack::new(2, 8);
    stack.sessions(150);
    stack.seen[0].load.answered_within = Some(Duration::from_secs(4));
    let mut sentences = Vec::new();
    for _ in 0..400 {
        let [_, worker] = stack.second();
        sentences.push(worker.to_string());
    }
    let last = sentences.last().expect("one");
    assert!(last.contains("more workers were no help"), "{last}");
    assert!(stack.workers() <= 16, "at most twice the ratio");
}

#[test]
fn a_worker_with_something_to_do_is_not_stopped() {
    let mut stack = Stack::new(1, 8);
    stack.sessions(50);
    stack.obeys = false;
    assert_eq!(stack.seconds(700)[1].desired, 7);
    stack.seen[0].load.in_flight = 8;
    let [_, worker] = stack.second();
    assert_eq!(
        (worker.desired, worker.kept),
        (8, Some(Kept::Busy)),
        "{worker}"
    );
}

#[test]
fn an_event_is_prepared_and_never_lowers_anything() {
    let mut stack = Stack::new(1, 4);
    let start = stack.now.wall + Duration::from_secs(1_000);
    stack.policy.events = Arc::from([Event {
        name: "Congress".into(),
        start,
        end: start + Duration::from_secs(3_600),
        hours: None,
        attendees: 500,
        sessions: 500,
        prewarm: Duration::from_secs(900),
    }]);
    stack.seconds(99);
    assert_eq!(stack.webs(), 1);
    let [web, worker] = stack.second();
    assert_eq!((web.desired, worker.desired), (5, 20));
    assert_eq!(
        web.to_string(),
        "Congress expects 500 sessions, 100 per replica: 5"
    );
    stack.sessions(700).second();
    assert!(stack.webs() >= 7, "demand above the event counts");
    for sessions in [500, 360, 260, 190, 140] {
        stack.sessions(sessions).seconds(800);
    }
    assert_eq!(stack.webs(), 5);
}

#[test]
fn an_operators_number_comes_before_everything() {
    let mut stack = Stack::new(8, 32);
    stack.sessions(800);
    stack.seen[0].over = Some(Override::Exact(2));
    let [web, _] = stack.second();
    assert_eq!((web.desired, web.wanted), (2, 8));
    assert_eq!(web.to_string(), "the operator set 2");
}

#[test]
fn an_operators_floor_and_cap_bound_what_is_decided() {
    let mut stack = Stack::new(3, 12);
    stack.seen[0].over = Some(Override::Floor(5));
    assert_eq!(
        stack.second()[0].to_string(),
        "the operator keeps at least 5"
    );
    assert_eq!(stack.webs(), 5);
    stack.seen[0].over = Some(Override::Cap(4));
    let [web, _] = stack.sessions(900).second();
    assert_eq!((web.desired, web.limited_by), (4, Some(Limit::Cap(4))));
    assert_eq!(
        web.to_string(),
        "900 sessions, 100 per replica: 9; the operator allows 4"
    );
}

#[test]
fn hold_keeps_what_there_is_and_says_what_it_would_do() {
    let mut stack = Stack::new(2, 8);
    stack.policy.mode = ScaleMode::Hold;
    let [web, worker] = stack.sessions(900).second();
    assert_eq!((web.wanted, web.desired, worker.desired), (9, 2, 8));
    assert_eq!(
        web.to_string(),
        "900 sessions, 100 per replica: 9; mode hold keeps what there is"
    );
}

#[test]
fn a_replica_above_max_leaves_whatever_the_demand() {
    let mut stack = Stack::new(4, 16);
    stack.policy.services[0].bounds = Bounds { min: 1, max: 2 };
    let [web, _] = stack.sessions(900).second();
    assert_eq!((web.desired, web.limited_by), (3, Some(Limit::Max(2))));
}

#[test]
fn a_host_that_is_full_is_named() {
    let mut stack = Stack::new(4, 16);
    let [web, _] = stack.sessions(790).second();
    let web = web.within(5, Some((100, 250)), Scarce::Memory);
    assert_eq!((web.wanted, web.desired), (8, 5));
    assert_eq!(
        web.to_string(),
        "790 sessions, 100 per replica: 8; host memory allows 5, and each fills up to 250 meanwhile"
    );
    let [web, _] = stack.second();
    assert_eq!(
        web.within(1, None, Scarce::Memory).desired,
        8,
        "nobody leaves for want of room"
    );
}

#[test]
fn one_that_was_leaving_comes_back_on_a_full_host() {
    let mut stack = Stack::new(4, 16);
    let [mut web, _] = stack.sessions(790).second();
    (web.inputs.present, web.inputs.draining) = (4, 1);
    assert_eq!(web.within(4, Some((100, 250)), Scarce::Memory).desired, 5);
}

#[test]
fn a_new_configuration_forgets_nothing_of_a_service_that_stays() {
    let mut stack = Stack::new(3, 12);
    stack.sessions(120).seconds(599);
    stack.policy.services[0].bounds.max = 8;
    stack.seconds(10);
    assert_eq!(stack.webs(), 2);
}

/// Three times what is promised of what is installed, and four times that for code that is not
/// optimised: only a change of kind is noticed.
#[test]
fn a_decision_takes_a_fraction_of_a_tick() {
    use rustix::time::{ClockId, clock_gettime};
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            time.tv_sec.unsigned_abs(),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    };
    let mut stack = Stack::new(4, 16);
    stack.sessions(600).seconds(700);
    let before = spent();
    stack.seconds(2_000);
    let each = (spent() - before) / 2_000;
    let unoptimised = if cfg!(debug_assertions) { 4 } else { 1 };
    let within = 3 * Duration::from_micros(50) * unoptimised;
    assert!(each < within, "{each:?}");
}
