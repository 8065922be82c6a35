use std::time::UNIX_EPOCH;

use super::*;

/// A ledger at a time that a test chooses.
struct Desk {
    ledger: Ledger,
    start: Instant,
}

/// `instance/part` or `part`, and how bad it is.
type Trouble<'t> = (&'t str, Level);

fn key(name: &str) -> Key {
    let (instance, part) = match name.split_once('/') {
        Some((instance, part)) => (Some(instance.to_owned()), part),
        None => (None, name),
    };
    Key {
        instance,
        part: part.to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn desk() -> Desk {
    Desk {
        ledger: Ledger::default(),
        start: Instant::now(),
    }
}

impl Desk {
    fn look(&mut self, second: u64, troubles: &[Trouble<'_>]) -> Vec<Notice> {
        let facts = Facts {
            instances: ["congress".to_owned()].into(),
            ..Facts::default()
        };
        self.look_at(second, troubles, facts)
    }

    /// What is news after this second; the receiver hears it only if the test says so.
    fn look_at(&mut self, second: u64, troubles: &[Trouble<'_>], mut facts: Facts) -> Vec<Notice> {
        let wall = UNIX_EPOCH + Duration::from_secs(second);
        for (name, status) in troubles {
            let cause = Cause {
                status: *status,
                text: format!("{name} in second {second}"),
                since: Moment(UNIX_EPOCH + Duration::from_secs(second / 40 * 40)),
                also: Vec::new(),
            };
            facts.causes.insert(key(name), cause);
        }
        let at = self.start + Duration::from_secs(second);
        self.ledger.observe(facts, Now { at, wall });
        self.ledger.news()
    }

    /// As [`Self::look`], and the receiver hears it.
    fn tell(&mut self, second: u64, troubles: &[Trouble<'_>]) -> Vec<Change> {
        let news = self.look(second, troubles);
        for notice in &news {
            self.ledger.told(notice);
        }
        news.into_iter().map(|notice| notice.change).collect()
    }
}

use Level::{Critical, Warning};

const ENDED: Change = Change::Ended(End::Healthy);

#[test]
fn trouble_is_told_once_it_has_lasted_and_once_more_when_it_is_over() {
    let mut desk = desk();
    let mut heard = Vec::new();
    for second in 0..60 {
        let redis = [("congress/service:redis", Critical)];
        let trouble = if (10..30).contains(&second) {
            &redis[..]
        } else {
            &[]
        };
        let news = desk.tell(second, trouble);
        heard.extend(news.into_iter().map(|change| (second, change)));
    }
    assert_eq!(heard, [(13, Change::Started), (35, ENDED)]);
    assert_eq!(desk.ledger.standing(), []);
}

#[test]
fn a_moment_of_trouble_is_not_told() {
    let mut desk = desk();
    for second in 0..100 {
        let engine = [("engine", Warning)];
        // Two seconds in ten.
        let trouble = if second % 10 < 2 { &engine[..] } else { &[] };
        assert_eq!(desk.tell(second, trouble), [], "second {second}");
    }
}

#[test]
fn what_gets_worse_is_told_at_once_and_what_gets_better_when_it_stays() {
    let mut desk = desk();
    desk.tell(0, &[("host", Warning)]);
    assert_eq!(desk.tell(3, &[("host", Warning)]), [Change::Started]);
    let worse = desk.tell(4, &[("host", Critical)]);
    assert_eq!(worse, [Change::Changed(Warning)]);
    // It has been worse twice now, so it has to be better for longer.
    let mut heard = Vec::new();
    for second in 5..60 {
        let news = desk.tell(second, &[("host", Warning)]);
        heard.extend(news.into_iter().map(|change| (second, change)));
    }
    assert_eq!(heard, [(25, Change::Changed(Critical))]);
}

#[test]
fn what_comes_and_goes_is_no_storm_and_is_called_flapping() {
    let mut desk = desk();
    let mut heard = 0;
    let mut flapping = false;
    for second in 0..3_600 {
        let web = [("congress/service:web", Critical)];
        // Ten seconds of every half minute.
        let trouble = if second % 30 < 10 { &web[..] } else { &[] };
        let news = desk.look(second, trouble);
        for notice in &news {
            flapping |= notice.flapping;
            desk.ledger.told(notice);
        }
        heard += news.len();
    }
    // A damper of the same length would let 240 through.
    assert!((1..=4).contains(&heard), "{heard} notices in an hour");
    let standing = desk.ledger.standing();
    assert!(flapping || standing.iter().any(|notice| notice.flapping));
}

#[test]
fn a_receiver_who_was_away_hears_what_is_true_now() {
    let mut desk = desk();
    let (redis, disk) = (("congress/service:redis", Critical), ("host", Warning));
    desk.look(0, &[redis, disk]);
    let news = desk.look(3, &[redis, disk]);
    assert_eq!(news.len(), 2, "nothing of it arrives: {news:?}");
    // One of them is over before he is back.
    for second in 4..20 {
        desk.look(second, &[disk]);
    }
    assert_eq!(desk.tell(20, &[disk]), [Change::Started]);
    // An end that he did not hear of is told when he is back, unless it has begun again.
    for second in 21..40 {
        desk.look(second, &[]);
    }
    let news = desk.look(40, &[]);
    assert_eq!(news.len(), 1, "{news:?}");
    assert_eq!(news[0].change, ENDED);
    assert_eq!(
        news[0].until,
        Some(Moment(UNIX_EPOCH + Duration::from_secs(26)))
    );
    desk.look(41, &[disk]);
    assert_eq!(desk.tell(44, &[disk]), []);
    let standing = desk.ledger.standing();
    assert_eq!(
        standing[0].since,
        Moment(UNIX_EPOCH),
        "it began then for him"
    );
}

#[test]
fn who_pauses_or_removes_an_instance_is_not_kept_waiting() {
    let web = [("congress/service:web", Critical)];
    for (silent, instances, end) in [(true, true, End::Silenced), (false, false, End::Gone)] {
        let mut desk = desk();
        desk.tell(0, &web);
        desk.tell(3, &web);
        let only = |named: bool| named.then(|| "congress".to_owned()).into_iter().collect();
        let facts = Facts {
            silent: only(silent),
            instances: only(instances),
            ..Facts::default()
        };
        let news = desk.look_at(4, &[], facts);
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].change, Change::Ended(end));
    }
}

#[test]
fn what_is_over_is_forgotten() {
    let mut desk = desk();
    for part in 0..1_000 {
        let name = format!("congress/service:{part}");
        desk.tell(part, &[(&name, Warning)]);
    }
    desk.tell(10_000, &[]);
    desk.tell(10_001, &[]);
    assert_eq!(desk.ledger.cases.len(), 0);
}
