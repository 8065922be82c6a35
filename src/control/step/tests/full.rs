//! What gives way on a full host, step by step, until one stack has made room for another.

use super::*;

const ASSEMBLY: &str = "[[instance]]\nname = \"assembly\"\ndomains = [\"assembly.example.org\"]\n\
                        [instance.scale]\nsessions-per-replica = 100\n\
                        [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n";

const WEBS: [&str; 8] = [
    "web_1", "web_2", "web_3", "web_4", "web_5", "web_6", "web_7", "web_8",
];

/// Two stacks on a host without room: `congress` with eight webs, of which it needs two, and two
/// workers; `assembly` with one web, that needs four more.
struct Hall {
    edge: Edge,
    orders: Vec<String>,
}

impl Hall {
    fn new() -> Self {
        let congress = CONFIG.replace("max = 4", "max = 8");
        let congress = congress.replace("ratio = 2.0", "ratio = 0.25");
        let mut edge = Edge::new(&format!("{congress}{ASSEMBLY}"));
        let declared = |name: &str, count: u32| {
            let one = |number| unit(&format!("{name}_{number}"), Origin::Declared { number });
            (1..=count).map(one).collect::<Vec<_>>()
        };
        edge.units.insert("web", declared("web", 8));
        edge.units.insert("worker", declared("worker", 2));
        let mut hall = Self {
            edge,
            orders: Vec::new(),
        };
        hall.list();
        for name in WEBS.into_iter().chain(["assembly_1"]) {
            hall.edge.probe(name, true);
        }
        hall.on_each(95);
        hall.seconds(61);
        // So slowly that nobody takes it for a loss.
        for sessions in (24..95).rev() {
            hall.on_each(sessions);
            hall.seconds(1);
        }
        assert_eq!(hall.orders, [""; 0], "nothing shrinks before its time");
        memory(&mut hall.edge, 0);
        hall.edge.sessions.insert("assembly_1".into(), 450);
        hall
    }

    fn on_each(&mut self, sessions: u32) {
        for name in WEBS {
            self.edge.sessions.insert(name.into(), sessions);
        }
    }

    fn list(&mut self) {
        self.edge.list_beside_assembly();
    }

    /// The engine does what it is told, and nothing of it makes room.
    fn seconds(&mut self, count: u32) {
        for _ in 0..count {
            for action in self.edge.tick() {
                self.orders.push(words(&action));
                if let Action::Stop { proof, .. } = &action {
                    for units in self.edge.units.values_mut() {
                        units.retain(|unit| unit.id != *proof.replica());
                    }
                    self.list();
                }
                let result = Ok(());
                self.edge.take(Event::Acted(Acted { action, result }));
            }
        }
    }

    fn states(&self) -> Vec<&'static str> {
        WEBS.map(|name| self.edge.state(name)).to_vec()
    }

    fn reason(&mut self, service: usize) -> String {
        let status = self.edge.controller.status(self.edge.now);
        let mut instances = status.instances.iter();
        let congress = instances.find(|one| one.name == "congress");
        let service = &congress.expect("congress").services[service];
        service.limited_by.clone().unwrap_or_default()
    }
}

#[tokio::test]
async fn who_holds_more_than_its_share_gives_workers_and_webs_that_are_to_spare() {
    let mut hall = Hall::new();
    hall.seconds(5);
    assert_eq!(hall.reason(1), "host memory (ratio)");
    assert_eq!(hall.reason(0), "host memory (surplus)");
    let stops = hall
        .orders
        .iter()
        .filter(|order| order.starts_with("stop worker"));
    assert_eq!(stops.count(), 1, "half of them: {:?}", hall.orders);
    let states = hall.states();
    let draining = states.iter().filter(|state| **state == "draining").count();
    assert_eq!(draining, 1, "one at a time: {states:?}");
    // Whoever is connected stays so for as long as with any drain.
    hall.seconds(600);
    let ended = |state: &&str| matches!(*state, "cutting" | "stopping" | "gone");
    assert!(!hall.states().iter().any(ended), "{:?}", hall.states());
}

#[tokio::test]
async fn a_web_that_was_to_spare_comes_back_when_its_own_stack_needs_it_however_full_the_host_is() {
    let mut hall = Hall::new();
    hall.seconds(5);
    assert!(hall.states().contains(&"draining"), "{:?}", hall.states());
    hall.on_each(95);
    hall.seconds(3);
    assert_eq!(hall.states(), ["ready"; 8]);
}

#[tokio::test]
async fn a_stack_that_gets_no_replica_more_fills_those_it_has_and_then_holds_who_comes() {
    let mut edge = Edge::running();
    memory(&mut edge, 0);
    let text_at = |edge: &mut Edge, sessions: u32| {
        edge.sessions.insert("web_1".into(), sessions);
        assert_eq!(edge.seconds(2), [""; 0]);
        let status = edge.controller.status(edge.now).instances[0].clone();
        let limit = status.services[0].limited_by.clone().unwrap_or_default();
        (limit, format!("{:?}", status.reasons))
    };
    let (limit, reasons) = text_at(&mut edge, 200);
    assert_eq!(limit, "host memory (density)");
    assert!(reasons.contains("fills up to 250 meanwhile"), "{reasons}");
    let (limit, reasons) = text_at(&mut edge, 260);
    assert_eq!(limit, "host memory (full)");
    assert!(reasons.contains("who comes beyond that waits"), "{reasons}");
    // The plan makes requests wait for a seat, and not for a replica that does not come.
    let plan = edge.controller.plan.instances["congress"].clone();
    let web = &plan.services["web"];
    assert_eq!((web.coming, web.failing), (false, false));
    assert_eq!(web.endpoints[0].usage, Usage::Serve);
    assert_eq!(plan.site.limits.sessions_hard, 250);
}
