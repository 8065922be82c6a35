//! What a change costs, and that it comes to the same as if everybody had been judged again.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::Config as Settings;

use super::*;
use crate::compat::fixture::{CONGRESS, Work};
use crate::inventory::{Phase, Unit};

const STACKS: usize = 1_000;
const NAMES: usize = 10;

/// As nearly everybody says it: a certificate for each name.
fn web_with(name: &str, hosts: &str) -> Unit {
    unit(
        name,
        &[("VIRTUAL_HOST", hosts), ("LETSENCRYPT_HOST", hosts)],
    )
}

fn names_of(stack: usize, version: u32) -> String {
    let names = (0..NAMES).map(|nth| format!("name{nth}-v{version}.stack{stack}.example.org"));
    names.collect::<Vec<_>>().join(",")
}

impl Room {
    fn crowded() -> Self {
        let mut room = Self::new("open", "");
        for number in 0..STACKS {
            let stack = format!("stack-{number}");
            let hosts = names_of(number, 0);
            let web = web_with(&format!("{stack}_web_1"), &hosts);
            let content = Stack {
                services: BTreeMap::from([("web".parse().expect("name"), vec![web])]),
                ..Stack::default()
            };
            let stacks = &mut room.inventory.stacks;
            stacks.insert(stack.parse().expect("name"), Arc::new(content));
        }
        room.settle();
        room
    }

    fn work(&mut self) -> Work {
        std::mem::take(&mut self.compat.work)
    }
}

fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).expect("a time")
}

#[test]
#[expect(clippy::print_stdout, reason = "what was measured")]
fn a_changed_stack_among_a_thousand_is_read_and_judged_alone() {
    const CHANGES: u32 = 20;
    let mut room = Room::crowded();
    assert_eq!(room.ruling.instances.len(), STACKS);
    room.work();
    let mut spent = Duration::ZERO;
    for version in 1..=CHANGES {
        let hosts = names_of(17, version);
        let before = Arc::clone(&room.ruling);
        let web = web_with(&format!("web_{version}"), &hosts);
        let stack = "stack-17".parse().expect("name");
        let stack = room.inventory.stacks.change(stack);
        stack
            .services
            .insert("web".parse().expect("name"), vec![web]);
        let begun = cpu();
        room.settle();
        spent += cpu() - begun;
        assert_eq!(room.work(), Work { read: 1, judged: 1 });
        let other = |(name, old): &(&InstanceName, &Arc<Instance>)| {
            Arc::ptr_eq(old, &room.ruling.instances[*name])
        };
        assert_eq!(before.instances.iter().filter(other).count(), STACKS - 1);
    }
    println!("{:?} of CPU for a change, unoptimised", spent / CHANGES);
    let before = Arc::clone(&room.ruling);
    room.settle();
    assert_eq!(room.work(), Work::default());
    assert!(Arc::ptr_eq(&before, &room.ruling));
}

#[test]
fn a_name_that_is_given_on_has_only_those_judged_who_are_about_it() {
    let mut room = Room::crowded();
    let thief = format!("{},own.example.org", names_of(17, 0));
    room.web("thief", &[("VIRTUAL_HOST", &thief)]);
    let pair = [
        ("VIRTUAL_HOST", "x.name0-v0.stack17.example.org"),
        ("CERT_NAME", "name0-v0.stack17.example.org"),
    ];
    room.web("below", &pair);
    assert_eq!(room.instance("below").certificate, None);
    room.work();
    room.inventory.stacks.remove("stack-17");
    room.settle();
    // It went away: what is said of it is another thing.
    assert_eq!(room.work(), Work { read: 0, judged: 2 });
    assert_eq!(room.domains("thief"), ["own.example.org"]);
    room.now += conflicts::KEPT_FOR;
    room.settle();
    assert_eq!(room.work(), Work { read: 0, judged: 2 });
    assert_eq!(room.domains("thief").len(), NAMES + 1);
}

#[test]
fn a_pattern_that_comes_has_only_those_judged_who_order_what_it_may_lead_away() {
    let mut room = Room::crowded();
    let hosts = [
        ("VIRTUAL_HOST", "*.deep.example.org"),
        ("LETSENCRYPT_HOST", "a.deep.example.org"),
    ];
    room.web("wild", &hosts);
    room.work();
    room.web("shaped", &host("~^name"));
    assert_eq!(room.work(), Work { read: 1, judged: 2 });
    // The same patterns, and another name.
    room.web("shaped", &host("~^name,q.example.org"));
    assert_eq!(room.work(), Work { read: 1, judged: 1 });
}

#[test]
fn a_view_of_a_stack_that_has_not_changed_is_the_very_same() {
    let mut room = Room::new("open", "");
    let units = |name: &str| vec![unit(name, &host("a.example.org")), unit("silent", &[])];
    room.set("shop", "web", units("web"));
    let before = Arc::clone(&room.ruling.views["shop"]);
    let instance = Arc::clone(room.instance("shop"));
    room.web("other", &host("b.example.org"));
    assert!(Arc::ptr_eq(&before, &room.ruling.views["shop"]));
    // What the view is made of has changed, and nothing that is claimed.
    let mut changed = units("web");
    changed[0].health = Some(true);
    changed[0].networks = vec!["another".to_owned()];
    room.set("shop", "web", changed);
    assert_ne!(*before, *room.ruling.views["shop"]);
    let mut changed = units("web");
    changed[0].networks = vec!["another".to_owned()];
    room.set("shop", "web", changed);
    assert_eq!(*instance, **room.instance("shop"));
}

#[test]
fn who_has_a_name_outlives_a_restart() {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut first = Room::new("open", "");
    first.web("shop", &host("a.example.org"));
    first.web("gone", &host("b.example.org"));
    let version = first.compat.owners_version();
    first.inventory.stacks.remove("gone");
    first.settle();
    assert_ne!(first.compat.owners_version(), version, "worth keeping");
    let at = first.now;
    let kept = first.compat.kept(Now { at, wall });
    let text = serde_json::to_string(&kept).expect("JSON");

    let mut second = Room::new("open", "");
    let wall = wall + Duration::from_secs(3_600);
    let kept = serde_json::from_str(&text).expect("the same");
    let at = second.now;
    second.compat.remember(kept, Now { at, wall });
    // Before the engine has said anything.
    second.settle();
    second.web("aaa", &host("a.example.org,b.example.org"));
    assert!(second.names().is_empty());
    let refused = second.told("aaa");
    assert!(refused.contains("the stack shop had it"), "{refused}");
    assert!(refused.contains("the stack gone had it"), "{refused}");
    second.web("shop", &host("a.example.org"));
    assert_eq!(second.domains("shop"), ["a.example.org"]);
    // The hour counts.
    second.now += Duration::from_secs(23 * 3_600);
    second.settle();
    assert_eq!(second.domains("aaa"), ["b.example.org"]);
}

#[test]
fn an_entry_gives_a_name_to_another_stack_at_once_and_it_stays_there() {
    let mut room = Room::new("open", "");
    let plain = Arc::clone(&room.config);
    room.web("old", &host("a.example.org"));
    room.web("new", &host("a.example.org"));
    room.inventory.stacks.remove("old");
    room.settle();
    let told = room.told("new");
    assert!(
        told.contains("[[instance]]") && told.contains("the Compose project old"),
        "{told}"
    );
    let entry = "[[instance]]\nname = \"site\"\nstack = \"new\"\ndomains = [\"a.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\n";
    room.config = Room::new("open", entry).config;
    room.settle();
    assert_eq!(room.names(), ["site"]);
    assert_eq!(room.told("site"), "");
    // And without it, nobody takes it from who serves it.
    room.config = plain;
    room.settle();
    assert_eq!(room.domains("new"), ["a.example.org"]);
}

#[test]
fn a_slip_of_the_pen_gives_no_name_up_and_taking_it_out_does() {
    let slip = [("VIRTUAL_HOST", "A.example.org"), ("VIRTUAL_PORT", "none")];
    let mut room = Room::new("open", "");
    room.web("shop", &host("a.example.org"));
    room.web("aaa", &host("a.example.org"));
    room.web("shop", &slip);
    room.now += Duration::from_secs(3_600);
    room.settle();
    assert_eq!(room.names(), [""; 0]);
    room.web("shop", &host("b.example.org"));
    room.now += Duration::from_secs(10);
    room.settle();
    assert_eq!(room.names(), ["aaa", "shop"]);
}

/// What happens between two listings.
#[derive(Clone, Debug)]
enum Event {
    /// A stack of the service says this, and runs or does not.
    Says {
        stack: usize,
        service: usize,
        says: usize,
        runs: bool,
    },
    Leaves(usize),
    Passes(u64),
    Config(usize),
    /// Something changes that nobody claims anything with.
    Moves(usize),
}

const WHO: [&str; 6] = ["a", "a-api", "b", "c", "congress", "d"];
const SERVICES: [&str; 3] = ["api", "web", "mail"];

/// What a container may say; small enough that stacks meet.
fn sayings() -> Vec<Vec<(&'static str, String)>> {
    let mut many = String::new();
    for number in 0..7 {
        let _ = write!(many, "m{number}.example.org:\n  '~^/{number}': {{}}\n");
        for path in 0..6 {
            let _ = writeln!(many, "  '~^/{number}/{path}$': {{}}");
        }
    }
    let hosts = |text: &str| vec![("VIRTUAL_HOST", text.to_owned())];
    let orders = |text: &str, names: &str| {
        let [host, order] = [text, names].map(ToOwned::to_owned);
        vec![("VIRTUAL_HOST", host), ("LETSENCRYPT_HOST", order)]
    };
    vec![
        Vec::new(),
        hosts("a.example.org"),
        hosts("a.example.org,b.example.org,c.example.org"),
        hosts("b.example.org,~^x"),
        hosts("c.example.org,*.example.org,nonsense"),
        hosts("congress.example.org,x.slides.example.org,a.example.org"),
        vec![("VIRTUAL_HOST_MULTIPORTS", many)],
        vec![
            ("VIRTUAL_HOST", "x.a.example.org".to_owned()),
            ("CERT_NAME", "a.example.org".to_owned()),
        ],
        vec![
            ("VIRTUAL_HOST", "y.c.example.org".to_owned()),
            ("CERT_NAME", "example.org".to_owned()),
        ],
        hosts("*.a.example.org"),
        hosts("x.*,~^xy"),
        orders(
            "a.example.org",
            "a.example.org,b.example.org,x.a.example.org",
        ),
        orders(
            "*.example.org",
            "a.example.org,x.a.example.org,q.example.org",
        ),
        orders("~^x", "xy.example.net,x.a.example.org,b.example.org"),
        orders(
            "congress.example.org",
            "congress.example.org,y.slides.example.org,a.example.org",
        ),
        vec![
            ("VIRTUAL_HOST", "a.example.org".to_owned()),
            ("VIRTUAL_PATH", "/api/".to_owned()),
        ],
        vec![
            ("VIRTUAL_HOST", "d.example.org".to_owned()),
            ("VIRTUAL_PORT", "none".to_owned()),
        ],
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let says = (0..WHO.len(), 0..SERVICES.len(), 0..sayings().len(), 0..4_u8).prop_map(
        |(stack, service, says, runs)| Event::Says {
            stack,
            service,
            says,
            runs: runs > 0,
        },
    );
    prop_oneof![
        12 => says,
        3 => (0..WHO.len()).prop_map(Event::Leaves),
        2 => prop_oneof![Just(1), Just(9), Just(11), Just(50_000), Just(90_000)].prop_map(Event::Passes),
        1 => (0..4_usize).prop_map(Event::Config),
        2 => (0..WHO.len()).prop_map(Event::Moves),
    ]
}

/// Made once: each has a file of its own.
static CONFIGS: LazyLock<Vec<Arc<Config>>> = LazyLock::new(|| {
    let other = CONGRESS.replace("\"congress\"", "\"a-web\"");
    let other = other.replace("domains", "stack = \"a\"\ndomains");
    let made = [
        ("open", ""),
        ("open", CONGRESS),
        ("open", other.as_str()),
        ("listed", CONGRESS),
    ];
    made.map(|(mode, tables)| Room::new(mode, tables).config)
        .into()
});

impl Room {
    fn happen(&mut self, event: &Event, sayings: &[Vec<(&str, String)>]) {
        match event {
            Event::Says {
                stack,
                service,
                says,
                runs,
            } => {
                let (stack, service) = (WHO[*stack], SERVICES[*service]);
                let said: Vec<_> = sayings[*says]
                    .iter()
                    .map(|(key, value)| (*key, value.as_str()))
                    .collect();
                let mut one = unit(&format!("{stack}_{service}_1"), &said);
                if !runs {
                    one.phase = Phase::Exited { code: 0 };
                }
                let stack = self.inventory.stacks.change(stack.parse().expect("name"));
                let services = &mut stack.services;
                services.insert(service.parse().expect("name"), vec![one]);
            }
            Event::Leaves(stack) => drop(self.inventory.stacks.remove(WHO[*stack])),
            Event::Passes(seconds) => self.now += Duration::from_secs(*seconds),
            Event::Config(number) => self.config = Arc::clone(&CONFIGS[*number]),
            Event::Moves(stack) => {
                if self.inventory.stacks.contains_key(WHO[*stack]) {
                    let stack = WHO[*stack].parse().expect("name");
                    let services = &mut self.inventory.stacks.change(stack).services;
                    for unit in services.values_mut().flatten() {
                        unit.networks.push("another".to_owned());
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(Settings { cases: 64, ..Settings::default() })]

    #[test]
    fn whatever_happens_it_comes_to_the_same_as_if_everybody_were_judged_again(
        events in proptest::collection::vec(event(), 1..60)
    ) {
        let sayings = sayings();
        let mut few = Room::with(Arc::clone(&CONFIGS[0]));
        let mut all = Room::with(Arc::clone(&CONFIGS[0]));
        all.now = few.now;
        let mut before = Arc::clone(&few.ruling);
        for event in &events {
            for room in [&mut few, &mut all] {
                room.happen(event, &sayings);
            }
            all.compat.judge_all_again();
            few.settle();
            all.settle();
            prop_assert_eq!(&*few.ruling, &*all.ruling);
            // A second look finds nothing, and what is equal is the very same.
            let found = Arc::clone(&few.ruling);
            few.settle();
            prop_assert!(Arc::ptr_eq(&found, &few.ruling));
            if !matches!(event, Event::Config(_)) {
                for (name, instance) in &few.ruling.instances {
                    let known = before.instances.get(name).filter(|known| *known == instance);
                    prop_assert!(known.is_none_or(|known| Arc::ptr_eq(known, instance)));
                }
            }
            before = found;
        }
    }
}
