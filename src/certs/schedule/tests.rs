//! Whole days of an authority's bad moods, in no time.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use super::clock::tests::at;
use super::memory::reading;
use super::queue::Origin;
use super::*;

const CA: &str = "https://ca.example.org/dir";
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Certificates that a test begins with end then, on the wall.
const ENDS: u64 = 20_000 * DAY;

fn lineage(name: &str) -> Lineage {
    Lineage::new([name.parse().expect("a name")], false).expect("a lineage")
}

fn schedule(dir: &Path) -> Schedule {
    let mut schedule = Schedule::new(dir);
    schedule.open(UNIX_EPOCH);
    schedule
}

fn new(name: &str) -> Candidate {
    Candidate {
        class: Class::New {
            declared: Origin::ByName,
            since: 0,
        },
        lineage: lineage(name),
    }
}

fn renewal(name: &str) -> Candidate {
    let ends = UNIX_EPOCH + Duration::from_secs(ENDS);
    Candidate {
        class: Class::Renewal {
            ends,
            hurry: Hurry::CanWait,
        },
        lineage: lineage(name),
    }
}

/// What an authority does with an order.
enum Mood {
    Busy(u64),
    Down,
    Issues,
    Limits(u64),
    Refuses,
}

/// The authority's side: when it was asked, and for which names.
#[derive(Default)]
struct Asked(Vec<(u64, String)>);

impl Asked {
    fn between(&self, from: u64, until: u64) -> usize {
        let within = |(at, _): &&(u64, String)| (from..until).contains(at);
        self.0.iter().filter(within).count()
    }
}

/// A room with tenants that all want a certificate, on a clock of the test.
struct Room {
    schedule: Schedule,
    wanted: BTreeMap<Lineage, Candidate>,
    asked: Asked,
}

impl Room {
    fn new(dir: &Path, wanted: impl Iterator<Item = Candidate>) -> Self {
        Self {
            schedule: schedule(dir),
            wanted: wanted
                .map(|candidate| (candidate.lineage.clone(), candidate))
                .collect(),
            asked: Asked::default(),
        }
    }

    /// One round at this second: as many orders as may run begin, and all end within it.
    fn round(&mut self, second: u64, mood: &Mood) {
        let now = at(1_000_000 + second, ENDS - 30 * DAY + second);
        let queue = line_up(self.wanted.values().cloned().collect());
        let mut under_way = Vec::new();
        for candidate in queue {
            let purpose = match candidate.class {
                Class::Renewal { .. } => Purpose::Renewal,
                _ => Purpose::New,
            };
            let costs = costs(CA, "ops@example.org", &candidate.lineage, purpose, false);
            let passed = under_way.len() < PARALLEL
                && self
                    .schedule
                    .may_try(&candidate, Declared::ByName, 10, now)
                    .and_then(|()| {
                        self.schedule
                            .may_ask(CA, &candidate.lineage, under_way.len(), now)
                    })
                    .and_then(|()| self.schedule.may_spend(&costs, now))
                    .is_ok();
            if passed {
                let begun = self.schedule.begin(&candidate, costs, Spacing::Usual, now);
                self.asked.0.push((second, candidate.lineage.to_string()));
                under_way.push((candidate.lineage, begun));
            }
        }
        for (lineage, begun) in under_way {
            self.end(&lineage, &begun, mood, now);
        }
    }

    fn end(&mut self, lineage: &Lineage, begun: &Begun, mood: &Mood, now: Now) {
        let failure = |is_down, was_ordered, is_validation, retry: Option<u64>| Failure {
            error: "no".to_owned(),
            is_down,
            was_ordered,
            is_validation,
            retry_after: retry.map(Duration::from_secs),
        };
        let failure = match mood {
            Mood::Issues => {
                self.schedule.succeeded(lineage, CA, begun, now);
                self.wanted.remove(lineage);
                return;
            }
            Mood::Busy(retry) => failure(true, false, false, Some(*retry)),
            Mood::Down => failure(true, false, false, None),
            Mood::Limits(retry) => failure(false, false, false, Some(*retry)),
            Mood::Refuses => failure(false, true, true, None),
        };
        self.schedule.failed(lineage, CA, begun, &failure, now);
    }
}

fn tenants(how_many: usize, of: impl Fn(String) -> Candidate) -> impl Iterator<Item = Candidate> {
    (0..how_many).map(move |number| of(format!("www.hall-{number}.org")))
}

/// T-A4: 500 tenants start together while the authority is busy for three days.
#[test]
fn a_busy_authority_is_left_alone_until_it_wants_to_be_asked_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut room = Room::new(dir.path(), tenants(500, |name| new(&name)));
    for second in (0..72 * HOUR).step_by(600) {
        room.round(second, &Mood::Busy(HOUR));
    }
    // At first it is not known to be busy; then one at a time asks whether it still is.
    assert!(room.asked.between(0, 600) <= PARALLEL);
    assert_eq!(
        room.asked.between(600, HOUR),
        0,
        "{:?}",
        &room.asked.0[..12]
    );
    let probes = room.asked.between(HOUR, 72 * HOUR);
    assert!((36..=71).contains(&probes), "{probes} in three days");
    // And nobody's tries were spent on it.
    for lineage in room.wanted.keys() {
        assert_eq!(room.schedule.attempts(lineage), None, "{lineage}");
    }
    let before = room.asked.0.len();
    for second in (72 * HOUR..80 * HOUR).step_by(72) {
        room.round(second, &Mood::Issues);
    }
    // 150 at once and what comes back within the hours, half of what the authority allows.
    let issued = room.asked.0.len() - before;
    assert!((400..=500).contains(&issued), "{issued}");
}

#[test]
fn an_authority_that_is_down_for_days_is_probed_and_renewals_catch_up_over_an_hour() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut room = Room::new(dir.path(), tenants(500, |name| renewal(&name)));
    for second in (0..72 * HOUR).step_by(600) {
        room.round(second, &Mood::Down);
    }
    let probes = room.asked.0.len();
    assert!(probes <= PARALLEL + 50, "{probes} in three days");
    let mut second = 72 * HOUR;
    while room.wanted.len() == 500 {
        room.round(second, &Mood::Issues);
        second += 60;
    }
    // The pause between two probes.
    assert!(second <= 74 * HOUR, "found to be up at {second}");
    let up = second;
    while !room.wanted.is_empty() {
        room.round(second, &Mood::Issues);
        second += RENEWALS_APART.as_secs();
    }
    let took = second - up;
    assert!(
        (HOUR..2 * HOUR).contains(&took),
        "all are renewed after {took} s"
    );
}

#[test]
fn a_limit_of_one_domain_is_not_the_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let names = ["a.example.org", "b.example.org", "c.example.com"];
    let mut room = Room::new(dir.path(), names.map(new).into_iter());
    let now = at(1_000_000, ENDS - 30 * DAY);
    let first = new("a.example.org");
    let begun = room.schedule.begin(&first, Vec::new(), Spacing::Usual, now);
    room.end(&first.lineage, &begun, &Mood::Limits(34 * HOUR), now);
    let may = |room: &Room, name| room.schedule.may_ask(CA, &lineage(name), 0, now);
    assert!(may(&room, "b.example.org").is_err());
    assert_eq!(may(&room, "c.example.com"), Ok(()));

    // In the authority's words it may be about these names alone.
    let failure = Failure {
        error: "too many certificates (5) already issued for this exact set of identifiers".into(),
        is_down: false,
        was_ordered: false,
        is_validation: false,
        retry_after: Some(Duration::from_secs(34 * HOUR)),
    };
    let own = new("x.example.net");
    let begun = room.schedule.begin(&own, Vec::new(), Spacing::Usual, now);
    room.schedule
        .failed(&own.lineage, CA, &begun, &failure, now);
    assert_eq!(may(&room, "y.example.net"), Ok(()));
    let waits = room.schedule.may_try(&own, Declared::ByName, 10, now);
    let until = waits.expect_err("it waits").until.expect("for a time");
    assert_eq!(until.since(now.steady), Duration::from_secs(34 * HOUR));
}

/// C6, T-A7: the process dies and starts again after every order, with the wall somewhere else.
#[test]
fn neither_kills_nor_a_jumping_wall_buy_an_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let candidate = new("a.example.org");
    let mut orders = 0;
    for (start, jump) in [0, 3_600, -3_600, 86_400, -86_400, 8_640_000, -8_640_000, 0]
        .into_iter()
        .cycle()
        .take(40)
        .enumerate()
    {
        let wall = UNIX_EPOCH + Duration::from_secs((20_000 * DAY).saturating_add_signed(jump));
        let mut schedule = Schedule::new(dir.path());
        schedule.open(wall);
        let now = schedule.now(wall).expect("opened");
        let costs = costs(CA, "", &candidate.lineage, Purpose::New, false);
        let may = schedule
            .may_try(&candidate, Declared::ByName, 10, now)
            .and_then(|()| schedule.may_spend(&costs, now));
        if may.is_ok() {
            let _ = schedule.begin(&candidate, costs, Spacing::Usual, now);
            schedule.save(wall).expect("kept");
            orders += 1;
        }
        // Killed here: nothing says how it ended.
        assert_eq!(orders, 1, "start {start}");
    }
}

#[test]
fn refused_again_and_again_a_name_is_tried_no_more_than_once_a_day() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut room = Room::new(dir.path(), [new("a.example.org")].into_iter());
    for second in (0..10 * DAY).step_by(20) {
        room.round(second, &Mood::Refuses);
    }
    assert!(room.asked.between(0, HOUR) <= 3, "{:?}", room.asked.0);
    for day in 1..10 {
        let tries = room.asked.between(day * DAY, (day + 1) * DAY);
        assert!(tries <= 1, "day {day}: {:?}", room.asked.0);
    }
}

#[test]
fn what_was_spent_is_on_the_disk_before_anything_is_asked_and_comes_back_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let candidate = new("a.example.org");
    let mut first = schedule(dir.path());
    let now = first.now(UNIX_EPOCH).expect("opened");
    let costs = costs(CA, "", &candidate.lineage, Purpose::New, true);
    let _ = first.begin(&candidate, costs, Spacing::Usual, now);
    first.answered(
        &candidate.lineage,
        "id",
        Some((UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(DAY))),
        Duration::from_secs(60),
        now,
    );
    assert!(first.is_dirty());
    first.save(UNIX_EPOCH).expect("kept");
    let file = dir.path().join("schedule.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&file).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let second = schedule(dir.path());
    assert_eq!(second.kept, first.kept);
    assert!(!second.is_dirty());
}

#[test]
fn a_file_that_is_not_ours_is_set_aside_and_costs_some_hours_and_not_the_memory() {
    for text in ["", "{", "[]", "{\"lineages\": 3}", "\u{0}\u{0}\u{0}"] {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("schedule.json"), text).expect("written");
        let schedule = schedule(dir.path());
        let now = schedule.now(UNIX_EPOCH).expect("opened");
        let candidate = new("a.example.org");
        let wait = schedule
            .may_try(&candidate, Declared::ByName, 10, now)
            .expect_err("held");
        let until = wait.until.expect("for a time");
        assert_eq!(until.since(now.steady), AFTER_LOSS, "{text:?}");
        assert!(wait.why.expect("a reason").contains("schedule.json"));
        // What was begun already costs nothing and goes on.
        let unfinished = Candidate {
            class: Class::Unfinished,
            ..candidate
        };
        assert_eq!(
            schedule.may_try(&unfinished, Declared::ByName, 10, now),
            Ok(())
        );
        let aside = std::fs::read_to_string(dir.path().join("schedule.corrupt"));
        assert_eq!(aside.expect("kept"), text);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("acme");
    // Somebody's file where the folder should be: no right of the user makes it writable.
    std::fs::write(&path, "").expect("written");
    let mut schedule = Schedule::new(&path);
    schedule.clock = Some(Clock::resume(&clock::Mark::default(), &reading(UNIX_EPOCH)));
    let now = schedule.now(UNIX_EPOCH).expect("opened");
    let candidate = new("a.example.org");
    let costs = costs(CA, "", &candidate.lineage, Purpose::New, true);
    let begun = schedule.begin(&candidate, costs.clone(), Spacing::Usual, now);
    assert_eq!(schedule.save(UNIX_EPOCH), Err(()));
    schedule.undo(&candidate.lineage, &begun, now);
    let why = schedule.trouble().expect("a reason");
    assert!(why.contains(&path.display().to_string()), "{why}");
    assert!(why.contains("writable"), "{why}");
    // Nothing was asked, so nothing is spent.
    assert_eq!(schedule.may_spend(&costs, now), Ok(()));
    assert_eq!(schedule.attempts(&candidate.lineage), None);
}
