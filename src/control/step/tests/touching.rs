//! Who is looked at because something happened to him alone is seen as if everybody had been.

use proptest::prelude::{Just, Strategy, prop, prop_assert_eq, prop_oneof, proptest};

use super::*;

const STACKS: [&str; 3] = ["assembly", "congress", "party"];

/// What happens to one of the stacks, or to all.
#[derive(Clone, Debug)]
enum Step {
    /// The engine lists so many webs.
    Webs(usize, u32),
    /// One of them answers its probe, or does not.
    Probe(usize, u32, bool),
    Sessions(usize, u32),
    /// A wish of an operator, and that it ends.
    Scale(usize, u32),
    Auto(usize),
    Second,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stack = 0..STACKS.len();
    let step = prop_oneof![
        (stack.clone(), 0..4_u32).prop_map(|(stack, webs)| Step::Webs(stack, webs)),
        (stack.clone(), 1..4_u32, prop::bool::weighted(0.8))
            .prop_map(|(stack, web, good)| Step::Probe(stack, web, good)),
        (stack.clone(), 0..400_u32).prop_map(|(stack, count)| Step::Sessions(stack, count)),
        (stack.clone(), 0..4_u32).prop_map(|(stack, count)| Step::Scale(stack, count)),
        stack.prop_map(Step::Auto),
        Just(Step::Second),
    ];
    prop::collection::vec(step, 1..40)
}

struct Room {
    edge: Edge,
    webs: [u32; STACKS.len()],
    /// Whether everybody is planned and described anew whatever happens.
    thorough: bool,
}

impl Room {
    fn new(thorough: bool) -> Self {
        let tables = STACKS.map(|name| {
            format!(
                "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
                 [instance.scale]\nsessions-per-replica = 100\n\
                 [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n\
                 max = 4\n"
            )
        });
        Self {
            edge: Edge::new(&tables.concat()),
            webs: [0; STACKS.len()],
            thorough,
        }
    }

    fn list(&mut self) {
        let before = self.edge.controller.listing.inventory.clone();
        let stacks = STACKS.iter().zip(self.webs).map(|(name, webs)| {
            let units = (1..=webs).map(|number| {
                let name = format!("{name}_{number}");
                unit(&name, Origin::Declared { number })
            });
            let stack = Stack {
                services: BTreeMap::from([("web".parse().expect("name"), units.collect())]),
                ..Stack::default()
            };
            // As an engine lists them: what has not changed is the value it was.
            let known = before.as_ref().and_then(|before| before.stacks.get(*name));
            let known = known.filter(|known| ***known == stack).cloned();
            let stack = known.unwrap_or_else(|| Arc::new(stack));
            (name.parse().expect("name"), stack)
        });
        let inventory = Inventory {
            stacks: stacks.collect(),
            ..Inventory::default()
        };
        self.edge.list_this(Some(inventory), None);
    }

    /// The counts of one stack are told anew, those of the others as before.
    fn report(&mut self, of: &str) {
        let mut newest = self.edge.counted();
        for (name, known) in &self.edge.controller.report.instances {
            if name.as_str() != of {
                newest.instances.insert(name.clone(), Arc::clone(known));
            }
        }
        self.edge.take(Event::Report(Arc::new(newest)));
    }

    /// Takes one step, and says everything that is seen of it from outside.
    fn step(&mut self, step: &Step) -> String {
        match *step {
            Step::Webs(stack, webs) => {
                self.webs[stack] = webs;
                self.list();
            }
            Step::Probe(stack, web, good) => {
                self.edge.probe(&format!("{}_{web}", STACKS[stack]), good);
            }
            Step::Sessions(stack, count) => {
                let web = format!("{}_1", STACKS[stack]);
                self.edge.sessions.insert(web, count);
                self.report(STACKS[stack]);
            }
            Step::Scale(stack, replicas) => self.wish(Wish::Scale {
                instance: STACKS[stack].parse().expect("name"),
                service: "web".parse().expect("name"),
                replicas,
                span: None,
            }),
            Step::Auto(stack) => self.wish(Wish::Auto {
                instance: STACKS[stack].parse().expect("name"),
            }),
            Step::Second => {
                self.edge.now.at += Duration::from_secs(1);
                self.edge.now.wall += Duration::from_secs(1);
                self.edge.take(Event::Tick);
                self.edge.report();
            }
        }
        let actions = self.edge.controller.settle(self.edge.now);
        let ordered: Vec<String> = actions.iter().map(words).collect();
        if self.thorough {
            // Settling twice in one moment goes two steps; saying how it is changes nothing.
            let settled = self.edge.controller.stale.settle.take();
            self.edge.controller.stale = Stale::everything();
            self.edge.controller.stale.settle = settled;
        }
        self.edge.controller.plan();
        let status = self.edge.controller.status(self.edge.now);
        let targets = self.edge.targets();
        let wanted = self.edge.controller.certificates();
        let plan = &self.edge.controller.plan;
        let status = serde_json::to_string(&status).expect("JSON");
        format!("{ordered:?}\n{targets:?}\n{wanted:?}\n{plan:?}\n{status}")
    }

    fn wish(&mut self, wish: Wish) {
        let (reply, _) = tokio::sync::oneshot::channel();
        self.edge.take(Event::Command(Command { wish, reply }));
    }
}

proptest! {
    #[test]
    fn a_stack_that_is_looked_at_alone_is_seen_as_if_all_had_been(steps in steps()) {
        let (mut quick, mut thorough) = (Room::new(false), Room::new(true));
        for step in &steps {
            let (found, expected) = (quick.step(step), thorough.step(step));
            // One after the other, for a message that can be read.
            for (found, expected) in found.lines().zip(expected.lines()) {
                prop_assert_eq!(found, expected, "after {:?}", step);
            }
        }
    }
}

#[test]
fn what_happens_to_one_costs_the_others_nothing() {
    let mut room = Room::new(false);
    room.webs = [1; STACKS.len()];
    room.list();
    for stack in 0..STACKS.len() {
        room.step(&Step::Probe(stack, 1, true));
    }
    room.step(&Step::Second);
    let before = room.edge.controller.status(room.edge.now);
    for step in [
        Step::Probe(1, 1, true),
        Step::Webs(1, 2),
        Step::Sessions(1, 7),
    ] {
        room.step(&step);
    }
    let after = room.edge.controller.status(room.edge.now);
    let same = before.instances.iter().zip(&after.instances);
    let same: Vec<bool> = same.map(|(one, other)| Arc::ptr_eq(one, other)).collect();
    assert_eq!(same, [true, false, true]);
    // A good answer of whom everybody knows to be well is no news at all.
    let known = Arc::clone(&after.instances[1]);
    room.step(&Step::Probe(1, 1, true));
    let last = room.edge.controller.status(room.edge.now);
    assert!(Arc::ptr_eq(&known, &last.instances[1]));
}

#[test]
fn who_is_gone_is_forgotten_and_costs_the_others_nothing() {
    let text = "[engine]\nkind = \"docker\"\nnames-from-containers = \"open\"\n";
    let mut edge = Edge::new(text);
    let listing = |names: &[&str]| {
        let stacks = names.iter().map(|name| {
            let mut web = unit(&format!("{name}_1"), Origin::Declared { number: 1 });
            let values =
                BTreeMap::from([("VIRTUAL_HOST".to_owned(), format!("{name}.example.org"))]);
            web.claims = Arc::new(crate::inventory::Claims {
                values,
                ..crate::inventory::Claims::default()
            });
            let stack = Stack {
                services: BTreeMap::from([("web".parse().expect("name"), vec![web])]),
                ..Stack::default()
            };
            (name.parse().expect("name"), Arc::new(stack))
        });
        Inventory {
            stacks: stacks.collect(),
            ..Inventory::default()
        }
    };
    let look = |edge: &mut Edge| {
        edge.settle();
        let status = edge.controller.status(edge.now);
        let wanted = edge.controller.certificates();
        (
            status,
            edge.targets(),
            wanted,
            Arc::clone(&edge.controller.plan),
        )
    };
    let both = listing(&["blog", "wiki"]);
    let wiki = listing(&["wiki"]);
    edge.list_this(Some(both), None);
    let (before, ..) = look(&mut edge);
    assert_eq!(before.instances.len(), 2);
    edge.list_this(Some(wiki), None);
    let (after, targets, wanted, plan) = look(&mut edge);
    assert_eq!(after.instances.len(), 1);
    let left = &after.instances[0];
    assert!(Arc::ptr_eq(left, &before.instances[1]), "the same value");
    assert!(
        targets
            .iter()
            .all(|one| one.subject.instance.as_str() == "wiki")
    );
    assert!(wanted.all().all(|one| one.instance.as_str() == "wiki"));
    assert_eq!(
        (targets.len(), wanted.0.len(), plan.instances.len()),
        (1, 1, 1)
    );
}
